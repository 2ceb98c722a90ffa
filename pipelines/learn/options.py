"""What is given as NAME=VALUE, to a head or to what is finetuned and to the training of either, typed by its field."""

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.errors import UsageError
from pipelines.learn.training import Training


def pairs(entries: Iterable[str]) -> dict[str, str]:
    """Values by name; UsageError where an entry is not NAME=VALUE."""
    found = {}
    for entry in entries:
        name, sign, value = entry.partition("=")
        if not sign or not name or not value:
            raise UsageError(f"An option is NAME=VALUE, got {entry!r}.")
        found[name] = value
    return found


def settings(
    owner: str, options: type[Any], given: Mapping[str, str], training: Mapping[str, Any], own: Mapping[str, Any]
) -> tuple[Any, Training]:
    """The options of what is trained, and its training, with some set by hand.

    Parameters
    ----------
    owner : what is trained, for messages
    options : dataclass of its options
    given : texts by name, each of a field of `options` or of `Training`
    training : the engine's settings that are not its defaults
    own : settings of the stage; where one is called as a field of either, it is that field, and cannot be given

    Raises
    ------
    UsageError
        A name that neither has, or a value that does not fit.
    """
    found: list[dict[str, Any]] = [{}, dict(training)]
    kinds: list[type[Any]] = [options, Training]
    for kind, values in zip(kinds, found, strict=True):
        values |= {field.name: own[field.name] for field in dataclasses.fields(kind) if field.name in own}
    for name, value in given.items():
        for kind, values in zip(kinds, found, strict=True):
            hints = typing.get_type_hints(kind)
            if name in hints and name not in own:
                values[name] = _typed(name, value, hints[name])
                break
        else:
            known = [f.name for kind in (options, Training) for f in dataclasses.fields(kind) if f.name not in own]
            raise UsageError(f"{owner} has no option {name!r}; it has: {', '.join(known)}.")
    try:
        return options(**found[0]), Training(**found[1])
    except ValueError as error:
        raise UsageError(str(error)) from error


def _typed(name: str, value: str, hint: Any) -> Any:
    """A value given as text, as the field's type."""
    try:
        if hint is bool:
            return {"true": True, "false": False, "1": True, "0": False}[value.lower()]
        if typing.get_origin(hint) is tuple:
            inner = typing.get_args(hint)[0]
            return tuple(inner(v) for v in value.split("/") if v)
        return hint(value)
    except (ValueError, KeyError) as error:
        wanted = "true or false" if hint is bool else hint.__name__
        wanted = "a list with / between its values" if typing.get_origin(hint) is tuple else wanted
        raise UsageError(f"{name} should be {wanted}, got {value!r}.") from error
