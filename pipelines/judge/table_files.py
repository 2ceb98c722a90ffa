"""Tables of results as files say them: which runs stand in which row, before any of them is made.

tables/NAME.toml ─tables─▶ Table: title, Row: FitConfig a seed, and the backbone its feature comes from

[all]                settings that all rows share: fields of `FitConfig`
[all.backbone]       fields of `FinetuneConfig`: each protocol trains its own, on its seen classes, and a row whose
                     `feature` is of that network reads the features of those weights; with `protocol = "none"` one is
                     trained for all splits, on another data set (`dataset`, `judge`). A row's `backbone` adds to it
[[table]]            title, about, reference (a row's name), setting, all (as above); x, what rows are drawn over as
                     lines: "classes", "clusters" or "share" of `part`
each = [{...}, ...]  the table once for each of these settings; `title` may name them: "{protocol}"
row = [{...}, ...]   name, published, note, seeds (so many runs, of `seed`, 0 by default, and those after it); any
                     field of `FitConfig`, in whose texts {seed} is the seed; a `feature` with options is extracted;
                     over, values of the table's x: a row for each of them
                     of_dataset, options as published for the row's data set: not taken over to another
                     before, fields of `FinetuneConfig` of a training whose weights the backbone begins with
                     weights, of the feature: "random:0"
                     fuse, names of rows of the table whose runs are judged as one, seed by seed; it has no field of
                     `FitConfig`
                     as_published, true where the file's settings of the row are the paper's, so that only what is set
                     by hand departs from them; or a list of options that are, and are set too, and of what the
                     paper read (`encoder=sent2vec`), which is not set (also of `[all]`)
"""

import dataclasses
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import UsageError
from pipelines.learn import options
from pipelines.learn.departures import INPUTS, AsPublished
from pipelines.learn.parts import NO_PROTOCOL
from pipelines.learn.settings import FinetuneConfig, FitConfig
from untrusted import places
from untrusted.names import few

