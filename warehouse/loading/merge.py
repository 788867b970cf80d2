"""Merges a staged batch into its table: the rows that are new or differ, and nothing else.

Where an API row and an archived one meet, each column has the value it would have had in the other order too:

* the later `modified_on` wins; at the same one the archive, which has the final state (`_wins`),
* a list that only grows keeps its longest state,
* columns that archives lack keep what the API said, columns that the API lacks what the archive said (`_final`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields

import duckdb

from warehouse.errors import RowsUnaccounted
from warehouse.lake.inlining import write_apart
from warehouse.lake.literal import literal
from warehouse.lake.table import Table, columns_of, count, materialise, quoted
from warehouse.loading.history import Sighting, note_changes
from warehouse.loading.provisional import settle_provisional
from warehouse.loading.quarantine import put_aside, release
from warehouse.loading.stage import Batch


@dataclass(frozen=True)
class Loaded:
    """What a batch did: to its table, to `_quarantine`, and to the rows that went with deleted contacts (`dragged`).

    Its rows are those that are new, changed, equal to the stored ones, double within the batch, and unreadable;
    `quarantined` counts the unreadable ones not seen before.
    """

    new: int = 0
    changed: int = 0
    equal: int = 0
    double: int = 0
    quarantined: int = 0
    dragged: int = 0

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
) -> Loaded:
    """Write what `batch` brings into its table, and its unreadable rows into `_quarantine`.

    Runs inside the caller's transaction. A row equal to the one in the lake is not written.
    Tombstones only mark: the values last seen of a deleted row stay.
    `sightings` says when rows were last seen, for the history of changes. `waiting=False` if none of the table's rows
    wait in quarantine, which costs to ask.

    Raises:
        RowsUnaccounted: rows of the batch are neither new nor known.
    """
    table = batch.table
    if waiting:
        release(connection, table)
    quarantined = put_aside(connection, batch, tombstones=tombstones) if batch.unreadable else 0
    within = partitions(connection, table)
    if table.provisional:
        settle_provisional(connection, table, within)
    matched = f"{table.same_key} AND {within}"
    changed = 0
    known = find_known(connection, table, matched)
    if known:
        changed = find_changed(connection, table, tombstones=tombstones)
        if changed:
            note_changes(connection, table, sightings)
            _update(connection, table, matched, changed)
    kept = count(connection, "batch")
    new = _insert(connection, table, kept, known=known)
    _check_accounted(connection, table, kept, new=new, known=known)
    return Loaded(
        new=new,
        changed=min(changed, kept - new),
        equal=max(kept - new - changed, 0),
        double=batch.rows - batch.unreadable - kept,
        quarantined=quarantined,
    )


def _check_accounted(connection: duckdb.DuckDBPyConnection, table: Table, kept: int, *, new: int, known: int) -> None:
    if kept == new + known:
        return
    # A key that stands twice in the table, which verify finds, is known twice.
    if kept != new + count(connection, f"(SELECT DISTINCT {table.keys} FROM known)"):
        raise RowsUnaccounted(
            f"{table.name}: of {kept:,} rows {new:,} are new and {known:,} are known, which does not add up: "
            "nothing of them was written; tell the developers of Rapidlake."
        )


def forget_batch(connection: duckdb.DuckDBPyConnection) -> None:
    """Give back the memory of the last batch."""
    for table in ("changed", "known", "parsed"):
        connection.execute(f"DROP TABLE IF EXISTS temp.{table}")


def partitions(connection: duckdb.DuckDBPyConnection, table: Table) -> str:
    """SQL: the condition that a row of `stored` is of the time that the batch is of, so that no other file is read."""
    column = table.partitioned_by
    if column:
        bounds = connection.execute(f'SELECT min("{column}")::VARCHAR, max("{column}")::VARCHAR FROM batch').fetchone()
        if bounds and bounds[0]:
            return f"""stored."{column}" BETWEEN '{bounds[0]}'::TIMESTAMPTZ AND '{bounds[1]}'::TIMESTAMPTZ"""
    return "true"


def find_known(connection: duckdb.DuckDBPyConnection, table: Table, matched: str) -> int:
    """Make `known`: the stored rows whose keys the batch has; return how many."""
    return materialise(
        connection,
        "known",
        f'SELECT stored.* FROM "{table.name}" AS stored SEMI JOIN batch AS incoming ON {matched}',
    )


def _insert(connection: duckdb.DuckDBPyConnection, table: Table, kept: int, *, known: int) -> int:
    """Append the rows of `batch` (`kept`) whose keys are not stored, of which `known` are; return how many."""
    columns = quoted(columns_of(connection, "batch"))
    unknown = f"batch ANTI JOIN known USING ({table.keys})" if known else "batch"  # a join costs, even with nothing
    rows = f"(SELECT {columns} FROM {unknown})"

    def write(part: str) -> int:
        found = connection.execute(f'INSERT INTO "{table.name}" ({columns}) FROM {rows} WHERE {part}').fetchone()
        return found[0] if found else 0

    return write_apart(connection, rows, write, number=kept - known)


def find_changed(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    *,
    tombstones: bool,
    besides: Collection[str] = (),
    by_reference: bool = False,
) -> int:
    """Make `changed`: the rows of `known` as they are after the batch, where that differs; return how many.

    `besides` names columns that do not count as a difference. `by_reference` compares objects that a row refers to by
    their uuid, not by their name: the server sends current names, and a new name changes no row.
    """
    columns = columns_of(connection, "batch")
    final = {column: _final(table, column, tombstones=tombstones) for column in columns}
    final |= {name: _good_name(name, same, final[name]) for name, same in _names(columns).items()}
    compared = final.keys() - {"source", "synced_on", *besides}
    if by_reference:
        compared -= {column for column in final if f"{column.removesuffix('_name')}_uuid" in final}
    references = _lists_of_references(connection) if by_reference else set()
    differs = " OR ".join(
        f"{_uuids(stored)} IS DISTINCT FROM {_uuids(value)}"
        if column in references
        else f"{stored} IS DISTINCT FROM {value}"
        for column, value in final.items()
        if column in compared and (stored := f'stored."{column}"')
    )
    return materialise(
        connection,
        "changed",
        f"""
        SELECT {", ".join(f'{value} AS "{column}"' for column, value in final.items())}
        FROM batch AS incoming JOIN known AS stored ON {table.same_key}
        WHERE ({differs}){"" if table.archive_type else f" AND {_wins(table)}"}
        """,
    )


def _names(columns: Collection[str]) -> dict[str, str]:
    """The columns that hold the name of a thing, each with SQL that says that both states mean the same thing."""
    names = {
        column: f'stored."{uuid}" = incoming."{uuid}"'
        for column in columns
        if column.endswith("_name") and (uuid := f"{column.removesuffix('_name')}_uuid") in columns
    }
    return names | ({"name": "true"} if {"name", "uuid"} <= set(columns) else {})


def _good_name(column: str, same: str, final: str) -> str:
    """SQL of the name a thing has: the server calls a deleted one deleted-..., which never replaces its good name."""
    incoming, stored = f'incoming."{column}"', f'stored."{column}"'
    return f"""CASE
        WHEN {same} AND starts_with({incoming}, 'deleted-') AND NOT starts_with({stored}, 'deleted-') THEN {stored}
        WHEN {same} AND starts_with({stored}, 'deleted-') AND NOT starts_with({incoming}, 'deleted-') THEN {incoming}
        ELSE {final}
    END"""


def _lists_of_references(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The columns of `batch` that are lists of (uuid, name)."""
    described = connection.execute("DESCRIBE batch").fetchall()
    return {column for column, kind, *_ in described if kind == 'STRUCT(uuid UUID, "name" VARCHAR)[]'}


