"""Phrases: the atomic actions of each class, shared between classes (JigsawNet).

Run    `zsar texts phrases --set ucf101`
Takes  the definitions of a set's classes, or their names where there are none; a file of corrections
Gives  `phrases/SET.parquet` (phrase, class); the phrases as texts of kind `phrase`, to be encoded; a page of which
       classes share which

The table is written anew each time; phrases that a correction removed stay encoded and are in no table.

Paper: JigsawNet, section 3.2; METHODS section 4.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa

from extractors import verb_phrases
from pipelines.pages.page import render
from pipelines.texts.settings import PhrasesConfig
from stores.classes import Classes
from stores.keys import KEY_BYTES, text_key
from stores.root import Root
from stores.texts import Texts

_FOLDER = "phrases"
SCHEMA = pa.schema(
    [("key", pa.binary(KEY_BYTES)), ("phrase", pa.string()), ("lemmas", pa.string()), ("class", pa.string())]
)


@dataclasses.dataclass(frozen=True)
class PhrasesReport:
    """The phrases of a set.

    Attributes
    ----------
    classes, phrases, shared : classes; different phrases; those that more than one class has
    from_names : classes without a definition, whose name was parsed
    new : phrases that no class of the set had before
    top : the most shared phrases with their classes
    page : URL of the picture
    """

    classes: int
    phrases: int
    shared: int
    from_names: int
    new: int
    top: tuple[tuple[str, tuple[str, ...]], ...]
    page: str


def phrases(config: PhrasesConfig, root: Root) -> PhrasesReport:
    """Parse a set's classes into phrases.

    Raises
    ------
    NotInStore
        No such set.
    WeightsMissing
        No English parser is installed.
    ExtractorError
        The corrections cannot be read, or name a class that is not in the set.
    """
    table = Classes(root).read(config.set)
    names = table["name"].to_pylist()
    said = Texts(root, config.set).read(["class", "text"], ("definition",)).to_pylist()
    definitions: dict[str, list[str]] = {}
    for row in said:
        definitions.setdefault(row["class"], []).append(row["text"])
    readable = table["readable"].to_pylist()
    texts = [". ".join([name, *definitions.get(spelled, [])]) for spelled, name in zip(names, readable, strict=True)]
    parser = verb_phrases.load_parser()
    parsed = verb_phrases.verb_phrases(texts, parser)
    if config.corrections:
        parsed = verb_phrases.Corrections.read(Path(config.corrections)).apply(names, parsed)
    shared = verb_phrases.shared(parsed)
    keys = [text_key(phrase.text) for phrase in shared.phrases]
    pairs = [(keys[p], shared.phrases[p], names[k]) for p, k in shared.phrase_class]
    columns = [
        pa.array([key for key, _, _ in pairs], pa.binary(KEY_BYTES)),
        pa.array([phrase.text for _, phrase, _ in pairs], pa.string()),
        pa.array([phrase.key for _, phrase, _ in pairs], pa.string()),
        pa.array([name for _, _, name in pairs], pa.string()),
    ]
    with root.lock(f"texts-{config.set}"), Texts(root, config.set).adding() as adding:
        root.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), _FOLDER, f"{config.set}.parquet")
        adding.rows(_as_texts(columns, verb_phrases.parser_digest(parser)))
        new = adding.texts
    by_phrase = [(phrase.text, tuple(names[k] for k in shared.classes(p))) for p, phrase in enumerate(shared.phrases)]
    most = sorted((row for row in by_phrase if len(row[1]) > 1), key=lambda row: (-len(row[1]), row[0]))
    page = _page(config.set, names, by_phrase, root)
    return PhrasesReport(
        len(names), len(keys), len(most), sum(name not in definitions for name in names), new, tuple(most), page
    )


def read(root: Root, name: str) -> pa.Table:
    """The phrases of a set: key, phrase, lemmas, class; a row a pair, in the order of the classes."""
    return root.read_table(_FOLDER, f"{name}.parquet")


def _as_texts(columns: list[pa.Array], source: str) -> pa.Table:
    count = len(columns[0])
    fixed = {"kind": "phrase", "part": "", "source": source}
    return pa.table(
        {"key": columns[0], "text": columns[1], "class": columns[3], "line": pa.array([0] * count, pa.int64())}
        | {name: pa.array([value] * count, pa.string()) for name, value in fixed.items()}
    )


def _page(name: str, classes: list[str], by_phrase: list[tuple[str, tuple[str, ...]]], root: Root) -> str:
    """Which classes share phrases, and how many, as a matrix and a list."""
    number = {spelled: k for k, spelled in enumerate(classes)}
    together = np.zeros((len(classes), len(classes)), int)
    for _, own in by_phrase:
        rows = [number[spelled] for spelled in own]
        together[np.ix_(rows, rows)] += 1
    np.fill_diagonal(together, 0)
    linked = [k for k in np.argsort(-together.sum(1), kind="stable") if together[k].any()]
    cells = [
        {"x": x, "y": y, "count": int(together[a, b]), "a": classes[a], "b": classes[b]}
        for y, a in enumerate(linked)
        for x, b in enumerate(linked)
        if together[a, b]
    ]
    html = render(
        "phrases",
        name=name,
        classes=len(classes),
        linked=[classes[k] for k in linked],
        cells=cells,
        most=int(together.max(initial=1)) or 1,
        shared=sorted((row for row in by_phrase if len(row[1]) > 1), key=lambda row: (-len(row[1]), row[0])),
        phrases=len(by_phrase),
        by_class={k: [phrase for phrase, own in by_phrase if k in own] for k in classes},
    )
    return root.write_text(html, "reports", f"phrases-{name}.html")
