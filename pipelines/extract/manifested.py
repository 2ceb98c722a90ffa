"""Items of a manifest: videos, pose sequences, and features of which there is no file."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from extractors import joints
from extractors.base import Extractor
from extractors.errors import ExtractorError
from pipelines.errors import UsageError
from pipelines.extract.items import Item, Rows, lacking, of_keys, rows_of
from pipelines.extract.settings import ExtractConfig
from pipelines.index.pose_places import Place
from pipelines.kinds import KINDS
from stores.keys import key_array
from stores.manifest import Manifest
from stores.root import Root

_PLACES = pa.list_(pa.struct([("uri", pa.string()), ("size_bytes", pa.int64()), ("mtime_ns", pa.int64())]))


@dataclasses.dataclass(frozen=True)
class Manifested:
    """Videos or pose sequences of a manifest, as `kind` says."""

    kind: str

    def has(self, config: ExtractConfig, root: Root) -> bool:
        """As `Source.has`: of a data set."""
        return not config.set

    def rows(self, config: ExtractConfig, root: Root) -> Rows:
        """As `Source.rows`; UsageError where the data set has nothing of the kind."""
        table = Manifest(root).read(config.dataset, ["key", "seen_ns", "kind"])
        numbers = np.flatnonzero(pc.equal(table["kind"], self.kind))
        if not len(numbers) and table.num_rows:
            raise UsageError(_nothing_to_read(self.kind, table["kind"].unique().to_pylist(), config))
        table = table.take(numbers) if len(numbers) < table.num_rows else table
        return Rows(key_array(table["key"]), numbers, table["seen_ns"])

    def refuse(self, asked: Sequence[Extractor], config: ExtractConfig, root: Root) -> None:
        """As `Source.refuse`: of poses an extractor into whose layout of joints none of them can be put."""
        if self.kind == "pose":
            _refuse_layouts(asked, config, root)

    def missing(self, config: ExtractConfig, root: Root, numbers: np.ndarray) -> pa.Table:
        """As `Source.missing`, with all places of each content."""
        if not len(numbers):
            return Manifest(root).read(config.dataset, ["key"]).slice(0, 0)
        columns = ["key", "uri", "size_bytes", "mtime_ns", "start_s", "end_s", "video_id"]
        manifest = Manifest(root).read(config.dataset, columns)
        table = manifest.take(pa.array(numbers))
        places: dict[bytes, list[dict[str, Any]]] = {key: [] for key in table["key"].to_pylist()}
        for batch in manifest.select(["key", "uri", "size_bytes", "mtime_ns"]).to_batches():
            for place in batch.to_pylist():
                key = place.pop("key")
                if key in places and place not in places[key]:
                    places[key].append(place)
        table = table.select(["key", "start_s", "end_s", "video_id"])
        return table.append_column("places", pa.array(list(places.values()), _PLACES))

    def items(self, missing: pa.Table, names: Sequence[str]) -> Iterator[Item]:
        """As `Source.items`; memory holds one batch of rows."""
        for row in rows_of(missing):
            span = None if row["start_s"] is None else (row["start_s"], row["end_s"])
            places = tuple((p["uri"], (p["size_bytes"], p["mtime_ns"])) for p in row["places"])
            yield Item(row["key"], places, span, row["video_id"], lacking(row, names))

    def find(self, keys: set[bytes], root: Root) -> dict[bytes, Item]:
        """As `Source.find`, with all places of each content."""
        found: dict[bytes, Item] = {}
        columns = ["key", "kind", "uri", "size_bytes", "mtime_ns", "start_s", "end_s", "video_id"]
        for row in of_keys(keys, (Manifest(root).read(each, columns) for each in Manifest(root).everywhere())):
            if row["kind"] == self.kind:
                span = None if row["start_s"] is None else (row["start_s"], row["end_s"])
                places = found[row["key"]].places if row["key"] in found else ()
                place = (row["uri"], (row["size_bytes"], row["mtime_ns"]))
                found[row["key"]] = Item(row["key"], (*places, place), span, row["video_id"], ())
        return found


def _nothing_to_read(kind: str, there: Sequence[str], config: ExtractConfig) -> str:
    """What is said where a data set has nothing of the kind that its features are made from."""
    has = " and ".join(KINDS[name].called if name in KINDS else name for name in there)
    called, given = KINDS[kind].called, KINDS[kind].given
    return (
        f"Data set {config.dataset!r} has {has} but no {called}, and {', '.join(config.features)} reads {called}. "
        f"Index them: `zsar index {given} --dataset {config.dataset}`."
    )


def _refuse_layouts(asked: Sequence[Extractor], config: ExtractConfig, root: Root) -> None:
    uris = Manifest(root).read(config.dataset, ["uri", "kind"])
    there = {Place.of(uri).name for uri in uris.filter(pc.equal(uris["kind"], "pose"))["uri"].to_pylist()}
    for extractor in asked:
        target = getattr(extractor, "layout", None)
        if target is None or not there:
            continue
        faults = [fault for name in sorted(there) if (fault := _cannot_become(name, target))]
        if len(faults) == len(there):
            raise ExtractorError(f"No sequence of {config.dataset!r} can be put into {extractor.name}: {faults[0]}")


def _cannot_become(name: str, target: joints.Layout) -> str | None:
    try:
        joints.mapping(joints.layout(name), target)
    except ExtractorError as error:
        return str(error)
    return None


VIDEOS, IMAGES, POSES, FEATURES = map(Manifested, ("video", "image", "pose", "feature"))
