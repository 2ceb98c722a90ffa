"""Captions are gathered in whatever order they come, and those that stay are kept."""

import pyarrow as pa
import pytest

from stores.captions import ARRIVING, Captions, group_key
from stores.errors import WriteFailed
from stores.keys import text_key


def arriving(*rows: tuple[int, int, str]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"video": video, "place": place, "key": text_key(text), "text": text, "source": f"f{video}", "line": place}
            for video, place, text in rows
        ],
        schema=ARRIVING,
    )


def write(root, groups: list[bytes], *batches: pa.Table) -> dict[int, bytes]:
    with Captions(root).gathering() as gathered:
        for batch in batches:
            gathered.add(batch)
        found = gathered.groups()
        Captions(root).write("d", gathered, pa.array([*found.values(), *groups], pa.binary(32)))
    return found


def told(root) -> list[tuple[bytes, int, str, str]]:
    rows = Captions(root).read("d", ["group", "place", "text", "source"])
    return [tuple(row.values()) for row in rows.to_pylist()]


def of(*texts: str) -> bytes:
    return group_key([text_key(text) for text in texts])


def test_captions_of_a_video_come_together_from_any_batch_in_their_order(root):
    found = write(root, [], arriving((1, 1, "b"), (0, 0, "x"), (1, 0, "a")), arriving((0, 1, "y"), (1, 2, "a")))
    assert found == {0: of("x", "y"), 1: of("a", "b", "a")}
    wanted = [(found[0], 0, "x", "f0"), (found[0], 1, "y", "f0")]
    wanted += [(found[1], place, text, "f1") for place, text in enumerate(["a", "b", "a"])]
    assert told(root) == sorted(wanted)


def test_of_twins_the_first_is_kept_and_of_what_was_there_that_which_is_asked_for(root):
    write(root, [], arriving((3, 0, "a"), (4, 0, "b"), (5, 0, "c")))
    found = write(root, [of("b")], arriving((0, 0, "a"), (1, 0, "a")))
    assert found == {0: of("a"), 1: of("a")}
    assert sorted(row[2:] for row in told(root)) == [("a", "f0"), ("b", "f4")]


def test_more_captions_than_are_sorted_at_once_are_gathered_in_piles(root, monkeypatch):
    monkeypatch.setattr("stores.captions._PILE_BYTES", 1000)
    places = reversed(range(7))
    batches = [arriving(*((video, place, f"{video} {place} " + "x" * 99) for video in range(50))) for place in places]
    found = write(root, [], *batches)
    rows = told(root)
    assert [row[:2] for row in rows] == [(key, place) for key in sorted(found.values()) for place in range(7)]
    video = {key: number for number, key in found.items()}
    assert all(text == f"{video[group]} {place} " + "x" * 99 for group, place, text, _ in rows)
    write(root, list(found.values())[:9], arriving((0, 0, "new")))
    assert len(told(root)) == 9 * 7 + 1


def test_no_room_for_texts_that_wait_is_one_line_and_changes_nothing(root, monkeypatch):
    class Full:
        def write_table(self, rows: pa.Table) -> None:
            raise OSError(28, "No space left on device")

    with Captions(root).gathering() as gathered:
        monkeypatch.setattr(gathered, "_told", Full())
        with pytest.raises(WriteFailed, match=r"cannot wait in .*: .*No space left.* Give \$TMPDIR a folder"):
            gathered.add(arriving((0, 0, "a")))
    assert not Captions(root).exist("d")
