"""Reads JSON lines with a stream's SELECT into the temporary table `parsed`, which the view `parsed_row` shows.

Nothing here raises for what a line holds: an error would abort the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import duckdb

from warehouse.lake.literal import text_list
from warehouse.lake.table import Table
from warehouse.loading.strict import parse_strictly

# DuckDB's reader takes twice this much memory, in bytes, for its buffer; a longer row needs a larger one.
ROW_BUFFER = 2 * 1024 * 1024
# Columns of `parsed_row` beside those of the stream.
MARKS = ("line", "extra", "unreadable", "reason", "row_key")
# Rows read to learn which lists of keys are usual.
KEY_SAMPLE = 100
# Lists of keys that a row is compared with, before each of its keys is looked up.
USUAL_LISTS = 4


@dataclass(frozen=True)
class Keys:
    """Keys of a stream's rows.

    known: those of the record type.
    first: those of the first row; empty if it is no object.
    usual: lists of known keys that the first rows have.
    """

    known: list[str]
    first: list[str]
    usual: list[list[str]]


def parse(
    connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[Path], *, longest: int, strictly_first: bool
) -> Keys:
    """JSON lines → `parsed_row`: the stream's columns, line, extra, unreadable, and reason and row_key, which are NULL.

    `unreadable` is the JSON of a row that could not be read, else NULL; '' where only the file has the text, that is
    for a line that is not JSON, and for an object with a key twice that would become a map.
    Lines are numbered from 1 through all files; a blank line is none.
    `strictly_first` tries the fast way first; not for use inside a transaction.
    """
    maximum_size = max(longest + 1, ROW_BUFFER)
    reading = f"format = 'newline_delimited', maximum_object_size = {maximum_size}"
    # ignore_errors makes a line that is not JSON a NULL.
    lines = f"read_json_objects({text_list(map(str, files))}, {reading}, ignore_errors = true)"
    record_type, select = statements(table.name)
    connection.execute(record_type)
    if strictly_first and table.uniform:
        try:
            known = parse_strictly(connection, table, files, select.replace("TRY(", "(", 1), maximum_size=maximum_size)
            connection.execute("CREATE OR REPLACE TEMP VIEW parsed_row AS SELECT * FROM parsed")
            return Keys(known, _keys_of_first(files), [])
        except duckdb.Error:
            pass  # what is unusual in which line, the lenient way finds out
    keys = _keys(connection, table, lines)
    key_missing = " OR ".join([table.lacks_required("row"), *(no_key(f'row."{key}"') for key in table.key)])
    with without_moved_casts(connection):
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE parsed AS
            WITH lines AS (
                SELECT
                    row_number() OVER () AS line,
                    json,
                    TRY_CAST(json AS "{table.name}_record") AS record,
                    json_keys(json) AS keys
                FROM {lines}
            ),
            records AS (SELECT line, json, record, {_extra(keys)} AS extra FROM lines),
            selected AS ({select})
            SELECT
                unnest(row),
                line,
                extra,
                CASE WHEN {key_missing} THEN coalesce(json::VARCHAR, '') END AS unreadable,
                NULL::VARCHAR AS reason,
                NULL::VARCHAR AS row_key
            FROM selected
            """
        )
    connection.execute("CREATE OR REPLACE TEMP VIEW parsed_row AS SELECT * FROM parsed")
    for column, kind, *_ in connection.execute("DESCRIBE parsed").fetchall():
        if kind.startswith("MAP("):
            _refuse_doubled(connection, column)
    return keys


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


def _keys(connection: duckdb.DuckDBPyConnection, table: Table, lines: str) -> Keys:
    described = connection.execute(f'DESCRIBE SELECT unnest(NULL::"{table.name}_record")').fetchall()
    known = [name for name, *_ in described]
    sample = connection.execute(
        f"""
        SELECT DISTINCT ON (keys) keys
        FROM (SELECT row_number() OVER () AS line, json_keys(json) AS keys FROM {lines} LIMIT {KEY_SAMPLE})
        ORDER BY line
        """
    ).fetchall()
    lists: list[list[str]] = [keys or [] for (keys,) in sample]
    return Keys(known, lists[0] if lists else [], [keys for keys in lists if set(keys) <= set(known)][:USUAL_LISTS])


def _extra(keys: Keys) -> str:
    """SQL for a JSON object of a row's unknown keys with their values, NULL if it has none."""
    # Comparing whole lists is four times as fast as looking each key up. CASE keeps the order, AND would not.
    usual = "".join(f" WHEN keys IS NOT DISTINCT FROM {text_list(usual)} THEN NULL" for usual in keys.usual)
    unknown = f"list_filter(keys, lambda key: NOT list_contains({text_list(keys.known)}, key))"
    # Of a key that stands twice the first counts, as everywhere.
    return f"""
        CASE WHEN json IS NULL THEN NULL{usual} WHEN len({unknown}) > 0 THEN
            to_json(map_from_entries(list_transform(
                list_filter({unknown}, lambda key, place: list_position({unknown}, key) = place),
                lambda key: struct_pack(
                    key := key,
                    value := json_extract(json, '/' || replace(replace(key, '~', '~0'), '/', '~1'))
                )
            )))
        END
        """


def statements(stream: str) -> list[str]:
    """The two statements of a stream's file: its record type, and its SELECT."""
    sql = (resources.files("warehouse.loading") / "rows" / f"{stream}.sql").read_text(encoding="utf-8")
    return [statement.query.strip().rstrip(";") for statement in duckdb.extract_statements(sql)]
