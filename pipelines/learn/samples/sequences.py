"""Pose sequences as something to learn from: read once, drawn anew each epoch, and ST-GCN as a task of the engine.

    manifest rows ─read, mapped, prepared at twice the frames─▶ PoseSet: (N, 3, 2 T, V, M) float32, labels
    a batch ─window, turn, scale─▶ (B, 3, T, V, M) ─network─▶ logits (B, K) ─▶ cross-entropy, smoothed labels

Of each sequence a window of 60 to 100 % of its length is drawn and interpolated to T frames, turned about the three
axes by up to .2, .5 (about the spine) and .2 radians, and scaled by .85 to 1.15; joints in an image are turned in its
plane alone. All is drawn on the CPU from torch's generator, which the engine seeds by the epoch.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor, nn
from torch.nn import functional

from extractors import graph, joints
from extractors.errors import InputFault
from extractors.joints import KINECT_20, Layout
from extractors.poses import Form, prepared
from extractors.stgcn_network import Architecture, SpatialTemporalGraphNetwork
from pipelines.errors import UsageError
from pipelines.index import joint_layouts
from pipelines.index.pose_places import Place, PoseReader
from pipelines.index.poses import KIND, values_of
from stores.keys import rows_digest
from stores.manifest import Manifest
from stores.root import Root

_TURN = (0.2, 0.5, 0.2)  # radians about x, y and z
_SCALE = 0.15
_SHORTEST = 0.6
_AT_ONCE = 64
#: one skeleton numbered in two ways: weights of either data set shall fit the other
_SAME = {"kinect-20-utd": KINECT_20.name}


@dataclasses.dataclass(frozen=True)
class PoseSet:
    """Labelled sequences of a data set that can be put into a form.

    Attributes
    ----------
    layout, form : of `whole`
    ids, keys, labels : N of each
    splits : what the manifest says of each: subject, view, ...
    drawn : (N, 3, 2 T, V, M) float32, to draw windows from
    whole : (N, 3, T, V, M) float32, as an extractor is given it
    faults : (key, uri, fault) of sequences that cannot be used
    unlabelled : sequences without a label, which are left out
    """

    layout: Layout
    form: Form
    ids: tuple[str, ...]
    keys: tuple[bytes, ...]
    labels: tuple[str, ...]
    splits: tuple[dict[str, str], ...]
    drawn: np.ndarray
    whole: np.ndarray
    faults: tuple[tuple[bytes, str, InputFault], ...]
    unlabelled: int

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, sorted."""
        return tuple(sorted(set(self.labels)))

    def digest(self) -> str:
        """Changes with the sequences, their names, labels and what they are split by."""
        names = zip(self.ids, self.labels, self.splits, strict=True)
        return rows_digest(*self.keys, *(f"{name} {label} {split}".encode() for name, label, split in names)).hex()

    def matching(self, conditions: Sequence[str]) -> np.ndarray:
        """(N,) bool: sequences that meet all conditions `subject=1,3,5`; all where there is none.

        Values are the same as text, or as numbers behind letters: `1`, `s1` and `s01`.

        Raises
        ------
        UsageError
            Not of this form, nothing known by this name, or no sequence of a value.
        """
        found = np.ones(len(self.ids), bool)
        for condition in conditions:
            name, sign, text = condition.partition("=")
            there = sorted({split[name] for split in self.splits if name in split})
            values = [_plain(value) for value in text.split(",") if value.strip()]
            if not sign or not values:
                raise UsageError(f"Sequences are chosen by NAME=VALUE,VALUE, such as subject=1,3,5; got {condition!r}.")
            if not there:
                known = ", ".join(sorted({each for split in self.splits for each in split})) or "nothing"
                raise UsageError(f"{condition!r}: of these sequences is known: {known}; not {name!r}.")
            if strange := sorted(set(values) - {_plain(value) for value in there}):
                raise UsageError(f"{condition!r}: no {name} is {', '.join(strange)}; there are: {', '.join(there)}.")
            found &= np.array([_plain(split.get(name, "")) in values for split in self.splits])
        return found


def read(dataset: str, root: Root, layout: str, form: Form) -> PoseSet:
    """The labelled sequences of a data set, all in memory.

    Parameters
    ----------
    dataset : str
    root : Root
    layout : str
        Of the joints they are turned into; nothing: their own, of which there must be one.
    form : Form
        What a network is to be given.

    Raises
    ------
    NotInStore
        No such data set.
    UsageError
        No labelled sequence that can be used; joints of several layouts, and none is named.
    """
    joint_layouts.load(root)
    table = Manifest(root).read(dataset, ["video_id", "kind", "uri", "key", "label", "split"])
    rows = table.filter(pc.equal(table["kind"], KIND)).to_pylist()
    if not rows:
        raise UsageError(f"Data set {dataset!r} has no poses. Run `zsar index PATH --kind poses --dataset {dataset}`.")
    target = _target(rows, layout)
    wide, reader = dataclasses.replace(form, frames=2 * form.frames), PoseReader()
    kept, faults = [], []
    for row in rows:
        if row["label"] is None:
            continue
        try:
            poses = reader.read(row["uri"], row["key"])
            poses = poses if poses.layout is target else poses.mapped(target)
            kept.append((row, prepared(poses, wide), prepared(poses, form)))
        except InputFault as fault:
            faults.append((row["key"], row["uri"], fault))
    unlabelled = sum(row["label"] is None for row in rows)
    if not kept:
        why = f" The first: {faults[0][2]}" if faults else ""
        raise UsageError(
            f"Of the {len(rows)} sequences of {dataset!r} none can be learned from: {unlabelled} have no label, "
            f"{len(faults)} cannot be used.{why}"
        )
    found = [row for row, _, _ in kept]
    return PoseSet(
        layout=target,
        form=form,
        ids=tuple(row["video_id"] for row in found),
        keys=tuple(row["key"] for row in found),
        labels=tuple(row["label"] for row in found),
        splits=tuple(values_of(row["split"]) for row in found),
        drawn=np.stack([drawn for _, drawn, _ in kept]),
        whole=np.stack([whole for _, _, whole in kept]),
        faults=tuple(faults),
        unlabelled=unlabelled,
    )


