"""JigsawNet: groups of video segments against groups of verb phrases, excited within and consistent across samples.

    F (N, m, d) segments, O (N, d) objects, G (P, d) phrases, M (P, d) memory; W_k the phrases of class k

    GE      [F; O] -attention over the m + 1 tokens of one video-> unit vectors f, o       (eq. 16-18)
    GA      p_xy = f_x.g_y,  p_a = mean_x max_{y in W_k} p_xy,  p_o = max_{y in W_k} o.g_y,  p = p_a + max(p_o, 0)
                                                                                            (eq. 3-6)
    L_act   CE(p / tau) + CE(p_a / tau) + CE(p_o / tau)                                     (eq. 7-8)
    L_cons  mean over videos of sum_x max(1 - f_x.M[s_x] + f_x.M[n_x], 0)                   (eq. 9-13)
            s_x the best phrase of the predicted class, n_x the phrase out of that class whose memory is nearest
    M[s_x] <- f_x where f_x.g[s_x] exceeds the similarity kept for that slot                (eq. 14)
    L_er    ER's loss; a group's score against an object is its best segment's

Only p judges. Every part can be switched off, as the ablations do; `groups=False` is the one-to-one variant of table 3.

Departures. The printed eq. 17 lost its softmax. Text features are cached, so all phrases are projected anew in each
step, which is what the published action cache approximates. The published code attends across videos; this does not.

Paper: JigsawNet (Qian et al., ECCV 2022); METHODS section 4.
"""

import dataclasses
import functools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from heads.base import ClassTexts, Head, Paper, Texts, Videos
from heads.er import Gates, candidates, marked_loss
from heads.projection import Projection, has_objects, unit

EXCITATIONS = ("attention", "encoder", "none")
CONSISTENCIES = ("excited", "raw", "none")
TARGETS = ("predicted", "label")


@dataclasses.dataclass(frozen=True)
class JigsawOptions:
    """Settings of `JigsawNet`.

    Attributes
    ----------
    groups : align groups; False: one whole-video feature against one whole-class text (table 3)
    ge : `attention` (the paper's), `encoder` (the code's layer and gates), `none`
    consistency : on `excited` features, on `raw` ones before GE, or `none`
    target : the class whose phrases a segment may be: `predicted` (paper) or `label` (code)
    heads : attention heads
    tau : temperature, the paper's lambda
    epsilon : similarity a fresh memory slot claims, so that real features replace the text soon
    dropout : in the encoder layer and its gates
    er_weight, cons_weight : of the ER and the consistency loss
    residual : projections and attention that start from the identity, for videos in the texts' own space
    texts : kinds of text a class is a group of, joined with +; the paper's are verb phrases
    """

    groups: bool = True
    ge: str = "attention"
    consistency: str = "excited"
    target: str = "predicted"
    heads: int = 8
    tau: float = 0.1
    epsilon: float = 0.3
    dropout: float = 0.1
    er_weight: float = 1.0
    cons_weight: float = 1.0
    residual: bool = False
    texts: str = "phrase"

    def __post_init__(self) -> None:
        for name, known in (("ge", EXCITATIONS), ("consistency", CONSISTENCIES), ("target", TARGETS)):
            if getattr(self, name) not in known:
                raise ValueError(f"JigsawNet's {name} is {', '.join(known)}, got {getattr(self, name)!r}.")


