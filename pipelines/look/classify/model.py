"""What is made of the classifier once: its rows, encodings of its names, and what the map's scores are worth.

Takes  the checkpoints of I3D and of both encoders of names
Gives  a `Model`, kept under the root as `maps/DIGEST.npz`, by the digest of all it depends on
"""

import dataclasses
import hashlib
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from extractors.names import unspaced
from heads.class_map import MapOptions
from heads.row_videos import Calibration, calibrate
from pipelines.look.classify.clip import VIDEO, set_names
from pipelines.look.classify.names import SENTENCES, TEMPLATES, WORDS, encoded
from stores.root import Root

_VERSION = 3  # of how the map is made


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

    def number(self, form: str) -> int | None:
        """Which of the classifier's classes a name in one piece means."""
        return self.forms.index(form) if form in self.forms else None


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
        return _unpacked(np.load(io.BytesIO(root.read_bytes("maps", name)), allow_pickle=False))
    model = _make(root, device, also)
    with root.new_file("maps", name) as path, open(path, "wb") as file:
        np.savez(file, **_packed(model))
    return model


def _make(root: Root, device: str, also: Sequence[str]) -> Model:
    from extractors import weights
    from extractors.class_names import KINETICS_400, class_names
    from extractors.i3d import I3DKinetics400

    names = class_names(KINETICS_400)
    path = I3DKinetics400().weights_path()
    arrays = weights.pickled_arrays(path)
    rows = arrays["params|Logits/Conv3d_0c_1x1|Conv_0|kernel"].reshape(-1, len(names)).T.astype(np.float32)
    sentences, words = set_names((SENTENCES, WORDS), root)
    texts = encoded((*names, *also), root, device, (sentences, words))
    texts = tuple(encoding[: len(names)] for encoding in texts)
    forms = tuple(map(unspaced, names))
    return Model(names, forms, rows, texts, calibrate(rows, texts, MapOptions()), (sentences, words))


def _packed(model: Model) -> dict[str, Any]:
    plain = {"names": model.names, "forms": model.forms, "rows": model.rows, "sets": model.sets}
    texts = {f"text{i}": encoding for i, encoding in enumerate(model.texts)}
    return plain | texts | {"numbers": dataclasses.astuple(model.calibration)}


def _unpacked(arrays: Any) -> Model:
    names, forms, sets = (tuple(arrays[name].tolist()) for name in ("names", "forms", "sets"))
    texts = tuple(arrays[f"text{i}"] for i in range(len(TEMPLATES) + 1))
    return Model(names, forms, arrays["rows"], texts, Calibration(*arrays["numbers"].tolist()), sets)
