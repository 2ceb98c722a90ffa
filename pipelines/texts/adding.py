"""Texts about classes: read, linked to a set's classes, kept once.

Run    `zsar texts add definitions.json --kind definition --set ucf101`, `zsar texts add delivery.jsonl.gz ...`
Takes  files of class names, definitions, descriptions, phrases (`files.py`)
Gives  the class table and the texts of a set; how many were new, duplicate, linked to no class, and what was wrong

Descriptions stream: memory holds the keys of the set and one batch, whatever the size of the files.
"""

import dataclasses
import itertools
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator

import pyarrow as pa

from extractors.names import canonical, readable, unspaced
from pipelines.errors import UsageError
from pipelines.lines import Problem
from pipelines.texts import files
from pipelines.texts.files import Record
from pipelines.texts.settings import TextsConfig
from stores import classes as class_tables
from stores.classes import Classes
from stores.keys import text_key
from stores.manifest import Manifest
from stores.root import Root, checked_name
from stores.texts import KINDS, Adding, Texts

_AT_ONCE = 20_000
_MOST_PROBLEMS = 1000
_APOSTROPHES = dict.fromkeys("`\u00b4\u02b9\u02bc\u2018\u2019\u201b\u2032\uff07", "'")


@dataclasses.dataclass(frozen=True)
class TextsReport:
    """How an addition went; `read` = `new` + `duplicate` + `unlinked`.

    Attributes
    ----------
    read : texts (or class names) read without fault
    new, duplicate : linked ones that the set lacked, and that it had or that came twice
    unlinked : texts of a class that the set does not have
    texts : new texts that no class of the set had yet: what there is to encode
    classes : classes that got new texts
    bad : records that could not be read
    unlinked_names : the classes they name, with how often
    problems : file, line and reason of the first 1,000 records that could not be read
    left_out : fields beside a description, with how often: they are taken to be about it and not about its class; of
        a list of classes all that is not a name
    """

    read: int
    new: int
    duplicate: int
    unlinked: int
    texts: int
    classes: tuple[str, ...]
    bad: int
    unlinked_names: dict[str, int]
    problems: tuple[tuple[str, int, str], ...]
    left_out: dict[str, int]


class Linker:
    """Finds the class of a set that a name means: by its spelling, its words, its canonical name, or that in one piece.

    One piece, because hands differ in `hand stand` and `handstand`; last of all without what no eye sees. A form that
    two classes share means neither.
    """

    def __init__(self, table: pa.Table) -> None:
        names = table["name"].to_pylist()
        self._by: list[tuple[Callable[[str], str], dict[str, str | None]]] = [
            (str, dict(zip(names, names, strict=True))),
            (readable, _unique(table["readable"].to_pylist(), names)),
            (canonical, _unique(table["canonical"].to_pylist(), names)),
            (unspaced, _unique(list(map(unspaced, names)), names)),
            (_plain, _unique(list(map(_plain, names)), names)),
        ]
        self._known: dict[str, str | None] = {}

    def __call__(self, name: str) -> str | None:
        """The class, or None."""
        if name not in self._known:
            found = (by.get(form(name)) for form, by in self._by)
            self._known[name] = next(filter(None, found), None)
        return self._known[name]


def _plain(name: str) -> str:
    """The form in one piece of a name as a keyboard writes it.

    Ligatures and wide letters of PDFs as letters, any mark that stands for an apostrophe as one, and no soft hyphen,
    joiner or space of no width.
    """
    written = unicodedata.normalize("NFKC", "".join(_APOSTROPHES.get(character, character) for character in name))
    return unspaced("".join(character for character in written if unicodedata.category(character) != "Cf"))


