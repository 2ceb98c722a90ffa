"""Whole JSON documents: each entry with its line, and what a break costs."""

from pipelines.json_documents import Members, json_document
from pipelines.lines import Problem


def numbered(text: str) -> list[tuple[int, str]]:
    return list(enumerate(text.split("\n"), start=1))


def test_entries_of_a_document_have_the_line_they_begin_in():
    assert list(json_document(numbered('[\n{"a":\n 1},\n {"a": 2},\n]\n["x"]'))) == [
        (2, {"a": 1}),
        (4, {"a": 2}),
        (6, "x"),
    ]
    assert list(json_document(numbered('{\n"a": 1,\n"a": [2]}'))) == [Members(1, [(2, "a", 1), (3, "a", [2])])]


def test_what_stands_before_a_break_is_read_and_what_stands_behind_it_is_said_to_be_lost():
    assert list(json_document(numbered('[{"a": 1},\n{"a" 2},\n{"a": 3}]'))) == [
        (1, {"a": 1}),
        Problem(2, "is not JSON (Expecting ':' delimiter); nothing behind it is read"),
    ]
    assert list(json_document(numbered('{"a": 1,\n"b": '))) == [
        Members(1, [(1, "a", 1)]),
        Problem(2, "is not JSON (Expecting value)"),
    ]
    (problem,) = json_document(numbered('[ // all classes\n"x"]'))
    assert "JSON knows no comments, take them out" in problem.reason
