"""Finds rows that a whole reading did not bring, and marks rows deleted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import duckdb

from warehouse.lake.cursor import time_at
from warehouse.lake.inlining import safe_from_text
from warehouse.lake.table import Table, count, materialise


def begin_reading(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Begin a whole reading: from here on `remember_keys` notes what it brings."""
    connection.execute(
        f'CREATE OR REPLACE TEMP TABLE {_seen(table)} AS SELECT {table.select_keys()} FROM "{table.name}" WHERE false'
    )


def remember_keys(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Note the keys of `batch` as seen by the reading."""
    connection.execute(f"INSERT INTO {_seen(table)} SELECT {table.select_keys()} FROM batch")


def oldest_seen(connection: duckdb.DuckDBPyConnection, table: Table) -> datetime | None:
    """The earliest date (UTC), in the partition column, of the rows that the reading brought."""
    found = connection.execute(
        f"""
        SELECT epoch_us(min("{table.partitioned_by}"))
        FROM "{table.name}" AS stored SEMI JOIN {_seen(table)} AS seen ON {table.same("stored", "seen")}
        """
    ).fetchone()
    return time_at(found[0]) if found and found[0] is not None else None


def find_unseen(connection: duckdb.DuckDBPyConnection, table: Table, within: str = "true") -> int:
    """Note which live rows `within` a condition (SQL) the reading did not bring; return how many."""
    return materialise(
        connection,
        _unseen(table),
        f"""
        SELECT {table.select_keys()} FROM "{table.name}" WHERE deleted_on IS NULL AND ({within})
        EXCEPT FROM {_seen(table)}
        """,
    )


def unseen_keys(connection: duckdb.DuckDBPyConnection, table: Table) -> list[tuple[object, ...]]:
    """The keys that `find_unseen` noted: the values of `Table.key_columns`."""
    return connection.execute(f"FROM {_unseen(table)} ORDER BY ALL").fetchall()


def live_rows(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    """How many rows of the table are not marked deleted."""
    return count(connection, f'"{table.name}" WHERE deleted_on IS NULL')


def mark_unseen(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    """Set deleted_on for the rows that `find_unseen` noted; return how many. Runs inside the caller's transaction."""
    gone = count(connection, _unseen(table))
    if gone:
        marked = f'(FROM "{table.name}" AS stored SEMI JOIN {_unseen(table)} AS incoming ON {table.same_key})'
        with safe_from_text(connection, marked, gone):
            connection.execute(
                f"""
                MERGE INTO "{table.name}" AS stored USING {_unseen(table)} AS incoming ON {table.same_key}
                WHEN MATCHED THEN UPDATE SET deleted_on = now(), synced_on = now()
                """
            )
    return gone


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
                    WHEN MATCHED THEN UPDATE SET deleted_on = incoming.deleted_on, synced_on = now()
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
            SELECT * REPLACE ({shorter} AS {column}, now() AS synced_on)
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


def _seen(table: Table) -> str:
    return f'"seen {table.name}"'


def _unseen(table: Table) -> str:
    return f'"unseen {table.name}"'
