"""Brings rows without their key together with the rows that have it.

Servers take the `id` of messages and broadcasts away, and archives of all ages have it. Where two rows have one, it
alone decides: archives that were filled in later carry invented uuids. Where one has none, its uuid tells which row it
is; where the other never had that uuid, what never changes of a row does (`Table.content`). A row that no side ever
named by a key stands under its uuid.
"""

from __future__ import annotations

import duckdb

from warehouse.lake.inlining import safe_from_text
from warehouse.lake.table import Table, count, materialise, quoted
from warehouse.loading.changes import find_changed, update_changed


def settle_stand_ins(connection: duckdb.DuckDBPyConnection, table: Table, within: str) -> None:
    """Give rows of `batch`, and stored ones, the key that the other side knows, before they are merged by it.

    `within` bounds the stored rows (SQL, of `stored`). Inside the caller's transaction.
    """
    key, stored = _key(table), _stored(table, within)
    take_stored_keys(connection, table, within)
    if _any_without(connection, table, stored) and _pair(connection, table, stored, "FROM batch"):
        _join_twins(connection, table, within)
        told = f"pairs AS incoming ON stored.{key} IS NULL AND stored.{table.stand_in} = incoming.{table.stand_in}"
        with safe_from_text(connection, f'(SELECT stored.* FROM "{table.name}" AS stored JOIN {told} AND {within})'):
            connection.execute(
                f"""
                MERGE INTO "{table.name}" AS stored USING {told} AND {within}
                WHEN MATCHED THEN UPDATE SET {key} = incoming.{key}
                """
            )
        _follow(connection, table)


def keys_as_stored(connection: duckdb.DuckDBPyConnection, table: Table, within: str) -> None:
    """Give rows of `batch` the key under which they are stored, and change nothing in the lake."""
    key, stored = _key(table), _stored(table, within)
    take_stored_keys(connection, table, within)
    if _any_without(connection, table, stored) and _pair(connection, table, stored, "FROM batch"):
        connection.execute(
            f"""
            UPDATE parsed SET {key} = NULL, {table.stand_in} = pairs.{table.stand_in} FROM pairs
            WHERE parsed.{key} = pairs.{key} AND pairs.{key} NOT IN (SELECT {key} FROM {stored} WHERE {key} IS NOT NULL)
            """
        )


def take_stored_keys(connection: duckdb.DuckDBPyConnection, table: Table, within: str) -> None:
    """Give rows of `batch` that have none the key that another of it or a stored one (`within`) has."""
    told = f"FROM batch UNION BY NAME {_stored(table, within)}"
    if _any_without(connection, table, "batch") and _pair(connection, table, "batch", told):
        _give_keys(connection, table)


def _stored(table: Table, within: str) -> str:
    return f'(FROM "{table.name}" AS stored WHERE {within})'


def _key(table: Table) -> str:
    (key,) = table.key
    return key


def _any_without(connection: duckdb.DuckDBPyConnection, table: Table, rows: str) -> bool:
    return bool(connection.execute(f"SELECT 1 FROM {rows} WHERE {_key(table)} IS NULL LIMIT 1").fetchone())


def _pair(connection: duckdb.DuckDBPyConnection, table: Table, rows: str, keyed: str) -> int:
    """Make `pairs`: which key the `rows` (SQL) without one have, as those that are `keyed` tell; return how many.

    Rows of equal content are paired in the order of their keys and uuids, which is that of their making.
    """
    key, stand_in = _key(table), table.stand_in
    content = quoted(table.content)
    same = " AND ".join(f'nameless."{column}" IS NOT DISTINCT FROM named."{column}"' for column in table.content)
    columns = f"{key}, {stand_in}, source, {content}"
    return materialise(
        connection,
        "pairs",
        f"""
        WITH nameless AS (SELECT {columns} FROM {rows} WHERE {key} IS NULL),
        named AS (SELECT {columns} FROM ({keyed}) WHERE {key} IS NOT NULL),
        by_uuid AS (
            SELECT {stand_in}, min(named.{key}) AS {key}
            FROM nameless JOIN named USING ({stand_in}) GROUP BY {stand_in}
        ),
        other_nameless AS (
            SELECT *, row_number() OVER (PARTITION BY {content} ORDER BY {stand_in}) AS place
            FROM nameless ANTI JOIN by_uuid USING ({stand_in})
        ),
        -- The API's uuids are true: such a row is no other's.
        other_named AS (
            SELECT *, row_number() OVER (PARTITION BY {content} ORDER BY {key}) AS place
            FROM (
                SELECT DISTINCT ON ({key}) * FROM named ANTI JOIN by_uuid USING ({key})
                WHERE {stand_in} IS NULL OR source = 'archive'
            )
        )
        FROM by_uuid
        UNION ALL
        SELECT nameless.{stand_in}, named.{key}
        FROM other_nameless AS nameless JOIN other_named AS named ON nameless.place = named.place AND {same}
        """,
    )


def _give_keys(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Give the rows of `parsed` their keys; of two that are one row then, the one read later stays."""
    key = _key(table)
    connection.execute(
        f"""
        UPDATE parsed SET {key} = pairs.{key} FROM pairs
        WHERE parsed.{key} IS NULL AND parsed.{table.stand_in} = pairs.{table.stand_in}
        """
    )
    connection.execute(
        f"""
        DELETE FROM parsed
        WHERE unreadable IS NULL AND {key} IN (SELECT {key} FROM pairs)
            AND line NOT IN (SELECT max(line) FROM parsed WHERE unreadable IS NULL AND {key} IS NOT NULL GROUP BY {key})
        """
    )


def _join_twins(connection: duckdb.DuckDBPyConnection, table: Table, within: str) -> None:
    """Make one row of two stored ones, with and without the key, that turn out to be the same."""
    key, stand_in = _key(table), table.stand_in
    nameless = f"stored.{key} IS NULL AND {within}"
    twins = materialise(
        connection,
        "twins",
        f"""
        SELECT stored.* REPLACE (pairs.{key} AS {key})
        FROM "{table.name}" AS stored JOIN pairs USING ({stand_in})
        WHERE {nameless} AND pairs.{key} IN (SELECT {key} FROM "{table.name}" AS stored WHERE {within})
        """,
    )
    if not twins:
        return
    matched = f"stored.{key} = incoming.{key} AND {within}"
    materialise(
        connection,
        "known",
        f'SELECT stored.* FROM "{table.name}" AS stored SEMI JOIN twins AS incoming ON {matched}',
    )
    if changed := find_changed(connection, table, tombstones=False, batch="twins"):
        update_changed(connection, table, matched, changed)
    connection.execute(
        f"""
        DELETE FROM "{table.name}" AS stored
        WHERE {nameless} AND {stand_in} IN (SELECT {stand_in} FROM pairs JOIN twins USING ({key}, {stand_in}))
        """
    )


def _follow(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Let the history of rows that have their key now follow them."""
    if not table.history:
        return
    key, stand_in = _key(table), table.stand_in
    noted = (
        f'"{table.history.table}" AS noted JOIN pairs ON noted.{key} IS NULL AND noted.{stand_in} = pairs.{stand_in}'
    )
    if count(connection, noted):
        connection.execute(
            f"""
            UPDATE "{table.history.table}" AS noted SET {key} = pairs.{key} FROM pairs
            WHERE noted.{key} IS NULL AND noted.{stand_in} = pairs.{stand_in}
            """
        )
