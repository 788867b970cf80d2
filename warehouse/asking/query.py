"""Answers a user's SQL: as a relation to be shown, or in a file of CSV, JSON, Parquet or Excel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from warehouse.asking.excel import write_excel
from warehouse.asking.failed import explain_query
from warehouse.asking.guard import Question, one_question, without_end
from warehouse.asking.spreadsheet import as_text, heading, may_run
from warehouse.errors import QueryError
from warehouse.lake.connection import Lake
from warehouse.lake.failures import explain
from warehouse.lake.literal import literal
from warehouse.scratch import written_whole
from warehouse.views.names import identifier

NO_QUERY = "That is no query: the lake is open for reading only; try SELECT ..."
COPY_OPTIONS = {
    "csv": "FORMAT csv, HEADER true",
    "json": "FORMAT json",
    "parquet": "FORMAT parquet, COMPRESSION zstd",
}
KINDS = (*COPY_OPTIONS, "xlsx")


@contextmanager
def ask(lake: Lake, query: str) -> Iterator[duckdb.DuckDBPyRelation | None]:
    """Give the rows of one question, not fetched yet; None for what has none, which only an unguarded lake runs.

    Raises:
        QueryError: the SQL is wrong, or is not one query; also where that shows only inside the block.
        QueryRefused: it does more than read the lake, which is guarded.
    """
    lake.renew()
    with lake.raw_connection() as connection:
        question = asked(lake, connection, query)
        relation = _planned(lake, connection, question)
        try:
            yield relation
        except duckdb.Error as error:
            raise explain_query(error, lake.path, question, ran=True) from None


def write_rows(lake: Lake, query: str, kind: str, file: Path, *, raw: bool = False) -> int:
    """Write the rows of one question to a file, whole or not at all; the number of cells that had to be cut.

    `kind` is one of `KINDS`. In CSV, what a spreadsheet would run is made text, unless `raw`.

    Raises:
        QueryError: the SQL is wrong, is not one query, or brings more than the kind of file holds.
        QueryRefused: it does more than read the lake, which is guarded.
        OSError: the file cannot be written.
    """
    with written_whole(file) as partial, lake.raw_connection() as connection:
        question = asked(lake, connection, query)
        if question.explains:
            raise QueryError("What EXPLAIN answers is no rows for a file: leave out the format.")
        # What is wrong with it is told of the query as it was typed.
        if _planned(lake, connection, question) is None:
            raise QueryError(NO_QUERY)
        try:
            if kind == "xlsx":
                return write_excel(connection, question.sql, partial)
            rows = f"FROM (\n{question.sql}\n)"
            if kind == "csv" and not raw:
                rows = _for_spreadsheets(connection, rows)
            with lake.reaching(partial) as reached:
                connection.execute(
                    f"COPY ({rows}) TO {literal(str(reached))} ({COPY_OPTIONS[kind]}, USE_TMP_FILE false)"
                )
        except duckdb.Error as error:
            raise explain_query(error, lake.path, question, ran=True) from None
    return 0


def asked(lake: Lake, connection: duckdb.DuckDBPyConnection, query: str) -> Question:
    """What a user's SQL asks.

    Raises:
        QueryError: the SQL is wrong, or is not one query.
        QueryRefused: it does more than read the lake, which is guarded.
    """
    if not lake.guarded:
        return Question(without_end(query))
    try:
        return one_question(connection, query)
    except duckdb.Error as error:
        failed = explain(error, lake.path)
    raise failed


def _planned(lake: Lake, connection: duckdb.DuckDBPyConnection, question: Question) -> duckdb.DuckDBPyRelation | None:
    try:
        return connection.sql(question.sql)
    except duckdb.Error as error:
        raise explain_query(error, lake.path, question, ran=False) from None


def _for_spreadsheets(connection: duckdb.DuckDBPyConnection, rows: str) -> str:
    """SQL of the same rows and headings, where none of them is run."""
    relation = connection.sql(rows)
    kinds = [str(kind) for kind in relation.types]
    names = [heading(name) for name in relation.columns]
    if names == relation.columns and not any(map(may_run, kinds)):
        return rows
    places = [f"c{number}" for number in range(len(kinds))]  # names of the query need not differ
    columns = [
        f"{as_text(place) if may_run(kind) else place} AS {identifier(name)}"
        for place, kind, name in zip(places, kinds, names, strict=True)
    ]
    return f"SELECT {', '.join(columns)} FROM ({rows}) AS asked ({', '.join(places)})"
