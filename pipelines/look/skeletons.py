"""Skeletons of a sequence of poses, for people to look at.

Takes  a sequence, or the row of a manifest that says where it lies
Gives  a drawing of each of some parts of its time (`stick_figures`), the person upright and seen from the front
"""

import numpy as np
from markupsafe import Markup

from extractors.errors import InputFault
from extractors.poses import Form, Poses, prepared
from pipelines.index.pose_places import PoseReader
from pipelines.pages import stick_figures

_PARTS = 3


def strip(uri: str, key: bytes, name: str, reader: PoseReader, parts: int = _PARTS) -> tuple[list[Markup | None], str]:
    """Drawings of the sequence at a place, a part of its time each, and why there is none where there is none.

    Parameters
    ----------
    uri, key, name : of its row of the manifest
    reader : of places in a root whose layouts are loaded (`joint_layouts`)
    parts : so many
    """
    form = Form(people=1, frame="body")
    spans = [(form.frames * k / parts, form.frames * (k + 1) / parts) for k in range(parts)]
    try:
        poses: Poses | InputFault = reader.read(uri, key)
    except InputFault as fault:
        poses = fault
    return drawings(poses, form, spans, name)


def when(span: tuple[float, float], frames: int) -> str:
    """A part as shares of the whole time."""
    return f"{100 * span[0] / frames:.0f}\u2013{100 * span[1] / frames:.0f}\u00a0% of the time"


def drawings(
    poses: Poses | InputFault, form: Form, spans: list[tuple[float, float]], name: str
) -> tuple[list[Markup | None], str]:
    """A drawing a part, and why there is none where there is none."""
    try:
        if isinstance(poses, InputFault):
            raise poses
        places = prepared(poses, form)[..., 0].transpose(1, 2, 0)
    except InputFault as fault:
        return [None] * len(spans), f"{type(fault).__name__}: {fault}"
    seen = stick_figures.view(places)
    there = places.any((1, 2))
    seen[~there] = np.nan
    box = stick_figures.Box.around(seen[there])
    found = []
    for place, span in enumerate(spans):
        told = f"skeleton of {name}, {when(span, form.frames)}"
        found.append(stick_figures.figure(seen, span, poses.layout, box, told, scale=place == 0))
    return found, ""
