"""Tables joined in memory: DuckDB, on the thread that asks; for questions of a stranger, with all doors shut.

With threads of its own DuckDB lets the asking one spin until they are done. Where as many processes join at once as
there are cores, the spinning ones can keep the cores from those threads for as long as they like: two workers of a fit
stood still for an hour. On one thread there is nobody to wait for, and joins of 650,000 keys are a sixth faster.
"""

from typing import TypeAlias

import duckdb

Connection: TypeAlias = duckdb.DuckDBPyConnection
Fault = duckdb.Error  #: what DuckDB raises
_SHUT = {
    "enable_external_access": "false",  # no file, no network, no attached data base
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # a name in a query is no variable of ours
    "temp_directory": "",
}


def in_memory() -> Connection:
    """An empty data base that nobody else sees, to be closed (`with`) when the answer is there."""
    return duckdb.connect(config={"threads": 1})


def shut_in(memory_bytes: int = 0) -> Connection:
    """The same for a query that somebody typed: it sees what is registered, and can neither read nor write elsewhere.

    Parameters
    ----------
    memory_bytes : it may take so much; 0: four fifths of what there is
    """
    limit = {"memory_limit": f"{memory_bytes}B"} if memory_bytes else {}
    connection = duckdb.connect(config={"threads": 1, **_SHUT, **limit})
    connection.execute("set lock_configuration = true")
    return connection


def refuse_no_condition(text: str) -> None:
    """Raise `Fault` where a text is not one expression."""
    duckdb.SQLExpression(text)


def statements(text: str) -> list[str]:
    """The statements of a text; raises `Fault` where it is no SQL."""
    return [statement.query for statement in duckdb.extract_statements(text)]
