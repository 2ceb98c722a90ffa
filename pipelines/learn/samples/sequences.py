"""Pose sequences as something to learn from: read once, drawn anew each epoch.

    manifest rows ─read, mapped, prepared at twice the frames─▶ PoseSet: (N, 3, 2 T, V, M) float32, labels
    a batch ─window, turn, scale─▶ (B, 3, T, V, M)

Of each sequence a window of 60 to 100 % of its length is drawn and interpolated to T frames, turned about the three
axes by up to .2, .5 (about the spine) and .2 radians, and scaled by .85 to 1.15; joints in an image are turned in its
plane alone. All is drawn on the CPU from torch's generator, which the engine seeds by the epoch.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor

from extractors import joints
from extractors.errors import InputFault
from extractors.joints import KINECT_20, Layout
from extractors.poses import Form, prepared
from heads.base import Videos
from pipelines.errors import UsageError
from pipelines.index import joint_layouts
from pipelines.index.pose_places import Place, PoseReader
from pipelines.index.poses import KIND, values_of
from pipelines.index.recordings import with_recording
from pipelines.learn.samples.items import Items
from stores.manifest import Manifest
from stores.root import Root

_TURN = (0.2, 0.5, 0.2)  # radians about x, y and z
_SCALE = 0.15
_SHORTEST = 0.6
#: one skeleton numbered in two ways: weights of either data set shall fit the other
_SAME = {"kinect-20-utd": KINECT_20.name}


@dataclasses.dataclass(frozen=True)
class PoseSet(Items):
    """Labelled sequences of a data set that can be put into a form.

    Attributes
    ----------
    layout, form : of `whole`
    drawn : (N, 3, 2 T, V, M) float32, to draw windows from
    whole : (N, 3, T, V, M) float32, as an extractor is given it
    """

    called = "sequence"
    layout: Layout
    form: Form
    drawn: np.ndarray
    whole: np.ndarray


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
    table = Manifest(root).read(dataset, ["video_id", "kind", "uri", "key", "label", "split", "recording"])
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
        splits=tuple(values_of(with_recording(row["split"], row["recording"])) for row in found),
        drawn=np.stack([drawn for _, drawn, _ in kept]),
        whole=np.stack([whole for _, _, whole in kept]),
        faults=tuple(faults),
        unlabelled=unlabelled,
    )


class Sequences:
    """Sequences as samples: a window of each is drawn, or the whole is given.

    Parameters
    ----------
    poses : PoseSet
    rows : (n,) numbers of the sequences
    classes : K names, in the order of their numbers; those of all rows
    device : where batches go
    """

    at_once = 64

    def __init__(self, poses: PoseSet, rows: np.ndarray, classes: Sequence[str], device: str) -> None:
        self._poses, self._rows, self._device = poses, torch.from_numpy(rows), device
        self.labels = poses.numbers(rows, classes)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, order: Iterable[Tensor], draw: int | None) -> Iterator[Videos]:
        """As `Samples.batches`: (B, 3, T, V, M)."""
        return (self._batch(rows, draw is not None) for rows in order)

    def _batch(self, rows: Tensor, draw: bool) -> Videos:
        poses, own = self._poses, self._rows[rows].numpy()
        if draw:
            x = augmented(torch.from_numpy(poses.drawn[own]), poses.form.frames, poses.layout.axes)
        else:
            x = torch.from_numpy(poses.whole[own])
        return Videos(x.to(self._device), self.labels[rows].to(self._device))


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
