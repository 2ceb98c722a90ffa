"""Tables joined in memory: DuckDB, on the thread that asks.

With threads of its own DuckDB lets the asking one spin until they are done. Where as many processes join at once as
there are cores, the spinning ones can keep the cores from those threads for as long as they like: two workers of a fit
stood still for an hour. On one thread there is nobody to wait for, and joins of 650,000 keys are a sixth faster.
"""

from typing import TypeAlias

import duckdb

Connection: TypeAlias = duckdb.DuckDBPyConnection


def in_memory() -> Connection:
    """An empty data base that nobody else sees, to be closed (`with`) when the answer is there."""
    return duckdb.connect(config={"threads": 1})
