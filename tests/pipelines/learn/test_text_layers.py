"""Training the last layers of an encoder on its cached states is training them below nothing else that learns."""

import pytest
import torch
from torch import nn

from extractors import bert
from extractors.bert_layers import BertLayers
from heads.base import ClassTexts, Texts, Videos
from heads.er import ER, ErOptions
from heads.towered import Towered
from pipelines.learn.engine import train
from pipelines.learn.samples.samples import Features
from pipelines.learn.tasks import Task
from pipelines.learn.training import Training
from tests.extractors.test_bert_layers import SETTINGS

FIRST, K, N, M, L = 3, 6, 40, 2, 10
CPU = torch.device("cpu")


class Whole(nn.Module):
    """The encoder from its token numbers, of which the layers above `FIRST` learn: nothing is cached."""

    def __init__(self, arrays) -> None:
        super().__init__()
        self._below = bert.Bert(arrays, SETTINGS, FIRST, CPU, torch.float32)
        self.above = BertLayers(arrays, SETTINGS, FIRST, normalise=False)

    def forward(self, ids):
        flat = ids.reshape(-1, ids.shape[-2])
        mask = ~flat.isnan()
        with torch.no_grad():
            states = self._below(flat.nan_to_num().long(), mask).masked_fill(~mask[..., None], torch.nan)
        return self.above(states).view(*ids.shape[:-2], -1)


def drawn_ids(count: int, seed: int) -> torch.Tensor:
    """(count, L, 1) token numbers as floats, NaN where a text has ended: what takes the place of states."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(50, (count, L), generator=random).float()
    ends = torch.randint(2, L + 1, (count, 1), generator=random)
    return ids.masked_fill(torch.arange(L) >= ends, torch.nan)[..., None]


def trained(tower, told, folder, below: float = 1.0) -> tuple[dict[str, torch.Tensor], float]:
    """Weights of the layers, and the last loss, after a training on texts and captions told so."""
    torch.manual_seed(0)
    texts = Texts(told(drawn_ids(K, 1)), torch.arange(K), torch.arange(K))
    seen = ClassTexts(tuple(f"class {k}" for k in range(K)), {"elaboration": texts})
    segments = told(drawn_ids(N * M, 2)).unflatten(0, (N, M))
    videos = Videos(segments, torch.arange(N) % K)
    head = Towered(ER(24, 24, ErOptions(joint=12, dropout=0)), tower, captioned=True)
    samples = Features(videos, "cpu")
    head.begin(videos, seen)
    task = Task(samples, head, seen)
    history = train(task, Training(lr=1e-3, batch=16, epochs=4, below=below), folder)
    layers = tower.above if isinstance(tower, Whole) else tower
    return {name: value.detach().clone() for name, value in layers.named_parameters()}, history.epochs[-1]["loss"]


def cached(arrays, dtype):
    network = bert.Bert(arrays, SETTINGS, FIRST, CPU, torch.float32)

    def told(ids):
        flat = ids[..., 0]
        mask = ~flat.isnan()
        states = network(flat.nan_to_num().long(), mask).to(dtype).float()
        return states.masked_fill(~mask[..., None], torch.nan)

    return told


@pytest.fixture(scope="module")
def arrays():
    return bert.random(SETTINGS | {"hidden_size": 24}, 0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 0), (torch.float16, 5e-4)])
def test_the_same_training_with_and_without_the_cache(arrays, tmp_path, dtype, tolerance):
    whole, loss = trained(Whole(arrays), lambda ids: ids, tmp_path / "whole")
    tower = BertLayers(arrays, SETTINGS, FIRST, normalise=False)
    first = {name: value.detach().clone() for name, value in tower.named_parameters()}
    own, own_loss = trained(tower, cached(arrays, dtype), tmp_path / "cached")
    assert own_loss == pytest.approx(loss, abs=tolerance / 10)
    moved = [float((whole[name] - first[name]).abs().max()) for name in whole]
    apart = [float((whole[name] - own[name]).abs().max()) for name in whole]
    assert max(moved) > 5e-3
    assert max(apart) <= tolerance


def test_a_share_of_nought_leaves_the_layers_as_they_were(arrays, tmp_path):
    tower = BertLayers(arrays, SETTINGS, FIRST, normalise=False)
    first = {name: value.detach().clone() for name, value in tower.named_parameters()}
    own, _ = trained(tower, cached(arrays, torch.float32), tmp_path / "still", below=0.0)
    assert all(torch.equal(own[name], first[name]) for name in first)
