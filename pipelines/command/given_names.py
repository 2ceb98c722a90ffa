"""Names given on a command line, of which some may hold a comma.

Takes  the values of one option
Gives  the names: one value is split at commas, of several each is a name as it is, `@FILE` stands for its lines
"""

from collections.abc import Callable, Sequence

from pipelines.errors import UsageError
from pipelines.lines import Problem, lines, opened


def names(option: str, values: Sequence[str], told: Callable[[str], None] = lambda line: None) -> tuple[str, ...]:
    """The names that an option was given.

    Parameters
    ----------
    option : what it is called
    values : in their order
    told : is told where a comma was kept in a name

    Raises
    ------
    UsageError
        A file that cannot be read, or holds no name.

    Examples
    --------
    >>> names("--classes", ["juggling, welding"]), names("--classes", ["putting it up, then down", "welding"])
    (('juggling', 'welding'), ('putting it up, then down', 'welding'))
    """
    if len(values) == 1 and not values[0].startswith("@"):
        return tuple(filter(None, map(str.strip, values[0].split(","))))
    if kept := [value for value in values if "," in value and not value.startswith("@")]:
        shown = ", ".join(map(repr, kept))
        told(f"{option} stands more than once, so each is one name: {shown}. Given once, it is split at commas.")
    found: list[str] = []
    for value in values:
        found += _in_file(option, value[1:]) if value.startswith("@") else [value.strip()]
    return tuple(filter(None, found))


def _in_file(option: str, path: str) -> list[str]:
    found = []
    with opened(path) as stream:
        for entry in lines(stream):
            if isinstance(entry, Problem):
                raise UsageError(f"{path}, line {entry.line} {entry.reason}.")
            found.append(entry[1].strip())
    if not any(found):
        raise UsageError(f"{option} @{path}: the file holds no name. Write one a line.")
    return found
