"""A setting is told once: command, flow and TOML file take the same ones, with the same defaults and help."""

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Annotated, Any

import pytest
import typer

import pipelines
from pipelines.command.main import app
from pipelines.errors import UsageError
from pipelines.extract.settings import ExtractConfig, ShardConfig
from pipelines.index.settings import IndexConfig
from pipelines.learn.protocols.protocols import protocol
from pipelines.learn.settings import FinetuneConfig, FitConfig
from pipelines.settings import ARGUMENT, Called, Taken, flow_parameters, made, settings_of


@dataclasses.dataclass(frozen=True)
class Toy:
    """A stage of a test.

    Attributes
    ----------
    clips : what is looked at, a path
        each
    speed_s, width : of it, in seconds and in pixels
    kinds : which
    """

    clips: Annotated[tuple[str, ...], ARGUMENT]
    speed_s: float = 2.0
    width: int = 3
    kinds: Annotated[tuple[str, ...], Called("--kind")] = ()


def stages() -> list[type]:
    """Every dataclass of settings there is."""
    found = []
    for module in pkgutil.walk_packages(pipelines.__path__, "pipelines."):
        if module.name.endswith(".settings"):
            own = vars(importlib.import_module(module.name)).values()
            found += [k for k in own if dataclasses.is_dataclass(k) and k.__module__ == module.name]
    return [kind for kind in found if isinstance(kind, type) and kind.__name__.endswith("Config")]


def commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return {**group.commands, **{f"texts {name}": own for name, own in group.commands["texts"].commands.items()}}


def test_a_field_its_default_and_its_help_come_from_the_dataclass():
    clips, speed, width, kinds = settings_of(Toy)
    assert (clips.name, clips.help, clips.is_required, clips.is_argument) == (
        "clips",
        "What is looked at, a path each.",
        True,
        True,
    )
    assert (speed.default, speed.help, speed.option) == (2.0, "Of it, in seconds and in pixels.", "--speed-s")
    assert width.help == speed.help
    assert (kinds.option, kinds.default, kinds.is_several) == ("--kind", (), True)


@pytest.mark.parametrize("doc", ["No section.", "x.\n\nAttributes\n----------\nclips : a\nwdith : b\n"])
def test_a_field_without_help_or_help_without_a_field_is_a_defect(doc):
    kind = dataclasses.make_dataclass("Odd", [("clips", str), ("width", int, 3)])
    kind.__doc__ = doc
    with pytest.raises(TypeError, match="docstring of Odd and its fields differ"):
        settings_of(kind)


def test_what_is_given_makes_the_settings_and_nothing_means_the_default():
    given: dict[str, Any] = {"clips": ["a", "b"], "speed_s": None, "width": 5, "kinds": None}
    assert made(Toy, given) == Toy(("a", "b"), 2.0, 5, ())


@pytest.mark.parametrize("kind", stages(), ids=lambda kind: kind.__name__)
def test_every_setting_of_every_stage_is_explained(kind):
    assert len(stages()) >= 15
    for setting in settings_of(kind):
        assert len(setting.help) > 5, setting.name
        assert setting.help == " ".join(setting.help.split()), setting.name
        assert not setting.help.endswith((" .", "..")), setting.name


OWN = {"root", "as_json", "config", "help"}


@pytest.mark.parametrize(
    ("verb", "kind", "more"),
    [
        ("index", IndexConfig, set()),
        ("extract", ExtractConfig, {"dry_run", "html"}),
        ("fit", FitConfig, set()),
        ("finetune", FinetuneConfig, set()),
    ],
)
def test_a_command_takes_the_settings_of_its_stage_and_says_their_help(verb, kind, more):
    parameters = {p.name: p for p in commands()[verb].params}
    settings = {s.name: s for s in settings_of(kind)}
    assert set(parameters) - OWN == set(settings) | more
    for name, setting in settings.items():
        assert parameters[name].help == setting.help
        if not setting.is_several:
            assert parameters[name].required == setting.is_required
            assert setting.is_required or parameters[name].default == setting.default


