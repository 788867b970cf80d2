"""What a lake holds, to be read by people: every table and column with type, meaning, fill rate and an example.

Examples are never data of people: the words of a fixed vocabulary, or made-up values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import duckdb

from warehouse.lake.connection import Lake
from warehouse.lake.schema import describe_tables
from warehouse.views.names import identifier
from warehouse.views.refresh import view_files
from warehouse.views.wide import CONTACT_COLUMNS, NOT_PARSED, RESULT_PARTS

# Columns whose values are words of RapidPro's or of Rapidlake's own.
VOCABULARY = {
    "status", "direction", "type", "visibility", "exit_type", "unit", "source", "period", "archive_type", "scheme",
    "urn_scheme", "contact_urn_scheme", "language", "base_language", "country", "timezone", "date_style", "field_type",
    "what", "spec_version", "agent_access",
}  # fmt: skip
MADE_UP = {
    "urn": "tel:+12025550123",
    "contact_urn": "tel:+12025550123",
    "all_urns": "tel:+12025550123",
    "urn_path": "+12025550123",
    "contact_urn_path": "+12025550123",
    "address": "+12025550100",
    "contact_name": "Ana Example",
    "email": "ana@example.org",
    "text": "Good morning!",
    "url": "https://example.org/photo.jpg",
}
COMMENT_ON_COLUMN = re.compile(r'COMMENT ON COLUMN (\w+)\."?(\w+)"?\s+IS\s+\'(.*)\'', re.DOTALL)
MOST_EXAMPLES = 5


@dataclass(frozen=True)
class Column:
    """A column; `filled` is the percentage of rows that have a value there, None where it was not counted."""

    name: str
    type: str
    meaning: str
    filled: float | None
    example: str


@dataclass(frozen=True)
class Entry:
    """A table or view; `rows` is None where they were not counted."""

    schema: str
    name: str
    is_view: bool
    meaning: str
    rows: int | None
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Result:
    """A result of a flow; `filled` is the percentage of the flow's runs that have it."""

    key: str
    name: str
    columns: str
    categories: str
    filled: float | None


@dataclass(frozen=True)
class Flow:
    """A flow, the view of its runs, and what it asks."""

    name: str
    view: str
    type: str
    runs: int
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Field:
    """A field of contacts, its column in contacts_wide, and how much it is used; `filled` is of the contacts."""

    key: str
    name: str
    type: str
    column: str
    filled: float | None
    used_by: str


@dataclass(frozen=True)
class Dictionary:
    """Everything that a lake holds."""

    workspace: str
    entries: tuple[Entry, ...]
    flows: tuple[Flow, ...]
    fields: tuple[Field, ...]


def read_dictionary(lake: Lake) -> Dictionary:
    """Describe a lake. Reads each table once.

    Raises:
        LakeError: the lake cannot be read, or has no views yet.
    """
    with lake.connection() as connection:
        meanings = dict(_declared_meanings()) | dict(_generated_meanings(connection))
        entries = tuple(_entry(connection, meanings, *found) for found in _found(connection))
        workspace = connection.execute("SELECT coalesce(workspace_name, 'a workspace') FROM _lake").fetchall()[0][0]
        return Dictionary(workspace, entries, tuple(_flows(connection)), tuple(_fields(connection)))


def _found(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, bool, str]]:
    """(schema, name, is a view, what a row is): tables, then views, then tables of Rapidlake's own."""
    return connection.execute(
        """
        FROM (
            SELECT schema_name, table_name AS name, false AS is_view, coalesce(comment, '') AS meaning
            FROM duckdb_tables() WHERE database_name = 'lake'
            UNION ALL
            SELECT schema_name, view_name, true, coalesce(comment, '') FROM duckdb_views() WHERE database_name = 'lake'
        )
        ORDER BY starts_with(name, '_'), schema_name, is_view, name
        """
    ).fetchall()


def _declared_meanings() -> Iterator[tuple[tuple[str, str], str]]:
    """(table, column) → what the column means, as the `.sql` files say."""
    for table in describe_tables().values():
        yield from (((table.name, column.name), column.comment) for column in table.columns)
    for file in view_files():
        for statement in duckdb.extract_statements(file.read_text("utf-8")):
            if comment := COMMENT_ON_COLUMN.fullmatch(statement.query.strip().rstrip(";")):
                yield (comment[1], comment[2]), comment[3].replace("''", "'")


def _generated_meanings(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[tuple[str, str], str]]:
    """The same of the wide views: fields and results by the names that people know."""
    for column, expression in CONTACT_COLUMNS.items():
        yield ("contacts_wide", column), f"As in contacts: {expression.removeprefix('contacts.')}."
    yield ("contacts_wide", NOT_PARSED), "Values of fields that do not fit the field's type, as they were written."
    for column, key, name, kind in connection.execute(
        """
        SELECT given.name, given.key, fields.name, fields.type FROM _given_names AS given
        JOIN fields ON fields.key = split_part(given.key, '/', 1) WHERE scope = 'contacts_wide'
        """
    ).fetchall():
        part = f", its {key.split('/')[-1]}" if "/" in key else ""
        yield ("contacts_wide", column), f"Field “{name}” ({kind}){part}."
    for view, stem, result in connection.execute(
        """
        SELECT views.name, columns.name, coalesce(known.name, known.key) FROM _given_names AS views
        JOIN _given_names AS columns ON columns.scope = views.key
        JOIN _result_keys AS known ON known.flow_uuid::VARCHAR = views.key AND known.key = columns.key
        WHERE views.scope = 'results'
        """
    ).fetchall():
        for part in RESULT_PARTS:
            yield (view, f"{stem}_{part}"), f"Result “{result}”: {part}."


