"""Training the last layers of a backbone on its cached maps is training them above a network that keeps still."""

import numpy as np
import pytest
import torch
from torch import nn

from extractors import options
from extractors.layers_above import AboveClips
from extractors.r2plus1d import Layout
from extractors.r2plus1d_network import R2Plus1D
from extractors.segmented import Segmented
from heads.base import ClassTexts, Texts, Videos
from heads.er import ER, ErOptions
from heads.towered import Towered
from pipelines.learn.engine import train
from pipelines.learn.samples.samples import Features, Unread
from pipelines.learn.tasks import Task
from pipelines.learn.training import Training

K, N, M, T, SIDE, WIDTH = 3, 12, 2, 8, 40, 2
TRAINING = Training(optimiser="sgd", momentum=0.9, lr=3e-3, batch=6, epochs=2)


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    torch.manual_seed(0)
    return {name: each.numpy() for name, each in R2Plus1D(WIDTH).state_dict().items() if "num_" not in name}


@pytest.fixture(scope="module")
def clips() -> torch.Tensor:
    """(N, 3, M T, SIDE, SIDE)."""
    return torch.randn(N, 3, M * T, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def network_of(arrays) -> R2Plus1D:
    network = R2Plus1D(WIDTH)
    network.load_state_dict({name: torch.from_numpy(each.copy()) for name, each in arrays.items()}, strict=False)
    return network


def maps_of(arrays, clips, dtype, trained: str = "last_stage") -> torch.Tensor:
    """(N, M, C, T, H, W) below the last stage, or block, as they are stored."""
    network = network_of(arrays).eval()
    x = clips.unflatten(2, (M, T)).transpose(1, 2).flatten(0, 1)
    lower = (network.stem, network.layer1, network.layer2, network.layer3, network.layer4[0])
    with torch.no_grad():
        for part in lower[: 4 if trained == "last_stage" else 5]:
            x = part(x)
    return x.to(dtype).float().unflatten(0, (N, M))


def seen() -> ClassTexts:
    features = torch.randn(K, 12, generator=torch.Generator().manual_seed(2))
    texts = Texts(features, torch.arange(K), torch.arange(K))
    return ClassTexts(tuple(f"class {k}" for k in range(K)), {"elaboration": texts})


def head() -> ER:
    torch.manual_seed(5)
    return ER(8 * WIDTH, 12, ErOptions(joint=6, dropout=0))


def above_of(arrays, trained: str = "last_stage") -> AboveClips:
    return AboveClips(arrays, Layout(classes=0), WIDTH, int(trained == "last_block"), segments=False)


def trained_whole(arrays, clips, folder, trained: str) -> tuple[dict[str, torch.Tensor], float]:
    visual = Segmented(network_of(arrays), M, trained)
    samples = Features(Videos(clips, torch.arange(N) % K), "cpu")
    history = train(Task(samples, head(), seen(), visual=visual), TRAINING, folder)
    blocks = nn.Sequential(*list(visual.network.layer4)[int(trained == "last_block") :])
    return blocks.state_dict(), history.epochs[-1]["loss"]


def trained_above(visual: AboveClips, maps, folder, unread: bool = False) -> tuple[dict[str, torch.Tensor], float]:
    towered = Towered(head(), None, visual=visual)
    videos = Videos(maps, torch.arange(N) % K)
    if unread:
        samples = Unread(videos.take, videos.labels, "cpu", at_once=5)
        towered.begin_on(samples.batches(torch.split(torch.arange(N), 5), None), seen())
    else:
        samples = Features(videos, "cpu")
        towered.begin(videos, seen())
    history = train(Task(samples, towered, seen()), TRAINING, folder)
    return visual.blocks.state_dict(), history.epochs[-1]["loss"]


@pytest.mark.parametrize("trained", ["last_stage", "last_block"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float16, 0.15)])
def test_the_same_training_with_and_without_the_cache(arrays, clips, tmp_path, trained, dtype, tolerance):
    whole, loss = trained_whole(arrays, clips, tmp_path / "whole", trained)
    own, own_loss = trained_above(above_of(arrays, trained), maps_of(arrays, clips, dtype, trained), tmp_path / "above")
    assert own_loss == pytest.approx(loss, rel=tolerance / 30)
    first = above_of(arrays, trained).blocks.state_dict()
    weights = [name for name in whole if "running" not in name and "num_" not in name]
    if dtype == torch.float32:  # BatchNorm's memory too
        assert all(torch.allclose(own[name], value, atol=1e-5) for name, value in whole.items())
    moved = torch.cat([(whole[name] - first[name]).flatten() for name in weights])
    apart = torch.cat([(whole[name] - own[name]).flatten() for name in weights])
    assert moved.abs().max() > 5e-3
    assert apart.norm() <= tolerance * moved.norm()


def test_maps_that_come_with_their_batch_give_the_same_bits(arrays, clips, tmp_path):
    maps = maps_of(arrays, clips, torch.float16)
    held, loss = trained_above(above_of(arrays), maps, tmp_path / "held")
    own, own_loss = trained_above(above_of(arrays), maps, tmp_path / "unread", unread=True)
    assert own_loss == loss
    assert all(torch.equal(own[name], value) for name, value in held.items())


def test_a_video_is_judged_by_what_batchnorm_remembers(arrays, clips):
    visual = above_of(arrays)
    towered, maps = Towered(head(), None, visual=visual), maps_of(arrays, clips, torch.float32)
    towered.train()
    with torch.no_grad():
        alone = torch.cat([towered.scores(Videos(maps[[row]]), seen()) for row in range(N)])
        together = towered.scores(Videos(maps), seen())
    assert torch.allclose(alone, together, atol=1e-5)
    assert visual.training
    lower = {id(parameter) for parameter in towered.lower()}
    assert lower == {id(parameter) for parameter in visual.parameters()}


def test_the_arrays_of_a_network_of_any_width_fit(arrays):
    assert AboveClips(arrays, Layout(classes=0), WIDTH, 1, segments=True).width == 8 * WIDTH
    above = options.asked("r2plus1d_34_below_block", "random:0", "fp32").above()
    assert above.blocks[0].conv1[0][1].eps == 1e-3
    assert above.rows((1, 512, 4, 7, 7)) == 4
