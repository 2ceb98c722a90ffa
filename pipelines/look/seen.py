"""What is seen of an item, or of a segment of it, as part of a page that is one file.

    film    three frames of it as data URLs, and a link to the film at its time
    poses   three drawings of the skeleton

A film that is not on this machine, or does not decode, has nothing to show.
"""

import dataclasses
from pathlib import Path
from typing import Any

from markupsafe import Markup

from extractors import clips
from extractors.errors import InputFault, MachineFault
from extractors.sampling import Geometry
from pipelines.index import joint_layouts
from pipelines.index.pose_places import PoseReader
from pipelines.look import skeletons
from pipelines.look.frames import frames_at
from pipelines.pages.page import frame
from stores.root import Root

PLACES = (0.15, 0.5, 0.85)  # of a segment
_HEIGHT = 110


@dataclasses.dataclass(frozen=True)
class Seen:
    """Frames as data URLs, skeletons, where its film is, why nothing is seen; each empty where there is none."""

    frames: tuple[str, ...] = ()
    drawings: tuple[Markup, ...] = ()
    link: str = ""
    why_not: str = ""


def film(uri: str, start: float | None, end: float | None, pictured: bool = True) -> Seen:
    """A film, or its span in seconds.

    Parameters
    ----------
    uri : of its row of the manifest
    start, end : None: all of it
    pictured : whether frames are decoded, which takes a tenth of a second
    """
    local = Path(uri)
    if not local.is_absolute() or not local.is_file():
        return Seen(why_not="its file is not here")
    link = local.as_uri() + ("" if start is None or end is None else f"#t={start:.2f},{end:.2f}")
    frames: list[Any] = []
    if pictured:
        try:
            if start is None or end is None:
                frames = clips.thumbnails(uri, len(PLACES), _HEIGHT)
            else:
                frames = frames_at(uri, [start + place * (end - start) for place in PLACES])
        except (InputFault, MachineFault) as fault:
            return Seen(link=link, why_not=str(fault))
    return Seen(tuple(frame(_small(rgb)) for rgb in frames), link=link)


class PoseViewer:
    """Draws sequences of poses of a root; of a file of many the last one stays in memory.

    Parameters
    ----------
    root : Root
    """

    def __init__(self, root: Root) -> None:
        joint_layouts.load(root)
        self._reader = PoseReader()

    def seen(self, uri: str, key: str, name: str) -> Seen:
        """A sequence by its place, its key in hexadecimal digits, and its name."""
        drawn, why_not = skeletons.strip(uri, bytes.fromhex(key), name, self._reader)
        return Seen(drawings=tuple(each for each in drawn if each), why_not=why_not)


def _small(rgb: Any) -> Any:
    size = (_HEIGHT, max(1, round(rgb.shape[1] * _HEIGHT / rgb.shape[0])))
    return Geometry(size, size)(rgb)
