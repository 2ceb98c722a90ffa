"""Some judged videos as people look at them: frames, captions or skeletons, and what each was taken for.

Takes  judged rows of one split, what the run says of its videos
Gives  `Clip`s, as many right as wrong; no head is asked, so that a run whose features have changed has them too
"""

import dataclasses
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.index.poses import KIND as POSE
from pipelines.look.run.inside import examples
from pipelines.look.seen import PoseViewer, Seen, film
from stores.captions import Captions
from stores.manifest import Manifest
from stores.root import Root

_TAKEN = 3  # classes that are named
_CAPTIONS = 3


@dataclasses.dataclass(frozen=True)
class Clip:
    """A judged video.

    Attributes
    ----------
    video_id, label : of it
    best : classes it was taken for, best first, with their scores
    texts : captions that stand for it
    seen : frames or skeletons, and where its film is
    key : of what is seen, in hexadecimal digits; empty where its data set has it no more
    """

    video_id: str
    label: str
    best: tuple[tuple[str, float], ...]
    texts: tuple[str, ...]
    seen: Seen
    key: str

    @property
    def wrong(self) -> bool:
        """Whether it was taken for another class."""
        return self.best[0][0] != self.label


def clips(judged: list[dict[str, Any]], dataset: str, of_captions: bool, root: Root) -> list[Clip]:
    """Some of the judged videos, evenly over them, right ones first; none of a data set that is gone.

    Parameters
    ----------
    judged : rows of one split
    dataset : of the videos
    of_captions : whether captions stand for them
    root : Root
    """
    shown = examples(judged)
    if dataset not in Manifest(root).datasets():
        return []
    table = Manifest(root).read(dataset, ["video_id", "kind", "uri", "key", "start_s", "end_s"])
    table = table.filter(pc.is_in(table["video_id"], pa.array([row["video_id"] for row in shown], pa.string())))
    held: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        held.setdefault(row["video_id"], []).append(row)
    said = Captions(root).read(dataset, ["group", "place", "text"]).sort_by("place") if of_captions else None
    viewer = PoseViewer(root) if any(row["kind"] == POSE for own in held.values() for row in own) else None
    return [_clip(row, held.get(row["video_id"], []), said, viewer) for row in shown]


def _clip(row: dict[str, Any], held: list[dict[str, Any]], said: pa.Table | None, viewer: PoseViewer | None) -> Clip:
    texts: list[str] = []
    seen, key = Seen(), b""
    for item in held:
        key = item["key"] if item["kind"] == "video" or not key else key
        if item["kind"] == "caption_group" and said is not None:
            texts = said.filter(pc.equal(said["group"], item["key"]))["text"].to_pylist()[:_CAPTIONS]
        elif item["kind"] == POSE and viewer and not seen.drawings:
            seen = viewer.seen(item["uri"], item["key"].hex(), row["video_id"])
        elif item["kind"] == "video" and not seen.frames:
            seen = film(item["uri"], item["start_s"], item["end_s"])
    best = tuple(zip(row["best"][:_TAKEN], row["scores"][:_TAKEN], strict=True))
    return Clip(row["video_id"], row["label"], best, tuple(texts), seen, key.hex())