class JigsawNet(Head):
    """The JigsawNet head; d is the width of the texts.

    Parameters
    ----------
    width, text_width : D and A
    options : JigsawOptions
    """

    Options = JigsawOptions
    paper = Paper(
        "JigsawNet, 2022",
        {
            "feature": ("r2plus1d_34_segments", "r2plus1d_18_segments", "tsm_resnet50"),
            "encoder": ("bert_base_uncased",),
            "objects": ("bit_objects",),
        },
        still=(
            "the backbone is not fine-tuned",
            "of the backbone the last layers learn, on clips that are not cropped anew",
        ),
        frozen=(
            "BERT's last layers are not trained",
            "all phrases are projected anew in each step, in place of the action cache",
        ),
    )
    published = {
        "optimiser": "sgd",
        "lr": 1e-4,
        "weight_decay": 5e-4,
        "batch": 28,
        "epochs": 15,
        "schedule": "plateau",
        "factor": 0.1,
        "patience": 1,
    }

    def __init__(self, width: int, text_width: int, options: JigsawOptions) -> None:
        super().__init__()
        self.options = options
        self.video = nn.Linear(width, text_width, bias=not options.residual)
        if options.residual:
            if width != text_width:
                raise ValueError(f"A residual projection keeps the width: {width} into {text_width} cannot be.")
            nn.init.zeros_(self.video.weight)
        self.text = Projection(text_width, text_width, residual=True)
        self.excite: nn.Module | None = None
        if options.ge == "attention":
            self.excite = GroupExcitation(text_width, options.heads, options.residual)
        elif options.ge == "encoder":
            self.excite = EncoderExcitation(text_width, options.heads, options.dropout)
        self._memory: Memory | None = None

    def epoch(self) -> None:
        """As `Head.epoch`: the vision cache starts again from the text."""
        self._memory = None

    @classmethod
    def reads(cls, options: JigsawOptions) -> tuple[str, ...]:
        """As `Head.reads`: phrases, or whole texts where groups are not aligned."""
        return tuple(options.texts.split("+")) if options.groups else ("elaboration",)

    # -- groups -------------------------------------------------------------------------------------------------------

    def phrases(self, classes: ClassTexts) -> Texts:
        """The texts a class is a group of."""
        first, *others = (classes[kind] for kind in self.reads(self.options))
        return functools.reduce(Texts.with_those, others, first)

    def groups(self, videos: Videos) -> tuple[Tensor, Tensor, Tensor | None]:
        """Raw segments (N, m, d), excited ones, and objects (N, s, d): unit vectors; None where no video has objects.

        s is 1, or m where the encoder's gates tell the objects anew for each segment; zero for a video without objects.
        """
        segments = videos.segments if self.options.groups else videos.segments.mean(1, keepdim=True)
        projected = self.video(segments)
        raw = segments + projected if self.options.residual else projected
        there = has_objects(videos.objects)
        objects = None
        if there is not None and videos.objects is not None:
            known = torch.nan_to_num(videos.objects)
            objects = (known + self.text.linear(known))[:, None]  # GE takes both kinds of token as they are
        excited = unit(raw)
        if self.excite is not None:
            excited, objects = self.excite(raw, objects, there)
        if there is not None and objects is not None:
            objects = unit(objects) * there[:, None, None]
        return unit(raw), excited, objects

    def _aligned(self, videos: Videos, classes: ClassTexts) -> "_Aligned":
        texts = self.phrases(classes)
        phrases = self.text(texts.features)
        raw, excited, objects = self.groups(videos)
        table = texts.padded(len(classes))
        similar = excited @ phrases.T
        by_group = group_scores(similar, table)
        by_object = None if objects is None else group_scores(objects @ phrases.T, table)
        joined = by_group if by_object is None else by_group + by_object.clamp(min=0)
        return _Aligned(raw, excited, objects, phrases, table, similar, by_group, by_object, joined)

    # -- learning -----------------------------------------------------------------------------------------------------

    def loss(self, videos: Videos, seen: ClassTexts, unseen: ClassTexts | None = None) -> dict[str, Tensor]:
        """As `Head.loss`: `act`, and `er` and `cons` where they are on."""
        assert videos.labels is not None
        options, tau = self.options, self.options.tau
        found = self._aligned(videos, seen)
        act = functional.cross_entropy(found.joined / tau, videos.labels)
        if found.by_object is not None and found.objects is not None:
            there = found.objects.abs().sum((1, 2)) > 0
            act = act + functional.cross_entropy(found.by_group / tau, videos.labels)
            act = act + functional.cross_entropy(found.by_object[there] / tau, videos.labels[there])
        parts = {"act": act}
        if found.objects is not None and videos.concepts is not None and options.er_weight:
            parts["er"] = options.er_weight * self.rehearsal(found.excited, found.objects, videos)
        if options.consistency != "none" and options.cons_weight:
            if self._memory is None:
                self._memory = Memory(found.phrases, options.epsilon)
            segments = found.excited if options.consistency == "excited" else found.raw
            chosen = found.joined.argmax(1) if options.target == "predicted" else videos.labels
            own, slots = self._memory.slots(found.similar, found.table[chosen])
            parts["cons"] = options.cons_weight * self._memory.loss(segments, slots, own)
            self._memory.update(segments, slots, found.phrases)
        return parts

    def rehearsal(self, segments: Tensor, objects: Tensor, videos: Videos) -> Tensor:
        """ER's loss for groups: s_v of a concept is the max over the segments; objects as in `groups`."""
        features, targets = candidates(videos)
        concepts = self.text(features)
        by_video = (segments @ concepts.T).amax(1)
        by_object = (objects @ concepts.T).mean(1)
        return marked_loss((by_video + by_object.clamp(min=0), by_video, by_object), targets, self.options.tau)

    # -- judging ------------------------------------------------------------------------------------------------------

    def scores(self, videos: Videos, classes: ClassTexts) -> Tensor:
        """As `Head.scores`: p."""
        return self._aligned(videos, classes).joined

    def class_vectors(self, classes: ClassTexts) -> Tensor:
        """As `Head.class_vectors`: a group of phrases is told by its mean."""
        own = self.phrases(classes)
        return own.mean(self.text(own.features), len(classes))

    def video_vectors(self, videos: Videos) -> Tensor:
        """As `Head.video_vectors`: excited segments are told by their mean."""
        return self.groups(videos)[1].mean(1)

    def winners(self, videos: Videos, classes: ClassTexts, chosen: Tensor) -> tuple[Tensor, Tensor] | None:
        """As `Head.winners` (figure 4), rows of `phrases`; None where groups are not aligned."""
        if not self.options.groups:
            return None
        found = self._aligned(videos, classes)
        own = found.table[chosen]
        values = _gathered(found.similar, own)
        best = values.argmax(-1)
        return torch.gather(own, 1, best), values.amax(-1)


