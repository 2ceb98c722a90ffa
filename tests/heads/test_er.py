"""ER: gated fusion, scores and both losses, against the formulas in plain loops."""

import dataclasses

import pytest
import torch

from heads.er import ER, ErOptions, candidates
from tests.heads import made
from tests.heads.loops import add, cross_entropy, dot, linear, marked, mean, norm, rows, sigmoid

TAU = 0.1


def made_er(**options) -> ER:
    torch.manual_seed(0)
    head = ER(made.D, made.A, ErOptions(**{"joint": 6, "dropout": 0, "tau": TAU} | options))
    return made.shaken(head)


def gate(network, both):
    hidden = [max(x, 0.0) for x in linear(network[0], both)]
    return [sigmoid(x) for x in linear(network[3], hidden)]


def streams_of(streams, batch):
    """v and o of each video; o is None for a video without objects."""
    found = []
    for i, segments in enumerate(rows(batch.segments)):
        v = norm(linear(streams.video.linear, mean(segments)))
        if batch.objects is None or not made.there(batch)[i]:
            found.append((v, None))
            continue
        o = norm(linear(streams.text.linear, rows(batch.objects)[i]))
        g_v, g_o = gate(streams.gates.video, v + o), gate(streams.gates.object, v + o)
        found.append(
            (norm([g * x for g, x in zip(g_v, v, strict=True)]), norm([g * x for g, x in zip(g_o, o, strict=True)]))
        )
    return found


def score_rows(streams, prototypes):
    """s, s_v and s_o, a row a video; s_o is None for a video without objects."""
    by_video = [[dot(v, z) for z in prototypes] for v, _ in streams]
    by_object = [None if o is None else [dot(o, z) for z in prototypes] for _, o in streams]
    joined = [
        s_v if s_o is None else add(s_v, [max(s, 0.0) for s in s_o])
        for s_v, s_o in zip(by_video, by_object, strict=True)
    ]
    return joined, by_video, by_object


def class_loss(streams, prototypes, labels, tau=TAU):
    joined, by_video, by_object = score_rows(streams, prototypes)
    loss = cross_entropy(joined, labels, tau)
    told = [(row, label) for row, label in zip(by_object, labels, strict=True) if row is not None]
    if not told:
        return loss
    loss += cross_entropy(by_video, labels, tau)
    return loss + cross_entropy([row for row, _ in told], [label for _, label in told], tau)


def prototypes_of(streams, classes, kind="elaboration"):
    features = rows(classes[kind].features)
    return [
        mean([norm(linear(streams.text.linear, features[row])) for row in own]) for own in made.of_class(classes, kind)
    ]


@pytest.mark.parametrize("objects", ["all", "some", "none"])
def test_scores_are_the_video_stream_and_what_the_gated_objects_add(objects):
    head, batch, seen = made_er().eval(), made.videos(objects), made.seen()
    joined, _, _ = score_rows(streams_of(head.streams, batch), prototypes_of(head.streams, seen))
    assert made.close(head.scores(batch, seen), joined)


@pytest.mark.parametrize("objects", ["all", "some", "none"])
def test_the_class_loss_is_a_cross_entropy_of_each_score(objects):
    head, batch, seen = made_er(), made.videos(objects), made.seen()
    wanted = class_loss(streams_of(head.streams, batch), prototypes_of(head.streams, seen), made.LABELS.tolist())
    assert made.close(head.loss(batch, seen)["classes"], wanted)


@pytest.mark.parametrize("tau", [0.1, 0.7])
def test_the_er_loss_is_the_mean_over_marked_pairs_for_each_of_three_scores(tau):
    head, batch = made_er(tau=tau), made.videos("all")
    found, targets = made.own_concepts(batch)
    told = rows(batch.concept_features)
    concepts = [norm(linear(head.streams.text.linear, told[c])) for c in found]
    scores = score_rows(streams_of(head.streams, batch), concepts)
    assert made.close(head.loss(batch, made.seen())["er"], sum(marked(each, targets, tau) for each in scores))


def test_an_object_that_videos_share_is_one_candidate_and_padding_is_none():
    features, targets = candidates(made.videos("all"))
    assert targets.tolist() == made.own_concepts(made.videos("all"))[1]
    assert torch.equal(features, made.videos("all").concept_features[[0, 1, 3, 5, 6]])
    assert targets.sum(1).tolist() == [2, 2, 1, 2, 2]


def test_a_video_without_objects_marks_none_and_has_no_say_on_the_object_stream():
    head, batch = made_er(), made.videos("some")
    assert [bool(row.any()) for row in candidates(batch)[1]] == made.there(batch)
    objects = head.streams(batch)[1]
    assert [bool(row.any()) for row in objects] == made.there(batch)


def test_there_is_no_er_loss_without_recognised_objects_or_without_its_weight():
    seen = made.seen()
    assert set(made_er().loss(made.videos("none"), seen)) == {"classes"}
    assert set(made_er(er_weight=0).loss(made.videos("all"), seen)) == {"classes"}
    assert set(made_er().loss(dataclasses.replace(made.videos("all"), concepts=None), seen)) == {"classes"}


def test_the_er_weight_scales_the_er_loss_alone():
    one, three = (made_er(er_weight=w).loss(made.videos("all"), made.seen()) for w in (1.0, 3.0))
    assert torch.allclose(three["er"], 3 * one["er"])
    assert torch.equal(three["classes"], one["classes"])


def test_an_er_loss_without_a_marked_pair_is_nought():
    batch = made.videos("all")
    bare = dataclasses.replace(batch, concepts=torch.full_like(batch.concepts, -1))
    assert made_er().loss(bare, made.seen())["er"].item() == 0


def test_text_is_dropped_out_in_training_only():
    head, batch, seen = made_er(dropout=0.5), made.videos("none"), made.seen()
    judged = head.eval().scores(batch, seen)
    assert torch.equal(judged, head.eval().scores(batch, seen))
    assert not torch.equal(judged, head.train().scores(batch, seen))
