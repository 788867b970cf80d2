"""What a lake of an earlier version keeps in `extra` goes to the columns that this version has for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest

from pipeline.streams import STREAMS
from sandbox import Workspace
from tests.lakes import new_lake
from tests.warehouse.loading.loader import Loader
from warehouse import Lake, Table, harvest

Row = dict[str, Any]
Tables = dict[str, dict[str, Row]]

TABLES = [stream.table for stream in STREAMS.values()]
# So many that some are in the catalog, and some in files.
ROWS = 130


@dataclass(frozen=True)
class Older:
    """A version that has no columns for some keys (paths) of rows, and keeps them in `extra`."""

    columns: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]


# Texts, numbers, dates, lists and objects; a key within an object; one whose columns need another column as well.
OLDER = {
    "messages": Older(
        ("archived", "media", "quick_replies", "flow_uuid", "flow_name", "ticket_uuid", "labels"),
        (("archived",), ("media",), ("quick_replies",), ("flow",), ("ticket_uuid",), ("labels",)),
    ),
    "contacts": Older(("last_seen_on", "fields", "urns"), (("last_seen_on",), ("fields",), ("urns",))),
    "runs": Older(("contact_ref", "contact_anon_display"), (("contact", "ref"), ("contact", "anon_display"))),
    "broadcasts": Older(("text", "text_default"), (("text",),)),
}


@pytest.fixture(scope="module")
def rows(small_workspace: Workspace) -> dict[str, list[Row]]:
    """Rows of each stream, as the server sends them."""
    made = {stream: small_workspace.rows(stream)[:ROWS] for stream in OLDER}
    for number, row in enumerate(made["messages"]):
        row |= {"ticket_uuid": row["contact"]["uuid"] if number % 3 else None, "quick_replies": [f"{number}", "}"]}
    for number, row in enumerate(made["runs"]):
        row["contact"] |= {"ref": f"R{number}"} | ({"anon_display": "a/b~c"} if number % 2 else {})
    return made


KEYS = {"messages": "id", "contacts": "uuid", "runs": "uuid", "broadcasts": "id"}
# What has no value in a row with a value that does not fit.
UNFIT = {"messages": ("ticket_uuid", "labels"), "runs": (), "broadcasts": ("text", "text_default")}


@dataclass(frozen=True)
class Harvested:
    """A lake of an earlier version after a harvest that was interrupted, and two more.

    `loaded` is what this version loads of the same rows; `taken` says to how many rows the other two harvests gave
    something, `left` what stays in `extra` of which row.
    """

    lake: Lake
    loaded: Tables
    taken: list[int]
    left: dict[tuple[str, str], Row]


@pytest.fixture(scope="module")
def harvested(small_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harvested]:
    folder = tmp_path_factory.mktemp("harvest")
    rows = rows_of(small_workspace)
    message, run, broadcast = (key_of(stream, rows[stream][0]) for stream in ("messages", "runs", "broadcasts"))
    left: dict[tuple[str, str], Row] = {
        ("messages", message): {"ticket_uuid": "none", "labels": "a", "cost": 12345678901234567890123, "text": "other"},
        ("runs", run): {"contact": {"color": None}},
        ("broadcasts", broadcast): {"text": [1, 2]},
    }
    with Lake.create(new_lake(folder / "lake")) as before:
        loader = Loader(before, folder)
        for stream, some in rows.items():
            loader.load(stream, *some)
        some = "contact_uuid::VARCHAR < '8'"
        write(
            before,
            f"UPDATE messages SET source = 'archive', archived_in = '2026-01-01' WHERE {some}",
            f"UPDATE runs SET source = 'archive', archived_in = '2026-01-01' WHERE {some}",
            "UPDATE contacts SET deleted_on = modified_on WHERE uuid::VARCHAR < '4'",
        )
        loaded = {stream: stored(before, stream) for stream in OLDER}
        make_older(loader, rows, left)
    with Lake.create(folder / "lake") as lake:
        with pytest.raises(KeyboardInterrupt):
            harvest(lake, stopping())
        taken = [harvest(lake, TABLES, rows_at_once=50) for _ in range(2)]
        yield Harvested(lake, loaded, taken, left)


def rows_of(workspace: Workspace) -> dict[str, list[Row]]:
    """Rows of each stream, as the server sends them."""
    rows = {stream: workspace.rows(stream)[:ROWS] for stream in OLDER}
    for number, row in enumerate(rows["messages"]):
        row |= {"ticket_uuid": row["contact"]["uuid"] if number % 3 else None, "quick_replies": [f"{number}", "}"]}
    for number, row in enumerate(rows["runs"]):
        row["contact"] |= {"ref": f"R{number}"} | ({"anon_display": "a/b~c"} if number % 2 else {})
    return rows


def stopping() -> Iterator[Table]:
    """The first table, and then an end."""
    yield STREAMS["messages"].table
    raise KeyboardInterrupt


def test_rows_of_an_earlier_version_have_the_values_that_this_one_would_have_loaded(harvested: Harvested) -> None:
    expected = deepcopy(harvested.loaded)
    for (stream, key), left in harvested.left.items():
        expected[stream][key] |= dict.fromkeys(UNFIT[stream]) | {"extra": left}
    assert differences(harvested.lake, expected) == []


def test_no_change_is_noted_for_a_value_that_was_there_all_along(harvested: Harvested) -> None:
    assert harvested.lake.rows("SELECT count(*) FROM message_history") == [(0,)]


def test_a_key_that_has_a_column_now_is_unknown_no_more(harvested: Harvested) -> None:
    assert harvested.lake.rows("SELECT stream, key FROM _drift ORDER BY ALL") == [
        ("messages", "cost"),
        ("runs", "contact.color"),
    ]


def test_a_harvest_that_was_interrupted_goes_on_where_it_was_and_is_not_made_twice(harvested: Harvested) -> None:
    rows = sum(len(rows) for stream, rows in harvested.loaded.items() if stream != "messages")
    assert harvested.taken == [rows - 1, 0]  # of one broadcast nothing fits


def make_older(loader: Loader, rows: dict[str, list[Row]], odd: dict[tuple[str, str], Row]) -> None:
    """Make the lake what an earlier version would have made of the rows, some of them with `odd` keys."""
    file = loader.folder / "extras.jsonl"
    for stream, version in OLDER.items():
        extras = {key_of(stream, row): extra_of(row, version.keys) for row in rows[stream]}
        extras |= {key: merged(extras[key], more) for (of, key), more in odd.items() if of == stream}
        file.write_text(
            "".join(f"{json.dumps({'key': key, 'extra': extra})}\n" for key, extra in extras.items() if extra)
        )
        older = f"read_json('{file}', columns = {{key: 'VARCHAR', extra: 'JSON'}}) AS older"
        key = KEYS[stream]
        write(
            loader.lake,
            f"UPDATE {stream} SET extra = older.extra FROM {older} WHERE {stream}.{key}::VARCHAR = older.key",
            *(f"ALTER TABLE {stream} DROP COLUMN {column}" for column in version.columns),
        )
    write(
        loader.lake,
        "INSERT INTO _drift SELECT * FROM (VALUES ('runs', 'contact.ref'), ('runs', 'contact.color'), "
        "('messages', 'media'), ('messages', 'cost')), (VALUES ('unknown', now()))",
        "UPDATE _lake SET schema_fingerprint = 'older', extra_read_with = 'older'",
    )


def extra_of(row: Row, keys: tuple[tuple[str, ...], ...]) -> Row:
    """What is kept of a row: the keys that it has, those of objects within their object."""
    extra: Row = {}
    for *above, key in keys:
        source, place = row, extra
        for part in above:
            source, place = source[part], place.setdefault(part, {})
        if key in source:
            place[key] = source[key]
    return extra


def merged(one: Row, other: Row) -> Row:
    inner = {key: merged(one[key], value) for key, value in other.items() if isinstance(value, dict)}
    return one | other | inner


def key_of(stream: str, row: Row) -> str:
    return str(row[KEYS[stream]])


def stored(lake: Lake, stream: str) -> dict[str, Row]:
    """Key → the row with every column, also those that say when and whence it came."""
    with lake.connection() as connection:
        answer = connection.execute(f"SELECT * FROM {stream}")
        names = [name for name, *_ in answer.description]
        found = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    for row in found:
        row["extra"] = row["extra"] and json.loads(row["extra"])
    return {key_of(stream, row): row for row in found}


def differences(lake: Lake, expected: Tables) -> list[tuple[object, ...]]:
    """Stream, key, column, and what is stored instead of what is expected; every row of every table is compared."""
    found = {stream: stored(lake, stream) for stream in expected}
    assert {stream: rows.keys() for stream, rows in found.items()} == {
        stream: rows.keys() for stream, rows in expected.items()
    }
    return [
        (stream, key, column, found[stream][key].get(column), value)
        for stream, rows in expected.items()
        for key, row in rows.items()
        for column, value in row.items()
        if found[stream][key].get(column) != value
    ]


def write(lake: Lake, *statements: str) -> None:
    """What no part of Rapidlake does: change the lake by hand."""
    lake.commit(lambda connection: [connection.execute(statement) for statement in statements] and None)
