"""DEM: the loss and the distances in the visual space, against plain loops."""

import pytest
import torch

from heads.dem import DEM, DemOptions
from tests.heads import made
from tests.heads.loops import dot, rows
from tests.heads.test_devise import told, vectors


def begun(**options) -> DEM:
    torch.manual_seed(0)
    head = made.shaken(DEM(made.D, made.A, DemOptions(**{"hidden": 6, "dropout": 0} | options)))
    head.begin(made.videos("none"), made.seen())
    return head


def visual(head, texts, rectified=True):
    found = []
    for t in texts:
        hidden = [max(dot(row, t), 0.0) for row in rows(head.into_hidden.weight)]
        out = [dot(row, hidden) for row in rows(head.into_visual.weight)]
        found.append([max(x, 0.0) for x in out] if rectified else out)
    return found


def squared(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(("rectified", "unit_videos"), [(True, False), (False, True)])
def test_the_loss_is_the_mean_squared_error_in_the_visual_space(rectified, unit_videos):
    head, batch, seen = begun(rectified=rectified, unit_videos=unit_videos), made.videos("none"), made.seen()
    z = visual(head, told(seen), rectified)
    each = [squared(v, z[k]) for v, k in zip(vectors(batch, unit_videos), made.LABELS.tolist(), strict=True)]
    assert made.close(head.loss(batch, seen)["distance"], sum(each) / (made.N * made.D))


@pytest.mark.parametrize("rectified", [True, False])
def test_a_score_is_the_squared_distance_below_nought(rectified):
    head, batch, unseen = begun(rectified=rectified).eval(), made.videos("none"), made.unseen()
    z = visual(head, told(unseen), rectified)
    assert made.close(head.scores(batch, unseen), [[-squared(v, each) for each in z] for v in vectors(batch)])


def test_the_distance_survives_single_precision_where_features_are_large():
    head, batch, unseen = begun(rectified=False).eval(), made.videos("none"), made.unseen()
    large = type(batch)(40 * batch.segments)
    exact = head.scores(large, unseen)
    found = head.float().scores(made.single(large), made.single_texts(unseen))
    assert torch.allclose(found.double(), exact, rtol=1e-5)


def test_texts_are_dropped_out_in_training_only():
    head, batch, seen = begun(dropout=0.5), made.videos("none"), made.seen()
    torch.manual_seed(1)
    first, second = (float(head.train().loss(batch, seen)["distance"].detach()) for _ in range(2))
    assert first != second
    assert torch.equal(head.eval().scores(batch, seen), begun().eval().scores(batch, seen))
