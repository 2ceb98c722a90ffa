"""Where the real clips of the offline pack are."""

import importlib.util
from pathlib import Path


def pack_video(package: str, inside: str) -> Path:
    """A file inside a package, which is not imported."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / inside
