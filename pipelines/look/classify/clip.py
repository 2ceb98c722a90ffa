"""What the store holds of a clip, which is indexed and extracted first where it lacks.

Takes  the path of a video; I3D and EfficientNet-Lite0 of the offline pack
Gives  `Seen`: its features and logits, its objects. They lie under the content key, as `extract` puts them there

What the root holds of a clip is used. What is computed for an answer lies in a root of its own, `classify/` below it: a
question leaves no data set, no texts and no rows among those of the user.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.errors import UsageError
from pipelines.extract.settings import ExtractConfig
from pipelines.index.settings import IndexConfig
from pipelines.look.classify.names import SET
from pipelines.look.settings import ClassifyConfig
from stores.features import FeatureSet, FeatureStore, positions
from stores.root import Root

VIDEO, OBJECTS = "i3d_k400", "efficientnet_lite0_objects"
_OBJECTS = 5  # so many of them are told


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the store holds of a clip.

    Attributes
    ----------
    features, logits : (D,) and (400,) float64, means over its parts; the logits less their mean
    objects : the likeliest, best first, with score
    computed : features computed for it in this run
    """

    features: np.ndarray
    logits: np.ndarray
    objects: tuple[tuple[str, float], ...]
    computed: int = 0


def video_file(clip: str) -> Path:
    """The path of a clip; UsageError where there is no such file."""
    path = Path(clip).expanduser()
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise UsageError(f"The clip {clip} {kind}. Give the path of one video file.")
    return path


def own_root(root: Root) -> Root:
    """The root that answers are kept in."""
    return Root(f"{root.url.rstrip('/')}/classify")


def seen_in(config: ClassifyConfig, root: Root) -> Seen:
    """What is in a clip, of this root or its own; computed into its own where both lack it.

    Raises
    ------
    UsageError
        The file cannot be read, or does not decode.
    """
    path = video_file(config.clip)
    own = own_root(root)
    for each in (own, root):
        if (key := _known_key(path, each)) and (seen := stored(key, sets_of(each))):
            return seen
    key, computed = _extracted(config, path, own)
    seen = stored(key, sets_of(own))
    if seen is None:
        raise UsageError(f"The clip {config.clip} gives no features: {_reason(key, own)}. Give another file.")
    return dataclasses.replace(seen, computed=computed)


def sets_of(root: Root) -> list[FeatureSet | None]:
    """The sets of the two features of a clip, None where there is none yet."""
    return [FeatureStore(root).get(name) for name in set_names((VIDEO, OBJECTS), root)]


def stored(key: bytes, sets: Sequence[FeatureSet | None]) -> Seen | None:
    """What the store holds of a content, None unless it holds both features."""
    keys = np.frombuffer(key, np.uint8)[None]
    if any(each is None or positions(each.keys(), keys)[0] < 0 for each in sets):
        return None
    video, objects = (each for each in sets if each is not None)
    ids, scores = (objects.load(keys, output).values[0][:_OBJECTS].tolist() for output in ("ids", "scores"))
    features, logits = (video.load(keys, output).mean()[0].astype(np.float64) for output in ("features", "logits"))
    names = (objects.columns["ids"][int(i)] for i in ids)
    return Seen(features, logits - logits.mean(), tuple(zip(names, scores, strict=True)))


def set_names(features: tuple[str, ...], root: Root) -> list[str]:
    """Full names of the feature sets that these extractors fill here."""
    from pipelines.extract.plan import recipes

    return [recipe.name for _, recipe in recipes(ExtractConfig(features, SET), root)]


def _known_key(path: Path, root: Root) -> bytes | None:
    """The content key of a file that was indexed before and has not changed."""
    from stores.stat_cache import StatCache

    stat = path.stat()
    return StatCache(root).get((str(path.absolute()), stat.st_size, stat.st_mtime_ns))


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
