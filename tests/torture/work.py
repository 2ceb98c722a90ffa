"""What a process of the torture does: one command of a root, by the functions that `zsar` calls.

ended 0     done, and so acknowledged         3   a user's one line         4   anything else, which is a defect
"""

import importlib
import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import extractors
from extractors.errors import ExtractorError, InputFault
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.indexing import index
from pipelines.index.settings import IndexConfig
from pipelines.judge.evaluate import evaluate
from pipelines.judge.settings import EvaluateConfig
from pipelines.learn import engine
from pipelines.learn.fit import fit
from pipelines.learn.settings import FitConfig
from pipelines.texts.adding import add
from pipelines.texts.settings import TextsConfig
from stores import leases
from stores.errors import StoreError
from stores.features import FeatureStore
from stores.root import Root

DONE, LINE, DEFECT = 0, 3, 4
# what commands import when they need it, imported before processes are forked
_LATER = ("av", "heads.er", "pipelines.extract.runners.videos", "pipelines.index.contents", "pipelines.index.videos")
for _later in _LATER:
    importlib.import_module(_later)


def known() -> None:
    """The small extractors by their names; what waits for others waits less long than it does elsewhere."""
    extractors.EXTRACTORS["fake"] = "tests.fake:FakeExtractor"  # type: ignore[index]
    extractors.EXTRACTORS["fake_text"] = "tests.fake:FakeTextExtractor"  # type: ignore[index]
    leases.LEASE_S, leases._RENEWED_S = 3.0, 0.5
    engine._SAVE_EPOCH_S = -1  # a checkpoint an epoch


def config(told: str) -> FitConfig:
    """The settings of the training, from JSON."""
    return FitConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(told).items()})


def _index(root: Root, paths: list[str]) -> None:
    index(IndexConfig(tuple(paths), "films"), root)


def _extract(root: Root, _: Any) -> None:
    extract(ExtractConfig(("fake",), "films", commit_every_s=0.02, workers=1), root)


def _texts(root: Root, paths: list[str]) -> None:
    add(TextsConfig(tuple(paths), "description", "d"), root)


def _fit(root: Root, told: str) -> None:
    fit(config(told), root)


def _evaluate(root: Root, told: tuple[str, str]) -> None:
    evaluate(EvaluateConfig(*told), root)


def _drop(root: Root, _: Any) -> None:
    FeatureStore(root).drop("fake")


COMMANDS: dict[str, Callable[[Root, Any], None]] = {
    "index": _index,
    "extract": _extract,
    "texts": _texts,
    "fit": _fit,
    "evaluate": _evaluate,
    "drop": _drop,
}


def do(command: str, url: str, environment: dict[str, str], argument: Any, said: str) -> None:
    """Run a command and end with its status; what it said, if it failed, is in a file."""
    os.environ.update(environment)
    known()
    torch.set_num_threads(1)
    status = DONE
    try:
        COMMANDS[command](Root(url), argument)
    except (StoreError, UsageError, ExtractorError, InputFault) as error:
        status = LINE
        Path(said).write_text(str(error))
    except BaseException:
        status = DEFECT
        Path(said).write_text(traceback.format_exc())
    os._exit(status)
