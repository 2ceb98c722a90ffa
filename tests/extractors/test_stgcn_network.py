"""ST-GCN from a published file against an eager re-implementation that sums over subsets and neighbours in loops."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from extractors import graph, stgcn_network
from extractors.errors import BadWeights, ExtractorError
from extractors.joints import COCO_17, KINECT_20, KINECT_20_UTD, NTU_25, OPENPOSE_18, Layout
from extractors.stgcn_network import STGCN, STGCN_SMALL, Architecture, SpatialTemporalGraphNetwork

TINY = Architecture("tiny", (4, 4, 6), (1, 1, 2))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def published(body: Layout, classes: int) -> dict[str, torch.Tensor]:
    """A state of the published layout, written out by hand: ten blocks, their names, shapes and batch counters."""
    draw = torch.Generator().manual_seed(0)
    joints = len(body.joints)
    state = {"A": torch.from_numpy(graph.spatial(body))}

    def norm(at: str, width: int) -> None:
        for part in ("weight", "running_var"):
            state[f"{at}.{part}"] = torch.rand(width, generator=draw) * 0.4 + 0.8
        for part in ("bias", "running_mean"):
            state[f"{at}.{part}"] = torch.randn(width, generator=draw) * 0.1
        state[f"{at}.num_batches_tracked"] = torch.tensor(7)

    def convolution(at: str, *shape: int) -> None:
        fan_in = shape[1] * shape[2] * shape[3]
        state[f"{at}.weight"] = torch.randn(shape, generator=draw) * (2 / fan_in) ** 0.5
        state[f"{at}.bias"] = torch.randn(shape[0], generator=draw) * 0.1

    norm("data_bn", 3 * joints)
    widths = [3, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256]
    for block in range(10):
        before, width = widths[block], widths[block + 1]
        at = f"st_gcn_networks.{block}"
        convolution(f"{at}.gcn.conv", 3 * width, before, 1, 1)
        norm(f"{at}.tcn.0", width)
        convolution(f"{at}.tcn.2", width, width, 9, 1)
        norm(f"{at}.tcn.3", width)
        if block in (4, 7):
            convolution(f"{at}.residual.0", width, before, 1, 1)
            norm(f"{at}.residual.1", width)
        state[f"edge_importance.{block}"] = torch.rand(3, joints, joints, generator=draw) + 0.5
    convolution("fcn", classes, 256, 1, 1)
    return state


def normed(state: dict[str, torch.Tensor], at: str, x: torch.Tensor, axis: int = 1) -> torch.Tensor:
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    weight, bias, mean, var = (
        state[f"{at}.{part}"].view(shape) for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias


def reference(state: dict[str, torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Time steps (N, T', D) and logits (N, K), a person, subset and pair of joints at a time."""
    batch, channels, frames, joints, people = x.shape
    of_people = []
    for person in range(people):
        y = torch.empty(batch, channels, frames, joints)
        for joint in range(joints):
            for channel in range(channels):
                own = {
                    f"one.{part}": state[f"data_bn.{part}"][[joint * channels + channel]]
                    for part in ("weight", "bias", "running_mean", "running_var")
                }
                y[:, channel, :, joint] = normed(own, "one", x[:, [channel], :, joint, person])[:, 0]
        for block in range(10):
            at, stride = f"st_gcn_networks.{block}", 2 if block in (4, 7) else 1
            edges = state["A"] * state[f"edge_importance.{block}"]
            mixed = functional.conv2d(y, state[f"{at}.gcn.conv.weight"], state[f"{at}.gcn.conv.bias"])
            width = mixed.shape[1] // 3
            z = torch.zeros(batch, width, y.shape[2], joints)
            for subset in range(3):
                part = mixed[:, subset * width : (subset + 1) * width]
                for v in range(joints):
                    for w in range(joints):
                        if edges[subset, v, w]:
                            z[..., w] += part[..., v] * edges[subset, v, w]
            z = torch.relu(normed(state, f"{at}.tcn.0", z))
            z = functional.conv2d(z, state[f"{at}.tcn.2.weight"], state[f"{at}.tcn.2.bias"], (stride, 1), (4, 0))
            z = normed(state, f"{at}.tcn.3", z)
            if block in (4, 7):
                residual = functional.conv2d(
                    y, state[f"{at}.residual.0.weight"], state[f"{at}.residual.0.bias"], (stride, 1)
                )
                z = z + normed(state, f"{at}.residual.1", residual)
            elif block:
                z = z + y
            y = torch.relu(z)
        of_people.append(y)
    steps = torch.stack(of_people).mean(0).mean(3)
    pooled = torch.stack([functional.avg_pool2d(y, y.shape[2:]) for y in of_people]).mean(0)
    logits = functional.conv2d(pooled, state["fcn.weight"], state["fcn.bias"]).flatten(1)
    return steps.transpose(1, 2), logits


