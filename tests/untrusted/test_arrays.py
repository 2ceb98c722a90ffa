"""NumPy's files of others: what they announce and what they unpack to."""

import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from extractors import pose_files
from extractors.joints import NTU_25
from extractors.pose_files import NotPoses
from stores.errors import BadFile
from stores.foreign import read_foreign
from untrusted import arrays, limits


def header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (118 - len(text)) + b"\n" if len(text) < 118 else b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def of_npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def zipped(**entries: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


@given(arrays_of.arrays(st.sampled_from(["f2", "<f4", ">f8", "i1", ">i4", "u8", "?", "U3", "S2"]),
                        arrays_of.array_shapes(min_dims=0, min_side=0, max_side=4)), st.booleans())  # fmt: skip
def test_what_numpy_writes_comes_back(array, turned):
    array = np.asfortranarray(array) if turned else array
    found = arrays.npy(io.BytesIO(of_npy(array)))
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())
    packed = io.BytesIO()
    np.savez_compressed(packed, a=array, b=array)
    packed.seek(0)
    assert [*arrays.npz(packed)] == ["a", "b"]


@pytest.mark.parametrize("shape", [(1 << 40, 4), (1 << 30, 1 << 30), (1 << 62, 1 << 62)])
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_an_announced_array_is_never_allocated(tmp_path, shape, name):
    content = header(str(shape)) + b"\0" * 64
    (tmp_path / name).write_bytes(content if name == "a.npy" else zipped(a=content))
    tracemalloc.start()
    with pytest.raises(BadFile, match="asks for|ends before"):
        read_foreign(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    with pytest.raises(NotPoses, match="asks for|ends before"):
        pose_files.read((tmp_path / name).read_bytes(), name, NTU_25)


def test_an_archive_that_unpacks_to_more_than_memory_is_to_hold_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv(limits.VARIABLE, "16M")
    zeros = of_npy(np.zeros((10 << 20) // 4, np.float32))
    path = tmp_path / "a.npz"
    path.write_bytes(zipped(a=zeros, b=zeros))
    assert path.stat().st_size < 100_000
    with pytest.raises(BadFile, match=r"a.npz asks for 20 MiB of memory \(b: .*one file may take 16 MiB"):
        read_foreign(path)
    path.write_bytes(zipped(a=zeros))
    assert read_foreign(path).values.shape == (1, (10 << 20) // 4)


@pytest.mark.parametrize("descr", ["[('a', '<f4', (1000000000,))]", "'|O'", "'<M8[s]'", "'|V8'"])
def test_arrays_of_other_things_than_numbers_are_refused(tmp_path, descr):
    (tmp_path / "a.npy").write_bytes(header("(1,)", descr) + b"\0" * 64)
    with pytest.raises(BadFile, match="never loaded|of numbers or names|cannot be read"):
        read_foreign(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["../secret.npy", "/etc/hosts", "a/../../secret.npy", "link/secret.npy", "a\0b.npy"])
def test_a_marker_names_files_of_its_folder_alone(tmp_path, name):
    np.save(tmp_path / "secret.npy", np.ones((2, 3), np.float32))
    folder = tmp_path / "features"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    (folder / "zsar.json").write_text(json.dumps({"layout": "per-video", "items": [[name, "v", None]]}))
    with pytest.raises(BadFile, match=r"zsar.json names .*Nothing outside it is read"):
        read_foreign(folder)
