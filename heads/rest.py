"""ResT: classes told apart by video alone while their labels' hidden words are read from the video beside it.

    x, states = transformer([CLS], r_1 .. r_T, w_1 .. w_W)            (`cross_modal`)
    L = CE(MLP(x), class) + .5 CE(MLP(state of a hidden word), that word)

Of each label 15 % of the words are hidden, at least one. Both MLPs have one hidden layer of D with a GELU. A class that
was not trained on is told by the seen ones: x is compared with prototypes of these that are put together by how much
their names have in common (`transfer`). Where nothing was put together yet, while a network is trained from pixels, the
classifier says which of the trained classes it is.

Objects that were seen in the frames are further tokens, projected on their own, which say by seven values where they
are (table 9; `Videos.regions`).

The last step alone depends on the constraints of the transfer, so a choice among them (`tune`) trains once.

Paper: Lin et al., Cross-modal Representation Learning for Zero-shot Action Recognition, CVPR 2022, sections 3.2 and
3.3; METHODS section 6.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from heads.base import ClassTexts, Head, Paper, Relatedness, Videos
from heads.cross_modal import ATTENTION, STD, CrossModal
from heads.transfer import UNPUBLISHED, Transfer, TransferOptions
from heads.two_streams import STREAMS, TwoStreams
from heads.words import hidden, tokens_of

_LOSSES = ("cls+mlm", "cls", "mlm")


@dataclasses.dataclass(frozen=True)
class RestNetworkOptions:
    """What of ResT has weights.

    Attributes
    ----------
    hidden_size, depth, heads : D, layers, heads of attention
    dropout : within the layers
    sequence : `transformer`; `rnn` or `lstm`, as two streams
    attention : `single`: video does not look at words; `full`: it does
    losses : `cls+mlm`, or one of them alone
    mlm_weight : of the hidden words
    hide : share of the words that are hidden
    """

    hidden_size: int = 768
    depth: int = 12
    heads: int = 12
    dropout: float = 0.1
    sequence: str = "transformer"
    attention: str = "single"
    losses: str = "cls+mlm"
    mlm_weight: float = 0.5
    hide: float = 0.15

    def __post_init__(self) -> None:
        known = {"sequence": ("transformer", *STREAMS), "attention": ATTENTION, "losses": _LOSSES}
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} is {' or '.join(values)}, got {getattr(self, name)!r}.")
        for name, share in (("dropout", self.dropout < 1), ("hide", self.hide <= 1)):
            if not (share and getattr(self, name) >= 0):
                raise ValueError(f"{name} is a share from 0 to 1, got {getattr(self, name)}.")
        if not self.mlm_weight >= 0:
            raise ValueError(f"mlm_weight must be at least 0, got {self.mlm_weight}.")
        for name in ("hidden_size", "depth", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")


@dataclasses.dataclass(frozen=True)
class RestOptions(TransferOptions, RestNetworkOptions):
    """Settings of `ResT`: of its network, and of the transfer that judges."""

    def __post_init__(self) -> None:
        RestNetworkOptions.__post_init__(self)
        TransferOptions.__post_init__(self)

    @property
    def transfer(self) -> TransferOptions:
        """Those of the transfer."""
        return TransferOptions(**{f.name: getattr(self, f.name) for f in dataclasses.fields(TransferOptions)})


class ResT(Head):
    """The head, and with a network of frames below it the whole system.

    Parameters
    ----------
    width, text_width : p and A
    options : RestOptions
    segments : T
    """

    Options = RestOptions
    paper = Paper(
        "ResT, 2022",
        {"feature": ("c3d",), "encoder": ("word_vectors",)},
        (*UNPUBLISHED, "learned positions and words, whole words, a dropout and hidden layers that are not published"),
    )
    published = {
        "optimiser": "adamw",
        "lr": 1.5e-4,
        "weight_decay": 0.05,
        "batch": 16,
        "epochs": 50,
        "schedule": "cosine",
    }
    needs_segments = True
    objects_told = "seen"
    late = tuple(field.name for field in dataclasses.fields(TransferOptions))

    def __init__(self, width: int, text_width: int, options: RestOptions, segments: int = 1) -> None:
        super().__init__()
        self.options = options
        self.transfer = Transfer(options.hidden_size, text_width, options.transfer)
        self.uses_unseen_texts = self.transfer.uses_unseen_texts
        self._sizes: tuple[int, ...] = ()
        self.classifier: nn.Module
        self.words: _Words
        self.regions: nn.Linear | None
        self.network: CrossModal | TwoStreams
        if options.sequence == "transformer":
            sizes = (options.hidden_size, options.depth, options.heads, options.dropout)
            self.network = CrossModal(width, segments, *sizes, options.attention)
        else:
            self.network = TwoStreams(options.sequence, width, options.hidden_size)

    @property
    def parts(self) -> tuple[str, ...]:
        """The losses that are minimised."""
        return tuple(self.options.losses.split("+"))

    def begin(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """As `Head.begin`: the labels as words, and as many outputs as there are classes and words."""
        if videos.regions is not None and self.options.sequence != "transformer":
            raise ValueError("objects have no order that a recurrent network could read: take sequence=transformer")
        self._labels, vocabulary = tokens_of(seen.names)
        regions = 0 if videos.regions is None else videos.regions.shape[2]
        self._sized(len(seen), vocabulary, self._labels.shape[1], regions)
        self.to(videos.segments)

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """As `Head.loss`: `classes` and `words`."""
        assert videos.labels is not None
        labels = self._labels.to(videos.labels.device)[videos.labels]
        told, chosen = hidden(labels, self.options.hide)
        x, states = self.network(videos.segments, self.words(told), self._more(videos))
        found = {}
        if "cls" in self.parts:
            found["classes"] = functional.cross_entropy(self.classifier(x), videos.labels)
        if "mlm" in self.parts:
            of_words = functional.cross_entropy(self.words.read(states[chosen]), labels[chosen])
            found["words"] = self.options.mlm_weight * of_words
        return found

    def finish(self, videos: Iterable[Videos], seen: ClassTexts, unseen: ClassTexts | None = None) -> None:
        """As `Head.finish`: the prototypes of the seen classes."""
        batches = [(self.x(batch), batch.labels) for batch in videos]
        labels = torch.cat([labels for _, labels in batches if labels is not None])
        self.transfer.begin(Videos(torch.cat([x for x, _ in batches])[:, None], labels), seen, unseen)

    def x(self, videos: Videos) -> Tensor:
        """(N, D): what stands for each video."""
        return self.network.seen(videos.segments, self._more(videos))

    def _more(self, videos: Videos) -> Tensor | None:
        """(N, r, D): objects as tokens, NaN where there are none."""
        if self.regions is None or videos.regions is None:
            return None
        lacking = videos.regions.isnan().any(2, keepdim=True)
        tokens: Tensor = self.regions(videos.regions.nan_to_num())
        return tokens.masked_fill(lacking, torch.nan)

    def scores(self, videos: Videos, classes: ClassTexts) -> Tensor:
        """As `Head.scores`: cosines with prototypes; before there are any the classifier's, of classes trained on."""
        x = self.x(videos)
        if not len(self.transfer.means):
            scores: Tensor = self.classifier(x)
            return scores
        return self.transfer.scores(Videos(x[:, None]), classes)

    def class_vectors(self, classes: ClassTexts) -> Tensor | None:
        """As `Head.class_vectors`."""
        return self.transfer.prototypes(classes)

    def video_vectors(self, videos: Videos) -> Tensor | None:
        """As `Head.video_vectors`."""
        return self.transfer.embedded(Videos(self.x(videos)[:, None]))

    def relatedness(self, classes: ClassTexts) -> Relatedness | None:
        """As `Head.relatedness`."""
        return self.transfer.relatedness(classes)

    def _sized(self, *sizes: int) -> None:
        """The layers whose size follows from (classes, vocabulary, words, C); those there are stay."""
        if sizes != self._sizes:
            self._sizes = sizes
            self.classifier = _mlp(self.options.hidden_size, sizes[0])
            self.words = _Words(self.options.hidden_size, *sizes[1:3])
            self.regions = nn.Linear(sizes[3], self.options.hidden_size) if sizes[3] else None

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *others: Any) -> None:
        """As `Module._load_from_state_dict`, for however many classes and words there were."""
        classes = len(state_dict[f"{prefix}classifier.2.bias"])
        vocabulary, words = (len(state_dict[f"{prefix}words.{name}"]) for name in ("embedding.weight", "positions"))
        regions = state_dict.get(f"{prefix}regions.weight")
        self._sized(classes, vocabulary, words, 0 if regions is None else regions.shape[1])
        self.to(state_dict[f"{prefix}classifier.2.bias"].dtype)
        super()._load_from_state_dict(state_dict, prefix, *others)


class _Words(nn.Module):
    """Words as tokens of the transformer, and read from it.

    Parameters
    ----------
    hidden_size : D
    vocabulary : words, and the two tokens that are none
    words : W
    """

    def __init__(self, hidden_size: int, vocabulary: int, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden_size)
        self.positions = nn.Parameter(torch.empty(words, hidden_size))
        for fresh in (self.embedding.weight, self.positions):
            nn.init.normal_(fresh, std=STD)
        self.read = _mlp(hidden_size, vocabulary)

    def forward(self, words: Tensor) -> Tensor:
        """(B, W) int64 -> (B, W, D)."""
        told: Tensor = self.embedding(words) + self.positions[: words.shape[1]]
        return told


def _mlp(hidden_size: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.GELU(), nn.Linear(hidden_size, outputs))
