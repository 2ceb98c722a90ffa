"""Stick figures as inline SVG: one part of a sequence of poses, seen from the front.

    places (F, V, 3) of the main person, in the frame of the body ─view─▶ (F, V, 2), y down ─figure─▶ a drawing a part

The pose in the middle of the part is drawn in full, poses before it ever fainter, and the way of wrists and ankles
through the whole part as a dotted line with an arrowhead where it ends. Left and right limbs have a colour each, and
end in a disc and in a square: nothing is said by colour alone. A layout without a head gets its circle at the nose.
"""

import dataclasses
from typing import Any

import numpy as np
from markupsafe import Markup

from extractors.joints import Layout
from pipelines.pages.figures import GREY, Svg

LEFT, RIGHT = "#009e73", "#c26a9d"
_INK = "currentColor"
_SPINE = 54.0  # pixels a spine
_WIDEST, _HIGHEST, _LEAST = 330.0, 250.0, (2.6, 3.4)  # a drawing in pixels, and the least it shows in spines
_EDGE, _SCALE = 12.0, 18.0
_FAINT = (0.14, 0.22, 0.34)
_MOVED = 0.3  # spines: who goes less far has no way drawn
_ENDS = ("wrist", "ankle")
_ODD = 2.0  # per cent of frames at either end that the size of the drawing does not count: a joint that jumps


@dataclasses.dataclass(frozen=True)
class Box:
    """What a drawing shows: its left upper corner in spines, its size and a spine in pixels."""

    corner: tuple[float, float]
    size: tuple[float, float]
    spine: float

    @classmethod
    def around(cls, seen: np.ndarray) -> "Box":
        """Room for all poses (F, V, 2) of a sequence, at the same scale if they fit."""
        low, high = np.percentile(seen.min(1), _ODD, axis=0), np.percentile(seen.max(1), 100 - _ODD, axis=0)
        middle, span = (low + high) / 2, np.maximum(high - low, _LEAST)
        spine = float(min(_SPINE, *(np.array([_WIDEST, _HIGHEST]) / span)))
        corner = middle - span / 2
        return cls((float(corner[0]), float(corner[1])), (float(span[0] * spine), float(span[1] * spine)), spine)

    def at(self, seen: np.ndarray) -> np.ndarray:
        """(..., 2) in pixels of the drawing."""
        return np.asarray((seen - self.corner) * self.spine + [_EDGE + _SCALE, _EDGE])


def view(places: np.ndarray) -> np.ndarray:
    """(F, V, 2) of (F, V, 3): seen from the front, so that the person's left is on the right; y goes down."""
    return -places[..., :2].astype(np.float64)


