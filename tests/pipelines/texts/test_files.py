"""Files of classes and texts: every published form is read, and what is wrong is said with its line."""

import gzip
import json
from pathlib import Path

import pytest

from pipelines.errors import UsageError
from pipelines.lines import Problem
from pipelines.texts.files import Record, files_of, read


def records(path: Path, content: str | bytes) -> list[Record | Problem]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read(str(path)))


def pairs(found: list[Record | Problem]) -> list[tuple[str, str]]:
    return [(r.name, r.text) for r in found if isinstance(r, Record)]


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.txt", "brush_hair\ncartwheel\n\n", [("brush_hair", ""), ("cartwheel", "")]),
        ("a.txt", "1 ApplyEyeMakeup\n2 ApplyLipstick\n", [("ApplyEyeMakeup", ""), ("ApplyLipstick", "")]),
        ("a.txt", "1: bend/bow (at the waist)\n3: crouch/kneel\n", [("bend/bow (at the waist)", ""), ("crouch/kneel", "")]),
        ("a.txt", "archery: to shoot, with a bow\nbowling:to roll\n", [("archery", "to shoot, with a bow"), ("bowling", "to roll")]),
        ("a.csv", ' "archery: to shoot, with a bow"\n"bowling: to roll"\n', [("archery", "to shoot, with a bow"), ("bowling", "to roll")]),
        ("a.csv", '\ufeffbrush hair," holding, running"\ncatch,to seize', [("brush hair", "holding, running"), ("catch", "to seize")]),
        ("a.csv", "catch, a ball, or two\n", [("catch", "a ball, or two")]),
        ("a.csv", "id,name\n0,abseiling\n1,zumba\n", [("abseiling", ""), ("zumba", "")]),
        ("a.csv", "0,abseiling\n1,zumba\n", [("abseiling", ""), ("zumba", "")]),
        ("a.tsv", "class\tdefinition\nzumba\ta dance\n", [("zumba", "a dance")]),
        ("a.json", '["zumba", "yoga"]', [("zumba", ""), ("yoga", "")]),
        ("a.json", '{"zumba": 0, "yoga": 1}', [("zumba", ""), ("yoga", "")]),
        ("a.json", '{"0": "zumba", "1": "yoga"}', [("zumba", ""), ("yoga", "")]),
        ("a.json", '{"zumba": "a dance", "yoga": ["a", "b"]}', [("zumba", "a dance"), ("yoga", "a"), ("yoga", "b")]),
        ("a.json", '[{"class": "zumba", "definition": "a dance"}]', [("zumba", "a dance")]),
        ("a.jsonl", '{"action": "zumba", "description": "a  dance", "video": "x"}\n', [("zumba", "a dance")]),
        ("a.csv", "sep=;\nClass;Description\nzumba;a dance, slow\n", [("zumba", "a dance, slow")]),
        ("a.csv", "class\tdescription\nzumba\ta dance\n", [("zumba", "a dance")]),
        ("a.csv", "class,description,description\r\nzumba,a,b\r\n", [("zumba", "a"), ("zumba", "b")]),
        ("a.csv", ",class,description\n0,zumba,a dance\n", [("zumba", "a dance")]),
        ("a.csv", "class,text\nzumba,one\n\ufeffclass,text\nyoga,two\n", [("zumba", "one"), ("yoga", "two")]),
        ("a.txt", "class;description\nzumba;a dance\n", [("zumba", "a dance")]),
        ("a.txt", "Lifting [something], then dropping it\n", [("Lifting [something], then dropping it", "")]),
        ("a.json", '{"zumba": [{"text": "a"}, {"text": "b"}], "yoga": {"head": "c"}}', [("zumba", "a"), ("zumba", "b"), ("yoga", "c")]),
        ("a.json", '{"zumba": "a", "zumba": "b"}', [("zumba", "a"), ("zumba", "b")]),
        ("a.json", '{"class": "zumba", "definition": "a dance"}', [("zumba", "a dance")]),
        ("a.jsonl", '{"class": "zumba", "text": "a"}{"class": "zumba", "text": "b"}\n', [("zumba", "a"), ("zumba", "b")]),
        ("a.jsonl", '[\n{"class": "zumba", "text": "a"},\n{"class": "yoga", "text": "b"}\n]', [("zumba", "a"), ("yoga", "b")]),
        ("a.jsonl", '{\n  "class": "zumba",\n  "text": "a"\n}\n{\n  "class": "yoga",\n  "text": "b"\n}', [("zumba", "a"), ("yoga", "b")]),
        ("a.jsonl", '[{"class": "zumba", "text": "a"}, {"class": "yoga", "text": "b"}]', [("zumba", "a"), ("yoga", "b")]),
        ("a", '{"video": "v", "class": "zumba", "captions": ["one", "two"]}\n{"class": "yoga", "captions": []}', [("zumba", "one"), ("zumba", "two"), ("yoga", "")]),
    ],
)  # fmt: skip
def test_published_forms(tmp_path: Path, name: str, content: str, wanted: list[tuple[str, str]]) -> None:
    assert pairs(records(tmp_path / name, content)) == wanted
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
    assert pairs(list(read(str(tmp_path / f"{name}.gz")))) == wanted


