"""The quarantine is a waiting room: rows leave it once they can be read, and nothing newer is overwritten by them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from pipeline.reading.batches import Batches
from pipeline.reading.reader import Options
from pipeline.reading.spool import Spool
from pipeline.results import StreamResult, Tally
from pipeline.streams import STREAMS
from sandbox import Faults, Generation, Workspace, generate, put_archive
from tests.cases import cases
from tests.pipeline.scene import Scene, now
from warehouse import waiting_streams

Row = dict[str, Any]

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OLD = "2026-01-05T10:00:00.000000Z"
KEYS = {"messages": "id", "contacts": "uuid", "runs": "uuid", "labels": "uuid"}
# What nobody can read, by stream.
ODD: dict[str, Row] = {
    "messages": {"labels": "Spam"}, "contacts": {"groups": "Farmers"}, "runs": {"path": "start"},
    "labels": {"count": "many"},
}  # fmt: skip


@pytest.fixture
def scene(scene_of: Callable[[Workspace], Scene]) -> Scene:
    """A few rows of each stream; messages are recent, so that each sync reads them again."""
    workspace = generate(messages=20, contacts=10, runs=10, seed=7, archives=False)
    workspace.add("messages", 300 - workspace.count("messages"), at=now() - HOUR)
    return scene_of(workspace)


def waiting(scene: Scene) -> list[tuple[str, str]]:
    """Stream and key of the rows in quarantine."""
    return [(stream, key) for stream, key in scene.rows("SELECT stream, key FROM _quarantine ORDER BY ALL")]


def adds_up(result: StreamResult) -> bool:
    """True if every row read is told to have ended somewhere."""
    told = result.tally
    ends = (told.rows_new, told.rows_changed, told.rows_equal, told.rows_double, told.rows_unreadable)
    return told.rows_read == sum(ends)


# -- until the server mends them --


@pytest.mark.parametrize("stream", cases("messages", long=[stream for stream in KEYS if stream != "messages"]))
def test_rows_that_the_server_mends_without_a_new_date_leave(scene: Scene, stream: str) -> None:
    workspace = scene.workspace
    good = [row for row in workspace.rows(stream) if row.get("created_on", "9") > OLD][:2]
    for row in good:
        workspace.put(stream, row | ODD[stream])
    first = scene.sync(stream)[stream]
    assert (first.outcome, first.tally.rows_unreadable, first.tally.rows_quarantined) == ("done", 2, 2)
    assert waiting(scene) == sorted((stream, str(row[KEYS[stream]])) for row in good)
    for row in good:
        workspace.put(stream, row)
    again = scene.sync(stream, options=Options(full=True))[stream]
    assert (again.outcome, again.tally.rows_new, again.tally.rows_unreadable) == ("done", 2, 0)
    assert adds_up(first) and adds_up(again)
    assert waiting(scene) == []
    scene.assert_true(stream)


def test_a_row_that_the_same_run_brings_again_in_a_good_form_leaves(scene: Scene) -> None:
    good = scene.workspace.rows("labels")[0]
    lake, tally = scene.session.lake, Tally()
    batches = Batches(lake, STREAMS["labels"].table, Spool(lake.spool, "labels"), tally, waiting={})
    scene.used.add("labels")
    for row, left in ((good | ODD["labels"], 1), (good, 0)):
        batches.add([msgspec.Raw(json.dumps(row).encode())])
        batches.commit()
        assert len(waiting(scene)) == left


def test_a_row_that_an_archive_brings_leaves(scene: Scene) -> None:
    workspace = scene.workspace
    row = workspace.rows("messages")[5]
    workspace.put("messages", row | ODD["messages"])
    scene.sync("messages")
    assert waiting(scene) == [("messages", str(row["id"]))]
    day = row["created_on"][:10]
    kept = {name: value for name, value in row.items() if name not in ("archived", "quick_replies", "media")}
    put_archive(workspace, "message", "daily", day, [json.dumps(kept).encode()])
    workspace.offer("archives")
    workspace.delete("messages", [row["id"]])  # as the server does then
    assert scene.sync("archives")["archives"].outcome == "done"
    assert waiting(scene) == []
    assert scene.rows(f"SELECT text, source FROM messages WHERE id = {row['id']}") == [(row["text"], "archive")]


# -- until another version reads them --


def put_aside(scene: Scene, stream: str, row: Row, **more: str) -> str:
    """What an earlier version would have put aside, which this one can read; its digest."""
    record = json.dumps(row)
    values = {
        "stream": f"'{stream}'", "digest": f"'{hashlib.md5(record.encode()).hexdigest()}'", "reason": "'odd'",
        "source": "'api'", "seen_on": "now()", "key": f"'{row.get(KEYS[stream])}'", "tried_with": "'old'",
        "record": f"""'{record.replace("'", "''")}'""",
    } | more  # fmt: skip
    scene.used.add(stream)
    scene.write(f"INSERT INTO _quarantine ({', '.join(values)}) VALUES ({', '.join(values.values())})")
    return values["digest"]


