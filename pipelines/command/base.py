"""What all commands share: the app, options that come from a stage's settings, and a mistake in one line.

dataclass ──command──▶ options ─▶ typed ─▶ settings ──function──▶ Shown ──▶ tables and lines, or one JSON object
"""

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.command.screen import Shown, say, show
from pipelines.settings import Setting, made, settings_of

if TYPE_CHECKING:
    from stores.root import Root

ROOT = "./zsar-data"
_BY_NAME = {"options", "tune"}  # lists of NAME=VALUE
_RECIPES = Path(__file__).parents[1] / "learn" / "recipes"  # of published trainings, each TOML

app = typer.Typer(
    name="zsar",
    help="Compute features of videos once, keep them, find them again by their key.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="A first look: `zsar demo`. A data set: `zsar index`, `zsar extract`, `zsar list features`.",
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"zsar {version('zsar')}")
        raise typer.Exit


@app.callback()
def _of_all(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is, and stop.")
    ] = False,
    most_memory: Annotated[
        str | None,
        typer.Option(help="What one file may take, as 64GB; else a quarter of this machine's ($ZSAR_MOST_MEMORY)."),
    ] = None,
) -> None:
    """Compute features of videos once, keep them, find them again by their key."""
    from untrusted.limits import VARIABLE, size_of

    told = most_memory or os.environ.get(VARIABLE)
    if told is None:
        return
    try:
        size_of(told)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--most-memory") from error
    os.environ[VARIABLE] = told  # for the processes that this one starts, too


def _from_toml(context: typer.Context, path: Path | None) -> Path | None:
    """`--config F.toml`: what it says stands where no option was given; a recipe that comes along is named."""
    if path is None:
        return None
    import tomllib

    from untrusted import places

    shipped = {each.stem: each for each in _RECIPES.glob("*.toml")}
    path = path if path.suffix or path.name not in shipped else shipped[path.name]
    try:
        settings = tomllib.loads(places.text_of(path))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        names = "" if path.suffix else f". Recipes that come along: {', '.join(sorted(shipped))}"
        raise typer.BadParameter(f"{path} cannot be read as TOML: {error}{names}") from error
    known = {parameter.name for parameter in context.command.params}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise typer.BadParameter(f"{path} sets {', '.join(unknown)}; known: {', '.join(sorted(filter(None, known)))}")
    context.default_map = {**(context.default_map or {}), **settings}
    return path


RootOption = Annotated[
    str, typer.Option("--root", envvar="ZSAR_ROOT", help="The cache: a folder, or s3://, gs://, az:// URL.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        callback=_from_toml,
        is_eager=True,
        help="TOML of options, or a recipe (e2e); those given by hand win, of --option and --tune name by name.",
    ),
]


def command(
    name: str, kind: type | None = None, group: typer.Typer = app, root: str = ROOT, shared: bool = False
) -> Callable[[Callable[..., Shown]], Callable[..., Shown]]:
    """Make a command of a function of (settings, root, *, options of its own), or of (root, *, ...) without settings.

    Parameters
    ----------
    name : str
        What it is called.
    kind : type, optional
        The dataclass of its stage's settings: its fields become arguments and options, and keys of `--config`.
    group : typer.Typer, optional
        Of which it is a command.
    root : str
        Where the cache is, if neither `--root` nor `$ZSAR_ROOT` says it.
    shared : bool
        Whether several processes can do it as one (`torchrun`); the first of them shows what came of it.
    """

    def register(function: Callable[..., Shown]) -> Callable[..., Shown]:
        told = settings_of(kind) if kind else ()
        own = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]

        @functools.wraps(function)
        def run(**typed: Any) -> None:
            as_json = typed["as_json"]
            rest = {p.name: typed[p.name] for p in own}

            def work() -> Shown:
                if not shared:
                    _refuse_several(name)
                settings = [made(kind, typed | _joined(typed))] if kind else []
                return function(*settings, open_root(typed["root"]), **rest)

            shown = in_one_line(work, as_json)
            if _rank():
                return
            show(shown, as_json)
            if shown.status:
                raise typer.Exit(shown.status)

        parameters = [_parameter(setting) for setting in told] + own
        parameters += [_last("root", RootOption, root), _last("as_json", JsonOption, False)]
        if kind:
            parameters.append(_last("config", ConfigOption, None))
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        group.command(name, help=_unmarked(inspect.getdoc(function) or ""))(run)
        return function

    return register


def _joined(typed: Mapping[str, Any]) -> dict[str, list[str]]:
    """Lists of `NAME=VALUE` where a file has some and others are given by hand: of one name, what was given wins."""
    if typed.get("config") is None:
        return {}
    import tomllib

    of_file, found = tomllib.loads(typed["config"].read_text()), {}
    for name in _BY_NAME & set(of_file) & set(typed):
        given = list(typed[name] or ())
        names = {each.partition("=")[0] for each in given}
        found[name] = [each for each in of_file[name] if each.partition("=")[0] not in names] + given
    return found


def _unmarked(told: str) -> str:
    """A help whose brackets are brackets: `[text, ...]` is no markup of Rich."""
    return told.replace("[", "\\[")


def _rank() -> int:
    from pipelines.machine import processes

    return processes().rank


def _refuse_several(name: str) -> None:
    from pipelines.errors import UsageError
    from pipelines.machine import processes

    if (started := processes().world) > 1:
        raise UsageError(f"{started} processes were started, and `{name}` is done by one: run it without torchrun.")


def _parameter(setting: Setting) -> inspect.Parameter:
    """A setting as Typer takes it."""
    said: Any
    if setting.is_argument:
        said = typer.Argument(help=setting.help)
    else:
        said = typer.Option(setting.option, help=setting.help)
    kind: Any = list[str] if setting.is_several else setting.type
    default = inspect.Parameter.empty if setting.is_required else setting.default
    if setting.is_several and not setting.is_required:
        kind, default = list[str] | None, list(setting.default) or None
    return _last(setting.name, Annotated[kind, said], default)


def _last(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _user_errors() -> tuple[type[Exception], ...]:
    from extractors.errors import ExtractorError, InputFault
    from pipelines.errors import UsageError
    from stores.errors import StoreError

    return UsageError, StoreError, ExtractorError, InputFault


def in_one_line(work: Callable[[], Shown], as_json: bool) -> Shown:
    """What the work gives; a user's mistake becomes one line and an exit status."""
    try:
        return work()
    except KeyboardInterrupt:
        _fail("Stopped. What was handed over is committed; run the same command again to go on.", as_json)
        raise typer.Exit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except _user_errors() as error:
        _fail(f"zsar: {error}", as_json, str(error))
        raise typer.Exit(1) from error
    except OSError as error:
        from pipelines.errors import refused

        if not (told := refused(error)):
            raise
        _fail(f"zsar: {told}", as_json, told)
        raise typer.Exit(1) from error


def _fail(line: str, as_json: bool, error: str | None = None) -> None:
    """One line on stderr, and with `--json` an object on stdout."""
    say(line)
    if as_json and not _rank():
        print(json.dumps({"error": error or line}))


def open_root(url: str) -> "Root":
    """The root that `--root` names."""
    from stores.root import Root

    return Root(url)


def without_zeros(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Leave out the counts that are nought: `missing`, `quarantined` and their like appear only when there are any."""
    return {name: value for name, value in fields.items() if name not in names or value}
