"""Which archive files a sync loads, in which order, when it gives a store up, and what it leaves on the disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.reading.reader import ArchiveChoice, Options
from pipeline.results import StreamResult
from pipeline.settings import load_settings
from sandbox import Faults, Sandbox, generate, put_archive, read_archive, roll_up
from tests.lakes import new_lake
from tests.sessions import sync
from tests.truth import assert_same, expected_union, stored_rows
from warehouse import Lake

Row = dict[str, Any]

DAYS = [f"2025-03-{day:02}" for day in range(1, 6)]
PERSON = "5e0a3b1c-0000-4000-8000-000000000000"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Five daily files of ten messages each, and no message in the API."""
    with generate(messages=0, contacts=2, archives=False) as workspace:
        workspace.offer("archives")
        for day in DAYS:
            put(workspace, day, [record(day, number) for number in range(10)])
        with Sandbox(workspace, requests_per_hour=0, keep=True) as served:
            yield served


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return new_lake(tmp_path / "lake")


# -- a store that fails --


def test_a_store_that_is_down_is_given_up_before_every_file_was_tried(sandbox: Sandbox, lake: Path) -> None:
    for day in range(10, 20):
        put_archive(sandbox.workspace, "message", "daily", f"2025-03-{day}", [], record_count=1)
    sandbox.faults = Faults(script={"files": ["error"] * 99})
    result = run(sandbox, lake)
    assert result.message and "3 of 15 archive files are not loaded, the rest was not tried: " in result.message
    assert len({seen.path for seen in downloads(sandbox)}) < 15


def test_files_that_fail_here_and_there_do_not_stop_the_others(sandbox: Sandbox, lake: Path) -> None:
    spoil(sandbox, *DAYS[:2], *DAYS[3:])
    result = run(sandbox, lake)
    assert result.message and "4 of 5 archive files are not loaded, the others are: " in result.message
    assert result.message.count("it answered 500") == 4
    assert loaded(lake) == {DAYS[2]}


def test_addresses_that_expire_together_are_asked_for_again_once(sandbox: Sandbox, lake: Path) -> None:
    sandbox.files.seconds = 0
    sandbox.before_file = lambda name: setattr(sandbox.files, "seconds", 3600)
    assert run(sandbox, lake, patience=30).outcome == "done"
    assert 403 in [seen.status for seen in downloads(sandbox)]
    assert len([seen for seen in sandbox.requests if seen.endpoint == "archives"]) == 2
    assert_true(sandbox, lake, *DAYS)


# -- which, and in which order --


def test_the_newest_files_are_loaded_first_and_all_of_them_are_told(sandbox: Sandbox, lake: Path) -> None:
    first = run(sandbox, lake)
    order = [day for (day,) in rows(lake, "SELECT start_date::VARCHAR FROM _archives ORDER BY loaded_on")]
    assert order == DAYS[::-1]
    assert (first.tally.files, first.tally.rows_new) == (5, 50 + 5)  # five are those of the list
    again = run(sandbox, lake)
    assert (again.tally.files, again.tally.rows_new, again.tally.rows_changed) == (0, 0, 0)
    sizes = sum(row["size"] for row in sandbox.workspace.rows("archives"))
    # Apart from the files both have read the list; a number in its addresses may have a digit more.
    assert abs(first.tally.counters.bytes - again.tally.counters.bytes - sizes) < 200


def test_only_what_is_named_is_loaded_also_from_before_the_date_of_the_sync(sandbox: Sandbox, lake: Path) -> None:
    put(sandbox.workspace, "2025-02-01", [record("2025-02-01", 0)])
    put_archive(sandbox.workspace, "run", "daily", "2025-02-01", [])
    run(sandbox, lake, since=datetime(2025, 3, 4, tzinfo=UTC))
    assert loaded(lake) == set(DAYS[3:])
    run(sandbox, lake, archives=ArchiveChoice(load=False))
    assert loaded(lake) == set(DAYS[3:])
    run(sandbox, lake, archives=ArchiveChoice(frozenset(["run"]), frozenset(["2025-02"])))
    assert loaded(lake) == set(DAYS[3:])
    run(sandbox, lake, archives=ArchiveChoice(frozenset(["message"]), frozenset(["2025-02"])))
    assert loaded(lake) == {"2025-02-01", *DAYS[3:]}


