"""ResT's transfer as a head, told from the paper in loops."""

import dataclasses
import math

import pytest
import torch

from heads.base import Videos
from heads.transfer import Transfer, TransferOptions
from tests.heads import made
from tests.heads.loops import dot, mean, norm, weighted
from tests.heads.test_devise import told, vectors


def begun(videos: Videos | None = None, **options) -> Transfer:
    videos = videos or made.videos("none")
    head = Transfer(videos.segments.shape[2], made.A, TransferOptions(**options)).double()
    head.begin(videos, made.seen(), made.unseen() if head.uses_unseen_texts else None)
    return head.eval()


def seen_means(unit_videos: bool = False) -> list[list[float]]:
    """phi: the mean of the vectors of each seen class's videos."""
    videos = vectors(made.videos("none"), unit_videos)
    labels = made.LABELS.tolist()
    return [mean([v for v, label in zip(videos, labels, strict=True) if label == k]) for k in range(4)]


def cosine(a: list[float], b: list[float]) -> float:
    return dot(norm(a), norm(b))


def mixtures(of: list[list[float]], to: list[list[float]], takes, values: list[list[float]]) -> list[list[float]]:
    """Eq. 6 for every row of `of`, by a function that says which columns its row takes."""
    m = [[cosine(a, b) for b in to] for a in of]
    found = []
    for j, row in enumerate(m):
        own = [i for i in takes(m, j) if row[i] > 0]
        if not own:
            found.append(values[max(range(len(row)), key=lambda i: row[i])])
            continue
        total = sum(row[i] for i in own)
        found.append(weighted([row[i] / total for i in own], [values[i] for i in own]))
    return found


def by_constraints(constraints: str, k: int, theta: float, rho: int):
    def takes(m, j):
        own = sorted(range(len(m[j])), key=lambda i: -m[j][i])
        if "I" in constraints.split("+"):
            own = own[:k]
        if "II" in constraints.split("+"):
            own = [
                i
                for i in own
                if min((1 - m[other][i]) / (1 - m[j][i]) for other in range(len(m)) if other != j) > theta
            ]
        own = [i for i in own if m[j][i] > 0]
        return own[:rho] if "III" in constraints.split("+") else own

    return takes


@pytest.mark.parametrize("unit_videos", [False, True])
@pytest.mark.parametrize("constraints", ["none", "I", "II", "III", "I+II", "I+III", "II+III", "I+II+III"])
def test_a_score_is_the_cosine_with_the_mixture_of_seen_means(constraints, unit_videos):
    k, theta, rho = 3, 0.8, 2
    head = begun(constraints=constraints, nearest=k, theta=theta, rho=rho, unit_videos=unit_videos)
    takes = by_constraints(constraints, k, theta, rho)
    prototypes = mixtures(told(made.unseen()), told(made.seen()), takes, seen_means(unit_videos))
    videos = vectors(made.videos("none"), unit_videos)
    wanted = [[cosine(v, p) for p in prototypes] for v in videos]
    assert made.close(head.scores(made.videos("none"), made.unseen()), wanted)


@pytest.mark.parametrize("constraints", ["none", "I", "III", "I+III"])
def test_in_reverse_a_video_is_the_mixture_of_the_texts_of_classes_it_looks_like(constraints):
    k, rho = 3, 2
    head = begun(constraints=constraints, nearest=k, rho=rho, direction="reverse")
    takes = by_constraints(constraints, k, 0, rho)
    mixed = mixtures(vectors(made.videos("none"), False), seen_means(), takes, told(made.seen()))
    wanted = [[cosine(v, t) for t in told(made.unseen())] for v in mixed]
    assert made.close(head.scores(made.videos("none"), made.unseen()), wanted)


def test_in_reverse_with_one_entry_a_video_is_told_by_its_nearest_seen_label():
    """Table 5's semantic space: a seen label first, then the nearest of the unseen ones."""
    head = begun(direction="reverse", constraints="III", rho=1)
    nearest = [
        max(range(4), key=lambda i, v=v: cosine(v, seen_means()[i])) for v in vectors(made.videos("none"), False)
    ]
    wanted = [told(made.seen())[i] for i in nearest]
    assert made.close(head.embedded(made.videos("none")), wanted)


