"""Takes values out of `extra` for the columns that a later version adds, so that no row need be read again.

A value goes into a column only where that has none yet. What does not fit the column, or cannot be told from what the
lake has of the row, stays in `extra` until the row is read again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import duckdb
from duckdb.sqltypes import DuckDBPyType

from warehouse.lake import schema
from warehouse.lake.attaching import outside_the_lake
from warehouse.lake.connection import Lake
from warehouse.lake.inlining import write_apart
from warehouse.lake.literal import literal, text_list
from warehouse.lake.table import Table, materialise, quoted
from warehouse.parsing.columns import Path, SelectColumns
from warehouse.parsing.parse import statements, without_moved_casts

# Rows of one commit: they are in memory, and each commit writes a file for each month that it is of.
ROWS_AT_ONCE = 50_000


@dataclass(frozen=True)
class Plan:
    """How a table's values come out of `extra`.

    found: the paths in `extra` that the record type has now, each with the columns that are made of it; none of them
        where one of these needs more than can be told.
    columns: all those that values may go to.
    copied: paths that these need beside what is found, each with the column that has its value.
    select: SQL that makes `has` and `row` of `records`, as `SelectColumns.each_guarded` says.
    """

    found: dict[Path, list[str]]
    columns: list[str]
    copied: dict[Path, str]
    select: str

    @property
    def objects(self) -> list[Path]:
        """The objects that the found paths are in, the innermost first."""
        return sorted({path[:depth] for path in self.found for depth in range(1, len(path))}, key=len, reverse=True)


def harvest(lake: Lake, tables: Iterable[Table], *, rows_at_once: int = ROWS_AT_ONCE) -> int:
    """Give the rows of `tables` what `extra` keeps of their columns, once for each version; return how many got some.

    In several commits: one that is interrupted goes on where it was, for what was taken is no longer in `extra`.
    """
    if _is_done(lake):
        return 0
    with lake.lock("harvest"):
        if _is_done(lake):  # by another process meanwhile
            return 0
        taken, known = 0, {}
        for table in tables:
            known[table.name] = _known_paths(lake, table)
            taken += _take(lake, table, known[table.name], rows_at_once)
        lake.commit(lambda connection: _note_done(connection, known))
        return taken


def _is_done(lake: Lake) -> bool:
    return lake.rows("SELECT extra_read_with FROM _lake") == [(schema.fingerprint_of_reading(),)]


def _note_done(connection: duckdb.DuckDBPyConnection, known: dict[str, list[Path]]) -> None:
    """Remember that this version looked; what it knows drifts no more."""
    for stream, paths in known.items():
        keys = {path[0] for path in paths} | {".".join(path) for path in paths}
        connection.execute(
            f"DELETE FROM _drift WHERE stream = {literal(stream)} AND kind = 'unknown' "
            f"AND list_contains({text_list(sorted(keys))}, key)"
        )
    connection.execute(f"UPDATE _lake SET extra_read_with = {literal(schema.fingerprint_of_reading())}")


def _known_paths(lake: Lake, table: Table) -> list[Path]:
    """The paths of a stream's record type; lists, maps and JSON are one value each."""
    record_type, _ = statements(table.name)
    with lake.connection() as connection, outside_the_lake(connection):
        connection.execute(record_type)
        return _leaves(connection.sql(f'SELECT NULL::"{table.name}_record"').types[0])


def _leaves(kind: object, above: Path = ()) -> list[Path]:
    assert isinstance(kind, DuckDBPyType)
    if kind.id != "struct":
        return [above]
    return [path for name, part in kind.children for path in _leaves(part, (*above, name))]


def _take(lake: Lake, table: Table, known: list[Path], rows_at_once: int) -> int:
    """Take what can be taken for one table, so many rows at once; return how many rows got something."""
    plan = _plan(lake, table, known)
    if not plan:
        return 0
    rows = lake.commit(lambda connection: _find_rows(connection, table, plan))
    taken = 0
    for first in range(1, rows + 1, rows_at_once):
        places = f"place BETWEEN {first} AND {first + rows_at_once - 1}"
        with lake.writing(table.name):
            taken += lake.commit(partial(_take_part, table=table, plan=plan, places=places))
    return taken


