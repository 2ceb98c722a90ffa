"""Names given on a command line, of which some hold commas."""

import pytest

from pipelines.command.given_names import names
from pipelines.errors import UsageError


def test_one_value_is_split_at_commas_and_of_several_each_is_a_name():
    told: list[str] = []
    assert names("--classes", ["a b, c,, d "], told.append) == ("a b", "c", "d")
    assert told == []
    assert names("--classes", ["up, then down", "c"], told.append) == ("up, then down", "c")
    (line,) = told
    assert line.startswith("--classes stands more than once, so each is one name: 'up, then down'.")
    assert names("--classes", []) == ()


def test_a_file_is_a_name_a_line_beside_others(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes("\ufeffup, then down\r\n\r\n c\r\n".encode())
    assert names("--classes", [f"@{path}"]) == ("up, then down", "c")
    assert names("--classes", [f"@{path}", "d"]) == ("up, then down", "c", "d")


def test_a_file_that_gives_no_names_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="none.txt cannot be read: No such file"):
        names("--classes", [f"@{tmp_path / 'none.txt'}"])
    (tmp_path / "a.txt").write_bytes(b"\n\n")
    with pytest.raises(UsageError, match="--classes @.*a.txt: the file holds no name. Write one a line"):
        names("--classes", [f"@{tmp_path / 'a.txt'}"])
    (tmp_path / "a.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(UsageError, match="a.txt, line 1 is not UTF-8"):
        names("--classes", [f"@{tmp_path / 'a.txt'}"])
