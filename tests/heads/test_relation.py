"""The relation network: pairs joined end to end, against plain loops."""

import pytest
import torch

from heads.relation import RelationNet, RelationOptions
from tests.heads import made
from tests.heads.loops import linear, sigmoid
from tests.heads.test_devise import told, vectors


def begun(**options) -> RelationNet:
    torch.manual_seed(0)
    given = {"attribute_hidden": 6, "relation_hidden": 5} | options
    head = made.shaken(RelationNet(made.D, made.A, RelationOptions(**given)))
    head.begin(made.videos("none"), made.seen(), made.unseen() if head.uses_unseen_texts else None)
    return head


def relu(a):
    return [max(x, 0.0) for x in a]


def relations(head, videos, texts):
    z = [relu(linear(head.attribute[2], relu(linear(head.attribute[0], t)))) for t in texts]
    return [[sigmoid(linear(head.relation, relu(linear(head.pairs, v + each)))[0]) for each in z] for v in videos]


def error(found, labels):
    pairs = [(s - (k == label)) ** 2 for row, label in zip(found, labels, strict=True) for k, s in enumerate(row)]
    return sum(pairs) / len(pairs)


@pytest.mark.parametrize("unit_videos", [True, False])
def test_a_score_is_the_network_on_video_and_projected_text_end_to_end(unit_videos):
    head, batch = begun(unit_videos=unit_videos).eval(), made.videos("none")
    wanted = relations(head, vectors(batch, unit_videos), told(made.unseen()))
    assert made.close(head.scores(batch, made.unseen()), wanted)


def test_the_loss_compares_each_video_with_seen_and_unseen_classes():
    head, batch, seen, unseen = begun(), made.videos("none"), made.seen(), made.unseen()
    found = relations(head, vectors(batch, True), told(seen) + told(unseen))
    assert made.close(head.loss(batch, seen, unseen)["relation"], error(found, made.LABELS.tolist()))
    assert head.uses_unseen_texts


def test_or_with_seen_classes_only():
    head, batch, seen = begun(others="seen"), made.videos("none"), made.seen()
    found = relations(head, vectors(batch, True), told(seen))
    assert made.close(head.loss(batch, seen)["relation"], error(found, made.LABELS.tolist()))
    assert not head.uses_unseen_texts


def test_or_with_the_classes_of_the_batch():
    head, batch, seen = begun(others="batch"), made.videos("none").take(torch.tensor([0, 2, 4])), made.seen()
    there = [2, 3]
    found = relations(head, vectors(batch, True), [told(seen)[k] for k in there])
    assert made.close(head.loss(batch, seen)["relation"], error(found, [there.index(k) for k in (2, 3, 2)]))
    assert not head.uses_unseen_texts


def test_scores_are_the_same_a_few_pairs_at_a_time(monkeypatch):
    head, batch = begun().eval(), made.videos("none")
    whole = head.scores(batch, made.seen())
    for at_once in (1, 45):
        monkeypatch.setattr("heads.relation._AT_ONCE", at_once)
        assert torch.allclose(head.scores(batch, made.seen()), whole, atol=1e-14)
    assert head.scores(batch.take(torch.tensor([], dtype=torch.int64)), made.seen()).shape == (0, 4)


def test_it_begins_at_the_share_of_pairs_that_match():
    """From scores of a half the way down to 1 in K leaves no hidden unit alive, and nothing is learned after."""
    head = RelationNet(made.D, made.A, RelationOptions(others="seen")).double()
    with torch.no_grad():
        head.relation.weight.zero_()
    head.begin(made.videos("none"), made.seen())
    assert made.close(head.scores(made.videos("none"), made.seen()), [[1 / 4] * 4] * made.N)
