"""One kind of run, whatever was trained: what it depends on, a folder a split, and a name that finds it again.

    fit        heads          runs/NAME/run.json             runs/NAME/split-000/split.json, weights, history, ...
    finetune   networks       runs/NAME/finetune.json        the same

A run's name holds a hash of all that its weights depend on, so the same command finds the same run: it goes on where it
was killed, adds splits, or finds that there is nothing to do. A split is done where its `split.json` is, which is
written whole or not at all; one that is begun and not done is being trained or was killed, and nothing tells which.

A setting that comes later would rename all runs there are. Its field says `metadata={"later": True}`, and it enters the
hash only where it is not at its default.
"""

import dataclasses
import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from extractors.weights import cache_dir
from stores.keys import stream_key
from stores.root import Root, checked_name, whole
from stores.runs import SPLIT, WEIGHTS, Runs, refuse_other
from stores.workplaces import Workplace

DONE = "done"
_UNDER_WAY = "in progress, or killed"
_ABOUT = {"fit": "run.json", "finetune": "finetune.json"}
_COUNTS = ("trained_on", "tested_on", "twins", "epochs", "top1", "seconds")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of a stage, there or about to be.

    Attributes
    ----------
    root : Root
    name : its full name
    stage : `fit` or `finetune`
    """

    root: Root
    name: str
    stage: str = "fit"

    def about(self) -> dict[str, Any]:
        """What it depends on; nothing before it began."""
        return Runs(self.root).told(self.name, _ABOUT[self.stage]) or {}

    def begin(self, about: dict[str, Any]) -> None:
        """Write what it depends on; when it was first made, and which splits were asked for before, stays.

        Raises
        ------
        WriteFailed
            The root cannot be written.
        """
        with self.root.lock(f"begun-{self.name}"):
            before = self.about()
            made = before.get("made", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
            whole = {**about, "made": made}
            if "splits" in about:  # others may be trained at the same time
                whole["splits"] = sorted({*before.get("splits", ()), *about["splits"]})
            self.root.write_json(whole, "runs", self.name, _ABOUT[self.stage])

    def workplace(self, number: int) -> AbstractContextManager[Workplace]:
        """Where a split is trained."""
        return Runs(self.root).workplace(self.name, _folder(number))

    def weights(self, number: int) -> Path:
        """The weights of a split, as a file of this machine: of a run on an object store a copy that is kept.

        Raises
        ------
        FileNotFoundError
            There are none.
        Damaged
            They are not those that were trained.
        """
        path = self._weights(number)
        if told := self.told(number):
            refuse_other(path, key_of(path), told, self.root.url_of("runs", self.name, _folder(number)))
        return path

    def _weights(self, number: int) -> Path:
        where = ("runs", self.name, _folder(number), WEIGHTS)
        if self.root.is_local:
            return Path(self.root.path(*where))
        state = f"{self.root.url_of(*where)} {self.root.tag(*where)}".encode()
        kept = cache_dir() / "runs" / hashlib.blake2b(state, digest_size=16).hexdigest() / WEIGHTS
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            with self.root.at_hand(*where) as path, whole(kept) as copy:
                shutil.copyfile(path, copy)
        return kept

    def told(self, number: int) -> dict[str, Any] | None:
        """What a split says of itself when it is done; None before."""
        return Runs(self.root).told(self.name, _folder(number), SPLIT)

    def done(self, number: int, about: dict[str, Any]) -> None:
        """A split is done: write what it says of itself, whole or not at all."""
        self.root.write_json(about, "runs", self.name, _folder(number), SPLIT)

    def lacking(self, numbers: Iterable[int]) -> list[int]:
        """Those of some splits that are not done."""
        return [number for number in numbers if self.told(number) is None]

    @property
    def numbers(self) -> list[int]:
        """Splits that were asked for, as far as it says which, or begun."""
        return sorted({*self.about().get("splits", ()), *Runs(self.root).splits(self.name)})

    def state(self) -> str:
        """Whether all splits are done, and if not, how many."""
        numbers = self.numbers
        return state_of(len(numbers) - len(self.lacking(numbers)), len(numbers))


def state_of(done: int, begun: int) -> str:
    """Whether all that was begun of a run is done."""
    return DONE if done == begun else f"{done} of {begun} splits: {_UNDER_WAY}"


def key_of(path: Path) -> str:
    """The digest of a file of weights."""
    with path.open("rb") as file:
        return stream_key(file).hex()


def name_of(called: Sequence[str], protocol: str, parts: Sequence[Any]) -> str:
    """The name of a run: what it is called, the protocol, and a hash of all that its weights depend on.

    Parameters
    ----------
    called : what is trained, on which data set
    protocol : its name, or the file it is read from
    parts : all that the weights depend on, as JSON or what has a `str` of its own

    Raises
    ------
    StoreError
        A name that cannot be a folder's.
    """
    digest = hashlib.blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=5).hexdigest()
    splits = Path(protocol).stem if protocol.endswith(".json") else protocol.replace("/", "-")
    return checked_name(re.sub(r"[@%]", "-", "-".join((*called, splits, digest))).replace("--", "-"))


def identity(settings: Any, without: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of some settings that a run's name depends on: of those that came later, what is not the default.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Settings:
    ...     lr: float = 0.1
    ...     clip: float = dataclasses.field(default=0.0, metadata={"later": True})
    >>> identity(Settings()), identity(Settings(clip=1.0))
    ({'lr': 0.1}, {'lr': 0.1, 'clip': 1.0})
    """
    values = dataclasses.asdict(settings)
    later = {field.name: field.default for field in dataclasses.fields(settings) if field.metadata.get("later")}
    is_left = {*without, *(name for name, default in later.items() if values[name] == default)}
    return {name: value for name, value in values.items() if name not in is_left}


def network(root: Root, run: str) -> dict[str, Any]:
    """What a run of `finetune` trained, and on what, as `zsar show RUN` tells it.

    Parameters
    ----------
    root : Root
    run : str
        Its full name.

    Returns
    -------
    dict
        run, about (as `finetune.json` has it), state, top1 (mean over the splits that were tested, or None), and a row
        a split: number, state, classes, unseen, trained_on and tested_on (items), twins, epochs, top1, seconds,
        weights (path); what is not known is None.
    """
    own = Run(root, run, "finetune")
    rows = [_row(own, number) for number in own.numbers]
    tested = [row["top1"] for row in rows if row["top1"] is not None]
    return {
        "run": run,
        "about": own.about(),
        "state": own.state(),
        "top1": float(np.mean(tested)) if tested else None,
        "splits": rows,
    }


def _row(run: Run, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {"number": number, "state": "not begun", "classes": [], "unseen": []}
    row |= dict.fromkeys((*_COUNTS, "weights"))
    if told := run.told(number):
        row |= {name: told[name] for name in row if name in told} | {"state": DONE}
        row["weights"] = run.root.url_of("runs", run.name, _folder(number), WEIGHTS)
    elif number in Runs(run.root).splits(run.name):
        row["state"] = _UNDER_WAY
    return row


def _folder(number: int) -> str:
    return f"split-{number:03d}"
