"""Reads JSON lines with a stream's SELECT into the temporary table `parsed`, which the view `parsed_row` shows.

Nothing here raises for what a line holds: an error would abort the caller's transaction.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import duckdb
from duckdb.sqltypes import DuckDBPyType

from warehouse.lake.literal import literal, text_list
from warehouse.lake.table import Table, count
from warehouse.parsing.shapes import (
    Objects,
    keys_of,
    may_be_no_text,
    objects_of,
    record_of,
)
from warehouse.parsing.strict import parse_strictly, strict_records
from warehouse.parsing.unusual import has_no_numbers, look_closer

# DuckDB's reader takes twice this much memory, in bytes, for its buffer; a longer row needs a larger one.
ROW_BUFFER = 2 * 1024 * 1024
# Columns of `parsed_row` beside those of the stream.
MARKS = ("line", "extra", "unreadable", "reason", "row_key")
# Rows read to learn which lists of keys are usual.
KEY_SAMPLE = 100


@dataclass(frozen=True)
class Keys:
    """Keys of a stream's rows.

    known: those of the record type.
    first: those of the first row; empty if it is no object.
    usual: those that each object of the first rows usually has, by its place.
    alike: whether all of the first rows have those and no others.
    unknown: whether some of those are unknown.
    """

    known: list[str]
    first: list[str]
    usual: dict[str, list[str]]
    alike: bool
    unknown: bool

    def usual_of(self, one: Objects) -> list[str]:
        """The usual keys of objects; none if some of them are unknown or stand twice."""
        usual = self.usual.get(one.place, [])
        return usual if len({*usual} & {*(one.known or ())}) == len(usual) else []


def parse(
    connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[Path], *, longest: int, strictly_first: bool
) -> Keys:
    """JSON lines → `parsed_row`: the stream's columns, line, extra, unreadable, reason and row_key.

    `unreadable` is the JSON of a row that could not be read, else NULL; '' where only the file has the text, that is
    for a line that is not JSON, and for an object with a key twice that would become a map. `reason` is NULL where it
    is not known yet, as is `row_key`.
    Lines are numbered from 1 through all files; a blank line is none.
    `strictly_first` tries the fast ways first; not for use inside a transaction.
    """
    maximum_size = max(longest + 1, ROW_BUFFER)
    reading = f"format = 'newline_delimited', maximum_object_size = {maximum_size}"
    # ignore_errors makes a line that is not JSON a NULL.
    lines = f"read_json_objects({text_list(map(str, files))}, {reading}, ignore_errors = true)"
    record_type, select = statements(table.name)
    connection.execute(record_type)
    if strictly_first and table.uniform:
        # What is unusual in which line, the other ways find out.
        with suppress(duckdb.Error):
            known = parse_strictly(connection, table, files, select.replace("TRY(", "(", 1), maximum_size=maximum_size)
            connection.execute("CREATE OR REPLACE TEMP VIEW parsed_row AS SELECT * FROM parsed")
            return Keys(known, _keys_of_first(files), {}, True, False)
    kind = record_of(connection, table)
    keys = _keys(connection, kind, lines)
    with without_moved_casts(connection):
        _parse(connection, table, kind, keys, lines, select, strictly_first=strictly_first)
    connection.execute("CREATE OR REPLACE TEMP VIEW parsed_row AS SELECT * FROM parsed")
    for column, column_type, *_ in connection.execute("DESCRIBE parsed").fetchall():
        if column_type.startswith("MAP("):
            _refuse_doubled(connection, column)
    return keys


def _parse(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    kind: DuckDBPyType,
    keys: Keys,
    lines: str,
    select: str,
    *,
    strictly_first: bool,
) -> None:
    """Fill `parsed`: the strict way where the first rows are alike and all others are too, else the lenient way."""
    # Where the fast way was stopped, this one is too, unless it was for keys that the first rows have.
    hopeful = keys.alike and (keys.unknown or not table.uniform)
    if not (strictly_first and hopeful and _fill_strictly(connection, table, kind, keys, lines, select)):
        _fill(connection, table, _lenient_records(table, kind, keys, lines), select)
    if count(connection, "parsed WHERE unusual IS NOT NULL"):
        known_usual = {one.place: keys.usual_of(one) for one in objects_of(kind)}
        look_closer(connection, table, known_usual)
    connection.execute("ALTER TABLE parsed DROP COLUMN unusual")


def _fill_strictly(
    connection: duckdb.DuckDBPyConnection, table: Table, kind: DuckDBPyType, keys: Keys, lines: str, select: str
) -> bool:
    try:
        _fill(connection, table, strict_records(table, kind, keys.usual, lines), select)
    except duckdb.Error:
        return False
    return True


def _fill(connection: duckdb.DuckDBPyConnection, table: Table, records: str, select: str) -> None:
    """Make `parsed` of `records`, SQL of line, json, record, extra, and `unusual`: the JSON if it may be so."""
    key_missing = " OR ".join([table.lacks_required("row"), *(no_key(f'row."{key}"') for key in table.key)])
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE parsed AS
        WITH records AS ({records}),
        selected AS ({select})
        SELECT
            unnest(row),
            line,
            extra,
            CASE WHEN {key_missing} THEN coalesce(json::VARCHAR, '') END AS unreadable,
            NULL::VARCHAR AS reason,
            NULL::VARCHAR AS row_key,
            CASE WHEN {key_missing} THEN json ELSE unusual END AS unusual
        FROM selected
        """
    )


