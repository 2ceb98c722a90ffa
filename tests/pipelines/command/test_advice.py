"""What messages, help and docs tell people to type is there: advice must work."""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import typer

from pipelines.command.main import app
from pipelines.errors import UsageError
from pipelines.extract.settings import ExtractConfig
from pipelines.index.settings import IndexConfig
from pipelines.judge.settings import JudgeConfig
from pipelines.learn.settings import FinetuneConfig, FitConfig
from pipelines.settings import Choices, settings_of

HERE = Path(__file__).parents[3]
CODE = [path for folder in ("extractors", "heads", "stores", "pipelines") for path in (HERE / folder).rglob("*.py")]
TEXTS = [HERE / "README.md", *(HERE / "docs").rglob("*.md"), *(HERE / "changes").glob("*.md")]
#: options of other programs, which are named beside ours
OTHERS = {
    "--no-deps",
    "--require-hashes",
    "--upgrade",
    "--editable",
    "--extra-index-url",
    "--index-url",
    "--pool",
}


def commands() -> dict[str, set[str]]:
    """The options of each command, by its name (`texts add`)."""
    found: dict[str, set[str]] = {}

    def visit(command: object, name: str) -> None:
        for sub, own in getattr(command, "commands", {}).items():
            visit(own, f"{name} {sub}".strip())
        found[name] = {o for parameter in command.params for o in (*parameter.opts, *parameter.secondary_opts)}  # type: ignore[attr-defined]

    visit(typer.main.get_command(app), "")
    return found


COMMANDS = commands()
KNOWN = set().union(*COMMANDS.values()) | {"--help"}


def strings(path: Path) -> Iterator[str]:
    """The strings of a module; what an f-string puts in is written `{}`."""
    tree = ast.parse(path.read_text())
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def advice(text: str) -> Iterator[tuple[str, list[str]]]:
    """Every `zsar VERB ...` in back quotes or on a line of its own, with the options it names."""
    for said in re.findall(r"`(zsar [^`]+)`|^ *(?:\$ )?(zsar .+)$", text, re.M):
        words = re.split(r"#| ;| &&| \|", said[0] or said[1])[0].split()[1:]
        name = next((n for n in (" ".join(words[:2]), words[0] if words else "") if n in COMMANDS), None)
        if name is not None:
            yield name, [word.split("=")[0] for word in words if re.fullmatch(r"\[?--[a-z][\w-]*(=.*)?\]?", word)]


def test_every_option_that_a_message_names_is_one():
    strange = {
        f"{path.relative_to(HERE)}: {option}"
        for path in CODE
        for text in strings(path)
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+[a-z]", text)
        if option not in KNOWN | OTHERS
    }
    assert strange == set()


def test_every_command_that_is_told_of_has_the_options_it_is_told_with():
    told = [(path, text) for path in CODE for text in strings(path)]
    told += [(path, path.read_text()) for path in TEXTS]
    found = [(path, name, options) for path, text in told for name, options in advice(text)]
    assert len(found) > 100
    strange = {
        f"{path.relative_to(HERE)}: zsar {name} {option}"
        for path, name, options in found
        for option in (each.strip("[]") for each in options)
        if option not in COMMANDS[name] | {"--help"}
    }
    assert strange == set()


KINDS = {
    "fit": FitConfig,
    "finetune": FinetuneConfig,
    "extract": ExtractConfig,
    "index": IndexConfig,
    "judge": JudgeConfig,
}
#: what docs write for a name of the reader's own
OWN = re.compile(r"[A-Z_]+|.*\.\.\.|.*[{}*|<>].*")


def values(text: str, kind: type) -> Iterator[tuple[Choices, str]]:
    """The names that a command is told with, where there are only so many of them."""
    words = re.split(r"#| ;| &&| \||  ", text)[0].split()[2:]
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    choices = {setting.option: setting.choices for setting in settings_of(kind) if setting.choices}
    first = next((setting.choices for setting in settings_of(kind) if setting.is_argument), None)
    if words and first and not words[0].startswith("-"):
        yield first, words[0]
    for option, value in itertools.pairwise(words):
        if found := choices.get(option):
            yield found, value


def refused(choices: Choices, value: str) -> str:
    """Why a name is not taken; nothing where it is."""
    try:
        choices.check(value)
    except UsageError as error:
        return str(error)
    return ""


def test_every_name_that_a_command_is_told_with_is_taken():
    told = [
        (path, a or b)
        for path in TEXTS
        for a, b in re.findall(r"`(zsar [^`]+)`|^ *(?:\$ )?(zsar .+)$", path.read_text(), re.M)
    ]
    kinds = [(path, text, KINDS.get((*text.split(), "")[1])) for path, text in told]
    named = [(path, text, *each) for path, text, kind in kinds if kind for each in values(text, kind)]
    tried = [(*each, value.strip("[],;")) for *each, value in named if not OWN.fullmatch(value.strip("[],;"))]
    assert len(tried) > 60
    wrong = [(path.name, text, why) for path, text, choices, value in tried if (why := refused(choices, value))]
    assert wrong == []
