"""A stage's settings, told once: a field, its default and its help stand in one dataclass, in its docstring's own form.

    dataclass ──settings_of──▶ Setting each: name, type, default, help
                                 ──▶ a command's options (`command.base`)
                                 ──▶ a flow's parameters with their descriptions (`flows.py`)

The help of a field is what the section Attributes of its class says: `name : help`, or `a, b : help` of several.
"""

import collections.abc
import dataclasses
import functools
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pipelines.errors import UsageError

_SECTION = re.compile(r"Attributes\n\s*-+\n(.*?)(?:\n\s*\n|\Z)", re.S)
_EITHER = inspect.Parameter.POSITIONAL_OR_KEYWORD
_ENTRY = re.compile(r"^(\w+(?:, \w+)*) : (.*)$")


@dataclasses.dataclass(frozen=True)
class Called:
    """How a command calls a field, where not by its name: one of several is `--kind`, all of them are `kinds`."""

    option: str = ""
    is_argument: bool = False


ARGUMENT = Called(is_argument=True)  #: of a field that a command takes by its place


@dataclasses.dataclass(frozen=True)
class Choices:
    """The names that a field takes, held against what is given before anything is computed or imported for it.

    Attributes
    ----------
    noun : what one of them is called
    where : `module:attribute` of a mapping or a sequence of names, or of a function that gives one
    more : names beside those
    or_file : whether a file may stand for a name
    or_like : a regular expression of names that are made as they are needed, and how they are told
    with_options : whether options may follow a name after a colon
    told : whether the help lists them; of many it does not
    """

    noun: str
    where: str = ""
    more: tuple[str, ...] = ()
    or_file: bool = False
    or_like: tuple[str, str] = ("", "")
    with_options: bool = False
    told: bool = True

    @property
    def is_closed(self) -> bool:
        """Whether nothing else can be given."""
        return not (self.or_file or self.or_like[0] or self.with_options)

    def names(self) -> tuple[str, ...]:
        """The names there are now."""
        if not self.where:
            return self.more
        module, _, attribute = self.where.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        return (*self.more, *(found() if callable(found) else found))

    def check(self, given: str) -> None:
        """UsageError where what is given is none of them."""
        name = given.partition(":")[0] if self.with_options else given
        if name in self.names() or (self.or_file and (name.endswith(".json") or Path(name).is_file())):
            return
        form, said = self.or_like
        if form and re.fullmatch(form, name):
            return
        file = " A JSON file is one too: `docs/heads.md` says of what." if self.or_file else ""
        there = ", ".join((*self.names(), *([said] if said else [])))
        raise UsageError(f"No {self.noun} is called {name!r}; there are: {there}.{file}")


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting of a stage.

    Attributes
    ----------
    name : of the field, which is also the flow's parameter and the key in TOML
    type : of its value; a tuple where it may be given several times
    default : what it is where it is not given; `dataclasses.MISSING` where it must be
    help : one line that says what it is, its unit among it
    is_argument : whether a command takes it by its place and not by name
    option : how a command calls it
    choices : the names it takes, where they are known
    """

    name: str
    type: Any
    default: Any
    help: str
    is_argument: bool
    option: str
    choices: Choices | None = None

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.default is dataclasses.MISSING

    @property
    def is_several(self) -> bool:
        """Whether it may be given several times."""
        return typing.get_origin(self.type) is tuple


@functools.cache
def settings_of(kind: type) -> tuple[Setting, ...]:
    """The settings of a stage, in their order.

    Raises
    ------
    TypeError
        A field that the docstring does not explain, or an entry of it that is no field.
    """
    helps = _helps(kind)
    types = typing.get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)
    if strange := {field.name for field in fields}.symmetric_difference(helps):
        raise TypeError(f"The docstring of {kind.__name__} and its fields differ: {', '.join(sorted(strange))}.")
    return tuple(_setting(field, types[field.name], helps[field.name]) for field in fields)


def _setting(field: "dataclasses.Field[Any]", kind: Any, told: str) -> Setting:
    called, choices = Called(), None
    if typing.get_origin(kind) is Annotated:
        kind, *said = typing.get_args(kind)
        called = next((each for each in said if isinstance(each, Called)), called)
        choices = next((each for each in said if isinstance(each, Choices)), None)
    if choices and choices.told:
        told = f"{told.rstrip('.')}: {', '.join(f'`{name}`' for name in choices.names())}."
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    option = called.option or "--" + field.name.replace("_", "-")
    return Setting(field.name, kind, default, told, called.is_argument, option, choices)


def made(kind: type, given: Mapping[str, Any]) -> Any:
    """A stage's settings of what was given: lists become tuples, and nothing stands for the default.

    Raises
    ------
    UsageError
        A name that is none of a setting's choices, or values that do not go together.
    """
    values = {}
    for setting in settings_of(kind):
        value = given.get(setting.name)
        if value is not None or setting.is_required:
            several = tuple(value or ()) if setting.is_several else (value,)
            if setting.choices and value and value != setting.default:
                for each in several:
                    setting.choices.check(each)
            values[setting.name] = several if setting.is_several else value
    return kind(**values)


def _helps(kind: type) -> dict[str, str]:
    """Help by field: the entries of the docstring's section, each one line that reads as a sentence."""
    found: dict[str, str] = {}
    section = _SECTION.search(kind.__doc__ or "")
    names: list[str] = []
    for line in filter(str.strip, (section[1] if section else "").splitlines()):
        if entry := _ENTRY.match(line.strip()):
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        else:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return {name: f"{told[:1].upper()}{told[1:]}." for name, told in found.items()}


