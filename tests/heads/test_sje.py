"""SJE: only the hardest class counts."""

import torch

from heads.sje import SJE
from tests.heads import made
from tests.heads.test_devise import begun, score_rows, told, vectors, violations


def test_the_loss_is_the_largest_violation():
    head, batch, seen = begun(SJE), made.videos("none"), made.seen()
    each = violations(score_rows(head, vectors(batch), told(seen)), made.LABELS.tolist())
    assert made.close(head.loss(batch, seen)["ranking"], sum(max(h) for h in each) / made.N)


def test_where_all_compares_unseen_classes_may_be_the_hardest():
    head, batch = begun(SJE, others="all"), made.videos("none")
    both = told(made.seen()) + told(made.unseen())
    each = violations(score_rows(head, vectors(batch), both), made.LABELS.tolist())
    assert made.close(head.loss(batch, made.seen(), made.unseen())["ranking"], sum(max(h) for h in each) / made.N)
    assert any(h.index(max(h)) >= 3 for h in each)  # three other seen classes come first


def test_no_violation_costs_nothing():
    assert torch.equal(begun(SJE).ranked(torch.zeros(2, 3)), torch.zeros(2))
