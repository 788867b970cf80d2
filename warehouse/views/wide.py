"""Writes the SQL of the wide views: contacts with a typed column for every field, and one view per flow.

What a workspace calls its fields, flows and results gets into SQL only as a literal or as a name that was made safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import duckdb

from warehouse.lake.literal import literal
from warehouse.views.names import GivenNames, identifier

CONTACT_COLUMNS = {
    "contact_uuid": "contacts.uuid",
    "contact_name": "contacts.name",
    "status": "contacts.status",
    "language": "contacts.language",
    "urn": "contacts.urns[1].urn",
    "urn_scheme": "contacts.urns[1].scheme",
    "urn_path": "contacts.urns[1].path",
    "all_urns": "array_to_string(list_transform(contacts.urns, lambda entry: entry.urn), ', ')",
    "group_names": "array_to_string(list_transform(contacts.groups, lambda entry: entry.name), ', ')",
    "in_flow": "contacts.flow_name",
    "created_on": "contacts.created_on",
    "modified_on": "contacts.modified_on",
    "last_seen_on": "contacts.last_seen_on",
}
NOT_PARSED = "not_parsed"
RUN_COLUMNS = {
    "run_uuid": "runs.uuid",
    "contact_uuid": "runs.contact_uuid",
    "contact_name": "coalesce(contacts.name, runs.contact_name)",
    "started_on": "runs.created_on",
    "modified_on": "runs.modified_on",
    "exited_on": "runs.exited_on",
    "exit_type": "runs.exit_type",
    "responded": "runs.responded",
    "start_uuid": "runs.start_uuid",
}
RESULT_PARTS = ("value", "category", "input", "time")
PLACES = {"state": ("country",), "district": ("country", "state"), "ward": ("country", "state", "district")}
# Digits that DECIMAL holds, in 8 bytes and at most.
SHORT_DECIMAL, LONG_DECIMAL = 18, 38


@dataclass(frozen=True)
class View:
    """A view: where it stands, what it selects, and what a row of it is."""

    schema: str
    name: str
    select: str
    comment: str


@dataclass(frozen=True)
class Column:
    """A column of a wide view; `source` is the text it is read from, where that may not fit its type."""

    name: str
    expression: str
    source: tuple[str, str] | None = None


def contacts_wide(connection: duckdb.DuckDBPyConnection, names: GivenNames) -> View:
    """Every contact that exists, with a column for each of its fields, of the field's type.

    A value that does not fit the type is NULL there, and stands in `not_parsed` as it was written.
    """
    fields = connection.execute(
        """
        SELECT fields.key, fields.type, whole, decimals
        FROM fields LEFT JOIN _number_digits USING (key)
        WHERE deleted_on IS NULL
        ORDER BY featured DESC NULLS LAST, priority DESC NULLS LAST, key
        """
    ).fetchall()
    own = [Column(name, expression) for name, expression in CONTACT_COLUMNS.items()]
    typed = [column for field in fields for column in _columns_of_field(names, *field)]
    columns = _select_list((column.name, column.expression) for column in [*own, *typed])
    select = f"SELECT\n{columns},\n    {_not_parsed(typed)} AS {NOT_PARSED}\nFROM contacts\nWHERE deleted_on IS NULL"
    return View(
        "main",
        "contacts_wide",
        select,
        "Contacts with a column for every field, of the field's type: one row per contact that exists. "
        "Values that do not fit the type stand in not_parsed.",
    )


def _columns_of_field(
    names: GivenNames, key: str, kind: str | None, whole: int | None, decimals: int | None
) -> Iterator[Column]:
    taken = (*CONTACT_COLUMNS, NOT_PARSED)
    name = names.of("contacts_wide", key, key, kind="field", taken=taken)
    text = f"fields[{literal(key)}]"
    if kind == "number":
        yield from _number(names, key, name, text, whole or 0, decimals or 0)
    elif kind == "datetime":
        yield Column(name, f"time_of({text})", (key, text))
    elif kind in PLACES:
        levels = (*PLACES[kind], kind)
        split = f"string_split({text}, ' > ')"
        for level, part in enumerate(levels, start=1):
            value = f"CASE WHEN len({split}) = {len(levels)} THEN {split}[{level}] END"
            if part == kind:
                yield Column(name, value, (key, text))
            else:
                given = names.of("contacts_wide", f"{key}/{part}", f"{name}_{part}", kind="field", taken=taken)
                yield Column(given, value)
    else:
        yield Column(name, text)


def _number(names: GivenNames, key: str, name: str, text: str, whole: int, decimals: int) -> Iterator[Column]:
    """A number as the narrowest DECIMAL that holds every value seen; as DOUBLE with its text beside, if none does."""
    if whole + decimals > LONG_DECIMAL:
        yield Column(name, f"number_of({text})", (key, text))
        taken = (*CONTACT_COLUMNS, NOT_PARSED)
        yield Column(names.of("contacts_wide", f"{key}/text", f"{name}_text", kind="field", taken=taken), text)
        return
    digits = SHORT_DECIMAL if whole + decimals <= SHORT_DECIMAL else LONG_DECIMAL
    # A cast would round a value with more decimals, such as one written since the digits were counted.
    rounded = rf"[eE]|\.[0-9]{{{decimals}}}[0-9]*[1-9]"
    exact = f"NOT regexp_matches({text}, {literal(rounded)})"
    yield Column(name, f"CASE WHEN {exact} THEN try_cast({text} AS DECIMAL({digits}, {decimals})) END", (key, text))


def _not_parsed(columns: Iterable[Column]) -> str:
    entries = ",\n        ".join(
        f"CASE WHEN {text} IS NOT NULL AND ({column.expression}) IS NULL "
        f"THEN struct_pack(key := {literal(key)}, value := {text}) END"
        for column in columns
        if column.source
        for key, text in [column.source]
    )
    if not entries:
        return "MAP {}::MAP(VARCHAR, VARCHAR)"
    return f"map_from_entries(list_filter([\n        {entries}\n    ], lambda entry: entry IS NOT NULL))"


def views_of_flows(connection: duckdb.DuckDBPyConnection, names: GivenNames) -> Iterator[View]:
    """One view per flow that any row refers to: a row per run, four columns per result ever seen."""
    keys: dict[str, list[str]] = {}
    for flow, key in connection.execute("SELECT flow_uuid::VARCHAR, key FROM _result_keys ORDER BY ALL").fetchall():
        keys.setdefault(flow, []).append(key)
    flows = connection.execute(
        """
        SELECT known.uuid::VARCHAR, known.name
        FROM _known_names AS known LEFT JOIN flows ON flows.uuid = known.uuid
        WHERE kind = 'flow'
        ORDER BY flows.created_on NULLS LAST, known.uuid
        """
    ).fetchall()
    for flow, name in flows:
        view = names.of("results", flow, name, kind="flow")
        yield View(
            "results",
            view,
            _select_of_flow(flow, {key: names.of(flow, key, key, kind="result") for key in keys.get(flow, [])}),
            f"Runs of the flow “{name}”: one row per run; value, category, input and time of every result it ever had.",
        )


def _select_of_flow(flow: str, stems: dict[str, str]) -> str:
    """`stems` says by key of the result how its columns begin."""
    results = (
        (f"{stem}_{part}", f"runs.results[{literal(key)}].{part}")
        for key, stem in stems.items()
        for part in RESULT_PARTS
    )
    columns = _select_list([*RUN_COLUMNS.items(), *results])
    return (
        f"SELECT\n{columns}\nFROM main.runs AS runs\n"
        "LEFT JOIN main.contacts AS contacts ON contacts.uuid = runs.contact_uuid\n"
        f"WHERE runs.deleted_on IS NULL AND runs.flow_uuid = {literal(flow)}::UUID"
    )


def _select_list(columns: Iterable[tuple[str, str]]) -> str:
    return ",\n".join(f"    {expression} AS {identifier(name)}" for name, expression in columns)
