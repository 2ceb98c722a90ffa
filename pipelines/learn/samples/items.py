"""Items of a data set to learn from, whatever they are made of: names, labels, and what they are chosen by."""

import abc
import dataclasses
import re
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from extractors.errors import InputFault
from pipelines.errors import UsageError
from stores.keys import rows_digest
from untrusted.names import few


@dataclasses.dataclass(frozen=True)
class Items(abc.ABC):
    """Labelled items of a data set that can be learned from; what they are made of is a subclass's.

    Attributes
    ----------
    called : what messages call one of them
    ids, keys, labels : N of each
    splits : what the manifest says of each: subject, view, ...
    faults : (key, uri, fault) of items that cannot be used
    unlabelled : items without a label, which are left out
    """

    called: ClassVar[str]
    ids: tuple[str, ...]
    keys: tuple[bytes, ...]
    labels: tuple[str, ...]
    splits: tuple[dict[str, str], ...]
    faults: tuple[tuple[bytes, str, InputFault], ...]
    unlabelled: int

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, sorted."""
        return tuple(sorted(set(self.labels)))

    def numbers(self, rows: np.ndarray, classes: Sequence[str]) -> Tensor:
        """(n,) int64: the labels of some items as numbers of classes."""
        number = {name: k for k, name in enumerate(classes)}
        return torch.tensor([number[self.labels[row]] for row in rows])

    def digest(self) -> str:
        """Changes with the items, their names, labels and what they are split by; recordings count under GZSL alone."""
        splits = [{name: value for name, value in each.items() if name != "recording"} for each in self.splits]
        names = zip(self.ids, self.labels, splits, strict=True)
        return rows_digest(*self.keys, *(f"{name} {label} {split}".encode() for name, label, split in names)).hex()

    def matching(self, conditions: Sequence[str]) -> np.ndarray:
        """(N,) bool: items that meet all conditions `subject=1,3,5`; all where there is none.

        Values are the same as text, or as numbers behind letters: `1`, `s1` and `s01`.

        Raises
        ------
        UsageError
            Not of this form, nothing known by this name, or no item of a value.
        """
        found = np.ones(len(self.ids), bool)
        for condition in conditions:
            name, sign, text = condition.partition("=")
            there = sorted({split[name] for split in self.splits if name in split})
            values = [_plain(value) for value in text.split(",") if value.strip()]
            if not sign or not values:
                raise UsageError(
                    f"{self.called.capitalize()}s are chosen by NAME=VALUE,VALUE, such as subject=1,3,5; "
                    f"got {condition!r}."
                )
            if not there:
                known = ", ".join(sorted({each for split in self.splits for each in split})) or "nothing"
                raise UsageError(f"{condition!r}: of these {self.called}s is known: {known}; not {name!r}.")
            if strange := sorted(set(values) - {_plain(value) for value in there}):
                raise UsageError(f"{condition!r}: no {name} is {', '.join(strange)}; there are: {few(there)}.")
            found &= np.array([_plain(split.get(name, "")) in values for split in self.splits])
        return found


def _plain(value: str) -> str:
    """`s01` as `1`; anything that does not end in a number as it is."""
    found = re.fullmatch(r"[A-Za-z]*0*(\d+)", value.strip())
    return found[1] if found else value.strip()
