"""Reads JSON lines in two fast ways, which allow no surprise: one misfit, and the caller reads them the lenient way.

In the fastest, DuckDB checks each object against the types it inferred from the first one, and refuses keys that this
did not have. So the first object is made from the record type: every key, every shape. It needs half the CPU of the
lenient way. In the other, the JSON of each row is cast to a type with the keys that the first rows have, new ones too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import duckdb
from duckdb.sqltypes import DuckDBPyType

from warehouse.lake.literal import text_list
from warehouse.lake.table import Table
from warehouse.parsing.shapes import (
    UsualKeys,
    keys_of,
    may_be_no_text,
    parts_of,
    record_of,
    texts_of,
    usual_type,
    usual_unknown,
)
from warehouse.parsing.unusual import has_no_numbers
from warehouse.scratch import scratch

# Records are checked against this one, which is the first line.
EXAMPLE_LINE = 1


def parse_strictly(
    connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[Path], select: str, *, maximum_size: int
) -> list[str]:
    """JSON lines → `parsed`, as `warehouse.parsing.parse` makes it, with nothing unreadable; return the record's keys.

    `select` is the stream's SELECT without TRY; it must use every key, or DuckDB does not look for unknown ones, and
    must not need the text of the JSON. Not for use inside a transaction: a failure would abort it.

    Raises:
        duckdb.Error: some line is not as the record type says.
    """
    record = record_of(connection, table)
    keys = keys_of(record)
    fields = ", ".join(f'"{key}" := "{key}"' for key in keys)
    doubtful = may_be_no_text(record, "record", numbers=True)
    json_parts = [f'record."{name}"' for name, part in parts_of(record) if str(part) == "JSON"]
    in_json = " OR ".join(has_no_numbers(part) for part in json_parts) or "false"
    with scratch() as folder:
        example = folder / "example.jsonl"
        example.write_text(f"{json.dumps(_example(record))}\n", encoding="utf-8")
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE parsed AS
            WITH lines AS (
                SELECT row_number() OVER () AS line, *
                FROM read_json(
                    {text_list([str(example), *map(str, files)])},
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
            looked_at AS (
                SELECT *,
                    CASE WHEN {doubtful} THEN one_is_json({texts_of(record, "record")}) END OR {in_json} AS surprise
                FROM records
            ),
            selected AS ({select.replace("FROM records", "FROM looked_at AS records")})
            SELECT
                unnest(row),
                line,
                extra,
                CASE
                    WHEN {table.lacks_required("row")} THEN error('key is missing')
                    WHEN surprise THEN error('an object stands for a text')
                END::VARCHAR AS unreadable,
                NULL::VARCHAR AS reason,
                NULL::VARCHAR AS row_key
            FROM selected
            """
        )
    return keys


def strict_records(table: Table, kind: DuckDBPyType, usual: UsualKeys, lines: str) -> str:
    """SQL of the records of `lines`, SQL of `json`, that all have the usual keys; it fails where one has not.

    A cast of JSON refuses keys that are missing, unknown, or there twice, but for those of a map. `unusual` is the JSON
    of rows in which something else may be unusual.
    """
    return f"""
        WITH lines AS (
            SELECT row_number() OVER () AS line, json, json::{usual_type(kind, usual)} AS usual FROM {lines}
        ),
        records AS (
            SELECT line, json, usual::"{table.name}_record" AS record,
                {usual_unknown(kind, usual, "usual") or "NULL"}::JSON AS extra
            FROM lines
        )
        SELECT *, CASE
            WHEN {has_no_numbers("json::VARCHAR")} OR {may_be_no_text(kind, "record")} THEN json
        END AS unusual
        FROM records
        """


def _example(kind: object) -> object:
    """A value from which DuckDB infers this type: made of text, objects, lists, and null for any JSON."""
    assert isinstance(kind, DuckDBPyType)
    if kind.id == "struct":
        return {name: _example(part) for name, part in kind.children}
    if kind.id == "list":
        return [_example(kind.children[0][1])]
    return None if str(kind) == "JSON" else "text"