_FOLDER = Path(__file__).parent / "tables"
_ROW_FIELDS = (
    "name",
    "published",
    "note",
    "seeds",
    "of_dataset",
    "backbone",
    "before",
    "weights",
    "over",
    "as_published",
    "fuse",
)
_COUNTED = re.compile(r"(warmup|cosine)_steps=[1-9]")  # published counts, which mean nothing on other data
SETTINGS = ("zsl", "gzsl", "zsl+gzsl")
AXES = ("classes", "clusters", "share")


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes
    ----------
    name, published, note : as shown
    configs : of its runs, a seed each
    backbone : of the feature, where it has to be trained; else None
    differs : what was set by hand in place of the file's
    before : a training whose weights the backbone begins with
    weights : of the feature, where it is made for the row; empty: as the extractor has them
    fuse : names of the rows whose runs it is of, judged as one; it has the configurations of the one of most seeds
    as_published : what the file says was published of the row; None: what its head's paper has
    line, at : the line that it is a point of, and its place on the table's `x`; None where it is none
    """

    name: str
    published: str
    note: str
    configs: tuple[FitConfig, ...]
    backbone: FinetuneConfig | None
    differs: tuple[str, ...] = ()
    before: FinetuneConfig | None = None
    weights: str = ""
    line: str = ""
    at: float | None = None
    as_published: AsPublished | None = None
    fuse: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """A grid of runs.

    Attributes
    ----------
    title, about : of the table
    rows : in the order shown
    reference : name of the row that others are told from; empty: none
    setting : one of `SETTINGS`
    x : what of `part` the rows differ by, where they are drawn as lines; empty: they are not
    """

    title: str
    about: str
    rows: tuple[Row, ...]
    reference: str
    setting: str
    x: str = ""

    @property
    def settings(self) -> list[str]:
        """`zsl`, `gzsl` or both."""
        return self.setting.split("+")

    @property
    def measure(self) -> str:
        """What its rows are compared by."""
        return "harmonic_mean" if self.setting == "gzsl" else "top1"


def tables(name: str, set_by_hand: Mapping[str, Any] | None = None) -> list[Table]:
    """The tables of a file: one that comes with the code, by its name, or a user's, by its path.

    Parameters
    ----------
    name : of a table, or a path
    set_by_hand : settings of every row in place of the table's: another data set, fewer splits

    Raises
    ------
    UsageError
        No such file; a table that does not say what its runs are.
    """
    path = Path(name) if name.endswith(".toml") else _FOLDER / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in _FOLDER.glob("*.toml")))
        raise UsageError(f"No table is called {name!r}; there are: {known}. A path to a TOML file is taken too.")
    try:
        document = tomllib.loads(places.text_of(path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}.") from error
    found = []
    for table in document.get("table", []):
        for each in table.get("each", [{}]):
            shared = document.get("all", {}) | table.get("all", {}) | each
            x, by_hand = table.get("x", ""), set_by_hand or {}
            rows = _all_rows(path, shared, table.get("row", []), by_hand, x)
            title = table.get("title", path.stem).format_map(_Named(shared))
            reference, setting = table.get("reference", ""), table.get("setting", "zsl")
            found.append(Table(title, table.get("about", ""), rows, reference, setting, x))
            _check(path, found[-1])
    if not found:
        raise UsageError(f"{path} has no tables. One begins with [[table]].")
    return found


class _Named(dict[str, Any]):
    """Settings a title may name; what is none of them stays as it is written."""

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"


def _check(path: Path, table: Table) -> None:
    """What a table says of itself must fit its rows."""
    where, names = f"{path}: table {table.title!r}", [row.name for row in table.rows]
    if not names:
        raise UsageError(f"{where} has no rows.")
    if not all(names):
        raise UsageError(f"{where} has a row without a name.")
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise UsageError(f"{where} has several rows called {twice[0]!r}.")
    if table.reference and table.reference not in names:
        raise UsageError(
            f"{where} has no row {table.reference!r} to tell the others from; "
            f"it has: {few(names, like=table.reference)}."
        )
    if table.setting not in SETTINGS:
        raise UsageError(f"{where} is of the setting {table.setting!r}; there are: {', '.join(SETTINGS)}.")
    lacking = [row.name for row in table.rows if not row.configs[0].gzsl]
    if "gzsl" in table.setting and lacking:
        raise UsageError(f"{where} is of gzsl, which is not judged for {few(lacking)}: set gzsl = true.")


def _all_rows(
    path: Path, shared: Mapping[str, Any], rows: list[Mapping[str, Any]], set_by_hand: Mapping[str, Any], x: str
) -> tuple[Row, ...]:
    """The rows of a table in their order; those that fuse others as those are."""
    fitted = [list(_rows(path, shared, row, set_by_hand, x)) if "fuse" not in row else [] for row in rows]
    by_name = {made.name: made for some in fitted for made in some}
    found = []
    for row, made in zip(rows, fitted, strict=True):
        found += [_fused(path, row, by_name)] if "fuse" in row else made
    return tuple(found)


def _fused(path: Path, row: Mapping[str, Any], by_name: Mapping[str, Row]) -> Row:
    """A row of others, judged as one."""
    where, of = f"{path}: row {row.get('name', '?')!r}", row["fuse"]
    if strange := sorted(set(row) - {"name", "published", "note", "fuse"}):
        raise UsageError(f"{where} fuses others and sets {', '.join(strange)}: those are of the rows that it names.")
    if not isinstance(of, list) or len(of) < 2 or not all(name in by_name for name in of):
        raise UsageError(f"{where} fuses {of!r}: the names of two rows or more of its table: {few(by_name)}.")
    parts = [by_name[name] for name in of]
    most = max(parts, key=lambda part: len(part.configs))
    if any(len(part.configs) not in (1, len(most.configs)) for part in parts):
        raise UsageError(
            f"{where} fuses rows of other numbers of seeds: {', '.join(of)}. Give them the same, or one, which stands "
            "for all."
        )
    return dataclasses.replace(
        most,
        name=row.get("name", ""),
        published=row.get("published", ""),
        note=row.get("note", ""),
        fuse=tuple(of),
        line="",
        at=None,
    )


def _rows(
    path: Path, shared: Mapping[str, Any], row: Mapping[str, Any], set_by_hand: Mapping[str, Any], x: str
) -> Iterator[Row]:
    """The rows that a row of the file says: one, or one for each value that it is `over`."""
    if "over" not in row:
        yield _row(path, shared, row, set_by_hand)
        return
    if x not in AXES or not isinstance(row["over"], list):
        raise UsageError(
            f"{path}: row {row.get('name', '?')!r} is over {row['over']!r}: a list of values, of a table whose x is "
            f"{', '.join(AXES[:-1])} or {AXES[-1]}."
        )
    name = row.get("name", "")
    for value in row["over"]:
        part = [*shared.get("part", []), *row.get("part", []), f"{x}={value}"]
        own = _row(path, shared, {**row, "name": f"{name}, {x} {value}", "part": part}, set_by_hand)
        yield dataclasses.replace(own, line=name, at=float(value))


def _row(path: Path, shared: Mapping[str, Any], row: Mapping[str, Any], set_by_hand: Mapping[str, Any]) -> Row:
    where = f"{path}: row {row.get('name', '?')!r}"
    given = {k: v for k, v in (dict(shared) | dict(row)).items() if k not in _ROW_FIELDS}
    is_elsewhere = "dataset" in set_by_hand and set_by_hand["dataset"] != given.get("dataset")
    is_published = row.get("as_published", shared.get("as_published", False))
    if not isinstance(is_published, bool | list):
        raise UsageError(f"{where}: as_published should be true or a list of texts, got {is_published!r}.")
    given["options"] = []
    in_file = [o for field in ("of_dataset", "options") for each in (shared, row) for o in each.get(field, [])]
    for field in ("options",) if is_elsewhere else ("of_dataset", "options"):
        for some in (shared.get(field, []), row.get(field, [])):
            if not isinstance(some, list):
                raise UsageError(f"{where}: {field} should be a list of texts, got {some!r}.")
            given["options"] += some
    listed = options.pairs(is_published if isinstance(is_published, list) else ())
    own = {option.partition("=")[0] for option in given["options"]}
    given["options"] += [f"{k}={v}" for k, v in listed.items() if k not in (*own, *INPUTS)]
    file_says = given | {"options": in_file}
    differs = [f"{k} {v or 'none'} for {given[k]}" for k, v in set_by_hand.items() if given.get(k, v) != v]
    if is_elsewhere:
        given["options"] = [option for option in given["options"] if not _COUNTED.match(option)]
    given |= set_by_hand
    seeds, first = row.get("seeds", shared.get("seeds", 1)), given.pop("seed", 0)
    for name, value, least in (("seeds", seeds, 1), ("seed", first, 0)):
        if type(value) is not int or value < least:
            raise UsageError(f"{where}: {name} should be a whole number from {least} on, got {value!r}.")
    configs = [_config(where, FitConfig, _seeded(given, seed)) for seed in range(first, first + seeds)]
    published = None
    if is_published is True:
        inputs = _config(where, FitConfig, _seeded({k: v for k, v in file_says.items() if k != "seed"}, first))
        published = AsPublished(tuple(in_file), {name: (str(getattr(inputs, name)),) for name in INPUTS})
    elif listed:
        read = {k: (v,) for k, v in listed.items() if k in INPUTS}
        published = AsPublished(tuple(f"{k}={v}" for k, v in listed.items() if k not in INPUTS), read)
    return Row(
        row.get("name", ""),
        row.get("published", ""),
        row.get("note", ""),
        tuple(configs),
        backbone := _backbone(where, shared, row, configs[0]),
        tuple(differs),
        _before(where, row, backbone),
        row.get("weights", ""),
        as_published=published,
    )


def _backbone(
    where: str, shared: Mapping[str, Any], row: Mapping[str, Any], config: FitConfig
) -> FinetuneConfig | None:
    """The training that a row's feature asks for: where the feature is of the backbone's network."""
    parts = [each["backbone"] for each in (shared, row) if "backbone" in each]
    if not parts:
        return None
    given = {name: value for part in parts for name, value in (part if isinstance(part, dict) else {}).items()}
    if "model" not in given:
        raise UsageError(f'{where}: backbone should say its model, {{ model = "stgcn_small" }}, got {parts[-1]!r}.')
    taken = ("part", "device", "dataset", "protocol", "splits", "set", "gzsl")
    own = {name: getattr(config, name) for name in (taken[:2] if given.get("protocol") == NO_PROTOCOL else taken)}
    if own.get("set") == config.dataset:
        own["set"] = ""
    found: FinetuneConfig = _config(f"{where}: backbone", FinetuneConfig, own | given)
    return found if config.feature.partition(":")[0] == found.model else None


def _before(where: str, row: Mapping[str, Any], backbone: FinetuneConfig | None) -> FinetuneConfig | None:
    """The training before: as the backbone's, of all classes, but for what is said."""
    if backbone is None or "before" not in row:
        return None
    own = {name: getattr(backbone, name) for name in ("model", "device", "precision", "frames", "options")}
    own = {name: value for name, value in own.items() if value is not None}
    before: FinetuneConfig = _config(
        f"{where}: before", FinetuneConfig, own | {"protocol": NO_PROTOCOL} | row["before"]
    )
    return before


