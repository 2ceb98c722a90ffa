"""Pseudo-videos: centring, prototypes, loss and what is drawn, against plain loops."""

import pytest
import torch
from torch.nn.functional import cross_entropy as torch_cross_entropy

from heads.base import ClassTexts
from heads.pseudo import Pseudo, PseudoOptions
from tests.heads import made
from tests.heads.loops import add, cross_entropy, dot, linear, mean, norm, rows, scaled, weighted

TAU = 0.2
KINDS = ("class", "description", "phrase")


def made_pseudo(unseen: ClassTexts | None = None, shaken: bool = True, **options) -> Pseudo:
    given = {"texts": "+".join(KINDS), "weight": 0.0, "hide": 0.0, "tau": TAU} | options
    head = Pseudo(made.A, made.A, PseudoOptions(**given), made.M).double()
    head = made.shaken(head) if shaken else head
    head.begin(batch(), made.seen(), unseen)
    return head


def batch():
    return made.videos("none", made.A)


def minus(a, b):
    return add(a, scaled(b, -1))


def class_means(classes: ClassTexts, kind: str):
    """Unit vectors of each class's mean text of a kind."""
    features = rows(classes[kind].features)
    return [norm(mean([features[row] for row in own])) for own in made.of_class(classes, kind)]


def prototypes(head, classes, began_on):
    out = []
    weights = [1 + 10 * a for a in rows(head.of_kind)]
    for k in range(len(classes)):
        told = [norm(minus(class_means(classes, kind)[k], mean(class_means(began_on, kind)))) for kind in KINDS]
        t = norm(weighted(weights, told))
        out.append(norm(add(t, linear(head.text.linear, t))))
    return out


def embedded(head, videos):
    every = rows(batch().segments)
    centre = mean([segment for video in every for segment in video])
    weights = [1 + 10 * c for c in rows(head.of_segment)]
    out = []
    for video in rows(videos.segments):
        x = norm(weighted(weights, [minus(segment, centre) for segment in video]))
        out.append(norm(add(x, linear(head.video.linear, x))))
    return out


def test_scores_of_any_classes_are_centred_on_those_that_training_began_with():
    head, unseen = made_pseudo(), made.unseen()
    told = prototypes(head, unseen, made.seen())
    wanted = [[dot(v, z) for z in told] for v in embedded(head, batch())]
    assert made.close(head.scores(batch(), unseen), wanted)


def test_the_text_centre_is_that_of_seen_and_unseen_classes_where_their_texts_are_read():
    seen, unseen = made.seen(), made.unseen()
    head = made_pseudo(unseen, weight=1.0)
    assert made.close(head.prototypes(seen), prototypes(head, seen, seen.joined(unseen)))


def test_without_pseudo_videos_the_loss_is_a_cross_entropy_over_seen_classes():
    head, videos = made_pseudo(), batch()
    told = prototypes(head, made.seen(), made.seen())
    wanted = cross_entropy([[dot(v, z) for z in told] for v in embedded(head, videos)], made.LABELS.tolist(), TAU)
    parts = head.loss(videos, made.seen())
    assert set(parts) == {"videos"}
    assert made.close(parts["videos"], wanted)
    assert not head.uses_unseen_texts


def test_videos_are_told_apart_among_seen_classes_only_even_where_texts_of_all_pose_as_videos():
    seen, unseen = made.seen(), made.unseen()
    head = made_pseudo(unseen, weight=1.0)
    told = prototypes(head, seen, seen.joined(unseen))
    wanted = cross_entropy([[dot(v, z) for z in told] for v in embedded(head, batch())], made.LABELS.tolist(), TAU)
    assert made.close(head.loss(batch(), seen, unseen)["videos"], wanted)


