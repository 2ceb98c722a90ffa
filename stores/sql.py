"""SQL over tables in memory: what a query names, and its answer.

    text ──named──▶ tables and columns ──whoever has these──▶ pa.Table each ──ask──▶ pa.Table

A query is one statement that reads. It sees the tables it is given and nothing else: no file, no network, no variable
of this process (`joins.shut_in`). What it names is read from its parse tree, so that only this has to be made.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from stores import joins
from stores.errors import BadQuery


class Named(NamedTuple):
    """What a query names.

    Attributes
    ----------
    tables : lower-case names of tables, as often as they stand there
    columns : lower-case names of columns; a whole row by the name of its table is one
    every_column : whether it may read columns that it does not name (`*`, `columns(...)`, a row as a whole)
    only_schema : whether it asks for columns and types alone
    """

    tables: tuple[str, ...]
    columns: frozenset[str]
    every_column: bool
    only_schema: bool

    def reads(self, column: str) -> bool:
        """Whether it may read a column."""
        return self.every_column or column.lower() in self.columns


def named(text: str) -> Named:
    """What a query names; nothing of it is run.

    Raises
    ------
    BadQuery
        No SQL, several statements, or one that does not read.
    """
    with joins.shut_in() as connection:
        try:
            found = joins.statements(text)
            if len(found) != 1:
                raise BadQuery(f"A query is one statement, got {len(found)}. Give them one after another.")
            row = connection.execute("select json_serialize_sql(?::varchar)", [text]).fetchall()[0]
        except joins.Fault as error:
            raise BadQuery(in_a_line(error)) from error
    tree = json.loads(row[0])
    if tree["error"]:
        raise BadQuery(f"A query reads: it begins with select, with or from. Got: {' '.join(text.split())[:80]!r}.")
    nodes = list(_nodes(tree))
    tables = [node for node in nodes if node.get("table_name")]
    aliases = {str(name).lower() for node in tables for name in (node["table_name"], node.get("alias")) if name}
    columns = {str(node["column_names"][-1]).lower() for node in nodes if node.get("column_names")}
    columns |= {str(name).lower() for node in nodes for name in node.get("using_columns") or ()}
    shown = [node for node in nodes if node.get("type") == "SHOW_REF"]
    return Named(
        tuple(str(node["table_name"]).lower() for node in tables),
        frozenset(columns),
        bool(shown) or any(node.get("class") == "STAR" for node in nodes) or bool(columns & aliases),
        bool(shown) and all(node.get("show_type") == "DESCRIBE" for node in shown),
    )


def ask(text: str, tables: Mapping[str, pa.Table], hint: str = "") -> pa.Table:
    """The answer to a query over these tables.

    Parameters
    ----------
    text : SQL
    tables : by the names the query may use
    hint : what to say to whoever names a table or a column that there is not

    Raises
    ------
    BadQuery
        It cannot be answered; the message is one line.
    """
    with joins.shut_in() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        try:
            return connection.execute(text).to_arrow_table()
        except joins.Fault as error:
            unknown = type(error).__name__ in ("CatalogException", "BinderException")
            raise BadQuery(in_a_line(error) + (f" {hint}" if unknown and hint else "")) from error


def refuse_no_condition(text: str) -> None:
    """Refuse what is not one condition.

    Raises
    ------
    BadQuery
        Its message is one line.
    """
    try:
        joins.refuse_no_condition(text)
    except joins.Fault as error:
        raise BadQuery(f"{text!r} is no condition: {in_a_line(error)}") from error


def in_a_line(error: Exception) -> str:
    """What DuckDB says, without its drawing of the place."""
    told = str(error).split("\n\nLINE ")[0].split("\n")
    line = " ".join(part.strip() for part in told if part.strip() and "pg_" not in part)
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a parse tree."""
    if isinstance(tree, dict):
        yield tree
    if isinstance(tree, dict | list):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _nodes(part)
