"""A small data set told in captions, whose classes are letters: what the tests of fitting and judging share.

Eight classes of ten videos (five recordings of two clips) with three captions each. A caption is made of the three
letters of its class and of some that are not, and so is the definition of a class; its name says nothing.
"""

import atexit
import dataclasses
import functools
import json
import os
import shutil
import signal
import string
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import extractors
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.captions import index_captions
from pipelines.index.settings import IndexConfig
from pipelines.learn import fit as fitting
from pipelines.learn.runs import Run
from pipelines.learn.samples import features as videos
from pipelines.learn.settings import FitConfig
from pipelines.texts.adding import add
from pipelines.texts.elaborations import elaborate
from pipelines.texts.settings import TextsConfig
from stores.root import Root

CLASSES = ("archery", "bowling", "cricket", "diving", "fencing", "golf", "hammer", "juggling")
SPLITS = ((5, 6, 7), (0, 1, 2), (1, 3, 6))  # numbers of the unseen classes
ER = ("epochs=3", "batch=16", "lr=0.01", "warmup_steps=2", "cosine_steps=0", "dropout=0.2", "weight_decay=0.001")


def said(rng: np.random.RandomState, letters: str, noise: float = 0.5, length: int = 12) -> str:
    """A text of some letters, and of others with the probability `noise`."""
    others = string.ascii_lowercase
    drawn = [rng.choice(list(others)) if rng.rand() < noise else rng.choice(list(letters)) for _ in range(length)]
    return "".join(drawn)


def letters(number: int) -> str:
    """The letters of a class."""
    return string.ascii_lowercase[3 * number : 3 * number + 3]


def json_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def classes(root: Root, folder: Path, names: Sequence[str] = CLASSES, name: str = "d") -> None:
    """A set of texts: names alone."""
    (folder / "classes.txt").write_text("\n".join(names))
    add(TextsConfig((str(folder / "classes.txt"),), "class", name), root)


def texts(root: Root, folder: Path, kind: str, told: Mapping[str, Sequence[str]], name: str = "d") -> None:
    """More texts of a kind."""
    field = "definition" if kind == "definition" else "description"
    rows = [{"action": each, field: text} for each, own in told.items() for text in own]
    add(TextsConfig((json_lines(folder / f"{kind}-{len(rows)}.jsonl", rows),), kind, name), root)


def caption_rows(noise: float = 0.8) -> list[dict[str, Any]]:
    rng = np.random.RandomState(1)
    return [
        {
            "video": f"v_{name}_g{recording:02d}_c{clip:02d}",
            "class": name,
            "captions": [said(rng, letters(k), noise) for _ in range(3)],
        }
        for k, name in enumerate(CLASSES)
        for recording in range(1, 6)
        for clip in range(1, 3)
    ]


@functools.cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="studies-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    root = Root(folder / "root")
    classes(root, folder)
    rng = np.random.RandomState(2)
    texts(root, folder, "definition", {name: [said(rng, letters(k), 0.5)] for k, name in enumerate(CLASSES)})
    texts(root, folder, "description", {name: [said(rng, letters(k)) for _ in range(2)] for k, name in enumerate(CLASSES)})  # fmt: skip # noqa: E501
    index_captions(IndexConfig((json_lines(folder / "captions.jsonl", caption_rows()),), "d", kind="captions"), root)
    extract(ExtractConfig(("fake_text",), "d", workers=1), root)
    elaborate("d", root)
    extract(ExtractConfig(("fake_text",), set="d", workers=1), root)
    return folder / "root"


def made(folder: Path, name: str = "root") -> Root:
    """A root of its own with the data set `d` and the set of texts `d`; the extractor `fake_text` must be known."""
    shutil.copytree(_made(), folder / name)
    return Root(folder / name)


def protocol(folder: Path, unseen: Sequence[Sequence[int]] = SPLITS, name: str = "own.json") -> str:
    """A file of splits, told by the numbers of their unseen classes."""
    entries = [
        {
            "seen": [each for k, each in enumerate(CLASSES) if k not in own],
            "unseen": [CLASSES[k] for k in own],
        }
        for own in unseen
    ]
    (folder / name).write_text(json.dumps(entries))
    return str(folder / name)


def config(folder: Path, head: str = "er", options: tuple[str, ...] = ER, **more: Any) -> FitConfig:
    """A configuration of the data set `d`."""
    path = more.pop("protocol", None) or protocol(folder)
    return FitConfig(
        head,
        "d",
        "fake_text",
        path,
        options=options,
        **({"k": 0, "workers": 1, "device": "cpu", "hold_out": 0.5} | more),
    )


def folder_of(root: Root, run: str, number: int | None = None) -> Path:
    """Where a run lies on a disk, or a split of it."""
    return Path(root.path("runs", run, *([] if number is None else [f"split-{number:03d}"])))


def weights(root: Root, run: str, number: int) -> dict[str, np.ndarray]:
    return load_file(Run(root, run).weights(number))


def same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """Whether weights are the same bits."""
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def about(root: Root, run: str, number: int) -> dict[str, Any]:
    return json.loads(root.read_text("runs", run, f"split-{number:03d}", "split.json"))


def history(root: Root, run: str, number: int) -> list[dict[str, float]]:
    return json.loads(root.read_text("runs", run, f"split-{number:03d}", "history.json"))["epochs"]


def poison(monkeypatch: pytest.MonkeyPatch, which: Callable[[videos.VideoFeatures], np.ndarray]) -> None:
    """Make the features of some videos NaN as they are read."""
    real = videos.read

    def read(*args: Any, **named: Any) -> videos.VideoFeatures:
        found = real(*args, **named)
        segments = found.segments.copy()
        segments[which(found)] = np.nan
        return dataclasses.replace(found, segments=segments)

    monkeypatch.setattr(videos, "read", read)


def begin(config: FitConfig, url: str, shared: videos.SharedFeatures) -> None:
    """What a worker process begins with, the small extractor known."""
    extractors.EXTRACTORS["fake_text"] = "tests.fake:FakeTextExtractor"  # type: ignore[index]
    fitting._begin(config, url, shared)


def begin_and_be_killed(config: FitConfig, url: str, shared: videos.SharedFeatures) -> None:
    """The same of a process that the machine kills, as it does where memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


def begin_and_refuse_to_read(config: FitConfig, url: str, shared: videos.SharedFeatures) -> None:
    """The same, where reading the features of the videos is an error."""
    videos.read = None  # type: ignore[assignment]
    begin(config, url, shared)
