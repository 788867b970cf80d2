"""Answers a user's SQL: as a table on the terminal, as CSV or JSON, or in a file, also of Parquet or Excel."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
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
FOR_FILES = {"parquet": "Parquet", "xlsx": "Excel"}
SHOWN_ROWS = 200
# What a sheet holds, less its heading.
MOST_EXCEL_ROWS = 1_048_575


def answer(lake: Lake, query: str, *, format: str | None = None, output: Path | None = None) -> None:
    """Run one SELECT and write its rows.

    Raises:
        QueryError: the SQL is wrong, is not one query, or the file cannot be written.
    """
    kind = format or (output.suffix.lstrip(".").lower() if output else "table")
    if kind not in ("table", *COPY_OPTIONS):
        raise QueryError(f"{output} names no format: end it with .csv, .json, .parquet or .xlsx, or give --format.")
    if kind in FOR_FILES and output is None:
        raise QueryError(f"{FOR_FILES[kind]} is for files, not for the terminal: name one with -o FILE.")
    statement = _one_query(query)
    try:
        if kind == "table":
            _show(lake, statement, output)
        elif output:
            _copy(lake, statement, kind, output)
        else:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "answer"
                _copy(lake, statement, kind, file)
                with file.open("rb") as rows:
                    shutil.copyfileobj(rows, sys.stdout.buffer)
                sys.stdout.buffer.flush()
    except OSError as error:
        raise QueryError(
            f"{output or 'standard output'} cannot be written ({error.strerror}): choose another place."
        ) from None


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


def _show(lake: Lake, statement: str, output: Path | None) -> None:
    with lake.raw_connection() as connection:
        try:
            relation = connection.sql(statement)
            if relation is None:
                raise QueryError("That is no query: the lake is open for reading only; try SELECT ...")
            width = shutil.get_terminal_size((160, 24)).columns
            if output:
                output.write_text(str(relation) + "\n", encoding="utf-8")
            else:
                relation.show(max_width=width, max_rows=SHOWN_ROWS)
        except duckdb.Error as error:
            raise QueryError(_sentence(error)) from None


def _copy(lake: Lake, statement: str, kind: str, file: Path) -> None:
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
