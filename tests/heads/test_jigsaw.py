"""JigsawNet: alignment, excitation, consistency and its memory, against the formulas in plain loops."""

import itertools
import math

import pytest
import torch
from torch.nn import functional

from heads.jigsaw import CONSISTENCIES, EXCITATIONS, TARGETS, JigsawNet, JigsawOptions, Memory
from tests.heads import made
from tests.heads.loops import (
    add,
    cross_entropy,
    dot,
    linear,
    marked,
    mean,
    norm,
    rows,
    sigmoid,
    softmax,
    weighted,
)

TAU, EPSILON, HEADS = 0.3, 0.3, 2
OBJECTS = ("all", "some", "none")


def made_jigsaw(**options) -> JigsawNet:
    torch.manual_seed(0)
    given = {"heads": HEADS, "tau": TAU, "epsilon": EPSILON, "dropout": 0} | options
    return made.shaken(JigsawNet(made.D, made.A, JigsawOptions(**given)))


class Loops:
    """A head again, from its weights alone; it keeps a vision cache of its own."""

    def __init__(self, head: JigsawNet, classes) -> None:
        self.head, self.options = head, head.options
        kind = "phrase" if head.options.groups else "elaboration"
        self.phrases = [norm(self.text(f)) for f in rows(classes[kind].features)]
        self.own = made.of_class(classes, kind)
        self.memory = [list(g) for g in self.phrases]
        self.similarity = [EPSILON] * len(self.phrases)
        self.taken = 0

    def text(self, features):
        return add(features, linear(self.head.text.linear, features))

    # -- groups

    def group(self, batch, i):
        """Raw segments, excited ones, and objects (one, or one a segment; None without), all unit vectors."""
        told = rows(batch.segments)[i]
        raw = [linear(self.head.video, s) for s in (told if self.options.groups else [mean(told)])]
        has = batch.objects is not None and made.there(batch)[i]
        objects = self.text(rows(batch.objects)[i]) if has else None
        tokens = raw + ([objects] if has else [])
        if self.options.ge == "attention":
            tokens = self.attention(tokens)
        elif self.options.ge == "encoder":
            tokens = self.encoder(tokens)
        tokens = [norm(t) for t in tokens]
        segments, told_objects = tokens[: len(raw)], tokens[len(raw) :] if has else None
        if self.options.ge == "encoder" and has:
            segments, told_objects = self.gated(segments, told_objects[0])
        return [norm(s) for s in raw], segments, told_objects

    def attention(self, tokens):
        """Equations 16-18, with the softmax that the print lost, and the scale sqrt(d / h)."""
        ge = self.head.excite
        width = made.A // HEADS
        out = [[] for _ in tokens]
        for j in range(HEADS):
            part = slice(j * width, (j + 1) * width)
            query, key, value = ([linear(layer, t)[part] for t in tokens] for layer in (ge.query, ge.key, ge.value))
            for x, q in enumerate(query):
                weights = softmax([dot(q, k) / math.sqrt(width) for k in key])
                out[x] += weighted(weights, value)
        return [linear(ge.out, o) for o in out]

    def encoder(self, tokens):
        """A post-norm encoder layer with ReLU."""
        layer, width = self.head.excite.layer, made.A // HEADS
        weight, bias = rows(layer.self_attn.in_proj_weight), rows(layer.self_attn.in_proj_bias)
        joined = [[dot(row, t) + b for row, b in zip(weight, bias, strict=True)] for t in tokens]
        after = []
        for x, token in enumerate(tokens):
            heads = []
            for j in range(HEADS):
                query, key, value = (slice(o + j * width, o + (j + 1) * width) for o in (0, made.A, 2 * made.A))
                weights = softmax([dot(joined[x][query], other[key]) / math.sqrt(width) for other in joined])
                heads += weighted(weights, [other[value] for other in joined])
            mixed = layer_norm(layer.norm1, add(token, linear(layer.self_attn.out_proj, heads)))
            inner = [max(h, 0.0) for h in linear(layer.linear1, mixed)]
            after.append(layer_norm(layer.norm2, add(mixed, linear(layer.linear2, inner))))
        return after

    def gated(self, segments, objects):
        """ER's gates, the objects gated for each segment."""
        gates, videos, told = self.head.excite.gates, [], []
        for segment in segments:
            for network, vector, found in ((gates.video, segment, videos), (gates.object, objects, told)):
                hidden = [max(h, 0.0) for h in linear(network[0], segment + objects)]
                gate = [sigmoid(g) for g in linear(network[3], hidden)]
                found.append(norm([g * x for g, x in zip(gate, vector, strict=True)]))
        return videos, told

    # -- alignment

    def aligned(self, batch):
        """Equations 3-6: p, p_a and p_o, a row a video; p_o is None for a video without objects."""
        joined, by_group, by_object = [], [], []
        for i in range(len(batch)):
            _, segments, objects = self.group(batch, i)
            p_a = [self.best(segments, own) for own in self.own]
            p_o = None if objects is None else [self.best(objects, own) for own in self.own]
            by_group.append(p_a)
            by_object.append(p_o)
            joined.append(p_a if p_o is None else [a + max(o, 0.0) for a, o in zip(p_a, p_o, strict=True)])
        return joined, by_group, by_object

    def best(self, vectors, own):
        return sum(max(dot(f, self.phrases[y]) for y in own) for f in vectors) / len(vectors)

    def act(self, batch, labels):
        """Equations 7 and 8."""
        joined, by_group, by_object = self.aligned(batch)
        loss = cross_entropy(joined, labels, TAU)
        told = [(row, label) for row, label in zip(by_object, labels, strict=True) if row is not None]
        if not told:
            return loss
        loss += cross_entropy(by_group, labels, TAU)
        return loss + cross_entropy([row for row, _ in told], [label for _, label in told], TAU)

    def rehearsal(self, batch):
        found, targets = made.own_concepts(batch)
        told = rows(batch.concept_features)
        concepts = [norm(self.text(told[c])) for c in found]
        both, by_video, by_object = [], [], []
        for i in range(len(batch)):
            _, segments, objects = self.group(batch, i)
            by_video.append([max(dot(f, c) for f in segments) for c in concepts])
            by_object.append(
                [0.0] * len(concepts)
                if objects is None
                else [sum(dot(o, c) for o in objects) / len(objects) for c in concepts]
            )
            both.append([v + max(o, 0.0) for v, o in zip(by_video[-1], by_object[-1], strict=True)])
        return sum(marked(scores, targets, TAU) for scores in (both, by_video, by_object))

    # -- consistency

    def consistency(self, batch, labels):
        """Equations 10-13, then 14 segment after segment."""
        joined, _, _ = self.aligned(batch)
        loss, hits = 0.0, []
        for i, label in enumerate(labels):
            raw, excited, _ = self.group(batch, i)
            chosen = joined[i].index(max(joined[i])) if self.options.target == "predicted" else label
            used = excited if self.options.consistency == "excited" else raw
            others = [n for n in range(len(self.phrases)) if n not in self.own[chosen]]
            for f_hat, f in zip(excited, used, strict=True):
                slot = max(self.own[chosen], key=lambda y: dot(f_hat, self.phrases[y]))
                negative = max(others, key=lambda n: dot(f, self.memory[n]))
                loss += max(1 - dot(f, self.memory[slot]) + dot(f, self.memory[negative]), 0.0)
                hits.append((slot, f))
        for slot, f in hits:
            similarity = dot(f, self.phrases[slot])
            if similarity > self.similarity[slot]:
                self.memory[slot], self.similarity[slot] = f, similarity
                self.taken += 1
        return loss / len(labels)