@pytest.mark.parametrize(
    ("verb", "taken"),
    [
        ("extract", {IndexConfig: {"paths": "path"}, ExtractConfig: {}, ShardConfig: {"size": "shard_size"}}),
        ("fit", {FitConfig: {}}),
        ("finetune", {IndexConfig: {"paths": "path", "layout": "joints"}, FinetuneConfig: {}}),
    ],
)
def test_the_flow_of_a_verb_takes_what_its_command_takes(verb, taken):
    pytest.importorskip("prefect")
    import flows

    flow = getattr(flows, verb)
    shown = flow.parameters.model_dump()["properties"]
    expected = {calls.get(s.name, s.name): s for kind, calls in taken.items() for s in settings_of(kind)}
    expected.pop(None, None)
    assert set(shown) == {*expected, "root"}
    for name, setting in expected.items():
        assert shown[name]["description"] == setting.help or name in ("dataset", "path", "layout"), name
        if not setting.is_required and not isinstance(setting.default, (tuple, Mapping)):
            given = inspect.signature(flow.fn).parameters[name].default
            assert given in (setting.default, inspect.Parameter.empty) or (verb, name, given) == (
                "finetune",
                "kind",
                "",
            )


def test_what_a_flow_is_not_given_may_be_told_by_the_rest():
    taken = Taken(Toy, one={"clips": "clip"}, fixed={"kinds": ("a",)}, told={"width": lambda given: len(given["clip"])})
    (width,) = [each for each in flow_parameters(taken)[0] if each.name == "width"]
    assert width.default == ""
    assert taken.made({"clip": "xyz", "width": "", "speed_s": 1.0}) == Toy(("xyz",), 1.0, 3, ("a",))
    assert taken.made({"clip": "xyz", "width": 8, "speed_s": 1.0}) == Toy(("xyz",), 1.0, 8, ("a",))


def test_a_flow_takes_one_of_several_calls_fields_otherwise_and_keeps_some_to_itself():
    taken = Taken(Toy, calls={"width": "columns"}, one={"clips": "clip"}, fixed={"kinds": ("a",)})
    parameters, told = flow_parameters(taken)
    assert [(p.name, p.annotation) for p in parameters] == [
        ("clip", str),
        ("root", str | None),
        ("speed_s", float),
        ("columns", int),
    ]
    assert "    clip: What is looked at, a path each." in told.splitlines()
    assert taken.made({"clip": "x", "columns": 9, "speed_s": 1.0}) == Toy(("x",), 1.0, 9, ("a",))


def test_names_are_choices_of_the_flow_and_are_checked_before_the_settings_are_made():
    pytest.importorskip("prefect")
    import flows
    from heads import HEADS

    shown = flows.fit.parameters.model_dump()["properties"]
    assert shown["head"]["enum"] == list(HEADS)
    assert "`ucf101-50`" in shown["protocol"]["description"]
    assert "enum" not in shown["protocol"]  # a file is one too
    extract = flows.extract.parameters.model_dump()["properties"]
    assert extract["precision"]["enum"] == ["fp32", "bf16"]
    assert extract["runner"]["enum"] == ["local", "dask"]
    assert {"auto", "kinetics", "ntu-25", "description"} < set(extract["layout"]["enum"])
    assert flows.finetune.parameters.model_dump()["properties"]["kind"]["enum"][0] == ""  # what the network learns from
    for flow in (flows.extract, flows.fit, flows.finetune, flows.finetune_and_judge, flows.chain):
        assert all(each["description"] for each in flow.parameters.model_dump()["properties"].values()), flow.name
    given = {"head": "nope", "dataset": "d", "feature": "f", "protocol": "truze"}
    with pytest.raises(UsageError, match="^No head is called 'nope'; there are: nearest, er,"):
        made(FitConfig, given)
    assert made(FitConfig, given | {"head": "er"}).head == "er"


@pytest.mark.parametrize("name", ["own-12", "own-25%", "ucf101-50", "ntu-nearest", "mine.json"])
def test_a_protocol_that_there_is_can_be_asked_for(name):
    given = {"head": "er", "dataset": "d", "feature": "f", "protocol": name}
    assert made(FitConfig, given).protocol == name
    if not name.endswith(".json"):
        assert protocol(name).name == name


@pytest.mark.parametrize("name", ["own-", "own-x", "own-12345", "own-5%%"])
def test_one_that_there_is_not_is_told_with_all_its_forms(name):
    with pytest.raises(UsageError, match=r"own-12 or own-25% \(so many unseen\)\. A JSON file"):
        made(FitConfig, {"head": "er", "dataset": "d", "feature": "f", "protocol": name})
