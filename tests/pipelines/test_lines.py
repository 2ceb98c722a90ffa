"""Lines and JSON lines of text files: what is read, what is wrong with which line, and what that costs."""

import gzip
from pathlib import Path

import pytest

from pipelines.errors import UsageError
from pipelines.lines import Problem, json_lines, lines, opened


def read(path: Path, content: bytes | str, encoding: str = "") -> list[tuple[int, str] | Problem]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with opened(str(path)) as stream:
        return list(lines(stream, encoding, "mend it"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_a_line_ends_as_any_machine_ends_it(tmp_path, end):
    assert read(tmp_path / "a", f"one{end}two{end}") == [(1, "one"), (2, "two")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_says_what_a_file_is(tmp_path, encoding):
    assert read(tmp_path / "a", "café\u2028x\r\ntwo".encode(encoding)) == [(1, "café\u2028x"), (2, "two")]
    assert read(tmp_path / "b.gz", gzip.compress("café\ntwo".encode(encoding))) == [(1, "café"), (2, "two")]


def test_a_mark_in_the_middle_is_of_a_file_that_was_joined(tmp_path):
    assert read(tmp_path / "a", "\ufeffone\n\ufefftwo\n") == [(1, "one"), (2, "two")]


def test_lines_that_are_not_utf8_are_problems_or_of_the_encoding_that_is_named(tmp_path):
    content = "café\n".encode() + b"caf\xe9 \x96\n" + b"\x81\n"
    bad = [Problem(2, "is not UTF-8 (byte 0xe9 at 4); mend it"), Problem(3, "is not UTF-8 (byte 0x81 at 1); mend it")]
    assert read(tmp_path / "a", content) == [(1, "café"), *bad]
    worse = Problem(3, "is neither UTF-8 nor cp1252 (byte 0x81 at 1); mend it")
    assert read(tmp_path / "a", content, "cp1252") == [(1, "café"), (2, "café \u2013"), worse]


def test_utf16_without_a_mark_is_a_problem_and_read_where_it_is_named(tmp_path):
    content = "one\ntwo\n".encode("utf-16-le")
    found = read(tmp_path / "a", content)
    assert [type(entry) for entry in found] == [Problem] * 3
    assert "holds NUL bytes" in found[0].reason
    assert read(tmp_path / "a", content, "utf-16-le") == [(1, "one"), (2, "two")]


def test_a_broken_character_of_utf16_costs_its_line(tmp_path):
    content = "one\n".encode("utf-16") + b"\x00\xd8" + "x\nthree\n".encode("utf-16-le")
    assert read(tmp_path / "a", content) == [(1, "one"), Problem(2, "is not UTF-16 throughout"), (3, "three")]


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (b"PK\x03\x04", "a zip archive or an Excel file"),
        (b"BZh9", "packed with bzip2; unpack"),
        (b"PAR1", "a Parquet file"),
    ],
)
def test_what_is_no_text_is_one_line(tmp_path, start, told):
    with pytest.raises(UsageError, match=f"a.csv is {told}"):
        read(tmp_path / "a.csv", start + b"\0" * 20)


def numbered(text: str) -> list[tuple[int, str]]:
    return list(enumerate(text.split("\n"), start=1))


def test_documents_behind_each_other_in_a_line_are_all_read():
    assert list(json_lines(numbered('{"a": 1}{"a": 2} {"a": 3},\n\n{"a": 4}'))) == [
        (1, {"a": 1}),
        (1, {"a": 2}),
        (1, {"a": 3}),
        (3, {"a": 4}),
    ]
    assert list(json_lines(numbered('{"a": 1}{"a": \n{"a": 4}'))) == [
        (1, {"a": 1}),
        Problem(1, "is not JSON (Expecting value)"),
        (2, {"a": 4}),
    ]
