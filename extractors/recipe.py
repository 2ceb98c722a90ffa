"""What a feature depends on, and the key that follows from it.

A feature is a function of (content, recipe). Two recipes with one key give the same features; a recipe that differs in
any field is another feature set, so nothing stale is ever served. Planning makes recipes without loading a model.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

#: Version of the decoder: raised when a film gives other pictures, or a sampling other frames. 2: pictures are counted
#: as the decoder puts them out, mirrored films are mirrored, `spread` takes the frames in the middle of its parts.
DECODER = 2


def is_outdated(recipe: Mapping[str, Any]) -> bool:
    """True if a recipe is of films as an earlier decoder took them, which may be other pictures."""
    probe = str(recipe.get("probe") or "")
    version, dash, _ = probe.partition("-")
    return bool(probe) and (int(version) if dash else 1) < DECODER


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that a feature depends on.

    Parameters
    ----------
    extractor : str
        Name of the extractor, as in `extractors.EXTRACTORS`.
    version : int
        The extractor's version number, raised when its code starts to give other numbers.
    weights : str
        Digest of the weights file, `random:SEED`, or `imported:` + a digest for features made elsewhere.
    sampling, preprocessing : mapping
        Which frames or tokens, and what is done to them before the model.
    outputs : mapping
        Output name to `{"shape": [...], "dtype": "..."}` of one row, as stored.
    precision : str
        Of the computation: `fp32` or `bf16`.
    probe : str
        `DECODER` and the digest of what decoding the bundled probe clips gives here: a decoder that takes other
        pictures, or an FFmpeg that decodes otherwise, is another recipe.
    source : str or None
        Key of the recipe of the feature set this one is derived from.
    """

    extractor: str
    version: int
    weights: str
    sampling: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    outputs: Mapping[str, Any]
    precision: str = "fp32"
    probe: str = ""
    source: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain JSON types."""
        plain: dict[str, Any] = json.loads(self._canonical())
        return plain

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Recipe":
        """The recipe that `to_dict` wrote."""
        return cls(**fields)

    @property
    def key(self) -> str:
        """BLAKE2b-256 of the canonical JSON, as 64 hexadecimal digits."""
        return hashlib.blake2b(self._canonical().encode(), digest_size=32).hexdigest()

    @property
    def name(self) -> str:
        """`extractor@` and the first 12 digits of the key: the name of the feature set."""
        return f"{self.extractor}@{self.key[:12]}"

    def _canonical(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
