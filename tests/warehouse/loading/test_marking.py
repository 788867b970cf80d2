"""Rows are marked deleted, kept as they were, and come back when they are seen again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from pipeline.streams import LISTS_CONTACTS, STREAMS
from tests.warehouse.loading.loader import ONE, THREE, TWO, Loader, Row, contact
from warehouse import Loaded, Reading, merge, stage, take_off_lists


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
    assert loader.load("contacts", tombstone(), tombstones=True)[1] == Loaded(equal=1)
    assert loader.snapshots() == before


def test_a_contact_deleted_before_it_was_ever_read_leaves_its_tombstone(loader: Loader) -> None:
    assert loader.load("contacts", tombstone(), tombstones=True)[1] == Loaded(new=1)
    assert loader.lake.rows("SELECT name, deleted_on FROM contacts") == [(None, datetime(2026, 3, 5, tzinfo=UTC))]


def test_a_row_from_before_a_deletion_does_not_undo_it(loader: Loader) -> None:
    loader.load("contacts", tombstone(), tombstones=True)
    assert loader.load("contacts", contact())[1] == Loaded(equal=1)
    assert loader.lake.rows("SELECT count(*) FROM contacts WHERE deleted_on IS NULL") == [(0,)]


def test_a_contact_that_is_seen_after_its_deletion_is_there_again(loader: Loader) -> None:
    loader.load("contacts", tombstone(), tombstones=True)
    loader.load("contacts", contact(modified_on="2026-03-06T00:00:00Z"))
    assert loader.lake.rows("SELECT name, deleted_on FROM contacts") == [("Ann", None)]


def test_contacts_leave_the_lists_of_broadcasts_when_they_are_deleted_and_no_others_do(loader: Loader) -> None:
    listed = [{"uuid": uuid, "name": "A }' name"} for uuid in (ONE, TWO, THREE)]
    loader.load("broadcasts", {"id": 1, "contacts": listed}, {"id": 2, "contacts": listed[1:]}, {"id": 3})
    loader.load("contacts", tombstone(TWO), tombstones=True)
    told = "SELECT id, list_transform(contacts, lambda contact: contact.uuid::VARCHAR) FROM broadcasts ORDER BY id"

    def taken_off(contacts: str) -> int:
        return loader.lake.commit(lambda connection: take_off_lists(connection, LISTS_CONTACTS, contacts))

    assert taken_off("(SELECT uuid FROM contacts WHERE false)") == 0
    assert loader.lake.rows(told) == [(1, [ONE, TWO, THREE]), (2, [TWO, THREE]), (3, None)]
    assert [taken_off("contacts") for _ in range(2)] == [2, 0]
    assert loader.lake.rows(told) == [(1, [ONE, THREE]), (2, [THREE]), (3, None)]
    assert loader.lake.rows("SELECT DISTINCT contacts[1].name FROM broadcasts WHERE id < 3") == [("A }' name",)]


def read_whole(loader: Loader, stream: str, *batches: list[Row]) -> Reading:
    """Read everything, in batches, noting the keys."""
    table = STREAMS[stream].table
    loader.used.add(stream)
    with loader.lake.connection() as opened:
        reading = Reading(opened, table)
    for rows in batches:
        file = loader.folder / "whole.jsonl"
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")

        def work(connection: duckdb.DuckDBPyConnection, file: Path = file) -> None:
            batch = stage(connection, table, [file])
            merge(connection, batch)
            reading.remember_batch(connection)

        loader.lake.commit(work)
    return reading


def missing(loader: Loader, reading: Reading) -> int:
    with loader.lake.connection() as connection:
        return reading.find_unseen(connection)


def mark(loader: Loader, reading: Reading) -> int:
    missing(loader, reading)
    return loader.lake.commit(reading.mark_unseen)


def test_rows_that_a_whole_reading_did_not_bring_are_marked_and_kept(loader: Loader) -> None:
    rows = [{"uuid": uuid, "name": name} for uuid, name in ((ONE, "a"), (TWO, "b"), (THREE, "c"))]
    everything = read_whole(loader, "labels", rows[:2], rows[2:])
    assert (missing(loader, everything), mark(loader, everything)) == (0, 0)
    less = read_whole(loader, "labels", rows[:1], rows[2:])
    assert missing(loader, everything) == 0, "another reading has what this one saw"
    assert missing(loader, less) == 1
    assert mark(loader, less) == 1
    assert loader.lake.rows("SELECT name, deleted_on IS NOT NULL FROM labels ORDER BY name") == [
        ("a", False),
        ("b", True),
        ("c", False),
    ]


def test_a_row_is_marked_deleted_once_and_comes_back_when_it_is_seen_again(loader: Loader) -> None:
    rows = [{"uuid": uuid, "name": uuid} for uuid in (ONE, TWO)]
    read_whole(loader, "labels", rows)
    mark(loader, read_whole(loader, "labels", rows[:1]))
    marked = loader.lake.rows("SELECT deleted_on FROM labels WHERE deleted_on IS NOT NULL")
    reading = read_whole(loader, "labels", rows[:1])
    assert (missing(loader, reading), mark(loader, reading)) == (0, 0)
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
    assert mark(loader, read_whole(loader, "archives", rows[1:])) == 1
    gone = loader.lake.rows("SELECT archive_type, period FROM archives WHERE deleted_on IS NOT NULL")
    assert gone == [("message", "daily")]
