"""BERT written out: the bits of transformers' own, whatever its file calls the arrays."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from extractors import bert
from extractors.encoders import AnyEncoder

SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}


def theirs(**changes: Any) -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(**(SIZES | changes))
    build: Any = transformers.BertModel._from_config
    return build(config, attn_implementation="eager").eval()


def batch(rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random ids, every second row half padding."""
    ids = torch.from_numpy(np.random.default_rng(0).integers(1, 60, (rows, length)))
    mask = torch.ones(rows, length, dtype=torch.bool)
    mask[::2, (length + 1) // 2 :] = False
    return ids.masked_fill(~mask, 0), mask


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("rows", "length"), [(1, 8), (6, 9), (2, 512)])
def test_bits_are_those_of_transformers_eager_attention(dtype: torch.dtype, rows: int, length: int) -> None:
    model = theirs()
    arrays = {name: value.numpy() for name, value in model.state_dict().items() if not name.startswith("pooler.")}
    assert {name: value.shape for name, value in arrays.items()} == bert.shapes(SIZES)
    ids, mask = batch(rows, length)
    with torch.inference_mode():
        wanted = model.to(dtype)(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True).hidden_states
        for layers in (None, 2):
            got = bert.Bert(arrays, SIZES, layers, torch.device("cpu"), dtype)(ids, mask)
            assert torch.equal(got, wanted[3 if layers is None else layers])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_first_releases_names_and_half_precision_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    def features(folder: Path) -> np.ndarray:
        extractor = AnyEncoder(str(folder))
        extractor.load("cpu")
        return extractor(np.ones(extractor.shape(8), np.int32))["features"]

    for name in ("new", "old"):
        theirs().to(dtype).float().save_pretrained(tmp_path / name)
        (tmp_path / name / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]) + "\n")
    file = tmp_path / "old" / "model.safetensors"
    arrays = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): value for name, value in load_file(file).items()}
    arrays = {name.replace("LayerNorm.bias", "LayerNorm.beta"): value.to(dtype) for name, value in arrays.items()}
    save_file({f"bert.{name}": value for name, value in arrays.items()}, file, {"format": "pt"})
    assert np.array_equal(features(tmp_path / "old"), features(tmp_path / "new"))


@pytest.mark.parametrize("change", [{"hidden_act": "relu"}, {"is_decoder": True}])
def test_another_network_than_berts_is_left_to_transformers(tmp_path: Path, change: dict[str, Any]) -> None:
    theirs(**change).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]) + "\n")
    assert not bert.is_plain(json.loads((tmp_path / "config.json").read_text()))
    extractor = AnyEncoder(str(tmp_path))
    extractor.load("cpu")
    units = np.ones(extractor.shape(8), np.int32)
    with torch.inference_mode():
        wanted = theirs(**change)(torch.ones(1, 8, dtype=torch.long)).last_hidden_state.mean(1)
    np.testing.assert_allclose(extractor(units)["features"][0], wanted[0].numpy(), atol=1e-5)
