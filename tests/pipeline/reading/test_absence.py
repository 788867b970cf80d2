"""Absent rows: believed deleted only where all was read and readable, and only as many as may be at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.months import Month
from pipeline.reading.batches import Batches
from pipeline.reading.reader import Options
from pipeline.reading.spool import Spool
from pipeline.results import Tally
from pipeline.streams import STREAMS
from sandbox import Workspace, archive_old_rows, generate
from tests.cases import cases
from tests.pipeline.scene import Scene, now

Row = dict[str, Any]

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FULL, ACCEPTING = Options(full=True), Options(accept_deletions=True)
KEYS = {"messages": "id", "groups": "uuid", "tickets": "uuid", "labels": "uuid", "runs": "uuid"}


@pytest.fixture
def scene(scene_of: Callable[[Workspace], Scene]) -> Scene:
    return scene_of(generate(messages=200, contacts=60, seed=7, archives=False))


# -- together with rows that cannot be read --


@pytest.mark.parametrize("stream", cases("messages", long=["groups", "tickets"]))
@pytest.mark.parametrize("when", ["the first time only", "the second time only"])
def test_nothing_is_marked_deleted_where_a_row_could_not_be_read(scene: Scene, stream: str, when: str) -> None:
    workspace, key = scene.workspace, KEYS[stream]
    workspace.add(stream, 130)
    scene.sync(stream)
    rows = workspace.rows(stream)
    odd, gone = rows[20], [*rows[5:20], *rows[21:31]]
    spoilt = {**odd, "created_on": "yesterday"} if stream == "messages" else {**odd, "uuid": "rubbish"}
    workspace.delete(stream, [row[key] for row in gone])

    def exchange(old: Row, new: Row) -> None:
        if workspace.row(stream, old[key]) == old:
            workspace.delete(stream, [old[key]])
            workspace.put(stream, new)

    after = {"the first time only": (spoilt, odd), "the second time only": (odd, spoilt)}[when]
    exchange(odd, after[0])
    scene.sandbox.after_page = lambda endpoint: len(scene.sandbox.requests) > 1 or exchange(*after) or None
    result = scene.sync(stream, options=FULL)[stream]
    assert (result.outcome, result.tally.rows_deleted, result.tally.rows_quarantined) == ("done", 0, 1)
    assert marked(scene, stream) == set()

    scene.sandbox.after_page = None
    exchange(spoilt, odd)
    result = scene.sync(stream, options=FULL)[stream]
    assert (result.outcome, result.tally.rows_deleted) == ("done", 25)
    assert marked(scene, stream) == {str(row[key]) for row in gone}
    scene.assert_true(stream)


@pytest.mark.parametrize("stream", cases("messages", long=["labels", "tickets"]))
def test_what_any_batch_of_a_reading_brought_is_not_gone(scene: Scene, stream: str) -> None:
    workspace = scene.workspace
    workspace.add(stream, 510)
    scene.sync(stream, batch_pages=1)
    gone = workspace.rows(stream)[40][KEYS[stream]]
    workspace.delete(stream, [gone])
    result = scene.sync(stream, options=FULL, batch_pages=1)[stream]
    assert (result.outcome, result.tally.rows_deleted) == ("done", 1)
    assert marked(scene, stream) == {str(gone)}
    scene.assert_true(stream)


# -- how many --


def test_a_fifth_of_a_stream_may_go_at_once_and_a_single_row_always(scene: Scene) -> None:
    workspace = scene.workspace
    workspace.add("labels", 10 - workspace.count("labels"))
    scene.sync("labels")
    keys = [row["uuid"] for row in workspace.rows("labels")]
    for gone, told in ((keys[:2], None), (keys[2:4], "2 of 8 rows are no longer on the server (25%)")):
        workspace.delete("labels", gone)
        result = scene.sync("labels")["labels"]
        assert (result.outcome, result.tally.rows_deleted) == (("suspicious", 0) if told else ("done", 2))
        assert (told or "") in (result.message or "")
        assert marked(scene, "labels") == set(keys[:2])
    assert scene.sync("labels", options=ACCEPTING)["labels"].outcome == "done"
    workspace.delete("labels", keys[4:8])
    scene.sync("labels", options=ACCEPTING)
    workspace.delete("labels", keys[8:9])
    result = scene.sync("labels")["labels"]
    assert (result.outcome, result.tally.rows_deleted, marked(scene, "labels")) == ("done", 1, set(keys[:9]))


@pytest.mark.parametrize("stream", ["labels", "tickets"])
def test_a_list_that_is_empty_is_no_list_of_deletions_even_where_they_are_accepted(scene: Scene, stream: str) -> None:
    scene.sync(stream)
    known = scene.cursors()
    scene.workspace.store.execute(f"DELETE FROM {stream}")
    result = scene.sync(stream, options=replace(ACCEPTING, full=True))[stream]
    assert (result.outcome, result.tally.rows_deleted, marked(scene, stream)) == ("suspicious", 0, set())
    assert scene.cursors() == known


def test_a_window_that_lost_all_its_rows_is_believed_only_when_that_is_accepted(scene: Scene) -> None:
    workspace = scene.workspace
    workspace.delete("messages", [row["id"] for row in workspace.rows("messages") if created(row) > now() - 3 * HOUR])
    recent = workspace.add("messages", 3, at=now() - HOUR)
    scene.sync("messages")
    workspace.delete("messages", recent)
    result = scene.sync("messages")["messages"]
    assert (result.outcome, marked(scene, "messages")) == ("suspicious", set())
    assert result.message and "the server lists no rows where the lake has 3" in result.message
    assert scene.sync("messages", options=ACCEPTING)["messages"].outcome == "done"
    assert marked(scene, "messages") == set(recent)

    [last] = workspace.add("messages", 1, at=now() - HOUR)
    scene.sync("messages")
    workspace.delete("messages", [last])
    assert scene.sync("messages")["messages"].outcome == "done"
    assert marked(scene, "messages") == {*recent, last}


@pytest.mark.parametrize("number", [20, 21])
def test_up_to_twenty_rows_are_asked_for_one_by_one_by_their_time(scene: Scene, number: int) -> None:
    workspace = scene.workspace
    recent = workspace.add("messages", 40, at=now() - HOUR)
    scene.sync("messages")
    gone = recent[5 : 5 + number]
    created = {
        datetime.fromisoformat(row["created_on"]) for row in workspace.rows("messages") if str(row["id"]) in gone
    }
    workspace.delete("messages", gone)
    scene.sync("messages")
    params = [seen.params for seen in scene.sandbox.requests]
    asked = {one["after"] for one in params if "after" in one and one["after"] == one["before"]}
    assert {datetime.fromisoformat(at) for at in asked} == (created if number == 20 else set())
    assert marked(scene, "messages") == set(gone)


# -- where --


@pytest.mark.long
def test_the_oldest_rows_of_the_last_eight_days_are_marked_too(scene: Scene) -> None:
    workspace = scene.workspace
    since = now() - 8 * DAY
    workspace.delete("messages", [row["id"] for row in workspace.rows("messages") if since < created(row)])
    old = workspace.add("messages", 2, at=since + HOUR)
    older = workspace.add("messages", 2, at=since - HOUR)
    workspace.add("messages", 20, at=since + DAY)
    scene.sync("messages")
    workspace.delete("messages", [*old, *older])
    assert scene.sync("messages")["messages"].tally.rows_deleted == 0
    scene.age("messages", "revisit 192 h", DAY)
    assert scene.sync("messages")["messages"].tally.rows_deleted == 2
    assert marked(scene, "messages") == set(old)
    assert scene.sync("messages", options=FULL)["messages"].tally.rows_deleted == 2
    scene.assert_true("messages")


def test_rows_that_were_archived_and_purged_are_not_gone_though_an_older_one_came_late(scene: Scene) -> None:
    workspace = scene.workspace
    first = min(created(row) for row in workspace.rows("messages")).date()
    noon = datetime.combine(first, time(12), UTC) + DAY
    old = workspace.add("messages", 10, at=noon + DAY / 2)
    scene.sync("messages")
    workspace.offer("archives")
    archive_old_rows(workspace, first + 4 * DAY)
    workspace.add("messages", 1, at=noon)
    assert not set(old) & {str(row["id"]) for row in workspace.rows("messages")}
    scene.sync("archives")
    result = scene.sync("messages", options=FULL)["messages"]
    assert (result.outcome, result.tally.rows_new, result.tally.rows_deleted) == ("done", 1, 0)
    assert marked(scene, "messages") == set()


def test_rows_that_were_archived_and_purged_are_not_gone_where_a_date_begins_the_reading(scene: Scene) -> None:
    workspace, since = scene.workspace, now() - 60 * DAY
    scene.sync("messages", options=Options(since))
    workspace.offer("archives")
    archive_old_rows(workspace, (now() - 30 * DAY).date())
    shown = {str(row["id"]) for row in workspace.rows("messages")}
    assert scene.column("SELECT id::VARCHAR FROM messages") - shown
    result = scene.sync("messages", options=Options(since, full=True))["messages"]
    assert (result.outcome, result.tally.rows_deleted, marked(scene, "messages")) == ("done", 0, set())


def test_a_month_that_is_read_whole_marks_its_own_rows_only(scene: Scene) -> None:
    workspace, month = scene.workspace, Month.of(now()).plus(-2)
    mine = workspace.add("messages", 2, at=month.end - HOUR)
    others = workspace.add("messages", 2, at=month.end + HOUR) + workspace.add("messages", 1, at=month.start - HOUR)
    scene.sync("messages")
    workspace.delete("messages", [*mine, *others])
    assert scene.fill("messages", month).tally.rows_deleted == 2
    assert marked(scene, "messages") == set(mine)


@pytest.mark.parametrize("stream", cases("messages", long=["runs", "tickets"]))
def test_rows_that_were_on_their_way_when_their_contact_was_deleted_are_marked_in_the_end(
    scene: Scene, stream: str
) -> None:
    workspace = scene.workspace
    scene.sync("contacts")
    mine = [row for row in workspace.rows(stream) if row["contact"]["uuid"]]
    victim = mine[0]["contact"]["uuid"]
    # As another process would: while the rows are read, the tombstone arrives.
    gone = f"UPDATE contacts SET deleted_on = '2026-01-01T00:00:00Z', synced_on = now() WHERE uuid = '{victim}'"
    told: list[str] = []

    def delete(endpoint: str) -> None:
        if endpoint == stream and not told:
            told.append(endpoint)
            scene.write(gone)

    scene.sandbox.after_page = delete
    result = scene.sync(stream)[stream]
    of_victim = {str(row[KEYS[stream]]) for row in mine if row["contact"]["uuid"] == victim}
    assert len(of_victim) < len(mine) and marked(scene, stream) == of_victim
    assert result.tally.rows_deleted == len(of_victim)
    assert scene.rows(f"SELECT DISTINCT deleted_on::VARCHAR FROM {stream} WHERE deleted_on IS NOT NULL") == [
        ("2026-01-01 00:00:00+00",)
    ]


@pytest.mark.parametrize("stream", cases("messages", long=["runs", "tickets"]))
def test_a_row_that_comes_after_its_contact_was_deleted_is_never_alive(scene: Scene, stream: str) -> None:
    workspace = scene.workspace
    scene.sync("contacts", stream)
    victim = workspace.rows("contacts")[0]
    scene.write(f"UPDATE contacts SET deleted_on = '2026-01-01T00:00:00Z' WHERE uuid = '{victim['uuid']}'")
    reference = {"uuid": victim["uuid"], "name": victim["name"]}
    late = workspace.add(stream, 1, changes={"contact": {**workspace.rows(stream)[0]["contact"], **reference}})
    scene.sync(stream)
    assert marked(scene, stream) >= set(late)
    died = "SELECT DISTINCT deleted_on::VARCHAR FROM {} WHERE deleted_on IS NOT NULL"
    assert scene.column(died.format(stream)) == {"2026-01-01 00:00:00+00"}


def test_rows_are_marked_in_the_commit_of_their_contacts_tombstone_whatever_happens_then(
    scene: Scene, tmp_path: Path
) -> None:
    workspace, lake = scene.workspace, scene.session.lake
    scene.sync("contacts", "messages")
    victim = next(row["contact"]["uuid"] for row in workspace.rows("messages") if row["contact"])
    theirs = {str(row["id"]) for row in workspace.rows("messages") if (row["contact"] or {}).get("uuid") == victim}
    workspace.delete_contacts([victim])
    tombstone = msgspec.Raw(json.dumps(workspace.rows("contacts_deleted")[0]).encode())
    batches = Batches(lake, STREAMS["contacts"].table, Spool(tmp_path, "contacts", full_pages=1), Tally())
    batches.add([tombstone])
    batches.commit(tombstones=True)
    assert marked(scene, "messages") == theirs


def test_a_row_goes_with_its_contact_at_the_latest(scene: Scene) -> None:
    workspace = scene.workspace
    recent = [workspace.row("messages", key) for key in workspace.add("messages", 40, at=now() - HOUR)]
    by_contact = {row["contact"]["uuid"]: str(row["id"]) for row in recent if row}
    (first, one), (second, two) = list(by_contact.items())[:2]
    scene.sync("contacts", "messages")
    workspace.delete("messages", [one, two])
    scene.sync("messages")
    went = dict(scene.rows("SELECT id::VARCHAR, deleted_on FROM messages WHERE deleted_on IS NOT NULL"))
    assert went.keys() == {one, two}
    workspace.delete_contacts([first], at=now() - HOUR / 2)
    workspace.delete_contacts([second])
    result = scene.sync("contacts", overlap=2 * HOUR.total_seconds())["contacts"]
    died = {row["uuid"]: datetime.fromisoformat(row["modified_on"]) for row in workspace.rows("contacts_deleted")}
    of_dead = "SELECT id::VARCHAR, contact_uuid::VARCHAR, deleted_on FROM messages WHERE deleted_on IS NOT NULL"
    found = {key: (at, died[contact]) for key, contact, at in scene.rows(of_dead)}
    assert found.pop(two)[0] == went[two]
    assert {key for key, (at, death) in found.items() if at != death} == set()
    assert one in found and result.tally.rows_deleted == len(found)
    scene.assert_true("messages")


# -- helpers --


def marked(scene: Scene, stream: str) -> set[object]:
    return scene.column(f'SELECT {KEYS[stream]}::VARCHAR FROM "{stream}" WHERE deleted_on IS NOT NULL')


def created(row: Row) -> datetime:
    return datetime.fromisoformat(row["created_on"])
