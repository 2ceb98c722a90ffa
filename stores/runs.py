"""Training and evaluation runs: `runs/RUN/`, all that one result depends on.

    run.json             configuration, options, features, texts, versions, the command that makes it again
    split-000/           a training each: weights, history, TensorBoard scalars, which classes were on which side
    results.parquet      a row a split and setting, once judged
    judged.parquet       a row a judged video: its class and the five best

A run that trained a network (`zsar finetune`) has `finetune.json` in place of `run.json`, and nothing judged. A run's
name holds a hash of all that it depends on, so that the same command finds the same run.
"""

import contextlib
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa

from stores.errors import Ambiguous, Damaged, NotInStore
from stores.root import Root, checked_name
from stores.sealed import unsealed
from stores.workplaces import Workplace
from untrusted.names import few

WEIGHTS, SPLIT = "weights.safetensors", "split.json"
_FOLDER = "runs"


class Runs:
    """The runs of one root."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def names(self) -> list[str]:
        """Names of the runs of heads, sorted."""
        return self._with("run.json")

    def networks(self) -> list[str]:
        """Names of the runs that trained a network, sorted."""
        return self._with("finetune.json")

    def _with(self, file: str) -> list[str]:
        return [name for name in self._root.names_in(_FOLDER) if self._root.exists(_FOLDER, name, file)]

    def find(self, name: str) -> str:
        """The full name of the run of a head that begins so.

        Raises
        ------
        NotInStore, Ambiguous
            None or several; the message lists them. A run that trained a network: it says what to do instead.
        """
        there = self.names()
        if not _beginning(name, there) and (trained := _beginning(name, self.networks())):
            raise NotInStore(
                f"{trained[0]} trained a network, which is not judged by itself. `zsar judge "
                f"{trained[0]}` extracts with its weights, fits a head on the features and judges that."
            )
        return self._one(name, there)

    def find_any(self, name: str) -> str:
        """The full name of the run that begins so, of a head or of a network; raises as `find`."""
        return self._one(name, sorted({*self.names(), *self.networks()}))

    def _one(self, name: str, there: list[str]) -> str:
        found = _beginning(name, there)
        if not found:
            known = few(there, like=name) or "none yet"
            raise NotInStore(f"No run is called {name!r} in {self._root.url}; there are: {known}. Run `zsar fit`.")
        if len(found) > 1:
            raise Ambiguous(f"{name!r} begins {len(found)} runs: {few(found)}. Name one of these.")
        return found[0]

    def workplace(self, name: str, *parts: str) -> AbstractContextManager[Workplace]:
        """A folder of a run to train in; weights and checkpoints are written there."""
        return self._root.workplace(_FOLDER, checked_name(name), *parts)

    def files(self, name: str, *parts: str) -> list[str]:
        """Names of what lies in a folder of a run."""
        return self._root.names_in("/".join((_FOLDER, name, *parts)))

    def at_hand(self, name: str, *parts: str) -> AbstractContextManager[str]:
        """The path of a file of a run while it is read."""
        return self._root.at_hand(_FOLDER, name, *parts)

    def describe(self, name: str, about: dict[str, Any]) -> None:
        """Write what a run depends on."""
        self._root.write_json(about, _FOLDER, checked_name(name), "run.json")

    def about(self, name: str) -> dict[str, Any]:
        """What a run depends on."""
        return self._json(name, "run.json")

    def told(self, name: str, *parts: str) -> dict[str, Any] | None:
        """What a JSON file of a run says, or None where there is none yet."""
        return self._json(name, *parts) if self._root.exists(_FOLDER, name, *parts) else None

    def _json(self, *parts: str) -> dict[str, Any]:
        mend = "Bring it back from a copy, or take it away and run again the command that made it."
        return self._root.read_json(_FOLDER, *parts, mend=mend)

    def splits(self, name: str) -> list[int]:
        """Numbers of the splits that were begun, sorted."""
        found = (re.fullmatch(r"split-(\d+)", folder) for folder in self._root.names_in(f"{_FOLDER}/{name}"))
        return sorted(int(number[1]) for number in found if number)

    def write(self, name: str, what: str, table: pa.Table) -> None:
        """Replace one table of a run: `results` or `judged`."""
        self._root.write_table(table, _FOLDER, name, f"{what}.parquet")

    def read(self, name: str, what: str) -> pa.Table | None:
        """One table of a run, or None where there is none yet."""
        if not self._root.exists(_FOLDER, name, f"{what}.parquet"):
            return None
        return self._root.read_table(_FOLDER, name, f"{what}.parquet")


def refuse_other(path: Path, digest: str, said: Mapping[str, Any], folder: str = "") -> None:
    """Damaged where weights have another digest than their split says; `folder`: where they lie, if elsewhere."""
    if said.get("weights_key", "") not in ("", digest):
        raise Damaged(
            f"{path} is damaged: these are not the weights that were trained. Bring them back from a copy, or take "
            f"{folder or path.parent} away and run again the command that trained them."
        )


def refuse_damaged(path: Path, digest: str) -> None:
    """`refuse_other` for a file that may lie in a run, or anywhere else."""
    about, said = path.with_name(SPLIT), {}
    if path.name == WEIGHTS and about.is_file():
        with contextlib.suppress(OSError, ValueError, TypeError):  # a file of another's that is called so
            said = unsealed(about.read_text())
    refuse_other(path, digest, said)


def _beginning(name: str, runs: list[str]) -> list[str]:
    """The run of this name, else those that begin so."""
    return [run for run in runs if run == name] or [run for run in runs if run.startswith(name)]
