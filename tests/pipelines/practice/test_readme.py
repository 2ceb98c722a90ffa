"""The commands of a world's README are there, and the first of them do what is said on the world itself."""

import json
import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipelines.command.main import app
from pipelines.practice import readme
from pipelines.practice.classes import compositions
from pipelines.practice.practice import practice
from pipelines.practice.settings import PracticeConfig
from stores.root import Root

CLASSES = compositions(6, 0)
TEXTS = {
    "compositions": readme.of_compositions(PracticeConfig("w", classes=6), CLASSES, 12, 2),
    "poses": readme.of_poses(PracticeConfig("w", poses="utd"), 12, 6),
}


def commands(text: str) -> list[list[str]]:
    blocks = re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("kind", TEXTS)
def test_every_command_and_option_exists(kind: str) -> None:
    found = commands(TEXTS[kind])
    assert len(found) >= 5
    for words in found:
        assert words[0] == "zsar"
        group, rest = typer.main.get_command(app), words[1:]
        context = group.make_context("zsar", rest, resilient_parsing=False)
        while hasattr(group, "commands"):
            name, group, rest = group.resolve_command(context, rest)
            context = group.make_context(name, list(rest), parent=context)


def test_pixels_are_learned_from_end_to_end_and_judged() -> None:
    found = [" ".join(words[1:3]) for words in commands(TEXTS["compositions"])]
    assert (
        found.index("extract word_vectors") < found.index("finetune e2e_r2plus1d") < found.index("judge e2e_r2plus1d")
    )


def test_lines_are_as_wide_as_they_are_read() -> None:
    assert max(map(len, TEXTS["compositions"].split("| file |")[1].splitlines())) <= 120


@pytest.mark.pack
def test_videos_poses_and_texts_are_taken_by_the_commands_it_names(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "w"
    practice(PracticeConfig(str(folder), classes=6, videos=2, size=64, workers=1), Root(tmp_path / "root"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ZSAR_ROOT", str(tmp_path / "root"))
    told = {}
    for words in commands((folder / "README.md").read_text()):
        if words[1] in ("index", "texts"):
            done = CliRunner().invoke(app, [*words[1:], "--json"])
            assert done.exit_code == 0, done.output
            told[" ".join(words[1:4])] = json.loads(done.stdout.strip().splitlines()[-1])
    assert told["index videos --dataset"]["videos"] == 12
    assert told["index poses.npz --kind"]["videos"] == 12
    assert told["texts add definitions.json"]["new"] == 6
    phrases = told["texts phrases --set"]
    assert (phrases["classes"], phrases["from_names"]) == (6, 0)
    assert phrases["phrases"] == len({phrase for each in CLASSES for phrase in each.phrases})
