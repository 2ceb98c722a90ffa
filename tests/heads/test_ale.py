"""ALE's weights, against plain loops."""

import torch

from heads.ale import ALE
from tests.heads import made
from tests.heads.test_devise import begun, score_rows, told, vectors, violations


def test_the_loss_weighs_the_violations_by_the_rank_of_the_right_class():
    head, batch, seen = begun(ALE), made.videos("none"), made.seen()
    total = 0.0
    for each in violations(score_rows(head, vectors(batch), told(seen)), made.LABELS.tolist()):
        rank = sum(h > 0 for h in each)
        beta = sum(1 / i for i in range(1, rank + 1))
        total += beta / rank * sum(each) if rank else 0.0
    assert made.close(head.loss(batch, seen)["ranking"], total / made.N)


def test_one_violation_costs_itself_and_none_costs_nothing():
    head = begun(ALE)
    found = head.ranked(torch.tensor([[0.0, 0.0, 0.7], [0.0, 0.0, 0.0], [0.3, 0.0, 0.5], [0.1, 0.2, 0.3]]))
    assert torch.allclose(found, torch.tensor([0.7, 0.0, 1.5 / 2 * 0.8, (1 + 1 / 2 + 1 / 3) / 3 * 0.6]))
