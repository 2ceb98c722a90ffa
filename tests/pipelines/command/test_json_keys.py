"""docs/json.md says what the commands say."""

from pathlib import Path

import typer

from pipelines.command.json_keys import page
from pipelines.command.main import app

DOCS = Path(__file__).parents[3] / "docs/json.md"


def test_the_page_is_what_the_commands_say():
    assert DOCS.read_text() == page(), "make it anew: python -m pipelines.command.json_keys > docs/json.md"


def test_every_command_says_its_keys():
    group = typer.main.get_command(app)
    names = {*group.commands, *(f"texts {name}" for name in group.commands["texts"].commands)} - {"texts"}
    assert all(f"| `zsar {name}` |" in page() for name in names)
