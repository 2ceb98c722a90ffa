"""The pages that answer, and their addresses.

    /                 a phrase, or a segment, to segments        /plot, /drawing   a feature set in the plane
    /clip/KEY         an item, or a segment of it                /classes, /class  what is said of a class, its clips
    /film/KEY         its file, where a browser plays it         /data             data sets, feature sets, spaces
    /segment/KEY      a span of it, made anew                    /runs, /run       runs, results, a run's own page
    /frame/KEY        a frame of it                              /failures         what gave no features
    /audit            doubts about a data set
    /labels           labels that there are                      /selections       saves what was marked (`saving.py`)

KEY is a content key of the manifests (`items.py`); no address holds a path. Pages only read: nothing below the root is
written, unless the server was started with --edit, and then selections alone.
"""

import functools
import hashlib
import shlex
import threading
from pathlib import Path
from typing import Any

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from extractors.errors import ExtractorError, InputFault
from pipelines.errors import UsageError
from pipelines.judge.results import results
from pipelines.look import flattened, listing
from pipelines.look.audit.findings import KINDS
from pipelines.look.run.page import run_html
from pipelines.look.serve.access import Access
from pipelines.look.serve.audits import OF_EACH, Audits, first_kind
from pipelines.look.serve.cards import Cards
from pipelines.look.serve.classes import Classes
from pipelines.look.serve.films import Films
from pipelines.look.serve.guards import Guards
from pipelines.look.serve.items import Item, Items
from pipelines.look.serve.plots import Plots
from pipelines.look.serve.saving import Saving
from pipelines.look.serve.searches import Asked, Searches, items_of
from pipelines.look.serve.settings import ServeConfig
from pipelines.pages.page import render
from stores.errors import NotInStore, StoreError
from stores.features import FeatureStore
from stores.manifest import Manifest
from stores.root import Root

_SCRIPTS = {path.name: path for path in Path(__file__).with_name("scripts").glob("*.js")}
_MENDED = (UsageError, StoreError, ExtractorError, InputFault)  # one line each, for who asked
_TEXT = ("/film/", "/segment/", "/frame/", "/drawing", "/card/", "/labels", "/selections")  # whose errors are no page
_CLIPS = 24  # of a class on one page
_FAILURES = 500
_LABELS = 2000
_PAGES = 16  # runs' pages in memory


def app(root: Root, config: ServeConfig, folder: Path) -> Starlette:
    """The pages of a root.

    Parameters
    ----------
    root : Root
    config : ServeConfig
    folder : where films are kept that are made for them

    Raises
    ------
    UsageError
        Others reach the port, and there is no password.
    """
    if config.is_open and not config.password:
        raise UsageError(f"{config.host} is reached by others than this machine: set a password with --password.")
    items, saving = Items(root), Saving(root, config.edit)
    pages, films = _Pages(root, config, items, saving.token), Films(items, folder)
    routes = [
        Route("/", pages.search),
        Route("/plot", pages.plot),
        Route("/drawing", pages.drawing),
        Route("/classes", pages.classes),
        Route("/class", pages.one_class),
        Route("/clip/{key}", pages.clip),
        Route("/card/{key}", pages.card),
        Route("/film/{key}", films.film),
        Route("/segment/{key}", films.segment),
        Route("/frame/{key}", films.frame),
        Route("/data", pages.data),
        Route("/runs", pages.runs),
        Route("/run", pages.run),
        Route("/failures", pages.failures),
        Route("/audit", pages.audit),
        Route("/labels", pages.labels),
        Route("/selections", saving.selection, methods=["POST"]),
        *(Route(f"/{name}", pages.script) for name in _SCRIPTS),
        Route("/favicon.ico", lambda request: Response(status_code=204)),  # which browsers ask for unasked
    ]
    handlers: dict[Any, Any] = dict.fromkeys(_MENDED, _mended) | {HTTPException: _http}
    guards = Middleware(Guards, host=config.host)
    access = Middleware(Access, password=config.password, as_text=_TEXT)
    return Starlette(routes=routes, exception_handlers=handlers, middleware=[guards, access])


def _mended(request: Request, error: Exception) -> Response:
    return _said(request, 404 if isinstance(error, NotInStore) else 400, str(error))


def _http(request: Request, error: HTTPException) -> Response:
    told = {404: "There is no such page.", 405: "Pages are only read."}
    return _said(request, error.status_code, told.get(error.status_code, error.detail))