@dataclasses.dataclass(frozen=True)
class Taken:
    """Settings of a stage as a flow takes them.

    Attributes
    ----------
    kind : the stage's dataclass
    calls : what the flow calls a field, where a field of another stage has its name
    one : what the flow calls a field of several values, of which it takes one
    fixed : values of fields that the flow does not take
    told : of fields that the flow may be given, what tells them from the rest where it is given nothing
    """

    kind: type
    calls: Mapping[str, str] = dataclasses.field(default_factory=dict)
    one: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    told: Mapping[str, Callable[[Mapping[str, Any]], Any]] = dataclasses.field(default_factory=dict)

    def name(self, setting: Setting) -> str:
        """What the flow calls a setting."""
        return self.one.get(setting.name) or self.calls.get(setting.name) or setting.name

    def settings(self) -> list[Setting]:
        """The settings that the flow takes."""
        taken = [setting for setting in settings_of(self.kind) if setting.name not in self.fixed]
        return [dataclasses.replace(each, default="") if each.name in self.told else each for each in taken]

    def made(self, given: Mapping[str, Any]) -> Any:
        """The stage's settings of a flow's parameters."""
        values = dict(self.fixed)
        for setting in self.settings():
            value = given.get(self.name(setting))
            if setting.name in self.told and not value:
                value = self.told[setting.name](given)
            values[setting.name] = (value,) if setting.name in self.one else value
        return made(self.kind, values)


def flow_parameters(*taken: Taken) -> tuple[list[inspect.Parameter], str]:
    """The parameters of a flow that takes some stages' settings, those that must be given first; and their docstring.

    The docstring is in the form Prefect reads descriptions from. Lists and objects that need not be given are None.
    """
    settings: dict[str, tuple[Setting, bool]] = {}
    for stage in taken:
        for setting in stage.settings():
            name = stage.name(setting)
            if name not in settings or (setting.is_required and not settings[name][0].is_required):
                settings[name] = setting, setting.name in stage.one
    ordered = sorted(settings, key=lambda name: not settings[name][0].is_required)
    parameters = [_flow_parameter(name, *settings[name]) for name in ordered]
    at = sum(p.default is p.empty for p in parameters)
    parameters.insert(at, inspect.Parameter("root", _EITHER, default=None, annotation=str | None))
    helps = {name: settings[name][0].help for name in ordered}
    helps["root"] = "The cache; nothing: `$ZSAR_ROOT`, else `./zsar-data`."
    return parameters, "\n".join(["Args:", *(f"    {p.name}: {helps[p.name]}" for p in parameters)])


def _flow_parameter(name: str, setting: Setting, is_one: bool) -> inspect.Parameter:
    kind, default = setting.type, inspect.Parameter.empty if setting.is_required else setting.default
    if is_one:
        kind = typing.get_args(setting.type)[0]
    elif setting.is_several:
        kind = list[typing.get_args(setting.type)[0]]  # type: ignore[misc]
    elif typing.get_origin(setting.type) is collections.abc.Mapping:
        kind = dict[str, Any]
    elif setting.choices and setting.choices.is_closed:
        names = dict.fromkeys((*([default] if default == "" else []), *setting.choices.names()))
        return inspect.Parameter(name, _EITHER, default=default, annotation=Literal[tuple(names)])
    if not setting.is_required and kind is not setting.type:
        kind, default = kind | None, None
    return inspect.Parameter(name, _EITHER, default=default, annotation=kind)
