"""Films at their addresses: the file of an item, a span of it, a frame of it.

    /film/KEY                    its file, in ranges, where a browser plays it
    /segment/KEY?start=&end=     a span in seconds, made anew (`playing.py`)
    /frame/KEY?t=                the frame at a moment, as JPEG

Of a content that lies in several places the first that can be read is sent.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from extractors.errors import InputFault
from pipelines.look.serve import playing
from pipelines.look.serve.items import Item, Items, seconds
from stores.errors import NotInStore

_T = TypeVar("_T")


class Films:
    """A method an address.

    Parameters
    ----------
    items : Items
    folder : where films are kept that are made
    """

    def __init__(self, items: Items, folder: Path) -> None:
        self._items, self._segments = items, playing.Segments(folder)

    def film(self, request: Request) -> Response:
        """The file of an item, where it is a film that a browser plays."""
        for item in self._items.of(request.path_params["key"]):
            path = playing.local(item)
            if path and (kind := playing.plays(path)):
                return FileResponse(path, media_type=kind)
        raise NotInStore("No file of this item is here that a browser plays.")

    def segment(self, request: Request) -> Response:
        """A span of a film, made anew."""
        told = request.query_params
        start, end = seconds(told.get("start", ""), "start") or 0.0, seconds(told.get("end", ""), "end")
        path, kind = self._of_any(request, lambda item: self._segments.film(item, start, end))
        return FileResponse(path, media_type=kind)

    def frame(self, request: Request) -> Response:
        """A frame of a film."""
        moment = seconds(request.query_params.get("t", ""), "t") or 0.0
        data = self._of_any(request, lambda item: playing.picture(item, moment))
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})

    def _of_any(self, request: Request, make: Callable[[Item], _T]) -> _T:
        """What is made of the first place of an item where that can be."""
        fault: Exception | None = None
        for item in self._items.of(request.path_params["key"]):
            try:
                return make(item)
            except InputFault as error:
                fault = fault or error
        assert fault is not None
        raise fault
