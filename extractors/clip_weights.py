"""What weights of a network of clips, trained here, say of themselves: in the header of their safetensors file.

An extractor needs it to plan: clips are cut as the network was trained on them, and the recipe names the classes it has
seen, which are then no unseen ones. No array is read for it, and torch is not imported.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extractors.errors import BadWeights

_KEY = "zsar"


@dataclasses.dataclass(frozen=True)
class ClipAbout:
    """What a network of clips was trained as, and on what.

    Parameters
    ----------
    network : str
        Extractor the weights belong to.
    width : int
        Of its first layer.
    frames, stride : int
        Of a clip.
    resize, crop : int
        Shorter side of a frame, side of what the network sees of it.
    texts : str
        Feature set of the class vectors that it was trained towards; nothing: of none.
    text_width : int
        Of these; 0.
    dataset : str
        Whose videos.
    classes : tuple of str
        All that it was trained on.
    kept_back : str or bool
        Whether a fifth of the videos, which GZSL judges on, was kept from the training: a text that names some of
        those that were not; True in files of before it did; False or empty where all were trained on.
    before : mapping, optional
        What the weights that it began with were trained on, as `trained_on` tells it.
    architecture : mapping, optional
        What else its layers follow from, of a network that has more to say than a width.
    """

    network: str
    width: int
    frames: int
    stride: int
    resize: int
    crop: int
    texts: str
    text_width: int
    dataset: str
    classes: tuple[str, ...]
    kept_back: str | bool = False
    before: Mapping[str, Any] | None = None
    architecture: Mapping[str, Any] | None = None

    def metadata(self) -> dict[str, str]:
        """For the header of a safetensors file."""
        later = ("before", "architecture")  # left out where there is none: else files of before differ
        fields = {k: v for k, v in dataclasses.asdict(self).items() if k not in later or v}
        return {_KEY: json.dumps(fields, sort_keys=True)}

    @property
    def trained_on(self) -> dict[str, Any]:
        """As recipes have it."""
        told = {"dataset": self.dataset, "classes": sorted(self.classes), "kept_back": self.kept_back}
        return told | ({"before": self.before} if self.before else {})


def about(path: Path, network: str) -> ClipAbout:
    """What a file of weights says of itself.

    Raises
    ------
    BadWeights
        No safetensors file, one without this header, or one of another network.
    """
    from safetensors import SafetensorError, safe_open

    made = f"Give weights that `zsar finetune {network}` wrote."
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise BadWeights(f"{path} cannot be read as a safetensors file: {reason}. {made}") from error
    try:
        fields = json.loads(text or "")
        found = ClipAbout(**fields | {"classes": tuple(fields["classes"])})
        sizes = (found.width, found.frames, found.stride, found.resize, found.crop, found.text_width or not found.texts)
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ValueError(f"sizes of {sizes}")
    except (ValueError, TypeError, LookupError) as error:
        raise BadWeights(f"{path} does not say what clips it was trained on ({error}). {made}") from error
    if found.network != network:
        raise BadWeights(f"{path} holds weights of {found.network}, not of {network}. {made}")
    return found
