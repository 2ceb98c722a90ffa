"""The names that commands take, each with what it is: `zsar list extractors`, `heads`, `protocols`, `layouts`.

What a class is stands in the first line of its docstring, which is read from its file: nothing is imported for it.
"""

import ast
import functools
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

import extractors
import heads
from extractors import joints
from pipelines.index.layouts.reading import LAYOUTS
from pipelines.learn.protocols.protocols import names, protocol

_Rows = list[dict[str, str | int]]


def _classes(table: Mapping[str, str]) -> _Rows:
    """Each name of a table `name -> module:Class` with the first line of the class's docstring."""
    return [{"name": name, "what": _told(*where.split(":"))} for name, where in table.items()]


@functools.cache
def _told(module: str, name: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        return ""
    tree = ast.parse(Path(spec.origin).read_text())
    own = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)
    return ((ast.get_docstring(own) if own else None) or "").partition("\n")[0]


def _protocols() -> _Rows:
    found = [protocol(name) for name in names()]
    return [{"name": each.name, "of": each.dataset, "splits": each.count, "source": each.source} for each in found]


def _layouts() -> _Rows:
    of_videos: _Rows = [{"name": name, "of": "videos"} for name in ("auto", *LAYOUTS)]
    return of_videos + [
        {"name": each.name, "of": f"joints of poses, {len(each.joints)} of them"} for each in joints.LAYOUTS.values()
    ]


KNOWN: dict[str, Callable[[], _Rows]] = {
    "extractors": lambda: _classes(extractors.EXTRACTORS),
    "heads": lambda: _classes(heads.HEADS),
    "protocols": _protocols,
    "layouts": _layouts,
}
