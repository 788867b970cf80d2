"""Says of each row that could not be read what is wrong with it, and finds its text again where DuckDB has none."""

from __future__ import annotations

import codecs
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from warehouse.lake.connection import prepare
from warehouse.lake.literal import literal, text_list
from warehouse.lake.table import Table
from warehouse.loading.parse import statements

# So many unreadable rows get a reason of their own; those after them get that of the first.
REASONS = 20


def explain_unreadable(connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[Path]) -> str:
    """Fill `reason` of the unreadable rows of `parsed`, and `unreadable` where it is ''; return the first reason."""
    broken = connection.execute("SELECT line FROM parsed WHERE unreadable = ''").fetchall()
    if broken:
        _insert_text(connection, files, {line for (line,) in broken})
    rows = connection.execute(
        f"""
        SELECT line, unreadable FROM parsed WHERE unreadable IS NOT NULL AND reason IS NULL
        ORDER BY line LIMIT {REASONS}
        """
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
    """Put the text of the lines `wanted`, and what is wrong with them, in their place."""
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "texts.jsonl"
        longest = 0
        with texts.open("w", encoding="ascii") as file:
            for line, raw in _raw_lines(files):
                if line in wanted:
                    text = raw.decode("utf-8", errors="replace")
                    row = json.dumps({"line": line, "text": text, "reason": _fault(raw)}) + "\n"
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
            start = codecs.BOM_UTF8  # skipped where the file starts with it
            for raw in file:
                if stripped := raw.removeprefix(start).strip():
                    number += 1
                    yield number, stripped
                start = b""


def _fault(raw: bytes) -> str:
    """What is wrong with a line that DuckDB refuses, or with an object in it that has a key twice."""
    try:
        json.loads(raw.decode("utf-8"), object_pairs_hook=_refuse_doubled)
    except UnicodeDecodeError as error:
        return f"not JSON: byte {error.start} is not UTF-8"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at character {error.pos}"
    except RecursionError:
        return "not JSON: nested too deeply"
    except KeyError as error:
        return f"a key stands twice in one object: {error.args[0]}"
    return "not JSON: an escaped surrogate has no other half"


def _refuse_doubled(pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise KeyError(key)
        seen.add(key)


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
