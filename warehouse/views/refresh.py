"""Keeps the analysts' views current: those of the `.sql` files, and the wide ones that follow the workspace.

A look at the lake learns from the rows written since the last one: names, results, digits, sizes of groups. A view is
written only when its SQL changes, so a look that learns nothing leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from graphlib import TopologicalSorter
from importlib import resources
from importlib.resources.abc import Traversable

import duckdb

from warehouse.errors import LakeStopped
from warehouse.lake import clock
from warehouse.lake.clock import NOW
from warehouse.lake.connection import Lake
from warehouse.lake.literal import literal
from warehouse.lake.table import materialise
from warehouse.text import for_xml
from warehouse.views.names import GivenNames, identifier, save_names
from warehouse.views.wide import View, contacts_wide, views_of_flows

# Grows when the wide views, or what is learned for them, change.
GENERATION = 1
# Rows carry the time at which their transaction began: one may have been committed so much later.
SLOWEST_COMMIT = timedelta(hours=1)
CREATE_MACRO = re.compile(r"^CREATE OR REPLACE MACRO (\w+)\(", re.MULTILINE)
CREATE_VIEW = re.compile(r"^CREATE VIEW (\w+) AS\n", re.MULTILINE)
COMMENT_ON_VIEW = re.compile(r"COMMENT ON VIEW (\w+) IS\s+'(.*)'", re.DOTALL)
READ_TABLE = re.compile(r"\bFROM (\w+)")
UNION = "\n    UNION ALL\n"
# The tables that, beside what is learned, decide which views there are.
VIEWS_FOLLOW = {"fields", "flows", "workspace"}
LEARNED = {"known_names": ("kind", "uuid"), "result_keys": ("flow_uuid", "key"), "number_digits": ("key",)}


@dataclass(frozen=True)
class Look:
    """Up to which snapshot the rows were looked through, and when that was (UTC); `current` is the newest one."""

    snapshot: int
    looked_on: datetime | None
    current: int


def refresh_views(lake: Lake) -> int:
    """Bring the views up to what the lake holds; return how many were written. Costs two queries if nothing changed.

    Whoever is asked to stop while another process does it leaves it to that one.
    """
    with suppress(LakeStopped), lake.lock("views"):
        look = _last_look(lake)
        changed = _tables_changed_since(lake, look.snapshot)
        if changed or not look.looked_on:
            return lake.commit(lambda connection: _refresh(connection, look, changed))
    return 0


def _last_look(lake: Lake) -> Look:
    found = lake.rows(
        f"""
        SELECT (SELECT max(snapshot_id) FROM ducklake_snapshots('lake')), snapshot, looked_on
        FROM (SELECT 1) LEFT JOIN _look ON fingerprint = {literal(_fingerprint())}
        """
    )
    current, snapshot, looked_on = found[0]
    return Look(snapshot or 0, looked_on, current)


def _tables_changed_since(lake: Lake, snapshot: int) -> set[str]:
    """The streams' tables that snapshots after this one changed; all of them where some are forgotten."""
    found = lake.rows(
        f"""
        WITH later AS (SELECT * FROM ducklake_snapshots('lake') WHERE snapshot_id > {snapshot}),
        touched AS (SELECT DISTINCT unnest(flatten(map_values(changes))) AS id FROM later)
        SELECT table_name
        FROM ducklake_table_info('lake')
        WHERE NOT starts_with(table_name, '_')
            AND (
                (SELECT coalesce(min(snapshot_id) > {snapshot} + 1, false) FROM later)
                OR table_id::VARCHAR IN (FROM touched)
            )
        """
    )
    return {table for (table,) in found}


def _refresh(connection: duckdb.DuckDBPyConnection, look: Look, changed: set[str]) -> int:
    learned = _learn(connection, changed, _written_since(look))
    timezone = _timezone(connection)
    if "groups" in changed:
        _note_group_sizes(connection, timezone)
    written = 0
    if not look.looked_on or learned or changed & VIEWS_FOLLOW:
        names = GivenNames(connection)
        wanted = [*declared_views(timezone), contacts_wide(connection, names), *views_of_flows(connection, names)]
        written = _write_views(connection, wanted)
        save_names(connection, names)
    connection.execute("DELETE FROM _look")
    connection.execute(
        "INSERT INTO _look (fingerprint, snapshot, looked_on) "
        f"VALUES ({literal(_fingerprint())}, {look.current}, {NOW})"
    )
    return written