def saved(state: dict[str, torch.Tensor], folder: Path) -> Path:
    path = folder / "st_gcn.test.pt"
    torch.save(state, path)
    return path


@pytest.mark.parametrize(("body", "classes"), [(NTU_25, 60), (OPENPOSE_18, 400)], ids=["ntu", "kinetics"])
def test_a_published_file_gives_what_plain_loops_give(body: Layout, classes: int, tmp_path: Path) -> None:
    state = published(body, classes)
    arrays = stgcn_network.read(saved(state, tmp_path))
    made = stgcn_network.network(arrays)
    x = torch.randn(2, 3, 9, len(body.joints), 2, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        steps, logits = reference(state, x)
        got = made.steps(x)
        assert got.shape == (2, 3, 256)
        scale = float(steps.abs().max())
        torch.testing.assert_close(got, steps, rtol=1e-4, atol=1e-5 * scale)
        torch.testing.assert_close(made.features(x), steps.mean(1), rtol=1e-4, atol=1e-5 * scale)
        torch.testing.assert_close(made(x), logits, rtol=1e-4, atol=1e-4 * float(logits.abs().max()))


def test_what_a_network_saves_has_exactly_the_published_names_and_shapes() -> None:
    state = published(NTU_25, 60)
    ours = SpatialTemporalGraphNetwork(STGCN, graph.spatial(NTU_25), 60).state_dict()
    assert {name: tuple(value.shape) for name, value in ours.items()} == {
        name: tuple(value.shape) for name, value in state.items()
    }
    wanted = stgcn_network.shapes(STGCN, 25, 60)
    assert wanted == {
        name: tuple(value.shape) for name, value in state.items() if not name.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize("architecture", [STGCN, STGCN_SMALL], ids=lambda each: each.name)
def test_a_network_saved_and_read_gives_the_same_features(architecture: Architecture, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = SpatialTemporalGraphNetwork(architecture, graph.spatial(KINECT_20), 27).eval()
    again = stgcn_network.network(stgcn_network.read(saved(made.state_dict(), tmp_path), architecture), architecture)
    x = torch.randn(2, 3, 16, 20, 1)
    with torch.inference_mode():
        assert torch.equal(again.features(x), made.features(x))
        assert made.features(x).shape == (2, 256)


def test_segments_are_means_of_equal_parts_and_their_mean_is_the_feature() -> None:
    torch.manual_seed(0)
    made = SpatialTemporalGraphNetwork(STGCN_SMALL, graph.spatial(KINECT_20), 27).eval()
    x = torch.randn(2, 3, 32, 20, 2)
    with torch.inference_mode():
        steps, segments = made.steps(x), made.segments(x, 4)
        assert steps.shape[1] == STGCN_SMALL.steps(32) == 8
        for part in range(4):
            torch.testing.assert_close(segments[:, part], steps[:, 2 * part : 2 * part + 2].mean(1))
        torch.testing.assert_close(segments.mean(1), made.features(x))
        with pytest.raises(ExtractorError, match="8 time steps make 1 to 8 segments, got 9"):
            made.segments(x, 9)


def test_people_may_change_places_and_nobody_counts_as_zeros() -> None:
    torch.manual_seed(0)
    made = SpatialTemporalGraphNetwork(TINY, graph.spatial(KINECT_20), 5).eval()
    x = torch.randn(1, 3, 12, 20, 2)
    with torch.inference_mode():
        torch.testing.assert_close(made.features(x), made.features(x.flip(-1)))
        alone, nobody = made.features(x[..., :1]), made.features(torch.zeros(1, 3, 12, 20, 1))
        x[..., 1] = 0
        torch.testing.assert_close(made.features(x), (alone + nobody) / 2)


@pytest.mark.parametrize("architecture", [STGCN, STGCN_SMALL], ids=lambda each: each.name)
def test_neither_mates_nor_place_change_a_sequences_bits(architecture: Architecture) -> None:
    made = stgcn_network.network(stgcn_network.random(architecture, KINECT_20, 5, seed=0), architecture)
    a, b, c, d = torch.randn(4, 3, 32, 20, 2, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        first, moved, others = (made.steps(torch.stack(batch)) for batch in ((a, b, c), (c, a, b), (a, d, d)))
    assert torch.equal(first[0], moved[1])
    assert torch.equal(first[2], moved[0])
    assert torch.equal(first[0], others[0])
    assert not torch.equal(first[1], others[1])


def test_random_arrays_are_of_the_published_layout_and_follow_from_their_seed(tmp_path: Path) -> None:
    arrays = stgcn_network.random(STGCN, NTU_25, 60, seed=3)
    path = saved({name: torch.from_numpy(values) for name, values in arrays.items()}, tmp_path)
    read = stgcn_network.read(path)
    again, other = (stgcn_network.random(STGCN, NTU_25, 60, seed) for seed in (3, 4))
    assert all(np.array_equal(read[name], again[name]) for name in arrays)
    assert not np.array_equal(other["fcn.weight"], arrays["fcn.weight"])
    with torch.inference_mode():
        features = stgcn_network.network(arrays).features(torch.randn(2, 3, 16, 25, 2))
    assert 0.1 < float(features.abs().mean()) < 10


def test_every_array_but_the_graph_is_trained() -> None:
    torch.manual_seed(0)
    made = SpatialTemporalGraphNetwork(TINY, graph.spatial(KINECT_20), 5)
    made(torch.randn(4, 3, 12, 20, 1)).square().sum().backward()
    learned = dict(made.named_parameters())
    assert "A" not in learned
    assert "edge_importance.2" in learned
    assert all(value.grad is not None for value in learned.values())


@pytest.mark.parametrize("cap", [1, None])
def test_the_graph_of_a_file_names_its_layout(cap: int | None) -> None:
    for body in (NTU_25, KINECT_20, KINECT_20_UTD, OPENPOSE_18, COCO_17):
        assert stgcn_network.graph_of(graph.spatial(body, cap)) == (body, cap)


def test_a_graph_of_no_known_layout_is_bad_weights(tmp_path: Path) -> None:
    state = published(NTU_25, 60)
    state["A"] = state["A"].flip(1)
    with pytest.raises(BadWeights, match=r"st_gcn\.test\.pt, \(3, 25, 25\), is that of no layout of joints known here"):
        stgcn_network.read(saved(state, tmp_path))


def test_a_file_of_another_network_is_bad_weights(tmp_path: Path) -> None:
    path = saved({"fc.weight": torch.zeros(3, 4)}, tmp_path)
    with pytest.raises(BadWeights, match=r"Lacking: A, data_bn\.bias.*Unknown: fc\.weight"):
        stgcn_network.read(path)
    path = saved(published(NTU_25, 60), tmp_path)
    with pytest.raises(BadWeights, match=r"Unknown: .*st_gcn_networks"):
        stgcn_network.read(path, STGCN_SMALL)


def test_joints_of_another_layout_are_refused() -> None:
    made = SpatialTemporalGraphNetwork(TINY, graph.spatial(KINECT_20), 5)
    with pytest.raises(ExtractorError, match=r"takes \(N, 3, T, 20, M\), got \(1, 3, 8, 25, 1\)"):
        made(torch.zeros(1, 3, 8, 25, 1))


def test_published_ntu_weights_are_refused_for_zero_shot_on_ntu() -> None:
    arrays = {name: value.numpy() for name, value in published(NTU_25, 60).items()}
    with pytest.raises(ExtractorError, match=r"w\.pt has the layout.*saw all 60 classes of ntu60"):
        stgcn_network.refuse_seen(arrays, Path("w.pt"), "ntu60")
    stgcn_network.refuse_seen(arrays, Path("w.pt"), "utd_mhad")
    kinetics = {"A": graph.spatial(OPENPOSE_18), "fcn.bias": np.zeros(400)}
    seen = stgcn_network.pretraining(kinetics)
    assert seen is not None
    assert (seen.dataset, seen.classes) == ("kinetics400", 400)
    assert stgcn_network.pretraining({"A": graph.spatial(NTU_25), "fcn.bias": np.zeros(55)}) is None
