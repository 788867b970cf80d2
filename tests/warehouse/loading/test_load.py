"""Loading: each key once in its latest state, nothing written twice, nothing lost that cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.streams import STREAMS
from sandbox import Workspace
from sandbox.server.flow_definitions import export
from tests.lakes import new_lake
from warehouse import (
    Batch,
    Cursor,
    Lake,
    Loaded,
    begin_reading,
    find_unseen,
    forget_batch,
    mark_unseen,
    merge,
    note_drift,
    read_cursors,
    remember_keys,
    save_cursor,
    stage,
)

Row = dict[str, Any]

ONE, TWO, THREE = (f"{number}0000000-0000-4000-8000-000000000000" for number in (1, 2, 3))


@dataclass(frozen=True)
class Loader:
    """Loads rows as a sync does: staged and merged in one transaction."""

    lake: Lake
    folder: Path
    used: set[str] = field(default_factory=lambda: {"_quarantine"})

    def load(self, stream: str, *rows: Row | str, tombstones: bool = False, files: int = 1) -> tuple[Batch, Loaded]:
        """Load rows, the text of some given as it is, from as many files."""
        self.used.add(stream)
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        size = -(-len(lines) // files)
        paths = [self.folder / f"{number}.jsonl" for number in range(files)]
        for number, path in enumerate(paths):
            path.write_text("".join(f"{line}\n" for line in lines[number * size :][:size]), encoding="utf-8")

        def work(connection: duckdb.DuckDBPyConnection) -> tuple[Batch, Loaded]:
            batch = stage(connection, STREAMS[stream].table, paths, tombstones=tombstones)
            loaded = merge(connection, batch, tombstones=tombstones)
            forget_batch(connection)
            return batch, loaded

        return self.lake.commit(work)

    def snapshots(self) -> int:
        """How many commits the lake has seen that wrote something."""
        return int(self.lake.rows("SELECT count(*) FROM lake.snapshots()")[0][0])


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with Lake.create(new_lake(tmp_path_factory.mktemp("load") / "lake")) as lake:
        yield lake


@pytest.fixture
def loader(lake: Lake, tmp_path: Path) -> Iterator[Loader]:
    """A loader into a lake that is empty again after the test."""
    loader = Loader(lake, tmp_path)
    yield loader
    lake.commit(lambda connection: [connection.execute(f'DELETE FROM "{name}"') for name in loader.used])


def contact(uuid: str = ONE, modified_on: str | None = "2026-03-01T00:00:00Z", **changes: Any) -> Row:
    return {"uuid": uuid, "name": "Ann", "urns": [], "fields": {}, "modified_on": modified_on, **changes}


def message(number: int = 1, **changes: Any) -> Row:
    return {"id": number, "text": "hello", "created_on": "2026-03-01T00:00:00Z", **changes}


def rows_of(stream: str, workspace: Workspace) -> list[Row]:
    """Rows as the API has them, for every stream."""
    if stream == "definitions":
        exported = export(workspace, [row["uuid"] for row in workspace.rows("flows")], [], "none")
        return list(exported["flows"])
    if stream == "statistics":
        counts = {"type": "WA", "text:in": 5, "text:out": 7, "voice:in": 0, "voice:out": 0}
        return [{"date": f"2026-01-{day:02}", "channels": {ONE: counts, TWO: counts}} for day in (1, 2)]
    if stream == "archives":
        file = {
            "record_count": 5,
            "size": 1000,
            "hash": "d41d8cd98f00b204e9800998ecf8427e",
            "download_url": "https://x",
        }
        kinds = [("message", "daily"), ("message", "monthly"), ("run", "daily")]
        return [{"archive_type": kind, "period": period, "start_date": "2026-01-01", **file} for kind, period in kinds]
    return workspace.rows(stream)


# -- every stream --


@pytest.mark.parametrize("stream", STREAMS)
def test_rows_load_once_and_a_second_time_write_nothing(
    stream: str, loader: Loader, small_workspace: Workspace
) -> None:
    rows = [{**row, "brand_new": {"b": [1.5, None, "é"], "a": 1}} for row in rows_of(stream, small_workspace)]
    assert rows
    batch, loaded = loader.load(stream, *rows)
    assert (batch.reason, batch.unknown_keys) == (None, ["brand_new"])
    assert loaded == Loaded(new=len(rows), changed=0, quarantined=0)
    kept = loader.lake.rows(f"SELECT DISTINCT extra->>'brand_new', source, deleted_on FROM \"{stream}\"")
    assert [(json.loads(extra), source, gone) for extra, source, gone in kept] == [
        ({"b": [1.5, None, "é"], "a": 1}, "api", None)
    ]
    before = loader.snapshots()
    _, again = loader.load(stream, *rows)
    assert again == Loaded(new=0, changed=0, quarantined=0)
    assert loader.snapshots() == before


# -- once, in the latest state --


def test_a_changed_row_is_updated_and_others_are_not_written(loader: Loader) -> None:
    loader.load("contacts", contact(ONE), contact(TWO))
    before = loader.lake.rows("SELECT synced_on FROM contacts WHERE uuid = " + f"'{TWO}'")
    _, loaded = loader.load("contacts", contact(ONE, "2026-03-02T00:00:00Z", name="Anne"), contact(TWO), contact(THREE))
    assert loaded == Loaded(new=1, changed=1, quarantined=0)
    assert loader.lake.rows("SELECT name FROM contacts ORDER BY uuid") == [("Anne",), ("Ann",), ("Ann",)]
    assert loader.lake.rows(f"SELECT synced_on FROM contacts WHERE uuid = '{TWO}'") == before


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"urns": ["tel:+250788000000"]},
        {"fields": {"age": "5"}},
        {"groups": [{"uuid": TWO, "name": "Farmers"}]},
        {"status": "blocked", "blocked": True},
        {"new_key": 1},
    ],
)
def test_any_value_that_differs_is_a_change(change: Row, loader: Loader) -> None:
    loader.load("contacts", contact())
    assert loader.load("contacts", contact(**change))[1] == Loaded(changed=1)
    assert loader.load("contacts", contact(**change))[1] == Loaded()


@pytest.mark.parametrize("files", [1, 3])
def test_of_rows_with_one_key_in_a_batch_the_last_read_wins(files: int, loader: Loader) -> None:
    rows = [message(number % 1000, text=f"reading {number}") for number in range(3000)]
    _, loaded = loader.load("messages", *rows, files=files)
    assert loaded == Loaded(new=1000)
    wrong = loader.lake.rows("SELECT id, text FROM messages WHERE text != 'reading ' || (2000 + id)")
    assert wrong == []


def test_of_rows_with_one_key_in_a_batch_the_last_modified_wins_wherever_it_stands(loader: Loader) -> None:
    newest, oldest = contact(modified_on="2026-03-09T00:00:00Z", name="new"), contact(name="old")
    for rows in ((newest, oldest), (oldest, newest), (oldest, newest, oldest)):
        loader.load("contacts", *rows)
        assert loader.lake.rows("SELECT name FROM contacts") == [("new",)]
        loader.lake.commit(lambda connection: connection.execute("DELETE FROM contacts"))


def test_a_row_older_than_the_one_in_the_lake_is_not_taken(loader: Loader) -> None:
    loader.load("contacts", contact(modified_on="2026-03-02T00:00:00Z", name="new"))
    _, loaded = loader.load("contacts", contact(modified_on="2026-03-01T23:59:59.999999Z", name="old"))
    assert loaded == Loaded()
    assert loader.lake.rows("SELECT name FROM contacts") == [("new",)]


def test_a_row_that_had_no_date_does_not_stay_for_ever(loader: Loader) -> None:
    loader.load("contacts", contact(modified_on=None, name="old"))
    loader.load("contacts", contact(name="new"))
    assert loader.lake.rows("SELECT name FROM contacts") == [("new",)]


def test_a_row_of_any_age_changes_where_nothing_says_which_is_newer(loader: Loader) -> None:
    loader.load("messages", message(status="sent", modified_on="2026-03-02T00:00:00Z"))
    loader.load("messages", message(status="delivered", modified_on="2026-03-01T00:00:00Z"))
    assert loader.lake.rows("SELECT status FROM messages") == [("delivered",)]


@pytest.mark.parametrize(
    ("stream", "row", "column", "value"),
    [
        ("messages", message(), "uuid", TWO),
        ("messages", message(), "ticket_uuid", TWO),
        (
            "runs",
            {"uuid": ONE, "created_on": "2026-03-01T00:00:00Z", "modified_on": "2026-03-01T00:00:00Z"},
            "events",
            "[]",
        ),
        (
            "runs",
            {"uuid": ONE, "created_on": "2026-03-01T00:00:00Z", "modified_on": "2026-03-01T00:00:00Z"},
            "submitted_by",
            "ann",
        ),
        ("tickets", {"uuid": ONE, "modified_on": "2026-03-01T00:00:00Z"}, "body", "Help"),
    ],
)
def test_what_only_some_sources_know_stays_when_another_does_not(
    stream: str, row: Row, column: str, value: str, loader: Loader
) -> None:
    loader.load(stream, {**row, column: json.loads(value) if column == "events" else value})
    assert loader.load(stream, {**row, column: None})[1] == Loaded()
    assert loader.load(stream, row)[1] == Loaded()
    assert loader.lake.rows(f'SELECT "{column}"::VARCHAR FROM "{stream}"') == [(value,)]


def test_months_are_kept_apart_and_rows_found_again_in_each(loader: Loader) -> None:
    rows = [message(number, created_on=f"2026-{1 + number % 12:02}-15T12:00:00.{number:06}Z") for number in range(600)]
    assert loader.load("messages", *rows)[1] == Loaded(new=600)
    changed = [{**row, "text": "changed"} for row in rows[::7]]
    assert loader.load("messages", *changed)[1] == Loaded(changed=len(changed))
    assert loader.load("messages", *[rows[0], rows[-1]])[1] == Loaded(changed=1)
    assert loader.lake.rows("SELECT count(*), count(DISTINCT id) FROM messages") == [(600, 600)]


# -- keys that are not known, and keys that are missing --


def test_unknown_keys_of_any_spelling_are_kept_with_their_values(loader: Loader) -> None:
    unknown = {"a/b~c": 1, "": [None], 'x"y': {"z": "é"}, "$.p": "q", "l": None, "TEXT": "shouting", "it's": True}
    batch, _ = loader.load("messages", message(1), message(2, **unknown))
    assert batch.unknown_keys == sorted(unknown)
    extra = dict(loader.lake.rows("SELECT id, extra FROM messages"))
    assert (extra[1], json.loads(extra[2])) == (None, unknown)
    assert loader.lake.rows("SELECT text FROM messages WHERE id = 2") == [("hello",)]


def test_a_number_in_extra_is_the_one_that_was_sent(loader: Loader) -> None:
    loader.load("messages", '{"id":1,"created_on":"2026-03-01T00:00:00Z","big":12345678901234567890123,"price":1.25}')
    assert loader.lake.rows("SELECT extra FROM messages") == [('{"big":12345678901234567890123,"price":1.25}',)]


def test_keys_that_the_server_does_not_send_are_told(loader: Loader) -> None:
    batch, _ = loader.load("labels", {"uuid": ONE, "name": "Spam"})
    assert batch.missing_keys == ["count"]


def test_a_first_row_that_is_no_object_tells_nothing_of_missing_keys(loader: Loader) -> None:
    batch, _ = loader.load("labels", "[1]", {"uuid": ONE, "name": "Spam", "count": 1})
    assert batch.missing_keys == []


def test_drift_is_noted_once(loader: Loader) -> None:
    loader.used.add("_drift")
    drift = [("contacts", "it's", "unknown"), ("contacts", "ref", "missing"), ("runs", "ref", "missing")]
    loader.lake.commit(lambda connection: note_drift(connection, drift[:2]))
    before = loader.snapshots()
    loader.lake.commit(lambda connection: note_drift(connection, drift[:2]))
    assert loader.snapshots() == before
    loader.lake.commit(lambda connection: note_drift(connection, drift))
    assert loader.lake.rows("SELECT stream, key, kind FROM _drift ORDER BY ALL") == sorted(drift)


# -- rows that cannot be read --

NO_OBJECTS = ["[1]", '"x"', "5", "true", "null", "{}", "[]"]
UNREADABLE: dict[str, list[Row | str]] = {
    "messages": [
        *NO_OBJECTS,
        message(created_on="yesterday"),
        message(created_on="2026-02-30T00:00:00Z"),
        message(created_on=5),
        message(created_on=None),
        {"id": 4, "text": "no date"},
        {"created_on": "2026-03-01T00:00:00Z", "text": "no id"},
        message(None),  # type: ignore[arg-type]
        message("abc"),  # type: ignore[arg-type]
        message(True),
        message(10**20),
        message({"id": 1}),  # type: ignore[arg-type]
        message(uuid="abc"),
        message(sent_on="later"),
        message(contact="Ann"),
        message(contact=5),
        message(contact=[ONE]),
        message(contact={}),
        message(contact={"uuid": None, "name": "Ann"}),
        message(contact={"uuid": "abc", "name": "Ann"}),
        message(channel={"name": "WhatsApp"}),
        message(flow="Survey"),
        message(labels="Spam"),
        message(labels={}),
        message(labels=["Spam"]),
        message(labels=[None]),
        message(labels=[{"name": "Spam"}]),
        message(attachments=["image:https://x"]),
        message(attachments={"a": 1}),
        message(archived="maybe"),
        message(broadcast="all"),
    ],
    "contacts": [
        *NO_OBJECTS,
        contact(None),  # type: ignore[arg-type]
        contact("abc"),
        contact(modified_on="yesterday"),
        contact(fields=[]),
        contact(fields="none"),
        contact(urns="tel:1"),
        contact(urns={"tel": "1"}),
        contact(urns=[{"scheme": "tel", "path": "1"}]),
        contact(urns=[["tel", "1"]]),
        contact(groups=["Farmers"]),
        contact(groups=[{"uuid": "abc", "name": "Farmers"}]),
        contact(notes=[{"text": "no date"}]),
        contact(notes="a note"),
        contact(flow=ONE),
        contact(blocked="perhaps"),
    ],
    "runs": [
        *NO_OBJECTS,
        *(
            {"uuid": ONE, "created_on": "2026-03-01T00:00:00Z", "modified_on": "2026-03-01T00:00:00Z", **wrong}
            for wrong in (
                {"uuid": None},
                {"created_on": None},
                {"values": "none"},
                {"values": ["a"]},
                {"values": [{"age": "5"}]},
                {"values": {"age": "5"}},
                {"values": {"age": 5}},
                {"values": {"age": None}},
                {"path": "start"},
                {"path": ["start"]},
                {"path": {"node": ONE}},
                {"path": [{"node": "abc", "time": "2026-03-01T00:00:00Z"}]},
                {"start": TWO},
                {"responded": "maybe"},
            )
        ),
    ],
}
GOOD: dict[str, Callable[[int], Row]] = {
    "messages": lambda number: message(1000 + number),
    "contacts": lambda number: contact(f"{number:08}-0000-4000-8000-00000000000a"),
    "runs": lambda number: {"uuid": f"{number:08}-0000-4000-8000-00000000000b", "created_on": "2026-03-01T00:00:00Z"},
}


@pytest.mark.parametrize("stream", UNREADABLE)
def test_rows_that_cannot_be_read_are_put_aside_once_and_those_around_them_load(stream: str, loader: Loader) -> None:
    bad = [row if isinstance(row, str) else json.dumps(row) for row in UNREADABLE[stream]]
    mixed = [line for number, row in enumerate(bad) for line in (row, json.dumps(GOOD[stream](number)))]
    batch, loaded = loader.load(stream, *mixed)
    assert (batch.rows, batch.unreadable) == (len(mixed), len(bad))
    aside = loader.lake.rows("SELECT record, stream, source FROM _quarantine")
    assert sorted(aside) == sorted((row, stream, "api") for row in bad)
    assert loaded == Loaded(new=len(bad), quarantined=len(bad))
    assert loader.load(stream, *mixed)[1] == Loaded()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (message("abc"), "abc"),  # type: ignore[arg-type]
        (message(created_on="yesterday"), "yesterday"),
        (message(labels="Spam"), "labels has another shape"),
        (message(attachments=["x"]), "attachments has elements of another shape"),
        (message(contact={}), "not a reference"),
        ({"created_on": "2026-03-01T00:00:00Z"}, "id or created_on is missing"),
    ],
)
def test_the_reason_says_what_does_not_fit(row: Row, reason: str, loader: Loader) -> None:
    batch, _ = loader.load("messages", message(1000), row)
    assert reason in (batch.reason or "")
    [(stored,)] = loader.lake.rows("SELECT reason FROM _quarantine")
    assert reason in stored


def test_a_row_that_is_mended_on_the_server_loads(loader: Loader) -> None:
    loader.load("messages", message(1, labels="Spam"))
    assert loader.load("messages", message(1, labels=[]))[1] == Loaded(new=1)


def test_values_of_another_type_that_can_be_read_are(loader: Loader) -> None:
    loader.load("messages", message(text=5, broadcast="7", archived=1))
    assert loader.lake.rows("SELECT text, broadcast, archived FROM messages") == [("5", 7, True)]


def test_a_line_that_is_not_json_is_quarantined_and_the_others_load(loader: Loader) -> None:
    loader.used.add("_quarantine")
    broken = '{"uuid":"x","name":"cut'
    loader.load("contacts", json.dumps(GOOD["contacts"](1)), broken)
    assert loader.lake.rows("SELECT count(*) FROM contacts") == [(1,)]
    [(record, reason)] = loader.lake.rows("SELECT record, reason FROM _quarantine")
    assert (record, reason.partition(":")[0]) == (broken, "not JSON")


# -- deletions --


def tombstone(uuid: str = ONE, modified_on: str = "2026-03-05T00:00:00Z") -> Row:
    emptied = {"name": None, "status": None, "language": None, "urns": [], "groups": [], "fields": {}}
    return {"uuid": uuid, **emptied, "modified_on": modified_on}


def test_a_tombstone_marks_a_contact_and_keeps_what_was_known(loader: Loader) -> None:
    loader.load("contacts", contact(language="eng", urns=["tel:1"], fields={"age": "5"}, odd=1))
    assert loader.load("contacts", tombstone(), tombstones=True)[1] == Loaded(changed=1)
    [row] = loader.lake.rows(
        "SELECT name, language, urns[1].path, fields['age'], extra, deleted_on, modified_on FROM contacts"
    )
    gone = datetime(2026, 3, 5, tzinfo=UTC)
    assert row == ("Ann", "eng", "1", "5", '{"odd":1}', gone, gone)


def test_a_tombstone_that_is_read_again_writes_nothing(loader: Loader) -> None:
    loader.load("contacts", contact())
    loader.load("contacts", tombstone(), tombstones=True)
    before = loader.snapshots()
    assert loader.load("contacts", tombstone(), tombstones=True)[1] == Loaded()
    assert loader.snapshots() == before


def test_a_contact_deleted_before_it_was_ever_read_leaves_its_tombstone(loader: Loader) -> None:
    assert loader.load("contacts", tombstone(), tombstones=True)[1] == Loaded(new=1)
    assert loader.lake.rows("SELECT name, deleted_on FROM contacts") == [(None, datetime(2026, 3, 5, tzinfo=UTC))]


def test_a_row_from_before_a_deletion_does_not_undo_it(loader: Loader) -> None:
    loader.load("contacts", tombstone(), tombstones=True)
    assert loader.load("contacts", contact())[1] == Loaded()
    assert loader.lake.rows("SELECT count(*) FROM contacts WHERE deleted_on IS NULL") == [(0,)]


def test_a_contact_that_is_seen_after_its_deletion_is_there_again(loader: Loader) -> None:
    loader.load("contacts", tombstone(), tombstones=True)
    loader.load("contacts", contact(modified_on="2026-03-06T00:00:00Z"))
    assert loader.lake.rows("SELECT name, deleted_on FROM contacts") == [("Ann", None)]


def read_whole(loader: Loader, stream: str, *batches: list[Row]) -> None:
    """Read everything, in batches, noting the keys."""
    table = STREAMS[stream].table
    loader.used.add(stream)
    with loader.lake.connection() as opened:
        begin_reading(opened, table)
    for rows in batches:
        file = loader.folder / "whole.jsonl"
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")

        def work(connection: duckdb.DuckDBPyConnection, file: Path = file) -> None:
            batch = stage(connection, table, [file])
            merge(connection, batch)
            remember_keys(connection, table)

        loader.lake.commit(work)


def missing(loader: Loader, stream: str) -> int:
    with loader.lake.connection() as connection:
        return find_unseen(connection, STREAMS[stream].table)


def mark(loader: Loader, stream: str) -> int:
    missing(loader, stream)
    return loader.lake.commit(lambda connection: mark_unseen(connection, STREAMS[stream].table))


def test_rows_that_a_whole_reading_did_not_bring_are_marked_and_kept(loader: Loader) -> None:
    rows = [{"uuid": uuid, "name": name} for uuid, name in ((ONE, "a"), (TWO, "b"), (THREE, "c"))]
    read_whole(loader, "labels", rows[:2], rows[2:])
    assert (missing(loader, "labels"), mark(loader, "labels")) == (0, 0)
    read_whole(loader, "labels", rows[:1], rows[2:])
    assert missing(loader, "labels") == 1
    assert mark(loader, "labels") == 1
    assert loader.lake.rows("SELECT name, deleted_on IS NOT NULL FROM labels ORDER BY name") == [
        ("a", False),
        ("b", True),
        ("c", False),
    ]


def test_a_row_is_marked_deleted_once_and_comes_back_when_it_is_seen_again(loader: Loader) -> None:
    rows = [{"uuid": uuid, "name": uuid} for uuid in (ONE, TWO)]
    read_whole(loader, "labels", rows)
    read_whole(loader, "labels", rows[:1])
    mark(loader, "labels")
    marked = loader.lake.rows("SELECT deleted_on FROM labels WHERE deleted_on IS NOT NULL")
    read_whole(loader, "labels", rows[:1])
    assert (missing(loader, "labels"), mark(loader, "labels")) == (0, 0)
    assert loader.lake.rows("SELECT deleted_on FROM labels WHERE deleted_on IS NOT NULL") == marked
    read_whole(loader, "labels", rows)
    assert loader.lake.rows("SELECT count(*) FROM labels WHERE deleted_on IS NULL") == [(2,)]


def test_rows_with_a_key_of_several_columns_are_told_apart(loader: Loader) -> None:
    rows = [
        {"archive_type": kind, "period": period, "start_date": "2026-01-01", "record_count": 0, "size": 0, "hash": ""}
        for kind in ("message", "run")
        for period in ("daily", "monthly")
    ]
    read_whole(loader, "archives", rows)
    read_whole(loader, "archives", rows[1:])
    assert mark(loader, "archives") == 1
    gone = loader.lake.rows("SELECT archive_type, period FROM archives WHERE deleted_on IS NOT NULL")
    assert gone == [("message", "daily")]


# -- rows and cursor together --


def test_rows_and_their_cursor_are_committed_together(loader: Loader) -> None:
    cursor = Cursor(datetime(2026, 3, 1, 0, 0, 0, 1, tzinfo=UTC))
    load_with_cursor(loader, cursor)
    assert stored(loader) == (1, cursor)


def test_when_the_cursor_cannot_be_saved_the_rows_are_not_there_either(loader: Loader) -> None:
    class Interrupted(Exception):
        """Ctrl-C, a lost disk, a mistake of ours."""

    def fail(connection: duckdb.DuckDBPyConnection) -> None:
        raise Interrupted

    before = loader.snapshots()
    with pytest.raises(Interrupted):
        load_with_cursor(loader, Cursor(datetime(2026, 3, 1, tzinfo=UTC)), then=fail)
    assert stored(loader) == (0, Cursor())
    assert loader.snapshots() == before
    load_with_cursor(loader, Cursor(datetime(2026, 3, 1, tzinfo=UTC)))
    assert stored(loader)[0] == 1


def load_with_cursor(
    loader: Loader, cursor: Cursor, then: Callable[[duckdb.DuckDBPyConnection], None] = lambda connection: None
) -> None:
    loader.used.update(("contacts", "_cursor"))
    file = loader.folder / "rows.jsonl"
    file.write_text(json.dumps(contact()) + "\n", encoding="utf-8")

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        merge(connection, stage(connection, STREAMS["contacts"].table, [file]))
        save_cursor(connection, "contacts", "rows", cursor)
        then(connection)

    loader.lake.commit(work)


def stored(loader: Loader) -> tuple[int, Cursor]:
    with loader.lake.connection() as connection:
        cursor = read_cursors(connection, "contacts").get("rows", Cursor())
    return int(loader.lake.rows("SELECT count(*) FROM contacts")[0][0]), cursor
