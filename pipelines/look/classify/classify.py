"""Classify: which of a few class names fits a clip, whether the classifier has seen the class or not.

Run    `zsar classify clip.mp4 --classes "juggling, kneading dough, welding"`
Takes  a clip; class names; I3D, EfficientNet-Lite0, MiniLM and GloVe of the offline pack
Gives  a probability a class and where it comes from; 25 s on 2 busy cores the first time, 2.3 s from the cache

    classifier   the class is one of Kinetics-400: I3D's own logit
    map          it is not: the logit of a row told from its name, by a map learned from those rows (`heads.class_map`)

Both stand in one softmax. What the map's scores are worth beside the logits is found on stand-ins for videos of classes
held out from the map (`heads.row_videos`); no clip is looked at. With `--objects` what is seen adds what ER and
JigsawNet let it add, s = s_v + max(s_o, 0), with s_o the cosine of the joined names of the five likeliest objects and
the class name, in spreads of either over the Kinetics names, and s_o a quarter as heavy as what the map says. The
weight was settled on the 13 clips of the offline pack by nothing but I3D's own answers to them. Objects help where the
action has a place or a thing of its own; where ImageNet has no name for what is seen (hands, a plain wall), they do
harm, and of the three kinds of clip that could be tried two were worse with them: so they are asked for.

Features lie in the store under the clip's content key, as `extract` puts them there, vectors of names under the names'
keys; the map is made from the checkpoint once and kept under the root by the digest of all it depends on.

Papers: METHODS sections 3 and 4 for objects; `heads.class_map` and `heads.row_videos` for the rest.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from extractors.names import readable, unspaced
from heads.class_map import ClassMap, MapOptions
from heads.row_videos import Calibration, calibrate, softmax
from pipelines.errors import UsageError
from pipelines.extract.settings import ExtractConfig
from pipelines.index.settings import IndexConfig
from stores.errors import WriteFailed
from stores.features import FeatureSet, FeatureStore, positions
from stores.keys import KEY_BYTES, text_key
from stores.root import Root

VIDEO, OBJECTS, SENTENCES, WORDS = "i3d_k400", "efficientnet_lite0_objects", "minilm", "glove_50d"
TEMPLATES = ("{}", "a video of a person {}", "someone is doing {}", "a person {}")
OBJECT_WEIGHT = 0.25
_SET = "classify"
_KINDS = {SENTENCES: "description", WORDS: "class"}  # which texts of the set an encoder reads
_VERSION = 2  # of how the map is made
_FORMS = ("names", "forms.json")
_NEAREST, _SOURCES, _OBJECTS = 5, 3, 5
_FRAMES, _FRAME_HEIGHT = 6, 120


@dataclasses.dataclass(frozen=True)
class ClassifyConfig:
    """Settings of `zsar classify`.

    Attributes
    ----------
    clip : path of a video file
    classes : the names to choose from
    leave_out : Kinetics classes to treat as never seen: their rows are not used, neither to classify nor to learn from
    objects : whether recognised objects count
    device : `auto`, `cpu`, `cuda` or `cuda:N`
    """

    clip: str
    classes: tuple[str, ...]
    leave_out: tuple[str, ...] = ()
    objects: bool = False
    device: str = "auto"


@dataclasses.dataclass(frozen=True)
class Answer:
    """One class: its probability among those asked for, where that comes from, and what it rests on.

    Attributes
    ----------
    source : `classifier` or `map`
    rests_on : the Kinetics class itself, or those whose names its row is most made of
    objects : what the objects seen add to its logit
    """

    name: str
    probability: float
    source: str
    rests_on: tuple[str, ...]
    objects: float


@dataclasses.dataclass(frozen=True)
class ClassifyReport:
    """What a clip shows.

    Attributes
    ----------
    answers : best first
    nearest : the likeliest of all Kinetics-400 names, verb phrases most of them, with probability
    objects : the likeliest objects, with score
    learned_from : what the map was learned from, in words
    computed : features computed in this run; 0: all came from the store
    """

    clip: str
    answers: tuple[Answer, ...]
    nearest: tuple[tuple[str, float], ...]
    objects: tuple[tuple[str, float], ...]
    learned_from: str
    computed: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Model:
    """What is made from the checkpoint once.

    Attributes
    ----------
    names, forms : the classifier's classes, and their names in one piece, as links are made
    rows : (S, D) float32
    texts : encodings of the names, (S, A_i) float32
    calibration : of the map's scores beside the logits
    sets : full names of the feature sets of sentences and of word vectors; finding them anew would open large files
    """

    names: tuple[str, ...]
    forms: tuple[str, ...]
    rows: np.ndarray
    texts: tuple[np.ndarray, ...]
    calibration: Calibration
    sets: tuple[str, str]


@dataclasses.dataclass(frozen=True)
class _Seen:
    """What the store holds of a clip."""

    features: np.ndarray
    logits: np.ndarray
    ids: np.ndarray
    scores: np.ndarray
    things: list[str]
    computed: int


def classify(config: ClassifyConfig, root: Root) -> ClassifyReport:
    """Say which class a clip shows.

    Raises
    ------
    UsageError
        No class names, a name twice, a name without a known word, no such file, or a clip that does not decode.
    ExtractorError, StoreError
        As `extract` does.
    """
    started = time.monotonic()
    form = _Forms(root)
    names = checked(config.classes, form)
    _path(config)
    model = made(root, config.device, names)
    left_out = _left_out(config.leave_out, model, form)
    numbers = [_number(form(name), model, left_out) for name in names]
    texts = _known(names, numbers, encoded(names, root, config.device, model.sets))
    seen = _features(config, root)
    told = _vectors(SENTENCES, [_told(seen)], root, config.device, model.sets[0])[0] if config.objects else None
    answers = _answers(names, numbers, model, _fitted(model, left_out), seen, texts, told)
    odds = softmax(seen.logits)
    form.save()
    kept = len(model.names) - len(left_out)
    return ClassifyReport(
        config.clip,
        answers,
        tuple((model.names[k], float(odds[k])) for k in np.argsort(-odds, kind="stable")[:_NEAREST]),
        tuple((seen.things[int(i)], float(s)) for i, s in zip(seen.ids, seen.scores, strict=True))[:_OBJECTS],
        f"the names and classifier rows of {kept} Kinetics-400 classes ({VIDEO}), none of them answered by the map; "
        "no video was used",
        seen.computed,
        time.monotonic() - started,
    )


def answers_of(keys: Sequence[bytes], classes: Sequence[str], root: Root) -> list[tuple[Answer, ...]]:
    """The answers for contents that have both features already, as `classify` gives them for one clip."""
    names = checked(classes)
    model = made(root, also=names)
    numbers = [_number(unspaced(name), model, set()) for name in names]
    texts = _known(names, numbers, encoded(names, root, "auto", model.sets))
    sets = _sets(root)
    fitted = _fitted(model, set())
    return [
        _answers(names, numbers, model, fitted, seen, texts) for key in keys if (seen := _stored(key, sets)) is not None
    ]


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


# -- the answer -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Fitted:
    """The map, and the numbers of the classes it was learned from."""

    map: ClassMap
    kept: np.ndarray
    left_out: set[int]


def _fitted(model: Model, left_out: set[int]) -> _Fitted:
    kept = np.setdiff1d(np.arange(len(model.names)), sorted(left_out))
    return _Fitted(ClassMap().fit(model.rows[kept], [encoding[kept] for encoding in model.texts]), kept, left_out)


def _answers(
    names: Sequence[str],
    numbers: Sequence[int | None],
    model: Model,
    fitted: _Fitted,
    seen: _Seen,
    texts: tuple[np.ndarray, ...],
    told: np.ndarray | None = None,
) -> tuple[Answer, ...]:
    """Joint softmax over the names; `texts` are their encodings, `told` that of the objects seen, where they count."""
    by_name = fitted.map
    scores = by_name.scores(seen.features[None], texts)[0] * by_name.length_
    mapped = model.calibration.scale * scores + model.calibration.shift
    logits = np.where([n is None for n in numbers], mapped, [0.0 if n is None else seen.logits[n] for n in numbers])
    extra = np.zeros(len(names))
    if told is not None:
        usual = by_name.scores(seen.features[None], [encoding[fitted.kept] for encoding in model.texts])
        spread = model.calibration.scale * by_name.length_ * usual.std()
        extra = object_evidence(told, texts[0], model.texts[0]) * spread * OBJECT_WEIGHT
    odds = softmax(logits + extra)
    rests = by_name.sources(texts, _SOURCES)
    found = [
        Answer(
            name,
            float(odds[i]),
            "map" if number is None else "classifier",
            tuple(model.names[fitted.kept[k]] for k in rests[i]) if number is None else (model.names[number],),
            float(extra[i]),
        )
        for i, (name, number) in enumerate(zip(names, numbers, strict=True))
    ]
    return tuple(found[i] for i in np.argsort(-odds, kind="stable"))


def object_evidence(told: np.ndarray, classes: np.ndarray, names: np.ndarray) -> np.ndarray:
    """How much better than the average name each class goes with the objects seen: max(s_o, 0), in spreads of s_o.

    Parameters
    ----------
    told : (A,), the text of the objects
    classes : (K, A), the class names
    names : (S, A), names that tell what is usual

    Returns
    -------
    (K,) float64
    """
    from heads.class_map import unit

    mean = names.mean(0, dtype=np.float64)
    seen = unit((told - mean)[None])[0]
    usual, own = unit(names - mean) @ seen, unit(classes - mean) @ seen
    return np.asarray(np.maximum(own, 0) / usual.std())


def _told(seen: _Seen) -> str:
    """The objects of a clip as JigsawNet's text: the names of the five likeliest, joined."""
    return ", ".join(seen.things[int(i)] for i in seen.ids[:_OBJECTS])