def _lenient_records(table: Table, kind: DuckDBPyType, keys: Keys, lines: str) -> str:
    """SQL of records of any lines; `unusual` is the JSON of those that have other keys than usual, or may be so."""
    objects = [one for one in objects_of(kind) if one.known]
    single = [one for one in objects if not one.within]
    paths = text_list(one.paths[0] for one in single)
    usual = [f"has_usual(keys[{number}], {text_list(keys.usual_of(one))})" for number, one in enumerate(single, 1)]
    usual += [_elements_are_usual(keys, one) for one in objects if one.within]
    return f"""
        WITH lines AS (
            SELECT row_number() OVER () AS line, json, TRY_CAST(json AS "{table.name}_record") AS record,
                json_keys(json, {paths}) AS keys
            FROM {lines}
        )
        SELECT line, json, record, NULL::JSON AS extra, CASE
            WHEN {has_no_numbers("json::VARCHAR")} OR {may_be_no_text(kind, "record")}
                OR NOT ({" AND ".join(usual)}) THEN json
        END AS unusual
        FROM lines
        """


def _elements_are_usual(keys: Keys, one: Objects) -> str:
    """SQL of whether the objects in a list or a map have the usual keys; to ask costs, and most lists are empty."""

    def are_usual(path: str) -> str:
        return f"all_usual(json_keys(json, {literal(path)}), {text_list(keys.usual_of(one))})"

    path, *in_list = one.paths
    if not in_list:
        return f"CASE WHEN len({one.within}) > 0 THEN {are_usual(path)} ELSE true END"
    (list_path,) = in_list  # a map may be a list of maps, which are objects too
    return f"""CASE
            WHEN {one.within} IS NULL THEN
                {are_usual(list_path)} AND NOT has_twice(json_keys(json, {literal(list_path.removesuffix(".*"))}))
            WHEN cardinality({one.within}) > 0 THEN {are_usual(path)}
            ELSE true
        END"""


def no_key(value: str) -> str:
    """SQL: the condition that a text cannot be a key: no row with a zero byte in one can be looked up in a catalog."""
    return f"CASE typeof({value}) WHEN 'VARCHAR' THEN contains({value}::VARCHAR, chr(0)) ELSE false END"


@contextmanager
def without_moved_casts(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Keep DuckDB 1.5 from moving casts out of a TRY: one bad value would fail all rows."""
    connection.execute("SET disabled_optimizers = 'unused_columns,common_subexpressions'")
    try:
        yield
    finally:
        connection.execute("RESET disabled_optimizers")


def _refuse_doubled(connection: duckdb.DuckDBPyConnection, column: str) -> None:
    """Make rows unreadable that have a key twice in a map: DuckDB stores such a map, and then cannot hand it out."""
    keys = f'map_keys("{column}")'
    doubled = f"len({keys}) > list_unique({keys})"
    # Most rows have the keys of the first, which is ten times as fast to see as that no key stands twice.
    found = connection.execute(
        f"""
        SELECT line
        FROM parsed, (SELECT any_value({keys}) AS usual FROM parsed WHERE line <= {KEY_SAMPLE} AND NOT {doubled})
        WHERE CASE WHEN {keys} IS NOT DISTINCT FROM usual THEN false ELSE {doubled} END
        """
    ).fetchall()
    if found:
        lines = ", ".join(str(line) for (line,) in found)
        connection.execute(f"UPDATE parsed SET unreadable = '' WHERE line IN ({lines})")


def _keys_of_first(files: Sequence[Path]) -> list[str]:
    for file in files:
        with file.open("rb") as lines:
            for line in lines:
                if line.strip():
                    with suppress(ValueError, RecursionError):  # of what DuckDB reads and Python does not
                        return list(json.loads(line))
                    return []
    return []


def _keys(connection: duckdb.DuckDBPyConnection, kind: DuckDBPyType, lines: str) -> Keys:
    """Learn the keys of the first rows."""
    objects = [one for one in objects_of(kind) if one.known]
    found = connection.execute(
        f"SELECT {', '.join(one.keys_of_first for one in objects)} FROM {lines} LIMIT {KEY_SAMPLE}"
    ).fetchall()
    usual: dict[str, list[str]] = {}
    alike = True
    for one, lists in zip(objects, zip(*found, strict=True), strict=False):
        counted = Counter(tuple(keys) for keys in lists if keys)
        alike = alike and len(counted) <= 1
        for keys, _ in counted.most_common(1):
            usual[one.place] = list(keys)
    unknown = any({*usual.get(one.place, [])} - {*(one.known or ())} for one in objects)
    return Keys(keys_of(kind), (found[0][0] if found else None) or [], usual, alike, unknown)


def statements(stream: str) -> list[str]:
    """The two statements of a stream's file: its record type, and its SELECT."""
    sql = (resources.files("warehouse.parsing") / "rows" / f"{stream}.sql").read_text(encoding="utf-8")
    return [statement.query.strip().rstrip(";") for statement in duckdb.extract_statements(sql)]
