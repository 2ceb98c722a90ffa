"""JSON with a digest of itself, which is held against it when it is read: a flipped bit is damage, no other value."""

import json
from typing import Any

from stores.keys import rows_digest

_SEAL = "seal"


def sealed(told: dict[str, Any]) -> str:
    """The text of an object, with its seal."""
    plain: dict[str, Any] = json.loads(json.dumps(told))
    return json.dumps(plain | {_SEAL: _seal_of(plain)}, indent=1, sort_keys=True)


def unsealed(text: str) -> dict[str, Any]:
    """The object that a text holds, without its seal; what was written before there were seals is taken as it is.

    Raises
    ------
    ValueError, TypeError
        It is no JSON, no object, or not what was written.
    """
    told: dict[str, Any] = dict(json.loads(text))
    if told.pop(_SEAL, None) not in (None, _seal_of(told)):
        raise ValueError("it is not what was written")
    return told


def _seal_of(plain: dict[str, Any]) -> str:
    return rows_digest(json.dumps(plain, sort_keys=True).encode()).hex()
