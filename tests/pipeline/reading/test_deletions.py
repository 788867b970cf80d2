"""What is deleted on the server is marked in the lake, once that is certain; what is merely absent never is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.reading.reader import Options
from pipeline.results import StreamResult
from pipeline.settings import load_settings
from sandbox import Faults, Sandbox, Workspace, archive_old_rows, generate, read_archive
from tests.cases import cases
from tests.lakes import assert_holds, column, rows
from tests.sessions import sync

Row = dict[str, Any]

GO_WITH_A_CONTACT = ["messages", "runs", "tickets", "channel_events"]
PER_PAGE = 250


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """600 messages of 90 days; the oldest day is the 89th before today."""
    with generate(messages=600, seed=7, archives=False) as generated:
        generated.offer("archives")
        yield generated


# -- with their contact --


def test_a_deleted_contact_takes_its_rows_along_in_the_same_sync(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    run(sandbox, lake, "contacts", *GO_WITH_A_CONTACT)
    victims = [workspace.rows(stream)[-1]["contact"]["uuid"] for stream in GO_WITH_A_CONTACT]
    expected = {stream: keys_of(workspace, stream, contacts=victims) for stream in GO_WITH_A_CONTACT}
    assert all(expected.values())
    workspace.delete_contacts(dict.fromkeys(victims))

    result = run(sandbox, lake, "contacts", *GO_WITH_A_CONTACT)
    died = {row["uuid"]: datetime.fromisoformat(row["modified_on"]) for row in workspace.rows("contacts_deleted")}
    for stream in GO_WITH_A_CONTACT:
        key = "uuid" if stream in ("runs", "tickets") else "id"
        marked = rows(
            lake,
            f'SELECT {key}::VARCHAR, contact_uuid::VARCHAR, deleted_on FROM "{stream}" WHERE deleted_on IS NOT NULL',
        )
        assert {found for found, *_ in marked} == expected[stream], stream
        assert {(contact, at) for _, contact, at in marked} <= set(died.items()), stream
        assert_true(workspace, lake, stream)
    assert result["contacts"].tally.rows_deleted == sum(map(len, expected.values()))


def test_rows_of_a_contact_deleted_before_the_first_sync_are_never_alive(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    archive_old_rows(workspace, day(workspace, 3))
    archived = [row for row in archived_messages(sandbox) if row["contact"]["uuid"]]
    victim = archived[0]["contact"]["uuid"]
    workspace.delete_contacts([victim])
    run(sandbox, lake, "contacts", "archives", "messages")
    mine = {str(row["id"]) for row in archived if row["contact"]["uuid"] == victim}
    assert column(lake, "SELECT id::VARCHAR FROM messages WHERE deleted_on IS NOT NULL") == mine


# -- one by one --


@pytest.mark.parametrize("number", cases(1, long=[25]))
def test_messages_deleted_within_the_window_read_again_are_marked_by_one_sync(
    sandbox: Sandbox, lake: Path, number: int
) -> None:
    added = add_recent(sandbox.workspace, 40)
    run(sandbox, lake, "messages")
    gone = set(added[5 : 5 + number])
    before = {str(row["id"]): row for row in sandbox.workspace.rows("messages")}
    sandbox.workspace.delete("messages", gone, soft=True)
    sandbox.requests.clear()

    result = run(sandbox, lake, "messages")["messages"]
    assert (result.outcome, result.tally.rows_deleted) == ("done", number)
    assert column(lake, "SELECT id::VARCHAR FROM messages WHERE deleted_on IS NOT NULL") == gone
    assert_true(sandbox.workspace, lake, "messages")
    params = [seen.params for seen in sandbox.requests]
    by_time = {seen["after"] for seen in params if "after" in seen and seen["after"] == seen["before"]}
    created = [datetime.fromisoformat(before[key]["created_on"]) for key in gone]
    assert [datetime.fromisoformat(at) for at in by_time] == (created if number == 1 else [])

    sandbox.workspace.put("messages", {**before[added[5]], "text": "Undone"})
    run(sandbox, lake, "messages")
    assert_true(sandbox.workspace, lake, "messages")


@pytest.mark.parametrize("number", cases(1, long=[25]))
def test_a_message_that_only_one_reading_lacked_is_alive(sandbox: Sandbox, lake: Path, number: int) -> None:
    workspace = sandbox.workspace
    keys = add_recent(workspace, 40)[:number]
    run(sandbox, lake, "messages")
    hidden = [row for row in workspace.rows("messages") if str(row["id"]) in keys]
    workspace.delete("messages", keys)
    sandbox.after_page = lambda endpoint: [workspace.put("messages", row) for row in hidden] and None
    assert run(sandbox, lake, "messages")["messages"].tally.rows_deleted == 0
    assert_true(workspace, lake, "messages")


@pytest.mark.long
def test_a_message_deleted_outside_the_window_is_marked_by_a_full_reading_only(sandbox: Sandbox, lake: Path) -> None:
    run(sandbox, lake, "messages")
    old = [row["id"] for row in sandbox.workspace.rows("messages") if created(row) < now() - timedelta(days=9)]
    sandbox.workspace.delete("messages", old[:2], soft=True)
    assert run(sandbox, lake, "messages")["messages"].tally.rows_deleted == 0
    assert run(sandbox, lake, "messages", full=True)["messages"].tally.rows_deleted == 2
    assert_true(sandbox.workspace, lake, "messages")


# -- uncertain --


def test_a_walk_that_goes_on_after_an_interruption_marks_nothing_it_has_not_read(sandbox: Sandbox, lake: Path) -> None:
    run(sandbox, lake, "messages")
    sandbox.faults = Faults(script={"messages": ["ok", "forbidden"]})
    assert run(sandbox, lake, "messages", full=True)["messages"].outcome == "failed"
    sandbox.faults = Faults()
    sandbox.requests.clear()
    result = run(sandbox, lake, "messages")["messages"]
    assert (result.outcome, result.tally.rows_deleted) == ("done", 0)
    asked = [seen for seen in sandbox.requests if seen.endpoint == "messages"]
    assert len(asked) == 3  # the two pages that were left, and what is read at each sync; no look for absent rows
    assert_true(sandbox.workspace, lake, "messages")


def test_a_listing_that_fails_on_its_second_page_marks_nothing(sandbox: Sandbox, lake: Path) -> None:
    workspace, streams = sandbox.workspace, ["messages", "tickets", "labels"]
    for stream in streams:
        workspace.add(stream, 2 * PER_PAGE)
    run(sandbox, lake, *streams)
    before = {stream: keys_of(workspace, stream) for stream in streams}
    for stream in streams:
        workspace.delete(stream, sorted(before[stream])[::7])
    sandbox.faults = Faults(script={stream: ["ok", "forbidden"] for stream in streams})
    result = run(sandbox, lake, *streams, full=True)
    for stream in streams:
        assert (result[stream].outcome, result[stream].tally.rows_deleted) == ("failed", 0)
        assert live(lake, stream) == before[stream]


def test_messages_that_went_into_an_archive_are_not_deleted(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    run(sandbox, lake, "archives", "messages")
    before = keys_of(workspace, "messages")
    assert archive_old_rows(workspace, day(workspace, 3)) > 0
    result = run(sandbox, lake, "archives", "messages", full=True)
    assert {name: one.tally.rows_deleted for name, one in result.items()} == {"archives": 0, "messages": 0}
    assert live(lake, "messages") == before
    assert rows(lake, "SELECT count(*) > 0 FROM messages WHERE archived_in IS NOT NULL") == [(True,)]


def test_messages_that_went_into_an_archive_not_seen_yet_are_not_deleted(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    run(sandbox, lake, "messages")
    before = keys_of(workspace, "messages")
    archive_old_rows(workspace, day(workspace, 4))
    assert len(before) > workspace.count("messages")
    run(sandbox, lake, "messages", full=True)
    assert live(lake, "messages") == before


def test_rows_of_streams_that_the_server_purges_are_never_marked(sandbox: Sandbox, lake: Path) -> None:
    workspace, streams = sandbox.workspace, ["channel_events", "broadcasts", "flow_starts", "resthook_events"]
    for stream in streams:
        workspace.add(stream, 30, at=now() - timedelta(minutes=30))
    run(sandbox, lake, *streams)
    before = rows(lake, count_all(streams))
    for stream in streams:
        workspace.store.execute(f"DELETE FROM {stream} WHERE rowid % 2 = 0")
    for full in (False, True):
        result = run(sandbox, lake, *streams, full=full)
        assert {(one.outcome, one.tally.rows_deleted) for one in result.values()} == {("done", 0)}
    assert rows(lake, count_all(streams)) == before


# -- archives know what was deleted --


@pytest.mark.parametrize("number", cases(1, long=[25]))
def test_a_message_that_neither_its_archive_nor_the_api_has_is_deleted(
    sandbox: Sandbox, lake: Path, number: int
) -> None:
    workspace = sandbox.workspace
    keys = set(workspace.add("messages", number, at=noon(workspace)))
    run(sandbox, lake, "messages", "runs")
    before = keys_of(workspace, "messages")
    workspace.delete("messages", keys, soft=True)
    archive_old_rows(workspace, day(workspace, 2))
    late = set(workspace.add("messages", 1, at=noon(workspace)))

    result = run(sandbox, lake, "archives")["archives"]
    assert (result.outcome, result.tally.rows_deleted) == ("done", number)
    run(sandbox, lake, "messages", full=True)
    assert column(lake, "SELECT id::VARCHAR FROM messages WHERE deleted_on IS NOT NULL") == keys
    assert live(lake, "messages") == (before - keys) | late


def test_a_late_message_that_no_archive_has_stays_while_the_api_has_it(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    archive_old_rows(workspace, day(workspace, 2))
    late = set(workspace.add("messages", 3, at=noon(workspace)))
    run(sandbox, lake, "messages")
    result = run(sandbox, lake, "archives")["archives"]
    assert (result.outcome, result.tally.rows_deleted) == ("done", 0)
    assert late <= live(lake, "messages")


def test_runs_that_their_days_archive_lacks_are_not_deleted(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    run(sandbox, lake, "runs")
    archive_old_rows(workspace, day(workspace, 2))
    moved = workspace.rows("runs")[-1]["uuid"]
    workspace.edit("runs", [moved])
    run(sandbox, lake, "archives")
    assert rows(lake, "SELECT count(*) FROM runs WHERE deleted_on IS NOT NULL") == [(0,)]


# -- suspiciously many --


def test_many_deletions_at_once_are_marked_only_when_they_are_accepted(sandbox: Sandbox, lake: Path) -> None:
    workspace, streams = sandbox.workspace, ["labels", "groups", "tickets", "messages"]
    recent = add_recent(workspace, 300)
    run(sandbox, lake, *streams)
    before = {stream: keys_of(workspace, stream) for stream in streams}
    gone = {stream: set(sorted(before[stream])[:3]) for stream in streams} | {"messages": set(recent[:200])}
    for stream in streams:
        workspace.delete(stream, gone[stream])

    for stream, result in run(sandbox, lake, *streams, full=True).items():
        assert (result.outcome, result.tally.rows_deleted) == ("suspicious", 0), stream
        assert result.message and "--accept-deletions" in result.message
        assert live(lake, stream) == before[stream]

    for stream, result in run(sandbox, lake, *streams, full=True, accept=True).items():
        assert (result.outcome, result.tally.rows_deleted) == ("done", len(gone[stream]))
        assert live(lake, stream) == before[stream] - gone[stream]


def test_the_only_row_of_a_small_stream_may_go(sandbox: Sandbox, lake: Path) -> None:
    run(sandbox, lake, "labels")
    sandbox.workspace.delete("labels", [sandbox.workspace.rows("labels")[0]["uuid"]])
    assert run(sandbox, lake, "labels")["labels"].outcome == "done"


def test_the_command_that_is_named_marks_what_a_daily_revisit_missed(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    added = workspace.add("messages", 300, at=now() - timedelta(days=3))
    run(sandbox, lake, "messages", revisits="2h")
    workspace.delete("messages", added[:200])
    follow_advice(sandbox, lake, run(sandbox, lake, "messages")["messages"])
    assert_true(workspace, lake, "messages")


def test_the_command_that_is_named_marks_what_a_full_reading_missed(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    added = workspace.add("messages", 300, at=now() - timedelta(days=30))
    run(sandbox, lake, "messages")
    workspace.delete("messages", added[:200])
    follow_advice(sandbox, lake, run(sandbox, lake, "messages", full=True)["messages"])
    assert_true(workspace, lake, "messages")


@pytest.mark.long
def test_the_command_that_is_named_marks_what_an_archive_lacks(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    gone = set(workspace.add("messages", 200, at=noon(workspace)))
    run(sandbox, lake, "messages")
    workspace.delete("messages", gone, soft=True)
    archive_old_rows(workspace, day(workspace, 1))
    follow_advice(sandbox, lake, run(sandbox, lake, "archives")["archives"])
    assert column(lake, "SELECT id::VARCHAR FROM messages WHERE deleted_on IS NOT NULL") == gone


# -- helpers --


def run(
    sandbox: Sandbox,
    lake: Path,
    *streams: str,
    full: bool = False,
    accept: bool = False,
    revisits: str | None = None,
) -> dict[str, StreamResult]:
    settings = load_settings(
        url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0, revisits=revisits
    )
    result = sync(settings, streams, Options(full=full, accept_deletions=accept))
    return {stream.stream: stream for stream in result.streams}


def follow_advice(sandbox: Sandbox, lake: Path, result: StreamResult) -> None:
    """Run the command that a suspicious stream's message names."""
    assert result.outcome == "suspicious"
    command = re.search(r"`rapidlake sync ([^`]*)`", result.message or "")
    assert command, result.message
    words = command[1].split()
    run(
        sandbox,
        lake,
        *(word for word in words if not word.startswith("--")),
        full="--full" in words,
        accept="--accept-deletions" in words,
    )


