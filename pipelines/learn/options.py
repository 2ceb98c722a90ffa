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


#: what a paper says of its schedule: how long on its own data set, and what keeps it from harm on the way
_OF_A_SCHEDULE = ("warmup", "warmup_steps", "cosine_steps", "clip")


def as_published(training: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """What is left of a published training where some of it is set by hand.

    Another schedule keeps nothing of the published one's; a warm-up given, as a share or a count, is the only one.

    Examples
    --------
    >>> as_published({"schedule": "cosine", "warmup": 0.1, "lr": 1e-4}, {"schedule": "constant"})
    {'schedule': 'cosine', 'lr': 0.0001}
    >>> as_published({"schedule": "cosine", "warmup": 0.1, "clip": 10.0}, {"warmup_steps": "0"})
    {'schedule': 'cosine', 'clip': 10.0}
    """
    left: set[str] = set()
    if "schedule" in given and given["schedule"] != training.get("schedule"):
        left = set(_OF_A_SCHEDULE)
    elif {"warmup", "warmup_steps"} & set(given):
        left = {"warmup", "warmup_steps"}
    return {name: value for name, value in training.items() if name not in left}


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
