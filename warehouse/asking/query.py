"""Answers a user's SQL: as a relation to be shown, or in a file of CSV, JSON, Parquet or Excel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from warehouse.errors import QueryError
from warehouse.lake.connection import EXCEL, Lake, load_extension
from warehouse.views.names import identifier

COPY_OPTIONS = {
    "csv": "FORMAT csv, HEADER true",
    "json": "FORMAT json",
    "parquet": "FORMAT parquet, COMPRESSION zstd",
    "xlsx": "FORMAT xlsx, HEADER true",
}
# What a sheet holds, less its heading.
MOST_EXCEL_ROWS = 1_048_575


@contextmanager
def ask(lake: Lake, query: str) -> Iterator[duckdb.DuckDBPyRelation]:
    """Give the rows of one SELECT, not fetched yet.

    Raises:
        QueryError: the SQL is wrong, or is not one query; also where that shows only inside the block.
    """
    statement = _one_query(query)
    with lake.raw_connection() as connection:
        try:
            relation = connection.sql(statement)
            if relation is None:
                raise QueryError("That is no query: the lake is open for reading only; try SELECT ...")
            yield relation
        except duckdb.Error as error:
            raise QueryError(_sentence(error)) from None


def write_rows(lake: Lake, query: str, kind: str, file: Path) -> None:
    """Write the rows of one SELECT to a file; `kind` is one of `COPY_OPTIONS`.

    Raises:
        QueryError: the SQL is wrong, is not one query, or brings more rows than the kind of file holds.
        OSError: the file cannot be written.
    """
    statement = _one_query(query)
    target = str(file).replace("'", "''")
    with lake.raw_connection() as connection:
        try:
            asked = connection.sql(statement)  # what is wrong with it is told of the query as it was typed
            if kind == "xlsx" and asked is not None:
                load_extension(connection, EXCEL)
                statement = _for_excel(asked, statement)
            connection.execute(f"COPY (FROM (\n{statement}\n)) TO '{target}' ({COPY_OPTIONS[kind]})")
        except duckdb.Error as error:
            raise QueryError(_sentence(error)) from None


def _one_query(query: str) -> str:
    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        raise QueryError(_sentence(error)) from None
    if len(statements) != 1:
        raise QueryError(
            "Give one SQL query: there is " + ("none." if not statements else f"more than one ({len(statements)}).")
        )
    return re.sub(r";\s*(--[^\n]*\s*)*$", "", statements[0].query.strip())


def _for_excel(asked: duckdb.DuckDBPyRelation, statement: str) -> str:
    """The query in types that Excel knows: times in the workspace's time zone, all that is nested as JSON text.

    Raises:
        QueryError: there are more rows than a sheet holds.
    """
    if (rows := asked.limit(MOST_EXCEL_ROWS + 1).count("*").fetchall()[0][0]) > MOST_EXCEL_ROWS:
        raise QueryError(f"Excel holds {MOST_EXCEL_ROWS:,} rows, there are at least {rows:,}: write .csv or .parquet.")
    columns = ", ".join(_excel_column(name, str(kind)) for name, kind in zip(asked.columns, asked.types, strict=True))
    return f"SELECT {columns} FROM (\n{statement}\n)"


def _excel_column(name: str, kind: str) -> str:
    column = identifier(name)
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"local_time({column}) AS {column}"
    if any(mark in kind for mark in ("STRUCT(", "MAP(", "[")):
        return f"to_json({column})::VARCHAR AS {column}"
    return f"{column}::VARCHAR AS {column}" if kind in ("UUID", "JSON", "HUGEINT", "BLOB") else column


def _sentence(error: duckdb.Error) -> str:
    """DuckDB's message without what only a programmer wants; it points at the place in the query."""
    return str(error).strip()
