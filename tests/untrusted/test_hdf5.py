"""HDF5 of others: what lies outside the file stays outside, and what is announced is not believed."""

import io
from pathlib import Path

import h5py
import numpy as np
import pytest

from extractors import pose_files
from extractors.joints import NTU_25
from extractors.pose_files import NotPoses
from stores.errors import BadFile
from stores.foreign import read_foreign
from untrusted import hdf5, limits
from untrusted.limits import Unsafe

SECRET = np.arange(64 * 25 * 3, dtype=np.float32).reshape(64, 25, 3)


def external_storage(file: h5py.File, name: str, folder: Path) -> None:
    (folder / "secret").write_bytes(SECRET.tobytes())
    file.create_dataset(name, (64, 25, 3), "f4", external=[(str(folder / "secret"), 0, SECRET.nbytes)])


def external_link(file: h5py.File, name: str, folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as other:
        other["data"] = SECRET
    file[name] = h5py.ExternalLink(str(folder / "other.h5"), "/data")


def virtual(file: h5py.File, name: str, folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as other:
        other["data"] = SECRET
    layout = h5py.VirtualLayout((64, 25, 3), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "data", (64, 25, 3))
    file.create_virtual_dataset(name, layout)


def deep(file: h5py.File, name: str, folder: Path) -> None:
    """A group below, and a soft link to what it links to."""
    external_link(file.create_group("below"), "it", folder)
    file[name] = h5py.SoftLink("/below/it")


WAYS = pytest.mark.parametrize("outside", [external_storage, external_link, virtual, deep])


@WAYS
@pytest.mark.parametrize("form", ["values", "a video", "list of ids beside"])
def test_no_reader_of_features_reads_outside_the_file(tmp_path, outside, form):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        if form == "a video":
            file["own"] = SECRET
        else:
            file["video_id"] = [f"v{i}" for i in range(64)]
        if form == "list of ids beside":
            file["values"] = SECRET
        outside(file, {"values": "values", "a video": "v", "list of ids beside": "times"}[form], tmp_path)
    with pytest.raises(BadFile, match=r"Nothing outside it is read") as raised:
        read_foreign(path)
    assert str(raised.value).startswith(str(path))


@WAYS
def test_no_reader_of_poses_reads_outside_the_file(tmp_path, outside):
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["layout"] = NTU_25.name
        outside(file, "data", tmp_path)
    with pytest.raises(NotPoses, match="Nothing outside it is read"):
        pose_files.read(content.getvalue(), "a.h5")


def test_soft_links_within_the_file_and_groups_that_hold_each_other_are_read(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file["kept/rows"] = np.ones((3, 4), np.float32)
        file["values"] = h5py.SoftLink("/kept/rows")
        file["video_id"] = ["a", "b", "c"]
        file["kept/again"] = file["/"]
    assert read_foreign(path).values[:].sum() == 12


@pytest.mark.parametrize(
    ("shape", "dtype", "chunks"),
    [
        ((1 << 40, 4), "f4", (1024, 4)),
        ((4, 1 << 33), "f8", (1, 1 << 20)),
        ((20_000, 20_000), "f4", (20_000, 20_000)),
    ],
)
def test_what_is_announced_and_not_there_takes_no_memory(tmp_path, shape, dtype, chunks, monkeypatch):
    monkeypatch.setenv(limits.VARIABLE, "1GB")
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("values", shape, dtype, chunks=chunks, compression="gzip")
        file["video_id"] = ["a", "b"]
    assert path.stat().st_size < 1 << 20
    with pytest.raises(BadFile, match=r"asks for [\d,]+ MiB of memory .*ZSAR_MOST_MEMORY"):
        read_foreign(path)


def test_lists_of_any_length_are_counted_while_they_are_read(tmp_path, monkeypatch):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        lists = file.create_dataset("a", (100,), h5py.vlen_dtype("f4"))
        for i in range(100):
            lists[i] = np.zeros(10_000, np.float32)
        file["names"] = ["n" * 10_000] * 100
    with hdf5.opened(path, path.stat().st_size) as file:
        assert len(file.lists(file.top["a"])) == 100
        assert file.texts(file.top["names"]).shape == (100,)
    monkeypatch.setenv(limits.VARIABLE, "900k")
    with hdf5.opened(path, path.stat().st_size) as file:
        with pytest.raises(Unsafe, match="asks for"):
            file.lists(file.top["a"])
        with pytest.raises(Unsafe, match="asks for"):
            file.texts(file.top["names"])


def of_time(path: Path) -> None:
    with h5py.File(path, "w") as file:
        h5py.h5d.create(file.id, b"values", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((4, 2)))


def behind_a_filter(path: Path) -> None:
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk((4, 2))
    created.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (2, 2, 4, 32, 5, 1, 0))  # Blosc's
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((4, 2))
        h5py.h5d.create(file.id, b"values", h5py.h5t.IEEE_F32LE, space, created)


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            of_time,
            r"f\.h5 has a dataset of a type that arrays have not \(No NumPy equivalent for TypeTimeID exists\); ",
        ),
        (behind_a_filter, r"f\.h5 has /values, compressed by a filter that is not here \(.+\); save it with gzip\.$"),
    ],
)
def test_types_and_filters_that_are_not_known_here_are_one_line(tmp_path, made, message, names):
    made(tmp_path / "f.h5")
    if names:
        with h5py.File(tmp_path / "f.h5", "a") as file:
            file["video_id"] = ["a", "b", "c", "d"]
    with pytest.raises(BadFile, match=message) as told:
        read_foreign(tmp_path / "f.h5")
    assert "\n" not in str(told.value)
