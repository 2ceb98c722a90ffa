"""Which axis of an array of poses is which.

    array, told order ──ordered──▶ (T, [M,] V, D)

An order is told by a letter an axis, as `ctvm`: t frames, v joints, c coordinates (with the score, if there is one), m
people. Arrays are taken as (t, [m,] v, c) where nothing is told, and only where no other common order would fit their
shape: two people over 64 frames are as well 64 people in two.
"""

import numpy as np

from extractors.errors import ExtractorError, InputFault
from extractors.joints import Layout

_MEANS = {"t": "frames", "m": "people", "v": "joints", "c": "coordinates", "n": "sequences"}
_OURS = {3: "tvc", 4: "tmvc"}
_COMMON = {3: ("tvc", "ctv"), 4: ("tmvc", "ctvm", "mtvc")}
_IN_USE = {3: ("tvc", "ctv", "tcv", "vtc", "cvt"), 4: ("tmvc", "ctvm", "mtvc", "cvtm", "tvcm", "mctv", "tcvm")}
_MANY = {"nctvm": "(0, 2, 4, 3, 1)", "nmtvc": "(0, 2, 1, 3, 4)", "ntmvc": "(0, 1, 2, 3, 4)"}
_PEOPLE_MOST = 30


class UnsureAxes(InputFault):
    """An array whose axes could be taken in another order, or do not fit the order told."""


def checked_axes(axes: str) -> str:
    """An order as it was told.

    Raises
    ------
    ExtractorError
        It is not made of the letters t, v, c and perhaps m, once each.
    """
    if axes and sorted(axes) not in (sorted("tvc"), sorted("tmvc")):
        raise ExtractorError(
            f"The order of axes is told by a letter each, t (frames), v (joints), c (coordinates) and m (people), once "
            f"each, such as ctvm or tvc; got {axes!r}."
        )
    return axes


def ordered(data: np.ndarray, layout: Layout, axes: str = "") -> np.ndarray:
    """An array of one sequence, or of many one behind another, as (t, [m,] v, c).

    Parameters
    ----------
    data : array of 3 or 4 axes
    layout : Layout
        Of its joints.
    axes : str
        Its order; empty: ours, if no other fits.

    Raises
    ------
    UnsureAxes
        The order told does not fit; or none was, and ours does not fit, or not alone. The message says what would.
    """
    if data.ndim == 5:
        fits = [order for order in _MANY if _fits(data.shape[1:], order[1:], layout)]
        mend = (
            f"`np.savez(FILE, data=x.transpose{_MANY[fits[0]]}.reshape(-1, M, V, C), length=[T] * N)`" if fits else ""
        )
        raise UnsureAxes(
            f"an array {data.shape} of five axes holds many sequences. Save them one behind another"
            f"{f', as {fits[0]} here: {mend}' if fits else ', (frames, people, joints, coordinates) with `length`'}."
        )
    ours = _OURS.get(data.ndim)
    if ours is None:
        return data  # whoever asked says what is wrong with it
    if axes:
        if len(axes) != data.ndim or not _fits(data.shape, axes, layout, sure=False):
            raise UnsureAxes(
                f"an array {data.shape} is not ({_spelt(axes)}) of {layout.name}: {len(layout.joints)} joints and "
                f"{layout.axes} coordinates, or one more with the score. {_advice(data.shape, layout)}"
            )
        return np.moveaxis(data, [axes.index(letter) for letter in ours], range(data.ndim))
    fits = [order for order in _IN_USE[data.ndim] if _fits(data.shape, order, layout)]
    if set(fits).intersection(_COMMON[data.ndim]) == {ours}:
        return data
    if not fits and not _fits(data.shape, ours, layout, sure=False):
        return data  # of no order in use: whoever asked says what is wrong with it
    raise UnsureAxes(
        f"an array {data.shape} is not certain to be ({_spelt(ours)}) of {layout.name}, {len(layout.joints)} joints "
        f"and {layout.axes} coordinates. {_advice(data.shape, layout)}"
    )


def _fits(shape: tuple[int, ...], order: str, layout: Layout, sure: bool = True) -> bool:
    size = dict(zip(order, shape, strict=True))
    if size["v"] != len(layout.joints) or size["c"] not in (layout.axes, layout.axes + 1):
        return False
    people = size.get("m", 1)
    if not sure:
        return True
    if order != _OURS[len(shape)] and size["t"] <= layout.axes + 1:
        return False  # as few frames as coordinates: they are these
    return people <= _PEOPLE_MOST and (people < size["t"] or people == 1)


def _advice(shape: tuple[int, ...], layout: Layout) -> str:
    fits = [order for order in _IN_USE[len(shape)] if _fits(shape, order, layout)]
    if fits:
        return f"Say which it is: {' or '.join(f'--axes {order} ({_spelt(order)})' for order in fits)}."
    return "No order in use fits it: name the layout of its joints (--layout), or say the order (--axes)."


def _spelt(order: str) -> str:
    return ", ".join(_MEANS[letter] for letter in order)
