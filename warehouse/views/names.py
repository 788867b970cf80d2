"""Gives views and columns names that need no quotes, differ, and stay whatever the thing is called later."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb
from slugify import slugify

from warehouse.lake.literal import literal

LONGEST = 50


class GivenNames:
    """The names of `_given_names`, and those given since; `new` are the rows (scope, key, name) to add to it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        rows = connection.execute("SELECT scope, key, name FROM _given_names").fetchall()
        self._names: dict[str, dict[str, str]] = {}
        for scope, key, name in rows:
            self._names.setdefault(scope, {})[key] = name
        self._reserved = {
            word
            for (word,) in connection.execute(
                "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
            ).fetchall()
        }
        self.new: list[tuple[str, str, str]] = []

    def of(self, scope: str, key: str, wanted: str | None, *, kind: str, taken: Iterable[str] = ()) -> str:
        """The name of `key` in `scope`: as it was given once, else made of `wanted`.

        `kind`, such as flow, stands before what cannot be a name by itself; `taken` are names that others have.
        """
        given = self._names.setdefault(scope, {})
        if key not in given:
            given[key] = _unlike(self._safe(wanted, kind), {*given.values(), *taken})
            self.new.append((scope, key, given[key]))
        return given[key]

    def _safe(self, wanted: str | None, kind: str) -> str:
        """Lower-case letters, digits and underscores that SQL needs no quotes for; other scripts are transliterated."""
        name = slugify(wanted or "", separator="_", max_length=LONGEST)
        if not name:
            return kind
        return f"{kind}_{name}" if name[0].isdigit() or name in self._reserved else name


def _unlike(name: str, taken: set[str]) -> str:
    """`name`, or the first of name_2, name_3 ... that is not taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def identifier(name: str) -> str:
    """The name as SQL reads it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def save_names(connection: duckdb.DuckDBPyConnection, names: GivenNames) -> None:
    """Write the names given since they were read; inside the caller's transaction."""
    if names.new:
        rows = ", ".join(f"({', '.join(map(literal, row))})" for row in names.new)
        connection.execute(f"INSERT INTO _given_names (scope, key, name) VALUES {rows}")
