"""Finds rows that a whole reading did not bring, and marks rows deleted."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import datetime

import duckdb

from warehouse.lake.clock import NOW
from warehouse.lake.cursor import time_at
from warehouse.lake.inlining import safe_from_text
from warehouse.lake.table import Table, count, materialise

_NUMBERS = itertools.count()


class Reading:
    """The keys that one whole reading of a table brings, and those of stored rows that it does not.

    They are in temporary tables of its own, so that no other reading on the same connection can touch them: a walk and
    the archive files of the same table are read side by side.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: Table) -> None:
        """Begin: from here on `remember_batch` notes what it brings."""
        self.table = table
        number = next(_NUMBERS)
        self._seen, self._unseen = f'"seen {table.name} {number}"', f'"unseen {table.name} {number}"'
        for name in (self._seen, self._unseen):
            connection.execute(
                f'CREATE TEMP TABLE {name} AS SELECT {table.select_keys()} FROM "{table.name}" WHERE false'
            )

    def remember_batch(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Note the keys of `batch` as seen."""
        connection.execute(f"INSERT INTO {self._seen} SELECT {self.table.select_keys()} FROM batch")

    def oldest_seen(self, connection: duckdb.DuckDBPyConnection) -> datetime | None:
        """The earliest date (UTC), in the partition column, of the rows that were seen."""
        found = connection.execute(
            f"""
            SELECT epoch_us(min("{self.table.partitioned_by}"))
            FROM "{self.table.name}" AS stored SEMI JOIN {self._seen} AS seen ON {self.table.same("stored", "seen")}
            """
        ).fetchone()
        return time_at(found[0]) if found and found[0] is not None else None

    def find_unseen(self, connection: duckdb.DuckDBPyConnection, within: str = "true", *, dead: bool = False) -> int:
        """Note which live rows `within` a condition (SQL), and `dead` ones, were not seen; return how many."""
        alive = "true" if dead else "deleted_on IS NULL"
        return materialise(
            connection,
            self._unseen,
            f"""
            SELECT {self.table.select_keys()} FROM "{self.table.name}" WHERE {alive} AND ({within})
            EXCEPT FROM {self._seen}
            """,
        )

    def still_unseen(self, connection: duckdb.DuckDBPyConnection, within: str = "true") -> int:
        """Keep of what `find_unseen` noted the rows that are not seen since, and live `within` a condition; how many.

        A row that came meanwhile is none of them: nobody has asked for it.
        """
        return materialise(
            connection,
            self._unseen,
            f"""
            SELECT incoming.* FROM {self._unseen} AS incoming
            SEMI JOIN (FROM "{self.table.name}" WHERE deleted_on IS NULL AND ({within})) AS stored
                ON {self.table.same_key}
            EXCEPT FROM {self._seen}
            """,
        )

    def unseen_keys(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
        """The keys that `find_unseen` noted: the values of `Table.key_columns`."""
        return connection.execute(f"FROM {self._unseen} ORDER BY ALL").fetchall()

    def mark_unseen(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Set deleted_on for the rows that `find_unseen` noted; return how many. Inside the caller's transaction."""
        return mark_deleted(connection, self.table, self._unseen)

    def set_unseen(self, connection: duckdb.DuckDBPyConnection, values: str) -> None:
        """Set `values` (SQL) of the rows that `find_unseen` noted, inside the caller's transaction."""
        _update(connection, self.table, self._unseen, values)

    def forget(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Give back the memory."""
        for name in (self._seen, self._unseen):
            connection.execute(f"DROP TABLE IF EXISTS temp.{name}")


def mark_deleted(connection: duckdb.DuckDBPyConnection, table: Table, keys: str) -> int:
    """Set deleted_on for the rows of `keys`, a relation (SQL); return how many. Inside the caller's transaction."""
    return _update(connection, table, keys, f"deleted_on = {NOW}")


def _update(connection: duckdb.DuckDBPyConnection, table: Table, keys: str, values: str) -> int:
    number = count(connection, keys)
    if number:
        changed = f'(FROM "{table.name}" AS stored SEMI JOIN {keys} AS incoming ON {table.same_key})'
        with safe_from_text(connection, changed, number):
            connection.execute(
                f"""
                MERGE INTO "{table.name}" AS stored USING {keys} AS incoming ON {table.same_key}
                WHEN MATCHED THEN UPDATE SET {values}, synced_on = {NOW}
                """
            )
    return number


def live_rows(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    """How many rows of the table are not marked deleted."""
    return count(connection, f'"{table.name}" WHERE deleted_on IS NULL')


def remember_deleted_contacts(connection: duckdb.DuckDBPyConnection) -> None:
    """Note which contacts are deleted, in `dead`: rows staged from now on are deleted with them."""
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE dead AS
        SELECT uuid AS dead_uuid, deleted_on AS died_on FROM contacts WHERE deleted_on IS NOT NULL
        """
    )


def mark_rows_of_deleted_contacts(
    connection: duckdb.DuckDBPyConnection, tables: Iterable[Table], contacts: str = "batch"
) -> int:
    """Mark what the server deletes with `contacts`, a relation of tombstones (SQL); return how many rows."""
    marked = 0
    for table in tables:
        dying = f"""stored."{table.contact}" = incoming.uuid
            AND (stored.deleted_on IS NULL OR stored.deleted_on > incoming.deleted_on)"""
        dragged = f'"{table.name}" AS stored JOIN {contacts} AS incoming ON {dying}'
        rows = count(connection, dragged)
        if rows:
            with safe_from_text(connection, f"(SELECT stored.* FROM {dragged})", rows):
                connection.execute(
                    f"""
                    MERGE INTO "{table.name}" AS stored USING {contacts} AS incoming ON {dying}
                    WHEN MATCHED THEN UPDATE SET deleted_on = incoming.deleted_on, synced_on = {NOW}
                    """
                )
        marked += rows
    return marked


def take_off_lists(connection: duckdb.DuckDBPyConnection, tables: Iterable[Table], contacts: str = "batch") -> int:
    """Take deleted `contacts`, a relation of tombstones (SQL), off the lists of live rows; return how many changed."""
    changed = 0
    for table in tables:
        column = f'"{table.lists_contacts}"'
        shorter = f"list_filter({column}, lambda contact: NOT list_contains(coalesce(gone.uuids, []), contact.uuid))"
        rows = materialise(
            connection,
            "shorter",
            f"""
            SELECT * REPLACE ({shorter} AS {column}, {NOW} AS synced_on)
            FROM "{table.name}", (SELECT list(uuid) AS uuids FROM {contacts}) AS gone
            WHERE deleted_on IS NULL AND len({shorter}) < len({column})
            """,
        )
        if rows:
            connection.execute("ALTER TABLE shorter DROP COLUMN uuids")
            with safe_from_text(connection, "shorter", rows):
                connection.execute(
                    f"""
                    MERGE INTO "{table.name}" AS stored USING shorter AS incoming ON {table.same_key}
                    WHEN MATCHED THEN UPDATE SET {column} = incoming.{column}, synced_on = incoming.synced_on
                    """
                )
        changed += rows
    return changed
