"""DeViSE, and what it shares with ALE and SJE, against plain loops."""

import pytest
import torch

from heads.bilinear import BilinearOptions
from heads.devise import DeViSE
from tests.heads import made
from tests.heads.loops import add, dot, mean, norm, rows

MARGIN = 0.1


def begun(head_class=DeViSE, **options):
    """A head at work on the seen classes, or on all; nothing is dropped out."""
    torch.manual_seed(0)
    head = made.shaken(head_class(made.D, made.A, BilinearOptions(**{"dropout": 0} | options)))
    head.begin(made.videos("none"), made.seen(), made.unseen() if head.uses_unseen_texts else None)
    return head


def vectors(batch, unit_videos=False):
    means = [mean(segments) for segments in rows(batch.segments)]
    return [norm(v) for v in means] if unit_videos else means


def told(classes, kinds=("class",)):
    """Unit vectors of classes: the sum over kinds of the unit vector of the mean text."""
    found = []
    for k in range(len(classes)):
        own = [mean([rows(classes[kind].features)[row] for row in made.of_class(classes, kind)[k]]) for kind in kinds]
        found.append(norm(add(*(norm(t) for t in own))))
    return found


def score_rows(head, videos, texts):
    mapped = [[dot(row, v) for row in rows(head.map.weight)] for v in videos]
    return [[dot(m, t) for t in texts] for m in mapped]


def violations(scores, labels, margin=MARGIN):
    """max(0, margin - s_label + s_j) of each video, a list over the classes j that are not its own."""
    return [
        [max(0.0, margin - row[label] + s) for j, s in enumerate(row) if j != label]
        for row, label in zip(scores, labels, strict=True)
    ]


@pytest.mark.parametrize("unit_videos", [False, True])
def test_a_score_is_the_inner_product_of_the_mapped_video_and_the_class(unit_videos):
    head = begun(unit_videos=unit_videos).eval()
    wanted = score_rows(head, vectors(made.videos("none"), unit_videos), told(made.unseen()))
    assert made.close(head.scores(made.videos("none"), made.unseen()), wanted)


@pytest.mark.parametrize("margin", [0.1, 1.0])
def test_the_loss_sums_the_violations_of_all_other_seen_classes(margin):
    head, batch, seen = begun(margin=margin), made.videos("none"), made.seen()
    each = violations(score_rows(head, vectors(batch), told(seen)), made.LABELS.tolist(), margin)
    assert made.close(head.loss(batch, seen)["ranking"], sum(map(sum, each)) / made.N)


def test_as_in_the_skeleton_paper_unseen_classes_are_among_the_others():
    head, batch = begun(others="all", unit_videos=True), made.videos("none")
    seen, unseen = made.seen(), made.unseen()
    scores = score_rows(head, vectors(batch, True), told(seen) + told(unseen))
    wanted = sum(map(sum, violations(scores, made.LABELS.tolist()))) / made.N
    assert made.close(head.loss(batch, seen, unseen)["ranking"], wanted)
    assert head.uses_unseen_texts
    assert not begun().uses_unseen_texts


def test_where_no_class_is_unseen_all_are_the_seen_ones():
    head, seen = begun(others="all"), made.seen()
    head.begin(made.videos("none"), seen, None)
    assert torch.equal(
        head.loss(made.videos("none"), seen)["ranking"], begun().loss(made.videos("none"), seen)["ranking"]
    )


def test_a_class_is_told_by_the_unit_vectors_of_several_kinds():
    kinds = ("class", "description", "phrase")
    assert made.close(begun(texts="+".join(kinds)).prototypes(made.seen()), told(made.seen(), kinds))


def test_a_lead_of_the_margin_costs_nothing():
    head = begun()
    with torch.no_grad():
        head.map.weight.zero_()
    found = head.loss(made.videos("none"), made.seen())["ranking"]
    assert found.item() == pytest.approx(3 * MARGIN)  # no lead at all: the margin, of each of three other classes
    videos = made.videos("none", made.A)
    batch = type(videos)(100 * head.prototypes(made.seen())[made.LABELS][:, None].expand(-1, made.M, -1), made.LABELS)
    apart = DeViSE(made.A, made.A, BilinearOptions(dropout=0)).double()
    with torch.no_grad():
        apart.map.weight.copy_(torch.eye(made.A))
    apart.begin(batch, made.seen())
    assert apart.loss(batch, made.seen())["ranking"].item() == 0


def test_videos_and_classes_are_dropped_out_in_training_only():
    head, batch, seen = begun(dropout=0.5), made.videos("none"), made.seen()
    torch.manual_seed(1)
    first, second = (float(head.train().loss(batch, seen)["ranking"].detach()) for _ in range(2))
    assert first != second
    plain = begun()
    assert torch.equal(head.eval().scores(batch, seen), plain.eval().scores(batch, seen))
    assert torch.equal(head.loss(batch, seen)["ranking"], plain.loss(batch, seen)["ranking"])
