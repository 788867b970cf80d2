"""What a run tells of each stream, and of the lake afterwards: how it ended, in numbers that are true."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.months import Month
from pipeline.proof.retention import at_risk, time_until_lost
from pipeline.proof.statuses import stream_statuses
from pipeline.proof.verify import VerifyResult
from pipeline.reading.reader import Options
from pipeline.results import Outcome, StreamResult, SyncResult, Tally
from pipeline.settings import load_settings
from pipeline.streams import STREAMS
from pipeline.syncing.session import open_session
from sandbox import Faults, Sandbox, Workspace, generate
from tests.pipeline.scene import Scene, now

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LAST = Month.of(now()).plus(-1)


@pytest.fixture
def scene(scene_of: Callable[[Workspace], Scene]) -> Scene:
    return scene_of(generate(messages=100, contacts=60, seed=7, archives=False))


# -- numbers --


def test_what_is_told_of_a_stream_is_what_happened_to_it(scene: Scene) -> None:
    workspace = scene.workspace
    recent = workspace.add("messages", 300, at=now() - HOUR)
    result = scene.sync("messages", "labels")["messages"]
    number, pages = workspace.count("messages"), 2
    tally = result.tally
    assert (tally.rows_read, tally.rows_new, tally.pages) == (number + pages - 1, number, pages)
    rest = (tally.rows_changed, tally.rows_deleted, tally.rows_quarantined, tally.rows_unreadable)
    assert (tally.counters.requests, *rest) == (pages, 0, 0, 0, 0)

    row = workspace.row("messages", recent[0])
    assert row
    workspace.edit("messages", recent[1:4], changes={"text": "edited"})
    workspace.add("messages", 2, at=now() - HOUR)
    workspace.delete("messages", recent[4:5])
    workspace.put("labels", {"uuid": "rubbish", "name": "Odd", "count": 0, "colour": "red"})
    results = scene.sync("messages", "labels")
    tally, odd = results["messages"].tally, results["labels"].tally
    assert (tally.rows_new, tally.rows_changed, tally.rows_deleted) == (2, 3, 1)
    assert tally.pages == len([one for one in scene.sandbox.requests if one.endpoint == "messages"])
    assert tally.counters.requests == tally.pages + 1  # for the list of archives, which may have the deleted one
    assert (odd.rows_quarantined, odd.rows_unreadable, odd.rows_new) == (1, 1, 0)
    assert odd.drift == {("labels", "colour", "unknown")}
    assert len(odd.notes) == 2
    again = scene.sync("labels")["labels"].tally
    assert (again.rows_quarantined, again.rows_unreadable) == (0, 1)

    names = ("requests", "pages", "rows_read", "rows_new", "rows_changed", "rows_deleted", "rows_quarantined")
    noted = scene.rows(f"SELECT {', '.join(names)}, outcome, message FROM _sync WHERE stream = 'messages' ORDER BY ALL")
    told = [[one.facts()[name] for name in (*names, "outcome", "message")] for one in (result, results["messages"])]
    assert sorted(map(list, noted), key=str) == sorted(told, key=str)
    drift = scene.rows("SELECT stream, key, kind FROM _drift WHERE stream = 'labels'")
    assert drift == [("labels", "colour", "unknown")]
    assert scene.rows("SELECT count(DISTINCT run), count(*) FROM _sync") == [(3, 5)]


def test_results_stand_in_the_order_asked_for(scene: Scene) -> None:
    streams = ["labels", "messages", "fields", "contacts", "groups"]
    assert list(scene.sync(*streams)) == streams


# -- how it ended --


@pytest.mark.parametrize(
    ("outcome", "failed", "complete"),
    [
        ("done", False, True),
        ("not offered", False, True),
        ("skipped", False, False),
        ("waiting", False, False),
        ("stopped", True, False),
        ("suspicious", True, False),
        ("failed", True, False),
    ],
)
def test_what_somebody_should_look_at_is_a_failure_and_what_was_left_out_no_proof(
    outcome: Outcome, failed: bool, complete: bool
) -> None:
    done = StreamResult("labels", "done", now(), 0.0, Tally())
    results = [done, replace(done, outcome=outcome), done]
    assert SyncResult(uuid.uuid4(), "", "", results, 0.0).failed == failed
    verified = VerifyResult("", "", [], results, [], 0.0)
    assert (verified.complete, verified.failed) == (complete, not complete)


def test_an_endpoint_that_every_server_has_and_this_one_has_not_is_a_failure(scene: Scene) -> None:
    scene.workspace.offered -= {"labels", "optins"}
    assert {name: one.outcome for name, one in scene.sync("labels", "optins", "groups").items()} == {
        "labels": "failed",
        "optins": "not offered",
        "groups": "done",
    }


def test_a_lock_that_cannot_be_used_fails_its_stream_alone_and_is_told(scene: Scene) -> None:
    lock = scene.session.lake.locks / "labels.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    try:
        results = scene.sync("labels", "groups")
    finally:
        lock.rmdir()
    assert (results["labels"].outcome, results["groups"].outcome) == ("failed", "done")
    assert results["labels"].message and results["labels"].message.startswith(f"{lock} cannot be used")


def test_a_stream_that_another_is_reading_is_left_to_it_and_a_month_beside_it_is_not(scene: Scene) -> None:
    with FileLock(scene.session.lake.locks / "messages.lock"):
        assert scene.sync("messages")["messages"].outcome == "skipped"
        assert scene.fill("messages", LAST).outcome == "done"
    with FileLock(scene.session.lake.locks / f"messages-{LAST}.lock"):
        assert scene.sync("messages")["messages"].outcome == "done"


def test_a_stream_that_another_is_reading_is_waited_for_where_that_is_asked(scene: Scene) -> None:
    lock = FileLock(scene.session.lake.locks / "labels.lock", thread_local=False)
    scene.sandbox.after_page = lambda endpoint: lock.release()  # messages are read beside labels, which wait
    with lock:
        results = scene.sync("labels", "messages", options=Options(wait_for_others=60))
    assert results["labels"].outcome == "done"


def test_a_month_is_not_read_where_its_archives_could_not_be_listed(scene: Scene) -> None:
    scene.sandbox.faults = Faults(script={"archives": ["forbidden"]})
    result = scene.fill("messages", LAST)
    assert (result.stream, result.outcome) == ("archives", "failed")
    assert [seen for seen in scene.sandbox.requests if seen.endpoint == "messages"] == []


@pytest.mark.long
def test_the_command_that_is_named_for_a_month_marks_what_is_gone_from_it(scene: Scene) -> None:
    workspace = scene.workspace
    gone = workspace.add("messages", 200, at=LAST.start + 9 * DAY)
    scene.sync("messages")
    workspace.delete("messages", gone)
    result = scene.fill("messages", LAST)
    assert (result.outcome, result.tally.rows_deleted) == ("suspicious", 0)
    assert result.message and f"`rapidlake backfill {LAST} --stream messages --accept-deletions`" in result.message
    assert scene.fill("messages", LAST, accept=True).outcome == "done"
    assert scene.column("SELECT id::VARCHAR FROM messages WHERE deleted_on IS NOT NULL") == set(gone)
    scene.assert_true("messages")


@pytest.mark.long
def test_definitions_go_with_their_flows_and_one_that_is_lost_is_read_again(scene: Scene) -> None:
    workspace = scene.workspace
    scene.sync("flows", "definitions")
    gone, lost = (row["uuid"] for row in workspace.rows("flows")[:2])
    workspace.delete("flows", [gone])
    scene.write(f"DELETE FROM definitions WHERE uuid = '{lost}'")
    tally = scene.sync("flows", "definitions")["definitions"].tally
    assert (tally.rows_new, tally.rows_changed, tally.rows_deleted, tally.counters.requests) == (1, 0, 1, 1)
    assert scene.column("SELECT uuid::VARCHAR FROM definitions WHERE deleted_on IS NOT NULL") == {gone}
    live = {row["uuid"] for row in workspace.rows("flows")}
    assert scene.column("SELECT uuid::VARCHAR FROM definitions WHERE deleted_on IS NULL") == live
    tally = scene.sync("flows", "definitions")["definitions"].tally
    assert (tally.rows_deleted, tally.counters.requests) == (0, 0)
    tally = scene.sync("definitions", options=Options(full=True))["definitions"].tally
    assert (tally.rows_read, tally.rows_changed) == (len(live), 0)
    scene.write(f"DELETE FROM definitions WHERE uuid = '{gone}'")
    assert scene.sync("flows", "definitions")["definitions"].tally.counters.requests == 0


def test_definitions_of_many_flows_are_asked_for_in_several_requests(scene: Scene) -> None:
    scene.workspace.add("flows", 60)
    tally = scene.sync("flows", "definitions")["definitions"].tally
    asked = [seen.params["flow"] for seen in scene.sandbox.requests if seen.endpoint == "definitions"]
    assert tally.counters.requests == len(asked) == -(-scene.workspace.count("flows") // 25)
    found = scene.column("SELECT uuid::VARCHAR FROM definitions")
    assert found == {row["uuid"] for row in scene.workspace.rows("flows")}


# -- whose lake it is --


def test_a_workspace_that_is_renamed_is_known_by_its_new_name(tmp_path: Path) -> None:
    with generate(messages=20, seed=7, archives=False) as workspace, Sandbox(workspace, requests_per_hour=0) as sandbox:
        settings = load_settings(url=sandbox.url, token=sandbox.token, lake=tmp_path / "lake", requests_per_hour=0)
        [row] = workspace.rows("workspace")
        for name in (row["name"], "Another name"):
            workspace.put("workspace", {**row, "name": name})
            with open_session(settings) as session:
                assert session.client.patience == settings.patience
                owner = session.lake.rows("SELECT workspace_uuid::VARCHAR, workspace_name, url FROM _lake")
                assert owner == [(row["uuid"], name, sandbox.url)]
                snapshots = "SELECT count(*) FROM lake.snapshots()"
                before = session.lake.rows(snapshots)
                with open_session(settings) as again:
                    assert again.lake.rows(snapshots) == before


# -- what is known of each stream --


def test_the_status_of_a_stream_is_that_of_its_table_its_cursor_and_its_last_sync(scene: Scene) -> None:
    workspace = scene.workspace
    workspace.delete_contacts([row["uuid"] for row in workspace.rows("contacts")[:2]])
    workspace.add("runs", 600)
    workspace.put("labels", {"uuid": "rubbish", "name": "Odd", "count": 0})
    since = now() - 20 * DAY
    scene.sandbox.faults = Faults(script={"runs": ["ok", "forbidden"]})
    results = scene.sync("contacts", "runs", "labels", options=Options(since))
    with FileLock(scene.session.lake.locks / "contacts.lock"):
        scene.sync("contacts")
    found = {str(one["stream"]): one for one in stream_statuses(scene.session.lake)}
    assert list(found) == list(STREAMS)
    for stream in ("contacts", "runs", "labels", "groups"):
        status = found[stream]
        [(live, deleted)] = scene.rows(f"SELECT count(*) - count(deleted_on), count(deleted_on) FROM {stream}")
        assert (status["rows"], status["deleted"]) == (live, deleted)
        result = results.get(stream)
        assert status["outcome"] == (result.outcome if result else None)
        assert status["message"] == (result.message if result else None)
        began = status["last_sync"]
        assert (began is None) == (result is None)
        assert result is None or abs(datetime.fromisoformat(str(began)) - result.started_on) < timedelta(seconds=1)
    assert found["contacts"]["deleted"] == workspace.count("contacts_deleted")
    assert [found[stream]["walk_open"] for stream in ("contacts", "runs", "labels")] == [False, True, False]
    assert [found[stream]["quarantined"] for stream in ("contacts", "runs", "labels")] == [0, 0, 1]
    [(told,)] = scene.rows("SELECT complete_from::VARCHAR FROM _cursor WHERE stream = 'contacts' AND feed = 'rows'")
    assert told and found["contacts"]["complete_from"] == told
    assert found["contacts"]["read_up_to"] and found["runs"]["read_up_to"] is None


@pytest.mark.parametrize(
    ("stream", "age", "left", "risky"),
    [
        ("resthook_events", 23 * HOUR, 25 * HOUR, False),
        ("resthook_events", 24 * HOUR, 24 * HOUR, False),
        ("resthook_events", 25 * HOUR, 23 * HOUR, True),
        ("resthook_events", 49 * HOUR, -HOUR, True),
        ("broadcasts", 76 * DAY, 14 * DAY, False),
        ("flow_starts", 76 * DAY + HOUR, 14 * DAY - HOUR, True),
        ("channel_events", 0 * DAY, 90 * DAY, False),
    ],
)
def test_the_time_until_rows_are_lost_is_what_the_server_keeps_less_what_passed_since_they_were_read(
    stream: str, age: timedelta, left: timedelta, risky: bool
) -> None:
    at = now()
    found = time_until_lost(STREAMS[stream], at - age, at)
    assert found == left
    assert at_risk(STREAMS[stream], found) == risky


@pytest.mark.parametrize("stream", ["messages", "runs", "contacts", "labels"])
def test_what_the_server_keeps_or_archives_is_never_lost_nor_what_was_never_read(stream: str) -> None:
    assert time_until_lost(STREAMS[stream], now() - 1000 * DAY, now()) is None
    assert time_until_lost(STREAMS["broadcasts"], None, now()) is None
