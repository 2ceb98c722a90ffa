"""Figures as inline SVG: pairs of points, clouds of them, a scatter with its line; strings a page can hold.

    pairs      circles (K, 2), squares (K, 2), names  joined by a thin line; those of some classes coloured
    clouds     dots (N, 2), stars (K, 2), names       dots in the colour of their star, which has its name beside it
    scatter    x (K,), y (K,), names                  with a least-squares line where there is one

Colours are told apart by people who see fewer of them (Okabe and Ito), and nothing is said by colour alone. Names that
are too long are cut; the whole name is in the tooltip. The page's style sheet gives text its font.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup, escape

GREY, BLUE, ORANGE, INK = "#9aa3ae", "#0072b2", "#d55e00", "#1c2430"
LONGEST = 26
_APART = 130  # so far from its square a circle has a name of its own
_GOLDEN = 137.508  # degrees between the hues of neighbours, so that no two are alike
_DOT = {"stroke_width": 5.5, "stroke_linecap": "round", "stroke_opacity": 0.8}
CHARACTER = 0.56  # of the font's size: how wide a letter is, about


class Svg:
    """A drawing: elements one after another, all text escaped."""

    def __init__(self, width: float, height: float, label: str) -> None:
        self.width, self.height = width, height
        self._parts = [
            f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
            f'role="img" aria-label="{escape(label)}">'
        ]

    def add(self, tag: str, title: str = "", **attributes: object) -> None:
        """One element; `title` is its tooltip. Underscores in names stand for dashes, `class_` for `class`."""
        inner = f"<title>{escape(title)}</title>" if title else ""
        self._parts.append(f"<{tag}{_attributes(attributes)}{f'>{inner}</{tag}>' if inner else '/>'}")

    def text(
        self, x: float, y: float, text: str, size: float = 11, longest: int = LONGEST, **attributes: object
    ) -> None:
        """Text of one line, cut where it has more letters than `longest`."""
        short = cut(text, longest)
        title = f"<title>{escape(text)}</title>" if short != text else ""
        given = _attributes({"x": x, "y": y, "font_size": size} | attributes)
        self._parts.append(f"<text{given}>{escape(short)}{title}</text>")

    def markup(self) -> Markup:
        """The whole drawing."""
        return Markup("\n".join([*self._parts, "</svg>"]))


def cut(name: str, longest: int = LONGEST) -> str:
    """A name of at most so many letters."""
    return name if len(name) <= longest else name[: longest - 1].rstrip() + "…"


def pairs(circles: np.ndarray, squares: np.ndarray, names: Sequence[str], coloured: np.ndarray) -> Markup:
    """Two points a class, a circle and a square, and a thin line between.

    Parameters
    ----------
    circles, squares : (K, 2) float
    names : K names
    coloured : (K,) bool, the others are grey
    """
    width, height, edge = 1060.0, 720.0, 46.0
    both = np.concatenate([circles, squares]).astype(float)
    low = both.min(0)
    span = np.where(np.ptp(both, axis=0) > 0, np.ptp(both, axis=0), 1.0)
    placed = edge + (both - low) / span * (np.array([width, height]) - 2 * edge)
    of_circle, of_square = placed[: len(names)], placed[len(names) :]
    svg = Svg(width, height, "class means and class texts")
    order = [*np.flatnonzero(~coloured).tolist(), *np.flatnonzero(coloured).tolist()]
    for k in order:
        (x1, y1), (x2, y2) = of_circle[k], of_square[k]
        colour = INK if coloured[k] else GREY
        svg.add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, stroke_opacity=0.35, stroke_width=0.8)
    for k in order:
        (x1, y1), (x2, y2) = of_circle[k], of_square[k]
        side = "unseen" if coloured[k] else "seen"
        fills = (BLUE, ORANGE) if coloured[k] else (GREY, GREY)
        svg.add("circle", f"{names[k]} ({side}), videos", cx=x1, cy=y1, r=4.5, fill=fills[0], stroke="#fff")
        square = {"x": x2 - 4, "y": y2 - 4, "width": 8, "height": 8}
        svg.add("rect", f"{names[k]} ({side}), text", **square, fill=fills[1], stroke="#fff")
    apart = np.linalg.norm(of_circle - of_square, axis=1) > _APART
    own = np.flatnonzero(coloured).tolist()
    wanted = [(*of_square[k], names[k]) for k in own] + [(*of_circle[k], names[k]) for k in own if apart[k]]
    _labels(svg, wanted, placed, (0, 0, width, height))
    return svg.markup()


def clouds(dots: np.ndarray, of: np.ndarray, stars: np.ndarray, names: Sequence[str]) -> Markup:
    """Many points a class, and a star for what stands for it; a class is told by its name, its colour only helps.

    Parameters
    ----------
    dots : (N, 2) float
    of : (N,) int, which star each belongs to
    stars : (K, 2) float
    names : K names
    """
    width, height, edge = 1060.0, 720.0, 46.0
    both = np.concatenate([dots, stars]).astype(float)
    span = np.where(np.ptp(both, axis=0) > 0, np.ptp(both, axis=0), 1.0)
    placed = edge + (both - both.min(0)) / span * (np.array([width, height]) - 2 * edge)
    of_dot, of_star = placed[: len(dots)], placed[len(dots) :]
    svg = Svg(width, height, "videos and what stands for their classes")
    colours = [f"hsl({k * _GOLDEN % 360:.0f} 60% {(38, 52)[k % 2]}%)" for k in range(len(names))]
    for k, (name, colour) in enumerate(zip(names, colours, strict=True)):
        path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in of_dot[of == k].tolist())
        if path:
            svg.add("path", f"videos of {name}", d=path, stroke=colour, **_DOT)
    for (x, y), name, colour in zip(of_star.tolist(), names, colours, strict=True):
        corners = [
            (x + r * np.sin(turn), y - r * np.cos(turn))
            for turn, r in zip(np.arange(10) * np.pi / 5, (9, 4) * 5, strict=True)
        ]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
        svg.add("polygon", name, points=points, fill=colour, stroke=INK, stroke_width=0.9)
    _labels(
        svg, [(*at, name) for at, name in zip(of_star.tolist(), names, strict=True)], of_star, (0, 0, width, height)
    )
    return svg.markup()


def scatter(
    x: np.ndarray, y: np.ndarray, names: Sequence[str], told: Sequence[str], axes: tuple[str, str], fit: bool = True
) -> Markup:
    """A point a class; y is a share, drawn from 0 to 100 %.

    Parameters
    ----------
    x, y : (K,) float
    names, told : K names and K tooltips
    axes : what x and y are
    fit : draw the least-squares line
    """
    width, height, left, bottom, top, floor = 1060.0, 480.0, 64.0, 430.0, 14.0, 18.0
    ticks = nice_ticks(float(x.min()), float(x.max()))
    low, high = ticks[0], ticks[-1]

    def at(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        across = left + (a - low) / (high - low) * (width - left - 30)
        return np.stack([across, bottom - floor - b * (bottom - floor - top)], -1)

    svg = Svg(width, height, f"{axes[1]} against {axes[0]}")
    for share in np.linspace(0, 1, 6):
        _, level = at(np.array(low), np.array(share)).tolist()
        svg.add("line", x1=left, x2=width - 30, y1=level, y2=level, stroke="#dfe4ea")
        svg.text(left - 8, level + 4, f"{100 * share:.0f} %", 11, text_anchor="end")
    for tick in ticks:
        across, _ = at(np.array(tick), np.array(0.0)).tolist()
        svg.add("line", x1=across, x2=across, y1=bottom, y2=bottom + 5, stroke="#66707f")
        svg.text(across, bottom + 19, f"{tick:g}", 11, text_anchor="middle")
    svg.add("line", x1=left, x2=width - 30, y1=bottom, y2=bottom, stroke="#66707f")
    svg.text((left + width) / 2, height - 8, axes[0], 12, 99, text_anchor="middle")
    turned = f"translate(14 {(top + bottom) / 2:.0f}) rotate(-90)"
    svg.text(0, 0, axes[1], 12, 99, text_anchor="middle", transform=turned)
    if fit:
        (x1, y1), (x2, y2) = _clipped_line(x, y, at)
        svg.add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=ORANGE, stroke_width=1.6)
    points = at(x, y)
    for (cx, cy), title in zip(points.tolist(), told, strict=True):
        svg.add("circle", title, cx=cx, cy=cy, r=4.5, fill=BLUE, fill_opacity=0.8, stroke="#fff")
    wanted = [(px, py, name) for (px, py), name in zip(points.tolist(), names, strict=True)]
    _labels(svg, wanted, points, (left + 2, 0, width, bottom - 2))
    return svg.markup()


def _clipped_line(x: np.ndarray, y: np.ndarray, at: object) -> np.ndarray:
    """The ends (2, 2) of the least-squares line on the drawing, within the data's x and within 0 to 100 %."""
    slope, intercept = np.polyfit(x, y, 1)
    ends = np.array([x.min(), x.max()])
    if slope:
        ends = np.clip(ends, *sorted((-intercept / slope, (1 - intercept) / slope)))
    return np.asarray(at(ends, np.clip(slope * ends + intercept, 0, 1)))  # type: ignore[operator]


