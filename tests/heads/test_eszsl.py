"""ESZSL: the closed form is where the paper's objective is least."""

import pytest
import torch

from heads.eszsl import ESZSL, EszslOptions
from heads.vectors import moments
from tests.heads import made
from tests.heads.loops import dot, rows
from tests.heads.test_devise import told, vectors

A, G = 2.0, 0.5


def begun(**options) -> ESZSL:
    head = ESZSL(made.D, made.A, EszslOptions(**{"video_ridge": A, "text_ridge": G} | options)).double()
    head.begin(made.videos("none"), made.seen())
    return head


def objective(weight: torch.Tensor, unit_videos: bool) -> torch.Tensor:
    """|V W T' - Y|^2 + a |W T'|^2 + g |V W|^2 + a g |W|^2; the paper's gamma is a, its lambda g."""
    v = torch.tensor(vectors(made.videos("none"), unit_videos), dtype=torch.float64)
    t = torch.tensor(told(made.seen()), dtype=torch.float64)
    y = torch.zeros(made.N, 4, dtype=torch.float64)
    for n, label in enumerate(made.LABELS.tolist()):
        y[n, label] = 1
    squared = [(v @ weight @ t.T - y), (weight @ t.T), (v @ weight), weight]
    return sum(by * part.square().sum() for by, part in zip((1, A, G, A * G), squared, strict=True))


@pytest.mark.parametrize("unit_videos", [False, True])
def test_the_papers_objective_has_no_slope_at_the_closed_form(unit_videos):
    weight = begun(unit_videos=unit_videos).weight.clone().requires_grad_()
    objective(weight, unit_videos).backward()
    assert weight.grad.abs().max() < 1e-12


def test_the_closed_form_is_the_products_of_the_paper():
    x = torch.tensor(vectors(made.videos("none")), dtype=torch.float64).T
    s = torch.tensor(told(made.seen()), dtype=torch.float64).T
    y = torch.nn.functional.one_hot(made.LABELS, 4).double()
    left, right = torch.linalg.pinv(x @ x.T + A * torch.eye(made.D)), torch.linalg.pinv(s @ s.T + G * torch.eye(made.A))
    assert torch.allclose(begun().weight, left @ x @ y @ s.T @ right, atol=1e-12)


def test_a_score_is_bilinear():
    head = begun()
    columns = rows(head.weight.T)
    mapped = [[dot(column, v) for column in columns] for v in vectors(made.videos("none"))]
    wanted = [[dot(m, t) for t in told(made.unseen())] for m in mapped]
    assert made.close(head.scores(made.videos("none"), made.unseen()), wanted)


def test_the_ridges_are_the_published_ones():
    assert (EszslOptions().video_ridge, EszslOptions().text_ridge) == (1000, 1)


def test_no_step_is_left_to_training():
    head = begun()
    assert list(head.parameters()) == []
    assert head.loss(made.videos("none"), made.seen()) == {}
    assert set(head.state_dict()) == {"weight"}


def test_single_precision_is_solved_in_double():
    head = ESZSL(made.D, made.A, EszslOptions(video_ridge=1e-6, text_ridge=1e-6))
    head.begin(made.single(made.videos("none")), made.single_texts(made.seen()))
    exact = ESZSL(made.D, made.A, EszslOptions(video_ridge=1e-6, text_ridge=1e-6)).double()
    exact.begin(made.single(made.videos("none")), made.single_texts(made.seen()))
    assert head.weight.dtype == torch.float32
    assert torch.allclose(head.weight.double(), exact.weight, rtol=1e-3, atol=1e-3 * float(exact.weight.abs().max()))


def test_moments_are_the_same_in_blocks(monkeypatch):
    whole = moments(made.videos("none"), 4, True)
    monkeypatch.setattr("heads.vectors._AT_ONCE", 2)
    for found, wanted in zip(moments(made.videos("none"), 4, True), whole, strict=True):
        assert torch.allclose(found, wanted, atol=1e-14)


@pytest.mark.parametrize("name", ["video_ridge", "text_ridge"])
def test_a_ridge_of_nought_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be above 0, got 0"):
        EszslOptions(**{name: 0.0})
