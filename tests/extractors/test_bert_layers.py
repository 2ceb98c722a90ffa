"""The last layers of a BERT, to train: with what is cached below them they give what the whole encoder gives."""

import numpy as np
import pytest
import torch

from extractors import bert, options
from extractors.bert_layers import BertLayers

SETTINGS = {
    "hidden_size": 24,
    "num_hidden_layers": 5,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "vocab_size": 50,
    "max_position_embeddings": 16,
}
CPU, FP32 = torch.device("cpu"), torch.float32


def states_below(arrays, first: int, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    found = bert.Bert(arrays, SETTINGS, first, CPU, FP32)(ids, mask)
    return found.masked_fill(~mask[..., None], torch.nan)


@pytest.mark.parametrize("first", [1, 3, 5])
def test_layers_above_a_cached_state_are_those_of_the_whole_encoder(first):
    arrays = bert.random(SETTINGS, 0)
    ids = torch.randint(50, (4, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(9) < torch.tensor([[9], [4], [1], [6]])
    whole = bert.Bert(arrays, SETTINGS, None, CPU, FP32)(ids, mask)
    mean = torch.stack([own[there].mean(0) for own, there in zip(whole, mask, strict=True)])
    layers = BertLayers(arrays, SETTINGS, first, normalise=False)
    states = states_below(arrays, first, ids, mask)
    assert torch.allclose(layers(states), mean, atol=1e-5)
    assert torch.allclose(layers(states.view(2, 2, 9, 24)), mean.view(2, 2, 24), atol=1e-5)
    unit = BertLayers(arrays, SETTINGS, first, normalise=True)(states)
    assert torch.allclose(unit, mean / mean.norm(dim=1, keepdim=True), atol=1e-5)
    assert len(list(layers.parameters())) == 16 * (5 - first)


def test_neither_other_texts_nor_filling_change_one_and_every_weight_has_a_gradient():
    arrays = bert.random(SETTINGS, 1)
    ids = torch.randint(50, (3, 8), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(8) < torch.tensor([[8], [3], [5]])
    layers = BertLayers(arrays, SETTINGS, 3, normalise=False)
    states = states_below(arrays, 3, ids, mask)
    assert torch.allclose(layers(states)[1:], layers(states[1:]), atol=1e-6)
    layers(states).square().sum().backward()
    assert all(
        bool((p.grad.isfinite()).all()) and p.grad.abs().sum() > 0
        for n, p in layers.named_parameters()
        if "key_bias" not in n
    )


def rows_of(name: str, texts: list[str]) -> list[dict[str, np.ndarray]]:
    extractor = options.asked(name, None, "fp32")
    extractor.load("cpu")
    found = []
    for ids in extractor.tokens(texts):
        batch, length = extractor.shape(len(ids))
        units = np.full((batch, length), -1, np.int32)
        units[:, : len(ids)] = ids
        outputs = extractor(units)
        found.append(extractor.rows({output: values[0] for output, values in outputs.items()}, len(ids)))
    return found


@pytest.mark.pack
@pytest.mark.parametrize("layer", [2, 4])
def test_minilms_tokens_with_the_layers_above_them_are_minilm(layer):
    texts = ["archery", "a person puts on make-up", "someone walks a dog along the beach while the sun is setting"]
    tokens = [own["tokens"] for own in rows_of(f"minilm_tokens:layer={layer}", texts)]
    states = np.full((3, max(map(len, tokens)), 384), np.nan, np.float32)
    for row, own in zip(states, tokens, strict=True):
        row[: len(own)] = own
    above = options.asked(f"minilm_tokens:layer={layer}", None, "fp32").above()
    whole = np.concatenate([own["features"] for own in rows_of("minilm", texts)])
    np.testing.assert_allclose(above(torch.from_numpy(states)).detach().numpy(), whole, atol=5e-4)
