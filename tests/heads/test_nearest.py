"""The training-free head, against plain loops."""

import pytest

from heads.nearest import Nearest, NearestOptions
from tests.heads import made
from tests.heads.loops import add, dot, mean, norm, rows


@pytest.mark.parametrize("kinds", [("class",), ("class", "definition", "description"), ("phrase", "description")])
def test_a_score_is_the_cosine_of_the_mean_segment_with_the_mean_of_the_mean_texts(kinds):
    videos, seen = made.videos("some", made.A), made.seen()
    head = Nearest(made.A, made.A, NearestOptions("+".join(kinds)))
    prototypes = []
    for k in range(len(seen)):
        told = [mean([rows(seen[kind].features)[row] for row in made.of_class(seen, kind)[k]]) for kind in kinds]
        prototypes.append(norm(add(*(norm(t) for t in told))))
    wanted = [[dot(norm(mean(segments)), z) for z in prototypes] for segments in rows(videos.segments)]
    assert made.close(head.scores(videos, seen), wanted)
    assert head.reads(head.options) == kinds


def test_there_is_nothing_to_learn():
    head = Nearest(made.A, made.A, NearestOptions())
    assert list(head.parameters()) == []
    assert head.loss(made.videos("none", made.A), made.seen()) == {}