def _number(form: str, model: Model, left_out: set[int]) -> int | None:
    """Which of the classifier's classes a name in one piece means."""
    number = model.forms.index(form) if form in model.forms else None
    return None if number in left_out else number


def _left_out(names: Sequence[str], model: Model, form_of: Callable[[str], str]) -> set[int]:
    numbers = {name: _number(form_of(name), model, set()) for name in names if name.strip()}
    if strange := [name for name, number in numbers.items() if number is None]:
        raise UsageError(f"Only classes of Kinetics-400 can be left out; {', '.join(strange)} is none of them.")
    return {number for number in numbers.values() if number is not None}


class _Forms:
    """`unspaced`, remembered below the root: the dictionary of lemmas takes half a second to read."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._known: dict[str, str] = {}
        if root.exists(*_FORMS):
            with root.fs.open(root.path(*_FORMS), "rb") as stream:
                self._known = json.load(stream)
        self._saved = len(self._known)

    def __call__(self, name: str) -> str:
        if name not in self._known:
            self._known[name] = unspaced(name)
        return self._known[name]

    def save(self) -> None:
        """Keep what is new; a root that may only be read is done without."""
        if len(self._known) > self._saved:
            with contextlib.suppress(WriteFailed):
                self._root.write_text(json.dumps(self._known), *_FORMS)


# -- the clip ---------------------------------------------------------------------------------------------------------


def _features(config: ClassifyConfig, root: Root) -> _Seen:
    """The clip's features, computed where the store lacks them."""
    path = _path(config)
    if (key := _known_key(path, root)) and (seen := _stored(key, _sets(root))):
        return seen
    key, computed = _extracted(config, path, root)
    seen = _stored(key, _sets(root))
    if seen is None:
        raise UsageError(f"The clip {config.clip} gives no features: {_reason(key, root)}. Give another file.")
    return dataclasses.replace(seen, computed=computed)


