"""Stages JSON lines: one SELECT per stream makes them the view `batch`, typed and normalised, one row per key.

What cannot be read is put aside, in `parsed_row`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from warehouse.errors import LakeError
from warehouse.lake.attaching import outside_the_lake
from warehouse.lake.clock import NOW
from warehouse.lake.literal import literal
from warehouse.lake.table import Table, columns_of, count, quoted
from warehouse.parsing.parse import MARKS, Keys, parse
from warehouse.parsing.unreadable import explain_unreadable
from warehouse.parsing.unusual import unknown_places


@dataclass(frozen=True)
class Batch:
    """A staged batch: rows as read, and those that could not be read with what is wrong with the first.

    unknown_keys: keys, at any depth, that some row has and the table has no column for, as `contact.ref`.
    missing_keys: keys that the record type has and the first row does not.
    source: api or archive; archived_in: first day of the archive file.
    distinct: rows that could be read, those of one key counted once.
    """

    table: Table
    rows: int
    unreadable: int
    reason: str | None
    unknown_keys: list[str]
    missing_keys: list[str]
    source: str = "api"
    archived_in: date | None = None
    distinct: int = 0


def stage(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    files: list[Path],
    *,
    longest: int = 0,
    tombstones: bool = False,
    archived_in: date | None = None,
    strictly_first: bool = False,
) -> Batch:
    """Read JSON-lines files with the stream's SELECT into the temporary view `batch`.

    `longest` is the length of the longest line in bytes, as far as it is known.
    `tombstones=True` says that the rows are of the server's list of deleted ones: deleted_on becomes their modified_on.
    `archived_in` is the first day of the archive file that the rows are of; None for rows of the API.

    `strictly_first` tries a faster way first; not for use inside a transaction.

    A line that is not JSON, and a row that does not fit, are unreadable: their text is in `parsed_row`, with a reason.

    Raises:
        LakeError: a line is longer than DuckDB's reader allows; `longest` was too small.
    """
    with outside_the_lake(connection):
        try:
            keys = parse(connection, table, files, longest=longest, strictly_first=strictly_first)
        except duckdb.InvalidInputException:
            raise LakeError(f"{table.name}: a row is longer than its reader was told: sync again.") from None
        return _staged(connection, table, files, keys, tombstones=tombstones, archived_in=archived_in)


def _staged(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    files: list[Path],
    keys: Keys,
    *,
    tombstones: bool,
    archived_in: date | None,
) -> Batch:
    """Make `batch` of what is parsed."""
    counted = connection.execute(
        f"""
        SELECT
            count(*), count(unreadable), count(extra),
            count(DISTINCT {table.distinct}) FILTER (unreadable IS NULL)
        FROM parsed_row
        """
    ).fetchone()
    rows, unreadable, extras, distinct = counted or (0, 0, 0, 0)
    won = _choose(connection, table) if distinct < rows - unreadable else "unreadable IS NULL"
    _present(connection, table, won, tombstones=tombstones, archived_in=archived_in)
    reason = explain_unreadable(connection, table, files) if unreadable else None
    unknown = unknown_places(connection, table) if extras else []
    missing = [key for key in keys.known if key not in keys.first] if keys.first else []
    source = "archive" if archived_in else "api"
    return Batch(table, rows, unreadable, reason, unknown, missing, source, archived_in, distinct)


def _choose(connection: duckdb.DuckDBPyConnection, table: Table) -> str:
    """Of several rows of one key the freshest wins: `winners` has its line. Returns the condition of having won."""
    freshness = f'("{table.never_older}", line)' if table.never_older else "line"
    if table.longest_name:  # a key may be given again
        freshness = f"(NOT coalesce(is_deleted_name(name), false), {freshness})"
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE winners AS
        SELECT max_by(line, {freshness}) AS line FROM parsed_row WHERE unreadable IS NULL GROUP BY {table.distinct}
        """
    )
    return "unreadable IS NULL AND line IN (SELECT line FROM winners)"


def _present(
    connection: duckdb.DuckDBPyConnection, table: Table, won: str, *, tombstones: bool, archived_in: date | None
) -> None:
    """Make the view `batch`: the rows that `won`, with the columns that every table has.

    Rows of a deleted contact, as `remember_deleted_contacts` knows them, are deleted too, and so are those that the
    server calls deleted.
    """
    columns = [column for column in columns_of(connection, "parsed_row") if column not in MARKS]
    selected = quoted(columns)
    deleted_on, dead = ('"modified_on"' if tombstones else "NULL::TIMESTAMPTZ"), ""
    if table.longest_name:
        deleted_on = f"CASE WHEN is_deleted_name(name) THEN {NOW} END"
        selected = selected.replace('"name"', f'name_before("name", {table.longest_name}) AS "name"')
    if table.contact and count(connection, "dead"):
        deleted_on, dead = "died_on", f'LEFT JOIN dead ON "{table.contact}" = dead_uuid'
    archived = f"{literal(archived_in.isoformat() if archived_in else None)}::DATE AS archived_in, "
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP VIEW batch AS
        SELECT {selected}, {archived if table.archive_type else ""}{deleted_on} AS deleted_on,
            '{"archive" if archived_in else "api"}' AS source, {NOW} AS synced_on, extra
        FROM parsed_row {dead}
        WHERE {won}
        """
    )
