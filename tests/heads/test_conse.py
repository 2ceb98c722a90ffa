"""ConSE, told from the paper in loops."""

import math

import pytest

from heads.conse import ConSE, ConseOptions
from tests.heads import made
from tests.heads.loops import dot
from tests.heads.test_devise import told, vectors


def begun(**options) -> ConSE:
    head = ConSE(made.D, made.A, ConseOptions(**options)).double()
    head.begin(made.videos("none"), made.seen())
    return head


def unit(row: list[float]) -> list[float]:
    length = math.sqrt(dot(row, row))
    return [x / length for x in row]


@pytest.mark.parametrize(("nearest", "temperature"), [(1, 0.1), (2, 0.1), (3, 1.0), (10, 0.05)])
def test_a_video_is_the_mixture_of_the_classes_it_looks_like(nearest, temperature):
    videos = vectors(made.videos("none"), True)
    means = []
    for k in range(4):
        own = [v for v, label in zip(videos, made.LABELS.tolist(), strict=True) if label == k]
        means.append(unit([sum(column) for column in zip(*own, strict=True)]))
    wanted = []
    for v in videos:
        likeness = {k: dot(v, means[k]) for k in range(4)}
        best = sorted(likeness, key=lambda k: -likeness[k])[:nearest]
        weights = {k: math.exp(likeness[k] / temperature) for k in best}
        mixed = [sum(weights[k] / sum(weights.values()) * told(made.seen())[k][a] for k in best) for a in range(made.A)]
        wanted.append([dot(unit(mixed), t) for t in told(made.unseen())])
    head = begun(nearest=nearest, temperature=temperature)
    assert made.close(head.scores(made.videos("none"), made.unseen()), wanted)


def test_of_the_nearest_class_alone_only_its_text_counts():
    found = begun(nearest=1).embedded(made.videos("none"))
    assert all(any(made.close(row, t) for t in told(made.seen())) for row in found)


@pytest.mark.parametrize(
    ("options", "message"), [({"nearest": 0}, "nearest is at least 1"), ({"temperature": 0}, "temperature must be")]
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        ConseOptions(**options)
