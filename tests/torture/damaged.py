"""Each kind of file of a root damaged, and each command that reads asked: one line, the same answer, or no answer.

a root ──one file emptied, cut, a bit flipped──▶ list, show, sql, verify, export, evaluate, fit ... ──▶ `Outcome`
"""

import collections
import dataclasses
import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from pipelines.command.main import app
from pipelines.judge.evaluate import evaluate
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn.finetune import finetune
from pipelines.learn.fit import fit
from pipelines.learn.settings import FinetuneConfig
from stores.features import FeatureStore
from stores.root import Root
from tests.pipelines import skeletons, studies

_ROOT = "{root}"  # of a command, in its place the root's own folder
SAME, TOLD, SILENT, TRACEBACK = "the same answer", "one line", "another answer, silently", "a traceback"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a command made of a damage."""

    file: str
    damage: str
    command: str
    what: str
    said: str


def root_to_damage(folder: Path) -> tuple[Root, list[list[str]]]:
    """A root with something of all there is, and the commands that read it, as they answer while it is whole."""
    root = studies.made(folder)
    run = fit(studies.config(folder, splits="0-1"), root).run
    evaluate(EvaluateConfig(run), root)
    skeletons.dataset(root, folder, each=2)
    trained = finetune(FinetuneConfig("stgcn_small", "p", frames=8, epochs=1, batch=8, threads=1, device="cpu"), root)
    text, film = FeatureStore(root).names()[0], "fake_text"
    assert text.startswith(film)
    commands = [["list", what] for what in ("features", "failures", "datasets", "texts", "runs", "results")]
    commands += [["show", text], ["show", run], ["show", run, "--html"], ["verify"]]
    commands += [["sql", f"select count(*) as n from {table}"] for table in ("videos", "runs", "results", "texts")]
    commands += [["export", text, "--dataset", "d", "--out", str(folder / "out.h5")], ["evaluate", run]]
    commands += [["query", "abc", "--feature", run], ["extract", "fake_text", "--dataset", "d"]]
    commands += [["sql", "select * from videos where dataset = 'd' limit 3", "--save-as", "some"]]
    commands += [["sql", f"select count(*) as n from {table}"] for table in ("selections", "captions")]
    commands += [["query", "--like", "v_archery_g01_c01", "--feature", text], ["show", trained.run]]
    weights = f"stgcn_small={trained.weights[0]}".replace(root.url, _ROOT)
    commands += [["extract", "stgcn_small", "--dataset", "p", "--weights", weights], ["audit", "d", "--feature", text]]
    runner = CliRunner()
    for command in commands:
        answer = runner.invoke(app, _told(command, root))
        assert answer.exit_code == 0, (command, answer.output)
    return root, commands


def damages(content: bytes, draw: random.Random) -> Iterator[tuple[str, bytes]]:
    """The content of a file, as it may be found one day."""
    yield "emptied", b""
    yield "cut", content[: len(content) // 2]
    yield "zeroed", bytes(len(content))
    for _ in range(2):
        changed = bytearray(content)
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        yield "flipped", bytes(changed)


def kind_of(path: str) -> str:
    """The kind of a file: its path without names that are drawn."""
    path = re.sub(r"[0-9A-Za-z]{12,}|split-\d+|part-\w+|\d{6,}", "*", path)
    return re.sub(r"er-d-own-\w+|fake_text@\w+", "*", path)


def _told(command: list[str], root: Root) -> list[str]:
    return [*(part.replace(_ROOT, root.url) for part in command), "--root", root.url, "--json"]


def asked(command: list[str], root: Root) -> tuple[int, Any, str, BaseException | None]:
    """Exit status, JSON without what differs each time, what was said, and what was raised."""
    answer = CliRunner().invoke(app, _told(command, root))
    lines = answer.stdout.strip().splitlines()
    told: Any = None
    if lines and lines[-1].startswith("{"):
        told = _still(json.loads(lines[-1]))
    raised = answer.exception if not isinstance(answer.exception, SystemExit) else None
    return answer.exit_code, told, answer.output, raised


def _still(value: Any) -> Any:
    if isinstance(value, dict):
        timed = ("seconds", "time", "time_ns", "bytes", "page", "stored_bytes", "size")
        return {name: _still(each) for name, each in value.items() if name not in timed}
    return [_still(each) for each in value] if isinstance(value, list) else value


def _text(told: Any, here: Root, root: Root) -> str:
    return json.dumps(told, sort_keys=True).replace(here.url, root.url)


def sweep(
    folder: Path, seed: int, of_a_kind: int = 1, only: Callable[[str], bool] = lambda path: True
) -> list[Outcome]:
    """Damage `of_a_kind` files of each kind in every way, and ask every command each time."""
    root, commands = root_to_damage(folder)
    draw = random.Random(seed)
    expected = {tuple(command): asked(command, root) for command in commands}
    files = collections.defaultdict(list)
    for path in sorted(Path(root.url).rglob("*")):
        name = path.relative_to(root.url).as_posix()
        if path.is_file() and not name.startswith(("locks/", "reports/")) and path.stat().st_size and only(name):
            files[kind_of(name)].append(name)
    found = []
    for names in files.values():
        for name in draw.sample(names, min(of_a_kind, len(names))):
            content = Path(root.path(name)).read_bytes()
            for how, changed in damages(content, draw):
                for command in commands:
                    copy = Root(shutil.copytree(root.url, folder / "damaged"))
                    Path(copy.path(name)).write_bytes(changed)
                    found.append(
                        _outcome(name, how, command, asked(command, copy), expected[tuple(command)], copy, root)
                    )
                    shutil.rmtree(copy.url)
    return found


def _outcome(name: str, how: str, command: list[str], answer: Any, expected: Any, copy: Root, root: Root) -> Outcome:
    status, told, said, raised = answer
    if raised is not None:
        what, said = TRACEBACK, f"{type(raised).__name__}: {raised}"
    elif status == expected[0] and _text(told, copy, root) == _text(expected[1], root, root):
        what = SAME
    elif status or re.search("damaged|cannot be read|fault|lost|not what|missing", said):
        what = TOLD
    else:
        what = SILENT
    return Outcome(name, how, " ".join(command), what, " ".join(said.split())[:300])
