"""Rows of CSV: each is read, or told with its line, and a fault costs no row but its own."""

import pytest

from pipelines.csv_rows import delimiter_of, records
from pipelines.lines import Problem


def is_header(names: list[str]) -> bool:
    return "class" in names


def is_full_header(names: list[str]) -> bool:
    return {"class", "text"} <= set(names)


def read(text: str, delimiter: str = ",") -> list[object]:
    return list(records(list(enumerate(text.split("\n"), start=1)), delimiter, is_header, is_full_header))


def lines_and_cells(found: list[object]) -> list[object]:
    return [(e[0], *e[1].values()) if not isinstance(e, Problem) else e.line for e in found]  # type: ignore[index]


HEADER = "class,text\n"


@pytest.mark.parametrize(
    ("first", "delimiter"),
    [
        ("class;text", ";"),
        ("class\ttext", "\t"),
        ('"Class" | "text"', "|"),
        ("sep=;", ";"),
        ("class", ","),
        ("a;b", ","),
    ],
)
def test_what_splits_cells_is_told_by_the_first_line_where_that_is_certain(first, delimiter):
    assert delimiter_of(first, ",", is_header) == delimiter


def test_a_quote_never_closed_costs_its_own_row():
    rows = "".join(f"a,text number {n}\n" for n in range(200))
    found = read(f'{HEADER}a,"never closed\nb,they play\n{rows}')
    assert isinstance(found[0], Problem)
    assert found[0] == Problem(2, "opens a quote that is not closed; close it, and read the file again")
    assert lines_and_cells(found[1:3]) == [(3, "b", "they play"), (4, "a", "text number 0")]
    assert len(found) == 202


def test_two_quotes_never_closed_cost_two_rows():
    assert lines_and_cells(read(f'{HEADER}a,"one\nb,two\nc,"three\nd,four')) == [
        2,
        (3, "b", "two"),
        4,
        (5, "d", "four"),
    ]


def test_a_stray_quote_further_down_closes_no_quote_over_rows_of_their_own():
    assert lines_and_cells(read(f'{HEADER}b,x\na,"one\nb,two\nc,three"\nd,"four"')) == [
        (2, "b", "x"),
        3,
        (4, "b", "two"),
        (5, "c", 'three"'),
        (6, "d", "four"),
    ]
    strangers = read(f'{HEADER}a,"one\nb,two\nc,three\nd,four"')
    assert lines_and_cells(strangers) == [2, (3, "b", "two"), (4, "c", "three"), (5, "d", 'four"')]


def test_a_cell_between_quotes_may_go_over_lines_and_hold_commas_and_quotes():
    found = read(f'{HEADER}a,"one, two,\n""three"", four\nfive"\nb,six')
    assert lines_and_cells(found) == [(2, "a", 'one, two,\n"three", four\nfive'), (5, "b", "six")]


def test_quotes_inside_quotes_cost_their_row():
    found = read(f'{HEADER}a,"he shouts "go" and leaps"\nb,two')
    assert found[0] == Problem(2, 'has a quote inside its quotes: write it twice ("")')
    assert lines_and_cells(found[1:]) == [(3, "b", "two")]


def test_more_cells_than_columns_are_a_problem_and_not_cut():
    found = read(f"{HEADER}a,one, two\nb,two,,\nc,three")
    assert found[0] == Problem(2, "has 3 cells for the 2 columns class, text: put a cell that holds , between quotes")
    assert lines_and_cells(found[1:]) == [(3, "b", "two"), (4, "c", "three")]


def test_column_names_that_come_again_are_no_row_and_may_have_another_order():
    assert lines_and_cells(read("class,by,text\na,x,one\nclass,by,text\nb,y,two")) == [
        (2, "a", "x", "one"),
        (4, "b", "y", "two"),
    ]
    assert [e[1] for e in read("class,text\na,one\ntext,class\ntwo,b")] == [  # type: ignore[index]
        {"class": "a", "text": "one"},
        {"text": "two", "class": "b"},
    ]


def test_columns_of_one_name_give_both_cells_and_one_without_a_name_is_no_number():
    assert [e[1] for e in read(",class,text,text,\n0,a,one,two,\n1,b,three,four,five")] == [  # type: ignore[index]
        {"class": "a", "text": ["one", "two"]},
        {"class": "b", "text": ["three", "four"], "column 5": "five"},
    ]


def test_a_line_that_says_what_splits_cells_is_no_row():
    assert lines_and_cells(read("sep=;\nclass;text\na;one, two", ";")) == [(3, "a", "one, two")]


def test_rows_of_a_joined_file_that_are_split_otherwise_are_named_and_are_no_names():
    found = read(HEADER + "a,one\nclass;text\nb;two\nb,three\nc\n")
    assert lines_and_cells(found) == [(2, "a", "one"), 3, 4, (5, "b", "three"), (6, "c")]
    assert "is one cell, with ; in it, for the 2 columns class, text" in found[2].reason