def _unique(forms: list[str], names: list[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for form, name in zip(forms, names, strict=True):
        found[form] = None if form in found else name
    return found


def add(config: TextsConfig, root: Root, advance: Callable[[int], None] = lambda read: None) -> TextsReport:
    """Read files into a set.

    Raises
    ------
    UsageError
        No such file, no such kind, or nothing in the files that is of this kind.
    NotInStore
        Descriptions or phrases of a set that has no classes yet.
    WriteFailed
        Nothing of this call is in the store.
    """
    if config.kind not in KINDS:
        raise UsageError(f"A text is of the kind {', '.join(KINDS)}, got {config.kind!r}.")
    with root.lock(f"texts-{checked_name(config.set)}"):  # one addition to a set at a time
        return _add_all(config, root, advance)


def _add_all(config: TextsConfig, root: Root, advance: Callable[[int], None]) -> TextsReport:
    records = _Records(config)
    stream, brought = iter(records), []
    if config.kind in ("class", "definition"):  # small files, which bring the classes
        all_of_them = list(stream)
        if not all_of_them:
            found = "{}, line {} {}".format(*records.problems[0]) if records.bad else "a class a line is expected"
            raise UsageError(f"Nothing can be read of {', '.join(config.files)}: {found}. JSON and CSV are read too.")
        brought = _name_classes(config, root, [record.name for _, record in all_of_them])
        stream = iter(all_of_them)
    linker = Linker(Classes(root).read(config.set)) if config.kind != "object" else None
    read = 0
    unlinked: Counter[str] = Counter()
    touched: dict[str, None] = {}
    with Texts(root, config.set).adding() as adding:
        while batch := list(itertools.islice(stream, _AT_ONCE)):
            read += len(batch)
            linked = [(path, record, linker(record.name) if linker else record.name) for path, record in batch]
            unlinked.update(record.name for _, record, name in linked if name is None)
            there = [(path, record, name) for path, record, name in linked if name]
            _add(adding, config.kind, there, touched, config.part)
            advance(read)
        new, duplicate = adding.new, adding.duplicate
        if config.kind == "definition":  # the names of the classes that came with them are texts too
            _add(adding, "class", [(config.files[0], Record(name, "", "", 0), name) for name in brought], {})
        texts = adding.texts
    return TextsReport(
        read,
        new,
        duplicate,
        sum(unlinked.values()),
        texts,
        tuple(touched),
        records.bad,
        dict(unlinked),
        tuple(records.problems),
        dict(records.left_out),
    )


class _Records:
    """The records of the files that are of the kind asked for; what is wrong with the others is kept."""

    def __init__(self, config: TextsConfig) -> None:
        self._config = config
        self.bad = 0
        self.problems: list[tuple[str, int, str]] = []
        self.left_out: Counter[str] = Counter()

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        for path in itertools.chain.from_iterable(map(files.files_of, self._config.files)):
            last = (0, "")
            for record in files.read(path, self._config.encoding):
                if isinstance(record, Problem):
                    self._refuse(path, *record)
                elif self._config.kind == "class":
                    if record.text:
                        self.left_out[record.part or "text"] += 1
                    if (record.line, record.name) != last:  # an entry is a class once, whatever it tells
                        yield path, Record(record.name, "", "", record.line)
                    last = (record.line, record.name)
                elif self._config.kind == "description" and record.beside:
                    self.left_out[record.part] += 1
                elif not record.text:
                    self._refuse(path, record.line, f"holds no text for {record.name!r}")
                else:
                    yield path, record

    def _refuse(self, path: str, line: int, why: str) -> None:
        self.bad += 1
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append((path, line, why))


def link(name: str, dataset: str, root: Root) -> dict[str, str | None]:
    """Each label of a data set's videos with the class of a set that it means, or None.

    Raises
    ------
    NotInStore
        No such set, or no such data set.
    """
    linker = Linker(Classes(root).read(name))
    labels = Manifest(root).read(dataset, ["label"])["label"].drop_null().unique().to_pylist()
    return {label: linker(label) for label in sorted(labels)}


def _name_classes(config: TextsConfig, root: Root, names: list[str]) -> list[str]:
    """Put new classes into the table of the set and return them; definitions bring some only where there are none."""
    store = Classes(root)
    there = store.rows(config.set)
    if config.kind == "definition" and there.num_rows:
        return []
    means = Linker(there)  # another spelling of a class that is there is no new one
    fresh = [name for name in dict.fromkeys(names) if means(name) is None]
    columns = {"name": fresh, "readable": list(map(readable, fresh)), "canonical": list(map(canonical, fresh))}
    if fresh:
        store.write(config.set, pa.concat_tables([there, pa.table(columns, schema=class_tables.SCHEMA)]))
    return fresh


def _add(
    adding: Adding, kind: str, rows: list[tuple[str, Record, str]], touched: dict[str, None], part: str = ""
) -> None:
    texts = [readable(name) if kind == "class" else record.text for _, record, name in rows]
    table = pa.table(
        {
            "key": pa.array([text_key(text) for text in texts], pa.binary(32)),
            "text": pa.array(texts, pa.string()),
            "kind": pa.array([kind] * len(rows), pa.string()),
            "class": pa.array([name for _, _, name in rows], pa.string()),
            "part": pa.array([record.part or part for _, record, _ in rows], pa.string()),
            "source": pa.array([path for path, _, _ in rows], pa.string()),
            "line": pa.array([record.line for _, record, _ in rows], pa.int64()),
        }
    )
    touched.update(dict.fromkeys(adding.rows(table)))
