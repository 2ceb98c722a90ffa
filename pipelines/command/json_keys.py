"""`docs/json.md` from what each command says of its JSON: `python -m pipelines.command.json_keys > docs/json.md`."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer

from pipelines.command.main import app

_HEAD = """# What `--json` prints

The last line of stdout is one JSON object. A mistake is `{"error": ...}` with exit status 1; an option that does not
exist is exit status 2. Counts are of content keys, not of files. Fractions are between 0 and 1. This page is made from
the commands' own help: `python -m pipelines.command.json_keys`.

| command | keys |
|---|---|
"""


def page() -> str:
    """The page."""
    group: Any = typer.main.get_command(app)
    return _HEAD + "".join(f"| `zsar {name}` | {keys} |\n" for name, keys in _keys("", group))


def _keys(before: str, command: Any) -> Iterator[tuple[str, str]]:
    """Each command with what its help says behind `JSON:`."""
    for name, own in getattr(command, "commands", {}).items():
        whole = f"{before} {name}".strip()
        if hasattr(own, "commands"):
            yield from _keys(whole, own)
        elif found := re.search(
            r"^JSON: (.*?)(?:\n\s*\n|\Z)", inspect.cleandoc(own.help or "").replace("\\[", "["), re.S | re.M
        ):
            yield whole, " ".join(found[1].split()).rstrip(".").replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
