"""Months that are over, read whole: complete, repaired, once, and gone on with after an interruption."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.months import Month, month_range
from pipeline.reading.batches import Batches
from pipeline.reading.progress import Quiet
from pipeline.reading.spool import Spool
from pipeline.results import StreamResult, Tally
from pipeline.settings import load_settings
from pipeline.streams import STREAMS
from pipeline.syncing.backfill import backfill, closed_months
from pipeline.syncing.sync import choose
from sandbox import (
    Faults,
    Sandbox,
    SeenRequest,
    Workspace,
    archive_old_rows,
    generate,
    read_archive,
)
from tests import sessions
from tests.cases import cases
from tests.commands import Ended, access, run, run_apart, start, together
from tests.lakes import LANGUAGES, column, rows, stored
from tests.truth import assert_same, expected_union
from tests.workspaces import keep_days
from warehouse import Lake

Row = dict[str, Any]

LARGE = ("messages", "runs")
ON = {"messages": "created_on", "runs": "modified_on"}
KEY = {"messages": "id", "runs": "uuid"}
THIS = Month.of(datetime.now(UTC))
LAST = THIS.plus(-1)  # the API shows all of it, on every day of the year
OLD = THIS.plus(-6)  # only archives have it


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """Nine months in monthly archives, 90 days in the API, and two days in between in daily archives."""
    with generate(messages=1500, seed=7) as generated:
        yield keep_days(generated, 2)


# -- whole --


@pytest.mark.parametrize("back", cases(pytest.param(3, id="of both"), long=[
    pytest.param(1, id="of the API"), pytest.param(6, id="of an archive file")]))  # fmt: skip
def test_a_closed_month_on_an_empty_lake_is_all_that_api_and_archives_have_of_it(
    sandbox: Sandbox, lake: Path, back: int
) -> None:
    month = THIS.plus(-back)
    results = fill(sandbox, lake, month)
    assert {result.outcome for result in results} == {"done"}
    for stream in LARGE:
        assert_true(sandbox.workspace, lake, stream, month)


def test_all_months_together_and_a_sync_of_the_open_one_are_the_whole_workspace(sandbox: Sandbox, lake: Path) -> None:
    fill(sandbox, lake, *month_range(THIS.plus(-4), LAST))
    now_sync(sandbox, lake, *LARGE)
    for stream in LARGE:
        assert_true(sandbox.workspace, lake, stream, *month_range(THIS.plus(-4), THIS))


@pytest.mark.long
def test_a_month_read_again_changes_nothing(sandbox: Sandbox, lake: Path) -> None:
    months = [OLD, THIS.plus(-3)]
    fill(sandbox, lake, *months)
    before = {stream: dump(lake, stream) for stream in LARGE}
    sandbox.requests.clear()
    for result in fill(sandbox, lake, *months):
        tally = result.tally
        assert (tally.rows_new, tally.rows_changed, tally.rows_deleted) == (0, 0, 0), result.stream
    assert {stream: dump(lake, stream) for stream in LARGE} == before
    assert not [seen for seen in sandbox.requests if seen.endpoint == "files"]


# -- repaired --


def test_what_changed_or_vanished_in_a_closed_month_without_a_date_to_tell_it_is_repaired_and_nothing_else(
    sandbox: Sandbox, lake: Path
) -> None:
    workspace = sandbox.workspace
    now_sync(sandbox, lake, "archives", *LARGE)
    mine = {stream: [row for row in workspace.rows(stream) if row[ON[stream]][:7] == str(LAST)] for stream in LARGE}
    texts, gone, blank = mine["messages"][3:9], mine["messages"][20:27], mine["messages"][40:43]
    for row in texts:
        workspace.put("messages", {**row, "status": "failed", "text": "changed"})
    for row in mine["runs"][:4]:
        workspace.put("runs", {**row, "exit_type": "interrupted", "responded": not row["responded"]})
    workspace.delete("messages", [row["id"] for row in gone])
    workspace.delete("messages", [row["id"] for row in blank], soft=True)
    elsewhere = next(row for row in workspace.rows("messages") if row["created_on"][:7] == str(THIS.plus(-2)))
    workspace.delete("messages", [elsewhere["id"]])
    before = {stream: dump(lake, stream) for stream in LARGE}

    results = fill(sandbox, lake, LAST)
    assert [(result.stream, result.outcome, result.tally.rows_new, result.tally.rows_changed,
             result.tally.rows_deleted) for result in results] == [
        ("archives", "done", 0, 0, 0), ("messages", "done", 0, 6, 10),
        ("archives", "done", 0, 0, 0), ("runs", "done", 0, 4, 0),
    ]  # fmt: skip
    deleted = {str(row["id"]) for row in (*gone, *blank)}
    assert column(lake, "SELECT id::VARCHAR FROM messages WHERE deleted_on IS NOT NULL") == deleted
    touched = {"messages": deleted | {str(row["id"]) for row in texts}, "runs": {r["uuid"] for r in mine["runs"][:4]}}
    for stream in LARGE:
        after = dump(lake, stream)
        assert {key for key in after if after[key] != before[stream][key]} == touched[stream]
        assert_true(workspace, lake, stream, *month_range(THIS.plus(-13), THIS), besides={str(elsewhere["id"])})


def test_a_message_that_is_back_when_it_is_asked_for_by_itself_stays_alive(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    now_sync(sandbox, lake, "messages")
    row = next(row for row in workspace.rows("messages") if row["created_on"][:7] == str(LAST))
    workspace.delete("messages", [row["id"]])
    sandbox.after_page = lambda endpoint: workspace.put("messages", row) and None
    assert fill(sandbox, lake, LAST, stream="messages")[-1].tally.rows_deleted == 0
    assert_true(workspace, lake, "messages", *month_range(THIS.plus(-4), THIS), archives=False)


@pytest.mark.long
def test_a_month_that_the_api_shows_in_part_only_marks_nothing_as_deleted(lake: Path) -> None:
    with (
        generate(messages=600, seed=3, archives=False, now=datetime(2025, 6, 15, 12, tzinfo=UTC)) as workspace,
        Sandbox(workspace, requests_per_hour=0) as sandbox,
    ):
        workspace.offer("archives")
        now_sync(sandbox, lake, *LARGE)
        before = {stream: dump(lake, stream).keys() for stream in LARGE}
        archive_old_rows(workspace, date(2025, 3, 21))  # from the API into files
        results = fill(sandbox, lake, Month(2025, 3), Month(2025, 4))
        assert {(result.outcome, result.tally.rows_deleted) for result in results} == {("done", 0)}
        for stream in LARGE:
            assert live(lake, stream) == before[stream]
            records = archived(workspace, stream, Month(2025, 3))
            keys = {str(record[KEY[stream]]) for record in records}
            assert keys
            in_files = column(lake, f"SELECT {KEY[stream]}::VARCHAR FROM {stream} WHERE archived_in IS NOT NULL")
            assert in_files == keys


# -- interrupted --


@pytest.mark.parametrize("how", cases("it is stopped", long=["the rate limit is used up"]))
@pytest.mark.long
def test_a_month_of_many_rows_goes_on_where_it_was_each_time_that(
    sandbox: Sandbox, lake: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    workspace = sandbox.workspace
    for day, number in ((12, 1000), (19, 400), (26, 400)):
        workspace.add("messages", number, at=LAST.start.replace(day=day, hour=9))
    now_sync(sandbox, lake, "messages")
    monkeypatch.setattr("pipeline.reading.windows.SLICE_ROWS", 300)
    mine = sorted((row for row in workspace.rows("messages") if row["created_on"][:7] == str(LAST)),
                  key=lambda row: str(row["created_on"]))  # fmt: skip
    for row in mine[::50]:
        workspace.put("messages", {**row, "text": "changed"})
    gone = {str(mine[place]["id"]) for place in range(7, len(mine), 150)}  # of each slice, also of those interrupted
    workspace.delete("messages", gone)

    outcomes: list[str] = []
    while outcomes[-1:] != ["done"]:
        outcomes.append(fill_pages(sandbox, lake, how, 2 if len(outcomes) < 3 else 99))
    assert set(outcomes) == {"done", "stopped" if how == "it is stopped" else "waiting"}
    assert len(outcomes) == 4
    assert_true(workspace, lake, "messages", *month_range(THIS.plus(-4), THIS), archives=False)
    assert column(lake, "SELECT id::VARCHAR FROM messages WHERE deleted_on IS NOT NULL") == gone


def fill_pages(sandbox: Sandbox, lake: Path, how: str, pages: int) -> str:
    """Backfill until so many pages of messages are answered; the outcome."""
    if how == "it is stopped":
        stop, left = threading.Event(), iter(range(pages - 1, -1, -1))
        sandbox.after_page = lambda endpoint: stop.set() if endpoint == "messages" and not next(left) else None
        return fill(sandbox, lake, LAST, stream="messages", stop=stop)[-1].outcome
    sandbox.faults = Faults(script={"messages": ["ok"] * pages + ["throttle"]}, throttle_seconds=600)
    result = fill(sandbox, lake, LAST, stream="messages", longest_wait=60)[-1]
    assert result.go_on_in == (600 if result.outcome == "waiting" else None)
    return result.outcome


def test_a_month_that_fails_ends_the_backfill_and_the_months_before_it_stay(sandbox: Sandbox, lake: Path) -> None:
    sandbox.faults = Faults(script={"messages": ["ok", "forbidden"]})
    results = fill(sandbox, lake, OLD, THIS.plus(-5), LAST, stream="messages")
    assert [result.outcome for result in results] == ["done", "done", "done", "failed"]
    assert_true(sandbox.workspace, lake, "messages", OLD, besides=keys_of(sandbox.workspace, "messages", THIS.plus(-5)))


# -- several processes --


@pytest.mark.long
def test_a_backfill_and_a_live_sync_at_once_bring_every_row_once(sandbox: Sandbox, lake: Path) -> None:
    settings = {**access(sandbox), "RAPIDLAKE_LAKE": str(lake), "RAPIDLAKE_BATCH_PAGES": "1"}
    both = [("backfill", LAST, "--stream", "messages"), ("sync", *LARGE)]
    processes = [start(*words, **settings) for words in both]
    said = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    order = ["month" if seen.params.get("after", "").startswith(str(LAST)) else "sync" for seen in listed(sandbox)]
    assert {"month", "sync"} == set(order)
    for stream in LARGE:
        assert_true(sandbox.workspace, lake, stream, *month_range(THIS.plus(-4), THIS), archives=stream == "none")


def test_rows_that_two_writers_add_at_the_same_moment_stand_once(sandbox: Sandbox, lake: Path, tmp_path: Path) -> None:
    page = sandbox.workspace.rows("messages")[:40]
    file = tmp_path / "page.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in page), encoding="utf-8")
    both = threading.Event()
    merged: list[str] = []

    def add(name: str) -> None:
        def before_commit(connection: object) -> None:
            merged.append(name)
            if len(merged) == 2:
                both.set()
            both.wait(1)  # the other one must not come so far while this one has not committed

        with Lake.create(lake) as opened:
            spool = Spool(opened.spool, name, full_pages=200)
            Batches(opened, STREAMS["messages"].table, spool, Tally()).load([file], before_commit)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add, ("one", "two")))
    assert sorted(merged) == ["one", "two"]
    assert_same("messages", stored(lake, "messages"), expected_union("messages", page, [], LANGUAGES))


@pytest.mark.long
def test_two_backfills_of_one_month_at_once_bring_every_row_once(sandbox: Sandbox, lake: Path) -> None:
    words = ("backfill", OLD, LAST, "--stream", "messages", "--lake", lake, "--json")
    ended = together(*[partial(run_apart, *words, **access(sandbox))] * 2)
    assert [one.code for one in ended] == [0, 0]
    assert sum(one.facts["streams"][0]["rows_new"] for one in ended) > 0
    assert_true(sandbox.workspace, lake, "messages", OLD, LAST)


# -- the command --


def test_the_command_reads_all_months_up_to_one_and_tells_machines_how_each_part_ended(
    sandbox: Sandbox, lake: Path
) -> None:
    words = ("backfill", THIS.plus(-7), "--to", OLD, "--stream", "runs", "--lake", lake, "--json")
    ended = run(*words, **access(sandbox))
    assert ended.code == 0
    assert [(one["stream"], one["outcome"]) for one in ended.facts["streams"]] == [
        ("archives", "done"), ("runs", "done"), ("archives", "done"), ("runs", "done"),
    ]  # fmt: skip
    assert_true(sandbox.workspace, lake, "runs", THIS.plus(-7), OLD)
    assert stored(lake, "messages") == {}


def test_wrong_months_are_told_in_one_sentence() -> None:
    expected = {
        ("2026-13",): "'2026-13' is no month: write it like 2026-07.",
        ("July",): "'July' is no month: write it like 2026-07.",
        (): "Name the months to read, e.g. `rapidlake backfill 2026-05 --to 2026-07`.",
        (THIS,): f"{THIS} is not over yet: `rapidlake sync` keeps it up to date.",
        (LAST, "--to", THIS): f"{THIS} is not over yet: `rapidlake sync` keeps it up to date.",
        ("2026-05", "--to", "2026-04"): "2026-04 is before 2026-05: give the earlier month first.",
        ("2026-04", "2026-05", "--to", "2026-06"):
            "--to takes one month before it, the first: name either months, or the first and --to.",
    }  # fmt: skip
    settings = {"RAPIDPRO_URL": "http://127.0.0.1:9", "RAPIDPRO_TOKEN": "token"}
    ended = [run("backfill", *words, **settings) for words in expected]
    for one, sentence in zip(ended, expected.values(), strict=True):
        assert (one.code, one.out, one.err) == (2, "", f"rapidlake: {sentence}\n")
    assert not Path("lake").exists()


def test_months_are_named_one_by_one_or_by_the_first_and_the_last() -> None:
    assert closed_months(["2026-05", "2024-12"]) == [Month(2026, 5), Month(2024, 12)]
    assert closed_months(["2025-11"], "2026-02") == [Month(2025, 11), Month(2025, 12), Month(2026, 1), Month(2026, 2)]
    assert closed_months([str(LAST)], str(LAST)) == [LAST]


# -- waiting --


def test_a_sync_that_must_wait_too_long_ends_well_with_what_it_read_and_the_next_one_goes_on(
    sandbox: Sandbox, lake: Path
) -> None:
    settings = {**access(sandbox), "RAPIDLAKE_LAKE": str(lake), "RAPIDLAKE_LONGEST_WAIT": "5"}
    sandbox.faults = Faults(script={"messages": ["ok", "ok", "throttle"]}, throttle_seconds=600)
    waited: Ended = run("sync", "messages", "labels", "--json", **settings)
    outcomes = {one["stream"]: one for one in waited.facts["streams"]}
    assert (waited.code, waited.facts["failed"], outcomes["labels"]["outcome"]) == (0, False, "done")
    assert (outcomes["messages"]["outcome"], outcomes["messages"]["requests"]) == ("waiting", 3)
    assert outcomes["messages"]["message"].startswith("The rate limit is used up for 10 minutes")
    newest = sorted(sandbox.workspace.rows("messages"), key=lambda row: str(row["created_on"]), reverse=True)
    assert live(lake, "messages") == {str(row["id"]) for row in newest[:499]}  # the row at a page's edge came twice
    sandbox.faults = Faults()
    sandbox.requests.clear()
    assert run("sync", "messages", **settings).code == 0
    assert listed(sandbox)[0].params["before"] == newest[498]["created_on"]
    assert_true(sandbox.workspace, lake, "messages", *month_range(THIS.plus(-4), THIS), archives=False)


# -- helpers --


def fill(
    sandbox: Sandbox,
    lake: Path,
    *months: Month,
    stream: str | None = None,
    stop: threading.Event | None = None,
    longest_wait: float | None = None,
) -> list[StreamResult]:
    settings = load_settings(
        url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, patience=1, longest_wait=longest_wait
    )
    names = [name for name in LARGE if stream in (None, name)]
    if stop:
        return backfill(settings, choose(names), months, Quiet(), stop=stop).streams
    return sessions.backfill(settings, names, months)


def now_sync(sandbox: Sandbox, lake: Path, *streams: str) -> None:
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0, patience=1)
    assert {one.outcome for one in sessions.sync(settings, streams).streams} == {"done"}


def listed(sandbox: Sandbox) -> list[SeenRequest]:
    """The answered requests for a page of messages; not those for a single one."""
    return [
        seen
        for seen in sandbox.requests
        if (seen.endpoint, seen.status) == ("messages", 200) and "id" not in seen.params
    ]


def archived(workspace: Workspace, stream: str, *months: Month) -> list[Row]:
    """The records of a stream's archives of these months."""
    names = {str(month) for month in months}
    wanted = [row for row in workspace.rows("archives")
              if f"{row['archive_type']}s" == stream and row["start_date"][:7] in names]  # fmt: skip
    return [json.loads(line) for row in wanted for line in read_archive(workspace, row)]


