"""The bar on a terminal says what there is to say of a step."""

import io

import pytest
from rich.console import Console

from pipelines.command.screen import Bar, counts, plain


def test_what_is_said_of_a_step_stands_behind_the_bar(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr("rich.console.Console", lambda **_: Console(file=shown, force_terminal=True, width=120))
    with Bar("Training") as advance:
        advance(1, 4)
        advance(2, 4, "split 0, loss 0.0123, 410 samples/s")
    text = shown.getvalue()
    assert "2/4" in text
    assert "split 0, loss 0.0123, 410 samples/s" in text


def test_a_bar_of_what_is_not_counted_says_how_long_it_has(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr("rich.console.Console", lambda **_: Console(file=shown, force_terminal=True, width=120))
    with Bar("Drawing [a page]", counted=False):
        pass
    assert "Drawing [a page]" in shown.getvalue()
    assert "0:00:0" in shown.getvalue()
    assert "0/?" not in shown.getvalue()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ((), ""),
        (None, ""),
        (True, "yes"),
        (0, "0"),
        (0.25, "0.2500"),
        ({"a": (1, 2), "b": None}, "a 1; 2, b"),
        ("x", "x"),
    ],
)
def test_no_value_is_shown_as_python_writes_it(value, told):
    assert plain(value) == told


def test_counts_of_nothing_say_so():
    assert counts("Exported", {"items": 3, "missing": ()}) == "Exported: 3 items, no missing"