def _written_since(look: Look) -> datetime | None:
    """From when on rows may be new to the look (UTC); None for all, if a clock was set back that dates them."""
    if look.looked_on is None or look.looked_on > clock.now():
        return None
    return look.looked_on - SLOWEST_COMMIT


def _learn(connection: duckdb.DuckDBPyConnection, changed: set[str], since: datetime | None) -> bool:
    """Put what rows of these tables written since then bring into the tables of what is known; whether any does.

    All their rows if `since` is None.
    """
    connection.execute(f"SET VARIABLE since = coalesce({literal(since)}, '-infinity'::TIMESTAMPTZ)")
    if "fields" in changed:
        connection.execute(
            """
            SET VARIABLE new_number_field = EXISTS (
                SELECT 1 FROM fields ANTI JOIN _number_digits USING (key) WHERE type = 'number' AND deleted_on IS NULL
            )
            """
        )
    selects = {what: _what_reads(changed, _sql(f"learned/{what}.sql")) for what in LEARNED}
    learned = [_upsert(connection, f"_{what}", LEARNED[what], select) for what, select in selects.items() if select]
    connection.execute("RESET VARIABLE new_number_field")
    return any(learned)


def _what_reads(tables: set[str], select: str) -> str | None:
    """A SELECT with the parts of its union that read these tables, each part reads one; None if nothing of it does.

    The first part stays, for it names the columns. To name a table costs DuckLake several queries of its catalog,
    also where no row of it is new.
    """
    begin, end = select.index("(\n") + 2, select.index("\n)")
    parts = select[begin:end].split(UNION)
    if len(parts) == 1:
        return select if tables.intersection(READ_TABLE.findall(select)) else None
    read = [bool(tables.intersection(READ_TABLE.findall(part))) for part in parts]
    if not any(read):
        return None
    kept = [part for part, wanted in zip(parts, [True, *read[1:]], strict=True) if wanted]
    return select[:begin] + UNION.join(kept) + select[end:]


def _upsert(connection: duckdb.DuckDBPyConnection, table: str, key: tuple[str, ...], select: str) -> bool:
    """Write what a SELECT brings over what the table has under the same key; whether it brings anything."""
    number = materialise(connection, "learned", select)
    if number:
        same = " AND ".join(f"known.{column} = learned.{column}" for column in key)
        connection.execute(f"DELETE FROM {table} AS known USING temp.learned WHERE {same}")
        connection.execute(f"INSERT INTO {table} BY NAME FROM temp.learned")
    connection.execute("DROP TABLE temp.learned")
    return bool(number)


def _note_group_sizes(connection: duckdb.DuckDBPyConnection, timezone: str) -> None:
    """Note how large groups are today, and were at the end of each day since the last that was noted."""
    ended = connection.execute(
        f"""
        SELECT timezone({literal(timezone)}, snapshot_time)::DATE AS day, max(snapshot_id)
        FROM ducklake_snapshots('lake')
        WHERE snapshot_id >= (
            SELECT min(snapshot_id) FROM ducklake_snapshots('lake')
            WHERE list_contains(map_extract_value(changes, 'tables_created'), 'main.groups')
        )
        GROUP BY day
        HAVING day > (
                SELECT coalesce(max(day), '-infinity') FROM _group_sizes
                WHERE day <= timezone({literal(timezone)}, {NOW})::DATE
            )
            AND day < timezone({literal(timezone)}, {NOW})::DATE
        ORDER BY day
        """
    ).fetchall()
    days = [(literal(str(day)), f"AT (VERSION => {snapshot})") for day, snapshot in ended]
    for day, version in [*days, (f"timezone({literal(timezone)}, {NOW})", "")]:
        connection.execute(f"SET VARIABLE day = {day}::DATE")
        select = _sql("learned/group_sizes.sql").format(at=version)
        _upsert(connection, "_group_sizes", ("group_uuid", "day"), select)


def _timezone(connection: duckdb.DuckDBPyConnection) -> str:
    """The workspace's time zone; UTC before the first sync, and where DuckDB does not know it."""
    found = connection.execute(
        "SELECT timezone FROM workspace JOIN pg_timezone_names() AS known ON known.name = timezone LIMIT 1"
    ).fetchall()
    return str(found[0][0]) if found else "UTC"