def figure(
    seen: np.ndarray, span: tuple[float, float], layout: Layout, box: Box, label: str, scale: bool = True
) -> Markup | None:
    """One part of a sequence.

    Parameters
    ----------
    seen : (F, V, 2) float
        As `view` gives it; NaN in frames without the person.
    span : (float, float)
        Where the part begins and ends, in frames: 0 to F.
    layout : Layout
    box : Box
    label : what the picture is, for those who do not see it
    scale : draw how long a spine is

    Returns
    -------
    Markup, or None
        None where the person is in no frame of the part.
    """
    first, last = int(span[0]), max(int(np.ceil(span[1])) - 1, int(span[0]))
    frames = [frame for frame in range(first, last + 1) if np.isfinite(seen[frame]).all()]
    if not frames:
        return None
    svg = Svg(box.size[0] + 2 * _EDGE + _SCALE, box.size[1] + 2 * _EDGE, label)
    if scale:
        _scale(svg, box)
    points = box.at(seen)
    middle = frames[len(frames) // 2]
    earlier = sorted({frames[round(at)] for at in np.linspace(0, len(frames) // 2, len(_FAINT) + 1)[:-1]} - {middle})
    for frame, opacity in zip(earlier, _FAINT[-len(earlier) :] if earlier else (), strict=True):
        _body(svg, points[frame], layout, box, 2.2, opacity)
    _ways(svg, points[frames], layout, box)
    _body(svg, points[middle], layout, box, 3.6, 1.0)
    return svg.markup()


def side(joint: str) -> str:
    """`left`, `right`, or nothing for the trunk.

    >>> side("left hand tip")
    'left'
    """
    first = joint.split()[0]
    return first if first in ("left", "right") else ""


def _colour(joint: str) -> str:
    return {"left": LEFT, "right": RIGHT}.get(side(joint), _INK)


def _body(svg: Svg, points: np.ndarray, layout: Layout, box: Box, width: float, opacity: float) -> None:
    """One pose: a line a bone, coloured as its end away from the centre; a circle for the head."""
    lines: dict[str, list[str]] = {}
    for outer, inner in layout.bones:
        (x1, y1), (x2, y2) = points[inner], points[outer]
        lines.setdefault(_colour(layout.joints[outer]), []).append(f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}")
    drawn: dict[str, Any] = {"fill": "none", "stroke_width": width, "stroke_linecap": "round"}
    faint: dict[str, Any] = {} if opacity == 1 else {"opacity": opacity}
    for colour in sorted(lines):
        svg.add("path", d="".join(lines[colour]), stroke=colour, **drawn, **faint)
    x, y = points[_head(layout)]
    svg.add("circle", cx=x, cy=y, r=0.17 * box.spine, fill=_INK, **faint)
    if opacity == 1:
        for joint in _ends(layout):
            _mark(svg, float(points[joint, 0]), float(points[joint, 1]), layout.joints[joint])


def _mark(svg: Svg, x: float, y: float, joint: str) -> None:
    if side(joint) == "left":
        svg.add("circle", cx=x, cy=y, r=4.6, fill=LEFT)
    else:
        svg.add("rect", x=x - 4.3, y=y - 4.3, width=8.6, height=8.6, fill=RIGHT)


def _ways(svg: Svg, points: np.ndarray, layout: Layout, box: Box) -> None:
    """The way of each wrist and ankle (F, V, 2) that goes far enough."""
    for joint in _ends(layout):
        way, colour = points[:, joint], _colour(layout.joints[joint])
        if np.linalg.norm(np.ptp(way, axis=0)) < _MOVED * box.spine:
            continue
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in way.tolist())
        svg.add("path", d=path, fill="none", stroke=colour, stroke_width=1.7, stroke_dasharray="2 3")
        far = np.linalg.norm(way - way[-1], axis=1) > 0.12 * box.spine  # the last frames may stand still
        ahead = way[-1] - way[np.flatnonzero(far)[-1]]
        ahead = ahead / np.linalg.norm(ahead)
        across = np.array([-ahead[1], ahead[0]])
        corners = (way[-1] + 5 * ahead, way[-1] - 5 * ahead + 4.5 * across, way[-1] - 5 * ahead - 4.5 * across)
        svg.add("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) + "z", fill=colour)


def _scale(svg: Svg, box: Box) -> None:
    """A line as long as the spine, at the left edge."""
    x, bottom = 6.0, box.size[1] + _EDGE
    svg.add("path", d=f"M{x - 3} {bottom:.1f}h6M{x} {bottom:.1f}v-{box.spine:.1f}m-3 0h6", fill="none", stroke=GREY)
    turned = f"translate({x + 11:.1f} {bottom - box.spine / 2:.1f}) rotate(-90)"
    svg.text(0, 0, "1 spine", 9, transform=turned, text_anchor="middle", class_="dim")


def _head(layout: Layout) -> int:
    return next(at for at, joint in enumerate(layout.joints) if joint in ("head", "nose"))


def _ends(layout: Layout) -> list[int]:
    return [at for at, joint in enumerate(layout.joints) if joint.split()[-1] in _ENDS and side(joint)]
