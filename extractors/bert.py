"""BERT: token numbers in, the hidden states of its last layer out.

    ids (B, L) ─embeddings─▶ (B, L, D) ─layers of attention and two products, each with its sum and norm─▶ (B, L, D)

What transformers' eager BERT computes, in the same operations and so the same bits. It is written out because importing
theirs takes longer than encoding hundreds of names: five seconds of a core, measured, against a twentieth.

Paper: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", NAACL 2019.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

DEFAULTS: dict[str, Any] = {
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}  # what a published configuration may leave out

_INITIAL_STD = 0.02


def is_plain(settings: Mapping[str, Any]) -> bool:
    """Whether a configuration is of BERT as published: an encoder with GELU and learned positions."""
    return (
        settings["model_type"] == "bert"
        and settings.get("hidden_act", "gelu") == "gelu"
        and settings.get("position_embedding_type", "absolute") == "absolute"
        and not settings.get("is_decoder")
    )


def shapes(settings: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every array by its published name, but for the pooler's, which is not run."""
    have = DEFAULTS | dict(settings)
    width, inner = have["hidden_size"], have["intermediate_size"]
    found: dict[str, tuple[int, ...]] = {}
    for kind, rows in (
        ("word", "vocab_size"),
        ("position", "max_position_embeddings"),
        ("token_type", "type_vocab_size"),
    ):
        found[f"embeddings.{kind}_embeddings.weight"] = (have[rows], width)
    found |= {f"embeddings.LayerNorm.{part}": (width,) for part in ("weight", "bias")}
    products = {f"attention.self.{part}": (width, width) for part in ("query", "key", "value")}
    products |= {"attention.output.dense": (width, width)}
    products |= {"intermediate.dense": (inner, width), "output.dense": (width, inner)}
    for number in range(have["num_hidden_layers"]):
        layer = f"encoder.layer.{number}."
        for name, shape in products.items():
            found |= {f"{layer}{name}.weight": shape, f"{layer}{name}.bias": shape[:1]}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            found |= {f"{layer}{name}.{part}": (width,) for part in ("weight", "bias")}
    return found


def published_name(name: str) -> str:
    """A checkpoint's name of an array as `shapes` has it: BERT's own files say `bert.`, and gamma and beta."""
    name = name.removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def random(settings: Mapping[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Seeded random arrays, drawn as BERT's are before training: N(0, 0.02^2), biases 0 and scales 1."""
    draw = np.random.default_rng(seed)
    return {
        name: draw.standard_normal(shape, np.float32) * np.float32(_INITIAL_STD)
        if len(shape) > 1
        else np.full(shape, name.endswith("weight"), np.float32)
        for name, shape in sorted(shapes(settings).items())
    }


class Bert:
    """The network.

    Parameters
    ----------
    arrays : of `shapes`, float32
    settings : the configuration
    layers : so many are run; None: all
    device, dtype : where and in what it computes
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        settings: Mapping[str, Any],
        layers: int | None,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        have = DEFAULTS | dict(settings)
        self._arrays = {name: torch.from_numpy(values).to(device, dtype) for name, values in arrays.items()}
        self._layers = int(have["num_hidden_layers"]) if layers is None else layers
        self._heads, self._eps = int(have["num_attention_heads"]), float(have["layer_norm_eps"])

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Hidden states (B, L, D) of ids (B, L) int64; the mask (B, L) bool says which are tokens of the text."""
        words, types, places = (
            self._arrays[f"embeddings.{k}_embeddings.weight"] for k in ("word", "token_type", "position")
        )
        hidden = functional.embedding(ids, words) + types[0] + places[: ids.shape[1]]
        hidden = self._norm("embeddings.LayerNorm", hidden)
        bias = torch.zeros(mask.shape, dtype=hidden.dtype, device=hidden.device)
        bias = bias.masked_fill(~mask, torch.finfo(hidden.dtype).min)[:, None, None]
        for number in range(self._layers):
            hidden = self._layer(f"encoder.layer.{number}.", hidden, bias)
        return hidden

    def _layer(self, at: str, hidden: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        attended = self._product(f"{at}attention.output.dense", self._attended(f"{at}attention.self.", hidden, bias))
        hidden = self._norm(f"{at}attention.output.LayerNorm", attended + hidden)
        inner = functional.gelu(self._product(f"{at}intermediate.dense", hidden))
        return self._norm(f"{at}output.LayerNorm", self._product(f"{at}output.dense", inner) + hidden)

    def _attended(self, at: str, hidden: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """softmax(q k' / sqrt(d) + bias) v, head by head."""
        by_head = (*hidden.shape[:2], self._heads, -1)
        parts = (self._product(at + part, hidden) for part in ("query", "key", "value"))
        q, k, v = (part.view(by_head).transpose(1, 2) for part in parts)
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5 + bias
        return (functional.softmax(scores, -1) @ v).transpose(1, 2).flatten(2)

    def _product(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self._arrays[f"{name}.weight"], self._arrays[f"{name}.bias"])

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self._arrays[f"{name}.weight"], self._arrays[f"{name}.bias"]
        return functional.layer_norm(x, weight.shape, weight, bias, self._eps)
