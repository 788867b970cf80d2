"""Writes values as SQL literals.

Query parameters would be the usual way, but DuckDB's Python client imports pandas to look at the first one: 0.3
CPU-seconds and 40 MB for each sync that has nothing else to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

Value = str | int | float | bool | datetime | None


def literal(value: Value) -> str:
    """The value as DuckDB reads it in SQL; times must have a zone."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, datetime):
        return f"'{value.astimezone(UTC).isoformat()}'::TIMESTAMPTZ"
    text = "'" + value.replace("'", "''") + "'"
    # SQL ends at a zero byte, wherever it stands.
    return "(" + text.replace("\0", "' || chr(0) || '") + ")" if "\0" in text else text


def text_list(values: Iterable[str]) -> str:
    """A list of strings as DuckDB reads it in SQL."""
    return "[" + ", ".join(map(literal, values)) + "]::VARCHAR[]"
