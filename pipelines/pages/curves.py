"""Curves over the epochs of a training as inline SVG: losses, the learning rate, a share.

curves   name -> one number an epoch     a line a name, told apart by its dashes too and named at its end
"""

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from pipelines.pages.figures import BLUE, INK, ORANGE, Svg, nice_ticks

#: colour and dashes by which lines are told apart
LINES = ((BLUE, ""), (ORANGE, "7 4"), ("#009e73", "2 3"), (INK, "9 3 2 3"))
_WIDE = 30.0
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 520.0, 250.0, 62.0, 96.0, 14.0, 34.0
_APART = 13.0  # pixels between the names at the ends of lines


def curves(lines: Mapping[str, Sequence[float]], label: str, share: bool = False, log: bool = False) -> Markup:
    """Lines over epochs, from 1.

    Parameters
    ----------
    lines : numbers of the epochs by what they are; at most four are told apart
    label : what the drawing shows, for those who do not see it
    share : the numbers are shares, drawn from 0 to 100 %
    log : what spans more than a factor of 30 is drawn on a logarithmic scale, which the axis says
    """
    values = np.concatenate([np.asarray(line, float) for line in lines.values()])
    values = values[np.isfinite(values)]
    low, high = (0.0, 1.0) if share or not len(values) else (float(values.min()), float(values.max()))
    is_log = log and low > 0 and high / low > _WIDE
    ticks = _decades(low, high) if is_log else nice_ticks(0.0 if share else low, high, 5)
    low, high = ticks[0], ticks[-1]
    epochs = max(map(len, lines.values()))

    def across(epoch: float) -> float:
        return _LEFT + (epoch - 1) / max(epochs - 1, 1) * (_WIDTH - _LEFT - _RIGHT)

    def up(value: float) -> float:
        at = np.log(value / low) / np.log(high / low) if is_log else (value - low) / (high - low)
        return float(_HEIGHT - _BOTTOM - at * (_HEIGHT - _BOTTOM - _TOP))

    svg = Svg(_WIDTH, _HEIGHT, label)
    for tick in ticks:
        svg.add("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=up(tick), y2=up(tick), stroke="#dfe4ea")
        svg.text(_LEFT - 7, up(tick) + 4, f"{100 * tick:.0f} %" if share else f"{tick:g}", 11, text_anchor="end")
    for epoch in sorted({1, *(int(t) for t in nice_ticks(1, epochs, 5) if 1 < t <= epochs)}):
        svg.text(across(epoch), _HEIGHT - _BOTTOM + 17, str(epoch), 11, text_anchor="middle")
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    svg.text(middle, _HEIGHT - 3, f"epoch{', logarithmic scale' if is_log else ''}", 11, text_anchor="middle")
    ends = []
    for (name, line), (colour, dashes) in zip(lines.items(), LINES, strict=False):
        points = [(across(k), up(value)) for k, value in enumerate(line, 1) if np.isfinite(value)]
        if not points:
            continue
        title = f"{name}: {line[0]:.3g} in epoch 1, {line[-1]:.3g} in epoch {len(line)}"
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        more = {"stroke_dasharray": dashes} if dashes else {}
        svg.add("path", title, d=path, fill="none", stroke=colour, stroke_width=1.8, **more)
        if len(points) == 1:
            svg.add("circle", title, cx=points[0][0], cy=points[0][1], r=3, fill=colour)
        ends.append((points[-1][1], name))
    for y, name in spread(sorted(ends), _HEIGHT - _BOTTOM):
        svg.text(_WIDTH - _RIGHT + 6, y + 4, name, 11, 14)
    return svg.markup()


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten around what is drawn."""
    return [float(10.0**k) for k in range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)]


def spread(ends: list[tuple[float, str]], floor: float) -> list[tuple[float, str]]:
    """Names and how high they stand, from top to bottom, so far apart that none lies on another, none below `floor`."""
    placed: list[tuple[float, str]] = []
    for y, name in ends:
        placed.append((max(y, placed[-1][0] + _APART) if placed else y, name))
    over = max(placed[-1][0] - floor, 0.0) if placed else 0.0
    return [(y - over, name) for y, name in placed]