def _path(config: ClassifyConfig) -> Path:
    path = Path(config.clip).expanduser()
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise UsageError(f"The clip {config.clip} {kind}. Give the path of one video file.")
    return path


def _known_key(path: Path, root: Root) -> bytes | None:
    """The content key of a file that was indexed before and has not changed."""
    from stores.stat_cache import StatCache

    stat = path.stat()
    return StatCache(root).get((str(path.absolute()), stat.st_size, stat.st_mtime_ns))


def _sets(root: Root) -> list[FeatureSet | None]:
    """The sets of the two features of a clip, None where there is none yet."""
    return [FeatureStore(root).get(name) for name in _set_names((VIDEO, OBJECTS), root)]


def _stored(key: bytes, sets: Sequence[FeatureSet | None]) -> _Seen | None:
    """What the store holds of a content, None unless it holds both features."""
    keys = np.frombuffer(key, np.uint8)[None]
    if any(each is None or positions(each.keys(), keys)[0] < 0 for each in sets):
        return None
    video, objects = (each for each in sets if each is not None)
    ids, scores = (objects.load(keys, output).values[0] for output in ("ids", "scores"))
    features, logits = (video.load(keys, output).mean()[0].astype(np.float64) for output in ("features", "logits"))
    return _Seen(features, logits - logits.mean(), ids, scores, objects.columns["ids"], 0)


