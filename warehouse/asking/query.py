"""Answers a user's SQL: as a relation to be shown, or in a file of CSV, JSON, Parquet or Excel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from warehouse.asking.excel import write_excel
from warehouse.errors import QueryError
from warehouse.lake.connection import Lake
from warehouse.lake.failures import explain_query
from warehouse.lake.literal import literal
from warehouse.scratch import written_whole

NO_QUERY = "That is no query: the lake is open for reading only; try SELECT ..."
COPY_OPTIONS = {
    "csv": "FORMAT csv, HEADER true",
    "json": "FORMAT json",
    "parquet": "FORMAT parquet, COMPRESSION zstd",
}
KINDS = (*COPY_OPTIONS, "xlsx")


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
                raise QueryError(NO_QUERY)
            yield relation
        except duckdb.Error as error:
            raise explain_query(error, lake.path) from None


def write_rows(lake: Lake, query: str, kind: str, file: Path) -> int:
    """Write the rows of one SELECT to a file, whole or not at all; the number of cells that had to be cut.

    `kind` is one of `KINDS`.

    Raises:
        QueryError: the SQL is wrong, is not one query, or brings more than the kind of file holds.
        OSError: the file cannot be written.
    """
    statement = _one_query(query)
    with written_whole(file) as partial, lake.raw_connection() as connection:
        try:
            # What is wrong with it is told of the query as it was typed.
            if connection.sql(statement) is None:
                raise QueryError(NO_QUERY)
            if kind == "xlsx":
                return write_excel(connection, statement, partial)
            connection.execute(f"COPY (FROM (\n{statement}\n)) TO {literal(str(partial))} ({COPY_OPTIONS[kind]})")
        except duckdb.Error as error:
            raise explain_query(error, lake.path) from None
    return 0


def _one_query(query: str) -> str:
    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        raise QueryError(str(error).strip()) from None
    if len(statements) != 1:
        raise QueryError(
            "Give one SQL query: there is " + ("none." if not statements else f"more than one ({len(statements)}).")
        )
    return re.sub(r";\s*(--[^\n]*\s*)*$", "", statements[0].query.strip())