def _plan(lake: Lake, table: Table, known: list[Path]) -> Plan | None:
    """What `extra` has for which columns of the table; None if nothing."""
    there = {key for (key,) in lake.rows(f'SELECT DISTINCT unnest(json_keys(extra)) FROM "{table.name}"')}
    asked = [path for path in known if path[0] in there]
    if not asked:
        return None
    has = ", ".join(f"coalesce(bool_or({_exists(path)}), false)" for path in asked)
    [answer] = lake.rows(f'SELECT {has} FROM "{table.name}" WHERE extra IS NOT NULL')
    found = [path for path, is_there in zip(asked, answer, strict=True) if is_there]
    with lake.connection() as connection:
        columns = SelectColumns(connection, statements(table.name)[1])
    readers = {path: _readers(columns, path) for path in found}
    copies = {path: name for name in columns.names if (path := columns.copies(name))}
    needs = {name: _needs(columns, name, found) for name in {name for names in readers.values() for name in names}}
    chosen = [name for name in columns.names if name in needs and needs[name] <= copies.keys()]
    if not chosen:
        return None
    return Plan(
        {path: names if set(names) <= set(chosen) else [] for path, names in readers.items()},
        chosen,
        {path: copies[path] for name in chosen for path in needs[name]},
        columns.each_guarded(tested=chosen, read=chosen),
    )


def _readers(columns: SelectColumns, path: Path) -> list[str]:
    """The columns that are made of a path; if there is none, those made of the object that it is in."""
    exact = [name for name in columns.names if any(one[: len(path)] == path for one in columns.reads(name))]
    return exact or [name for name in columns.names if any(path[: len(one)] == one for one in columns.reads(name))]


def _needs(columns: SelectColumns, name: str, found: list[Path]) -> set[Path]:
    """The paths that a column is made of beside those that are found."""
    return {
        path
        for path in columns.reads(name)
        if not any(path[: len(one)] == one or one[: len(path)] == path for one in found)
    }


def _find_rows(connection: duckdb.DuckDBPyConnection, table: Table, plan: Plan) -> int:
    """Make `with_extra`: the rows that have something to take, numbered month by month; return how many."""
    on = f'"{table.partitioned_by}"' if table.partitioned_by else "NULL::TIMESTAMPTZ"
    return materialise(
        connection,
        "with_extra",
        f"""
        SELECT row_number() OVER (ORDER BY date_trunc('month', {on}), rowid) AS place, rowid AS row_id, {on} AS day
        FROM "{table.name}"
        WHERE {" OR ".join([*map(_exists, plan.found), *map(_is_null, plan.objects)])}
        """,
    )


def _take_part(connection: duckdb.DuckDBPyConnection, table: Table, plan: Plan, places: str) -> int:
    """Take it for the rows with these places (SQL); return how many got something. In the caller's transaction."""
    within = _within(connection, table, places)
    materialise(
        connection,
        "before",
        f"""
        SELECT row_id, stored.*
        FROM "{table.name}" AS stored JOIN with_extra ON stored.rowid = row_id
        WHERE {places} AND {within}
        """,
    )
    with outside_the_lake(connection), without_moved_casts(connection):
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE read_anew AS
            WITH texts AS (SELECT row_id, {_json_of_row(plan)} AS json, extra FROM before),
            records AS (
                SELECT row_id, json, TRY_CAST(json AS "{table.name}_record") AS record, extra FROM texts
            )
            {plan.select}
            """
        )
        number = materialise(connection, "changed", _changed(plan))
    set_columns = ", ".join(f'"{column}" = incoming."{column}"' for column in [*plan.columns, "extra"])

    def write(part: str) -> int:
        connection.execute(
            f"""
            MERGE INTO "{table.name}" AS stored USING (FROM changed WHERE {part}) AS incoming
            ON stored.rowid = incoming.row_id AND {within}
            WHEN MATCHED THEN UPDATE SET {set_columns}
            """
        )
        return 0

    if number:
        write_apart(connection, "changed", write, number=number)
    for name in ("before", "read_anew", "changed"):
        connection.execute(f"DROP TABLE temp.{name}")
    return number


def _within(connection: duckdb.DuckDBPyConnection, table: Table, places: str) -> str:
    """SQL: the condition that a row of `stored` is of the time of these places, so that no other file is read."""
    days = f"SELECT min(day)::VARCHAR, max(day)::VARCHAR FROM with_extra WHERE {places}"
    first, last = connection.execute(days).fetchall()[0]
    if not first:
        return "true"
    return f"""stored."{table.partitioned_by}" BETWEEN '{first}'::TIMESTAMPTZ AND '{last}'::TIMESTAMPTZ"""


def _json_of_row(plan: Plan) -> str:
    """SQL of as much of a row's JSON as is needed."""
    if not plan.copied:
        return "extra"
    copies = {path: quoted([name]) for path, name in plan.copied.items()}
    return f"json_merge_patch({_object(copies)}, extra)"


