"""Elaborations: `name: definition` of each class, as one text (ER's elaborated description, "ED").

Takes  the classes and definitions of a set
Gives  texts of kind `elaboration`, one a class: its readable name, and its definitions where it has any

Paper: Elaborative Rehearsal, ICCV 2021; METHODS section 3.
"""

import pyarrow as pa

from stores.classes import Classes
from stores.keys import KEY_BYTES, text_key
from stores.root import Root
from stores.texts import Texts

KIND = "elaboration"


def elaborated(name: str, root: Root) -> dict[str, str]:
    """The elaboration of each class as things stand now."""
    table, texts = Classes(root).read(name), Texts(root, name)
    definitions: dict[str, list[str]] = {}
    if texts.parts():
        for row in texts.read(["class", "text"], ("definition",)).to_pylist():
            definitions.setdefault(row["class"], []).append(row["text"])
    return {
        spelled: ": ".join([readable, *([" ".join(definitions[spelled])] if spelled in definitions else [])])
        for spelled, readable in zip(table["name"].to_pylist(), table["readable"].to_pylist(), strict=True)
    }


def elaborate(name: str, root: Root) -> dict[str, bytes]:
    """Add the elaborations a set lacks; returns the key of each class's as things stand now."""
    texts = Texts(root, name)
    by_class = elaborated(name, root)
    names, told = list(by_class), list(by_class.values())
    keys = [text_key(text) for text in told]
    count = len(names)
    with root.lock(f"texts-{name}"), texts.adding() as adding:
        adding.rows(
            pa.table(
                {
                    "key": pa.array(keys, pa.binary(KEY_BYTES)),
                    "text": told,
                    "kind": [KIND] * count,
                    "class": names,
                    "part": [""] * count,
                    "source": ["name: definition"] * count,
                    "line": pa.array([0] * count, pa.int64()),
                }
            )
        )
    return dict(zip(names, keys, strict=True))