def declared_views(timezone: str) -> Iterator[View]:
    """The macros and views of the `.sql` files, each after those that it reads."""
    yield from _declared_in(_sql("macros.sql").format(timezone=literal(timezone)))
    yield from _views_in_order()


@cache
def _views_in_order() -> list[View]:
    files = {file.name.removesuffix(".sql"): file.read_text("utf-8") for file in view_files()}
    reads = {
        name: {other for other in files.keys() - {name} if re.search(rf"\b{other}\b", sql)}
        for name, sql in files.items()
    }
    return [view for name in TopologicalSorter(reads).static_order() for view in _declared_in(files[name])]


def _declared_in(sql: str) -> Iterator[View]:
    """The macros and views that a file creates; its comments on columns are for the dictionary."""
    statements = [statement.query.strip().rstrip(";") for statement in duckdb.extract_statements(sql)]
    comments = {found[1]: found[2] for found in map(COMMENT_ON_VIEW.fullmatch, statements) if found}
    for statement in statements:
        if macro := CREATE_MACRO.search(statement):
            yield View("macro", macro[1], statement, "")
        elif view := CREATE_VIEW.search(statement):
            yield View("main", view[1], statement[view.end() :], comments[view[1]].replace("''", "'"))


def view_files() -> list[Traversable]:
    """The `.sql` files of the views, by folder and name."""
    folders = [resources.files("warehouse.views") / folder for folder in ("dimensions", "elements", "facts")]
    return [file for folder in folders for file in sorted(folder.iterdir(), key=lambda one: one.name)]


def _write_views(connection: duckdb.DuckDBPyConnection, wanted: list[View]) -> int:
    """Write the views that are new or differ, and drop those that are no longer wanted; return how many."""
    have = dict(connection.execute("SELECT (schema, name), digest FROM _views").fetchall())
    digests = {(view.schema, view.name): _digest(view) for view in wanted}
    stale = [view for view in wanted if have.get((view.schema, view.name)) != digests[view.schema, view.name]]
    gone = [place for place in have if place not in digests]
    if stale:
        connection.execute("CREATE SCHEMA IF NOT EXISTS results")
    for view in stale:
        _write(connection, view)
    for schema, name in gone:
        kind, place = ("MACRO", "main") if schema == "macro" else ("VIEW", schema)
        connection.execute(f"DROP {kind} IF EXISTS {place}.{identifier(name)}")
    _note_views(connection, [*gone, *((view.schema, view.name) for view in stale)], digests)
    return len(stale) + len(gone)


def _write(connection: duckdb.DuckDBPyConnection, view: View) -> None:
    if view.schema == "macro":
        connection.execute(view.select)
        return
    name = f"{view.schema}.{identifier(view.name)}"
    connection.execute(f"CREATE OR REPLACE VIEW {name} AS\n{view.select}")
    connection.execute(f"COMMENT ON VIEW {name} IS {literal(for_xml(view.comment))}")  # SQL has no way to write a NUL


def _note_views(
    connection: duckdb.DuckDBPyConnection, places: list[tuple[str, str]], digests: dict[tuple[str, str], str]
) -> None:
    if places:
        listed = ", ".join(f"({literal(schema)}, {literal(name)})" for schema, name in places)
        connection.execute(f"DELETE FROM _views WHERE (schema, name) IN ({listed})")
    rows = [
        f"({literal(schema)}, {literal(name)}, {literal(digests[schema, name])})"
        for schema, name in places
        if (schema, name) in digests
    ]
    if rows:
        connection.execute(f"INSERT INTO _views (schema, name, digest) VALUES {', '.join(rows)}")


def _digest(view: View) -> str:
    return hashlib.md5(f"{view.select}\n{view.comment}".encode(), usedforsecurity=False).hexdigest()


@cache
def _fingerprint() -> str:
    """Changes with this version's views and with what it learns."""
    digest = hashlib.md5(str(GENERATION).encode(), usedforsecurity=False)
    for file in [*view_files(), *(resources.files("warehouse.views") / "learned" / f"{what}.sql" for what in LEARNED)]:
        digest.update(file.read_bytes())
    digest.update(_sql("macros.sql").encode())
    return digest.hexdigest()


def _sql(name: str) -> str:
    return (resources.files("warehouse.views") / name).read_text("utf-8")
