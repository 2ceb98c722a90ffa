"""The cache from Python: one door for notebooks and scripts.

    from pipelines.look.cache import open

    cache = open("/data/cache")                                    # or $ZSAR_ROOT, or s3://bucket/cache
    rows = cache.features("i3d_k400", dataset="ucf101", where="split = 'train'")
    rows.values, rows.labels, rows.names, rows.times               # arrays, a row a segment
    rows.to_pandas()                                               # or to_polars, to_arrow, to_xarray, to_dask
    cache.sql("select label, count(*) n from videos group by label").to_pandas()
    cache.search("a person puts on make-up", k=10)
    cache.encode(["bow", "arrow"])                                 # (2, D); the cache is not written to
    cache.frames("v_Archery_g01_c01", 2.5)                         # (H, W, 3)

Works from any folder. What was opened for a search is kept as long as its feature set is as it was; after `zsar index`,
open the cache again. Nothing is written but indexes of searches, and texts where `encode` is told to keep them.
"""

import os
from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc

from pipelines import feature_sets
from pipelines.errors import UsageError
from pipelines.extract.again import encoded
from pipelines.look import views
from pipelines.look.feature_rows import FeatureRows, some
from pipelines.look.frames import frames_at
from pipelines.look.query import query, texts_like
from pipelines.look.searchers import Searchers
from pipelines.look.segments import segments
from pipelines.look.settings import ENCODER, QueryConfig
from pipelines.look.spaces import Space, spaces
from pipelines.look.tables import Answer
from stores.features import FeatureStore
from stores.manifest import Manifest
from stores.root import Root
from stores.runs import Runs


def open(root: str | os.PathLike[str] | None = None) -> "Cache":
    """The cache of a root.

    Parameters
    ----------
    root : a folder, or an s3://, gs://, az:// URL; None: `$ZSAR_ROOT`, else `./zsar-data`

    Raises
    ------
    StoreError
        It can be no root.
    UsageError
        There is nothing.
    """
    return Cache(Root(root if root is not None else os.environ.get("ZSAR_ROOT", "./zsar-data")))


class Cache:
    """A root, opened.

    Parameters
    ----------
    root : Root
    """

    def __init__(self, root: Root) -> None:
        self.root = root
        if not Manifest(root).datasets() and not FeatureStore(root).names():
            raise UsageError(f"There is no cache in {root.url}. Give its folder, or make one: `zsar index PATH`.")
        self._searchers = Searchers(root)

    def __repr__(self) -> str:
        sets, runs = FeatureStore(self.root).names(), Runs(self.root).names()
        return (
            f"Cache({self.root.url!r})\n  data sets: {some(Manifest(self.root).datasets())}\n"
            f"  feature sets: {some(sets)}\n  runs: {some(runs)}"
        )

    def features(self, name: str, dataset: str = "", where: str = "", output: str = "features") -> FeatureRows:
        """The rows of a feature set with names, labels, splits and times; nothing is read until it is looked at.

        Parameters
        ----------
        name : of a feature set, in full or the extractor's
        dataset : a data set; empty: all that have it
        where : condition in SQL on dataset, video_id, label, split, segment, start_s, end_s, text, uri, key
        output : of the feature set

        Raises
        ------
        NotInStore, Ambiguous
            No such feature set, output or data set, or several feature sets of the name.
        BadQuery
            The condition is none.
        """
        held = feature_sets.find(self.root, name)
        held.array(output)
        own = segments(held, self.root, dataset)
        return FeatureRows(own.take(own.hold(where)) if where else own, output)

    def sql(self, text: str) -> Answer:
        """The answer to a query over the views (`zsar sql` lists them); BadQuery where it is none."""
        return Answer(views.ask(text, self.root))

    def search(
        self,
        phrase: str = "",
        *,
        like: str = "",
        k: int = 20,
        dataset: str = "",
        feature: str = "",
        where: str = "",
        output: str = "",
        weights: Sequence[str] = (),
        each: bool = False,
        set: str = "",
        encoder: str = ENCODER,
    ) -> Answer:
        """Segments that a phrase tells, or like those of `like`, VIDEO or VIDEO@START-END; as `zsar query`.

        With `each` the videos whose segments tell a description's sentences best; with `like` and `set` the texts of
        this set that tell a segment; names of recognised objects go through `encoder`. An index is made the first time
        and appended to as its set is; later searches take milliseconds.

        Raises
        ------
        UsageError
            Nothing can be compared; the message says why.
        """
        asked = QueryConfig(phrase, like, dataset, feature, output, where, k, each, set, (), tuple(weights), encoder)
        if set:
            return Answer(texts_like(asked, self.root, self._searchers), f"texts of {set} like {like}")
        hits = query(asked, self.root, self._searchers)
        return Answer(hits.table, f"{hits.space}. {' '.join(hits.said)}".strip())

    def spaces(self) -> list[Space]:
        """Which feature sets and runs a phrase can be compared with, and why not with others."""
        return spaces(self.root)

    def encode(
        self, texts: Sequence[str], encoder: str = "minilm", weights: Sequence[str] = (), keep: bool = False
    ) -> np.ndarray:
        """Vectors (n, D) float32 of texts as a feature set of the cache has them.

        Parameters
        ----------
        texts : n of them
        encoder : feature set of texts
        weights : `NAME=PATH`, where its weights are a file of one's own
        keep : whether new ones are added to the feature set; nothing is written otherwise
        """
        if isinstance(texts, str):
            raise UsageError("Give a list of texts, as encode(['a bow']).")
        return encoded(texts, feature_sets.find(self.root, encoder), self.root, weights, keep=keep)

    def frames(self, video: str, time: float | Sequence[float]) -> np.ndarray:
        """What is seen in a video: (H, W, 3) uint8 RGB at a moment in seconds, (T, H, W, 3) at several.

        Parameters
        ----------
        video : id of a video of any data set, or its file
        time : seconds in its file

        Raises
        ------
        UsageError
            No such video.
        InputFault
            Its file is not there, or cannot be decoded.
        """
        moments = [time] if isinstance(time, int | float) else list(time)
        found = np.stack(frames_at(self._uri(video), moments))
        return np.asarray(found[0] if isinstance(time, int | float) else found)

    def _uri(self, video: str) -> str:
        manifest = Manifest(self.root)
        for column in ("video_id", "uri"):
            for name in manifest.datasets():
                table = manifest.read(name, ["video_id", "uri", "kind"])
                own = table.filter(pc.and_(pc.equal(table[column], video), pc.equal(table["kind"], "video")))
                if own.num_rows:
                    return str(own["uri"][0].as_py())
        raise UsageError(f"No film is called {video!r} in {self.root.url}: cache.sql('select video_id from videos').")