def layer_norm(layer, a):
    middle = sum(a) / len(a)
    spread = math.sqrt(sum((x - middle) ** 2 for x in a) / len(a) + layer.eps)
    weight, bias = rows(layer.weight), rows(layer.bias)
    return [w * (x - middle) / spread + b for x, w, b in zip(a, weight, bias, strict=True)]


@pytest.mark.parametrize(("ge", "groups", "objects"), list(itertools.product(EXCITATIONS, (True, False), OBJECTS)))
def test_scores_are_equations_3_to_6_on_what_equations_16_to_18_give(ge, groups, objects):
    head, batch, seen = made_jigsaw(ge=ge, groups=groups).eval(), made.videos(objects), made.seen()
    assert made.close(head.scores(batch, seen), Loops(head, seen).aligned(batch)[0])


@pytest.mark.parametrize(("ge", "objects"), list(itertools.product(EXCITATIONS, OBJECTS)))
def test_the_matching_loss_is_equation_8(ge, objects):
    head, batch, seen = made_jigsaw(ge=ge), made.videos(objects), made.seen()
    assert made.close(head.loss(batch, seen)["act"], Loops(head, seen).act(batch, made.LABELS.tolist()))


@pytest.mark.parametrize(
    ("ge", "groups", "objects"), list(itertools.product(EXCITATIONS, (True, False), ("all", "some")))
)
def test_the_er_loss_takes_the_best_segment_for_each_object(ge, groups, objects):
    head, batch, seen = made_jigsaw(ge=ge, groups=groups), made.videos(objects), made.seen()
    assert made.close(head.loss(batch, seen)["er"], Loops(head, seen).rehearsal(batch))