@dataclasses.dataclass(frozen=True)
class _Aligned:
    """A batch against classes: unit groups, similarities and scores."""

    raw: Tensor
    excited: Tensor
    objects: Tensor | None
    phrases: Tensor
    table: Tensor
    similar: Tensor
    by_group: Tensor
    by_object: Tensor | None
    joined: Tensor


def best_of(similar: Tensor, table: Tensor) -> Tensor:
    """(..., K): the largest of similarities (..., P) over each class's phrases; `table` as `Texts.padded` gives it."""
    with torch.no_grad():  # the gradient of a maximum goes to one entry: only that is looked up with one
        ended = table < 0
        values = similar[..., table.clamp(min=0)].masked_fill(ended, -math.inf)
        rows = torch.gather(table.expand_as(values), -1, values.argmax(-1, keepdim=True)).squeeze(-1)
    best = torch.gather(similar, -1, rows.clamp(min=0))
    return best.masked_fill(ended.all(-1), -math.inf)


def group_scores(similar: Tensor, table: Tensor) -> Tensor:
    """(N, K) p_a: mean over segments of the best phrase of each class (eq. 3-4)."""
    return best_of(similar, table).mean(1)


def _gathered(similar: Tensor, own: Tensor) -> Tensor:
    """(N, m, k): similarities (N, m, P) of each video's own phrases (N, k); -inf where the table has ended."""
    padded = functional.pad(similar, (0, 1), value=-math.inf)
    rows = torch.where(own < 0, similar.shape[-1], own)
    return torch.gather(padded, 2, rows[:, None, :].expand(-1, similar.shape[1], -1))


