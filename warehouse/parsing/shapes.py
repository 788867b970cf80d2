"""Makes SQL of a stream's record type: the type that its rows usually have, and what of them has another shape.

A place in a row is written as in `contact.ref`, `labels[].color` and `values.*.extra`: `[]` stands for each element of
a list, `*` for each key of a map. What has the type JSON is kept as it is, and not looked into.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import duckdb
from duckdb.sqltypes import DuckDBPyType

from warehouse.lake.literal import literal
from warehouse.lake.table import Table

# The keys that each object of a record usually has, by its place.
UsualKeys = Mapping[str, Sequence[str]]

# How the JSON of an object or a list begins, and what DuckDB takes for a number though JSON does not have it.
NESTED = ("{", "[")
NO_NUMBERS = ("NaN", "Infinity", "-Infinity")
# Keys of values that are no text.
TYPED = re.compile(r"id|(\w+_)?uuid|node|time|\w+_on")
# Keys that can name a field of a type.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_:. -]*")


def record_of(connection: duckdb.DuckDBPyConnection, table: Table) -> DuckDBPyType:
    """The stream's record type."""
    return connection.sql(f'SELECT NULL::"{table.name}_record"').types[0]


def parts_of(kind: DuckDBPyType) -> list[tuple[str, DuckDBPyType]]:
    """The parts of a type, with what they are called."""
    return cast(list[tuple[str, DuckDBPyType]], kind.children)


def keys_of(kind: DuckDBPyType) -> list[str]:
    """The keys of an object type."""
    return [name for name, _ in parts_of(kind)]


def element(kind: DuckDBPyType) -> DuckDBPyType:
    """The type of a list's elements, or of a map's values."""
    return parts_of(kind)[-1][1]


def under(place: str, name: str) -> str:
    """The place of a key of an object."""
    return f"{place}.{name}" if place else name


def element_name(place: str) -> str:
    """The name of what stands in a place, in a lambda: another one at each depth."""
    return f"part{len(place)}"


@dataclass(frozen=True)
class Objects:
    """Where a row has objects of one type: one of them, or those of a list or a map.

    place: as it is written.
    paths: the JSON paths that lead to them.
    within: the list or map in `record` that they are in, as SQL; None where it is one object.
    known: the keys of the type; None where they may have any.
    """

    place: str = ""
    paths: tuple[str, ...] = ("$",)
    within: str | None = None
    known: tuple[str, ...] | None = None

    def step(self, place: str, path: str) -> Objects:
        """Where such objects have others."""
        return replace(self, place=place, paths=tuple(one + path for one in self.paths))

    @property
    def key_lists(self) -> str:
        """SQL of the keys of each of them, a list of lists, from `json`."""
        keys = {path: f"json_keys(json, {literal(path)})" for path in self.paths}
        lists = (one if "*" in path else f"[{one}]" for path, one in keys.items())  # such a path has a list of them
        return f"list_concat({', '.join(lists)})"

    @property
    def keys_of_first(self) -> str:
        """SQL of the keys of the first of them, from `json`."""
        if not self.within:
            return f"json_keys(json, {literal(self.paths[0])})"
        return f"coalesce({', '.join(f'json_keys(json, {literal(path)})[1]' for path in self.paths)})"


def objects_of(kind: DuckDBPyType, at: Objects = Objects()) -> list[Objects]:
    """The places of the objects of a row, the row itself first."""
    if kind.id == "struct":
        found = [replace(at, known=tuple(keys_of(kind)))]
        for name, part in parts_of(kind):
            below = at.step(under(at.place, name), f'."{name}"')
            if part.id in ("list", "map") and not below.within:
                below = replace(below, within=f'record."{name}"')
            found += objects_of(part, below)
        return found
    if kind.id == "list":
        return objects_of(element(kind), at.step(f"{at.place}[]", "[*]"))
    if kind.id == "map":
        # Archives from before June 2018 have a list of such objects.
        maps = replace(at, paths=tuple(path + more for path in at.paths for more in ("", "[*]")))
        return [maps, *objects_of(element(kind), maps.step(f"{at.place}.*", ".*"))]
    return []


def usual_type(kind: DuckDBPyType, usual: UsualKeys, place: str = "") -> str:
    """SQL of the type that has, in each object, the usual keys and no others: those that are unknown as JSON."""
    if kind.id == "struct":
        known, new = _usual(kind, usual, place)
        fields = [f'"{name}" {usual_type(part, usual, under(place, name))}' for name, part in known]
        fields += [f'"{name}" JSON' for name in new]
        return f"STRUCT ({', '.join(fields)})"
    if kind.id == "list":
        return f"{usual_type(element(kind), usual, f'{place}[]')}[]"
    if kind.id == "map":
        return f"MAP (VARCHAR, {usual_type(element(kind), usual, f'{place}.*')})"
    return str(kind)