def nice_ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, evenly, at most about so many."""
    span = high - low or abs(high) or 1.0
    power = 10.0 ** np.floor(np.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= most)
    first, last = np.floor(low / step), np.ceil(high / step)
    last = max(last, first + 1)
    return [round(float(n * step), 10) for n in np.arange(first, last + 1)]


def _labels(
    svg: Svg,
    wanted: Iterable[tuple[float, float, str]],
    marks: np.ndarray,
    within: tuple[float, float, float, float],
    size: float = 10,
) -> None:
    """Names beside their points where there is room: a name that would lie on another one or on a mark is left out."""
    taken = np.empty((0, 4))
    for x, y, name in wanted:
        wide = len(cut(name)) * size * CHARACTER
        others = marks[(np.abs(marks - [x, y]) > 1).any(1)]
        middle = x - wide / 2
        for left, base, anchor in (
            *((x + 8, y + 3, "start"), (x - 8 - wide, y + 3, "end")),
            *((middle, y - 8, "middle"), (middle, y + 16, "middle")),
        ):
            box = np.array([left, base - size, left + wide, base + 2])
            inside = (box[:2] > within[:2]).all() and (box[2:] < within[2:]).all()
            hits_name = ((box[:2] < taken[:, 2:]) & (box[2:] > taken[:, :2])).all(1).any()
            hits_mark = ((others > box[:2] - 4) & (others < box[2:] + 4)).all(1).any()
            if inside and not hits_name and not hits_mark:
                taken = np.vstack([taken, box])
                at = {"start": left, "end": left + wide, "middle": x}[anchor]
                svg.text(at, base, name, size, class_="beside", text_anchor=anchor)
                break


def _attributes(given: dict[str, object]) -> str:
    """Attributes as text, numbers with two decimals."""
    texts = []
    for name, value in given.items():
        number = isinstance(value, (int, float, np.number))
        shown = f"{float(value):.2f}".rstrip("0").rstrip(".") if number else escape(value)  # type: ignore[arg-type]
        texts.append(f' {name.rstrip("_").replace("_", "-")}="{shown}"')
    return "".join(texts)