class Memory:
    """The vision cache: for each phrase the segment feature most like it so far; it starts as the phrase's text."""

    def __init__(self, phrases: Tensor, epsilon: float) -> None:
        self.features = phrases.detach().clone()
        self.similarity = torch.full((len(phrases),), epsilon, dtype=phrases.dtype, device=phrases.device)

    def slots(self, similar: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """(N, P) bool, the phrases of each video's class; (N, m) s_x, the best of them for each segment (eq. 11)."""
        member = torch.zeros(len(own), len(self.features) + 1, dtype=torch.bool, device=own.device)
        member.scatter_(1, torch.where(own < 0, len(self.features), own), True)
        best = _gathered(similar, own).argmax(-1)
        return member[:, :-1], torch.gather(own, 1, best)

    def loss(self, segments: Tensor, slots: Tensor, own: Tensor) -> Tensor:
        """L_cons of unit segments (N, m, d) (eq. 12-13)."""
        similar = segments @ self.features.T
        near = torch.gather(similar, 2, slots[:, :, None])[:, :, 0]
        if bool(own.all()):
            return segments.sum() * 0  # no phrase lies outside the class
        far = similar.masked_fill(own[:, None, :], -math.inf).amax(-1)
        return (1 - near + far).clamp(min=0).sum(1).mean()

    @torch.no_grad()
    def update(self, segments: Tensor, slots: Tensor, phrases: Tensor) -> None:
        """Eq. 14: a slot takes the segment most like its phrase, if it beats what the slot holds; the order of the
        batch does not matter, and of equals the first is taken."""
        flat, slot = segments.flatten(0, 1), slots.flatten()
        similar = (flat * phrases[slot]).sum(1)
        order = torch.argsort(similar, stable=True, descending=True)
        slot, similar = slot[order], similar[order]
        first = torch.full((len(self.features),), len(slot), device=slot.device)
        first.scatter_reduce_(0, slot, torch.arange(len(slot), device=slot.device), "amin")
        hit = torch.nonzero(first < len(slot)).flatten()
        best = first[hit]
        better = similar[best] > self.similarity[hit]
        hit, best = hit[better], best[better]
        # copies: the loss of this batch still has to go back through what the slots held
        self.features = self.features.index_copy(0, hit, flat[order[best]].to(self.features.dtype))
        self.similarity = self.similarity.index_copy(0, hit, similar[best].to(self.similarity.dtype))


def _tokens(segments: Tensor, objects: Tensor | None, there: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """(N, m + 1, d) tokens, and (N, m + 1) which of them there are: a video without objects has no token for them."""
    if objects is None or there is None:
        return segments, None
    shown = torch.cat([there.new_ones(segments.shape[:2]), there[:, None]], 1)
    return torch.cat([segments, objects], 1), shown


class GroupExcitation(nn.Module):
    """The paper's GE: one multi-head self-attention over the tokens of one video, nothing else.

    Q, K, V (m + 1, d / h) a head; softmax(Q K' / sqrt(d / h)) V, joined, times W_O. With `residual`, added to what came
    in, W_O starting from zero.
    """

    def __init__(self, width: int, heads: int, residual: bool) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide the width {width}.")
        self.heads = heads
        self.residual = residual
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        if residual:
            nn.init.zeros_(self.out.weight)

    def forward(self, segments: Tensor, objects: Tensor | None, there: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(N, m, d), (N, 1, d) or None, (N,) bool or None: which have objects -> unit vectors of the same shapes."""
        tokens, shown = _tokens(segments, objects, there)
        mask = None if shown is None else shown[:, None, None]
        query, key, value = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        attended = functional.scaled_dot_product_attention(query, key, value, mask).transpose(1, 2).flatten(2)
        out = self.out(attended)
        out = unit(tokens + out if self.residual else out)
        return (out, None) if objects is None else (out[:, :-1], out[:, -1:])


class EncoderExcitation(nn.Module):
    """The published code's GE: a post-norm encoder layer, then ER's gates with O gated per segment, p_o averaged."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(width, heads, 2048, dropout, batch_first=True)
        self.gates = Gates(width, dropout)

    def forward(self, segments: Tensor, objects: Tensor | None, there: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """As `GroupExcitation.forward`, but objects come out gated for each segment, (N, m, d)."""
        tokens, shown = _tokens(segments, objects, there)
        out = unit(self.layer(tokens, src_key_padding_mask=None if shown is None else ~shown))
        if objects is None or there is None:
            return out, None
        video = out[:, :-1]
        gated, told = self.gates(video, out[:, -1:].expand_as(video))
        return torch.where(there[:, None, None], gated, video), told
