"""Curves: where a line runs is what the numbers say, and each line is named and told apart without colour."""

import itertools
import math
import re

import pytest

from pipelines.pages.curves import curves


def lines_of(drawing: str) -> list[list[tuple[float, float]]]:
    """The points of each line, as drawn."""
    paths = re.findall(r'<path d="M([^"]*)" fill="none"', drawing)
    return [[tuple(map(float, point.split())) for point in path.split("L")] for path in paths]


def ticks_of(drawing: str) -> dict[str, float]:
    """How high each of the axis's numbers stands."""
    found = re.findall(r'<text x="55" y="([\d.]+)"[^>]*>([^<]+)</text>', drawing)
    return {text: float(y) - 4 for y, text in found}


def test_a_line_runs_where_its_numbers_lie_between_the_ticks():
    drawing = str(curves({"loss": [2.0, 1.0, 0.5]}, "loss"))
    ((first, second, third),) = lines_of(drawing)
    ticks = ticks_of(drawing)
    assert (first[1], second[1], third[1]) == pytest.approx((ticks["2"], ticks["1"], ticks["0.5"]), abs=0.1)
    assert second[0] - first[0] == pytest.approx(third[0] - second[0])
    assert "0.5 in epoch 3" in drawing


def test_a_share_is_drawn_from_nothing_to_all():
    drawing = str(curves({"top-1": [0.0, 0.25]}, "top-1", share=True))
    ((zero, quarter),) = lines_of(drawing)
    ticks = ticks_of(drawing)
    assert (zero[1], ticks["100\u00a0%" if "100\u00a0%" in ticks else "100 %"]) == (ticks["0 %"], pytest.approx(14))
    assert quarter[1] == pytest.approx(ticks["0 %"] + 0.25 * (14 - ticks["0 %"]), abs=0.1)


def test_what_spans_decades_is_drawn_on_a_logarithmic_scale_that_is_said():
    drawing = str(curves({"loss": [10.0, 1.0, 0.01]}, "loss", log=True))
    ((ten, one, small),) = lines_of(drawing)
    assert (small[1] - one[1]) == pytest.approx(2 * (one[1] - ten[1]), abs=0.2)
    assert "logarithmic scale" in drawing
    assert "logarithmic" not in str(curves({"loss": [3.0, 1.0]}, "loss", log=True))


def test_lines_are_told_apart_by_dashes_and_named_without_lying_on_one_another():
    drawing = str(curves({"in all": [2.0, 1.0], "first": [1.0, 1.0], "<b>": [1.0, 0.99]}, "loss"))
    assert len(set(re.findall(r'stroke-dasharray="([^"]+)"', drawing))) == 2
    assert "&lt;b&gt;" in drawing
    names = sorted(float(y) for y in re.findall(r'<text x="430" y="([\d.]+)"', drawing))
    assert len(names) == 3
    assert all(b - a >= 12.9 for a, b in itertools.pairwise(names))


def test_one_epoch_is_a_point_and_numbers_that_are_none_are_left_out():
    assert "<circle" in str(curves({"loss": [1.0]}, "loss"))
    ((_, _),) = lines_of(str(curves({"loss": [1.0, math.nan, 3.0]}, "loss")))
    assert "<path" not in str(curves({"loss": [math.nan]}, "loss"))
