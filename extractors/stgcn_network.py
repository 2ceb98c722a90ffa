"""ST-GCN: sequences of joints in, a feature a sequence or a temporal segment out; and its published weights.

    x (N, 3, T, V, M) ─data_bn─▶ (N M, 3, T, V) ─blocks─▶ (N M, D, T', V) ─mean over V, then M─▶ (N, T', D)
                                 (N, T', D) ─mean over T'─▶ features (N, D) ─fcn─▶ logits (N, K)
                                 (N, T', D) ─means of m equal parts─▶ segments (N, m, D)

A block, of E channels into D, with A' = A * edge_importance (3, V, V) and a kernel of 9 in time:

    y[n, :, t, w] = sum over k, v of (W_k x[n, :, t, v] + b_k) A'[k, v, w]
    block(x) = relu(BN(conv9(relu(BN(y)))) + residual(x))

The sum over joints is taken before W_k, which is the same and faster on a CPU: a graph convolution of 32 sequences
takes 44 to 63 ms with its gradient and 7 to 15 ms without, on one core; in the published order 55 to 98 and 15 to 51.

In the first block nothing is added; where width or length change, the residual is a 1x1 convolution and BatchNorm.
`stgcn` has the published ten blocks of 64 x 4, 128 x 3, 256 x 3 channels, time halved at the 5th and the 8th, and
T' = T / 4. `stgcn_small` is a variant of our own for CPUs, of four blocks: 32, 64, 128 and 256 channels, time halved at
the 2nd and the 3rd; a third of the parameters and, of T = 64 and V = 20, 349 of the published 1,429 million products.

Paper: Yan et al., Spatial Temporal Graph Convolutional Networks, AAAI 2018; its code's block of ten, where the paper
counts nine. Array names are those of the published files `st_gcn.*.pt`.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from extractors import graph, weights
from extractors.errors import BadWeights, ExtractorError
from extractors.joints import LAYOUTS, NTU_25, OPENPOSE_18, Layout

_KERNEL = 9
_SUBSETS = 3
_CHANNELS = 3


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The blocks of a network.

    Parameters
    ----------
    name : str
    widths, strides : tuple of int
        Channels that each block gives and its stride in time.
    """

    name: str
    widths: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def width(self) -> int:
        """D, the length of a feature."""
        return self.widths[-1]

    def steps(self, frames: int) -> int:
        """T', the time steps that are left of `frames` frames."""
        for stride in self.strides:
            frames = -(-frames // stride)
        return frames


STGCN = Architecture("stgcn", (64,) * 4 + (128,) * 3 + (256,) * 3, (1, 1, 1, 1, 2, 1, 1, 2, 1, 1))
STGCN_SMALL = Architecture("stgcn_small", (32, 64, 128, 256), (1, 2, 2, 1))
ARCHITECTURES = {each.name: each for each in (STGCN, STGCN_SMALL)}


@dataclasses.dataclass(frozen=True)
class Pretraining:
    """What a published file was trained on; none of these classes is unseen to it.

    Parameters
    ----------
    dataset : str
    layout : Layout
    classes : int
        Of the data set; all of them were trained on.
    """

    dataset: str
    layout: Layout
    classes: int


#: the published files, told apart by their joints and classes
PUBLISHED = (Pretraining("ntu60", NTU_25, 60), Pretraining("kinetics400", OPENPOSE_18, 400))


def pretraining(arrays: Mapping[str, np.ndarray]) -> Pretraining | None:
    """What the published file of these joints and classes was trained on; None where no published file has them."""
    joints, classes = arrays["A"].shape[-1], len(arrays["fcn.bias"])
    found = (each for each in PUBLISHED if (len(each.layout.joints), each.classes) == (joints, classes))
    return next(found, None)


def refuse_seen(arrays: Mapping[str, np.ndarray], path: Path, dataset: str) -> None:
    """Refuse weights that saw every class of a data set, as they leave none to be unseen.

    Parameters
    ----------
    arrays : mapping of name to array, as `read` gives
    path : Path
        Of the file, for the message.
    dataset : str
        `ntu60` or `kinetics400`; weights are never refused for any other.

    Raises
    ------
    ExtractorError
        The file is a published one that was trained on all classes of `dataset`.
    """
    seen = pretraining(arrays)
    if seen is not None and seen.dataset == dataset:
        raise ExtractorError(
            f"Zero-shot classes must not have been trained on; {path} has the layout of the published weights, which "
            f"saw all {seen.classes} classes of {dataset}. Train on the seen classes, or test on another data set."
        )


def shapes(architecture: Architecture, joints: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays of a published file, without its batch counters."""
    found: dict[str, tuple[int, ...]] = {"A": (_SUBSETS, joints, joints)}
    found |= _norm_shapes("data_bn", _CHANNELS * joints)
    before = _CHANNELS
    for block, (width, stride) in enumerate(zip(architecture.widths, architecture.strides, strict=True)):
        at = f"st_gcn_networks.{block}"
        found |= _convolution_shapes(f"{at}.gcn.conv", (_SUBSETS * width, before, 1, 1))
        found |= _norm_shapes(f"{at}.tcn.0", width)
        found |= _convolution_shapes(f"{at}.tcn.2", (width, width, _KERNEL, 1))
        found |= _norm_shapes(f"{at}.tcn.3", width)
        if block and (before, 1) != (width, stride):
            found |= _convolution_shapes(f"{at}.residual.0", (width, before, 1, 1))
            found |= _norm_shapes(f"{at}.residual.1", width)
        found[f"edge_importance.{block}"] = (_SUBSETS, joints, joints)
        before = width
    return found | _convolution_shapes("fcn", (classes, before, 1, 1))


def read(path: Path, architecture: Architecture = STGCN) -> dict[str, np.ndarray]:
    """The arrays of a file in the published layout, of torch's format or safetensors, checked.

    Raises
    ------
    BadWeights
        Not a file of tensors, other names or shapes, or a graph `A` of none of the layouts of `joints.LAYOUTS`.
    """
    arrays = weights.safetensors(path) if path.suffix == ".safetensors" else weights.state_dict(path)
    sizes = [arrays[name].shape[0] if arrays.get(name, np.zeros(())).ndim else 0 for name in ("A", "fcn.bias")]
    joints = arrays["A"].shape[-1] if sizes[0] else 0
    found = weights.checked(arrays, shapes(architecture, joints, sizes[1]), path)
    graph_of(found["A"], path)
    return found


def graph_of(
    adjacency: np.ndarray, path: Path | str = "the weights", said: Layout | None = None
) -> tuple[Layout, int | None]:
    """The layout, and the cap on hops, whose partitioned graph `adjacency` is.

    Parameters
    ----------
    adjacency : (3, V, V)
    path : Path or str
        Where it is from, for the message.
    said : Layout, optional
        The one it is said to be of: of two that have the same graph this one is meant.

    Raises
    ------
    BadWeights
        It is the graph of no layout known here.
    """
    for layout in (*([said] if said else []), *LAYOUTS.values()):
        for cap in (graph.PUBLISHED_CAP, None):
            known = graph.spatial(layout, cap)
            if known.shape == adjacency.shape and np.allclose(known, adjacency, atol=1e-5):
                return layout, cap
    raise BadWeights(
        f"The graph A of {path}, {adjacency.shape}, is that of no layout of joints known here "
        f"({', '.join(LAYOUTS)}). Its joints cannot be named; give weights of one of these."
    )


def random(architecture: Architecture, layout: Layout, classes: int, seed: int) -> dict[str, np.ndarray]:
    """Seeded arrays of the published layout: the layout's graph, edges of importance 1, all else drawn."""
    wanted = shapes(architecture, len(layout.joints), classes)
    sums = {name: int(np.prod(shape[1:])) for name, shape in wanted.items() if len(shape) == 4}
    drawn = weights.random_arrays(wanted, seed, sums)
    ones = {name: np.ones(shape, np.float32) for name, shape in wanted.items() if name.startswith("edge_importance")}
    return {**drawn, **ones, "A": graph.spatial(layout)}


def network(arrays: Mapping[str, np.ndarray], architecture: Architecture = STGCN) -> "SpatialTemporalGraphNetwork":
    """The network of these arrays, as `read` gives them, in eval mode."""
    made = SpatialTemporalGraphNetwork(architecture, np.asarray(arrays["A"]), len(arrays["fcn.bias"]))
    state = {name: torch.from_numpy(np.array(values, np.float32)) for name, values in arrays.items()}
    lacking, unknown = made.load_state_dict(state, strict=False)
    if unknown or any(not name.endswith("num_batches_tracked") for name in lacking):
        raise BadWeights(f"Arrays are not of {architecture.name}. Lacking: {lacking}. Unknown: {unknown}.")
    return made.eval()


class SpatialTemporalGraphNetwork(nn.Module):
    """ST-GCN, to be trained or read from.

    Parameters
    ----------
    architecture : Architecture
    adjacency : (3, V, V) float32
        As `graph.spatial` gives.
    classes : int
        K.
    dropout : float
        After the convolution in time of each block but the first; .5 as published.

    Examples
    --------
    >>> from extractors.joints import KINECT_20
    >>> made = SpatialTemporalGraphNetwork(STGCN_SMALL, graph.spatial(KINECT_20), classes=27).eval()
    >>> made.segments(torch.zeros(1, 3, 32, 20, 2), 4).shape
    torch.Size([1, 4, 256])
    """

    A: torch.Tensor

    def __init__(self, architecture: Architecture, adjacency: np.ndarray, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.architecture = architecture
        self.register_buffer("A", torch.from_numpy(np.array(adjacency, np.float32)))
        self.data_bn = nn.BatchNorm1d(_CHANNELS * adjacency.shape[-1])
        before = (_CHANNELS, *architecture.widths[:-1])
        self.st_gcn_networks = nn.ModuleList(
            _Block(inputs, width, stride, 0.0 if first else dropout, first=first)
            for inputs, width, stride, first in zip(
                before,
                architecture.widths,
                architecture.strides,
                (block == 0 for block in range(len(before))),
                strict=True,
            )
        )
        self.edge_importance = nn.ParameterList(nn.Parameter(torch.ones_like(self.A)) for _ in before)
        self.fcn = nn.Conv2d(architecture.width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of x (N, 3, T, V, M)."""
        return self.logits(self.features(x))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(N, D): the mean over time, joints and people, before the classifier."""
        return self.steps(x).mean(1)

    def segments(self, x: torch.Tensor, parts: int) -> torch.Tensor:
        """(N, m, D): means over joints, people and each of m equal parts of time.

        Raises
        ------
        ExtractorError
            More parts than the network leaves time steps.
        """
        return segmented(self.steps(x), parts)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """(N, K) of features (N, D)."""
        return functional.linear(features, self.fcn.weight.flatten(1), self.fcn.bias)

    def steps(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T', D): means over joints and people, a time step each.

        Parameters
        ----------
        x : (N, 3, T, V, M) float32
            Coordinates, or x, y and score of positions in an image; a person who is not there is zero throughout.

        Raises
        ------
        ExtractorError
            Another number of channels or joints than the network's.
        """
        joints = self.A.shape[-1]
        if x.ndim != 5 or (x.shape[1], x.shape[3]) != (_CHANNELS, joints):
            raise ExtractorError(
                f"{self.architecture.name} takes (N, {_CHANNELS}, T, {joints}, M), got {tuple(x.shape)}. "
                "Map the poses to the weights' layout first."
            )
        batch, _, frames, _, people = x.shape
        # (N, M, V, C, T): the published order of the V * C channels of data_bn
        flat = self.data_bn(x.permute(0, 4, 3, 1, 2).reshape(batch * people, joints * _CHANNELS, frames))
        places = flat.view(-1, joints, _CHANNELS, frames).permute(0, 2, 3, 1)
        y: torch.Tensor = places.contiguous(memory_format=torch.channels_last)
        for block, importance in zip(self.st_gcn_networks, self.edge_importance, strict=True):
            y = block(y, self.A * importance)
        return y.mean(3).view(batch, people, y.shape[1], -1).mean(1).transpose(1, 2)


def segmented(steps: torch.Tensor, parts: int) -> torch.Tensor:
    """(N, m, D): means of m equal parts of (N, T', D), the parts overlapping by a step where m does not divide T'.

    Raises
    ------
    ExtractorError
        m is below 1 or above T'.
    """
    if not 1 <= parts <= steps.shape[1]:
        raise ExtractorError(
            f"{steps.shape[1]} time steps make 1 to {steps.shape[1]} segments, got {parts}. "
            "Ask for fewer, or give the network more frames."
        )
    return functional.adaptive_avg_pool1d(steps.transpose(1, 2), parts).transpose(1, 2)


def _convolution_shapes(at: str, weight: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{at}.weight": weight, f"{at}.bias": weight[:1]}


def _norm_shapes(at: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{at}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}


class _GraphConvolution(nn.Module):
    """A 1x1 convolution a subset of the partition, each summed over the subset's neighbours."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, _SUBSETS * outputs, 1)

    def forward(self, x: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        batch, inputs, frames, joints = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(batch * frames, joints, inputs)
        to_each = adjacency.permute(2, 0, 1).reshape(joints * _SUBSETS, joints)
        gathered = (to_each @ rows).view(-1, _SUBSETS * inputs)
        weight = self.conv.weight.view(_SUBSETS, -1, inputs).transpose(0, 1).reshape(-1, _SUBSETS * inputs)
        assert self.conv.bias is not None
        bias = adjacency.sum(1).T @ self.conv.bias.view(_SUBSETS, -1)
        y = functional.linear(gathered, weight).view(batch, frames, joints, -1) + bias
        return y.permute(0, 3, 1, 2)


class _Block(nn.Module):
    """One spatial-temporal block."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float, first: bool) -> None:
        super().__init__()
        self.gcn = _GraphConvolution(inputs, outputs)
        self.tcn = nn.Sequential(
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, (_KERNEL, 1), (stride, 1), (_KERNEL // 2, 0)),
            nn.BatchNorm2d(outputs),
            nn.Dropout(dropout),
        )
        self.residual: nn.Sequential | None = None
        self.adds = not first
        if not first and (inputs, 1) != (outputs, stride):
            self.residual = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=(stride, 1)), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.tcn(self.gcn(x, adjacency))
        if self.adds:
            y = y + (x if self.residual is None else self.residual(x))
        found: torch.Tensor = functional.relu(y)
        return found
