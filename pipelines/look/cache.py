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
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import feature_sets
from pipelines.errors import UsageError
from pipelines.extract.again import encoded
from pipelines.look import views
from pipelines.look.frames import frames_at
from pipelines.look.query import Searchers, query
from pipelines.look.segments import Segments, segments
from pipelines.look.settings import QueryConfig
from pipelines.look.spaces import Space, spaces
from pipelines.look.tables import Answer, imported
from stores.features import FeatureStore
from stores.manifest import Manifest
from stores.root import Root
from stores.runs import Runs

_SHOWN = 5


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
            f"Cache({self.root.url!r})\n  data sets: {_some(Manifest(self.root).datasets())}\n"
            f"  feature sets: {_some(sets)}\n  runs: {_some(runs)}"
        )

    def features(self, name: str, dataset: str = "", where: str = "", output: str = "features") -> "FeatureRows":
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
    ) -> Answer:
        """Segments that a phrase tells, or like those of `like`, VIDEO or VIDEO@START-END; as `zsar query`.

        An index is made the first time and appended to as its set is; later searches take milliseconds.

        Raises
        ------
        UsageError
            Nothing can be compared; the message says why.
        """
        named = {"dataset": dataset, "feature": feature, "where": where, "output": output}
        config = QueryConfig(phrase=phrase, like=like, k=k, weights=tuple(weights), **named)
        hits = query(config, self.root, self._searchers)
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


class FeatureRows:
    """Rows of one output of a feature set, a row a segment, with what they are of.

    Parameters
    ----------
    own : Segments
    output : str
    """

    def __init__(self, own: Segments, output: str) -> None:
        self.segments, self.output = own, output

    def __len__(self) -> int:
        return len(self.segments)

    def __repr__(self) -> str:
        held, own = self.segments.feature_set, self.segments
        shape = " x ".join(map(str, held.array(self.output).shape[1:]))
        labels = pc.unique(self._table["label"]).drop_null()
        return (
            f"{len(self)} rows of {held.name}, {self.output} ({shape}), snapshot {own.snapshot}\n"
            f"  {len(np.unique(own.item))} videos of {_some(pc.unique(self._table['dataset']).to_pylist())}; "
            f"labels: {_some(labels.to_pylist())}"
        )

    @cached_property
    def _table(self) -> pa.Table:
        return self.segments.table()

    @cached_property
    def values(self) -> np.ndarray:
        """(n, ...) in the stored dtype, read once."""
        held, order = self.segments.feature_set, np.argsort(self.segments.row, kind="stable")
        array, rows = held.array(self.output), self.segments.row[order]
        found, at = np.empty((len(rows), *array.shape[1:]), array.dtype), 0
        for block in held.scan(self.output) if len(rows) else ():
            low, high = np.searchsorted(rows, (at, at + len(block)))
            found[order[low:high]] = block[rows[low:high] - at]
            at += len(block)
        return found

    @property
    def names(self) -> np.ndarray:
        """(n,) video ids."""
        return self._column("video_id")

    @property
    def labels(self) -> np.ndarray:
        """(n,) labels; None where there is none."""
        return self._column("label")

    @property
    def splits(self) -> np.ndarray:
        """(n,) what the data set says of its split; None where it says nothing."""
        return self._column("split")

    @property
    def times(self) -> np.ndarray:
        """(n, 2) float64 seconds in the file; NaN where the store has none."""
        return self.segments.times

    def to_arrow(self) -> pa.Table:
        """A table of names, labels, splits, times and the values, as lists of fixed length; half floats as float32."""
        flat = self.values.reshape(len(self), -1)
        flat = flat.astype(np.float32) if flat.dtype == np.float16 else flat  # which few readers know
        lists = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), max(flat.shape[1], 1))
        return self._table.append_column(
            self.output if self.output not in self._table.column_names else "values", lists
        )

    def to_pandas(self) -> Any:
        """A pandas DataFrame, an array a cell."""
        imported("pandas")
        frame = self._table.to_pandas()
        frame[self.output] = list(self.values)
        return frame

    def to_polars(self) -> Any:
        """A polars DataFrame, with a column of arrays."""
        return imported("polars").from_arrow(self.to_arrow())

    def to_dask(self) -> Any:
        """The values as a lazy Dask array (n, ...)."""
        imported("dask.array")
        return self.segments.feature_set.to_dask(self.output)[self.segments.row]

    def to_xarray(self) -> Any:
        """A lazy DataArray over `row`, with names, labels, splits and times as coordinates."""
        xarray = imported("xarray")
        columns = ("dataset", "video_id", "label", "split", "segment", "start_s", "end_s")
        coordinates = {name: ("row", self._column(name)) for name in columns}
        values = self.to_dask()
        inner = [f"{self.output}_{axis}" for axis in range(values.ndim - 1)]
        return xarray.DataArray(values, dims=("row", *inner), coords=coordinates, name=self.output)

    def _column(self, name: str) -> np.ndarray:
        return np.asarray(self._table[name].to_numpy())


def _some(names: Sequence[Any]) -> str:
    shown = ", ".join(map(str, names[:_SHOWN])) or "none"
    return shown + (f", ... {len(names)} in all" if len(names) > _SHOWN else "")