def _object(parts: dict[Path, str]) -> str:
    """SQL of a JSON object with these values (SQL) at these paths."""
    members = []
    for key in dict.fromkeys(path[0] for path in parts):
        inner = {path[1:]: value for path, value in parts.items() if path[0] == key}
        members.append(f"{literal(key)}, {inner[()] if () in inner else _object(inner)}")
    return f"json_object({', '.join(members)})"


def _changed(plan: Plan) -> str:
    """SQL of the rows of `before` that get something, or lose a key of `extra`, as they are then."""
    gone = {path: _is_taken(path, names) for path, names in plan.found.items() if names}
    gone |= {path: f"coalesce({_is_null(path, 'before.')}, false)" for path in plan.objects}
    filled = [f'(before."{name}" IS NULL AND read_anew.has."{name}" = false)' for name in plan.columns]
    values = [f'coalesce(before."{name}", read_anew.row."{name}") AS "{name}"' for name in plan.columns]
    patches = ", ".join(
        f"CASE WHEN {condition} THEN {literal(_without(path))} ELSE '{{}}' END" for path, condition in gone.items()
    )
    extra = f"json_merge_patch(before.extra, {patches})" if gone else "before.extra"
    select = f"""
        SELECT before.* REPLACE ({", ".join(values)}, {extra} AS extra), before.extra AS extra_before
        FROM before JOIN read_anew USING (row_id)
        WHERE {" OR ".join([*gone.values(), *filled])}
        """
    for path in plan.objects:
        emptied = " AND ".join(
            f"json_extract({text}, {_pointer(path)})::VARCHAR {how} '{{}}'"
            for text, how in (("extra", "="), ("extra_before", "<>"))
        )
        shorter = f"json_merge_patch(extra, {literal(_without(path))})"
        select = f"SELECT * REPLACE (CASE WHEN {emptied} THEN {shorter} ELSE extra END AS extra) FROM ({select})"
    return f"SELECT * EXCLUDE (extra_before) REPLACE (nullif(extra::VARCHAR, '{{}}')::JSON AS extra) FROM ({select})"


def _is_taken(path: Path, names: list[str]) -> str:
    """SQL: the condition that the columns have now what `extra` has at a path; null is nothing to have."""
    fit = " AND ".join(
        f"""read_anew.has."{name}" IS NOT NULL
            AND (before."{name}" IS NULL OR before."{name}" IS NOT DISTINCT FROM read_anew.row."{name}")"""
        for name in names
    )
    some = " OR ".join(f'read_anew.has."{name}" = false' for name in names)
    return f"coalesce({_is_null(path, 'before.')} OR {_exists(path, 'before.')} AND {fit} AND ({some}), false)"


def _exists(path: Path, of: str = "") -> str:
    return f"json_exists({of}extra, {_pointer(path)})"


def _is_null(path: Path, of: str = "") -> str:
    return f"json_type({of}extra, {_pointer(path)}) = 'NULL'"


def _pointer(path: Path) -> str:
    """A JSON pointer as SQL text."""
    return literal("".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path))


def _without(path: Path) -> str:
    """The JSON merge patch that takes a path away."""
    patch: object = None
    for key in reversed(path):
        patch = {key: patch}
    return json.dumps(patch)
