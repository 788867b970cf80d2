"""Says of each row that could not be read what is wrong with it and which key it has; finds its text where need be.

No reason holds a value of the row: reasons are shown and logged, rows are not.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from warehouse.lake.literal import literal, text_list
from warehouse.lake.table import Table
from warehouse.parsing.columns import SelectColumns
from warehouse.parsing.parse import statements, without_moved_casts
from warehouse.parsing.unusual import KEY_TWICE
from warehouse.scratch import scratch

# How bytes that are no text are written in a row's text; no JSON has this.
ESCAPED_BYTE = re.compile(r"\\x[0-9a-f]{2}")
# How a text ends of which only the beginning was kept.
CUT_TEXT = re.compile(rb" \.\.\. \(([\d,]+) bytes\)\Z")


def explain_unreadable(connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[Path]) -> str:
    """Fill `reason` and `row_key` of the unreadable rows of `parsed`, and `unreadable` where DuckDB has no text of it.

    Returns the reason of the first. A line that is a JSON string with an object or a list in it is the text of a row
    that no JSON reader takes.
    """
    _find_texts(connection, files)
    _find_faults(connection, table)
    first = connection.execute("SELECT arg_min(reason, line) FROM parsed WHERE unreadable IS NOT NULL").fetchone()
    return str(first[0]) if first else ""


def _find_texts(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    """Put the text of lines that are not JSON, and what is wrong with them, in their place; `mended` has their keys."""
    quoted = dict(
        connection.execute("""SELECT line, unreadable FROM parsed WHERE unreadable[:2] IN ('"{', '"[')""").fetchall()
    )
    lost = {line for (line,) in connection.execute("SELECT line FROM parsed WHERE unreadable = ''").fetchall()}
    columns = "{'line': 'BIGINT', 'text': 'VARCHAR', 'reason': 'VARCHAR', 'json': 'JSON'}"
    with scratch() as folder:
        texts = folder / "texts.jsonl"
        longest = 0
        with texts.open("w", encoding="ascii") as file:
            for line, raw in _raw_lines(files) if lost else ():
                if line in lost:
                    longest = max(longest, file.write(_described(line, raw.decode(errors="backslashreplace"), raw)))
            for line, text in quoted.items():
                longest = max(longest, file.write(_described(line, json.loads(text))))
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE mended AS
            FROM read_json(
                {text_list([str(texts)])}, format = 'newline_delimited', columns = {columns},
                maximum_object_size = {longest + 1}
            )
            """
            if longest
            else "CREATE OR REPLACE TEMP TABLE mended (line BIGINT, text VARCHAR, reason VARCHAR, json JSON)"
        )
    if longest:
        connection.execute(
            """
            UPDATE parsed SET unreadable = mended.text, reason = mended.reason FROM mended
            WHERE parsed.line = mended.line
            """
        )


def _described(line: int, text: str, raw: bytes | None = None) -> str:
    """A JSON line with a row's text, what is wrong with it, and the part of it that can be read."""
    reason = _fault(text.encode(errors="surrogatepass") if raw is None else raw)
    text = text.encode(errors="backslashreplace").decode()
    return json.dumps({"line": line, "text": text, "reason": reason, "json": _plain_values(text)}) + "\n"


def _plain_values(text: str) -> dict[str, str | int] | None:
    """The texts and numbers of an object, read as leniently as can be: its key is among them."""
    try:
        row = json.loads(ESCAPED_BYTE.sub("?", text), strict=False)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None
    return {
        key: value
        for key, value in row.items()
        if isinstance(value, str | int) and not re.search("[\ud800-\udfff]", f"{key}{value}")
    }


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
    if cut := CUT_TEXT.search(raw):
        return f"too long to be read, or kept whole: {cut[1].decode()} bytes"
    try:
        json.loads(raw.decode("utf-8"), object_pairs_hook=_refuse_doubled, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        return f"not JSON: byte {error.start} is not UTF-8"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at character {error.pos}"
    except RecursionError:
        return "not JSON: nested too deeply"
    except _Doubled:
        return KEY_TWICE
    except _Constant as error:
        return f"not JSON: {error} is no number"
    except ValueError:
        return "not JSON: a number has too many digits"
    if ESCAPED_BYTE.search(raw.decode()):
        return "not JSON: bytes are not UTF-8"
    return "not JSON: an escaped surrogate has no other half"


class _Doubled(Exception):
    """A key stands twice."""


class _Constant(Exception):
    """NaN, Infinity or -Infinity stands where a number should."""


def _refuse_doubled(pairs: list[tuple[str, object]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise _Doubled


def _refuse_constant(name: str) -> None:
    raise _Constant(name)


def _find_faults(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Read each column of the unreadable rows by itself: those that fail are the reason."""
    _, select = statements(table.name)
    select_columns = SelectColumns(connection, select)
    described = connection.execute("DESCRIBE parsed").fetchall()
    columns = {name: kind for name, kind, *_ in described if name in select_columns.names}
    column_by_column = select_columns.each_guarded(tested=columns, read=table.key_columns)
    faults = ", ".join(
        f"CASE WHEN has.\"{name}\" IS NULL THEN '{name} does not fit {kind}' END" for name, kind in columns.items()
    )
    keys = table.key_text("row")
    missing = literal(f"{table.required} is missing")
    zero = f"contains({keys}, chr(0))"
    with without_moved_casts(connection):
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE faults AS
            WITH texts AS (
                SELECT line, coalesce(mended.json, TRY_CAST(unreadable AS JSON)) AS json
                FROM parsed LEFT JOIN mended USING (line)
                WHERE unreadable IS NOT NULL
            ),
            records AS (
                SELECT line, json, TRY_CAST(json AS "{table.name}_record") AS record, NULL::JSON AS extra FROM texts
            ),
            read AS ({column_by_column})
            SELECT line, CASE WHEN NOT {zero} THEN {keys} END AS row_key,
                CASE
                    WHEN {zero} THEN 'its key has a zero byte'
                    WHEN coalesce(json_type(json), '') <> 'OBJECT' THEN 'not a JSON object'
                    ELSE coalesce(nullif(concat_ws('; ', {faults}), ''), {missing})
                END AS reason
            FROM read
            """
        )
    connection.execute(
        """
        UPDATE parsed SET reason = coalesce(parsed.reason, faults.reason), row_key = faults.row_key
        FROM faults WHERE parsed.line = faults.line
        """
    )
