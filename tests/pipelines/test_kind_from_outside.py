"""A new kind of item is one file and one row: sounds, from the command line to an export, and looked at again."""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import extractors
from pipelines import kinds
from pipelines.command.main import app
from stores.foreign import read_foreign

SOUNDS = '''
"""Sounds: .wav files as items, and the loudness of each in four parts."""

import dataclasses
import functools
import os
import wave
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from extractors.base import Output, WithOptions
from pipelines.extract.manifested import Manifested
from pipelines.extract.runners.base import Runner, Units, checked
from pipelines.extract.runners.places import at_first_place, unchanged
from pipelines.index.merging import Entry, Ways, merge
from pipelines.index.report import IndexReport
from stores.keys import stream_key
from stores.manifest import Manifest

SOURCE = Manifested("sound")


def index(config, root, progress=None):
    entries = []
    for path in sorted(Path(config.paths[0]).rglob("*.wav")):
        with open(path, "rb") as file:
            key = stream_key(file)
        stat = path.stat()
        told = (path.parent.name, None, stat.st_size, stat.st_mtime_ns)
        entries.append(Entry(path.stem, str(path), str(path), key, *told))
    with root.lock("manifest"):
        read = {entry.uri for entry in entries}
        gone = lambda uri: not os.path.exists(uri)
        old = Manifest(root).rows(config.dataset)
        merged = merge(old, config.dataset, "sound", entries, read, Ways(), gone, config.prune)
        Manifest(root).write(config.dataset, merged.table)
    n = len(entries)
    return IndexReport(n, merged.new, n - merged.new, n, len(merged.missing), 0, 0, merged.pruned, "sounds")


class Loudness(WithOptions):
    name, version, kind = "loudness", 1, "sound"
    outputs = {"features": Output((1,), "float32")}
    takes_weights = False
    default_options = {"parts": 4}

    def preprocessed(self):
        return {}

    def weights_path(self):
        return None

    def load(self, device):
        pass

    def columns(self):
        return {}

    def __call__(self, units):
        return {"features": np.sqrt((units.astype(np.float64) ** 2).mean(1, keepdims=True)).astype(np.float32)}


class Reading:
    chunk = 1

    def __init__(self, extractors):
        self.extractors, self.opened = extractors, 0

    def read(self, items):
        for item in items:
            yield {name: at_first_place(item, functools.partial(self._read, item, name)) for name in item.features}

    def stop(self):
        pass

    def _read(self, item, name, uri, stat):
        self.opened += 1
        with unchanged(uri, stat), wave.open(uri) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        parts = samples.reshape(self.extractors[name].options["parts"], -1)
        return Units(parts, 3, lambda outputs: checked(item.key, outputs))


def runner(extractors, device, forwards, decoders):
    return Runner(extractors, Reading(extractors), forwards, 1)
'''
ROW = kinds.Kind(
    "sound",
    "sounds",
    asked="sounds",
    given="FOLDER --kind sounds",
    read_by="sound",
    index="sounds:index",
    source="sounds:SOURCE",
    runner="sounds:runner",
)


def zsar(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def sounds(tmp_path, monkeypatch) -> Path:
    """The kind, and three files of it, each of its own loudness."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "sounds.py").write_text(SOUNDS)
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.delitem(sys.modules, "sounds", raising=False)
    monkeypatch.setitem(kinds.KINDS, "sound", ROW)
    monkeypatch.setitem(extractors.EXTRACTORS, "loudness", "sounds:Loudness")
    for k in range(3):
        path = tmp_path / "wav" / "bell" / f"s{k}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(np.full(800, 100 * (k + 1), np.int16).tobytes())
    return tmp_path / "wav"


def test_a_kind_from_outside_goes_the_whole_way(sounds, tmp_path):
    root = ("--root", tmp_path / "root")
    asked = ("index", sounds, "--kind", "sounds", "--dataset", "d", *root, "--json")
    assert json.loads(zsar(*asked))["new"] == 3
    assert json.loads(zsar(*asked))["unchanged"] == 3
    assert json.loads(zsar("extract", "loudness", "--dataset", "d", *root, "--json"))["extracted"] == 3
    zsar("export", "loudness", "--dataset", "d", "--out", tmp_path / "f.h5", *root)
    features = read_foreign(str(tmp_path / "f.h5"))
    assert features.video_id == ["s0", "s1", "s2"]
    np.testing.assert_allclose(features.values[:].reshape(3, 4), [[100] * 4, [200] * 4, [300] * 4])
    verified = json.loads(zsar("verify", "--recompute", 3, *root, "--json"))
    assert (verified["recomputed"], verified["differing"]) == (3, 0)
    for path in sounds.rglob("s2.wav"):
        path.unlink()
    assert json.loads(zsar(*asked))["without_file"] == 1
    assert json.loads(zsar(*asked, "--prune"))["pruned"] == 1


def test_a_kind_that_is_not_there_is_refused_with_those_that_are(sounds, tmp_path):
    asked = ["index", str(sounds), "--kind", "smells", "--dataset", "d", "--root", str(tmp_path)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 1
    assert "'smells'; there are: videos, images, captions, poses, sounds." in " ".join(done.output.split())
