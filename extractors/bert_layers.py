"""The last layers of a BERT as a network to train, on hidden states that are there.

    states (..., L, D) of the layer below, NaN where a text has ended ─layers─▶ mean over its tokens ─▶ (..., D)

The arithmetic is that of `bert`. What is cached (`bert_tokens`, `minilm_tokens`) goes in, and what the whole encoder
would give comes out, but for the rounding of the cache to float16.

Paper: Devlin et al., NAACL 2019. ER and JigsawNet train layers 10 and 11 of BERT-base.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from extractors.bert import DEFAULTS


class BertLayers(nn.Module):
    """Layers `first` and above, and the mean over a text's tokens.

    Parameters
    ----------
    arrays : of the whole encoder, by its published names
    settings : its configuration
    first : number of the first layer that is run
    normalise : whether a text's vector is of unit length
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any], first: int, normalise: bool
    ) -> None:
        super().__init__()
        have = DEFAULTS | dict(settings)
        self.normalise = normalise
        self.layers = nn.ModuleDict(
            {
                str(number): _Layer(int(have["num_attention_heads"]), float(have["layer_norm_eps"]), own)
                for number in range(first, int(have["num_hidden_layers"]))
                if (own := _below(arrays, f"encoder.layer.{number}."))
            }
        )

    def forward(self, states: Tensor) -> Tensor:
        """(..., L, D) -> (..., D)."""
        flat = states.reshape(-1, *states.shape[-2:])
        there = ~flat.isnan().any(-1)
        longest = int(there.sum(1).max()) if len(flat) else 0
        there, hidden = there[:, :longest], flat[:, :longest].nan_to_num()
        bias = torch.zeros(there.shape, dtype=hidden.dtype, device=hidden.device)
        bias = bias.masked_fill(~there, torch.finfo(hidden.dtype).min)[:, None, None]
        for layer in self.layers.values():
            hidden = layer(hidden, bias)
        kept = hidden.masked_fill(~there[..., None], 0)
        pooled = kept.sum(1) / there.sum(1, keepdim=True)
        pooled = functional.normalize(pooled, dim=1) if self.normalise else pooled
        return pooled.view(*states.shape[:-2], -1)


class _Layer(nn.Module):
    """One layer, in the operations of `bert.Bert`."""

    def __init__(self, heads: int, eps: float, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self._heads, self._eps = heads, eps
        for name, values in arrays.items():
            self.register_parameter(name.replace(".", "_"), nn.Parameter(torch.from_numpy(values.copy())))

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """(B, L, D) and what is added to the scores of each token, (B, 1, 1, L) -> (B, L, D)."""
        by_head = (*hidden.shape[:2], self._heads, -1)
        parts = (self._product(f"attention_self_{part}", hidden) for part in ("query", "key", "value"))
        q, k, v = (part.view(by_head).transpose(1, 2) for part in parts)
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5 + bias
        attended = (functional.softmax(scores, -1) @ v).transpose(1, 2).flatten(2)
        hidden = self._norm("attention_output", self._product("attention_output_dense", attended) + hidden)
        inner = functional.gelu(self._product("intermediate_dense", hidden))
        return self._norm("output", self._product("output_dense", inner) + hidden)

    def _product(self, name: str, x: Tensor) -> Tensor:
        return functional.linear(x, self.get_parameter(f"{name}_weight"), self.get_parameter(f"{name}_bias"))

    def _norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = (self.get_parameter(f"{name}_LayerNorm_{part}") for part in ("weight", "bias"))
        return functional.layer_norm(x, weight.shape, weight, bias, self._eps)


def _below(arrays: Mapping[str, np.ndarray], start: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}