def _said(request: Request, status: int, why: str) -> Response:
    if request.url.path.startswith(_TEXT):
        return PlainTextResponse(why, status)
    return HTMLResponse(render("serve/error", why=why, here=""), status)


def _first(request: Request) -> int:
    """The number of the first of many that are shown."""
    start = request.query_params.get("from", "0")
    return int(start) if start.isascii() and start.isdigit() and len(start) < 10 else 0


class _Pages:
    """A method a page; each runs in a thread of its own."""

    def __init__(self, root: Root, config: ServeConfig, items: Items, token: str) -> None:
        self._root, self._items = root, items
        digest = hashlib.blake2b(root.url.encode(), digest_size=8).hexdigest()  # marks of one root are not another's
        self._tray = {"root": digest, "at": shlex.quote(root.url), "token": token}
        self._searches = Searches(root, config)
        self._cards = Cards(root, self._items)
        self._classes = Classes(root, self._items)
        self._audits = Audits(root, self._items, self._cards)
        self._plots = Plots()
        self._run = threading.Lock()
        self._drawn = functools.lru_cache(_PAGES)(self._run_page)

    def _page(self, name: str, here: str, **given: Any) -> HTMLResponse:
        return HTMLResponse(render(f"serve/{name}", here=here, tray=self._tray, **given))

    # -- looking for something ----------------------------------------------------------------------------------------

    def search(self, request: Request) -> Response:
        """A phrase, or a segment, to segments."""
        asked, why, hits, cards = Asked(), "", None, []
        try:
            asked = Asked.of(request.query_params)
            if asked.q or asked.like:
                hits = self._searches.answer(asked)
                cards = [self._cards.of_segment(row, hits.feature) for row in hits.table.to_pylist()]
        except _MENDED as error:
            why = str(error)
        labels, spaces = sorted(self._items.labels()), self._searches.spaces()
        datasets = Manifest(self._root).datasets()
        given = {"asked": asked, "hits": hits, "cards": cards, "why": why, "labels": labels, "spaces": spaces}
        page = self._page("search", "/", datasets=datasets, **given)
        page.status_code = 400 if why else 200
        return page

    def clip(self, request: Request) -> Response:
        """An item, or a segment of it."""
        item, card = self._asked(request)
        same = [each for each in self._items.of(item.key) if each != item]
        held = []
        for name in FeatureStore(self._root).names():
            try:
                own = self._searches.of(FeatureStore(self._root).find(name))
            except _MENDED:
                continue
            if len(items_of(own, item.key)):
                like = Asked(like=item.video_id, feature=name).address()
                held.append((name, like))
        return self._page("clip", "", card=card, item=item, same=same, held=held)

    def card(self, request: Request) -> Response:
        """The same as a part of a page."""
        return self._page("part", "", card=self._asked(request)[1])

    def _asked(self, request: Request) -> tuple[Item, Any]:
        """The item of an address, and its card or that of the segment which was named."""
        told, item = request.query_params, self._items.of(request.path_params["key"])[0]
        if not (told.get("feature") and told.get("segment")):
            return item, self._cards.of_item(item)
        number = told["segment"]
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise UsageError(f"A segment has a number, got {number[:40]!r}.")
        held = FeatureStore(self._root).find(told["feature"])
        row = self._searches.segment(held, item.key, int(number))
        return item, self._cards.of_segment(dict(row), held.name)

    # -- the plane ----------------------------------------------------------------------------------------------------

    def plot(self, request: Request) -> Response:
        """The page of a drawing, which asks for it by itself."""
        sets = [row["name"] for row in listing.features(self._root) if row["state"] == "good"]
        told = {name: request.query_params.get(name, "")[:200] for name in ("feature", "dataset", "by")}
        given = {"sets": sets, "datasets": Manifest(self._root).datasets()}
        asked = told["feature"] or next(iter(sets), "")
        chosen = next((name for name in sets if name.partition("@")[0] == asked), asked)
        return self._page("plot", "/plot", **given, asked=told | {"feature": chosen}, ways=flattened.ways())

    def drawing(self, request: Request) -> Response:
        """A feature set in the plane."""
        told = request.query_params
        held = FeatureStore(self._root).find(told.get("feature", ""))
        way = told.get("by") or "tsne"
        if way not in flattened.ways():
            raise UsageError(f"A plot is drawn by {' or '.join(flattened.ways())} here, got {way[:40]!r}.")
        output = "features" if "features" in held.outputs else held.outputs[0]
        plot = self._plots.of(self._searches.of(held), output, way, told.get("dataset", ""))
        return Response(plot, media_type="application/json")

    # -- what there is ------------------------------------------------------------------------------------------------

    def classes(self, request: Request) -> Response:
        """Every class."""
        return self._page("classes", "/classes", classes=self._classes.all())

    def one_class(self, request: Request) -> Response:
        """A class: its texts, its clips, what it is taken for."""
        name, first = request.query_params.get("name", ""), _first(request)
        own = self._classes.find(name)
        items, count = self._items.labelled(list(own.labels), first, _CLIPS)
        cards = [self._cards.of_item(item) for item in items]
        more = first + _CLIPS if first + _CLIPS < count else None
        before = max(first - _CLIPS, 0) if first else None
        shown = {"told": self._classes.told(name), "taken": self._classes.taken(name), "cards": cards, "count": count}
        return self._page("class", "/classes", own=own, **shown, first=first, more=more, before=before)

    def audit(self, request: Request) -> Response:
        """Doubts about a data set, some of one kind at a time."""
        asked = {name: request.query_params.get(name, "")[:200] for name in ("dataset", "feature")}
        given: dict[str, Any] = {"asked": asked, "datasets": Manifest(self._root).datasets(), "why": "", "found": None}
        given["sets"] = [row["name"] for row in listing.features(self._root) if row["state"] == "good"]
        try:
            if asked["dataset"]:
                found, first = self._audits.of(**asked), _first(request)
                kind = first_kind(found, request.query_params.get("kind", ""))
                more = first + OF_EACH if kind and first + OF_EACH < found.counts[kind] else None
                given |= {"found": found, "kind": kind, "kinds": KINDS, "first": first, "more": more}
                given |= {"doubts": self._audits.doubts(found, kind, first), "before": max(first - OF_EACH, 0)}
        except _MENDED as error:
            given["why"] = str(error)
        page = self._page("audit", "/audit", **given)
        page.status_code = 400 if given["why"] else 200
        return page

    def data(self, request: Request) -> Response:
        """Data sets, feature sets, and which of these a phrase can be compared with."""
        sets = {"datasets": listing.datasets(self._root), "features": listing.features(self._root)}
        return self._page("data", "/data", **sets, texts=listing.texts(self._root), spaces=self._searches.spaces())

    def runs(self, request: Request) -> Response:
        """Runs and results."""
        groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for row in (row for row in results(self._root) if row["top1"] is not None):
            groups.setdefault((row["dataset"], row["protocol"], row["setting"]), []).append(row)
        return self._page("runs", "/runs", runs=listing.runs(self._root), groups=groups)

    def run(self, request: Request) -> Response:
        """The page of a run, as `zsar show RUN --html` writes it."""
        name, split = request.query_params.get("name", ""), request.query_params.get("split", "")
        if split and not (split.isascii() and split.isdigit() and len(split) < 10):
            raise UsageError(f"A split has a number, got {split[:40]!r}.")
        own = [row for row in listing.runs(self._root) if row["run"] == name]
        if not own:
            raise NotInStore(f"No run is called {name[:80]!r}.")
        states = [row["state"] for row in results(self._root) if row["run"] == name]
        with self._run:  # one at a time: each loads a head
            return HTMLResponse(self._drawn(name, int(split) if split else None, str((own, states))))

    def _run_page(self, name: str, split: int | None, state: str) -> str:
        """Drawn once for each state of a run."""
        return run_html(name, self._root, split, Markup(render("serve/_nav", here="/runs")))

    def failures(self, request: Request) -> Response:
        """What gave no features."""
        rows = listing.failures(self._root)
        return self._page("failures", "/failures", rows=rows[:_FAILURES], count=len(rows))

    def labels(self, request: Request) -> Response:
        """Labels that items have, most first."""
        counts = self._items.labels()
        return JSONResponse(sorted(counts, key=lambda label: (-counts[label], label))[:_LABELS])

    def script(self, request: Request) -> Response:
        """One of the scripts."""
        return FileResponse(_SCRIPTS[request.url.path.removeprefix("/")], media_type="text/javascript")
