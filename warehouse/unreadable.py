"""Says of each row that could not be read what is wrong with it, and finds the text of lines that are not JSON again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from warehouse.literal import literal, text_list
from warehouse.parse import prepare, statements
from warehouse.table import Table

# So many unreadable rows get a reason of their own; those after them get that of the first.
REASONS = 20


def explain_unreadable(connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[Path]) -> str:
    """Fill `reason` of the unreadable rows of `parsed`, and `unreadable` where it is ''; return the first reason."""
    broken = connection.execute("SELECT line FROM parsed WHERE unreadable = ''").fetchall()
    if broken:
        _insert_text(connection, files, {line for (line,) in broken})
    rows = connection.execute(
        f"SELECT line, unreadable FROM parsed WHERE unreadable IS NOT NULL AND reason IS NULL ORDER BY line LIMIT {REASONS}"
    ).fetchall()
    reasons = _reasons(table, rows)
    whens = "".join(f" WHEN {line} THEN {literal(reason)}" for line, reason in reasons.items())
    other = literal(next(iter(reasons.values()), None))
    connection.execute(
        f"""
        UPDATE parsed SET reason = CASE line{whens or " WHEN 0 THEN NULL"} ELSE {other} END
        WHERE unreadable IS NOT NULL AND reason IS NULL
        """
    )
    first = connection.execute("SELECT arg_min(reason, line) FROM parsed WHERE unreadable IS NOT NULL").fetchone()
    return str(first[0]) if first else ""


def _insert_text(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], wanted: set[int]) -> None:
    """Put the text of the lines `wanted`, which are not JSON, in their place."""
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "texts.jsonl"
        longest = 0
        with texts.open("w", encoding="ascii") as file:
            for line, raw in _raw_lines(files):
                if line in wanted:
                    text = raw.decode("utf-8", errors="replace")
                    row = json.dumps({"line": line, "text": text, "reason": _not_json(raw)}) + "\n"
                    longest = max(longest, len(row))
                    file.write(row)
        columns = "{'line': 'BIGINT', 'text': 'VARCHAR', 'reason': 'VARCHAR'}"
        connection.execute(
            f"""
            UPDATE parsed SET unreadable = broken.text, reason = broken.reason
            FROM read_json(
                {text_list([str(texts)])}, format = 'newline_delimited', columns = {columns},
                maximum_object_size = {longest + 1}
            ) AS broken
            WHERE parsed.line = broken.line
            """
        )


def _raw_lines(files: Sequence[Path]) -> Iterator[tuple[int, bytes]]:
    """The lines of the files, numbered as DuckDB's reader does."""
    number = 0
    for path in files:
        with path.open("rb") as file:
            for raw in file:
                if stripped := raw.strip():
                    number += 1
                    yield number, stripped


def _not_json(raw: bytes) -> str:
    try:
        json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return f"not JSON: byte {error.start} is not UTF-8"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at character {error.pos}"
    except RecursionError:
        return "not JSON: nested too deeply"
    return "not JSON: a character stands alone that is half of one"


def _reasons(table: Table, rows: Sequence[tuple[int, str]]) -> dict[int, str]:
    """By line: what DuckDB says of a row when it is read without TRY, in a database of its own."""
    record_type, select = statements(table.name)
    with duckdb.connect(config={"threads": 1}) as apart:
        apart.execute("SET TimeZone = 'UTC'")
        prepare(apart)
        apart.execute(record_type)
        return {line: _reason(apart, table, select.replace("TRY(", "(", 1), text) for line, text in rows}


def _reason(apart: duckdb.DuckDBPyConnection, table: Table, select: str, text: str) -> str:
    if not text.lstrip().startswith("{"):
        return "not a JSON object"
    apart.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE records AS
        SELECT 1 AS line, json, TRY_CAST(json AS "{table.name}_record") AS record, NULL::JSON AS extra
        FROM (SELECT {literal(text)}::JSON AS json)
        """
    )
    try:
        apart.execute(select).fetchall()
    except duckdb.Error as error:
        return str(error).splitlines()[0].split(": ", 1)[-1]
    return f"{' or '.join(table.required)} is missing"
