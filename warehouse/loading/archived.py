"""Tells rows that an archive file has, or may have, from those that none has: only of the latter absence says anything.

A row names the file that has it, in archived_in. Which files there are, the server's list says, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb

from warehouse.lake.cursor import read_cursors
from warehouse.lake.literal import literal
from warehouse.lake.table import Table, count
from warehouse.loading.loaded_archives import ArchiveKey

# A file may have rows of another time than its own, as archivers know (nyaruka/rapidpro#1971).
REACH = timedelta(days=31)


@dataclass(frozen=True)
class ListedArchive:
    """A file with records, as the server lists it; `digest` is its MD5, None if it cannot be had."""

    key: ArchiveKey
    digest: str | None


@dataclass(frozen=True)
class Archived:
    """What the server has archived of a table.

    Files that end before `wanted_from` are of a time that nobody wants. `shown_from` is a time (UTC) from which on the
    API shows all rows, where it is known; of a server whose list cannot be read, nothing else is.
    """

    files: tuple[ListedArchive, ...] = ()
    wanted_from: date | None = None
    shown_from: datetime | None = None

    def unread_until(self, connection: duckdb.DuckDBPyConnection, table: Table) -> date | None:
        """The first day of rows that no file can have which is not in the lake as it is listed; None for all."""
        loaded = set(
            connection.execute(
                f"""
                SELECT period, start_date, hash FROM _archives
                WHERE archive_type = {literal(table.archive_type)} AND unreadable = 0 AND read_again IS NOT TRUE
                """
            ).fetchall()
        )
        ends = [
            file.key.end_date
            for file in self.files
            if (file.key.period, file.key.start_date, file.digest) not in loaded
            and (self.wanted_from is None or file.key.end_date > self.wanted_from)
        ]
        if not ends:
            return None
        return max(ends) + REACH if max(ends) < date.max - REACH else date.max

    def lack(self, connection: duckdb.DuckDBPyConnection, table: Table) -> str:
        """SQL: the condition that a stored row is in none of the files, as far as can be known."""
        conditions = [self._in_none_that_it_names(connection, table)]
        if unread := self._unread(connection, table):
            conditions.append(f"NOT {unread}")
        if self.shown_from:
            conditions.append(f'"{table.partitioned_by}" >= {literal(self.shown_from)}')
        return " AND ".join(conditions)

    def undecided(self, connection: duckdb.DuckDBPyConnection, table: Table) -> str:
        """SQL: the condition that a stored row is in no file that it names, and may be in one that was not read."""
        conditions = []
        if unread := self._unread(connection, table):
            conditions.append(unread)
        if self.shown_from:
            conditions.append(f"""("{table.partitioned_by}" >= {literal(self.shown_from)}) IS NOT TRUE""")
        return f"{self._in_none_that_it_names(connection, table)} AND ({' OR '.join(conditions) or 'false'})"

    def _in_none_that_it_names(self, connection: duckdb.DuckDBPyConnection, table: Table) -> str:
        """SQL: the condition that the row's `archived_in` names no file.

        A row whose file is listed no longer, nor one of the same time, stays archived.
        """
        adopted = set(
            connection.execute(
                f"""
                SELECT start_date FROM _archives
                WHERE archive_type = {literal(table.archive_type)} AND origin = 'daily files'
                """
            ).fetchall()
        )
        covered = [(file.key.start_date, file.key.end_date) for file in self.files]
        holding = [
            # Rows that a month has adopted with its days name the days.
            (start, end if (start,) in adopted else min(start + timedelta(days=1), end))
            for start, end in covered
        ]
        known = within_spans("archived_in", covered), within_spans("archived_in", holding)
        return f"(archived_in IS NULL OR (({known[0]}) AND NOT ({known[1]})))"

    def _unread(self, connection: duckdb.DuckDBPyConnection, table: Table) -> str | None:
        """SQL: the condition that a row is of a time of which not all files were read; None where all were."""
        until = self.unread_until(connection, table)
        return f"""("{table.partitioned_by}" >= DATE '{until}') IS NOT TRUE""" if until else None


def archives_listed(connection: duckdb.DuckDBPyConnection, table: Table) -> Archived:
    """The files of a table as the server listed them last."""
    found = connection.execute(
        f"""
        SELECT archive_type, period, start_date, hash FROM archives
        WHERE archive_type = {literal(table.archive_type)} AND deleted_on IS NULL AND record_count > 0
        """
    ).fetchall()
    files = tuple(ListedArchive(ArchiveKey(*key), digest) for *key, digest in found)
    return Archived(files, archives_wanted_from(connection))


def ever_archived(connection: duckdb.DuckDBPyConnection, table: Table) -> bool:
    """True if the server lists, or the lake has, a file with rows of a table."""
    columns = "SELECT archive_type, record_count FROM"
    listed, loaded = f"{columns} archives WHERE deleted_on IS NULL", f"{columns} _archives"
    of_table = f"archive_type = {literal(table.archive_type)} AND record_count > 0"
    return count(connection, f"({listed} UNION ALL {loaded}) WHERE {of_table}") > 0


def archives_wanted_from(connection: duckdb.DuckDBPyConnection) -> date | None:
    """The first day (UTC) of which archive files are wanted, where somebody said so."""
    cursor = read_cursors(connection, "archives").get("rows")
    return cursor.complete_from.date() if cursor and cursor.complete_from else None


def within_spans(column: str, spans: Iterable[tuple[date, date]]) -> str:
    """SQL: the condition that a date, or a time in UTC, lies in one of these spans, each without its end."""
    joined: list[tuple[date, date]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    conditions = [f"({column} >= DATE '{start}' AND {column} < DATE '{end}')" for start, end in joined]
    return " OR ".join(conditions) or "false"
