"""Writes rows as an Excel file that every program opens: what Excel has no cell for stands there as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path

import duckdb
import xlsxwriter
from xlsxwriter.exceptions import FileCreateError

from warehouse.errors import QueryError
from warehouse.scratch import scratch
from warehouse.text import for_xml

# What a sheet holds, less its heading; what a cell holds, in units of UTF-16.
MOST_ROWS = 1_048_575
MOST_COLUMNS = 16_384
MOST_CHARACTERS = 32_767
# Excel rounds numbers with more digits, which no id survives.
MOST_DIGITS = 15
LARGEST_NUMBER = 9.99e307
# Excel believes in a 29 February 1900, and other programs do not: before that day they disagree.
FIRST_DAY, LAST_DAY = date(1900, 3, 1), date(9999, 12, 31)
FIRST_MOMENT, LAST_MOMENT = map(datetime.fromisoformat, ("1900-03-01", "9999-12-31 23:59:59"))
ROWS_AT_ONCE = 1_000
AS_THEY_ARE = {
    "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
    "UHUGEINT", "FLOAT", "DOUBLE", "VARCHAR", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS",
    "TIMESTAMP_NS",
}  # fmt: skip


def write_excel(connection: duckdb.DuckDBPyConnection, query: str, file: Path) -> int:
    """Write the rows of a query; the number of cells whose text had to be cut.

    Times are in the workspace's time zone, nested values are JSON.

    Raises:
        QueryError: there are more rows or columns than a sheet holds.
        OSError: the file cannot be written.
    """
    asked = connection.sql(query)
    _refuse_too_many(asked)
    names = [f"c{number}" for number in range(len(asked.columns))]  # those of the query need not differ
    columns = ", ".join(_column(name, str(kind)) for name, kind in zip(names, asked.types, strict=True))
    with _workbook(file) as workbook:
        sheet = Sheet(workbook)
        sheet.add(asked.columns)
        rows = connection.execute(f"SELECT {columns} FROM (\n{query}\n) AS asked ({', '.join(names)})")
        while some := rows.fetchmany(ROWS_AT_ONCE):
            for row in some:
                sheet.add(row)
    return sheet.cut


def _refuse_too_many(asked: duckdb.DuckDBPyRelation) -> None:
    if (columns := len(asked.columns)) > MOST_COLUMNS:
        raise QueryError(f"Excel holds {MOST_COLUMNS:,} columns, there are {columns:,}: write .csv or .parquet.")
    if (rows := asked.limit(MOST_ROWS + 1).count("*").fetchall()[0][0]) > MOST_ROWS:
        raise QueryError(f"Excel holds {MOST_ROWS:,} rows, there are at least {rows:,}: write .csv or .parquet.")


def _column(name: str, kind: str) -> str:
    """SQL of a column in a type that Python knows as well as Excel."""
    if kind in AS_THEY_ARE or kind.startswith("DECIMAL("):
        return name
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"local_time({name})"
    nested = kind.endswith("]") or kind.startswith(("STRUCT(", "MAP(", "UNION("))
    return f"to_json({name})::VARCHAR" if nested else f"{name}::VARCHAR"


@contextmanager
def _workbook(file: Path) -> Iterator[xlsxwriter.Workbook]:
    """A workbook that is in `file` when the block ends well; its rows wait on the disk."""
    try:
        with (
            scratch() as folder,
            file.open("wb") as target,
            xlsxwriter.Workbook(target, {"constant_memory": True, "tmpdir": str(folder)}) as workbook,
        ):
            workbook.use_zip64()  # only a file of more than 4 GB makes use of it
            yield workbook
    except FileCreateError as error:
        raise error.args[0] from None  # the OSError


class Sheet:
    """The sheet of a workbook, to which rows are added; counts the cells whose text it has `cut`."""

    def __init__(self, workbook: xlsxwriter.Workbook) -> None:
        self.cut = 0
        self._sheet = workbook.add_worksheet()
        self._rows = 0
        self._day, self._moment, self._hour = (
            workbook.add_format({"num_format": code}) for code in ("yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss", "hh:mm:ss")
        )

    def add(self, row: Iterable[object]) -> None:
        """Add a row; an empty cell for None."""
        for column, value in enumerate(row):
            if value is not None:
                self._write(column, value)
        self._rows += 1

    def _write(self, column: int, value: object) -> None:
        """Write a cell: as what it is, or as text where Excel has no such value."""
        match value:
            case str():
                self._write_text(column, value)
            case bool():
                self._sheet.write_boolean(self._rows, column, value)
            case int() | float() | Decimal() if has_number(value):
                self._sheet.write_number(self._rows, column, value)
            case datetime() if FIRST_MOMENT <= value <= LAST_MOMENT:
                self._sheet.write_datetime(self._rows, column, value, self._moment)
            case time():
                self._sheet.write_datetime(self._rows, column, value, self._hour)
            case date() if not isinstance(value, datetime) and FIRST_DAY <= value <= LAST_DAY:
                self._sheet.write_datetime(self._rows, column, value, self._day)
            case _:
                self._write_text(column, str(value))

    def _write_text(self, column: int, text: str) -> None:
        """Write text, never a formula or a link; cut where it is too long, with an ellipsis for its end."""
        text = for_xml(text)
        if "\r" in text:  # a cell's lines end as Excel ends them
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if len(text) > MOST_CHARACTERS // 2 and len(text.encode("utf-16-le")) > 2 * MOST_CHARACTERS:
            units = text.encode("utf-16-le")[: 2 * (MOST_CHARACTERS - 1)]
            text = units.decode("utf-16-le", "ignore") + "…"
            self.cut += 1
        self._sheet.write_string(self._rows, column, text)


def has_number(value: int | float | Decimal) -> bool:
    """True for a number that Excel shows as it is, or rounds behind the point only."""
    if isinstance(value, float):
        return math.isfinite(value) and abs(value) <= LARGEST_NUMBER
    return abs(value) < 10**MOST_DIGITS or len(str(abs(int(value))).rstrip("0")) <= MOST_DIGITS