class PoseTask:
    """Classifying sequences, as a task of the training engine.

    Parameters
    ----------
    architecture : Architecture
    poses : PoseSet
    rows : (n,) numbers of the sequences to train on
    classes : K names, in the order of the outputs; those of all rows
    dropout, smoothing : of the network, of the labels
    device : where batches go
    seed : of the network's first weights
    """

    def __init__(
        self,
        architecture: Architecture,
        poses: PoseSet,
        rows: np.ndarray,
        classes: Sequence[str],
        dropout: float,
        smoothing: float,
        device: str,
        seed: int,
    ) -> None:
        torch.manual_seed(seed)
        adjacency = graph.spatial(poses.layout)
        self.network = SpatialTemporalGraphNetwork(architecture, adjacency, len(classes), dropout).to(device)
        self.model: nn.Module = self.network
        self.samples = len(rows)
        self._frames, self._axes = poses.form.frames, poses.layout.axes
        self._drawn = torch.from_numpy(poses.drawn[rows])
        self._labels = _numbers([poses.labels[row] for row in rows], classes)
        self._smoothing, self._device = smoothing, device

    def batches(self, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """As `Task.batches`: (B, 3, T, V, M) and labels (B,)."""
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            drawn = augmented(self._drawn[rows], self._frames, self._axes)
            yield drawn.to(self._device), self._labels[rows].to(self._device)

    def loss(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """As `Task.loss`."""
        x, labels = batch
        logits = self.model(x)
        return {"classes": functional.cross_entropy(logits.float(), labels, label_smoothing=self._smoothing)}

    def validate(self) -> float | None:
        """As `Task.validate`: nothing is chosen, so nothing is held out."""
        return None

    def epoch(self) -> None:
        """As `Task.epoch`."""


def top1(network: nn.Module, poses: PoseSet, rows: np.ndarray, classes: Sequence[str], device: str) -> float:
    """The part of some sequences whose class the network names."""
    network.eval()
    labels = _numbers([poses.labels[row] for row in rows], classes)
    right = 0
    with torch.inference_mode():
        for start in range(0, len(rows), _AT_ONCE):
            x = torch.from_numpy(poses.whole[rows[start : start + _AT_ONCE]]).to(device)
            right += int((network(x).argmax(1).cpu() == labels[start : start + _AT_ONCE]).sum())
    return right / len(rows)


def augmented(x: Tensor, frames: int, axes: int) -> Tensor:
    """A window of each sequence, turned and scaled, as this file's first lines say.

    Parameters
    ----------
    x : (B, 3, L, V, M)
    frames : int
        T
    axes : int
        Of the layout; with 2 the third channel is a score, which stays.

    Returns
    -------
    (B, 3, T, V, M)
    """
    batch, _, length = x.shape[:3]
    share = 1 - (1 - _SHORTEST) * torch.rand(batch, 1)
    start = torch.rand(batch, 1) * (1 - share)
    at = (start + share * torch.linspace(0, 1, frames)) * (length - 1)
    before = at.long().clamp(max=length - 2)
    in_time, each = x.transpose(1, 2), torch.arange(batch)[:, None]
    part = (at - before)[:, :, None, None, None]
    window = torch.lerp(in_time[each, before], in_time[each, before + 1], part)
    return torch.einsum("bij,btjvm->bitvm", _turns(batch, axes), window)


def _turns(batch: int, axes: int) -> Tensor:
    """(B, 3, 3) rotations times a scale."""
    angles = (2 * torch.rand(batch, 3) - 1) * torch.tensor(_TURN)
    scale = 1 + _SCALE * (2 * torch.rand(batch) - 1)
    if axes == 2:
        angles[:, :2] = 0
    (sx, sy, sz), (cx, cy, cz) = angles.sin().T, angles.cos().T
    none, one = torch.zeros(batch), torch.ones(batch)
    about_x = torch.stack([one, none, none, none, cx, -sx, none, sx, cx], 1).view(batch, 3, 3)
    about_y = torch.stack([cy, none, sy, none, one, none, -sy, none, cy], 1).view(batch, 3, 3)
    about_z = torch.stack([cz, -sz, none, sz, cz, none, none, none, one], 1).view(batch, 3, 3)
    turns = about_z @ about_y @ about_x
    turns[:, :axes] *= scale[:, None, None]
    return turns


def _target(rows: Sequence[Mapping[str, Any]], layout: str) -> Layout:
    there = sorted({Place.of(row["uri"]).name for row in rows})
    one = sorted({_SAME.get(name, name) for name in there})
    if not layout and len(one) > 1:
        raise UsageError(f"These sequences are of several layouts ({', '.join(there)}). Name the network's: --layout.")
    return joints.layout(layout or one[0])


def _numbers(labels: Sequence[str], classes: Sequence[str]) -> Tensor:
    number = {name: k for k, name in enumerate(classes)}
    return torch.tensor([number[label] for label in labels])


def _plain(value: str) -> str:
    """`s01` as `1`; anything that does not end in a number as it is."""
    found = re.fullmatch(r"[A-Za-z]*0*(\d+)", value.strip())
    return found[1] if found else value.strip()
