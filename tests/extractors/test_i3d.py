"""I3D against a second forward, written here from the checkpoint's arrays and TensorFlow's definition of SAME."""

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from extractors import clips, folding, i3d, weights
from extractors.errors import BadWeights, ExtractorError, MachineFault
from extractors.folding import Convolution
from extractors.i3d import I3DKinetics400
from extractors.sampling import Geometry, Sampling
from tests.extractors.pack import pack_video

SMALL = Sampling(clips=1, frames=9)  # odd sizes all the way down: 9, 5, 3, 2 frames
EDGE = Geometry(resize=200, crop=200)  # 200, 100, 50, 25, 13, 7 pixels


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def same(x: torch.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], value: float) -> torch.Tensor:
    """TensorFlow's SAME: out = ceil(n / s), of the padding needed for that the smaller half comes first."""
    for axis, k, s in zip((2, 3, 4), kernel, stride, strict=True):
        n = x.shape[axis]
        needed = max((-(-n // s) - 1) * s + k - n, 0)
        for count, first in ((needed // 2, True), (needed - needed // 2, False)):
            shape = list(x.shape)
            shape[axis] = count
            edge = torch.full(shape, value)
            x = torch.cat([edge, x] if first else [x, edge], axis)
    return x


def reference(arrays: dict[str, np.ndarray], units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features and logits of (B, T, H, W, 3) uint8: nothing folded or fused, windows and classifier as published."""

    def array(*names: str) -> torch.Tensor:
        return torch.from_numpy(arrays["|".join(names)])

    def unit(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        kernel = array("params", name, "Conv_0", "kernel")
        y = same(x, tuple(kernel.shape[:3]), (stride,) * 3, 0.0)
        y = torch.conv3d(y, kernel.permute(4, 3, 0, 1, 2).contiguous(), stride=stride)
        mean, var = (array("batch_stats", name, "BatchNorm_0", part).view(-1, 1, 1, 1) for part in ("mean", "var"))
        y = (y - mean) / torch.sqrt(var + 0.001)
        return torch.clamp(y + array("params", name, "BatchNorm_0", "bias").view(-1, 1, 1, 1), min=0)

    def pool(x: torch.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
        return torch.max_pool3d(same(x, kernel, stride, -torch.inf), kernel, stride)

    def mixed(x: torch.Tensor, at: str) -> torch.Tensor:
        return torch.cat(
            [
                unit(x, f"{at}|Branch_0/Conv3d_0a_1x1"),
                unit(unit(x, f"{at}|Branch_1/Conv3d_0a_1x1"), f"{at}|Branch_1/Conv3d_0b_3x3"),
                unit(unit(x, f"{at}|Branch_2/Conv3d_0a_1x1"), f"{at}|Branch_2/Conv3d_0b_3x3"),
                unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{at}|Branch_3/Conv3d_0b_1x1"),
            ],
            1,
        )

    x = torch.from_numpy(units.astype(np.float32)).permute(0, 4, 1, 2, 3) * (2 / 255) - 1
    x = pool(unit(x, "Conv3d_1a_7x7", 2), (1, 3, 3), (1, 2, 2))
    x = pool(unit(unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3"), (1, 3, 3), (1, 2, 2))
    x = pool(mixed(mixed(x, "Mixed_3b"), "Mixed_3c"), (3, 3, 3), (2, 2, 2))
    for letter in "bcdef":
        x = mixed(x, f"Mixed_4{letter}")
    x = mixed(mixed(pool(x, (2, 2, 2), (2, 2, 2)), "Mixed_5b"), "Mixed_5c")
    windows = [x[:, :, t : t + 2, :7, :7].mean((2, 3, 4)) for t in range(x.shape[2] - 1)]
    kernel, bias = (array("params", "Logits/Conv3d_0c_1x1", "Conv_0", part) for part in ("kernel", "bias"))
    logits = [window @ kernel[0, 0, 0] + bias for window in windows]
    return torch.stack(windows).mean(0).numpy(), torch.stack(logits).mean(0).numpy()


def noise(units: int, frames: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (units, frames, size, size, 3), np.uint8)


def checkpoint(arrays: dict[str, np.ndarray], path: Path) -> Path:
    """Write arrays as the published file has them: nested dicts, pickled."""
    import pickle

    tree: dict[str, object] = {}
    for name, value in arrays.items():
        *folders, last = name.split("|")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})  # type: ignore[assignment]
        node[last] = value
    path.write_bytes(pickle.dumps(tree))
    return path


@pytest.mark.parametrize(("sampling", "geometry"), [(SMALL, EDGE), (Sampling(clips=1, frames=17), Geometry(224, 224))])
def test_whole_network_equals_the_unfolded_definition(sampling: Sampling, geometry: Geometry) -> None:
    extractor = I3DKinetics400("random:3", sampling=sampling, geometry=geometry)
    extractor.load("cpu")
    units = noise(1, sampling.frames, geometry.size[0])
    got = extractor(units)
    features, logits = reference(i3d.random_arrays(3), units)
    np.testing.assert_allclose(got["features"], features, rtol=2e-4, atol=2e-5 * np.abs(features).max())
    np.testing.assert_allclose(got["logits"], logits, rtol=2e-4, atol=2e-5 * np.abs(logits).max())


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("stride", [1, 2])
def test_one_convolution_equals_loops(size: int, stride: int) -> None:
    rng = np.random.default_rng(size)
    x = rng.standard_normal((1, 2, 4, size, size)).astype(np.float32)
    weight, bias = rng.standard_normal((5, 2, 3, 3, 3)).astype(np.float32), rng.standard_normal(5).astype(np.float32)
    shape = [-(-n // stride) for n in x.shape[2:]]
    first = [max((o - 1) * stride + 3 - n, 0) // 2 for o, n in zip(shape, x.shape[2:], strict=True)]
    wanted = np.zeros((5, *shape))
    for at in itertools.product(*map(range, shape)):
        total = bias.astype(float).copy()
        for tap in itertools.product(range(3), repeat=3):
            place = tuple(a * stride + t - f for a, t, f in zip(at, tap, first, strict=True))
            if all(0 <= p < n for p, n in zip(place, x.shape[2:], strict=True)):
                total += weight[(slice(None), slice(None), *tap)] @ x[(0, slice(None), *place)]
        wanted[(slice(None), *at)] = np.maximum(total, 0)
    convolution = Convolution(weight, bias, (stride,) * 3, (0, 0, 0))
    padded = i3d._pad(torch.from_numpy(x).to(memory_format=torch.channels_last_3d), 3, stride)
    np.testing.assert_allclose(convolution(padded)[0].numpy(), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", range(4, 12))
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (2, 2)])
def test_pool_pads_as_tensorflow_does_with_minus_infinity(size: int, kernel: int, stride: int) -> None:
    x = -torch.rand(1, 3, size, size + 1, size, generator=torch.Generator().manual_seed(0)) - 1
    wanted = torch.max_pool3d(same(x, (kernel,) * 3, (stride,) * 3, -torch.inf), kernel, stride)
    assert torch.equal(i3d._pool(x, (kernel,) * 3, (stride,) * 3), wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 5, 4, 7, 6), (1, 3, 1, 2, 1)])
def test_largest_around_is_the_pool_of_stride_1(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[0, 0, 0, 0, 0] = -torch.inf
    x = x.to(memory_format=torch.channels_last_3d)
    y = i3d._largest_around(x)
    assert torch.equal(y, torch.max_pool3d(x, 3, 1, 1))
    assert y.is_contiguous(memory_format=torch.channels_last_3d)


def test_plain_path_of_other_machines_equals_the_fused_one(monkeypatch: pytest.MonkeyPatch) -> None:
    units = noise(1, 9, 200)
    fused = I3DKinetics400("random:0", sampling=SMALL, geometry=EDGE)
    fused.load("cpu")
    monkeypatch.setattr(folding, "_onednn_fuses", lambda: False)
    plain = I3DKinetics400("random:0", sampling=SMALL, geometry=EDGE)
    plain.load("cpu")
    for name, value in fused(units).items():
        np.testing.assert_allclose(plain(units)[name], value, rtol=2e-4, atol=1e-5 * np.abs(value).max())


def test_neither_mates_nor_place_change_a_rows_bits() -> None:
    network = i3d._Network(i3d.random_arrays(0), torch.device("cpu"), torch.float32)
    a, b, c, d = noise(4, 9, 200, seed=5)
    first, moved, others = (network(np.stack(batch)) for batch in ((a, b, c), (c, a, b), (a, d, d)))
    for name in ("features", "logits"):
        assert np.array_equal(first[name][0], moved[name][1])
        assert np.array_equal(first[name][2], moved[name][0])
        assert np.array_equal(first[name][0], others[name][0])
        assert not np.array_equal(first[name][1], others[name][1])


def test_threads_get_what_one_alone_gets() -> None:
    extractor = I3DKinetics400("random:0", sampling=SMALL, geometry=EDGE)
    extractor.load("cpu")
    units = [noise(1, 9, 200, seed) for seed in range(4)]
    alone = [extractor(u)["features"] for u in units]
    together: list[np.ndarray | None] = [None] * 4

    def work(i: int) -> None:
        torch.set_num_threads(1)
        together[i] = extractor(units[i])["features"]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, together, strict=True):
        assert other is not None
        assert np.array_equal(one, other)


def test_bf16_stays_close_and_is_given_in_float32() -> None:
    if not folding.has_bf16():
        pytest.skip("this CPU has no bf16 instructions")
    units = noise(1, 9, 200)
    outputs = {}
    for precision in ("fp32", "bf16"):
        extractor = I3DKinetics400("random:0", precision, SMALL, EDGE)
        extractor.load("cpu")
        outputs[precision] = extractor(units)["features"]
    assert outputs["bf16"].dtype == np.float32
    assert not np.array_equal(outputs["bf16"], outputs["fp32"])
    error = np.linalg.norm(outputs["bf16"] - outputs["fp32"]) / np.linalg.norm(outputs["fp32"])
    assert error < 0.05


def test_bf16_without_the_instructions_is_a_fault_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True})
    with pytest.raises(MachineFault, match=r"AVX512-BF16 or AMX-BF16.*fp32"):
        I3DKinetics400("random:0", "bf16").load("cpu")


def test_cuda_where_there_is_none_is_a_fault_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MachineFault, match="no CUDA device"):
        I3DKinetics400("random:0").load("cuda")


@pytest.mark.parametrize(("frames", "crop"), [(8, 224), (16, 192)])
def test_clip_too_small_for_the_last_windows_is_refused_before_loading(frames: int, crop: int) -> None:
    with pytest.raises(ExtractorError, match=f"got {frames} of {crop} x {crop}"):
        I3DKinetics400("random:0", sampling=Sampling(clips=1, frames=frames), geometry=Geometry(crop, crop)).load("cpu")


def test_batch_of_another_size_is_refused() -> None:
    extractor = I3DKinetics400("random:0", sampling=SMALL, geometry=EDGE)
    with pytest.raises(ExtractorError, match="before load"):
        extractor(noise(1, 9, 200))
    extractor.load("cpu")
    with pytest.raises(ExtractorError, match=r"\(1, 9, 200, 200, 3\) uint8, got \(2, 9, 200, 200, 3\) uint8"):
        extractor(noise(2, 9, 200))
    with pytest.raises(ExtractorError, match="float32"):
        extractor(noise(1, 9, 200).astype(np.float32))


def test_rows_are_the_units_in_the_stored_dtype_and_overflow_is_infinite() -> None:
    rows = I3DKinetics400("random:0").rows({"features": np.full((4, 1024), 1e6), "logits": np.ones((4, 400))})
    assert {name: (row.shape, row.dtype.name) for name, row in rows.items()} == {
        "features": ((4, 1024), "float16"),
        "logits": ((4, 400), "float16"),
    }
    assert np.isinf(rows["features"]).all()


def test_file_is_read_into_the_network_and_another_layout_is_bad_weights(tmp_path: Path) -> None:
    arrays = i3d.random_arrays(9)
    outputs = []
    for given in ("random:9", str(checkpoint(arrays, tmp_path / "w.ckpt"))):
        extractor = I3DKinetics400(given, sampling=SMALL, geometry=EDGE)
        extractor.load("cpu")
        outputs.append(extractor(noise(1, 9, 200))["logits"])
    assert np.array_equal(*outputs)
    del arrays["params|Mixed_4c|Branch_2/Conv3d_0b_3x3|Conv_0|kernel"]
    with pytest.raises(BadWeights, match=r"Lacking: .*Mixed_4c"):
        I3DKinetics400(str(checkpoint(arrays, tmp_path / "w.ckpt"))).load("cpu")


def test_columns_are_the_400_classes() -> None:
    names = I3DKinetics400("random:0").columns()["logits"]
    assert len(set(names)) == 400
    assert (names[0], names[-1]) == ("abseiling", "zumba")


@pytest.mark.pack
def test_real_weights_give_what_the_unfolded_definition_gives() -> None:
    extractor = I3DKinetics400(sampling=Sampling(clips=1, frames=16, fps=25))
    extractor.load("cpu")
    found = clips.read(str(pack_video("Sports2D", "Demo/demo.mp4")), {"": extractor.view})[""]
    assert isinstance(found, clips.Clips)
    arrays = weights.pickled_arrays(extractor.weights_path())
    features, logits = reference(arrays, found.pixels)
    got = extractor(found.pixels)
    np.testing.assert_allclose(got["features"], features, rtol=1e-3, atol=1e-5 * features.max())
    np.testing.assert_allclose(got["logits"], logits, rtol=1e-3, atol=1e-3)


@pytest.mark.pack
def test_real_clip_gets_a_class_of_what_it_shows() -> None:
    """A man somersaults off a low building."""
    extractor = I3DKinetics400(sampling=Sampling(clips=1, frames=32, fps=25))
    names = best_classes(extractor, pack_video("Sports2D", "Demo/demo.mp4"))
    assert {"parkour", "gymnastics tumbling"} & set(names[:5])


@pytest.mark.pack
@pytest.mark.shared
def test_signed_words_are_sign_language(shared_data: Path) -> None:
    """Intel's clips of one signed word each (CC-BY-4.0): for most the right class is among the first 5 of 400."""
    extractor = I3DKinetics400(sampling=Sampling(clips=1, frames=32, fps=25))
    videos = sorted((shared_data / "videos" / "asl_signs").glob("*.mkv"))
    assert len(videos) == 20
    found = ["sign language interpreting" in best_classes(extractor, video)[:5] for video in videos]
    assert sum(found) > 10


@pytest.mark.shared
def test_classes_are_in_the_order_of_the_published_labels(shared_data: Path) -> None:
    published = (shared_data / "kinetics" / "i3d_k400_labels.txt").read_text().split("\n")
    ours = I3DKinetics400("random:0").columns()["logits"]
    assert [simple(name) for name in ours] == [simple(name) for name in published if name]


def simple(name: str) -> str:
    """Letters only: lists differ in quotes and brackets."""
    return "".join(letter for letter in name.lower() if letter.isalpha())


def best_classes(extractor: I3DKinetics400, video: Path) -> list[str]:
    """Class names of one video's first clip, best first."""
    if extractor._shape is None:
        extractor.load("cpu")
    found = clips.read(str(video), {"": extractor.view})[""]
    assert isinstance(found, clips.Clips)
    names = extractor.columns()["logits"]
    return [names[i] for i in np.argsort(-extractor(found.pixels)["logits"][0])]
