"""API and archives together are the workspace's whole history: every row once, in its latest state, read once."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.reading.reader import Options
from pipeline.results import StreamResult
from pipeline.settings import load_settings
from sandbox import (
    Sandbox,
    SeenRequest,
    Workspace,
    archive_old_rows,
    generate,
    put_archive,
    put_empty_archive,
    read_archive,
    roll_up,
)
from tests.commands import access, killed, start
from tests.lakes import LANGUAGES, new_lake, reading, rows
from tests.processes import Process
from tests.sessions import sync
from tests.truth import assert_same, expected_union, stored_rows
from tests.workspaces import keep_days

Row = dict[str, Any]

NOW = datetime(2025, 6, 15, 12, tzinfo=UTC)
FIRST = date(2025, 3, 18)  # the first day that the API shows
ALL = ("archives", "messages", "runs")
ONE, TWO, THREE, FOUR = (f"{number}0000000-0000-4000-8000-000000000000" for number in (1, 2, 3, 4))


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """600 messages of 90 days; nothing is archived yet."""
    with generate(messages=600, seed=3, archives=False, now=NOW) as generated:
        generated.offer("archives")
        yield generated


# -- complete, and once --


def test_everything_that_is_older_than_the_apis_window_arrives_and_is_downloaded_once(lake: Path) -> None:
    with generate(messages=300, seed=5) as workspace, Sandbox(keep_days(workspace, 6), requests_per_hour=0) as sandbox:
        result = run(sandbox, lake, *ALL)
        assert {one.outcome for one in result.values()} == {"done"}
        assert_true(workspace, lake)
        archived = sum(row["record_count"] for row in workspace.rows("archives"))
        assert archived > workspace.count("messages")
        assert rows(lake, "SELECT sum(rows)::BIGINT FROM _archives") == [(archived,)]
        sandbox.requests.clear()
        again = run(sandbox, lake, *ALL)
        assert not downloads(sandbox)
        assert sum(one.tally.rows_new + one.tally.rows_changed + one.tally.rows_deleted for one in again.values()) == 0


def test_rows_that_api_and_archives_share_are_the_same_in_whichever_order_they_come(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    workspace = sandbox.workspace
    pattern = workspace.rows("messages")[-1]
    more = {"urn": "telegram:77#tee_tee", "quick_replies": [{"text": "Yes"}], "uuid": ONE}
    workspace.put("messages", {**pattern, "id": 9_000_001, **more})
    archive_old_rows(workspace, FIRST + timedelta(days=2), purge=False)
    old = [row["id"] for row in workspace.rows("messages")[-9:]]
    workspace.edit("messages", old[:3], changes={"status": "failed"})
    workspace.edit("messages", old[3:6], changes={"status": "failed"}, at=datetime(2025, 1, 1, tzinfo=UTC))
    workspace.edit("runs", [row["uuid"] for row in workspace.rows("runs")[-3:]])

    orders = [[ALL], [("archives",), ("messages", "runs")], [("messages", "runs"), ("archives",)]]
    tables = []
    for number, order in enumerate(orders):
        lake = new_lake(tmp_path / str(number))
        for streams in order:
            assert {one.outcome for one in run(sandbox, lake, *streams).values()} == {"done"}
        assert_true(workspace, lake)
        tables.append([rows(lake, f"SELECT * EXCLUDE synced_on FROM {name} ORDER BY ALL") for name in ALL[1:]])
    assert tables[0] == tables[1] == tables[2]


@pytest.mark.long
def test_a_sync_that_is_killed_again_and_again_ends_with_the_truth(sandbox: Sandbox, lake: Path) -> None:
    archive_old_rows(sandbox.workspace, FIRST + timedelta(days=6))
    for number in (1, 3, 5):
        assert killed(sandbox, lambda: started(sandbox, lake), file=number) == -signal.SIGKILL
    assert exit_code(sandbox, lake) == 0
    assert_true(sandbox.workspace, lake)
    assert not [path for path in (lake / "spool").iterdir() if path.is_file()]


@pytest.mark.long
def test_the_exit_code_says_that_a_file_could_not_be_loaded(sandbox: Sandbox, lake: Path) -> None:
    put_archive(sandbox.workspace, "message", "daily", "2025-03-01", [], record_count=1)
    assert exit_code(sandbox, lake) == 1
    put_empty_archive(sandbox.workspace, "message", "daily", "2025-03-01")
    assert exit_code(sandbox, lake) == 0


# -- forms of other years --


def test_records_of_all_years_load_from_one_file(sandbox: Sandbox, lake: Path) -> None:
    message = {
        "contact": {"uuid": ONE, "name": "Ana"}, "urn": "tel:+250788000001", "channel": None, "direction": "in",
        "visibility": "visible", "text": "Hello", "attachments": [], "labels": [{"uuid": TWO, "name": "Urgent"}],
        "created_on": "2017-05-01T08:00:00.5Z", "sent_on": None, "broadcast": None,
    }  # fmt: skip
    messages = [
        {**message, "id": -1, "type": "inbox", "status": "handled"},
        {**message, "id": -2, "type": "flow", "status": "handled"},
        {**message, "id": -3, "type": "ivr", "status": "handled"},
        {**message, "id": -4, "type": "text", "status": "resent", "modified_on": None},
        {**message, "id": -5, "type": "text", "status": "handled", "flow": {"uuid": ONE, "name": "Poll"}, "uuid": TWO,
         "modified_on": "2017-05-01T09:00:00+00:00", "ticket_uuid": ONE},
    ]  # fmt: skip
    run_ = {
        "flow": {"uuid": ONE, "name": "Poll"}, "contact": {"uuid": ONE, "name": None}, "responded": True, "path": [],
        "created_on": "2017-05-01T08:00:00+00:00", "modified_on": "2017-05-01T09:00:00+00:00", "exited_on": None,
        "exit_type": None, "submitted_by": "ana@example.com",
    }  # fmt: skip
    age = {"name": "Age", "value": "7", "category": "Child", "node": TWO, "time": "2017-05-01T08:30:00+00:00"}
    answer = {**age, "input": "I am 7"}
    lists = [{"age": answer}, {"name": answer}, {"age": {**answer, "value": "8"}}]
    runs = [
        {**run_, "id": 1, "uuid": ONE, "values": lists, "events": []},
        {**run_, "id": 2, "uuid": TWO, "values": {"age": answer}, "submitted_by": None},
        {**run_, "id": 3, "uuid": THREE, "values": {"age": age}},
        {**run_, "id": 4, "uuid": FOUR, "values": [{"age": age}]},
    ]  # fmt: skip
    put_archive(sandbox.workspace, "message", "monthly", "2017-05-01", map(encode, messages))
    put_archive(sandbox.workspace, "run", "monthly", "2017-05-01", map(encode, runs))
    assert run(sandbox, lake, "archives")["archives"].outcome == "done"
    assert rows(lake, "SELECT * FROM _quarantine") == []
    assert rows(lake, "SELECT id, type, status FROM messages ORDER BY id DESC") == [
        (-1, "text", "handled"), (-2, "text", "handled"), (-3, "voice", "handled"), (-4, "text", "resent"),
        (-5, "text", "handled"),
    ]  # fmt: skip
    assert rows(lake, "SELECT results['age'].value FROM runs ORDER BY id") == [("8",), *[("7",)] * 3]
    run(sandbox, lake, *ALL)
    assert_true(sandbox.workspace, lake)


# -- the list changes --


@pytest.mark.long
def test_a_month_that_takes_the_place_of_its_days_is_not_loaded_again(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    archive_old_rows(workspace, FIRST + timedelta(days=3))
    put_empty_archive(workspace, "message", "daily", "2025-03-17")
    put_archive(workspace, "run", "daily", "2025-03-17", [])
    run(sandbox, lake, *ALL)
    for kind in ("message", "run"):
        roll_up(workspace, kind, "2025-03")
    sandbox.requests.clear()
    result = run(sandbox, lake, "archives")["archives"]
    assert (result.outcome, result.tally.files, downloads(sandbox)) == ("done", 0, [])
    assert rows(lake, "SELECT archive_type, period, start_date::VARCHAR, origin FROM _archives ORDER BY ALL") == [
        ("message", "monthly", "2025-03-01", "daily files"),
        ("run", "monthly", "2025-03-01", "daily files"),
    ]
    assert_true(workspace, lake)
    assert run(sandbox, lake, *ALL)["archives"].tally.counters.requests == 1


@pytest.mark.long
def test_of_a_month_that_is_listed_beside_its_days_each_row_is_accounted_for_once(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    archive_old_rows(workspace, FIRST + timedelta(days=2))
    days = {
        row["start_date"]: read_archive(workspace, row)
        for row in workspace.rows("archives")
        if row["archive_type"] == "message"
    }
    roll_up(workspace, "message", "2025-03")
    for day, lines in days.items():
        put_archive(workspace, "message", "daily", day, lines)
    assert run(sandbox, lake, "archives")["archives"].outcome == "done"
    accounted = "SELECT count(*), sum(rows)::BIGINT FROM _archives WHERE archive_type = 'message'"
    assert rows(lake, accounted) == rows(lake, f"SELECT {1 + len(days)}, count(*) FROM messages")
    assert run(sandbox, lake, "archives")["archives"].tally.files == 0


@pytest.mark.long
def test_a_month_is_loaded_where_the_lake_lacks_one_of_its_days(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    archive_old_rows(workspace, FIRST + timedelta(days=2))
    run(sandbox, lake, *ALL)
    archive_old_rows(workspace, FIRST + timedelta(days=4))
    roll_up(workspace, "message", "2025-03")
    sandbox.requests.clear()
    assert run(sandbox, lake, *ALL)["archives"].outcome == "done"
    assert [seen.path.split("_")[1] for seen in downloads(sandbox) if "message" in seen.path] == ["M20250301"]
    assert rows(lake, "SELECT period, origin FROM _archives WHERE archive_type = 'message'") == [("monthly", "file")]
    assert_true(workspace, lake)


def test_a_file_that_was_written_anew_is_loaded_anew(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    archive_old_rows(workspace, FIRST + timedelta(days=3))
    run(sandbox, lake, *ALL)
    listed = next(row for row in workspace.rows("archives") if row["archive_type"] == "message")
    lines = [encode({**json.loads(line), "uuid": ONE, "text": "anew"}) for line in read_archive(workspace, listed)]
    put_archive(workspace, "message", "daily", listed["start_date"], lines)
    sandbox.requests.clear()
    result = run(sandbox, lake, *ALL)
    assert (result["archives"].outcome, result["archives"].tally.files, len(downloads(sandbox))) == ("done", 1, 1)
    assert rows(lake, "SELECT count(*) FROM messages WHERE text = 'anew'") == [(len(lines),)]
    assert_true(workspace, lake)


@pytest.mark.parametrize("before", [(), ("archives",)], ids=["loaded together", "loaded one after the other"])
def test_a_run_that_is_in_two_files_keeps_its_latest_state_and_counts_once(
    sandbox: Sandbox, lake: Path, before: tuple[str, ...]
) -> None:
    workspace = sandbox.workspace
    archive_old_rows(workspace, FIRST + timedelta(days=2), purge=False)
    if before:
        run(sandbox, lake, *before)
    twice = [row["uuid"] for row in workspace.rows("runs")[-3:]]
    workspace.edit("runs", twice, at=datetime(2025, 4, 1, 9, tzinfo=UTC), changes={"exit_type": "expired"})
    listed = {row["start_date"] for row in workspace.rows("archives")}
    for day in (date(2025, 3, 19) + timedelta(days=number) for number in range(13)):
        if str(day) not in listed:  # nights that are no concern of this test
            for kind in ("message", "run"):
                put_empty_archive(workspace, kind, "daily", str(day))
    archive_old_rows(workspace, date(2025, 4, 2))
    assert len(records(workspace, "run")) > len({record["uuid"] for record in records(workspace, "run")})
    for streams in (("archives",), ALL):
        run(sandbox, lake, *streams)
    assert rows(
        lake, f"SELECT DISTINCT exit_type, archived_in::VARCHAR FROM runs WHERE uuid::VARCHAR IN {tuple(twice)}"
    ) == [("expired", "2025-04-01")]
    accounts = rows(lake, "SELECT start_date, rows FROM _archives WHERE archive_type = 'run' AND rows > 0 ORDER BY 1")
    stored = "SELECT archived_in, count(*) FROM runs WHERE archived_in IS NOT NULL GROUP BY ALL ORDER BY ALL"
    assert accounts == rows(lake, stored)
    assert_true(workspace, lake)


# -- what is wanted --


def test_since_leaves_older_archives_alone_and_so_does_every_later_sync(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    archive_old_rows(workspace, FIRST + timedelta(days=4))
    since = datetime.combine(FIRST + timedelta(days=2), datetime.min.time(), UTC) + timedelta(hours=9)
    days = [str(FIRST + timedelta(days=number)) for number in range(4)]
    run(sandbox, lake, "archives", since=since)
    assert loaded_days(lake) == set(days[2:])
    run(sandbox, lake, "archives")
    assert loaded_days(lake) == set(days[2:])
    run(sandbox, lake, "archives", since=since - timedelta(days=1))
    assert loaded_days(lake) == set(days[1:])
    run(sandbox, lake, "archives", since=since)
    assert loaded_days(lake) == set(days[1:])


def test_since_wants_the_month_that_it_lies_in(sandbox: Sandbox, lake: Path) -> None:
    archive_old_rows(sandbox.workspace, FIRST + timedelta(days=2))
    roll_up(sandbox.workspace, "message", "2025-03")
    run(sandbox, lake, "archives", since=datetime(2025, 3, 31, 23, tzinfo=UTC))
    assert rows(lake, "SELECT DISTINCT period FROM _archives") == [("monthly",)]


def test_archives_never_revive_what_was_deleted_with_its_contact(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    archive_old_rows(workspace, FIRST + timedelta(days=3))
    run(sandbox, lake, "contacts", *ALL)
    victim = records(workspace, "message")[0]["contact"]["uuid"]
    workspace.delete_contacts([victim])
    run(sandbox, lake, "contacts")
    mine = rows(lake, f"SELECT id, deleted_on FROM messages WHERE contact_uuid = '{victim}' ORDER BY id")
    assert mine and all(deleted for _, deleted in mine)
    for listed in workspace.rows("archives"):
        lines = [encode({**json.loads(line), "responded": True}) for line in read_archive(workspace, listed)]
        put_archive(workspace, listed["archive_type"], "daily", listed["start_date"], lines)
    assert run(sandbox, lake, "archives")["archives"].tally.files > 0
    assert rows(lake, f"SELECT id, deleted_on FROM messages WHERE contact_uuid = '{victim}' ORDER BY id") == mine
    assert rows(lake, f"SELECT count(*) FROM runs WHERE contact_uuid = '{victim}' AND deleted_on IS NULL") == [(0,)]


# -- helpers --


def run(sandbox: Sandbox, lake: Path, *streams: str, since: datetime | None = None) -> dict[str, StreamResult]:
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0)
    result = sync(settings, streams, Options(since))
    return {stream.stream: stream for stream in result.streams}


def started(sandbox: Sandbox, lake: Path) -> Process:
    settings = {**access(sandbox), "RAPIDLAKE_LAKE": str(lake), "RAPIDLAKE_REQUESTS_PER_HOUR": "0"}
    return start("sync", *ALL, **settings)


def exit_code(sandbox: Sandbox, lake: Path) -> int:
    process = started(sandbox, lake)
    process.communicate()
    return process.returncode


def encode(record: Row) -> bytes:
    return json.dumps(record).encode()


def records(workspace: Workspace, archive_type: str) -> list[Row]:
    """What the listed archives of a type hold."""
    listed = [row for row in workspace.rows("archives") if row["archive_type"] == archive_type]
    return [json.loads(line) for row in listed for line in read_archive(workspace, row)]


def downloads(sandbox: Sandbox) -> list[SeenRequest]:
    return [seen for seen in sandbox.requests if seen.endpoint == "files"]


def loaded_days(lake: Path) -> set[object]:
    """The days of `_archives`, and whether rows are of these days only."""
    days = {day for (day,) in rows(lake, "SELECT DISTINCT start_date::VARCHAR FROM _archives")}
    assert {day for (day,) in rows(lake, "SELECT DISTINCT created_on::DATE::VARCHAR FROM messages")} <= days
    return days


def assert_true(workspace: Workspace, lake: Path) -> None:
    """Messages and runs are those of API and archives together, and the account of the files is right."""
    with reading(lake) as connection:
        for kind, stream in (("message", "messages"), ("run", "runs")):
            expected = expected_union(stream, workspace.rows(stream), records(workspace, kind), LANGUAGES)
            assert_same(stream, stored_rows(connection, stream), expected)
    for kind, stream in (("message", "messages"), ("run", "runs")):
        assert rows(lake, f"SELECT sum(rows)::BIGINT FROM _archives WHERE archive_type = '{kind}'") == rows(
            lake, f"SELECT count(*) FROM {stream} WHERE archived_in IS NOT NULL"
        )
        wrong = f"""
            SELECT start_date, rows, count(archived_in) FROM _archives LEFT JOIN {stream} ON
                CASE period WHEN 'daily' THEN archived_in = start_date
                            ELSE date_trunc('month', archived_in) = start_date END
            WHERE archive_type = '{kind}' GROUP BY ALL HAVING rows <> count(archived_in)
        """
        assert rows(lake, wrong) == []


@pytest.mark.parametrize("order", [["archives", "runs"], ["runs", "archives"]], ids=" first, then ".join)
def test_a_run_that_its_archive_names_by_id_only_is_the_apis_run_of_that_id(
    sandbox: Sandbox, lake: Path, order: list[str]
) -> None:
    known, alone = sandbox.workspace.rows("runs")[0], sandbox.workspace.rows("runs")[1]
    old = [
        {name: value for name, value in row.items() if name not in ("uuid", "start", "contact")}
        | {"contact": {"uuid": row["contact"]["uuid"], "name": None}, "exit_type": "interrupted"}
        for row in (known, alone)
    ]
    old[1] |= {"id": 2_000_000_001, "created_on": "2017-05-01T08:00:00+00:00"}
    put_archive(sandbox.workspace, "run", "monthly", "2017-05-01", map(encode, old))
    for stream in order:
        run(sandbox, lake, stream)
    assert rows(lake, "SELECT * FROM _quarantine") == []
    assert rows(lake, f"SELECT uuid::VARCHAR, exit_type, source FROM runs WHERE id = {known['id']}") == [
        (known["uuid"], "interrupted", "archive")
    ]
    assert rows(lake, "SELECT uuid::VARCHAR FROM runs WHERE id = 2000000001") == [
        ("00000000-0000-0000-0000-000077359401",)
    ]
    assert rows(lake, "SELECT count(DISTINCT uuid) = count(*) FROM runs") == [(True,)]