@pytest.mark.parametrize(
    ("ge", "consistency", "target", "groups"),
    list(itertools.product(EXCITATIONS, ("excited", "raw"), TARGETS, (True, False))),
)
def test_consistency_is_equations_9_to_14_over_several_batches(ge, consistency, target, groups):
    head = made_jigsaw(ge=ge, consistency=consistency, target=target, groups=groups)
    plain = Loops(head, made.seen())
    for seed in range(1, 5):
        batch = made.videos("some", seed=seed)
        found = head.loss(batch, made.seen())["cons"]
        assert made.close(found, plain.consistency(batch, made.LABELS.tolist()))
        assert made.close(head._memory.features, plain.memory)
        assert made.close(head._memory.similarity, plain.similarity)
    assert plain.taken > 0  # some slot has taken a segment, or nothing was shown


def test_the_predicted_class_is_not_the_label_in_what_these_tests_show():
    head, batch = made_jigsaw().eval(), made.videos("all")
    assert not torch.equal(head.scores(batch, made.seen()).argmax(1), made.LABELS)


# -- the memory on its own --------------------------------------------------------------------------------------------


def phrases() -> torch.Tensor:
    return torch.eye(3, 4, dtype=torch.float64)


def towards(phrase: int, by: float, sign: float = 1.0) -> torch.Tensor:
    """A unit vector whose cosine with a phrase is `by`."""
    found = torch.zeros(4, dtype=torch.float64)
    found[phrase], found[3] = by, sign * math.sqrt(1 - by * by)
    return found


def test_a_fresh_memory_is_the_text_and_claims_epsilon():
    memory = Memory(phrases(), 0.3)
    assert torch.equal(memory.features, phrases())
    assert memory.similarity.tolist() == [0.3] * 3


def test_of_several_segments_that_hit_one_slot_the_best_stays_whatever_their_order():
    segments = [towards(0, 0.5), towards(0, 0.9), towards(0, 0.7), towards(1, 0.4)]
    slots = [0, 0, 0, 1]
    for order in itertools.permutations(range(4)):
        memory = Memory(phrases(), 0.3)
        batch = torch.stack([segments[x] for x in order]).reshape(2, 2, 4)
        memory.update(batch, torch.tensor([slots[x] for x in order]).reshape(2, 2), phrases())
        assert torch.equal(memory.features, torch.stack([segments[1], segments[3], phrases()[2]]))
        assert memory.similarity.tolist() == pytest.approx([0.9, 0.4, 0.3])


