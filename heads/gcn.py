"""GCN: classes are the nodes of a graph, and classifiers of unseen classes spread over it from those of seen ones.

    nodes   t_i (K, A), unit vectors of the texts of all classes, seen and unseen; classes told alike share a node
    links   i - j where j is among the 5 nodes nearest to i, itself counted, or i among those of j;
            A_ij = 1 / (number of links of i)                                                        (K, K)
    layer   h <- f(A (W h + b) + L h),   f = LeakyReLU(.2), none after the last                      (K, d) -> (K, d')
    z       norm(h_last)   (K, D),     L = mean over S x D of (z - norm(w))^2 over seen classes,     s = v.z

w (S, D) are classifiers of the seen classes on the cached feature: a ridge regression onto {0, 1} without a constant,
solved when training begins; or (`target="prototype"`) the classes' mean videos. One step goes through the whole graph,
whatever the batch: let a batch hold all videos, then an epoch is a step.

Training reads TEXTS of unseen classes. The graph (nodes and links) is stored with the weights, so that a score depends
on no other candidate: a candidate finds its node by its vector, and a class that is no node is linked to the 4 nearest
ones and itself, one way.

Departures from the code of Elaborative Rehearsal: there the classifiers are the last layer of TSM trained on
Kinetics-400; its settings list six layers (`hidden=512/1024/1024/1024/1024`) under a folder named for two, which are
the default here.

Papers: Wang, Ye and Gupta, Zero-shot Recognition via Semantic Embeddings and Knowledge Graphs, CVPR 2018; Elaborative
Rehearsal, ICCV 2021; METHODS section 8.
"""

import dataclasses
import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from heads.base import ClassTexts, Paper, PrototypeHead, Videos
from heads.bilinear import BASELINE, BASELINE_INPUTS
from heads.projection import unit
from heads.vectors import class_vectors, moments, ridged, video_vectors

TARGETS = ("classifier", "prototype")
_ALIKE = 1 - 1e-5  # cosine above which two texts are one: rounding, not meaning


@dataclasses.dataclass(frozen=True)
class GcnOptions:
    """Settings of `GCN`.

    Attributes
    ----------
    texts : kinds of text a class is told by, joined with +
    hidden : widths between the layers
    neighbours : nodes a node is linked to, itself counted
    dropout : before the last layer
    target : what the last layer's output is to be: a `classifier` or the `prototype` of a class's videos
    ridge : of the classifiers, times the mean diagonal element of V'V
    unit_videos : unit vectors of the videos, where targets are made of them and where they are judged
    """

    texts: str = "class"
    hidden: tuple[int, ...] = (512,)
    neighbours: int = 5
    dropout: float = 0.5
    target: str = "classifier"
    ridge: float = 0.1
    unit_videos: bool = False

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ValueError(f"target is {' or '.join(TARGETS)}, got {self.target!r}.")
        if self.neighbours < 1 or not self.ridge > 0:
            raise ValueError(
                f"neighbours must be at least 1 and ridge above 0, got {self.neighbours} and {self.ridge}."
            )


