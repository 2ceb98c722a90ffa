"""Figures as inline SVG: a heat map, pairs of points, a scatter with its line; strings a page can hold.

    heat_map   counts (K, K) int, names               rows shaded by their share, each cell says what it counts
    pairs      circles (K, 2), squares (K, 2), names  joined by a thin line; those of some classes coloured
    scatter    x (K,), y (K,), names                  with a least-squares line where there is one

Colours are told apart by people who see fewer of them (Okabe and Ito), and nothing is said by colour alone. Names that
are too long are cut; the whole name is in the tooltip. The page's style sheet gives text its font.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup, escape

GREY, BLUE, ORANGE, INK = "#9aa3ae", "#0072b2", "#d55e00", "#1c2430"
#: least share of a row, and the colour from there on; nothing at all stays white
SHADES = (
    *((0.0, "#eaf1f8"), (0.02, "#d3e2f1"), (0.05, "#b5cfe8"), (0.1, "#8fb8dd"), (0.2, "#649dcd")),
    *((0.35, "#3f80ba"), (0.5, "#22639f"), (0.7, "#0f467f"), (0.9, "#08295a")),
)
_LONGEST = 26
_TOOLTIPS = 1000  # cells that say what they count, the largest; they are what makes a page large
_APART = 130  # so far from its square a circle has a name of its own
_KEY, _SHADE = 150, 34  # where the key of the shades begins, and how wide one is
_CHARACTER = 0.56  # of the font's size: how wide a letter is, about


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
        self, x: float, y: float, text: str, size: float = 11, longest: int = _LONGEST, **attributes: object
    ) -> None:
        """Text of one line, cut where it has more letters than `longest`."""
        short = cut(text, longest)
        title = f"<title>{escape(text)}</title>" if short != text else ""
        given = _attributes({"x": x, "y": y, "font_size": size} | attributes)
        self._parts.append(f"<text{given}>{escape(short)}{title}</text>")

    def markup(self) -> Markup:
        """The whole drawing."""
        return Markup("\n".join([*self._parts, "</svg>"]))


def cut(name: str, longest: int = _LONGEST) -> str:
    """A name of at most so many letters."""
    return name if len(name) <= longest else name[: longest - 1].rstrip() + "…"


def heat_map(counts: np.ndarray, names: Sequence[str]) -> Markup:
    """Row the class, column what it was taken for.

    Parameters
    ----------
    counts : (K, K) int
    names : K names
    """
    k = len(names)
    cell = float(np.clip(880 // max(k, 1), 5, 30))
    size = min(11.0, max(cell - 1.5, 5))
    margin = min(_LONGEST, max(map(len, names), default=1)) * size * _CHARACTER + 14
    left, top = round(margin + 16), round(margin * 0.87 + 24)  # whole numbers are short
    width = max(k * cell + margin * 0.5 + 10, _KEY + _SHADE * len(SHADES) + 92)
    svg = Svg(left + width, top + k * cell + 54, "confusion matrix")
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    svg.add("rect", x=left, y=top, width=k * cell, height=k * cell, fill="#fff", stroke="#c9d1da")
    _cells(svg, counts, shares, names, left, top, cell)
    for at, name in enumerate(names):
        middle = (at + 0.5) * cell
        svg.text(left - 5, top + middle + size * 0.35, name, size, text_anchor="end")
        turned = f"translate({left + middle + size * 0.35:.1f} {top - 6:.1f}) rotate(-60)"
        svg.text(0, 0, name, size, transform=turned)
    steps = "".join(f"M{left + at * cell:g} {top + at * cell:g}h{cell:g}v{cell:g}h-{cell:g}z" for at in range(k))
    svg.add("path", d=steps, fill="none", stroke=ORANGE)
    svg.text(left, 12, "taken for", 12, fill=GREY)
    svg.add("path", d=f"M{left + 56:.0f} 8h26m-5 -4l5 4l-5 4", fill="none", stroke=GREY)
    _shades_key(svg, left, top + k * cell + 18)
    return svg.markup()


def _cells(
    svg: Svg, counts: np.ndarray, shares: np.ndarray, names: Sequence[str], left: float, top: float, cell: float
) -> None:
    """The cells that count something: the largest with a tooltip each, the others as one path a shade."""
    bounds = np.array([least for least, _ in SHADES])
    rows, columns = np.nonzero(counts)
    order = np.argsort(-shares[rows, columns], kind="stable")
    paths: dict[int, list[str]] = {}
    for place, (row, column) in enumerate(zip(rows[order].tolist(), columns[order].tolist(), strict=True)):
        shade = int(np.searchsorted(bounds, shares[row, column], side="right")) - 1
        x, y = left + column * cell, top + row * cell
        if place >= _TOOLTIPS:
            paths.setdefault(shade, []).append(f"M{x:g} {y + cell / 2:g}h{cell:g}")
            continue
        told = f"{names[row]} as {names[column]}: {counts[row, column]} of {counts[row].sum()}"
        svg.add("rect", told, x=x, y=y, width=cell, height=cell, fill=SHADES[shade][1])
    for shade, parts in sorted(paths.items()):
        svg.add("path", d="".join(parts), stroke=SHADES[shade][1], stroke_width=cell)


def _shades_key(svg: Svg, left: float, y: float) -> None:
    svg.text(left, y + 11, "share of a class's videos", 11)
    x = left + _KEY
    for least, colour in SHADES:
        svg.add("rect", x=x, y=y, width=_SHADE, height=14, fill=colour, stroke="#c9d1da")
        svg.text(x, y + 27, f"{100 * least:.0f} %" if least else "> 0", 10, text_anchor="middle")
        x += _SHADE
    svg.text(x, y + 27, "100 %", 10, text_anchor="middle")
    svg.add("rect", x=x + 40, y=y + 1, width=12, height=12, fill="none", stroke=ORANGE)
    svg.text(x + 58, y + 11, "right", 11)


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
        wide = len(cut(name)) * size * _CHARACTER
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
