"""No name reaches a terminal, or a file, with characters that do something there."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.command.screen import Shown, Table, say, show
from stores.errors import BadFile
from stores.foreign import FORMATS, Foreign, read_foreign, write_foreign
from untrusted.names import shown

EVIL = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202efdp.\r\x00\ud800z"


@given(st.text(st.characters(codec=None)))
def test_whatever_stands_in_a_name_can_be_printed_and_does_nothing(name):
    found = shown(name)
    found.encode()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", found)
    assert shown(found) == found


def test_lines_tables_and_errors_spell_them_out(capsys):
    show(Shown({}, (f"id {EVIL}", Table(EVIL, [{EVIL: EVIL, "n": 1}])), (EVIL,)), as_json=False)
    say(EVIL)
    out, err = capsys.readouterr()
    for text in (out, err):
        assert "\\x1b]0;owned\\x07" in text.replace("\n", "")
        assert not set(text) & set("\x1b\x07\x9b\u202e\r\x00\ud800")


@pytest.mark.parametrize(("format", "layout"), [*FORMATS])
@pytest.mark.parametrize("name", ["a\0b", "a/b", "/a", "..", "half\ud800", "\x1b[31m"])
def test_any_id_is_exported_or_refused_in_one_line(tmp_path, format, layout, name):
    features = Foreign([name, "b"], None, np.ones((2, 3), np.float32), np.array([0, 1, 2]))
    path = tmp_path / {"hdf5": "f.h5", "parquet": "f.parquet", "lance": "f.lance"}.get(format, "f")
    try:
        write_foreign(path, features, format, layout)
    except BadFile as error:
        assert re.fullmatch(r"The video id '[ -~]*' holds (a NUL|half a character).*", str(error))
        assert "\0" in name or "\ud800" in name
        assert not path.exists()
    else:
        assert sorted(read_foreign(path).video_id) == sorted([name, "b"])