def test_seen_classes_keep_their_own_mean_beside_unseen_ones():
    head = begun()
    both = made.seen().joined(made.unseen())
    found = head.prototypes(both)
    assert made.close(found[:4], [norm(phi) for phi in seen_means()])
    assert torch.allclose(found[4:], head.prototypes(made.unseen()))


def test_a_seen_class_is_known_by_its_name_even_if_an_unseen_one_is_told_alike():
    seen = made.seen()
    twin = dataclasses.replace(seen.of([2]), names=("a twin",))
    head = Transfer(made.D, made.A, TransferOptions(constraints="I", nearest=2)).double()
    head.begin(made.videos("none"), seen)
    own, other = head.prototypes(seen.of([2])), head.prototypes(twin)
    assert made.close(own[0], norm(seen_means()[2]))
    assert not torch.allclose(own, other)


def test_a_class_nobody_told_of_is_compared_with_the_unseen_ones():
    stranger = dataclasses.replace(made.unseen(90).of([0]), names=("a stranger",))
    head = begun(constraints="II", theta=1.0)
    takes = by_constraints("II", 0, 1.0, 0)
    wanted = mixtures(told(stranger) + told(made.unseen()), told(made.seen()), takes, seen_means())[0]
    assert made.close(head.prototypes(stranger)[0], norm(wanted))


def test_it_says_which_classes_are_left_with_nothing_and_what_they_keep():
    head = begun(constraints="II", theta=1e6)
    found = head.relatedness(made.unseen())
    assert found.seen == made.seen().names
    assert found.kept_nearest.tolist() == [True] * 3
    for row, taken in zip(found.matrix, found.chosen, strict=True):
        assert taken.nonzero().flatten().tolist() == [int(row.argmax())]
    assert begun(constraints="none").relatedness(made.unseen()).kept_nearest.sum() == sum(
        all(cosine(t, s) <= 0 for s in told(made.seen())) for t in told(made.unseen())
    )
    assert begun(direction="reverse", constraints="none").relatedness(made.unseen()) is None


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_videos_and_texts_of_zeros_score_and_are_finite(direction):
    videos = made.videos("none")
    blank = dataclasses.replace(videos, segments=torch.zeros_like(videos.segments))
    options = {"direction": direction, "constraints": "I+III"}
    assert bool(begun(blank, **options).scores(blank, made.unseen()).isfinite().all())
    unseen = made.unseen()
    kinds = {k: dataclasses.replace(t, features=torch.zeros_like(t.features)) for k, t in unseen.kinds.items()}
    nothing = dataclasses.replace(unseen, kinds=kinds)
    assert bool(begun(**options).scores(videos, nothing).isfinite().all())


def test_of_one_seen_class_all_others_are_made():
    videos = made.videos("none").take(torch.tensor([1]))
    head = Transfer(made.D, made.A, TransferOptions()).double()
    head.begin(dataclasses.replace(videos, labels=torch.tensor([0])), made.seen().of([0]), made.unseen())
    found = head.prototypes(made.unseen())
    assert made.close(found, [norm(vectors(made.videos("none"), False)[1])] * 3)


@pytest.mark.parametrize("constraints", ["II", "I+II+III", "none", "I+III"])
def test_texts_of_unseen_classes_are_read_where_they_are_compared(constraints):
    assert TransferOptions(constraints=constraints).has("II") == begun(constraints=constraints).uses_unseen_texts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"constraints": "IV"}, "constraints are of I, II and III"),
        ({"constraints": "I+I"}, "constraints are of I, II and III"),
        ({"constraints": "I+none"}, "constraints are of I, II and III"),
        ({"constraints": ""}, "constraints are of I, II and III"),
        ({"direction": "back"}, "direction is one of forward, reverse"),
        ({"direction": "reverse"}, "a video is composed by itself"),
        ({"nearest": 0}, "nearest is at least 1"),
        ({"rho": 0}, "rho is at least 1"),
        ({"theta": -0.1}, "theta is 0 or more"),
        ({"theta": math.nan}, "theta is 0 or more"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        TransferOptions(**options)
