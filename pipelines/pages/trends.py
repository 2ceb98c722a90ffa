"""Shares over something else as inline SVG: points with their error, joined to lines; level lines to compare with.

Lines are told apart by dashes and marks too, and named at their ends. Where the numbers below span more than a factor
of 10, and none is nought, their scale is logarithmic.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from pipelines.pages.curves import LINES, spread
from pipelines.pages.figures import GREY, Svg, nice_ticks

_WIDE = 10.0
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760.0, 380.0, 64.0, 190.0, 14.0, 46.0
_NAME = 28


class Point(NamedTuple):
    """A share at a place, with its standard error."""

    at: float
    share: float
    error: float


def trends(lines: Mapping[str, Sequence[Point]], level: Mapping[str, float], axis: str) -> Markup:
    """Lines of points, from 0 % to a round number above the highest.

    Parameters
    ----------
    lines : points by name; at most four are told apart
    level : shares by name, drawn from side to side
    axis : what the places are
    """
    places = np.array([point.at for points in lines.values() for point in points])
    low, high = float(places.min()), float(places.max())
    is_log = low > 0 and high / low > _WIDE
    most = max([p.share + p.error for points in lines.values() for p in points] + list(level.values()))
    ticks = nice_ticks(0.0, max(most, 0.01), 6)

    def across(at: float) -> float:
        whole = np.log(high / low) if is_log else high - low
        part = (np.log(at / low) if is_log else at - low) / whole if whole else 0.5
        return float(_LEFT + 14 + part * (_WIDTH - _LEFT - _RIGHT - 28))

    def up(share: float) -> float:
        return float(_HEIGHT - _BOTTOM - share / ticks[-1] * (_HEIGHT - _BOTTOM - _TOP))

    svg = Svg(_WIDTH, _HEIGHT, f"accuracy against {axis}")
    for tick in ticks:
        svg.add("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=up(tick), y2=up(tick), stroke="#dfe4ea")
        svg.text(_LEFT - 8, up(tick) + 4, f"{100 * tick:g} %", 11, text_anchor="end")
    for at in sorted(set(places.tolist())):
        svg.add("line", x1=across(at), x2=across(at), y1=up(0), y2=up(0) + 4, stroke="#66707f")
        svg.text(across(at), _HEIGHT - _BOTTOM + 18, f"{at:g}", 11, text_anchor="middle")
    told = f"{axis}{', logarithmic scale' if is_log else ''}"
    svg.text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, told, 12, 99, text_anchor="middle")
    ends = []
    for name, share in level.items():
        title = f"{name}: {100 * share:.1f} %"
        svg.add(
            "line", title, x1=_LEFT, x2=_WIDTH - _RIGHT, y1=up(share), y2=up(share), stroke=GREY, stroke_dasharray="2 4"
        )
        ends.append((up(share), name))
    for (name, points), (colour, dashes) in zip(lines.items(), LINES, strict=False):
        own = sorted(points)
        more = {"stroke_dasharray": dashes} if dashes else {}
        path = "M" + "L".join(f"{across(p.at):.1f} {up(p.share):.1f}" for p in own)
        svg.add("path", d=path, fill="none", stroke=colour, stroke_width=1.8, **more)
        for p in own:
            x, y1, y2 = across(p.at), up(max(p.share - p.error, 0)), up(p.share + p.error)
            svg.add("line", x1=x, x2=x, y1=y1, y2=y2, stroke=colour, stroke_width=1.2)
            title = f"{name}, {p.at:g}: {100 * p.share:.1f} ± {100 * p.error:.1f} %"
            svg.add("circle", title, cx=x, cy=up(p.share), r=4, fill=colour, stroke="#fff")
        ends.append((up(own[-1].share), name))
    for y, name in spread(sorted(ends), _HEIGHT - _BOTTOM):
        svg.text(_WIDTH - _RIGHT + 8, y + 4, name, 11.5, _NAME)
    return svg.markup()
