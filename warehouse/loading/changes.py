"""Finds the stored rows that a batch changes, and what they become; writes them.

Where an API row and an archived one meet, each column has the value it would have had in the other order too:

* the later `modified_on` wins; at the same one the archive, which has the final state; over an archive that tells none
  the API, if it listed the row when the archive was written already (`_wins`),
* a list that only grows keeps its longest state,
* columns that archives lack keep what the API said, columns that the API lacks what the archive said (`_final`).
"""

from __future__ import annotations

from collections.abc import Collection

import duckdb

from warehouse.lake.clock import NOW
from warehouse.lake.inlining import write_apart
from warehouse.lake.literal import literal
from warehouse.lake.table import Table, columns_of, materialise

# SQL of the time at which the reading began that brought the batch, by this machine's clock; NULL if it is not known.
BEGUN = "getvariable('begun')::TIMESTAMPTZ"


def find_known(connection: duckdb.DuckDBPyConnection, table: Table, matched: str) -> int:
    """Make `known`: the stored rows whose keys the batch has; return how many."""
    return materialise(
        connection,
        "known",
        f'SELECT stored.* FROM "{table.name}" AS stored SEMI JOIN batch AS incoming ON {matched}',
    )


def find_changed(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    *,
    tombstones: bool,
    besides: Collection[str] = (),
    by_reference: bool = False,
    batch: str = "batch",
) -> int:
    """Make `changed`: the rows of `known` as they are after `batch`, where that differs; return how many.

    `besides` names columns that do not count as a difference. `by_reference` compares objects that a row refers to by
    their uuid, not by their name: the server sends current names, and a new name changes no row.
    """
    columns = columns_of(connection, batch)
    final = {column: _final(table, column, tombstones=tombstones) for column in columns}
    final |= {name: _good_name(name, same, final[name]) for name, same in _names(columns).items()}
    lists = _lists_of_references(connection, batch)
    final |= {
        column: f'with_good_names({final[column]}, list_concat(incoming."{column}", stored."{column}"))'
        for column in lists
    }
    if table.longest_name:
        final = {column: _final_of_deleted(column, value) for column, value in final.items()}
    compared = final.keys() - {"source", "synced_on", *besides}
    if by_reference:
        compared -= {column for column in final if f"{column.removesuffix('_name')}_uuid" in final}
    references = lists if by_reference else set()
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
        FROM {batch} AS incoming JOIN known AS stored ON {table.same_key}
        WHERE ({differs}){"" if table.archive_type else f" AND {_wins(table)}"}
        """,
    )


def find_moved(connection: duckdb.DuckDBPyConnection, table: Table, besides: Collection[str] = ()) -> int:
    """Make `moved`: the rows of `changed` of which only modified_on is another, moved by asking for their documents.

    `besides` names columns that may be others too. Returns how many.
    """
    compared = set(columns_of(connection, "changed")) - {"modified_on", "source", "synced_on", *besides}
    same = " AND ".join(f'stored."{column}" IS NOT DISTINCT FROM incoming."{column}"' for column in sorted(compared))
    return materialise(
        connection,
        "moved",
        f"""
        SELECT incoming.*
        FROM changed AS incoming JOIN known AS stored ON {table.same_key}
        JOIN _documents AS asked ON asked.stream = {literal(table.moved_by)} AND asked.uuid = incoming.uuid
        WHERE incoming.modified_on BETWEEN asked_from AND asked_until AND {same}
        """,
    )


def _names(columns: Collection[str]) -> dict[str, str]:
    """The columns that hold the name of a thing, each with SQL that says that both states mean the same thing."""
    names = {
        f"{thing}_name": f'stored."{key}" = incoming."{key}"'
        for key in columns
        for thing, _, kind in [key.rpartition("_")]
        if kind in ("uuid", "key") and f"{thing}_name" in columns
    }
    return names | ({"name": "true"} if "name" in columns and {"uuid", "key"} & set(columns) else {})


def _good_name(column: str, same: str, final: str) -> str:
    """SQL of the name a thing has: that of a deleted one never replaces its good name, and is replaced by any."""
    incoming, stored = f'incoming."{column}"', f'stored."{column}"'
    return f"""CASE
        WHEN {same} AND is_deleted_name({incoming}) AND NOT is_deleted_name({stored}) THEN {stored}
        WHEN {same} AND is_deleted_name({stored}) AND NOT is_deleted_name({incoming}) THEN {incoming}
        ELSE {final}
    END"""


def _final_of_deleted(column: str, final: str) -> str:
    """SQL of `final`, or, where the server calls the incoming row deleted, of what stays: its last live state."""
    incoming, stored = f'incoming."{column}"', f'stored."{column}"'
    if column == "synced_on":
        return final
    left = {
        "deleted_on": f"coalesce({stored}, {incoming})",
        "name": f"CASE WHEN is_deleted_name({stored}) THEN {incoming} ELSE {stored} END",
    }.get(column, stored)
    return f"CASE WHEN incoming.deleted_on IS NOT NULL THEN {left} ELSE {final} END"


def _lists_of_references(connection: duckdb.DuckDBPyConnection, batch: str) -> set[str]:
    """The columns of a relation that are lists of (uuid, name)."""
    described = connection.execute(f"DESCRIBE {batch}").fetchall()
    return {column for column, kind, *_ in described if kind == 'STRUCT(uuid UUID, "name" VARCHAR)[]'}


def _uuids(references: str) -> str:
    return f"list_sort(list_transform({references}, lambda reference: reference.uuid))"


def _wins(table: Table) -> str:
    """SQL that says whether the incoming state of a row is the later one.

    One read after the stored one was written is, whatever their dates: the server's clock may have been set back.
    """
    later = (
        f"""(coalesce(stored."{table.never_older}" <= incoming."{table.never_older}", true)
            OR stored.synced_on NOT BETWEEN coalesce({BEGUN}, '-infinity') AND {NOW})"""
        if table.never_older
        else "true"
    )
    if not table.archive_type:
        return later
    return f"""CASE
        WHEN incoming.source = 'archive' AND incoming.modified_on IS NULL
            THEN CASE stored.source WHEN 'api' THEN NOT {_read_late("stored")} ELSE stored.modified_on IS NULL END
        WHEN incoming.source = 'archive' THEN coalesce(stored.modified_on <= incoming.modified_on, true)
        WHEN stored.source = 'archive' AND stored.modified_on IS NULL THEN {_read_late("incoming")}
        WHEN stored.source = 'archive' THEN coalesce(stored.modified_on < incoming.modified_on, false)
        ELSE {later}
    END"""


def _read_late(row: str) -> str:
    """SQL: the condition that the API still listed a row when archives, which are written after 90 days, had it."""
    return f"({row}.synced_on > {row}.created_on + INTERVAL 89 DAY)"


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
    if column in table.api_only:
        return f"""CASE
            WHEN incoming.source = 'archive' THEN {stored}
            WHEN stored.source = 'archive' OR {_wins(table)} THEN {incoming}
            ELSE {stored}
        END"""
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
    for map_column, part in table.kept_in:
        if column == map_column:
            return f"""CASE
                WHEN {_wins(table)} THEN {_with_part(incoming, stored, part)}
                ELSE {_with_part(stored, incoming, part)}
            END"""
    return f"CASE WHEN {_wins(table)} THEN {incoming} ELSE {stored} END"


def _with_part(values: str, others: str, part: str) -> str:
    """SQL of a map, with a part that its values lack as the same values, of the same time, have it in another map."""
    other = f"{others}[entry.key]"
    known = f'CASE WHEN {other}."time" = entry.value."time" THEN {other}.{part} END'
    return f"""CASE
        WHEN {values} IS NOT DISTINCT FROM {others} OR {others} IS NULL THEN {values}
        ELSE map_from_entries(list_transform(map_entries({values}), lambda entry: struct_pack(
            key := entry.key,
            value := struct_update(entry.value, {part} := coalesce(entry.value.{part}, {known}))
        )))
    END"""


# Of two files that have a row the later one; within a month the one just read, for a monthly file replaces daily ones.
_LATEST_FILE = """CASE
    WHEN date_trunc('month', stored.archived_in) = date_trunc('month', incoming.archived_in) THEN incoming.archived_in
    ELSE greatest(stored.archived_in, incoming.archived_in)
END"""


def update_changed(connection: duckdb.DuckDBPyConnection, table: Table, matched: str, number: int) -> None:
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
