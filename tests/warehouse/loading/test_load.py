"""Loading: each key once in its latest state, nothing written twice, nothing lost that cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
import time_machine

from pipeline.streams import STREAMS
from sandbox import Workspace
from sandbox.server.flow_definitions import export
from tests.warehouse.loading.loader import ONE, THREE, TWO, Loader, Row, contact, message
from warehouse import Cursor, Loaded, merge, note_drift, read_cursors, save_cursor, stage


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
    assert loaded == Loaded(new=len(rows))
    kept = loader.lake.rows(f"SELECT DISTINCT extra->>'brand_new', source, deleted_on FROM \"{stream}\"")
    assert [(json.loads(extra), source, gone) for extra, source, gone in kept] == [
        ({"b": [1.5, None, "é"], "a": 1}, "api", None)
    ]
    before = loader.snapshots()
    _, again = loader.load(stream, *rows)
    assert again == Loaded(equal=len(rows))
    assert loader.snapshots() == before


# -- once, in the latest state --


def test_a_changed_row_is_updated_and_others_are_not_written(loader: Loader) -> None:
    loader.load("contacts", contact(ONE), contact(TWO))
    before = loader.lake.rows("SELECT synced_on FROM contacts WHERE uuid = " + f"'{TWO}'")
    _, loaded = loader.load("contacts", contact(ONE, "2026-03-02T00:00:00Z", name="Anne"), contact(TWO), contact(THREE))
    assert loaded == Loaded(new=1, changed=1, equal=1)
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
    assert loader.load("contacts", contact(**change))[1] == Loaded(equal=1)


@pytest.mark.parametrize("files", [1, 3])
def test_of_rows_with_one_key_in_a_batch_the_last_read_wins(files: int, loader: Loader) -> None:
    rows = [message(number % 1000, text=f"reading {number}") for number in range(3000)]
    _, loaded = loader.load("messages", *rows, files=files)
    assert loaded == Loaded(new=1000, double=2000)
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
    assert loaded == Loaded(equal=1)
    assert loader.lake.rows("SELECT name FROM contacts") == [("new",)]


def test_a_row_read_after_the_stored_one_was_written_is_taken_whatever_their_dates(loader: Loader) -> None:
    begun = datetime.now(UTC)
    loader.load("contacts", contact(name="Ann"), begun=begun)
    # A reading that went on at the same time may have seen an earlier state.
    loader.load("contacts", contact(name="Before", modified_on="2026-02-01T00:00:00Z"), begun=begun)
    assert loader.lake.rows("SELECT name FROM contacts") == [("Ann",)]
    # The server's clock was set back by a month, and then ours.
    loader.load("contacts", contact(name="Bea", modified_on="2026-02-01T00:00:00Z"), begun=datetime.now(UTC))
    assert loader.lake.rows("SELECT name FROM contacts") == [("Bea",)]
    with time_machine.travel(begun - timedelta(days=30)):
        loader.load("contacts", contact(name="Cid", modified_on="2026-01-01T00:00:00Z"), begun=datetime.now(UTC))
    assert loader.lake.rows("SELECT name FROM contacts") == [("Cid",)]


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
    assert loader.load(stream, {**row, column: None})[1] == Loaded(equal=1)
    assert loader.load(stream, row)[1] == Loaded(equal=1)
    assert loader.lake.rows(f'SELECT "{column}"::VARCHAR FROM "{stream}"') == [(value,)]


def test_months_are_kept_apart_and_rows_found_again_in_each(loader: Loader) -> None:
    rows = [message(number, created_on=f"2026-{1 + number % 12:02}-15T12:00:00.{number:06}Z") for number in range(600)]
    assert loader.load("messages", *rows)[1] == Loaded(new=600)
    changed = [{**row, "text": "changed"} for row in rows[::7]]
    assert loader.load("messages", *changed)[1] == Loaded(changed=len(changed))
    assert loader.load("messages", *[rows[0], rows[-1]])[1] == Loaded(changed=1, equal=1)
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