def test_a_day_is_wanted_that_ends_after_the_date_and_all_are_after_a_full_sync(sandbox: Sandbox, lake: Path) -> None:
    run(sandbox, lake, since=datetime(2025, 3, 4, tzinfo=UTC))
    assert loaded(lake) == set(DAYS[3:])
    run(sandbox, lake, since=datetime(2025, 3, 3, 23, 59, tzinfo=UTC))
    assert loaded(lake) == set(DAYS[2:])
    run(sandbox, lake, since=datetime(2025, 3, 5, tzinfo=UTC), full=True)
    assert loaded(lake) == set(DAYS[2:])
    run(sandbox, lake, full=True)
    assert_true(sandbox, lake, *DAYS)
    assert loaded(lake) == set(DAYS)


@pytest.mark.parametrize("earlier", [None, datetime(2025, 3, 3, tzinfo=UTC)])
def test_a_later_date_leaves_no_file_out_that_was_wanted_before(
    sandbox: Sandbox, lake: Path, earlier: datetime | None
) -> None:
    run(sandbox, lake, since=earlier)
    had = loaded(lake)
    put(sandbox.workspace, DAYS[2], [record(DAYS[2], number, text="another") for number in range(12)])
    run(sandbox, lake, since=datetime(2025, 3, 5, tzinfo=UTC))
    assert loaded(lake) == had
    assert_true(sandbox, lake, *had)


def test_what_is_loaded_is_loaded_again_only_when_asked_for(sandbox: Sandbox, lake: Path) -> None:
    run(sandbox, lake)
    change(lake, "DELETE FROM messages WHERE archived_in >= DATE '2025-03-04'")
    sandbox.requests.clear()
    run(sandbox, lake)
    assert downloads(sandbox) == []
    run(sandbox, lake, archives=ArchiveChoice(again=True))
    assert len(downloads(sandbox)) == len(DAYS)
    assert_true(sandbox, lake, *DAYS)


# -- files that have lost rows --


def test_a_file_that_lost_many_rows_marks_none_until_that_is_accepted_and_each_sync_says_so(
    sandbox: Sandbox, lake: Path
) -> None:
    run(sandbox, lake, since=datetime(2025, 3, 5, tzinfo=UTC))
    left = [record(DAYS[-1], number) for number in range(4)]
    put(sandbox.workspace, DAYS[-1], left)
    for files in (1, 0):
        sandbox.requests.clear()
        result = run(sandbox, lake)
        assert (result.outcome, result.tally.rows_deleted) == ("suspicious", 0)
        assert "rapidlake sync archives --accept-deletions" in str(result.message)
        assert len(downloads(sandbox)) == files
        assert rows(lake, "SELECT count(*) FROM messages WHERE deleted_on IS NULL") == [(10,)]
    result = run(sandbox, lake, accept_deletions=True)
    assert (result.outcome, result.tally.rows_deleted) == ("done", 6)
    assert_true(sandbox, lake, DAYS[-1])
    sandbox.requests.clear()
    assert run(sandbox, lake).outcome == "done"
    assert downloads(sandbox) == []


# -- odd lines, and what stays behind --


def test_lines_that_cannot_be_read_are_still_counted_when_a_month_takes_the_place_of_its_days(
    sandbox: Sandbox, lake: Path
) -> None:
    good = [record(DAYS[0], number) for number in range(10)]
    lines = [*encode(good), b"<html>", b"[1]"]
    put_archive(sandbox.workspace, "message", "daily", DAYS[0], lines)
    run(sandbox, lake)
    roll_up(sandbox.workspace, "message", "2025-03")
    sandbox.requests.clear()
    assert run(sandbox, lake).outcome == "done"
    assert downloads(sandbox) == []
    counted = "SELECT period, record_count, rows, unreadable FROM _archives"
    assert rows(lake, counted) == [("monthly", 52, 50, 2)]


