"""The bar on a terminal says what there is to say of a step."""

import io

from rich.console import Console

from pipelines.command.screen import Bar


def test_what_is_said_of_a_step_stands_behind_the_bar(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr("rich.console.Console", lambda **_: Console(file=shown, force_terminal=True, width=120))
    with Bar("Training") as advance:
        advance(1, 4)
        advance(2, 4, "split 0, loss 0.0123, 410 samples/s")
    text = shown.getvalue()
    assert "2/4" in text
    assert "split 0, loss 0.0123, 410 samples/s" in text
