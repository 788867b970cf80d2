"""Notes every change seen of a message's status, visibility or labels, and between which two times it happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from warehouse.lake.literal import literal
from warehouse.lake.table import Table

# What a value of a column is compared by, and how it is written down.
_COMPARED = {
    "status": ("{row}.status", "{row}.status"),
    "visibility": ("{row}.visibility", "{row}.visibility"),
    "labels": (
        "list_sort(list_transform(coalesce({row}.labels, []), lambda label: label.uuid))",
        "to_json(coalesce({row}.labels, []))::VARCHAR",
    ),
}


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
        f"CASE WHEN stored.created_on >= {literal(one.created_from)} THEN {literal(one.seen_on)} END"
        for one in sightings
    )
    changes = " UNION ALL ".join(_changes(table, what, seen or "NULL") for what in _COMPARED)
    connection.execute(
        f"""
        INSERT INTO "{table.history}"
        WITH begun AS (SELECT started_on FROM _sync WHERE stream = {literal(table.name)})
        {changes}
        """
    )


def _changes(table: Table, what: str, seen: str) -> str:
    compared, written = _COMPARED[what]
    before, after = compared.format(row="stored"), compared.format(row="incoming")
    return f"""
        SELECT incoming.id, '{what}', {written.format(row="stored")}, {written.format(row="incoming")},
            least(now(), CASE
                WHEN stored.source = 'archive' THEN greatest(stored.archived_in + INTERVAL 1 DAY, {seen})
                ELSE greatest(begun.started_on, {seen})
            END),
            now()
        FROM changed AS incoming
        JOIN known AS stored ON {table.same_key}
        ASOF LEFT JOIN begun ON stored.synced_on >= begun.started_on
        WHERE {before} IS DISTINCT FROM {after}
    """
