"""Decides which rows stay in the catalog: small batches, so that small syncs leave no small files.

DuckLake 1.0 keeps nested values there as text, and DuckDB 1.5 cannot read all that it writes as text (duckdb issue
23364): one } in a label, and the whole table could be read no more. Rows with such a value go to a file instead.

The exit: once a DuckLake wheel comes with a DuckDB that has the repair, all of this is one setting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb

INLINED_ROWS = 100
# DuckLake asks this of the session at each INSERT, unless the catalog itself has an option for it.
LIMIT = "ducklake_default_data_inlining_row_limit"
OPTION = "data_inlining_row_limit"
NESTED = ("STRUCT(", "MAP(")


def inline_small_batches(connection: duckdb.DuckDBPyConnection, rows: int = INLINED_ROWS) -> None:
    """Keep batches of up to so many rows in the catalog, from here on."""
    connection.execute(f"SET {LIMIT} = {rows}")


def forget_inlining_option(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove what earlier versions said of inlining in a catalog, which outweighs the session; once attached anew."""
    connection.execute(f"DELETE FROM __ducklake_metadata_lake.ducklake_metadata WHERE key = '{OPTION}'")


def write_apart(
    connection: duckdb.DuckDBPyConnection, rows: str, write: Callable[[str], int], *, number: int = 0
) -> int:
    """Call `write` with a condition (SQL) on `rows`: once, or for those that must go to a file and for the others.

    Returns the sum of what it returns. `rows` and `number` are those of `safe_from_text`.
    """
    lost = _lost_of_few(connection, rows, number)
    if not lost:
        return write("true")
    with without_inlining(connection):
        filed = write(f"({lost})")
    return filed + write(f"NOT ({lost})")


@contextmanager
def safe_from_text(connection: duckdb.DuckDBPyConnection, rows: str, number: int = 0) -> Iterator[None]:
    """While the block writes `rows`, a relation with the columns of the lake's table, send them to a file if one must.

    The block writes just these rows into one table, at least `number`; more than `INLINED_ROWS` go to a file anyway.
    """
    if not _lost_of_few(connection, rows, number):
        yield
        return
    with without_inlining(connection):
        yield


@contextmanager
def without_inlining(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Send everything that the block writes to files."""
    [(before,)] = connection.execute(f"SELECT current_setting('{LIMIT}')").fetchall()
    inline_small_batches(connection, 0)
    try:
        yield
    finally:
        inline_small_batches(connection, before)


def lost_in_text(connection: duckdb.DuckDBPyConnection, relation: str) -> str:
    """SQL: the condition that a value of a row is another one, or none, after its way through text; '' if none can."""
    nested = [
        (f'"{name}"', kind)
        for name, kind, *_ in connection.execute(f"DESCRIBE FROM {relation}").fetchall()
        if is_nested(kind)
    ]
    # The catalog's own text ends at a zero byte.
    return " OR ".join(
        f"TRY_CAST({value}::VARCHAR AS {kind}) IS DISTINCT FROM {value} OR contains({value}::VARCHAR, chr(0)) IS TRUE"
        for value, kind in nested
    )


def is_nested(kind: str) -> bool:
    """True for DuckDB types that hold other values."""
    return kind.endswith("[]") or kind.startswith(NESTED)


def _lost_of_few(connection: duckdb.DuckDBPyConnection, rows: str, number: int) -> str:
    """`lost_in_text` where so few rows are written that they stay in the catalog, and it is true of some; else ''."""
    lost = lost_in_text(connection, rows) if number <= INLINED_ROWS else ""
    query = f"SELECT 1 FROM (FROM {rows} LIMIT {INLINED_ROWS}) WHERE {lost} LIMIT 1"
    return lost if lost and connection.execute(query).fetchone() else ""