class GcnLayer(nn.Module):
    """h <- A (W h + b) + L h."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.sent = nn.Linear(width, out)
        self.kept = nn.Linear(width, out, bias=False)
        nn.init.xavier_uniform_(self.kept.weight, nn.init.calculate_gain("relu"))

    def forward(self, nodes: Tensor, links: Tensor) -> Tensor:
        """(K, width), (K, K) -> (K, out)."""
        out: Tensor = links @ self.sent(nodes) + self.kept(nodes)
        return out


class GCN(PrototypeHead):
    """The GCN head.

    Parameters
    ----------
    width, text_width : D and A
    options : GcnOptions
    """

    Options = GcnOptions
    paper = Paper(
        BASELINE,
        BASELINE_INPUTS,
        ("classifiers are a ridge regression on the cached feature, for the last layer of TSM", "two layers for six"),
    )
    #: an epoch is a step
    published = {"weight_decay": 1e-6, "batch": 1_000_000, "epochs": 200, "schedule": "cosine", "clip": 10.0}
    uses_unseen_texts = True
    nodes: Tensor
    links: Tensor

    def __init__(self, width: int, text_width: int, options: GcnOptions) -> None:
        super().__init__()
        self.options = options
        widths = (text_width, *options.hidden, width)
        self.layers = nn.ModuleList(GcnLayer(*pair) for pair in itertools.pairwise(widths))
        self.register_buffer("nodes", torch.zeros(0, text_width))
        self.register_buffer("links", torch.zeros(0, 0))
        self.register_load_state_dict_pre_hook(_with_room)  # type: ignore[no-untyped-call]

    def begin(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """As `Head.begin`: the graph, and what seen classes' outputs are to be."""
        told = class_vectors(seen if unseen is None else seen.joined(unseen), self.options.texts)
        first = (told @ told.T > _ALIKE).int().argmax(1)  # the first class told like this one
        kept, node = torch.unique(first, return_inverse=True)
        self.nodes = told[kept]
        self.links = graph(self.nodes, self.options.neighbours)
        self._rows = node[: len(seen)]
        self._targets = self._classifiers(videos, len(seen)).to(told.dtype)

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """As `Head.loss`: `distance`, of the whole graph; nothing of it depends on the batch."""
        found = self._classes(self.nodes, self.links)[self._rows]
        return {"distance": functional.mse_loss(found, self._targets)}

    def embedded(self, videos: Videos) -> Tensor:
        """As `PrototypeHead.embedded`."""
        return video_vectors(videos, self.options.unit_videos)

    def prototypes(self, classes: ClassTexts) -> Tensor:
        """As `PrototypeHead.prototypes`: each class as if it were judged alone."""
        told = class_vectors(classes, self.options.texts)
        count = len(self.nodes)
        nodes = torch.cat([self.nodes, told])
        links = nodes.new_zeros(len(nodes), len(nodes))
        links[:count, :count] = self.links
        links[count:] = self._linked(told)
        return self._classes(nodes, links)[count:]

    def _classes(self, nodes: Tensor, links: Tensor) -> Tensor:
        """(K, A), (K, K) -> (K, D), unit vectors."""
        hidden = nodes
        for layer in self.layers[:-1]:
            hidden = functional.leaky_relu(layer(hidden, links), 0.2)
        return unit(self.layers[-1](functional.dropout(hidden, self.options.dropout, self.training), links))

    def _linked(self, told: Tensor) -> Tensor:
        """(K, nodes + K): links of candidates to the graph's nodes and to themselves.

        A candidate that is a node has that node's links; they do not lead to it, so it stands beside its node and
        comes out alike.
        """
        count = len(self.nodes)
        links = told.new_zeros(len(told), count + len(told))
        near = min(self.options.neighbours - 1, count)
        with torch.autocast(told.device.type, enabled=False):  # bfloat16 would take many classes for one
            cosines = told @ self.nodes.T
        links.scatter_(1, cosines.topk(near, 1).indices, 1 / (near + 1))
        links[:, count:].fill_diagonal_(1 / (near + 1))
        if count:
            best, node = cosines.max(1)
            alike = best > _ALIKE
            links[alike] = functional.pad(self.links[node[alike]], (0, len(told)))
        return links

    def _classifiers(self, videos: Videos, classes: int) -> Tensor:
        """(S, D) unit vectors, float64."""
        squares, sums = moments(videos, classes, self.options.unit_videos)
        if self.options.target == "prototype":
            return unit(sums.T)
        by = self.options.ridge * float(squares.diagonal().mean())
        return unit(torch.linalg.solve(ridged(squares, by), sums).T)


def graph(nodes: Tensor, neighbours: int) -> Tensor:
    """(K, K): links among unit vectors (K, A), each row summing to 1."""
    near = (nodes @ nodes.T).topk(min(neighbours, len(nodes)), 1).indices
    links = torch.zeros(len(nodes), len(nodes), dtype=nodes.dtype, device=nodes.device).scatter_(1, near, 1.0)
    links = torch.maximum(links, links.T)
    return links / links.sum(1, keepdim=True)


def _with_room(head: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Before weights are loaded: make room for the graph they were stored with, whatever its size."""
    for name in ("nodes", "links"):
        if (stored := state.get(prefix + name)) is not None:
            setattr(head, name, getattr(head, name).new_zeros(stored.shape))