def test_a_line_of_many_megabytes_arrives_whole(sandbox: Sandbox, lake: Path) -> None:
    put(sandbox.workspace, DAYS[0], [record(DAYS[0], 0), record(DAYS[0], 1, text="long " * 900_000)])
    assert run(sandbox, lake).outcome == "done"
    assert_true(sandbox, lake, *DAYS)


def test_what_a_dead_sync_left_of_files_that_nobody_wants_is_removed(sandbox: Sandbox, lake: Path) -> None:
    run(sandbox, lake)
    old = lake / "spool" / "archives.message-daily-2024-01-01-0f.gz"
    part = lake / "spool" / "archives.message-daily-2024-01-01-0f.gz.0.jsonl"
    for file in (old, part):
        file.write_bytes(b"left")
    run(sandbox, lake)
    assert not old.exists()
    assert not part.exists()


# -- helpers --


def record(day: str, number: int, *, text: str = "Hello") -> Row:
    """A message as an archive has it."""
    return {
        "id": int(day.replace("-", "")) * 1000 + number, "uuid": None, "broadcast": None,
        "contact": {"uuid": PERSON, "name": "Ana"}, "urn": "tel:+250788000001", "channel": None, "flow": None,
        "direction": "in", "type": "text", "status": "handled", "visibility": "visible", "attachments": [],
        "labels": [], "text": text, "sent_on": None, "created_on": f"{day}T08:00:00.{number:06}+00:00",
        "modified_on": f"{day}T09:00:00+00:00",
    }  # fmt: skip


def encode(records: list[Row]) -> list[bytes]:
    return [json.dumps(one).encode() for one in records]


def put(workspace: Any, day: str, records: list[Row]) -> None:
    put_archive(workspace, "message", "daily", day, encode(records))


def spoil(sandbox: Sandbox, *days: str) -> None:
    """Let the store fail for the files of these days."""
    names = {day.replace("-", "") for day in days}

    def before_file(name: str) -> None:
        bad = any(day in name for day in names)
        sandbox.faults = Faults(script={"files": ["error" if bad else "ok"]})

    sandbox.before_file = before_file


def run(
    sandbox: Sandbox,
    lake: Path,
    *,
    patience: float = 0,
    since: datetime | None = None,
    full: bool = False,
    accept_deletions: bool = False,
    archives: ArchiveChoice = ArchiveChoice(),  # noqa: B008  # frozen
) -> StreamResult:
    settings = load_settings(
        url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0, patience=patience
    )
    options = Options(since, full, accept_deletions=accept_deletions, archives=archives)
    return sync(settings, ["archives"], options).streams[0]


def downloads(sandbox: Sandbox) -> list[Any]:
    return [seen for seen in sandbox.requests if seen.endpoint == "files"]


def change(lake: Path, sql: str) -> None:
    with Lake.create(lake) as opened:
        opened.commit(lambda connection: connection.execute(sql))


def rows(lake: Path, query: str) -> list[tuple[Any, ...]]:
    with Lake.open(lake) as opened:
        return opened.rows(query)


def loaded(lake: Path) -> set[str]:
    """The days whose files are in the lake, by its account and by its rows."""
    days = {day for (day,) in rows(lake, "SELECT start_date::VARCHAR FROM _archives")}
    assert {day for (day,) in rows(lake, "SELECT DISTINCT archived_in::VARCHAR FROM messages")} == days
    return days


def assert_true(sandbox: Sandbox, lake: Path, *days: str) -> None:
    """The live messages are the records of the files of these days."""
    listed = [row for row in sandbox.workspace.rows("archives") if row["start_date"] in days]
    records = [json.loads(line) for row in listed for line in read_archive(sandbox.workspace, row)]
    with Lake.open(lake) as opened, opened.connection() as connection:
        assert_same("messages", stored_rows(connection, "messages"), expected_union("messages", [], records, []))
