"""The error of a paired difference: corrected where splits overlap, told from seeds where there is one split."""

import math

import pytest

from pipelines.judge.paired import paired


def rows(values: dict[tuple[int, int], float], sides: tuple[int, int] = (8, 4)) -> list[dict]:
    """Result rows by split and seed."""
    return [{"split": k, "seed": seed, "sides": sides, "top1": v} for (k, seed), v in values.items()]


def test_of_several_splits_the_share_of_unseen_classes_is_added():
    one, other = rows({(0, 0): 0.5, (1, 0): 0.7, (2, 0): 0.9}), rows({(0, 0): 0.4, (1, 0): 0.4, (2, 0): 0.4})
    error = 0.2 * math.sqrt(1 / 3 + 4 / 8)  # the deviation of .1, .3 and .5
    assert paired(one, other, "top1") == f"+30.0 ± {100 * error:.1f}"
    assert error > 0.2 * math.sqrt(1 / 3)


def test_more_seeds_make_no_more_splits():
    once = rows({(0, 0): 0.5, (1, 0): 0.7})
    twice = rows({(0, 0): 0.5, (0, 1): 0.5, (1, 0): 0.7, (1, 1): 0.7})
    reference = rows({(0, 0): 0.4, (1, 0): 0.4})
    assert paired(twice, reference, "top1") == paired(once, reference, "top1")


def test_of_one_split_the_error_is_that_over_its_seeds():
    own, reference = rows({(0, 0): 0.5, (0, 1): 0.7}), rows({(0, 0): 0.4, (0, 1): 0.4})
    assert paired(own, reference, "top1") == f"+20.0 ± {100 * math.sqrt(0.02) / math.sqrt(2):.1f}"
    assert paired(own[:1], reference, "top1") == "+10.0"


@pytest.mark.parametrize("own", [[], rows({(5, 0): 0.5})])
def test_without_a_split_in_common_nothing_is_said(own):
    assert paired(own, rows({(0, 0): 0.4}), "top1") == ""
