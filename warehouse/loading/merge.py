"""Merges a staged batch into its table: the rows that are new or differ, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import duckdb

from warehouse.errors import RowsUnaccounted
from warehouse.lake.clock import NOW
from warehouse.lake.inlining import write_apart
from warehouse.lake.literal import literal
from warehouse.lake.table import Table, columns_of, count, quoted
from warehouse.loading.changes import find_changed, find_known, find_moved, update_changed
from warehouse.loading.history import Sighting, note_changes
from warehouse.loading.provisional import settle_provisional
from warehouse.loading.quarantine import put_aside, release
from warehouse.loading.stage import Batch
from warehouse.loading.stand_ins import settle_stand_ins


@dataclass(frozen=True)
class Loaded:
    """What a batch did: to its table, to `_quarantine`, and to the rows that went with deleted contacts (`dragged`).

    Its rows are those that are new, changed, equal to the stored ones, double within the batch, and unreadable;
    `quarantined` counts the unreadable ones not seen before, `deleted` the changed ones that the server calls deleted.
    """

    new: int = 0
    changed: int = 0
    equal: int = 0
    double: int = 0
    quarantined: int = 0
    dragged: int = 0
    deleted: int = 0

    def __add__(self, other: Loaded) -> Loaded:
        """What both did."""
        return Loaded(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


def merge(
    connection: duckdb.DuckDBPyConnection,
    batch: Batch,
    *,
    tombstones: bool = False,
    sightings: Sequence[Sighting] = (),
    waiting: bool = True,
    begun: datetime | None = None,
) -> Loaded:
    """Write what `batch` brings into its table, and its unreadable rows into `_quarantine`.

    Runs inside the caller's transaction. A row equal to the one in the lake is not written.
    Tombstones only mark: the values last seen of a deleted row stay.
    `sightings` says when rows were last seen, for the history of changes. `waiting=False` if none of the table's rows
    wait in quarantine, which costs to ask. `begun` is when the reading began that brought the batch, by this machine's
    clock.

    Raises:
        RowsUnaccounted: rows of the batch are neither new nor known.
    """
    table = batch.table
    if table.never_older:
        connection.execute(f"SET VARIABLE begun = {literal(begun)}")
    if waiting:
        release(connection, table)
    quarantined = put_aside(connection, batch, tombstones=tombstones) if batch.unreadable else 0
    within = partitions(connection, table)
    if table.provisional:
        settle_provisional(connection, table, within)
    if table.stand_in:
        settle_stand_ins(connection, table, within)
    matched = f"{table.same_key} AND {within}"
    changed = deleted = 0
    known = find_known(connection, table, matched)
    if known:
        changed = find_changed(connection, table, tombstones=tombstones)
        if changed:
            note_changes(connection, table, sightings)
            deleted = _newly_deleted(connection, table) if table.longest_name else 0
            update_changed(connection, table, matched, changed)
            if table.moved_by:  # nobody changed them
                changed -= find_moved(connection, table)
    kept = count(connection, "batch")
    new = _insert(connection, table, kept, known=known)
    _check_accounted(connection, table, kept, new=new, known=known)
    return Loaded(
        new=new,
        changed=min(changed, kept - new),
        equal=max(kept - new - changed, 0),
        double=batch.rows - batch.unreadable - kept,
        quarantined=quarantined,
        deleted=deleted,
    )


def _newly_deleted(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    """How many of `changed` are deleted from now on."""
    return count(
        connection,
        f"""(FROM changed AS incoming JOIN known AS stored ON {table.same_key}
            WHERE stored.deleted_on IS NULL AND incoming.deleted_on IS NOT NULL)""",
    )


def _check_accounted(connection: duckdb.DuckDBPyConnection, table: Table, kept: int, *, new: int, known: int) -> None:
    if kept == new + known:
        return
    # A key that stands twice in the table, which verify finds, is known twice.
    if kept != new + count(connection, f"(SELECT DISTINCT {table.distinct} FROM known)"):
        raise RowsUnaccounted(
            f"{table.name}: of {kept:,} rows {new:,} are new and {known:,} are known, which does not add up: "
            "nothing of them was written; tell the developers of Rapidlake."
        )


def forget_batch(connection: duckdb.DuckDBPyConnection) -> None:
    """Give back the memory of the last batch."""
    for table in ("changed", "known", "moved", "parsed"):
        connection.execute(f"DROP TABLE IF EXISTS temp.{table}")


def partitions(connection: duckdb.DuckDBPyConnection, table: Table) -> str:
    """SQL: the condition that a row of `stored` is of the time that the batch is of, so that no other file is read."""
    column = table.partitioned_by
    if column:
        bounds = connection.execute(f'SELECT min("{column}")::VARCHAR, max("{column}")::VARCHAR FROM batch').fetchone()
        if bounds and bounds[0]:
            return f"""stored."{column}" BETWEEN '{bounds[0]}'::TIMESTAMPTZ AND '{bounds[1]}'::TIMESTAMPTZ"""
    return "true"


def _insert(connection: duckdb.DuckDBPyConnection, table: Table, kept: int, *, known: int) -> int:
    """Append the rows of `batch` (`kept`) whose keys are not stored, of which `known` are; return how many."""
    columns = quoted(columns_of(connection, "batch"))
    # A join costs, even with nothing.
    unknown = f"batch AS incoming ANTI JOIN known AS stored ON {table.same_key}" if known else "batch"
    rows = f"(SELECT {columns} FROM {unknown})"

    def write(part: str) -> int:
        found = connection.execute(f'INSERT INTO "{table.name}" ({columns}) FROM {rows} WHERE {part}').fetchone()
        return found[0] if found else 0

    return write_apart(connection, rows, write, number=kept - known)


def note_drift(connection: duckdb.DuckDBPyConnection, drift: Iterable[tuple[str, str, str]]) -> None:
    """Remember (stream, key, kind) where kind is `unknown` or `missing`, each once; inside the caller's transaction."""
    noted = set(connection.execute("SELECT stream, key, kind FROM _drift").fetchall())
    for row in sorted(set(drift) - noted):
        values = ", ".join(map(literal, row))
        connection.execute(f"INSERT INTO _drift (stream, key, kind, first_seen_on) VALUES ({values}, {NOW})")
