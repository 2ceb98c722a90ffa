"""E2E's baseline: regression onto word vectors, against plain loops."""

import pytest
import torch

from heads.e2e import E2E, E2eOptions
from tests.heads import made
from tests.heads.loops import dot, linear, mean, norm, rows
from tests.heads.test_devise import told


def begun(**options) -> E2E:
    torch.manual_seed(0)
    head = made.shaken(E2E(made.D, made.A, E2eOptions(**{"dropout": 0, "one_clip": False} | options)))
    head.begin(made.videos("none"), made.seen())
    return head


def error(head, features, labels):
    """Mean over N x A of the squared difference to the class vector."""
    z = [norm(linear(head.regressor.linear, v)) for v in features]
    t = told(made.seen())
    each = [(x - y) ** 2 for row, k in zip(z, labels, strict=True) for x, y in zip(row, t[k], strict=True)]
    return sum(each) / len(each)


def test_the_loss_is_the_mean_squared_error_to_the_class_vector():
    head, batch = begun(), made.videos("none")
    wanted = error(head, [mean(segments) for segments in rows(batch.segments)], made.LABELS.tolist())
    assert made.close(head.loss(batch, made.seen())["distance"], wanted)


def test_a_score_is_the_cosine_of_the_output_for_the_mean_clip():
    head, batch = begun(one_clip=True, dropout=0.05).eval(), made.videos("none")
    z = [norm(linear(head.regressor.linear, mean(segments))) for segments in rows(batch.segments)]
    assert made.close(head.scores(batch, made.unseen()), [[dot(v, t) for t in told(made.unseen())] for v in z])


def test_training_sees_one_clip_of_each_video_and_in_time_all_of_them():
    head, batch = begun(one_clip=True), made.videos("none").take(torch.tensor([0]))
    torch.manual_seed(0)
    found = {round(float(head.loss(batch, made.seen())["distance"].detach()), 12) for _ in range(60)}
    wanted = {round(error(head, [clip], [2]), 12) for clip in rows(batch.segments)[0]}
    assert found == wanted


@pytest.mark.parametrize("each_clip", [False, True])
def test_dropout_falls_before_the_layer_and_in_training_only(each_clip):
    head, batch, seen = begun(dropout=0.5, each_clip=each_clip), made.videos("none"), made.seen()
    torch.manual_seed(1)
    first, second = (float(head.train().loss(batch, seen)["distance"].detach()) for _ in range(2))
    assert first != second
    assert torch.equal(head.eval().scores(batch, seen), begun().eval().scores(batch, seen))


def test_dropout_of_each_clip_falls_before_the_average():
    """A feature dropped from some clips keeps a share of its mean; dropped from the mean it is gone."""
    ones = torch.ones(200, 4, 1, dtype=torch.float64)
    torch.manual_seed(0)
    shares = {}
    for each_clip in (False, True):
        head = E2E(1, made.A, E2eOptions(dropout=0.5, one_clip=False, each_clip=each_clip)).double().train()
        seen: list[torch.Tensor] = []
        head.regressor.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        head._embedded(ones)
        shares[each_clip] = set(seen[0].flatten().tolist())
    assert shares[False] == {0.0, 2.0}
    assert shares[True] == {0.0, 0.5, 1.0, 1.5, 2.0}