def test_fields_that_are_neither_class_nor_text_are_parts(tmp_path: Path) -> None:
    found = records(tmp_path / "a.json", '[{"class": "Swipe left", "head": "Remain steady.", "start": "position it"}]')
    assert found == [Record("Swipe left", "Remain steady.", "head", 1), Record("Swipe left", "position it", "start", 1)]


@pytest.mark.parametrize("text", ["one", ["one"], None, 7])
def test_a_part_says_whether_it_stands_beside_a_text(tmp_path: Path, text: object) -> None:
    entry = {"action": "zumba", "title": "all about it", "description": text}
    found = records(tmp_path / "a.jsonl", json.dumps(entry))
    assert [(r.part, r.beside) for r in found if isinstance(r, Record) and r.part] == [("title", True)]
    assert not any(r.beside for r in found if isinstance(r, Record) and not r.part)
    found = records(tmp_path / "a.csv", "class,description,title\nzumba,a dance,all about it\n")
    assert found == [Record("zumba", "a dance", "", 2), Record("zumba", "all about it", "title", 2, True)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"action": "x", "description": ', "is not JSON"),
        (b'{"description": "text"}', "names no class"),
        (b'{"action": " ", "description": "text"}', "names no class"),
        (b'{"action": "x", "description": " \\t "}', "holds only white space"),
        (b'{"action": "x", "description": 7}', "should be text, got int"),
        (b'{"action": "x", "description": NaN}', "should be text, got NaN"),
        (b'{"action": "x", "description": "nan"}', 'holds "nan" where its text should be'),
        (b'{"action": "x", "description": "-"}', 'holds "-" where its text should be'),
        (b'{"action": "x", "description": "<p>&nbsp;</p>"}', 'holds "<p>&nbsp;</p>" where its text'),
        (b'{"action": "---", "description": "text"}', "names no class: '---' holds no word"),
        (b'{"action": "x", "description": "a\0b"}', "holds NUL bytes"),
        (b"[1]", "should be an object or a name, got list"),
        (b'{"action": "x", "description": "caf\xe9"}', "is not UTF-8 .byte 0xe9 at 36"),
        (b'{"action": "x", "description": "a\\u0007b"}', "holds U.0007, a control character"),
        (b'{"action": "x", "description": "half \\ud83d pair"}', "holds U.D83D"),
        (b'{"action": "x", "\\ud83d": "text"}', "holds U.D83D"),
        (b'{"action": "x", "description": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b'{"action": "x", "description": "' + b"ab c" * 250_000 + b'"}', "1,000,000 characters; at most 65,536"),
        (b'{"action": "x", "description": "' + b"a" * (17 << 20) + b'"}', "longer than 16,777,216 bytes"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_and_the_rest_is_read(tmp_path: Path, line: bytes, reason: str) -> None:
    good = b'{"action": "x", "description": "one"}'
    found = records(tmp_path / "a.jsonl", b"\n".join([good, line, good.replace(b"one", b"two")]))
    assert pairs(found) == [("x", "one"), ("x", "two")]
    (problem,) = [p for p in found if isinstance(p, Problem)]
    assert problem.line == 2
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(problem.reason)


def test_a_file_that_ends_in_the_middle_of_its_gzip_data(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"action": "x", "description": f"text {i} {hash(str(i))}"}) + "\n" for i in range(5000))
    whole = gzip.compress(lines.encode())
    found = records(tmp_path / "a.jsonl.gz", whole[: len(whole) // 2])
    assert 1000 < len(pairs(found)) < 5000
    assert isinstance(found[-1], Problem)
    assert "middle of its gzip data" in found[-1].reason
    assert found[-1].line >= len(pairs(found))


def test_utf16_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    assert pairs(records(tmp_path / "a.txt", "zumba\nyoga\n".encode("utf-16"))) == [("zumba", ""), ("yoga", "")]
    assert pairs(records(tmp_path / "b.txt", "\ufeffzumba\n")) == [("zumba", "")]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", "zumba;a dance\nyoga\n", "is one cell, with ';' in it: if that splits cells, put column names"),
        (
            "a.txt",
            "zumba\ta dance\nyoga\n",
            "holds a tab in a list of names: if that splits columns, call the file .tsv",
        ),
        ("a.csv", "sport,description\nyoga\n", "seems to name columns, but none of the class"),
        ("a.csv", "", "is where the file ends: it holds no record"),
    ],
)
def test_what_could_be_read_two_ways_is_a_problem_with_its_mend(tmp_path, name, content, problem):
    found = records(tmp_path / name, content)
    assert isinstance(found[0], Problem)
    assert found[0].line == 1
    assert found[0].reason.startswith(problem)
    assert pairs(found) == ([("yoga", "")] if content else [])


def test_a_class_that_two_columns_name_is_a_problem(tmp_path):
    (problem,) = records(tmp_path / "a.csv", "class,class,text\nzumba,yoga,a dance\n")
    assert problem == Problem(2, "names no class: 'class' is there twice, or is a list")


def test_a_field_that_stands_twice_gives_both_texts(tmp_path):
    twice = '{"class": "x", "text": "one", "text": "two"}'
    for name, content in {
        "a.jsonl": twice,
        "b.json": f"[{twice}]",
        "c.json": twice,
        "d.csv": "class,text,text\nx,one,two\n",
    }.items():
        assert pairs(records(tmp_path / name, content)) == [("x", "one"), ("x", "two")]
    (problem,) = records(tmp_path / "e.jsonl", '{"class": "x", "class": "y", "text": "one"}')
    assert problem == Problem(1, "names no class: 'class' is there twice, or is a list")


def test_an_encoding_that_is_named_is_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("class,text\nzumba,café \u2013 a dance\n".encode("cp1252"))
    (problem,) = read(str(path))
    assert isinstance(problem, Problem)
    assert "--encoding cp1252" in problem.reason
    assert list(read(str(path), "cp1252")) == [Record("zumba", "café \u2013 a dance", "", 2)]


ODD = {  # records, and lines of problems
    "classes.txt": (4, []),
    "concatenated.jsonl": (3, []),
    "cp1252.csv": (1, [2]),
    "curly.csv": (5, []),
    "html.jsonl": (1, [2, 3]),
    "joined.csv": (2, []),
    "nan.jsonl": (1, [1]),
    "quote.csv": (3, [2]),
    "semicolon.csv": (2, []),
    "sep_line.csv": (1, []),
    "ssv2.txt": (2, []),
    "unclosed.csv": (202, [2]),
}


@pytest.mark.shared
def test_each_record_of_the_odd_files_is_read_or_named_with_its_line(shared_data):
    folder = shared_data / "odd" / "texts_of_others"
    found = {path.name: list(read(str(path))) for path in sorted(folder.iterdir())}
    assert {
        name: (len(pairs(entries)), [p.line for p in entries if isinstance(p, Problem)])
        for name, entries in found.items()
    } == ODD
    assert pairs(found["semicolon.csv"])[1] == ("playing ping-pong", "Two people hit a ball, again and again")
    assert pairs(list(read(str(folder / "cp1252.csv"), "cp1252")))[0] == ("abseiling", "A café \u2013 down a rope")


def test_memory_holds_a_line_and_not_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"action": "x", "description": "one"}\n' * 50_000)
    stream = read(str(path))
    assert next(stream) == Record("x", "one", "", 1)
    stream.close()  # type: ignore[attr-defined]


def test_a_folder_is_its_files_and_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    for name in ("b.jsonl.gz", "a.jsonl", "readme.md"):
        (tmp_path / name).write_text("")
    assert [Path(f).name for f in files_of(str(tmp_path))] == ["a.jsonl", "b.jsonl.gz"]
    with pytest.raises(UsageError, match="No such file"):
        list(read(str(tmp_path / "none.json")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="No file in .* is JSON"):
        files_of(str(tmp_path / "empty"))