def _uuids(references: str) -> str:
    return f"list_sort(list_transform({references}, lambda reference: reference.uuid))"


def _wins(table: Table) -> str:
    """SQL that says whether the incoming state of a row is the later one."""
    later = (
        f'coalesce(stored."{table.never_older}" <= incoming."{table.never_older}", true)'
        if table.never_older
        else "true"
    )
    if not table.archive_type:
        return later
    return f"""CASE
        WHEN incoming.source = 'archive' THEN coalesce(stored.modified_on <= incoming.modified_on, true)
        WHEN stored.source = 'archive' THEN coalesce(stored.modified_on < incoming.modified_on, false)
        ELSE {later}
    END"""


def _final(table: Table, column: str, *, tombstones: bool) -> str:
    """SQL of the value a column has after `incoming` met `stored`."""
    incoming, stored = f'incoming."{column}"', f'stored."{column}"'
    if tombstones:
        return incoming if column in ("deleted_on", "modified_on", "source", "synced_on") else stored
    if column in ("deleted_on", "synced_on"):
        return incoming
    if not table.archive_type:
        return f"coalesce({incoming}, {stored})" if column in table.kept else incoming
    if column == "source":
        return "CASE WHEN 'archive' IN (incoming.source, stored.source) THEN 'archive' ELSE 'api' END"
    if column == "archived_in":
        return _LATEST_FILE
    if column in table.api_first:
        return f"""CASE
            WHEN incoming.source = 'archive' THEN coalesce({stored}, {incoming})
            WHEN stored.source = 'archive' THEN coalesce({incoming}, {stored})
            WHEN {_wins(table)} THEN {f"coalesce({incoming}, {stored})" if column in table.kept else incoming}
            ELSE {stored}
        END"""
    if column in table.growing:
        longer = f"coalesce(len({incoming}), 0) - coalesce(len({stored}), 0)"
        return f"CASE WHEN {longer} > 0 OR ({longer} = 0 AND {_wins(table)}) THEN {incoming} ELSE {stored} END"
    if column in table.kept:
        return f"CASE WHEN {_wins(table)} THEN coalesce({incoming}, {stored}) ELSE coalesce({stored}, {incoming}) END"
    return f"CASE WHEN {_wins(table)} THEN {incoming} ELSE {stored} END"


# Of two files that have a row the later one; within a month the one just read, for a monthly file replaces daily ones.
_LATEST_FILE = """CASE
    WHEN date_trunc('month', stored.archived_in) = date_trunc('month', incoming.archived_in) THEN incoming.archived_in
    ELSE greatest(stored.archived_in, incoming.archived_in)
END"""


def _update(connection: duckdb.DuckDBPyConnection, table: Table, matched: str, number: int) -> None:
    """Write `changed`, so many rows, over the stored ones."""
    updates = ", ".join(
        f'"{column}" = incoming."{column}"' for column in columns_of(connection, "changed") if column not in table.key
    )

    def write(part: str) -> int:
        connection.execute(
            f"""
            MERGE INTO "{table.name}" AS stored USING (FROM changed WHERE {part}) AS incoming ON {matched}
            WHEN MATCHED THEN UPDATE SET {updates}
            """
        )
        return 0

    write_apart(connection, "changed", write, number=number)


def note_drift(connection: duckdb.DuckDBPyConnection, drift: Iterable[tuple[str, str, str]]) -> None:
    """Remember (stream, key, kind) where kind is `unknown` or `missing`, each once; inside the caller's transaction."""
    noted = set(connection.execute("SELECT stream, key, kind FROM _drift").fetchall())
    for row in sorted(set(drift) - noted):
        values = ", ".join(map(literal, row))
        connection.execute(f"INSERT INTO _drift (stream, key, kind, first_seen_on) VALUES ({values}, now())")