def _usual(kind: DuckDBPyType, usual: UsualKeys, place: str) -> tuple[list[tuple[str, DuckDBPyType]], list[str]]:
    """The usual parts of an object: those that are known, with their types, and the unknown keys."""
    listed = usual.get(place) or keys_of(kind)
    known = [(name, part) for name, part in parts_of(kind) if name in listed] or parts_of(kind)
    # Names of fields have no case: of keys that differ by their case alone one can be in the type.
    taken = {name.lower() for name in keys_of(kind)}
    new = {key.lower(): key for key in listed if NAME.fullmatch(key) and key.lower() not in taken}
    return known, list(new.values())


def usual_unknown(kind: DuckDBPyType, usual: UsualKeys, value: str, place: str = "") -> str | None:
    """SQL of what `unknown_parts` gives, of a `value` of the usual type; None if the type has no unknown keys."""
    if kind.id == "struct":
        known, new = _usual(kind, usual, place)
        entries = [(name, f"coalesce({value}.\"{name}\", 'null'::JSON)") for name in new]
        for name, part in known:
            if inner := usual_unknown(part, usual, f'{value}."{name}"', under(place, name)):
                entries.append((name, inner))
        return f"CASE WHEN {value} IS NOT NULL THEN object_of({entries_of(entries)}) END" if entries else None
    each = element_name(place)
    if kind.id == "list":
        inner = usual_unknown(element(kind), usual, each, f"{place}[]")
        return inner and f"list_of(list_transform({value}, lambda {each}: {inner}))"
    if kind.id == "map":
        inner = usual_unknown(element(kind), usual, f"{each}.value", f"{place}.*")
        entry = f"{{'key': {each}.key, 'value': {inner}}}"
        return inner and f"object_of(list_transform(map_entries({value}), lambda {each}: {entry}))"
    return None


def may_be_no_text(kind: DuckDBPyType, value: str, *, numbers: bool = False, place: str = "") -> str:
    """SQL of whether a text in a `value` of the type may stand for something else: an object, a list, or no number.

    Values that have a type of their own are left out: what does not fit it makes the row unreadable anyway.
    """
    if kind.id == "struct":
        conditions = [
            may_be_no_text(part, f'{value}."{name}"', numbers=numbers, place=under(place, name))
            for name, part in parts_of(kind)
            if not TYPED.fullmatch(name)
        ]
        return " OR ".join(one for one in conditions if one) or "false"
    if kind.id in ("list", "map"):
        each = element_name(place)
        condition = may_be_no_text(element(kind), each, numbers=numbers, place=f"{place}[]")
        return f"list_bool_or(list_transform({_elements(kind, value)}, lambda {each}: {condition}))"
    if str(kind) == "JSON":
        return ""
    marks = [f"prefix({value}, {literal(mark)})" for mark in NESTED]
    return " OR ".join([*marks, *([f"{value} IN {NO_NUMBERS}"] if numbers else [])])


def texts_of(kind: DuckDBPyType, value: str, place: str = "") -> str:
    """SQL of a list of the texts in a `value` of the type."""
    if kind.id == "struct":
        inner = [(part.id, f'{value}."{name}"', part, under(place, name)) for name, part in parts_of(kind)]
        single = ", ".join(sql for what, sql, part, _ in inner if what == "varchar" and str(part) != "JSON")
        several = [texts_of(part, sql, at) for what, sql, part, at in inner if what in ("struct", "list", "map")]
        return f"list_concat({', '.join([f'[{single}]::VARCHAR[]', *several])})"
    elements = _elements(kind, value)
    if element(kind).id == "varchar":
        return elements
    each = element_name(place)
    return f"flatten(list_transform({elements}, lambda {each}: {texts_of(element(kind), each, f'{place}[]')}))"


def _elements(kind: DuckDBPyType, value: str) -> str:
    return value if kind.id == "list" else f"map_values({value})"


def entries_of(parts: Iterable[tuple[str, str]]) -> str:
    """SQL of a list of keys with values, of which both are SQL."""
    entries = (f"{{'key': {literal(key)}, 'value': {value}}}" for key, value in parts)
    return f"[{', '.join(entries)}]"