def keys_of(workspace: Workspace, stream: str, *months: Month) -> set[str]:
    return {str(record[KEY[stream]]) for record in archived(workspace, stream, *months)}


def assert_true(
    workspace: Workspace,
    lake: Path,
    stream: str,
    *months: Month,
    archives: bool = True,
    besides: set[str] = frozenset(),
) -> None:
    """The lake's live rows are those of API and archives in these months; `besides` are not looked at."""
    names = {str(month) for month in months}
    api = [row for row in workspace.rows(stream) if row[ON[stream]][:7] in names]
    records = archived(workspace, stream, *months) if archives else []
    expected = expected_union(stream, api, records, LANGUAGES)
    assert expected
    found = {key: row for key, row in stored(lake, stream).items() if key not in besides}
    assert_same(stream, found, expected)


def dump(lake: Path, stream: str) -> dict[str, tuple[Any, ...]]:
    """Key → the whole row, the lake's own columns too."""
    found = rows(lake, f"SELECT {KEY[stream]}::VARCHAR, * FROM {stream}")
    assert len({row[0] for row in found}) == len(found)
    return {row[0]: row[1:] for row in found}


def live(lake: Path, stream: str) -> set[object]:
    return column(lake, f"SELECT {KEY[stream]}::VARCHAR FROM {stream} WHERE deleted_on IS NULL")
