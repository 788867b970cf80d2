"""Reads JSON lines the fast way, which allows no surprise: one misfit, and the caller reads them the lenient way.

DuckDB checks each object against the types it inferred from the first one, and refuses keys that this did not have. So
the first object is made from the record type: every key, every shape. It needs half the CPU of the lenient way.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import duckdb
from duckdb.sqltypes import DuckDBPyType

from warehouse.lake.literal import text_list
from warehouse.lake.table import Table

# Records are checked against this one, which is the first line.
EXAMPLE_LINE = 1


def parse_strictly(
    connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[Path], select: str, *, maximum_size: int
) -> list[str]:
    """JSON lines → `parsed`, as `warehouse.loading.parse` makes it, with nothing unreadable; return the record's keys.

    `select` is the stream's SELECT without TRY; it must use every key, or DuckDB does not look for unknown ones, and
    must not need the text of the JSON. Not for use inside a transaction: a failure would abort it.

    Raises:
        duckdb.Error: some line is not as the record type says.
    """
    record = connection.sql(f'SELECT NULL::"{table.name}_record"').types[0]
    keys = [name for name, _ in record.children]
    fields = ", ".join(f'"{key}" := "{key}"' for key in keys)
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as example:
        json.dump(_example(record), example)
        example.write("\n")
        example.flush()
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE parsed AS
            WITH lines AS (
                SELECT row_number() OVER () AS line, *
                FROM read_json(
                    {text_list([example.name, *map(str, files)])},
                    format = 'newline_delimited',
                    sample_size = 1,
                    maximum_sample_files = 1,
                    convert_strings_to_integers = false,
                    maximum_object_size = {maximum_size}
                )
            ),
            records AS (
                SELECT line - {EXAMPLE_LINE} AS line, NULL::JSON AS json, struct_pack({fields}) AS record,
                    NULL::JSON AS extra
                FROM lines
                WHERE line > {EXAMPLE_LINE}
            ),
            selected AS ({select})
            SELECT
                unnest(row),
                line,
                extra,
                CASE WHEN {table.lacks_required("row")} THEN error('key is missing') END::VARCHAR AS unreadable,
                NULL::VARCHAR AS reason,
                NULL::VARCHAR AS row_key
            FROM selected
            """
        )
    return keys


def _example(kind: object) -> object:
    """A value from which DuckDB infers this type: made of text, objects, lists, and null for any JSON."""
    assert isinstance(kind, DuckDBPyType)
    if kind.id == "struct":
        return {name: _example(part) for name, part in kind.children}
    if kind.id == "list":
        return [_example(kind.children[0][1])]
    return None if str(kind) == "JSON" else "text"