def now() -> datetime:
    return datetime.now(UTC)


def created(row: Row) -> datetime:
    return datetime.fromisoformat(row["created_on"])


def day(workspace: Workspace, number: int) -> date:
    """The day that many after the first one of the workspace's messages."""
    return min(map(created, workspace.rows("messages"))).date() + timedelta(days=number)


def noon(workspace: Workspace) -> datetime:
    """The middle of the first day."""
    return datetime.combine(day(workspace, 0), datetime.min.time(), UTC) + timedelta(hours=12)


def add_recent(workspace: Workspace, number: int) -> list[str]:
    """Add messages that every sync reads again."""
    return workspace.add("messages", number, at=now() - timedelta(hours=1))


def keys_of(workspace: Workspace, stream: str, *, contacts: list[str] | None = None) -> set[str]:
    return {
        str(row.get("uuid") or row["id"])
        for row in workspace.rows(stream)
        if contacts is None or row["contact"]["uuid"] in contacts
    }


def archived_messages(sandbox: Sandbox) -> list[Row]:
    """The messages of the listed archives."""

    listed = [row for row in sandbox.workspace.rows("archives") if row["archive_type"] == "message"]
    return [json.loads(line) for row in listed for line in read_archive(sandbox.workspace, row)]


def count_all(streams: list[str]) -> str:
    return " UNION ALL ".join(f"SELECT '{one}', count(*) FROM \"{one}\" WHERE deleted_on IS NULL" for one in streams)


def live(lake: Path, stream: str) -> set[object]:
    key = "id" if stream == "messages" else "uuid"
    return column(lake, f'SELECT {key}::VARCHAR FROM "{stream}" WHERE deleted_on IS NULL')


def assert_true(workspace: Workspace, lake: Path, stream: str) -> None:
    """The live rows of the lake are the server's, value by value."""
    assert_holds(lake, workspace, stream)