def _set_names(features: tuple[str, ...], root: Root) -> list[str]:
    """Full names of the feature sets that these extractors fill here."""
    from pipelines.extract.plan import recipes

    return [recipe.name for _, recipe in recipes(ExtractConfig(features, _SET), root)]


def _extracted(config: ClassifyConfig, path: Path, root: Root) -> tuple[bytes, int]:
    """Index and extract one file, as a data set of its own; its key, and how many features were computed."""
    from pipelines.extract.extraction import extract
    from pipelines.index.videos import index
    from stores.manifest import Manifest

    dataset = "clip-" + hashlib.blake2b(str(path.absolute()).encode(), digest_size=8).hexdigest()
    indexed = index(IndexConfig((str(path.absolute()),), dataset), root)
    if not indexed.contents:
        raise UsageError(f"The clip {config.clip} cannot be read. Mend its permissions (chmod +r).")
    report = extract(ExtractConfig((VIDEO, OBJECTS), dataset, device=config.device, retry_failed=True), root)
    key: bytes = Manifest(root).read(dataset, ["key"])["key"][-1].as_py()
    return key, sum(feature.extracted for feature in report.features)


def _reason(key: bytes, root: Root) -> str:
    from stores.failures import Failures

    found = [row for row in Failures(root).latest().to_pylist() if row["key"] == key]
    return str(found[-1]["message"]).rstrip(".") if found else "it does not decode"


# -- the names --------------------------------------------------------------------------------------------------------


