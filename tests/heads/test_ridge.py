"""Ridge regression: the objective is least where the closed form says, in as many components as asked for."""

import math

import pytest
import torch

from heads.ridge import Ridge, RidgeOptions
from tests.heads import made
from tests.heads.loops import dot
from tests.heads.test_devise import told, vectors


def begun(videos=None, **options) -> Ridge:
    videos = videos or made.videos("none")
    head = Ridge(videos.segments.shape[2], made.A, RidgeOptions(**options)).double()
    head.begin(videos, made.seen())
    return head


def centred(unit_videos: bool = False) -> torch.Tensor:
    v = torch.tensor(vectors(made.videos("none"), unit_videos), dtype=torch.float64)
    return v - v.mean(0)


@pytest.mark.parametrize("unit_videos", [False, True])
def test_the_objective_has_no_slope_at_the_closed_form(unit_videos):
    """|V W - (T - m)|^2 + a s |W|^2 on centred videos, over the directions in which the videos differ."""
    v = centred(unit_videos)
    t = torch.tensor(told(made.seen()), dtype=torch.float64)[made.LABELS]
    sizes = torch.linalg.svdvals(v).square()
    penalty = 0.3 * sizes[sizes > 1e-9].mean()
    weight = begun(penalty=0.3, unit_videos=unit_videos).weight.clone().requires_grad_()
    ((v @ weight - (t - t.mean(0))).square().sum() + penalty * weight.square().sum()).backward()
    assert weight.grad.abs().max() < 1e-10


def test_of_some_components_it_is_the_ridge_of_the_projected_videos():
    v = centred()
    t = torch.tensor(told(made.seen()), dtype=torch.float64)[made.LABELS]
    values, axes = torch.linalg.eigh(v.T @ v)
    axes = axes[:, values.argsort(descending=True)[:2]]
    x = v @ axes
    penalty = 0.5 * float((x.T @ x).diagonal().mean())
    solved = torch.linalg.inv(x.T @ x + penalty * torch.eye(2)) @ x.T @ (t - t.mean(0))
    assert torch.allclose(begun(components=2, penalty=0.5).weight, axes @ solved, atol=1e-12)


def test_more_videos_than_dimensions_are_solved_by_their_moments_and_give_the_same():
    """Copies of the videos change neither their components nor the share of the penalty."""
    few = made.videos("none", width=4)
    many = few.take(torch.arange(made.N).repeat(3))
    assert len(few) > 4  # by moments; turned round, by the videos themselves
    wide = made.videos("none")
    padded = torch.cat([few.segments, torch.zeros_like(wide.segments)], 2)
    by_videos = begun(type(few)(padded, few.labels), penalty=0.2)
    assert torch.allclose(by_videos.weight[:4], begun(few, penalty=0.2).weight, atol=1e-10)
    assert torch.allclose(begun(many, penalty=0.2).weight, begun(few, penalty=0.2).weight, atol=1e-10)


def test_a_score_is_the_cosine_of_what_is_predicted_and_a_class_both_from_the_mean():
    head = begun()
    for video, row in zip(vectors(made.videos("none")), head.scores(made.videos("none"), made.unseen()), strict=True):
        predicted = [dot(video, column) + float(b) for column, b in zip(head.weight.T.tolist(), head.bias, strict=True)]
        length = math.sqrt(dot(predicted, predicted))
        learned = [told(made.seen())[label] for label in made.LABELS.tolist()]
        mean = [sum(column) / made.N for column in zip(*learned, strict=True)]
        apart = [[a - b for a, b in zip(t, mean, strict=True)] for t in told(made.unseen())]
        wanted = [dot(predicted, t) / length / math.sqrt(dot(t, t)) for t in apart]
        assert made.close(row, wanted)


def test_without_a_penalty_to_speak_of_the_seen_videos_are_learned_by_heart():
    head = begun(penalty=1e-9)
    assert head.scores(made.videos("none"), made.seen()).argmax(1).tolist() == made.LABELS.tolist()


@pytest.mark.parametrize(
    ("options", "message"), [({"components": -1}, "components is 0 or more"), ({"penalty": 0}, "penalty must be above")]
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        RidgeOptions(**options)
