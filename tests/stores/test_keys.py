"""Keys depend on content and on nothing else."""

import io

from hypothesis import given
from hypothesis import strategies as st

from stores.keys import rows_digest, span_key, stream_key, text_key


@given(st.binary(max_size=5000))
def test_a_streams_key_is_that_of_its_bytes_however_it_is_read(data):
    class Dribble(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(7, size) if size and size > 0 else 7)

    assert stream_key(io.BytesIO(data)) == stream_key(Dribble(data))


def test_texts_that_read_alike_have_one_key():
    assert text_key("café  au\tlait\n") == text_key("cafe\u0301 au lait")
    assert text_key("bend knees") != text_key("bend knee")


def test_spans_of_one_video_are_items_of_their_own():
    key = stream_key(io.BytesIO(b"video"))
    assert len({key, span_key(key, 0, 1), span_key(key, 0, 2), span_key(key, 1, 2)}) == 4


def test_a_digest_covers_all_parts_in_order():
    assert rows_digest(b"ab", b"c") != rows_digest(b"c", b"ab")