def test_the_loss_on_pseudo_videos_is_a_cross_entropy_over_all_classes():
    seen, unseen = made.seen(), made.unseen()
    both = seen.joined(unseen)
    head = made_pseudo(unseen, weight=0.5)
    torch.manual_seed(4)
    found = head.loss(batch(), seen, unseen)["texts"]
    torch.manual_seed(4)
    torch.rand(made.N, made.M)  # what is hidden is drawn first
    drawn, labels = head._drawn(made.N)
    every = [rows(both[kind].features)[row] for kind in KINDS for own in made.of_class(both, kind) for row in own]
    told = prototypes(head, both, both)
    scores = []
    for pseudo in rows(drawn):
        x = norm(minus(pseudo, mean(every)))
        f = norm(add(x, linear(head.video.linear, x)))
        scores.append([dot(f, z) for z in told])
    assert made.close(found, 0.5 * cross_entropy(scores, labels.tolist(), TAU))


@pytest.mark.parametrize("drawn", [1, 2, 3])
def test_a_pseudo_video_is_a_mean_of_so_many_texts_of_its_own_class(drawn):
    both = made.seen().joined(made.unseen())
    head = made_pseudo(made.unseen(), weight=1.0, drawn=drawn)
    own = [[rows(both[kind].features)[row] for kind in KINDS for row in made.of_class(both, kind)[k]] for k in range(7)]
    torch.manual_seed(0)
    found, labels = head._drawn(400)
    possible = [torch.tensor(_means(texts, drawn), dtype=torch.float64) for texts in own]
    for pseudo, k in zip(found, labels.tolist(), strict=True):
        assert float((possible[k] - pseudo).abs().amax(1).min()) < 1e-12
    assert set(labels.tolist()) == set(range(7))  # unseen classes too


def _means(texts, drawn):
    """Unit vectors of the means of every choice of `drawn` texts, one may be drawn again."""
    sums = [[0.0] * made.A]
    for _ in range(drawn):
        sums = [add(total, text) for total in sums for text in texts]
    return [norm(total) for total in sums]


def test_every_class_and_every_text_of_it_is_drawn_about_as_often():
    head = made_pseudo(made.unseen(), weight=1.0, drawn=1)
    torch.manual_seed(0)
    found, labels = head._drawn(21000)
    assert torch.bincount(labels).sub(3000).abs().max() < 300
    _, counts = torch.unique(found[labels == 0], dim=0, return_counts=True)
    assert len(counts) == 6  # one name, three descriptions, two phrases
    assert counts.sub(500).abs().max() < 120


def test_texts_of_unseen_classes_reach_the_maps_through_pseudo_videos_alone():
    """No gradient of the loss on videos flows to an unseen class's prototype, and no video is given its label."""
    seen, unseen = made.seen(), made.unseen()
    head = made_pseudo(unseen, weight=1.0)
    head._vectors.requires_grad_()
    parts = head.loss(batch(), seen, unseen)
    (by_videos,) = torch.autograd.grad(parts["videos"], head._vectors, retain_graph=True)
    assert bool((by_videos[:, 4:] == 0).all())
    assert bool((by_videos[:, :4] != 0).any())
    (by_texts,) = torch.autograd.grad(parts["texts"], head._vectors)
    assert bool((by_texts[:, 4:] != 0).any())


def test_a_hidden_segment_counts_for_nothing_and_a_video_is_never_hidden_whole():
    head = made_pseudo(hide=1.0)
    first = made.videos("none", made.A).segments[:, :1]
    shown = torch.nn.functional.normalize((first[:, 0] - head.video_mean) * (1 + 10 * head.of_segment[0]), dim=-1)
    scores = head.video(shown) @ head.prototypes(made.seen()).T
    wanted = torch_cross_entropy(scores / TAU, made.LABELS)
    assert torch.allclose(head.loss(batch(), made.seen())["videos"], wanted)


def test_nothing_is_hidden_when_judging():
    assert torch.equal(made_pseudo(hide=0.9).embedded(batch()), made_pseudo(hide=0.0).embedded(batch()))