def _seeded(given: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The settings with this seed, and {seed} filled in."""

    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(each) for each in value]
        return value.replace("{seed}", str(seed)) if isinstance(value, str) else value

    return {name: filled(value) for name, value in given.items()} | {"seed": seed}


def _config(where: str, kind: Any, given: Mapping[str, Any]) -> Any:
    """A configuration of what a file says, each value of its field's type."""
    fields = typing.get_type_hints(kind)
    if strange := sorted(set(given) - set(fields)):
        raise UsageError(f"{where} sets {', '.join(strange)}; known: {', '.join(fields)}.")
    needed = {f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING}
    if lacking := sorted((needed | ({"protocol"} & set(fields))) - set(given)):
        raise UsageError(f"{where} does not say its {', '.join(lacking)}.")
    typed: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    for field, value in typed.items():
        hint = fields[field]
        if isinstance(hint, types.UnionType):  # of what may be left out
            hint = typing.get_args(hint)[0]
        wanted = typing.get_origin(hint) or hint
        known = (int, float) if wanted is float else (wanted,)
        if not isinstance(value, known) or (isinstance(value, bool) and wanted is not bool):
            raise UsageError(f"{where}: {field} should be {wanted.__name__}, got {value!r}.")
        if isinstance(value, tuple) and (strange := [each for each in value if not isinstance(each, str)]):
            raise UsageError(f"{where}: {field} should be texts, got {strange[0]!r}.")
    return kind(**typed)
