"""An extractor as somebody asks for it: from `NAME:option=value,...`, or from the recipe of a set that is there.

The options of clips of a video are the fields of its `Sampling` and `Geometry`; all others' those of `default_options`.
"""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

import extractors
from extractors.base import Extractor, VideoExtractor, WithOptions
from extractors.errors import ExtractorError
from extractors.sampling import Geometry, Sampling

_PIXELS = ("resize", "crop")


def asked(spec: str, weights: str | None, precision: str) -> Extractor:
    """The extractor of a specification such as `r2plus1d_18:clips=25,resize=128`.

    Raises
    ------
    UnknownExtractor, ExtractorError
        No such extractor; no such option, or a value of another type. The message lists those there are.
    """
    name, _, text = spec.partition(":")
    kind = extractors.find(name)
    given = [pair(part) for part in filter(None, text.split(","))]
    if issubclass(kind, VideoExtractor):
        types = typing.get_type_hints(Sampling) | typing.get_type_hints(Geometry)
        changes = _typed(given, types, spec)
        pixels = {name: changes.pop(name) for name in _PIXELS if name in changes}
        sampling, geometry = kind.defaults(weights)
        changed = dataclasses.replace(sampling, **changes)
        return kind(weights, precision, changed, dataclasses.replace(geometry, **pixels))
    if issubclass(kind, WithOptions):
        types = {option: type(value) for option, value in kind.default_options.items()}
        return kind(weights, precision, _typed(given, types, spec))
    raise ExtractorError(f"{name} is an extractor of {kind.kind} items, which nothing reads yet.")


def of_recipe(recipe: Mapping[str, Any], weights: str | None) -> Extractor:
    """The extractor that makes a feature set of this recipe, with weights that are to be found again."""
    kind = extractors.find(recipe["extractor"])
    weights = recipe["weights"] if recipe["weights"].startswith("random:") else weights
    if issubclass(kind, WithOptions):
        told = recipe["sampling"]  # an option that came later is not told where it has its first value
        options = {name: told.get(name, value) for name, value in kind.default_options.items()}
        return kind(weights, recipe["precision"], options)
    if issubclass(kind, VideoExtractor):
        pixels = {name: recipe["preprocessing"][name] for name in _PIXELS}
        geometry = Geometry(**{name: tuple(v) if isinstance(v, list) else v for name, v in pixels.items()})
        return kind(weights, recipe["precision"], Sampling(**recipe["sampling"]), geometry)
    raise ExtractorError(f"{recipe['extractor']} is an extractor of {kind.kind} items, which nothing reads yet.")


def pair(text: str) -> tuple[str, str]:
    """`NAME=VALUE` as its two parts; ExtractorError where it is something else."""
    name, equals, value = text.partition("=")
    if not equals or not value:
        raise ExtractorError(f"Expected NAME=VALUE, got {text!r}.")
    return name, value


def _typed(given: list[tuple[str, str]], types: Mapping[str, Any], spec: str) -> dict[str, Any]:
    """Values of the types of their options."""
    changes: dict[str, Any] = {}
    for name, value in given:
        if name not in types:
            raise ExtractorError(f"{spec!r}: no option is called {name!r}; there are: {', '.join(types) or 'none'}.")
        kind = str(types[name])
        convert = _sides if "tuple" in kind else str if types[name] is str else int if "int" in kind else float
        try:
            changes[name] = None if value == "none" and "None" in kind else convert(value)
        except ValueError as error:
            wanted = "a number of pixels, or HEIGHTxWIDTH" if convert is _sides else f"of type {convert.__name__}"
            raise ExtractorError(f"{spec!r}: {name} must be {wanted}, got {value!r}.") from error
    return changes


def _sides(text: str) -> int | tuple[int, int]:
    """`128` or `128x171` (height x width) as Geometry takes them."""
    sides = [int(side) for side in text.split("x")]
    if len(sides) > 2 or min(sides) < 1:
        raise ValueError(text)
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])
