"""Keeps account of the archive files that are in the lake: which, by what hash, and how many rows are theirs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import duckdb

from warehouse.lake.literal import literal
from warehouse.lake.table import Table, count, materialise


@dataclass(frozen=True, order=True)
class ArchiveKey:
    """What identifies an archive file: `archive_type` message or run, `period` daily or monthly, first day (UTC)."""

    archive_type: str
    period: str
    start_date: date

    @property
    def end_date(self) -> date:
        """The day after the last one it covers."""
        if self.start_date.year == date.max.year:
            return date.max
        if self.period == "monthly":
            return date(self.start_date.year + self.start_date.month // 12, self.start_date.month % 12 + 1, 1)
        return date.fromordinal(self.start_date.toordinal() + 1)

    @property
    def within(self) -> str:
        """SQL: the condition that a row's archived_in lies in the file's period."""
        return f"archived_in >= DATE '{self.start_date}' AND archived_in < DATE '{self.end_date}'"

    @property
    def where(self) -> str:
        """SQL: the condition that a row of `archives` or `_archives` is this file."""
        return (
            f"archive_type = {literal(self.archive_type)} AND period = {literal(self.period)} "
            f"AND start_date = DATE '{self.start_date}'"
        )

    @property
    def month(self) -> tuple[str, date]:
        """Its type, and the first day of the month that it is of: one monthly file has them, or several daily ones."""
        return self.archive_type, self.start_date.replace(day=1)

    def __str__(self) -> str:
        return f"{self.archive_type} {str(self.start_date)[: 7 if self.period == 'monthly' else 10]}"


def archives_to_load(connection: duckdb.DuckDBPyConnection, *, again: bool = False) -> list[ArchiveKey]:
    """Files the server lists and the lake does not have by their hash, newest first; `again`: also those it has.

    A daily file whose month was loaded is none.
    """
    known = "" if again else "ANTI JOIN _archives USING (archive_type, period, start_date, hash)"
    found = connection.execute(
        f"""
        SELECT archive_type, period, start_date
        FROM archives {known}
        WHERE deleted_on IS NULL AND record_count > 0 AND hash IS NOT NULL
          AND (period = 'monthly' OR (archive_type, date_trunc('month', start_date)) NOT IN
              (SELECT (archive_type, start_date) FROM _archives WHERE period = 'monthly'))
        ORDER BY start_date DESC, archive_type
        """
    ).fetchall()
    return [ArchiveKey(*row) for row in found]


def loaded_months(connection: duckdb.DuckDBPyConnection) -> set[tuple[str, date]]:
    """The months, as `ArchiveKey.month` has them, of which the lake has at least one file."""
    months = "SELECT DISTINCT archive_type, date_trunc('month', start_date)::DATE FROM _archives"
    return set(connection.execute(months).fetchall())


def adopt_monthly_files(connection: duckdb.DuckDBPyConnection) -> int:
    """Note monthly files whose records were loaded from the month's daily files; return how many.

    A server joins the lines of a month's daily files, 90 days after its end, and lists the daily ones no longer. As
    many records as all daily files of the month had are the same records. Inside the caller's transaction.
    """
    adopted = materialise(
        connection,
        "adopted",
        """
        SELECT archive_type, monthly.start_date, monthly.hash, monthly.size, monthly.record_count,
            sum(daily.rows)::BIGINT AS rows, sum(daily.unreadable)::BIGINT AS unreadable
        FROM archives AS monthly JOIN _archives AS daily USING (archive_type)
        WHERE monthly.period = 'monthly' AND daily.period = 'daily' AND monthly.deleted_on IS NULL
          AND date_trunc('month', daily.start_date) = monthly.start_date
          AND (archive_type, monthly.start_date) NOT IN
              (SELECT (archive_type, start_date) FROM _archives WHERE period = 'monthly')
        GROUP BY ALL
        HAVING sum(daily.record_count) = monthly.record_count
        """,
    )
    if not adopted:
        return 0
    connection.execute(
        """
        DELETE FROM _archives
        WHERE period = 'daily' AND (archive_type, date_trunc('month', start_date)) IN
            (SELECT (archive_type, start_date) FROM adopted)
        """
    )
    connection.execute(
        """
        INSERT INTO _archives
            (archive_type, period, start_date, hash, size, record_count, rows, unreadable, origin, loaded_on)
        SELECT archive_type, 'monthly', start_date, hash, size, record_count, rows, unreadable, 'daily files', now()
        FROM adopted
        """
    )
    return adopted


def note_moved_rows(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Take the rows that `changed` has moved to another file off the account of the one they came from."""
    moved = connection.execute(
        f"""
        SELECT stored.archived_in, count(*)
        FROM changed AS incoming JOIN known AS stored ON {table.same_key}
        WHERE stored.archived_in IS NOT NULL AND stored.archived_in IS DISTINCT FROM incoming.archived_in
        GROUP BY ALL
        """
    ).fetchall()
    for start, rows in moved:
        connection.execute(
            f"""
            UPDATE _archives SET rows = rows - {rows}
            WHERE archive_type = {literal(table.archive_type)} AND (
                (period = 'daily' AND start_date = DATE '{start}')
                OR (period = 'monthly' AND start_date = date_trunc('month', DATE '{start}')))
            """
        )


def note_archive(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    key: ArchiveKey,
    *,
    digest: str,
    size: int,
    record_count: int,
    unreadable: int,
    first: bool = False,
) -> None:
    """Note that a file is in the lake, in the transaction that writes its last rows; `first`: of its month."""
    daily = (
        f"archive_type = {literal(key.archive_type)} AND period = 'daily' AND {literal(key.period)} = 'monthly' "
        f"AND start_date >= DATE '{key.start_date}' AND start_date < DATE '{key.end_date}'"
    )
    replaced = f"_archives WHERE ({key.where}) OR ({daily})"
    if not first and count(connection, replaced):
        connection.execute(f"DELETE FROM {replaced}")
    rows = count(connection, f'"{table.name}" WHERE {key.within}')
    connection.execute(
        f"""
        INSERT INTO _archives
            (archive_type, period, start_date, hash, size, record_count, rows, unreadable, origin, loaded_on)
        VALUES ({literal(key.archive_type)}, {literal(key.period)}, DATE '{key.start_date}', {literal(digest)}, {size},
            {record_count}, {rows}, {unreadable}, 'file', now())
        """
    )
