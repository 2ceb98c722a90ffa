"""Trends: points stand where their numbers say, with their errors, and are told apart without colour."""

import re

import pytest

from pipelines.pages.trends import Point, trends

LINES = {"a": [Point(4, 0.2, 0.05), Point(2, 0.1, 0.0)], "<b>": [Point(2, 0.4, 0.1), Point(4, 0.3, 0.1)]}


def test_points_stand_where_their_numbers_say():
    drawing = str(trends(LINES, {"chance": 0.05}, "classes"))
    marks = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"[^>]*><title>([^<]+)</title>', drawing)
    found = {title.partition(":")[0]: (float(x), float(y)) for x, y, title in marks}
    level = float(re.search(r'y1="([\d.]+)"[^>]*><title>chance: 5.0 %', drawing)[1])
    up = {name: y for name, (_, y) in found.items()}
    a_share = (up["a, 2"] - up["a, 4"]) / 0.1
    assert (up["a, 2"] - up["&lt;b&gt;, 2"]) / 0.3 == pytest.approx(a_share, rel=1e-3)
    assert (level - up["a, 2"]) / 0.05 == pytest.approx(a_share, rel=1e-3)
    assert found["a, 2"][0] == found["&lt;b&gt;, 2"][0] < found["a, 4"][0]
    assert "a, 4: 20.0 ± 5.0 %" in drawing
    assert len(set(re.findall(r'<path [^>]*stroke-dasharray="([^"]+)"', drawing))) == 1
    assert ">&lt;b&gt;</text>" in drawing


def test_places_that_span_much_are_drawn_on_a_logarithmic_scale_that_is_said():
    line = {"a": [Point(2, 0.1, 0), Point(20, 0.1, 0), Point(200, 0.1, 0)]}
    drawing = str(trends(line, {}, "classes"))
    x = [float(each) for each in re.findall(r'<circle cx="([\d.]+)"', drawing)]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.1)
    assert "classes, logarithmic scale" in drawing
    assert "logarithmic" not in str(trends({"a": [Point(0, 0.1, 0), Point(9, 0, 0)]}, {}, "x"))


def test_one_point_and_nothing_right_can_be_drawn():
    assert "<circle" in str(trends({"a": [Point(3, 0.0, 0.0)]}, {}, "x"))