def test_of_equally_good_segments_the_first_of_the_batch_is_taken():
    memory = Memory(phrases(), 0.3)
    first, second = towards(0, 0.6), towards(0, 0.6, -1.0)
    memory.update(torch.stack([first, second])[None], torch.zeros(1, 2, dtype=torch.int64), phrases())
    assert torch.equal(memory.features[0], first)


@pytest.mark.parametrize(("by", "taken"), [(0.29, False), (0.3, False), (0.31, True)])
def test_a_slot_is_taken_only_by_what_beats_it(by, taken):
    memory = Memory(phrases(), 0.3)
    segment = torch.zeros(4, dtype=torch.float64)
    segment[0] = by
    memory.update(segment[None, None], torch.zeros(1, 1, dtype=torch.int64), phrases())
    assert torch.equal(memory.features[0], segment) == taken


def test_a_slot_keeps_its_best_segment_over_batches():
    memory = Memory(phrases(), 0.3)
    for by in (0.5, 0.8, 0.6):
        memory.update(towards(2, by)[None, None], torch.full((1, 1), 2), phrases())
    assert torch.equal(memory.features[2], towards(2, 0.8))


def test_the_hinge_is_nought_where_the_slot_is_nearer_by_one():
    memory = Memory(phrases(), 0.3)
    segments = torch.stack([towards(0, 1.0), -towards(1, 1.0)])[:, None]
    own = torch.tensor([[True, False, False], [False, True, False]])
    slots = torch.tensor([[0], [1]])
    assert memory.loss(segments[:1], slots[:1], own[:1]).item() == 0
    assert memory.loss(segments, slots, own).item() == pytest.approx((0 + 2) / 2)


def test_the_memory_carries_no_gradient_and_may_change_before_the_loss_goes_back():
    head, batch = made_jigsaw(), made.videos("all")
    before = head.loss(batch, made.seen())["cons"]
    features = head._memory.features.clone()
    assert not head._memory.features.requires_grad
    loss = head.loss(made.videos("all", seed=3), made.seen())["cons"]
    assert not torch.equal(head._memory.features, features)
    before.backward(retain_graph=True)
    loss.backward()
    assert bool(head.video.weight.grad.isfinite().all())


def test_the_memory_starts_again_with_each_epoch():
    head, seen = made_jigsaw(), made.seen()
    first = head.loss(made.videos(), seen)["cons"]
    head.loss(made.videos(seed=3), seen)
    assert not torch.equal(head.loss(made.videos(), seen)["cons"], first)
    head.epoch()
    assert torch.equal(head.loss(made.videos(), seen)["cons"], first)


def test_judging_neither_reads_nor_fills_the_memory():
    head = made_jigsaw().eval()
    head.scores(made.videos(), made.seen())
    assert head._memory is None


def test_where_every_phrase_is_the_classs_own_there_is_nothing_to_keep_apart():
    head, batch = made_jigsaw(), made.videos("none")
    alone = made.seen().of([2])
    batch = batch.take(torch.tensor([0]))
    batch.labels[:] = 0
    assert head.loss(batch, alone)["cons"].item() == 0


# -- ablations --------------------------------------------------------------------------------------------------------


def test_without_ge_raw_and_excited_segments_are_the_same():
    seen, batch = made.seen(), made.videos("all")
    excited, raw = (made_jigsaw(ge="none", consistency=which).loss(batch, seen) for which in ("excited", "raw"))
    assert {name: float(part.detach()) for name, part in excited.items()} == {
        name: float(part.detach()) for name, part in raw.items()
    }


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({}, {"act", "er", "cons"}),
        ({"consistency": "none"}, {"act", "er"}),
        ({"cons_weight": 0.0}, {"act", "er"}),
        ({"er_weight": 0.0}, {"act", "cons"}),
        ({"er_weight": 0.0, "consistency": "none", "ge": "none"}, {"act"}),
    ],
)
def test_what_is_switched_off_is_no_part_of_the_loss(options, parts):
    assert set(made_jigsaw(**options).loss(made.videos("all"), made.seen())) == parts
    assert set(made_jigsaw(**options).loss(made.videos("none"), made.seen())) == parts - {"er"}


