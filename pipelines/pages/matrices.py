"""Matrices as inline SVG, names at the left and turned above: what is taken for what, and what is composed of what.

    heat_map    counts (K, K) int, names                 rows shaded by their share, each cell says what it counts
    related     values (J, S), rows, columns, chosen     shaded by the value; a tooltip for the cells that are chosen
    masked      chosen (J, S) bool, shares, kept (J,)    filled where chosen (ResT, figure 3); kept rows are orange

The largest cells say what they are; the others are one path a shade, since tooltips are what makes a page large.
"""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from pipelines.pages.figures import CHARACTER, GREY, LONGEST, ORANGE, Svg, nice_ticks

#: least share of a row, and the colour from there on; nothing at all stays white
SHADES = (
    *((0.0, "#eaf1f8"), (0.02, "#d3e2f1"), (0.05, "#b5cfe8"), (0.1, "#8fb8dd"), (0.2, "#649dcd")),
    *((0.35, "#3f80ba"), (0.5, "#22639f"), (0.7, "#0f467f"), (0.9, "#08295a")),
)
_TOOLTIPS = 1000  # cells that say what they count, the largest
_KEY, _SHADE = 150, 34  # where the key of the shades begins, and how wide one is
_STEPS = 14  # of cosines, at most about
_HIGHEST = 14.0  # a row of classes that are composed


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
    margin = min(LONGEST, max(map(len, names), default=1)) * size * CHARACTER + 14
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


def related(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], chosen: np.ndarray) -> Markup:
    """How near each row is to each column.

    Parameters
    ----------
    values : (J, S) float, cosines
    rows, columns : J and S names
    chosen : (J, S) bool, cells with a tooltip first
    """
    ticks = nice_ticks(float(values.min()), float(values.max()), _STEPS)
    colours = [_between(at) for at in np.linspace(0, 1, len(ticks) - 1)]
    svg, grid = _framed("semantic relatedness", rows, columns, _KEY + _SHADE * len(colours) + 20)
    left, top, wide, high = grid
    shade = np.clip(np.searchsorted(ticks, values, side="right") - 1, 0, len(colours) - 1)
    order = np.lexsort((-values.ravel(), ~chosen.ravel()))
    paths: dict[int, list[str]] = {}
    for place, cell in enumerate(order.tolist()):
        j, i = divmod(cell, len(columns))
        x, y = left + i * wide, top + j * high
        if place < _TOOLTIPS:
            told = f"{rows[j]} ~ {columns[i]}: {values[j, i]:.3f}{', taken' * bool(chosen[j, i])}"
            svg.add("rect", told, x=x, y=y, width=wide, height=high, fill=colours[shade[j, i]])
            continue
        paths.setdefault(int(shade[j, i]), []).append(f"M{x:g} {y + high / 2:g}h{wide:g}")
    for step, parts in sorted(paths.items()):
        svg.add("path", d="".join(parts), stroke=colours[step], stroke_width=high)
    below = top + len(rows) * high + 18
    svg.text(left, below + 11, "cosine similarity", 11)
    for step, (tick, colour) in enumerate(zip(ticks, colours, strict=False)):
        x = left + _KEY + step * _SHADE
        svg.add("rect", x=x, y=below, width=_SHADE, height=14, fill=colour, stroke="#c9d1da")
        svg.text(x, below + 27, f"{tick:g}", 10, text_anchor="middle")
    svg.text(left + _KEY + len(colours) * _SHADE, below + 27, f"{ticks[-1]:g}", 10, text_anchor="middle")
    return svg.markup()


def _between(at: float) -> str:
    """The colour at a share of the way along the shades."""
    places = np.linspace(0, 1, len(SHADES))
    channels = np.array([[int(colour[c : c + 2], 16) for c in (1, 3, 5)] for _, colour in SHADES])
    mixed = [round(float(np.interp(at, places, channel))) for channel in channels.T]
    return "#" + "".join(f"{value:02x}" for value in mixed)


def masked(
    shares: np.ndarray, rows: Sequence[str], columns: Sequence[str], chosen: np.ndarray, kept: np.ndarray
) -> Markup:
    """Which columns each row is composed of.

    Parameters
    ----------
    shares : (J, S) float, of each column in the row, 0 where it is not chosen
    rows, columns : J and S names
    chosen : (J, S) bool
    kept : (J,) bool, rows that keep a column for want of any
    """
    svg, (left, top, wide, high) = _framed("which seen classes compose each unseen one", rows, columns, 300)
    for j, i in np.argwhere(chosen).tolist():
        told = f"{rows[j]} of {columns[i]}: " + ("kept, nothing was left" if kept[j] else f"{100 * shares[j, i]:.0f} %")
        fill = ORANGE if kept[j] else "currentColor"
        svg.add("rect", told, x=left + i * wide, y=top + j * high, width=wide, height=high, fill=fill)
    below = top + len(rows) * high + 18
    svg.add("rect", x=left, y=below, width=12, height=12, fill="currentColor")
    svg.text(left + 18, below + 10, "composes it", 11)
    svg.add("rect", x=left + 110, y=below, width=12, height=12, fill=ORANGE)
    svg.text(left + 128, below + 10, "kept, nothing was left", 11)
    return svg.markup()


def _framed(
    label: str, rows: Sequence[str], columns: Sequence[str], key: float
) -> tuple[Svg, tuple[float, float, float, float]]:
    """A frame with names around it, and where its cells begin and how wide and high one is."""
    wide = float(np.clip(880 // max(len(columns), 1), 5, 30))
    high = min(wide, _HIGHEST)
    sizes = [min(11.0, max(side - 1.5, 5)) for side in (high, wide)]
    margins = [
        min(LONGEST, max(map(len, names), default=1)) * size * CHARACTER + 14
        for names, size in zip((rows, columns), sizes, strict=True)
    ]
    left, top = round(margins[0] + 16), round(margins[1] * 0.87 + 14)
    across, down = len(columns) * wide, len(rows) * high
    svg = Svg(left + max(across + margins[1] * 0.5 + 10, key), top + down + 54, label)
    svg.add("rect", x=left, y=top, width=across, height=down, fill="#fff", stroke="#c9d1da")
    for j, name in enumerate(rows):
        svg.text(left - 5, top + (j + 0.5) * high + sizes[0] * 0.35, name, sizes[0], text_anchor="end")
    for i, name in enumerate(columns):
        turned = f"translate({left + (i + 0.5) * wide + sizes[1] * 0.35:.1f} {top - 6:.1f}) rotate(-60)"
        svg.text(0, 0, name, sizes[1], transform=turned)
    return svg, (left, top, wide, high)
