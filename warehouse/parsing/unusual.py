"""Looks at rows in which something may be unusual: unknown keys, a key that stands twice, an object for a text.

It takes their JSON apart, which costs several times as much as reading it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import duckdb
from duckdb.sqltypes import DuckDBPyType

from warehouse.lake.literal import literal, text_list
from warehouse.lake.table import Table
from warehouse.parsing.shapes import (
    UsualKeys,
    element,
    element_name,
    entries_of,
    keys_of,
    objects_of,
    parts_of,
    record_of,
    texts_of,
    under,
)

KEY_TWICE = "a key stands twice in one object"
MISPLACED = "is an object or a list where a single value belongs"


@dataclass(frozen=True)
class Rule:
    """How SQL is made of a type: of what there is to say of the parts of a value, what there is to say of it.

    leaf: of the JSON of a single value, and its place.
    struct: of the JSON of an object, its type, its place, and (key, SQL) of its parts.
    list: of a list with what there is to say of each element.
    map: of the JSON of an object with any keys, and a list with what there is to say of each value.
    """

    leaf: Callable[[str, str], str | None]
    struct: Callable[[str, DuckDBPyType, str, list[tuple[str, str]]], str | None]
    list: Callable[[str], str]
    map: Callable[[str, str], str]

    def sql(self, kind: DuckDBPyType, json: str, place: str = "") -> str | None:
        """SQL of what there is to say of `json`, of which the type is `kind`; None if nothing."""
        part = element_name(place)
        if kind.id == "struct":
            inner = [(name, self.sql(child, f"json_extract({part}, '/{name}')", under(place, name)))
                     for name, child in parts_of(kind)]  # fmt: skip
            body = self.struct(part, kind, place, [(name, sql) for name, sql in inner if sql])
            return body and f"list_transform([{json}], lambda {part}: {body})[1]"  # a list of one, to name it
        if kind.id == "list":
            return self._of_elements(json, self.sql(element(kind), part, f"{place}[]"), part)
        if kind.id == "map":
            # Archives from before June 2018 have a list of such objects.
            listed = self._of_elements(json, self._of_map(kind, part, f"{place}[]"), part)
            whole = self._of_map(kind, json, place)
            return whole and f"CASE json_type({json}) WHEN 'ARRAY' THEN {listed} ELSE {whole} END"
        return None if str(kind) == "JSON" else self.leaf(json, place)

    def _of_elements(self, json: str, inner: str | None, part: str) -> str | None:
        return inner and self.list(f"list_transform(json_extract({json}, '$[*]'), lambda {part}: {inner})")

    def _of_map(self, kind: DuckDBPyType, json: str, place: str) -> str | None:
        part = element_name(f"{place}.*")
        inner = self.sql(element(kind), part, f"{place}.*")
        return inner and self.map(json, f"list_transform(json_extract({json}, '$.*'), lambda {part}: {inner})")


def _known(kind: DuckDBPyType) -> str:
    return text_list(keys_of(kind))


# The JSON of the unknown keys, each where it stands in the row; NULL if there are none. Elements of lists keep their
# place: those that have none are null.
UNKNOWN_PARTS = Rule(
    leaf=lambda json, place: None,
    struct=lambda json, kind, place, parts: (
        f"object_of(list_concat(unknown_entries({json}, {_known(kind)}), {entries_of(parts)}))"
    ),
    list=lambda parts: f"list_of({parts})",
    map=lambda json, parts: f"object_of(map_entries_of(json_keys({json}), {parts}))",
)
# The places of the unknown keys, as a list.
UNKNOWN_PLACES = Rule(
    leaf=lambda json, place: None,
    struct=lambda json, kind, place, parts: (
        f"list_concat({', '.join([_places(json, kind, place), *(part for _, part in parts)])})"
    ),
    list=lambda parts: f"flatten({parts})",
    map=lambda json, parts: f"flatten({parts})",
)
# The place of an object or a list where a single value belongs; NULL if there is none.
NESTED_VALUE = Rule(
    leaf=lambda json, place: f"CASE WHEN is_nested({json}) THEN {literal(place)} END",
    struct=lambda json, kind, place, parts: f"coalesce({', '.join(part for _, part in parts)})" if parts else None,
    list=lambda parts: f"list_any_value({parts})",
    map=lambda json, parts: f"list_any_value({parts})",
)


def _places(json: str, kind: DuckDBPyType, place: str) -> str:
    within = literal(f"{place}." if place else "")
    return f"list_transform(unknown_keys({json}, {_known(kind)}), lambda key: {within} || key)"


def has_no_numbers(text: str) -> str:
    """SQL of whether NaN, Infinity or -Infinity is in a text."""
    return f"contains({text}, 'NaN') OR contains({text}, 'Infinity')"


def look_closer(connection: duckdb.DuckDBPyConnection, table: Table, usual: UsualKeys) -> None:
    """Say of the rows of `parsed` whose JSON is in the column `unusual` what they have beside their type, in `extra`.

    Those with a key twice in an object, an object or a list in place of a single value, or NaN, become unreadable.
    """
    kind = record_of(connection, table)
    objects = objects_of(kind)
    single = [one for one in objects if not one.within]
    several = [one for one in objects if one.within]
    key_lists = [f"[keys[{number}]]" for number in range(1, len(single) + 1)] + [one.key_lists for one in several]
    # To leave the usual ones out costs less than to look each key up.
    odd_keys = ", ".join(
        f"list_filter({lists}, lambda keys: keys <> {text_list(usual.get(one.place, []))}) AS keys_{number}"
        for number, (one, lists) in enumerate(zip(single + several, key_lists, strict=True))
    )
    unknown = " OR ".join(
        f"has_unknown(keys_{number}, {text_list(one.known)})"
        for number, one in enumerate(single + several)
        if one.known
    )
    twice = " OR ".join(f"has_twice(keys_{number})" for number in range(len(objects)))
    # What is kept as JSON keeps a key that stands twice, but where it is made a map, which makes its row unreadable.
    in_json = (f"json_keys(json, '$.\"{name}\"')" for name, part in parts_of(kind) if str(part) == "JSON")
    twice_in_json = f"has_twice([{', '.join(in_json)}]::VARCHAR[][])"
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE looked_at AS
        WITH records AS (
            SELECT line, unusual AS json, unreadable, TRY_CAST(unusual AS "{table.name}_record") AS record,
                json_keys(unusual, {text_list(one.paths[0] for one in single)}) AS keys
            FROM parsed WHERE unusual IS NOT NULL
        ),
        keyed AS (SELECT *, {odd_keys} FROM records),
        faults AS (
            SELECT line, json, {unknown} AS has_unknown,
                CASE
                    WHEN {has_no_numbers("json::VARCHAR")} THEN {has_no_numbers("without_texts(json)")} ELSE false
                END AS is_no_json,
                CASE
                    WHEN {twice} OR CASE WHEN unreadable IS NOT NULL THEN {twice_in_json} END
                        THEN {literal(KEY_TWICE)}
                    WHEN one_is_json({texts_of(kind, "record")})
                        THEN {NESTED_VALUE.sql(kind, "json")} || {literal(f" {MISPLACED}")}
                END AS fault
            FROM keyed
        )
        SELECT line, fault,
            CASE WHEN is_no_json THEN '' WHEN fault IS NOT NULL THEN json::VARCHAR END AS unreadable,
            CASE
                WHEN fault IS NULL AND has_unknown AND NOT is_no_json THEN {UNKNOWN_PARTS.sql(kind, "json")}
            END AS extra
        FROM faults
        """
    )
    connection.execute(
        """
        UPDATE parsed
        SET extra = looked_at.extra, reason = fault, unreadable = coalesce(looked_at.unreadable, parsed.unreadable)
        FROM looked_at WHERE parsed.line = looked_at.line
        """
    )
    connection.execute("DROP TABLE looked_at")


def unknown_places(connection: duckdb.DuckDBPyConnection, table: Table) -> list[str]:
    """The places of the keys that `extra` has in `parsed_row`, in order."""
    places = UNKNOWN_PLACES.sql(record_of(connection, table), "extra")
    found = connection.execute(
        f"SELECT DISTINCT unnest({places}) AS place FROM parsed_row WHERE extra IS NOT NULL ORDER BY place"
    ).fetchall()
    return [place for (place,) in found]
