"""Takes a stream's SELECT apart into its columns: which parts of the record each reads, and what it is by itself.

DuckDB reads the SQL, and writes it again; no code of ours does.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

import duckdb

from warehouse.lake.literal import literal

# Keys from the top of a row's JSON down to a value.
Path = tuple[str, ...]
# A statement, or a part of one, as DuckDB writes it in JSON.
Tree = dict[str, Any]


class SelectColumns:
    """The columns of a stream's SELECT, each by itself."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, select: str) -> None:
        self._connection = connection
        self._tree: Tree = json.loads(_one(connection, f"SELECT json_serialize_sql({literal(select)})"))
        row, self._rest = self._tree["statements"][0]["node"]["select_list"]
        self._packed: Tree = row["children"][0]
        self._expressions: dict[str, Tree] = {one["alias"]: one for one in self._packed["children"]}

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self._expressions)

    def reads(self, column: str) -> set[Path]:
        """The paths in the record, or in its JSON, that a column is made of; of what it reads whole, the way there."""
        parts = list(_parts(self._expressions[column]))
        paths = {tuple(names[1:]) for names in _references(parts) if names[0] == "record" and len(names) > 1}
        if ["json"] in _references(parts):
            texts = [str(one["value"].get("value")) for one in parts if one.get("class") == "CONSTANT"]
            paths |= {tuple(text[1:].split("/")) for text in texts if text.startswith("/")}
        return paths

    def copies(self, column: str) -> Path | None:
        """The path in the record whose value a column is, with another type at most; None if it is made of more."""
        expression = self._expressions[column]
        while expression["class"] == "CAST":
            expression = expression["child"]
        if expression["class"] == "COLUMN_REF" and expression["column_names"][0] == "record":
            return tuple(expression["column_names"][1:])
        return None

    def each_guarded(self, *, tested: Collection[str], read: Collection[str]) -> str:
        """The SELECT with a TRY around each column instead of around all.

        Its `has` says of each `tested` column whether it is null, and is null itself where the column fails; its
        `row` has the `read` ones.
        """
        wrapper: Tree = json.loads(_one(self._connection, "SELECT json_serialize_sql('SELECT TRY(0 IS NULL)')"))
        wrapped: Tree = wrapper["statements"][0]["node"]["select_list"][0]

        def guarded(expression: Tree, *, is_null: bool) -> Tree:
            inner = expression | {"alias": ""}
            child = wrapped["children"][0] | {"children": [inner]} if is_null else inner
            return wrapped | {"children": [child], "alias": expression["alias"]}

        def packed(alias: str, columns: Collection[str], *, is_null: bool) -> Tree:
            children = [guarded(one, is_null=is_null) for name, one in self._expressions.items() if name in columns]
            return self._packed | {"children": children, "alias": alias}

        chosen = [packed("has", tested, is_null=True), packed("row", read, is_null=False), self._rest]
        node = self._tree["statements"][0]["node"] | {"select_list": chosen}
        tree = self._tree | {"statements": [self._tree["statements"][0] | {"node": node}]}
        return _one(self._connection, f"SELECT json_deserialize_sql({literal(json.dumps(tree))}::JSON)")


def _parts(tree: object) -> Iterator[Tree]:
    """All objects in a tree."""
    if isinstance(tree, dict):
        yield tree
        for part in tree.values():
            yield from _parts(part)
    elif isinstance(tree, list):
        for part in tree:
            yield from _parts(part)


def _references(parts: list[Tree]) -> list[list[str]]:
    return [one["column_names"] for one in parts if one.get("class") == "COLUMN_REF"]


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    found = connection.execute(query).fetchone()
    assert found
    return str(found[0])