def _entry(
    connection: duckdb.DuckDBPyConnection,
    meanings: Mapping[tuple[str, str], str],
    schema: str,
    name: str,
    is_view: bool,
    meaning: str,
) -> Entry:
    columns = [row[:2] for row in connection.execute(f"DESCRIBE {schema}.{identifier(name)}").fetchall()]
    counted = not name.startswith("_") and (not is_view or name == "contacts_wide")
    rows, filled, examples = _count(connection, name, columns) if counted else (None, {}, {})
    return Entry(
        schema,
        name,
        is_view,
        meaning,
        rows,
        tuple(
            Column(
                column,
                kind,
                meanings.get((name, column), ""),
                filled.get(column),
                examples.get(column) or MADE_UP.get(column, ""),
            )
            for column, kind in columns
        ),
    )


def _count(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Iterable[tuple[str, str]]
) -> tuple[int, dict[str, float | None], dict[str, str]]:
    """Number of rows, percentage filled by column, and the commonest words by column; the table is read once."""
    columns = list(columns)
    words = [name for name, kind in columns if name in VOCABULARY and kind == "VARCHAR" and table != "contacts_wide"]
    asked = [
        "count(*)",
        *(f"count(*) FILTER ({_has_value(name, kind)})" for name, kind in columns),
        *(f"approx_top_k({identifier(name)}, {MOST_EXAMPLES})" for name in words),
    ]
    rows, *found = connection.execute(f"SELECT {', '.join(asked)} FROM {identifier(table)}").fetchall()[0]
    filled = {name: percent(count, rows) for (name, _), count in zip(columns, found, strict=False)}
    tops = zip(words, found[len(columns) :], strict=True)
    return rows, filled, {name: ", ".join(filter(None, top or [])) for name, top in tops}


def _has_value(name: str, kind: str) -> str:
    column = identifier(name)
    if kind.startswith("MAP("):
        return f"cardinality({column}) > 0"
    return f"len({column}) > 0" if kind.endswith("[]") or kind == "VARCHAR" else f"{column} IS NOT NULL"


def percent(part: int, whole: int) -> float | None:
    """`part` of `whole` in percent; None of nothing."""
    return round(100 * part / whole, 1) if whole else None


def _flows(connection: duckdb.DuckDBPyConnection) -> Iterator[Flow]:
    results: dict[str, list[Result]] = {}
    for flow, key, name, stem, categories, share in connection.execute(
        """
        WITH set AS (SELECT flow_uuid, key, count(*) AS runs FROM run_results GROUP BY ALL),
        categories AS (
            SELECT flow_uuid, key, string_agg(category, ', ' ORDER BY number) AS categories
            FROM flow_categories GROUP BY ALL
        )
        SELECT known.flow_uuid::VARCHAR, known.key, coalesce(result_name, known.key), results_columns,
            coalesce(categories, ''), round(100.0 * coalesce(set.runs, 0) / started, 1)
        FROM flow_results AS known
        LEFT JOIN set USING (flow_uuid, key) LEFT JOIN categories USING (flow_uuid, key)
        LEFT JOIN flow_funnel USING (flow_uuid)
        ORDER BY known.flow_uuid, known.key
        """
    ).fetchall():
        results.setdefault(flow, []).append(Result(key, name, f"{stem}_…", categories, share))
    for flow, name, view, kind, runs in connection.execute(
        """
        SELECT flow_uuid::VARCHAR, dim_flows.flow_name, results_view, coalesce(type, ''), coalesce(started, 0)
        FROM dim_flows LEFT JOIN flow_funnel USING (flow_uuid) ORDER BY lower(dim_flows.flow_name), results_view
        """
    ).fetchall():
        yield Flow(name, f"results.{view}", kind, runs, tuple(results.get(flow, [])))


def _fields(connection: duckdb.DuckDBPyConnection) -> Iterator[Field]:
    for key, name, kind, column, share, flows, groups, events in connection.execute(
        """
        WITH filled AS (
            SELECT field_key AS key, count(*) AS contacts FROM contact_fields WHERE value <> '' GROUP BY ALL
        ),
        everybody AS (SELECT count(*) AS contacts FROM contacts WHERE deleted_on IS NULL)
        SELECT key, fields.name, type, given.name,
            round(100.0 * coalesce(filled.contacts, 0) / nullif(everybody.contacts, 0), 1),
            coalesce(usages_flows, 0), coalesce(usages_groups, 0), coalesce(usages_campaign_events, 0)
        FROM fields CROSS JOIN everybody
        LEFT JOIN filled USING (key)
        LEFT JOIN _given_names AS given ON given.scope = 'contacts_wide' AND given.key = fields.key
        WHERE deleted_on IS NULL ORDER BY key
        """
    ).fetchall():
        uses = [
            f"{number} {what}"
            for number, what in zip((flows, groups, events), ("flows", "groups", "campaign events"), strict=True)
            if number
        ]
        yield Field(key, name or key, kind or "", column or "", share, ", ".join(uses))
