"""Reproduce: a table of runs, each fitted and judged once, with paired differences."""

import math
import re
from pathlib import Path

import pytest

from pipelines import fit as fitting
from pipelines import reproduce as reproducing
from pipelines.errors import UsageError
from pipelines.reproduce import reproduce
from pipelines.table_files import tables
from stores.root import Root
from stores.runs import Runs
from tests.pipelines import studies

pytestmark = pytest.mark.usefixtures("fake")


@pytest.fixture
def data(tmp_path: Path) -> Root:
    return studies.made(tmp_path)


def table(folder: Path, more: str = "", setting: str = "zsl") -> str:
    path = folder / "mine.toml"
    options = ", ".join(f'"{option}"' for option in studies.ER)
    path.write_text(
        f"""
[all]
dataset = "d"
feature = "fake_text"
protocol = "{studies.protocol(folder)}"
k = 0
workers = 1
device = "cpu"
hold_out = 0.5
{more}

[[table]]
title = "Without training"
about = "No video is learned from."
reference = "names"
all = {{ head = "nearest" }}
row = [
  {{ name = "names", options = ["texts=class"], published = "12.3" }},
  {{ name = "definitions", options = ["texts=definition"], note = "ours" }},
]

[[table]]
title = "Trained"
setting = "{setting}"
row = [{{ name = "ER", head = "er", options = [{options}] }}]
"""
    )
    return str(path)


def row_of(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def top1(root: Root, run: str, measure: str = "top1", setting: str = "zsl") -> list[float]:
    rows = Runs(root).read(run, "results").to_pylist()
    return [row[measure] for row in sorted(rows, key=lambda row: row["split"]) if row["setting"] == setting]


def spread(values: list[float]) -> str:
    mean = sum(values) / len(values)
    deviation = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
    return f"{100 * mean:.1f} ± {100 * deviation:.1f}"


def test_a_table_is_the_judged_runs_with_paired_differences(data, tmp_path):
    lines: list[str] = []
    text = reproduce(table(tmp_path), data, told=lines.append)
    assert text.startswith("### Without training\n\nNo video is learned from.\n\n| ")
    names, definitions, er = (row_of(text, name) for name in ("names", "definitions (ours)", "ER"))
    one, other = top1(data, names[-1]), top1(data, definitions[-1])
    for cells, values in ((names, one), (definitions, other), (er, top1(data, er[-1]))):
        assert cells[1] == spread(values)
    differences = [b - a for a, b in zip(one, other, strict=True)]
    mean = sum(differences) / 3
    deviation = math.sqrt(sum((d - mean) ** 2 for d in differences) / 2)
    assert len(set(differences)) > 1
    assert definitions[5] == f"{100 * mean:+.1f} ± {100 * deviation / math.sqrt(3):.1f}"
    assert names[5] == ""
    assert names[6:9] == ["3", "90 (0)", "12.3"]
    assert er[5:8] == ["3", "90 (0)", ""]  # a table without a reference compares nothing
    assert len(re.findall("^Features: fake_text@.*; trained before on: captioners, unknown", text, re.M)) >= 2
    assert lines[0] == "Without training"
    assert lines[1] == f"  names: {names[1]} ({names[-1]})"
    assert [line for line in lines if not line.startswith(" ")] == ["Without training", "Trained"]


def test_gzsl_tables_show_seen_unseen_and_their_harmonic_mean(data, tmp_path):
    text = reproduce(table(tmp_path, "gzsl = true", "gzsl"), data, only="TRAINED")
    assert "Without" not in text
    cells = row_of(text, "ER")
    for at, measure in enumerate(("seen_top1", "unseen_top1", "harmonic_mean"), start=1):
        assert cells[at] == spread(top1(data, cells[-1], measure, "gzsl"))


def test_a_second_call_fits_and_judges_nothing(data, tmp_path, monkeypatch):
    path = table(tmp_path)
    first = reproduce(path, data)
    monkeypatch.setattr(fitting, "_fit_split", None)
    monkeypatch.setattr(reproducing, "evaluate", None)
    assert reproduce(path, data) == first


def test_splits_set_by_hand_are_fitted_and_the_rest_is_added_later(data, tmp_path):
    path = table(tmp_path)
    one = reproduce(path, data, "trained", set_by_hand={"splits": "1"})
    run = row_of(one, "ER")[-1]
    assert row_of(one, "ER")[5] == "1"
    assert row_of(one, "ER")[1] == spread(top1(data, run))
    everything = reproduce(path, data, "trained")
    assert row_of(everything, "ER")[-1] == run
    assert row_of(everything, "ER")[5] == "3"
    again = reproduce(path, data, "trained", set_by_hand={"splits": "1"})
    assert row_of(again, "ER")[1] == row_of(one, "ER")[1]  # of what is judged, what was asked for


def test_the_tables_that_come_with_the_code_can_be_read():
    found = tables("ucf101-captions")
    assert len(found) > 1
    for own in found:
        names = [row.name for row in own.rows]
        assert len(names) == len(set(names))
        assert not own.reference or own.reference in names
        assert {config.dataset for row in own.rows for config in row.configs} == {"ucf101"}


ROW = 'head = "er", dataset = "d", feature = "f", protocol = "p"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[table]\n", r"cannot be read as TOML: "),
        (f'[[table]]\ntitle = "T"\nrow = [{{ name = "a", speed = 1, {ROW} }}]', r": row 'a' sets speed; known: head, "),
        ('[[table]]\ntitle = "T"\nrow = [{ name = "a", head = "er" }]', r": row 'a' does not say its dataset, "),
        ('[[table]]\ntitle = "T"\nrow = []', r": table 'T' has no rows\.$"),
        ('[[table]]\ntitle = "T"\n', r": table 'T' has no rows\.$"),
        (f'[[table]]\ntitle = "T"\nrow = [{{ {ROW} }}]', r": table 'T' has a row without a name\.$"),
        (f'[[table]]\ntitle = "T"\nrow = [{{ name = "a", folds = 0, {ROW} }}]', r"^folds must be at least 1, got 0\.$"),
        (f'[[table]]\ntitle = "T"\nreference = "b"\nrow = [{{ name = "a", {ROW} }}]', r": table 'T' has no row 'b' "),
        (f'[[table]]\ntitle = "T"\nrow = [{{ name = "a", k = "many", {ROW} }}]', r": row 'a': k should be int, got"),
        (f'[[table]]\ntitle = "T"\nsetting = "x"\nrow = [{{ name = "a", {ROW} }}]', r"is of the setting 'x'; there"),
        (f'[[table]]\ntitle = "T"\nsetting = "gzsl"\nrow = [{{ name = "a", {ROW} }}]', r"for a: set gzsl = true"),
        ("", r" has no tables\. One begins with \[\[table\]\]\.$"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_understood_is_one_line(tmp_path, root, text, message):
    path = tmp_path / "t.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as told:
        reproduce(str(path), root)
    assert "\n" not in str(told.value)
    assert Runs(root).names() == []


def test_tables_that_are_not_there_are_one_line(tmp_path, root):
    with pytest.raises(
        UsageError, match=r"^No table is called 'mine'; there are: .*ucf101-captions.* A path to a TOML"
    ):
        reproduce("mine", root)
    with pytest.raises(UsageError, match=r"^No table is called '\S+none.toml'"):
        reproduce(str(tmp_path / "none.toml"), root)
    with pytest.raises(UsageError, match=r"has no table whose title holds 'zzz'\.$"):
        reproduce(table(tmp_path), root, "zzz")