@pytest.mark.parametrize("stream", cases("messages", long=["contacts", "runs"]))
def test_rows_that_this_version_can_read_are_merged_by_the_next_sync(scene: Scene, stream: str) -> None:
    workspace = scene.workspace
    row = workspace.rows(stream)[0]
    workspace.put(stream, row | ODD[stream])
    scene.sync(stream)
    text = json.dumps(row).replace("'", "''")
    scene.write(f"UPDATE _quarantine SET tried_with = 'old', record = '{text}'")
    workspace.put(stream, row)
    result = scene.sync(stream)[stream]
    assert (result.outcome, result.tally.rows_new) == ("done", 1)
    assert "rows that waited in _quarantine can be read now" in (result.message or "")
    assert adds_up(result)
    assert waiting(scene) == []
    scene.assert_true(stream)


@pytest.mark.parametrize("seen_on", ["'2020-01-01'", "now() + INTERVAL 1 DAY"], ids=["written", "changed"])
@pytest.mark.parametrize("stream", cases("messages", long=["contacts"]))
def test_a_row_that_waited_never_replaces_a_newer_one(scene: Scene, stream: str, seen_on: str) -> None:
    """Written later than the other was seen, or changed later on the server."""
    scene.sync(stream)
    row = scene.workspace.rows(stream)[0]
    name = "text" if stream == "messages" else "name"
    older = row | {name: "As it was", "modified_on": OLD if "now" in seen_on else row["modified_on"]}
    put_aside(scene, stream, older, seen_on=seen_on)
    assert scene.sync(stream)[stream].tally.rows_changed == 0
    assert waiting(scene) == []
    scene.assert_true(stream)


def test_a_message_that_waited_without_its_id_never_replaces_the_newer_one_that_has_it(scene: Scene) -> None:
    scene.workspace.generation = Generation.TWENTY_SIX
    scene.sync("messages")
    older = {name: value for name, value in scene.workspace.listed("messages")[0].items() if name != "id"}
    put_aside(scene, "messages", older | {"text": "As it was"}, seen_on="now() - INTERVAL 1 DAY")
    assert scene.sync("messages")["messages"].tally.rows_changed == 0
    assert waiting(scene) == []


def test_those_that_stay_unreadable_wait_on_and_are_tried_once_by_each_version(scene: Scene) -> None:
    scene.sync("labels")
    row = scene.workspace.rows("labels")[0] | {"uuid": "3" * 32, "count": "many"}
    put_aside(scene, "labels", row)
    scene.sync("labels")
    tried = scene.rows("SELECT key, reason, tried_with, seen_on FROM _quarantine")
    assert tried[0][:2] == ("33333333-3333-3333-3333-333333333333", "count does not fit BIGINT")
    assert tried[0][2] != "old"
    with scene.session.lake.connection() as connection:
        assert not any(waiting_streams(connection).values())
    scene.sync("labels")
    assert scene.rows("SELECT key, reason, tried_with, seen_on FROM _quarantine") == tried


def test_a_deleted_row_that_waited_is_deleted(scene: Scene) -> None:
    scene.sync("contacts", "messages")
    row = next(one for one in scene.workspace.rows("contacts"))
    gone = {"uuid": row["uuid"], "urns": [], "groups": [], "fields": {}, "modified_on": "2100-01-01T00:00:00Z"}
    put_aside(scene, "contacts", gone, tombstone="true", seen_on="now() + INTERVAL 1 DAY")
    result = scene.sync("contacts")["contacts"]
    assert result.outcome == "done"
    assert waiting(scene) == []
    stored = scene.rows(f"SELECT name, deleted_on = '2100-01-01' FROM contacts WHERE uuid = '{row['uuid']}'")
    assert stored == [(row["name"], True)]
    live = f"FROM messages WHERE contact_uuid = '{row['uuid']}' AND deleted_on IS NULL"
    assert scene.rows(live) == []


