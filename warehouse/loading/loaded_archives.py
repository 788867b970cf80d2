"""Keeps account of the archive files that are in the lake: which, by what hash, and how many rows are theirs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import duckdb

from warehouse.lake.clock import NOW
from warehouse.lake.literal import literal
from warehouse.lake.table import Table, count, materialise
from warehouse.loading.absence import Reading


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
    """Files the server lists and the lake does not have by their hash, newest first; `again`: also those it has."""
    loaded = "(FROM _archives WHERE read_again IS NOT TRUE) AS loaded"
    known = "" if again else f"ANTI JOIN {loaded} USING (archive_type, period, start_date, hash)"
    found = connection.execute(
        f"""
        SELECT archive_type, period, start_date
        FROM archives {known}
        WHERE deleted_on IS NULL AND record_count > 0 AND hash IS NOT NULL
        ORDER BY start_date DESC, archive_type, period
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
    _read_months_again(connection)
    adopted = materialise(
        connection,
        "adopted",
        """
        SELECT archive_type, monthly.start_date, monthly.hash, monthly.size, monthly.record_count,
            sum(daily.rows)::BIGINT AS rows, sum(daily.unreadable)::BIGINT AS unreadable,
            bool_and(coalesce(daily.settled, true)) AS settled, bool_or(daily.read_again) AS read_again
        FROM archives AS monthly JOIN _archives AS daily USING (archive_type)
        WHERE monthly.period = 'monthly' AND daily.period = 'daily' AND monthly.deleted_on IS NULL
          AND date_trunc('month', daily.start_date) = monthly.start_date
          AND (archive_type, monthly.start_date) NOT IN
              (SELECT (archive_type, start_date) FROM _archives WHERE period = 'monthly')
          AND (archive_type, monthly.start_date) NOT IN
              (SELECT (archive_type, date_trunc('month', start_date)) FROM archives
               WHERE period = 'daily' AND deleted_on IS NULL AND record_count > 0)
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
        f"""
        INSERT INTO _archives
            (archive_type, period, start_date, hash, size, record_count, rows, unreadable, origin, loaded_on, settled,
             read_again)
        SELECT archive_type, 'monthly', start_date, hash, size, record_count, rows, unreadable, 'daily files', {NOW},
            settled, read_again
        FROM adopted
        """
    )
    return adopted


def _read_months_again(connection: duckdb.DuckDBPyConnection) -> None:
    """Have monthly files read again beside which daily ones were listed, and are no longer.

    Rows that both had name either of them: which ones the month has, only it can say.
    """
    connection.execute(
        f"""
        UPDATE _archives SET read_again = true
        WHERE period = 'monthly' AND (archive_type, start_date) IN (
            SELECT (archive_type, date_trunc('month', start_date)) FROM _archives
            WHERE period = 'daily' AND NOT {_LISTED}
        )
        """
    )


# SQL: the condition that a file of `_archives` is on the server's list, with any content.
_LISTED = """(archive_type, period, start_date) IN (
    SELECT (archive_type, period, start_date) FROM archives WHERE deleted_on IS NULL AND record_count > 0
)"""


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
        day = f"archive_type = {literal(table.archive_type)} AND period = 'daily' AND start_date = DATE '{start}'"
        month = f"""archive_type = {literal(table.archive_type)} AND period = 'monthly'
            AND start_date = date_trunc('month', DATE '{start}')"""
        file = day if count(connection, f"_archives WHERE {day}") else month
        connection.execute(f"UPDATE _archives SET rows = rows - {rows} WHERE {file}")


def note_archive(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    key: ArchiveKey,
    *,
    digest: str,
    size: int,
    record_count: int,
    unreadable: int,
    settled: bool = True,
    first: bool = False,
) -> None:
    """Note that a file is in the lake, in the transaction that writes its last rows; `first`: of its month.

    `settled=False` where rows of its time that no file has are to be asked for.
    """
    month = f"archive_type = {literal(key.archive_type)} AND date_trunc('month', start_date) = DATE '{key.month[1]}'"
    replaced = (
        f"({key.where}) OR ({month} AND period = 'daily' AND {literal(key.period)} = 'monthly' AND NOT {_LISTED})"
    )
    if not first and count(connection, f"_archives WHERE {replaced}"):
        connection.execute(f"DELETE FROM _archives WHERE {replaced}")
    rows = count(connection, f'"{table.name}" WHERE {key.within}')
    connection.execute(
        f"""
        INSERT INTO _archives
            (archive_type, period, start_date, hash, size, record_count, rows, unreadable, origin, loaded_on, settled)
        VALUES ({literal(key.archive_type)}, {literal(key.period)}, DATE '{key.start_date}', {literal(digest)}, {size},
            {record_count}, {rows}, {unreadable}, 'file', {NOW}, {settled})
        """
    )
    if not first and count(connection, f"(SELECT DISTINCT period FROM _archives WHERE {month})") > 1:
        _share_rows(connection, table, key.month[1], month)


def _share_rows(connection: duckdb.DuckDBPyConnection, table: Table, start: date, month: str) -> None:
    """Count the rows of a month that has daily files beside its monthly one: those that name a day are the day's."""
    connection.execute(
        f"""
        UPDATE _archives SET rows = (SELECT count(*) FROM "{table.name}" WHERE archived_in = start_date)
        WHERE {month} AND period = 'daily'
        """
    )
    whole = ArchiveKey("", "monthly", start).within
    connection.execute(
        f"""
        UPDATE _archives SET rows =
            (SELECT count(*) FROM "{table.name}" WHERE {whole})
            - (SELECT sum(rows) FROM _archives WHERE {month} AND period = 'daily')
        WHERE {month} AND period = 'monthly'
        """
    )


def release_rows(connection: duckdb.DuckDBPyConnection, table: Table, key: ArchiveKey, reading: Reading) -> int:
    """Let rows name a file no longer that was read again whole, in `reading`, and lacks them; return how many.

    Any other file may have them too: all of its type are to be read again. Inside the caller's transaction.
    """
    other = "daily" if key.period == "monthly" else "monthly"
    elsewhere = f"""
        SELECT start_date FROM archives
        WHERE archive_type = {literal(key.archive_type)} AND period = '{other}'
            AND deleted_on IS NULL AND record_count > 0
    """
    # Rows that name the first of a month may mean the day or the month: where both are listed, they stay archived.
    within = f"{key.within} AND archived_in NOT IN ({elsewhere})"
    released = reading.find_unseen(connection, within, dead=True)
    if released:
        reading.set_unseen(connection, "archived_in = NULL")
        connection.execute(
            f"""
            UPDATE _archives SET read_again = true
            WHERE archive_type = {literal(key.archive_type)} AND NOT ({key.where})
            """
        )
    return released


def emptied_archives(connection: duckdb.DuckDBPyConnection) -> list[tuple[ArchiveKey, str]]:
    """Files of which the lake has records and the server lists none any more, and their MD5s ("" if it has none)."""
    found = connection.execute(
        """
        SELECT archive_type, period, start_date, coalesce(listed.hash, '')
        FROM archives AS listed JOIN _archives AS loaded USING (archive_type, period, start_date)
        WHERE deleted_on IS NULL AND listed.record_count = 0 AND loaded.record_count > 0
        """
    ).fetchall()
    return [(ArchiveKey(*key), digest) for *key, digest in found]


def empty_archive(
    connection: duckdb.DuckDBPyConnection, table: Table, key: ArchiveKey, digest: str, *, settled: bool
) -> None:
    """Note that a file has no record any more, and let no row name it. Inside the caller's transaction.

    `settled` as `note_archive` has it.
    """
    reading = Reading(connection, table)
    release_rows(connection, table, key, reading)
    reading.forget(connection)
    note_archive(connection, table, key, digest=digest, size=0, record_count=0, unreadable=0, settled=settled)


def unsettled_files(connection: duckdb.DuckDBPyConnection, table: Table) -> list[ArchiveKey]:
    """The files in the lake of whose time rows that no file has are to be asked for, in order."""
    found = connection.execute(
        f"""
        SELECT archive_type, period, start_date FROM _archives
        WHERE archive_type = {literal(table.archive_type)} AND NOT settled ORDER BY start_date
        """
    ).fetchall()
    return [ArchiveKey(*row) for row in found]


def settle_files(connection: duckdb.DuckDBPyConnection, table: Table, since: date | None) -> None:
    """Note that all rows were asked for of the time of files that begin `since`, inside the caller's transaction."""
    after = f" AND start_date >= DATE '{since}'" if since else ""
    connection.execute(
        f"""
        UPDATE _archives SET settled = true
        WHERE archive_type = {literal(table.archive_type)} AND NOT settled{after}
        """
    )
