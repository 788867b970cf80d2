"""Notes every change seen of the columns that a table keeps the history of, and between which two times it happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from warehouse.lake.clock import NOW
from warehouse.lake.literal import literal
from warehouse.lake.table import History, Table


@dataclass(frozen=True)
class Sighting:
    """A reading of every row created from `created_from` on, finished not before `seen_on` (both UTC)."""

    created_from: datetime
    seen_on: datetime


def note_changes(connection: duckdb.DuckDBPyConnection, table: Table, sightings: Sequence[Sighting]) -> None:
    """Append what differs between `known` and `changed` to the table's history, where it has one.

    A value was still there when the row was last sighted; when the sync began that wrote it; or, if an archive brought
    it, at the end of the archive's first day, for no archive is written before.
    """
    if not table.history:
        return
    seen = ", ".join(
        f"CASE WHEN stored.{table.partitioned_by} >= {literal(one.created_from)} THEN {literal(one.seen_on)} END"
        for one in sightings
    )
    columns = (*table.history.values, *table.history.references)
    changes = " UNION ALL ".join(_changes(table, table.history, column, seen or "NULL") for column in columns)
    connection.execute(
        f"""
        INSERT INTO "{table.history.table}" BY NAME
        WITH begun AS (SELECT started_on FROM _sync WHERE stream = {literal(table.name)})
        {changes}
        """
    )


def _changes(table: Table, history: History, column: str, seen: str) -> str:
    """SQL of the changes of one column."""
    keys = ", ".join(f'incoming."{key}"' for key in table.key_columns)
    compared, written = "{}", "{}"
    if column in history.references:
        compared = "list_sort(list_transform(coalesce({}, []), lambda reference: reference.uuid))"
        written = "to_json(coalesce({}, []))::VARCHAR"
    before, after = f"stored.{column}", f"incoming.{column}"
    return f"""
        SELECT {keys}, '{column}' AS what, {written.format(before)} AS from_value, {written.format(after)} AS to_value,
            least({NOW}, CASE
                WHEN stored.source = 'archive' THEN greatest(stored.archived_in + INTERVAL 1 DAY, {seen})
                ELSE greatest(begun.started_on, {seen})
            END) AS still_on,
            {NOW} AS changed_by
        FROM changed AS incoming
        JOIN known AS stored ON {table.same_key}
        ASOF LEFT JOIN begun ON stored.synced_on >= begun.started_on
        WHERE {compared.format(before)} IS DISTINCT FROM {compared.format(after)}
    """
