"""Gives rows that came without a uuid the one that another source knows.

Archives from before October 2018 name a run by its id only. Such a row stands under a provisional uuid, the id in
hexadecimal, until the API or a later archive tells the real one, in either order.
"""

from __future__ import annotations

import duckdb

from warehouse.lake.inlining import safe_from_text
from warehouse.lake.table import Table, count

# Real uuids are random: none begins with this many zeros.
LIMIT = "'00000000-0000-0001-0000-000000000000'::UUID"
PROVISIONAL = "lpad(to_hex({row}.id), 32, '0')::UUID"


def settle_provisional(connection: duckdb.DuckDBPyConnection, table: Table, within: str) -> None:
    """Bring the uuids of `parsed` and of the stored rows together, before they are merged by uuid.

    `within` bounds the stored rows (SQL, of `stored`). Inside the caller's transaction.
    """
    if count(connection, f"parsed WHERE uuid < {LIMIT}"):
        # A record that has the uuid was written by a later archiver.
        connection.execute(
            f"DELETE FROM parsed WHERE uuid < {LIMIT} AND id IN (SELECT id FROM parsed WHERE uuid >= {LIMIT})"
        )
        connection.execute(
            f"""
            UPDATE parsed SET uuid = stored.uuid FROM "{table.name}" AS stored
            WHERE parsed.uuid < {LIMIT} AND stored.id = parsed.id AND stored.uuid >= {LIMIT} AND {within}
            """
        )
    if count(connection, f'"{table.name}" AS stored WHERE stored.uuid < {LIMIT} AND {within}'):
        told = f"""(SELECT any_value(uuid) AS uuid, id FROM batch WHERE uuid >= {LIMIT} GROUP BY id) AS incoming
            ON stored.uuid = {PROVISIONAL.format(row="incoming")} AND {within}"""
        with safe_from_text(connection, f'(SELECT stored.* FROM "{table.name}" AS stored JOIN {told})'):
            connection.execute(
                f'MERGE INTO "{table.name}" AS stored USING {told} WHEN MATCHED THEN UPDATE SET uuid = incoming.uuid'
            )