def test_a_row_of_an_archive_that_waited_is_one_of_the_archive(scene: Scene) -> None:
    row = scene.workspace.rows("messages")[0] | {"id": 9_000_077, "uuid": None, "created_on": OLD}
    put_aside(scene, "messages", row, source="'archive'", archived_in="DATE '2026-01-05'")
    scene.sync("messages")
    assert waiting(scene) == []
    stored = scene.rows("SELECT source, archived_in::VARCHAR, text, deleted_on FROM messages WHERE id = 9000077")
    assert stored == [("archive", "2026-01-05", row["text"], None)]


# -- few, and many --


def test_where_nothing_can_be_read_no_cursor_moves_and_the_next_sync_asks_again(scene: Scene) -> None:
    workspace = scene.workspace
    good = workspace.rows("messages")
    for row in good:
        workspace.put("messages", row | ODD["messages"])
    for number in (1, 2):
        result = scene.sync("messages")["messages"]
        read, unreadable = result.tally.rows_read, result.tally.rows_unreadable
        assert (result.outcome, result.good, read) == ("suspicious", False, unreadable)
        assert result.tally.rows_quarantined == (len(good) if number == 1 else 0)
        assert f"{unreadable} of {read} rows could not be read (labels does not fit" in (result.message or "")
        assert scene.cursors() == {}
        assert scene.rows("SELECT count(*) FROM messages") == [(0,)]
    for row in good:
        workspace.put("messages", row)
    result = scene.sync("messages")["messages"]
    assert (result.outcome, result.tally.rows_new) == ("done", len(good))
    assert waiting(scene) == []
    scene.assert_true("messages")


def test_two_of_many_that_cannot_be_read_are_told_and_passed(scene: Scene) -> None:
    workspace = scene.workspace
    for row in workspace.rows("messages")[10:12]:
        workspace.put("messages", row | ODD["messages"])
    result = scene.sync("messages")["messages"]
    assert (result.outcome, result.tally.rows_new, result.tally.rows_unreadable) == ("done", 298, 2)
    assert adds_up(result)
    assert (result.message or "").startswith("rows that could not be read wait in _quarantine (labels does not fit")
    assert scene.read_up_to("messages") == scene.windows("messages")[0][1]


def test_a_walk_that_comes_upon_many_keeps_the_place_of_the_last_good_batch(scene: Scene) -> None:
    workspace = scene.workspace
    workspace.add("runs", 700 - workspace.count("runs"), at=now() - DAY)
    scene.sandbox.faults = Faults(script={"runs": ["ok", "forbidden"]})
    assert scene.sync("runs")["runs"].outcome == "failed"
    interrupted = scene.cursors()
    assert scene.rows("SELECT count(*) FROM runs") == [(250,)]
    later = sorted(workspace.rows("runs"), key=lambda row: str(row["modified_on"]))[300:]
    for row in later:
        workspace.put("runs", row | ODD["runs"])
    scene.sandbox.faults = Faults()
    assert scene.sync("runs")["runs"].outcome == "suspicious"
    assert scene.cursors() == interrupted
    assert scene.rows("SELECT count(*) FROM runs") == [(300,)]
    for row in later:
        workspace.put("runs", row)
    assert scene.sync("runs")["runs"].outcome == "done"
    after = scene.windows("runs")[0][0]
    assert after == interrupted["runs", "rows"][-1]
    assert waiting(scene) == []
    scene.assert_true("runs")


def test_of_a_row_that_changes_and_never_can_be_read_the_last_form_waits(scene: Scene) -> None:
    workspace = scene.workspace
    label = workspace.rows("labels")[0]
    for number in range(3):
        workspace.put("labels", label | ODD["labels"] | {"name": f"form {number}"})
        scene.sync("labels")
    assert scene.rows("SELECT key, record::JSON ->> 'name' FROM _quarantine") == [(label["uuid"], "form 2")]
