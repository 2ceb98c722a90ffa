"""Cards: an item or a segment of it as people look at it: a film at its time, captions, skeletons.

row of a manifest or of a table of segments ──▶ Card, which `templates/serve/_card.html` draws
"""

import dataclasses
import threading
from typing import Any
from urllib.parse import urlencode

import pyarrow.compute as pc
from markupsafe import Markup

from pipelines.index.poses import KIND as POSE
from pipelines.look.seen import PLACES, PoseViewer
from pipelines.look.serve import playing
from pipelines.look.serve.items import Item, Items
from pipelines.look.serve.searches import LONGEST, Asked
from stores.captions import Captions
from stores.root import Root

_CAPTIONS = 3


@dataclasses.dataclass(frozen=True)
class Card:
    """What is shown of an item or of a segment of it.

    Attributes
    ----------
    item : Item
    score : a cosine, or None
    start_s, end_s : of the segment, in its film
    segment : its number; None of a whole item
    film, poster : addresses; empty where no film can be played
    frames : addresses of frames, where there is a film that cannot be played
    texts : captions
    objects : names of recognised objects that made the score; empty where none did
    drawings : skeletons
    why_not : why nothing is shown
    page, like : addresses of the item's page, and of a search for more like this; empty where there is none
    """

    item: Item
    score: float | None
    start_s: float | None
    end_s: float | None
    segment: int | None = None
    film: str = ""
    poster: str = ""
    frames: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    drawings: tuple[Markup, ...] = ()
    why_not: str = ""
    page: str = ""
    like: str = ""
    objects: str = ""

    @property
    def mark(self) -> dict[str, Any]:
        """What the script keeps of it where it is marked: its names as they are, and its span in its file."""
        item = self.item
        named = {"dataset": item.dataset, "video_id": item.video_id, "label": item.label}
        part = {"item_start_s": item.start_s, "item_end_s": item.end_s}
        return named | {"segment": self.segment, "start_s": self.start_s, "end_s": self.end_s} | part


class Cards:
    """Makes cards.

    Parameters
    ----------
    root : Root
    items : Items
    """

    def __init__(self, root: Root, items: Items) -> None:
        self._root, self._items = root, items
        self._poses, self._one = PoseViewer(root), threading.Lock()

    def of_segment(self, row: dict[str, Any], feature: str) -> Card:
        """The card of a row of `segments.SCHEMA`, with its score where it has one."""
        held = self._items.of(row["key"])
        item = next((each for each in held if _same(each, row)), held[0])
        start, end = row["start_s"], row["end_s"]
        if row["text"] is not None:
            like = Asked(q=row["text"][:LONGEST], feature=feature).address()
            shown: dict[str, Any] = {"texts": (row["text"],)}
            if film := self._items.film_of(item.dataset, item.video_id):
                shown |= _film(film, film.start_s, film.end_s)
        else:
            span = "" if start is None else f"@{start:.3f}-{end:.3f}"
            like = Asked(like=row["video_id"] + span, feature=feature).address()
            shown = self._seen(item, start, end)
        page = f"/clip/{item.key}?" + urlencode({"feature": feature, "segment": row["segment"]})
        told = row.get("objects") or ""
        return Card(item, row.get("score"), start, end, row["segment"], **shown, page=page, like=like, objects=told)

    def of_item(self, item: Item) -> Card:
        """The card of a whole item."""
        return Card(
            item, None, item.start_s, item.end_s, **self._seen(item, item.start_s, item.end_s), page=f"/clip/{item.key}"
        )

    def _seen(self, item: Item, start: float | None, end: float | None) -> dict[str, Any]:
        if item.kind == "video":
            return _film(item, start, end)
        if item.kind == POSE:
            with self._one:
                seen = self._poses.seen(item.uri, item.key, item.video_id)
            return {"drawings": seen.drawings, "why_not": seen.why_not}
        if item.kind == "caption_group":
            film = self._items.film_of(item.dataset, item.video_id)
            told = _film(film, film.start_s, film.end_s) if film else {}
            return {"texts": self._captions(item)} | told
        if item.kind == "image":
            return {"frames": (f"/frame/{item.key}",)}
        return {"why_not": f"It is a {item.kind.replace('_', ' ')}: there is nothing to look at."}

    def _captions(self, item: Item) -> tuple[str, ...]:
        table = Captions(self._root).read(item.dataset, ["group", "place", "text"])
        own = table.filter(pc.equal(table["group"], bytes.fromhex(item.key))).sort_by("place")
        return tuple(own["text"].to_pylist()[:_CAPTIONS])


def _same(item: Item, row: dict[str, Any]) -> bool:
    return (item.dataset, item.video_id, item.uri) == (row["dataset"], row["video_id"], row["uri"])


def _film(item: Item, start: float | None, end: float | None) -> dict[str, Any]:
    """How a film is played: itself at its time, its segment made anew, or frames of it."""
    path = playing.local(item)
    if path is None and "://" not in item.uri:
        return {"why_not": "Its file is not there (any more)."}
    span = "" if start is None else f"#t={start:.3f}" + ("" if end is None else f",{end:.3f}")
    begin = start or 0.0
    middle = begin + 0.5 * ((end if end is not None else begin) - begin)
    poster = f"/frame/{item.key}?t={middle:.2f}"
    if path is not None and playing.plays(path):
        return {"film": f"/film/{item.key}{span}", "poster": poster}
    if playing.encoder():
        told = {"start": f"{begin:.3f}"} | ({} if end is None else {"end": f"{end:.3f}"})
        return {"film": f"/segment/{item.key}?{urlencode(told)}", "poster": poster}
    length = (end if end is not None else begin + 1.0) - begin
    return {"frames": tuple(f"/frame/{item.key}?t={begin + place * length:.2f}" for place in PLACES)}