def _known(
    names: Sequence[str], numbers: Sequence[int | None], texts: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """The encodings, if each name has a word that the vocabulary knows: MiniLM takes any letters for words."""
    lacking = np.isnan(texts[-1]).any(1)
    strange = [name for name, number, lacks in zip(names, numbers, lacking, strict=True) if lacks and number is None]
    if strange:
        shown = ", ".join(map(repr, strange))
        raise UsageError(f"No word of {shown} is in the vocabulary of {WORDS}. Give the class other words.")
    return texts


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
    sentences = _vectors(SENTENCES, told, root, device, sets[0])
    return (*np.split(sentences, len(TEMPLATES)), _vectors(WORDS, plain, root, device, sets[1]))


def _vectors(extractor: str, texts: Sequence[str], root: Root, device: str, name: str) -> np.ndarray:
    """(n, A) float32, a row a text; NaN where a text has no vector. Texts without one are encoded first."""
    keys = _keys(texts)
    feature_set = FeatureStore(root).get(name)
    at = np.full(len(keys), -1) if feature_set is None else positions(feature_set.keys(), keys)
    if (at < 0).any():
        from pipelines.extract.extraction import extract

        kind = _KINDS[extractor]
        _add([text for text, place in zip(texts, at, strict=True) if place < 0], kind, root)
        extract(ExtractConfig((extractor,), set=_SET, kinds=(kind,), device=device, same_errors=10**9), root)
        feature_set = FeatureStore(root).find(name)
        at = positions(feature_set.keys(), keys)
    assert feature_set is not None
    values = feature_set.load(keys[at >= 0]).values
    out = np.full((len(keys), values.shape[1]), np.nan, np.float32)
    out[at >= 0] = values
    return out


def _keys(texts: Sequence[str]) -> np.ndarray:
    return np.frombuffer(b"".join(map(text_key, texts)), np.uint8).reshape(-1, KEY_BYTES)


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
    with root.lock(f"texts-{_SET}"), Texts(root, _SET).adding() as adding:
        adding.rows(pa.table(columns))


# -- the map ----------------------------------------------------------------------------------------------------------


def made(root: Root, device: str = "auto", also: Sequence[str] = ()) -> Model:
    """The model of this root; made and kept where it is not there, and then `also` these names are encoded at once."""
    import extractors
    from pipelines.extract.plan import weights_digest
    from stores.stat_cache import StatCache

    cache = StatCache(root, "weights")
    parts = [kind(weights=None) for kind in map(extractors.find, (VIDEO, SENTENCES, WORDS))]
    digests = [f"{part.name} {part.version} {weights_digest(part, cache)}" for part in parts]
    cache.save()
    settings = [*digests, *TEMPLATES, str(dataclasses.asdict(MapOptions())), str(_VERSION)]
    name = f"{hashlib.blake2b(json.dumps(settings).encode(), digest_size=12).hexdigest()}.npz"
    if root.exists("maps", name):
        with root.fs.open(root.path("maps", name), "rb") as stream:
            return _unpacked(np.load(io.BytesIO(stream.read()), allow_pickle=False))
    model = _make(root, device, also)
    with root.new_file("maps", name) as path, open(path, "wb") as file:
        np.savez(file, **_packed(model))  # type: ignore[arg-type]
    return model


def _make(root: Root, device: str, also: Sequence[str]) -> Model:
    from extractors import weights
    from extractors.class_names import KINETICS_400, class_names
    from extractors.i3d import I3DKinetics400

    names = class_names(KINETICS_400)
    path = I3DKinetics400().weights_path()
    arrays = weights.pickled_arrays(path)
    rows = arrays["params|Logits/Conv3d_0c_1x1|Conv_0|kernel"].reshape(-1, len(names)).T.astype(np.float32)
    sentences, words = _set_names((SENTENCES, WORDS), root)
    texts = encoded((*names, *also), root, device, (sentences, words))
    texts = tuple(encoding[: len(names)] for encoding in texts)
    return Model(
        names,
        tuple(map(unspaced, names)),
        rows,
        texts,
        calibrate(rows, texts, MapOptions()),
        (sentences, words),
    )


def _packed(model: Model) -> dict[str, np.ndarray]:
    texts = {f"text{i}": encoding for i, encoding in enumerate(model.texts)}
    numbers = np.array(dataclasses.astuple(model.calibration))
    return {
        "names": np.array(model.names),
        "forms": np.array(model.forms),
        "rows": model.rows,
        "numbers": numbers,
        "sets": np.array(model.sets),
    } | texts


def _unpacked(arrays: Any) -> Model:
    texts = tuple(arrays[f"text{i}"] for i in range(len(TEMPLATES) + 1))
    names, forms = (tuple(arrays[name].tolist()) for name in ("names", "forms"))
    return Model(
        names, forms, arrays["rows"], texts, Calibration(*arrays["numbers"].tolist()), tuple(arrays["sets"].tolist())
    )


# -- the page ---------------------------------------------------------------------------------------------------------


def page(report: ClassifyReport, root: Root) -> str:
    """Write a report as one HTML file below the root and give its URL."""
    from extractors import clips
    from pipelines.pages.page import frame, render

    path = Path(report.clip).expanduser().absolute()
    frames = [frame(rgb) for rgb in clips.thumbnails(str(path), _FRAMES, _FRAME_HEIGHT)]
    asked = json.dumps([str(path), *sorted(answer.name for answer in report.answers)])
    name = f"{path.stem}-{hashlib.blake2b(asked.encode(), digest_size=4).hexdigest()}.html"
    html = render("classify", report=report, frames=frames, file=path.name)
    return root.write_text(html, "reports", "classify", name)
