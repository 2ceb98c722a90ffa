"""Recordings have a column of their own, and manifests of before, which have them in `split`, are read the same."""

import pyarrow as pa
import pytest

from pipelines.index.recordings import recording_of, with_recording
from stores.manifest import SCHEMA, Manifest

SAID = (None, "train", "train,recording=g01", "recording=a=b", "1:train,2:test,recording=x y", "subject=1,view=2")
OLD = [name for name in SCHEMA.names if name != "recording"]


def rows(said=SAID) -> pa.Table:
    blank = dict.fromkeys(SCHEMA.names) | {"dataset": "d", "kind": "video", "uri": "/v", "key": bytes(32)}
    told = [blank | {"video_id": f"v{k}", "split": each} for k, each in enumerate(said)]
    return pa.Table.from_pylist(told, schema=SCHEMA)


@pytest.mark.parametrize("is_old", [True, False])
def test_what_an_item_says_is_told_apart_whoever_wrote_it(root, is_old):
    manifest = Manifest(root)
    if is_old:
        root.write_table(rows().select(OLD), "manifest", "d.parquet")
    else:
        manifest.write("d", rows())
    table = manifest.read("d")
    assert table.schema == SCHEMA
    assert table["recording"].to_pylist() == [recording_of(each) for each in SAID]
    assert table["split"].to_pylist() == [None, "train", "train", None, "1:train,2:test", "subject=1,view=2"]
    joined = map(with_recording, table["split"].to_pylist(), table["recording"].to_pylist())
    assert [*joined] == list(SAID)
    for columns in (["split"], ["recording"], ["video_id", "recording", "label"], ["label"]):
        part = manifest.read("d", columns)
        assert part.schema.names == columns
        assert part.to_pylist() == table.select(columns).to_pylist()
    manifest.write("d", table)
    assert root.read_table("manifest", "d.parquet").equals(table)


def test_what_is_said_now_counts_against_what_stood_in_the_column(root):
    table = rows(("test,recording=new", "test"))
    known = pa.array(["old", "old"])
    Manifest(root).write("d", table.set_column(SCHEMA.get_field_index("recording"), "recording", known))
    assert Manifest(root).read("d")["recording"].to_pylist() == ["new", "old"]
