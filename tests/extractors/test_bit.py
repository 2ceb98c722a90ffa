"""BiT against timm's own network with the same arrays, and its labels against timm's own lists."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import ImageNetInfo

import extractors
from extractors import bit, imagenet21k
from extractors.bit import BiTObjects
from extractors.errors import BadWeights, ExtractorError, MachineFault, WeightsMissing
from extractors.sampling import Geometry, Sampling

CROP = Geometry(resize=72, crop=64)
SMALL = Sampling(clips=1, frames=2, placement="spread")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    """timm's network of random weights, none of them left at one or zero, and its file."""
    torch.manual_seed(0)
    network: torch.nn.Module = timm.create_model("resnetv2_50x1_bit.goog_in21k", pretrained=False).eval()
    with torch.no_grad():
        for name, value in network.named_parameters():
            if value.ndim == 1:
                value.uniform_(-0.1, 0.1).add_(float("norm" in name and name.endswith("weight")))
    path = tmp_path_factory.mktemp("bit") / "model.safetensors"
    save_file(network.state_dict(), path)
    return network, path


@pytest.fixture(scope="module")
def loaded(published: tuple[torch.nn.Module, Path]) -> BiTObjects:
    extractor = BiTObjects(str(published[1]), sampling=SMALL, geometry=CROP)
    extractor.load("cpu")
    return extractor


def noise(units: int, frames: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (units, frames, size, size, 3), np.uint8)


@pytest.mark.parametrize("size", [97, 160, 224])
def test_published_file_gives_timms_features_and_mean_logits(
    published: tuple[torch.nn.Module, Path], loaded: BiTObjects, size: int
) -> None:
    network, _ = published
    units = noise(1, 2, size)
    x = torch.from_numpy(units[0].astype(np.float32)).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        last = network.forward_features((x - 0.5) / 0.5)  # type: ignore[operator]
        logits = network.forward_head(last).numpy()  # type: ignore[operator]
        features = network.forward_head(last, pre_logits=True).numpy()  # type: ignore[operator]
    got = loaded._network(units)
    for name, expected in (("features", features.mean(0)), ("logits", logits.mean(0))):
        np.testing.assert_allclose(got[name][0], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_normalisation_and_size_are_timms() -> None:
    theirs = timm.get_pretrained_cfg("resnetv2_50x1_bit.goog_in21k")
    assert theirs.mean == theirs.std == (0.5, 0.5, 0.5)
    assert theirs.input_size == (3, *BiTObjects.default_geometry.size)
    assert round(224 / theirs.crop_pct) == BiTObjects.default_geometry.resize
    assert theirs.hf_hub_id == "timm/resnetv2_50x1_bit.goog_in21k"
    assert BiTObjects.published.url == (
        "https://huggingface.co/timm/resnetv2_50x1_bit.goog_in21k/resolve/main/model.safetensors"
    )


def test_kernels_are_standardised_as_plain_loops_do_it() -> None:
    kernel = np.random.default_rng(0).standard_normal((3, 2, 3, 3)).astype(np.float32) * 1e-3 + 5
    got = bit.standardised(kernel)
    for channel in range(3):
        values = [float(v) for v in kernel[channel].ravel()]
        mean = sum(values) / len(values)
        deviation = (sum((v - mean) ** 2 for v in values) / len(values) + 1e-8) ** 0.5
        np.testing.assert_allclose(got[channel].ravel(), [(v - mean) / deviation for v in values], rtol=1e-6)


def test_neither_mates_nor_place_change_a_videos_bits(loaded: BiTObjects) -> None:
    a, b, c, d = noise(4, 2, 64, seed=5)
    first, moved, others = (loaded._network(np.stack(batch)) for batch in ((a, b, c), (c, a, b), (a, d, d)))
    for name in ("features", "logits"):
        assert np.array_equal(first[name][0], moved[name][1])
        assert np.array_equal(first[name][2], moved[name][0])
        assert np.array_equal(first[name][0], others[name][0])
        assert not np.array_equal(first[name][1], others[name][1])


def test_row_is_the_sigmoid_of_the_20_largest_mean_logits(loaded: BiTObjects) -> None:
    found = loaded(noise(1, 2, 64))
    row = loaded.rows(found)
    best = sorted(range(21843), key=lambda i: -found["logits"][0, i])[:20]
    assert row["ids"].tolist() == [best]
    np.testing.assert_allclose(row["scores"][0], [1 / (1 + np.exp(-found["logits"][0, i])) for i in best], rtol=1e-3)
    assert {name: (value.shape, value.dtype.name) for name, value in row.items()} == {
        "ids": ((1, 20), "int32"),
        "scores": ((1, 20), "float16"),
        "features": ((1, 2048), "float16"),
    }


def test_names_and_glosses_are_timms() -> None:
    theirs = ImageNetInfo("imagenet-21k-goog")
    assert list(imagenet21k.names()) == theirs.label_descriptions()
    described = [f"{name}: {gloss}" for name, gloss in zip(imagenet21k.names(), imagenet21k.glosses(), strict=True)]
    assert described == theirs.label_descriptions(detailed=True)
    assert BiTObjects("random:0").columns() == {"ids": theirs.label_descriptions()}
    assert len(described) == 21843
    assert extractors.find("bit_objects") is BiTObjects


def test_reading_the_names_imports_neither_torch_nor_timm() -> None:
    code = (
        "import sys; from extractors.bit import BiTObjects; BiTObjects('random:0').columns();"
        "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_timm_that_keeps_them_elsewhere_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(MachineFault, match=r"imagenet_synset_to_lemma\.txt cannot be read"):
        imagenet21k.names.__wrapped__()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MachineFault, match="timm, which is not installed"):
        imagenet21k.names.__wrapped__()


def test_labels_are_never_computed_in_bf16() -> None:
    with pytest.raises(ExtractorError, match="computes in fp32, got precision 'bf16'"):
        BiTObjects("random:0", "bf16")


def test_file_of_another_network_is_bad_weights(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2)}, tmp_path / "w.safetensors")
    with pytest.raises(BadWeights, match=r"Lacking: head\.fc\.bias.*Unknown: weight\."):
        BiTObjects(str(tmp_path / "w.safetensors")).load("cpu")


def test_no_weights_anywhere_lists_path_cache_hub_and_pack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def offline(*arguments: object, **options: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(WeightsMissing, match=r"\(1\) a path.*\(2\) the local cache.*\(3\) the hub.*offline pack"):
        BiTObjects().weights_path()
