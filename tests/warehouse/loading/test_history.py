"""The history of messages: each change seen, and between which two times it happened; and what is read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.reading.reader import Options
from pipeline.settings import load_settings
from sandbox import Sandbox, Workspace, archive_old_rows, generate
from tests.lakes import rows
from tests.sessions import sync
from warehouse import Lake

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
URGENT = {"uuid": "10000000-0000-4000-8000-000000000000", "name": "Urgent"}
SPAM = {"uuid": "20000000-0000-4000-8000-000000000000", "name": "Spam"}


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with generate(messages=100, seed=7, archives=False) as generated:
        generated.add("messages", 5, at=now() - HOUR, changes={"status": "wired", "labels": [], "direction": "out"})
        yield generated


# -- what is noted --


def test_changes_of_status_visibility_and_labels_are_noted_with_the_times_between_which_they_happened(
    sandbox: Sandbox, lake: Path
) -> None:
    one, two, three = newest(sandbox, 3)
    run(sandbox, lake)
    before = now()
    sandbox.workspace.edit("messages", [one], changes={"status": "sent"})
    sandbox.workspace.edit("messages", [two], changes={"visibility": "archived", "archived": True})
    sandbox.workspace.edit("messages", [three], changes={"labels": [URGENT, SPAM], "text": "edited"})
    after = now()
    run(sandbox, lake)
    noted = rows(lake, "SELECT id, what, from_value, to_value, still_on, changed_by FROM message_history ORDER BY id")
    assert {(key, what, old, new if what != "labels" else labels(new)) for key, what, old, new, *_ in noted} == {
        (one, "status", "wired", "sent"),
        (two, "visibility", "visible", "archived"),
        (three, "labels", "[]", (URGENT["uuid"], SPAM["uuid"])),
    }
    for *_, still_on, changed_by in noted:
        assert still_on <= before and after <= changed_by


def test_a_message_whose_status_and_labels_change_at_once_has_both_noted(sandbox: Sandbox, lake: Path) -> None:
    (one,) = newest(sandbox, 1)
    run(sandbox, lake)
    sandbox.workspace.edit("messages", [one], changes={"status": "failed", "labels": [URGENT]})
    run(sandbox, lake)
    assert rows(lake, "SELECT what FROM message_history ORDER BY ALL") == [("labels",), ("status",)]


def test_nothing_is_noted_for_new_messages_other_columns_or_a_label_that_is_renamed_or_moved(
    sandbox: Sandbox, lake: Path
) -> None:
    one, two = newest(sandbox, 2)
    sandbox.workspace.edit("messages", [one, two], changes={"labels": [URGENT, SPAM]})
    run(sandbox, lake)
    sandbox.workspace.edit("messages", [one], changes={"labels": [{**URGENT, "name": "Pressing"}, SPAM]})
    sandbox.workspace.edit("messages", [two], changes={"labels": [SPAM, URGENT], "text": "edited"})
    sandbox.workspace.add("messages", 3, at=now() - HOUR)
    run(sandbox, lake)
    run(sandbox, lake)
    assert rows(lake, f"SELECT labels[1].name FROM messages WHERE id = {one}") == [("Pressing",)]
    assert rows(lake, "SELECT * FROM message_history") == []


def test_several_syncs_give_a_chain(sandbox: Sandbox, lake: Path) -> None:
    (one,) = newest(sandbox, 1)
    run(sandbox, lake)
    times = []
    for status in ("sent", "delivered", "read"):
        times.append(now())
        sandbox.workspace.edit("messages", [one], changes={"status": status})
        run(sandbox, lake)
    chain = rows(lake, "SELECT from_value, to_value, still_on, changed_by FROM message_history ORDER BY changed_by")
    assert [link[:2] for link in chain] == [("wired", "sent"), ("sent", "delivered"), ("delivered", "read")]
    for (*_, still_on, changed_by), at in zip(chain, times, strict=True):
        assert still_on <= at <= changed_by
    for earlier, later in pairwise(chain):
        assert earlier[2] < later[2] and earlier[3] < later[3]


@pytest.mark.long
def test_a_message_read_again_unchanged_was_still_the_same_then(sandbox: Sandbox, lake: Path) -> None:
    (one,) = newest(sandbox, 1)
    run(sandbox, lake)
    seen = now()
    run(sandbox, lake)
    changed = now()
    sandbox.workspace.edit("messages", [one], changes={"status": "sent"})
    run(sandbox, lake)
    [(still_on,)] = rows(lake, "SELECT still_on FROM message_history")
    assert seen <= still_on <= changed


def test_a_message_that_was_not_read_again_is_not_said_to_have_been_the_same(sandbox: Sandbox, lake: Path) -> None:
    (key,) = sandbox.workspace.add("messages", 1, at=now() - 10 * HOUR, changes={"status": "wired"})
    run(sandbox, lake)
    seen = now()
    sandbox.workspace.edit("messages", [key], changes={"status": "sent"})
    run(sandbox, lake)
    assert rows(lake, "SELECT * FROM message_history") == []
    grow_older(lake, HOUR)
    run(sandbox, lake)
    [(still_on,)] = rows(lake, "SELECT still_on FROM message_history")
    assert still_on <= seen


@pytest.mark.long
def test_a_change_between_the_reading_and_its_commit_is_not_noted_as_later_than_it_was(
    sandbox: Sandbox, lake: Path
) -> None:
    (one,) = newest(sandbox, 1)
    changed: list[datetime] = []

    def change(endpoint: str) -> None:
        if endpoint == "messages" and not changed:
            changed.append(now())
            sandbox.workspace.edit("messages", [one], changes={"status": "sent"})

    sandbox.after_page = change
    run(sandbox, lake)
    sandbox.after_page = None
    run(sandbox, lake)
    [(still_on, changed_by)] = rows(lake, "SELECT still_on, changed_by FROM message_history")
    assert changed and changed_by >= changed[0]
    assert still_on is None or still_on <= changed[0]


@pytest.mark.long
def test_delivery_times_enclose_the_moment_of_delivery_as_closely_as_the_syncs_came(
    sandbox: Sandbox, lake: Path
) -> None:
    at_once, in_steps, failed, gone, _ = newest(sandbox, 5)
    edit, created = sandbox.workspace.edit, {row["id"]: row["created_on"] for row in sandbox.workspace.rows("messages")}
    syncs = [timed_run(sandbox, lake)]
    edit("messages", [at_once, gone], changes={"status": "delivered"})
    edit("messages", [in_steps], changes={"status": "sent"})
    edit("messages", [failed], changes={"status": "failed"})
    syncs.append(timed_run(sandbox, lake))
    edit("messages", [in_steps], changes={"status": "delivered"})
    sandbox.workspace.delete("messages", [gone])
    syncs.append(timed_run(sandbox, lake))
    edit("messages", [at_once, in_steps], changes={"status": "read"})
    syncs.append(timed_run(sandbox, lake))

    found = rows(lake, "SELECT message_id, at_least_seconds, at_most_seconds FROM delivery_times")
    delivered_before = {at_once: 1, in_steps: 2}
    assert {message for message, *_ in found} == set(delivered_before)
    for message, at_least, at_most in found:
        age = [tuple(seconds_since(created[message], at) for at in sync) for sync in syncs]
        (began, ended), (begins, ends) = age[delivered_before[message] - 1 :][:2]
        assert began <= at_least <= ended < begins <= at_most <= ends


@pytest.mark.long
def test_the_last_state_that_an_archive_tells_is_noted_too(sandbox: Sandbox, lake: Path) -> None:
    oldest = sandbox.workspace.rows("messages")[-1]
    run(sandbox, lake)
    status = "read" if oldest["status"] != "read" else "failed"
    sandbox.workspace.edit("messages", [oldest["id"]], changes={"status": status})
    archive_old_rows(sandbox.workspace, datetime.fromisoformat(oldest["created_on"]).date() + DAY)
    run(sandbox, lake, "archives")
    assert rows(lake, "SELECT id, what, from_value, to_value FROM message_history") == [
        (oldest["id"], "status", oldest["status"], status)
    ]


# -- what is read again --


@pytest.mark.long
def test_two_hours_are_read_at_each_sync_two_days_hourly_and_eight_days_daily(sandbox: Sandbox, lake: Path) -> None:
    run(sandbox, lake)
    assert reach(sandbox, lake) == 2 * HOUR
    grow_older(lake, 59 * timedelta(minutes=1))
    assert reach(sandbox, lake) == 2 * HOUR
    grow_older(lake, HOUR)
    assert reach(sandbox, lake) == 2 * DAY
    assert reach(sandbox, lake) == 2 * HOUR
    grow_older(lake, DAY)
    assert reach(sandbox, lake) == 8 * DAY
    assert reach(sandbox, lake) == 2 * HOUR


@pytest.mark.long
def test_rapidlake_revisits_says_otherwise(sandbox: Sandbox, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPIDLAKE_REVISITS", "1h, 3d/2h")
    run(sandbox, lake)
    assert reach(sandbox, lake) == HOUR
    grow_older(lake, 2 * HOUR)
    assert reach(sandbox, lake) == 3 * DAY
    monkeypatch.setenv("RAPIDLAKE_REVISITS", "30d")
    assert reach(sandbox, lake) == reach(sandbox, lake) == 30 * DAY


def test_a_message_that_changed_days_ago_is_seen_when_its_days_are_read_again(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    (key,) = workspace.add("messages", 1, at=now() - 3 * DAY, changes={"status": "wired"})
    run(sandbox, lake)
    workspace.edit("messages", [key], changes={"status": "failed"})
    run(sandbox, lake)
    assert rows(lake, f"SELECT status FROM messages WHERE id = {key}") == [("wired",)]
    grow_older(lake, DAY)
    run(sandbox, lake)
    assert rows(lake, f"SELECT status FROM messages WHERE id = {key}") == [("failed",)]


@pytest.mark.parametrize("revisits", ["2h, 2d/1h, 8d/1d", "8d/1d, 2d/1h, 2h"])
def test_a_message_was_still_the_same_when_the_longest_of_several_revisits_saw_it_in_whichever_order_they_are_set(
    sandbox: Sandbox, lake: Path, monkeypatch: pytest.MonkeyPatch, revisits: str
) -> None:
    monkeypatch.setenv("RAPIDLAKE_REVISITS", revisits)
    (key,) = sandbox.workspace.add("messages", 1, at=now() - 5 * DAY, changes={"status": "wired"})
    run(sandbox, lake)
    seen = now()
    run(sandbox, lake, revisit_now=True)
    sandbox.workspace.edit("messages", [key], changes={"status": "failed"})
    run(sandbox, lake, revisit_now=True)
    [(still_on,)] = rows(lake, "SELECT still_on FROM message_history")
    assert seen <= still_on


def test_a_clock_that_once_ran_ahead_dates_no_value_later_than_its_change(sandbox: Sandbox, lake: Path) -> None:
    (one,) = newest(sandbox, 1)
    run(sandbox, lake)
    grow_older(lake, -HOUR)  # the server's clock was an hour ahead when its days were read again
    sandbox.workspace.edit("messages", [one], changes={"status": "sent"})
    run(sandbox, lake)
    assert rows(lake, "SELECT count(*), bool_and(still_on <= changed_by) FROM message_history") == [(1, True)]


# -- helpers --


def now() -> datetime:
    return datetime.now(UTC)


def run(sandbox: Sandbox, lake: Path, stream: str = "messages", *, revisit_now: bool = False) -> None:
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0)
    result = sync(settings, [stream], Options(revisit_now=revisit_now))
    assert not result.failed, result.streams


def timed_run(sandbox: Sandbox, lake: Path) -> tuple[datetime, datetime]:
    """When the sync began and when it ended."""
    began = now()
    run(sandbox, lake)
    return began, now()


def seconds_since(created_on: str, at: datetime) -> float:
    return (at - datetime.fromisoformat(created_on)) / timedelta(seconds=1)


def newest(sandbox: Sandbox, number: int) -> list[int]:
    return [row["id"] for row in sandbox.workspace.rows("messages")[:number]]


def labels(text: str) -> tuple[str, ...]:
    return tuple(label["uuid"] for label in json.loads(text))


def reach(sandbox: Sandbox, lake: Path) -> timedelta:
    """How far back the next sync reads, to the hour."""
    sandbox.requests.clear()
    run(sandbox, lake)
    asked = [seen.params for seen in sandbox.requests if seen.endpoint == "messages"]
    assert len({params["after"] for params in asked}) == 1
    ends = datetime.fromisoformat(max(params["before"] for params in asked))
    return round((ends - datetime.fromisoformat(asked[0]["after"])) / HOUR, 3) * HOUR


def grow_older(lake: Path, age: timedelta) -> None:
    """Let the last revisits be so much older."""
    with Lake.create(lake) as opened:
        opened.commit(
            lambda connection: connection.execute(
                f"UPDATE _cursor SET watermark = watermark - INTERVAL ({age.total_seconds():.0f}) SECOND "
                "WHERE feed LIKE 'revisit %'"
            )
        )
