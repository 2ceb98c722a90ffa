"""How long the pages of `zsar serve` take over many segments, and a segment that is made anew for a browser.

Run: `python -m benchmarks.serve` (a minute), `python -m benchmarks.serve 1000000 FOLDER` for more segments, each of
which needs 2 KB of disk.

Segments are those of `benchmarks.search`; their films are not there, so that pages show places and no frames. What is
timed is a request as the server answers it, without the network. The film is ten seconds of 340 x 256.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from starlette.testclient import TestClient

from benchmarks import search
from benchmarks.bars import Bar, run
from benchmarks.films import film
from pipelines.look.serve.app import app
from pipelines.look.serve.items import Item
from pipelines.look.serve.playing import Segments
from pipelines.look.serve.plots import MOST
from pipelines.look.serve.settings import ServeConfig
from stores.root import Root

_SEGMENTS = 1 << 17
_ASKED = 40


def bars(segments: int = _SEGMENTS, folder: str = "") -> Iterator[Bar]:
    """Milliseconds of pages, seconds of a plot, milliseconds of a segment of film."""
    with tempfile.TemporaryDirectory(dir=folder or None) as scratch:
        (kept := Path(scratch, "kept")).mkdir()
        root = Root(Path(scratch, "root"))
        search.made(root, segments)
        client = TestClient(app(root, ServeConfig(), kept), base_url="http://127.0.0.1")
        videos = segments // 8
        first = _seconds(client, "/?like=v0000001&feature=x")
        told = f"twelve segments like one of {segments}; the first, with its index in memory, {first:.1f} s"
        every = [_seconds(client, f"/?like=v{at * videos // _ASKED:07d}&feature=x") for at in range(_ASKED)]
        yield Bar.at_most("serve-search-p50-ms", float(np.median(every)) * 1e3, 200, told)
        for name, place in (("home", "/"), ("class", "/class?name=class_007"), ("data", "/data")):
            every = [_seconds(client, place) for _ in range(_ASKED // 4)]
            yield Bar.measured(f"serve-{name}-p50-ms", float(np.median(every)) * 1e3, f"first {every[0] * 1e3:.0f} ms")
        took = _seconds(client, "/drawing?feature=x")
        yield Bar.measured("serve-plot-s", took, f"{MOST} segments of 384, once for each snapshot")
        path = film(Path(scratch, "film.avi"))
        item = Item("d", "film", "video", str(path), "00" * 32, None, None, None, None, None)
        every = []
        for start in np.linspace(0, 7.5, 10):
            begun = time.perf_counter()
            Segments(kept).film(item, float(start), float(start) + 2)
            every.append(time.perf_counter() - begun)
        yield Bar.at_most("serve-segment-p50-ms", float(np.median(every)) * 1e3, 1000, "2 s of film made anew as H.264")


def _seconds(client: TestClient, place: str) -> float:
    begun = time.perf_counter()
    answer = client.get(place)
    assert answer.status_code == 200, answer.text
    return time.perf_counter() - begun


if __name__ == "__main__":
    run(bars(int(sys.argv[1]) if len(sys.argv) > 1 else _SEGMENTS, sys.argv[2] if len(sys.argv) > 2 else ""))
