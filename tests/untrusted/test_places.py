"""What is no file, and waits or never ends, is a fault of this one and told at once, whoever reads it."""

import contextlib
import os
import signal
import socket

import pytest

from extractors import images, weights, word_files
from extractors.errors import ExtractorError, InputFault
from extractors.films import Film
from pipelines.errors import UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.features import _digest
from pipelines.index.indexing import index
from pipelines.index.layouts.label_files import _text
from pipelines.index.pose_places import content_of
from pipelines.index.settings import IndexConfig
from pipelines.learn.protocols.own import own_splits
from pipelines.lines import opened
from stores.errors import StoreError
from stores.failures import Failures
from stores.foreign import read_foreign
from stores.manifest import Manifest
from tests.conftest import make_video
from untrusted import arrays, hdf5, places


def entered(what):
    with what:
        pass


READERS = {
    "video": (lambda path: entered(Film(path)), ".mp4"),
    "picture": (lambda path: images.read(path, 0), ".jpg"),
    "poses": (content_of, ".npz"),
    "captions and texts": (lambda path: entered(opened(path)), ".jsonl"),
    "labels": (_text, ".csv"),
    "splits": (own_splits, ".json"),
    "weights": (weights.at_path, ".safetensors"),
    "word vectors": (word_files.opened, ".txt"),
    "npy": (arrays.npy, ".npy"),
    "mapped": (arrays.mapped, ".npy"),
    "npz": (arrays.npz, ".npz"),
    "hdf5": (lambda path: entered(hdf5.opened(path, 1)), ".h5"),
    "a digest": (_digest, ".npy"),
} | {f"features of {suffix}": (read_foreign, suffix) for suffix in (".npy", ".npz", ".h5", ".parquet")}


def strange(path, what):
    """Something at a path that is no file."""
    if what == "pipe":
        os.mkfifo(path)
    elif what == "socket":
        with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    else:
        path.symlink_to({"device": "/dev/zero", "question": "/proc/kmsg", "nothing": "/nowhere/to/be/found"}[what])
    return path


@pytest.fixture
def at_once():
    """Whatever waits for longer than ten seconds is ended."""

    def late(number, frame):
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("what", ["pipe", "socket", "device", "question", "nothing"])
@pytest.mark.parametrize("reader", READERS)
def test_who_reads_what_is_no_file_says_so_at_once(tmp_path, reader, what):
    read, suffix = READERS[reader]
    path = strange(tmp_path / f"one{suffix}", what)
    with pytest.raises((InputFault, ExtractorError, UsageError, StoreError, OSError)) as raised:
        read(path if reader in ("weights", "word vectors", "a digest") else str(path))
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("at_once", "fake")
@pytest.mark.parametrize("what", ["pipe", "socket", "device", "question", "nothing"])
def test_beside_it_the_others_are_indexed_and_one_that_takes_a_films_place_later_is_a_failure(root, tmp_path, what):
    (folder := tmp_path / "films").mkdir()
    for number in range(3):
        make_video(folder / f"v{number}.mp4", seed=number)
    strange(folder / "w.mp4", what)
    report = index(IndexConfig((str(folder),), "d"), root)
    assert report.failed == 1
    assert Manifest(root).read("d").num_rows == 3
    (folder / "v1.mp4").unlink()
    strange(folder / "v1.mp4", what)
    (done,) = extract(ExtractConfig(("fake",), "d"), root).features
    assert (done.extracted, done.failed) == (2, 1)
    assert Failures(root).latest().num_rows == 2


@pytest.mark.usefixtures("at_once")
def test_a_pipe_that_takes_a_files_place_at_that_moment_is_not_waited_for(tmp_path, monkeypatch):
    path = strange(tmp_path / "one", "pipe")
    with pytest.raises(OSError, match="a pipe, and no file"):
        places.opened(path)
    with pytest.raises(IsADirectoryError):
        places.opened(tmp_path)
    (tmp_path / "text").write_text("é")
    assert places.text_of(tmp_path / "text") == "é"
