"""Names of classes as they are asked for: one form each, and encodings, from the store or computed into it.

    names ──checked──▶ no two are one class ──encoded──▶ (K, A) float32 a template, and the mean word vector

The texts lie in a set of their own, `classify`, under the names' keys.
"""

import contextlib
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from extractors.names import readable, unspaced
from pipelines.errors import UsageError
from pipelines.extract.settings import ExtractConfig
from stores.errors import Damaged, StoreError
from stores.features import FeatureStore, positions
from stores.keys import KEY_BYTES, keys_of, text_key
from stores.root import Root

SENTENCES, WORDS = "minilm", "glove_50d"
TEMPLATES = ("{}", "a video of a person {}", "someone is doing {}", "a person {}")
SET = "classify"  #: of texts
_KINDS = {SENTENCES: "description", WORDS: "class"}  # which texts of the set an encoder reads
_FORMS = ("names", "forms.json")


def checked(classes: Sequence[str], form_of: Callable[[str], str] = unspaced) -> tuple[str, ...]:
    """The names without blanks around them; UsageError where there is none, or two are one class."""
    names = tuple(name for name in (" ".join(each.split()) for each in classes) if name)
    if not names:
        raise UsageError(
            'No class names to choose from: give some with --classes "juggling, welding, playing chess", or --classes '
            "@FILE with a name a line."
        )
    by_form: dict[str, str] = {}
    for name in names:
        form = form_of(name)
        if not form:
            raise UsageError(f"The class name {name!r} holds no word. Give words, such as `playing chess`.")
        if form in by_form:
            both = f"{by_form[form]!r} twice" if by_form[form] == name else f"{by_form[form]!r} and {name!r}"
            raise UsageError(f"--classes has {both}, which are one class. Give each class once.")
        by_form[form] = name
    return names


class Forms:
    """`unspaced`, remembered below the root: the dictionary of lemmas takes half a second to read."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._known = self._kept()
        self._saved = len(self._known)

    def __call__(self, name: str) -> str:
        """The form of a name."""
        if name not in self._known:
            self._known[name] = unspaced(name)
        return self._known[name]

    def save(self) -> None:
        """Keep what is new; a root that may only be read is done without."""
        if len(self._known) > self._saved:
            with contextlib.suppress(StoreError), self._root.lock("forms"):
                self._root.write_json({"forms": self._kept() | self._known}, *_FORMS)

    def _kept(self) -> dict[str, str]:
        """What is remembered; nothing where it is damaged, for it can be told anew."""
        with contextlib.suppress(Damaged):
            return self._root.read_json(*_FORMS, mend="").get("forms", {}) if self._root.exists(*_FORMS) else {}
        return {}


def encoded(names: Sequence[str], root: Root, device: str, sets: tuple[str, str]) -> tuple[np.ndarray, ...]:
    """Encodings of names, from the store; what it lacks is computed first.

    Parameters
    ----------
    names : class names
    sets : full names of the feature sets of sentences and of word vectors

    Returns
    -------
    (K, A) float32 for each of `TEMPLATES`, then the mean word vector, NaN for a name without a known word
    """
    plain = [readable(name) for name in names]
    told = [template.format(name) for template in TEMPLATES for name in plain]
    sentences = vectors(SENTENCES, told, root, device, sets[0])
    return (*np.split(sentences, len(TEMPLATES)), vectors(WORDS, plain, root, device, sets[1]))


def vectors(extractor: str, texts: Sequence[str], root: Root, device: str, name: str) -> np.ndarray:
    """(n, A) float32, a row a text; NaN where a text has no vector. Texts without one are encoded first."""
    keys = keys_of(map(text_key, texts))
    feature_set = FeatureStore(root).get(name)
    at = np.full(len(keys), -1) if feature_set is None else positions(feature_set.keys(), keys)
    if (at < 0).any():
        from pipelines.extract.extraction import extract

        kind = _KINDS[extractor]
        _add([text for text, place in zip(texts, at, strict=True) if place < 0], kind, root)
        extract(ExtractConfig((extractor,), set=SET, kinds=(kind,), device=device, same_errors=10**9), root)
        feature_set = FeatureStore(root).find(name)
        at = positions(feature_set.keys(), keys)
    assert feature_set is not None
    values = feature_set.load(keys[at >= 0]).values
    out = np.full((len(keys), values.shape[1]), np.nan, np.float32)
    out[at >= 0] = values
    return out


def _add(texts: Sequence[str], kind: str, root: Root) -> None:
    """Put texts into the set this command keeps its texts in, unless they are there."""
    from stores.texts import Texts

    lacking = list(dict.fromkeys(texts))
    columns = {
        "key": pa.array([text_key(text) for text in lacking], pa.binary(KEY_BYTES)),
        "text": pa.array(lacking, pa.string()),
        "line": pa.array([0] * len(lacking), pa.int64()),
    }
    fixed = {"kind": kind, "class": "", "part": "", "source": "zsar classify"}
    columns |= {name: pa.array([value] * len(lacking), pa.string()) for name, value in fixed.items()}
    with root.lock(f"texts-{SET}"), Texts(root, SET).adding() as adding:
        adding.rows(pa.table(columns))
