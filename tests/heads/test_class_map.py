"""The map from names to rows: its formula, what it must not depend on, and what a logit beside a classifier's is."""

import numpy as np
import pytest

from heads.class_map import GRID, ClassMap, MapOptions, chosen, folds, ranks, unit
from heads.row_videos import calibrate, calibration_error, softmax, stand_ins


@pytest.fixture
def classes():
    """60 classes whose rows are a noisy linear image of their names."""
    draw = np.random.default_rng(0)
    names = draw.standard_normal((60, 12))
    rows = names @ draw.standard_normal((12, 30)) + 0.5 * draw.standard_normal((60, 30)) + 2
    return rows, [names + 1, names[:, :6] ** 2]


def test_scores_are_the_printed_formula_in_plain_loops(classes):
    rows, texts = classes
    options = MapOptions(sharpness=2.5, ridge=0.4, last=0.3, hubs=0.6, nearest=3)
    kept, held = np.arange(7), np.arange(7, 12)
    fitted = ClassMap(options).fit(rows[kept], [t[kept] for t in texts])
    got = fitted.scores(rows[held], [t[held] for t in texts])

    mean = rows[kept].mean(0)
    x = [(row - mean) / np.linalg.norm(row - mean) for row in rows[kept]]

    def kernel(a, b):
        total = 0.0
        for weight, t in zip((0.7, 0.3), texts, strict=True):
            u, v = t[a] - t[kept].mean(0), t[b] - t[kept].mean(0)
            total += weight * (u @ v) / np.linalg.norm(u) / np.linalg.norm(v)
        return np.exp(2.5 * (total - 1))

    gram = np.array([[kernel(a, b) for b in kept] for a in kept]) + 0.4 * np.eye(7)
    own = np.mean([sorted(x[a] @ x[b] for b in kept if b != a)[-3:] for a in kept])
    for j, new in enumerate(held):
        p = np.array([kernel(new, b) for b in kept]) @ np.linalg.inv(gram) @ np.array(x)
        p /= np.linalg.norm(p)
        hub = np.mean(sorted(p @ each for each in x)[-3:])
        for i, video in enumerate(rows[held]):
            scale = np.mean(sorted(video @ each for each in x)[-3:]) / own
            assert got[i, j] == pytest.approx(video @ p - 0.6 * scale * hub)


def test_a_held_out_row_finds_its_name_far_above_chance(classes):
    rows, texts = classes
    found = []
    for kept, held in folds(60, 5, seed=3):
        fitted = ClassMap().fit(rows[kept], [t[kept] for t in texts])
        found.append((ranks(fitted.scores(rows[held] - rows[kept].mean(0), [t[held] for t in texts])) < 1).mean())
    assert np.mean(found) > 0.5  # chance: 1 / 12


def test_permuting_names_permutes_scores_and_a_prototype_does_not_depend_on_its_neighbours(classes):
    rows, texts = classes
    fitted = ClassMap().fit(rows[:40], [t[:40] for t in texts])
    new = [t[40:] for t in texts]
    order = np.random.default_rng(1).permutation(20)
    scores = fitted.scores(rows[40:], new)
    assert np.allclose(fitted.scores(rows[40:], [t[order] for t in new]), scores[:, order])
    assert np.allclose(fitted.scores(rows[40:], [t[:1] for t in new]), scores[:, :1])
    assert np.allclose(np.linalg.norm(fitted.prototypes(new), axis=1), 1)


def test_a_name_without_a_vector_counts_as_the_mean_name(classes):
    rows, (names, words) = classes
    words = words.copy()
    words[[3, 45]] = np.nan
    fitted = ClassMap().fit(rows[:40], [names[:40], words[:40]])
    filled = words.copy()
    filled[[3, 45]] = np.nanmean(words[:40], 0)
    same = ClassMap().fit(rows[:40], [names[:40], filled[:40]])
    a, b = (m.scores(rows[40:], [names[40:], w[40:]]) for m, w in ((fitted, words), (same, filled)))
    assert np.isfinite(a).all()
    assert np.allclose(a, b)


def test_settings_are_chosen_from_the_grid_and_from_nothing_but_the_rows_given(classes):
    rows, texts = classes
    best = chosen(rows[:40], [t[:40] for t in texts], GRID[:4])
    assert best in GRID[:4]
    assert best == chosen(rows[:40].copy(), [t[:40].copy() for t in texts], GRID[:4])


def test_rows_and_texts_that_do_not_go_together_are_refused(classes):
    rows, texts = classes
    with pytest.raises(ValueError, match="got 60 and 59, 60"):
        ClassMap().fit(rows, [texts[0][:59], texts[1]])
    with pytest.raises(ValueError, match="two classes or more"):
        ClassMap().fit(rows[:1], [t[:1] for t in texts])


def test_folds_hold_each_class_out_once_and_never_keep_it():
    seen = []
    for kept, held in folds(23, 5, seed=2):
        assert not set(kept) & set(held)
        assert len(kept) + len(held) == 23
        seen += held.tolist()
    assert sorted(seen) == list(range(23))


def test_stand_ins_are_as_often_right_as_asked_and_need_no_temperature(classes):
    rows, _ = classes
    videos, labels = stand_ins(rows, top1=0.7, draws=10)
    logits = videos @ (rows - rows.mean(0)).T
    assert (logits.argmax(1) == labels).mean() == pytest.approx(0.7, abs=0.02)
    assert calibration_error(logits, labels) < 0.1


def test_calibration_makes_probabilities_of_scores(classes):
    rows, texts = classes
    found = calibrate(rows, texts, MapOptions())
    assert found.scale > 0
    assert found.error < 0.15


def test_calibration_error_of_a_coin_that_claims_certainty_is_a_half():
    logits = np.tile([[50.0, 0.0]], (10, 1))
    own = np.array([0, 1] * 5)
    assert calibration_error(logits, own) == pytest.approx(0.5)
    assert softmax(logits).sum(1) == pytest.approx(1)


def test_ties_count_half_and_zeros_stay_zeros():
    assert ranks(np.ones((3, 3))).tolist() == [1, 1, 1]
    assert unit(np.zeros((1, 4))).tolist() == [[0.0] * 4]
