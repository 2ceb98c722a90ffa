"""CoCo: both alignments, the class feature and the cycle, against the formulas in plain loops."""

import math

import pytest
import torch

from heads.coco import CoCo, CoCoOptions, there_and_back
from heads.er import candidates, rehearsal_loss
from tests.heads import made
from tests.heads.loops import add, dot, rows, scaled, softmax, weighted
from tests.heads.test_er import class_loss, prototypes_of, score_rows, streams_of

TAU, ALPHA, GAMMA = 0.2, 0.3, 0.4
BOTH = ("elaboration", "description")


def made_coco(**options) -> CoCo:
    torch.manual_seed(0)
    given = {"joint": 6, "dropout": 0, "tau": TAU, "alpha": ALPHA, "gamma": GAMMA} | options
    return made.shaken(CoCo(made.D, made.A, CoCoOptions(**given)))


def class_features(head, classes):
    """Equation 10."""
    definitions, descriptions = (prototypes_of(head.streams, classes, kind) for kind in BOTH)
    return [add(scaled(a, ALPHA), scaled(b, 1 - ALPHA)) for a, b in zip(definitions, descriptions, strict=True)]


def attended(asking, told, tau):
    """Equations 11 and 12: for each that asks, the told weighted by how near they are; and the weights."""
    weights = [softmax([dot(a, t) / tau for t in told]) for a in asking]
    return [weighted(row, told) for row in weights], weights


@pytest.mark.parametrize("objects", ["all", "some", "none"])
def test_scores_are_those_of_the_joined_class_feature(objects):
    head, batch, unseen = made_coco().eval(), made.videos(objects), made.unseen()
    joined, _, _ = score_rows(streams_of(head.streams, batch), class_features(head, unseen))
    assert made.close(head.scores(batch, unseen), joined)


def test_alignment_on_video_alone_is_equation_3_with_its_denominator_mended_and_equation_7():
    head, batch, seen = made_coco(), made.videos("none"), made.seen()
    wanted = 0.0
    for kind in BOTH:
        told = prototypes_of(head.streams, seen, kind)
        for (v, _), label in zip(streams_of(head.streams, batch), made.LABELS.tolist(), strict=True):
            below = sum(math.exp(dot(v, z) / TAU) for z in told)
            wanted -= math.log(math.exp(dot(v, told[label]) / TAU) / below) / made.N
    assert made.close(head.loss(batch, seen, made.unseen())["align"], wanted)


@pytest.mark.parametrize("objects", ["all", "some", "none"])
@pytest.mark.parametrize(("texts", "kinds"), [("ad+vc", BOTH), ("ad", BOTH[:1]), ("vc", BOTH[1:])])
def test_alignment_is_ers_class_loss_for_each_kind_of_text(objects, texts, kinds):
    head, batch, seen = made_coco(texts=texts), made.videos(objects), made.seen()
    streams = streams_of(head.streams, batch)
    wanted = sum(class_loss(streams, prototypes_of(head.streams, seen, k), made.LABELS.tolist(), TAU) for k in kinds)
    assert made.close(head.loss(batch, seen, made.unseen())["align"], wanted)
    assert head.reads(head.options) == kinds


@pytest.mark.parametrize("objects", ["all", "some", "none"])
def test_the_cycle_goes_over_unseen_classes_and_back_over_seen_ones(objects):
    head, batch, seen = made_coco(), made.videos(objects), made.seen()
    told = class_features(head, seen)
    forward, _ = attended(told, class_features(head, made.unseen()), TAU)
    back, _ = attended(forward, told, TAU)
    cycle = class_loss(streams_of(head.streams, batch), back, made.LABELS.tolist(), TAU)
    parts = head.loss(batch, seen, made.unseen())
    assert made.close(parts["cycle"], GAMMA * cycle)
    assert set(parts) == {"align", "cycle"} | ({"er"} if objects != "none" else set())


def test_the_er_loss_is_ers_own_on_the_same_streams():
    head, batch = made_coco().eval(), made.videos("some")
    features, targets = candidates(batch)
    wanted = rehearsal_loss(head.streams(batch), head.streams.texts(features), targets, TAU)
    assert torch.equal(head.loss(batch, made.seen(), made.unseen())["er"], wanted)
    assert "er" not in made_coco(er_weight=0).loss(batch, made.seen(), made.unseen())


def test_one_kind_of_text_alone_is_the_class_feature_of_the_cycle():
    head, batch, seen = made_coco(texts="vc"), made.videos("none"), made.seen()
    told = prototypes_of(head.streams, seen, "description")
    forward, _ = attended(told, prototypes_of(head.streams, made.unseen(), "description"), TAU)
    back, _ = attended(forward, told, TAU)
    cycle = class_loss(streams_of(head.streams, batch), back, made.LABELS.tolist(), TAU)
    assert made.close(head.loss(batch, seen, made.unseen())["cycle"], GAMMA * cycle)


def test_the_attention_of_the_way_back_is_over_seen_classes():
    random = torch.Generator().manual_seed(0)
    seen, unseen = (torch.randn(count, 6, generator=random, dtype=torch.float64) for count in (4, 3))
    found, back = there_and_back(seen, unseen, 0.5)
    forward, _ = attended(rows(seen), rows(unseen), 0.5)
    wanted, weights = attended(forward, rows(seen), 0.5)
    assert made.close(found, weights)
    assert made.close(back, wanted)
    assert torch.allclose(found.sum(1), torch.ones(4, dtype=torch.float64))


def test_a_mean_of_descriptions_is_not_brought_to_unit_length():
    head = made_coco().eval()
    lengths = head.streams.classes(made.seen(), "description").norm(dim=1)
    assert bool((lengths[:3] < 0.999).all())
    assert lengths[3].item() == pytest.approx(1)  # one description


def test_without_invariance_there_is_no_cycle_and_no_text_of_an_unseen_class():
    head = made_coco(invariance=False)
    assert set(head.loss(made.videos("none"), made.seen())) == {"align"}
    assert not head.uses_unseen_texts
    assert made_coco().uses_unseen_texts