def test_weights_scale_their_parts():
    one, other = (made_jigsaw(er_weight=w, cons_weight=2 * w).loss(made.videos("all"), made.seen()) for w in (1.0, 3.0))
    assert torch.allclose(other["er"], 3 * one["er"])
    assert torch.allclose(other["cons"], 3 * one["cons"])
    assert torch.equal(other["act"], one["act"])


def test_one_to_one_is_the_cosine_of_the_whole_video_with_the_whole_text_of_a_class():
    head, batch, seen = made_jigsaw(ge="none", groups=False).eval(), made.videos("none"), made.seen()
    texts = rows(seen["elaboration"].features)
    told = [texts[row] for row in seen["elaboration"].text.tolist()]
    wanted = []
    for segments in rows(batch.segments):
        video = linear(head.video, mean(segments))
        each = [add(t, linear(head.text.linear, t)) for t in told]
        wanted.append([dot(video, t) / math.sqrt(dot(video, video) * dot(t, t)) for t in each])
    assert made.close(head.scores(batch, seen), wanted)


def test_excitation_lets_a_segment_see_the_others_and_the_objects_of_its_own_video_only():
    head, batch = made_jigsaw().eval(), made.videos("all")
    segments = batch.segments.clone().requires_grad_()
    objects = batch.objects.clone().requires_grad_()
    excited = head.groups(type(batch)(segments, None, objects))[1]
    excited[1, 0, 0].backward()
    assert segments.grad.abs().sum((1, 2)).gt(0).tolist() == [False, True, False, False, False]
    assert segments.grad[1].abs().sum(1).gt(0).tolist() == [True] * made.M
    assert objects.grad.abs().sum(1).gt(0).tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("consistency", CONSISTENCIES)
def test_groups_and_whole_texts_are_read_as_the_variant_says(consistency):
    assert JigsawNet.reads(JigsawOptions(consistency=consistency)) == ("phrase",)
    assert JigsawNet.reads(JigsawOptions(groups=False, consistency=consistency)) == ("elaboration",)


def test_the_winner_of_a_segment_is_its_best_phrase_of_the_chosen_class():
    head, batch, seen = made_jigsaw().eval(), made.videos("some"), made.seen()
    plain = Loops(head, seen)
    phrase, similar = head.winners(batch, seen, made.LABELS)
    for i, label in enumerate(made.LABELS.tolist()):
        for x, segment in enumerate(plain.group(batch, i)[1]):
            best = max(plain.own[label], key=lambda y: dot(segment, plain.phrases[y]))
            assert phrase[i, x].item() == best
            assert similar[i, x].item() == pytest.approx(dot(segment, plain.phrases[best]))


def test_a_class_can_be_a_group_of_several_kinds_of_text():
    head = JigsawNet(made.A, made.A, JigsawOptions(texts="phrase+class", heads=2, ge="none", residual=True)).double()
    batch, seen = made.videos("none", width=made.A), made.seen()
    assert head.reads(head.options) == ("phrase", "class")
    kinds = [seen["phrase"], seen["class"]]
    for n, row in enumerate(head.scores(batch, seen).tolist()):
        for k, score in enumerate(row):
            own = [kind.features[kind.text[kind.owner == k]] for kind in kinds]
            group = functional.normalize(torch.cat(own), dim=-1)
            segments = functional.normalize(batch.segments[n], dim=-1)
            assert score == pytest.approx(float((segments @ group.T).amax(1).mean()))
