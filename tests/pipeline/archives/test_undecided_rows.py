"""Rows that are in no listing, and may be in a file that was not read: nobody says that they are deleted, or alive."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.reading.reader import ArchiveChoice, Options
from sandbox import Faults, put_archive, remove_archive
from sandbox.workspace.dates import iso, to_micros
from tests.pipeline.archives.records import MAY, as_listed, put, record
from tests.pipeline.scene import Scene, differences, now

DELETED = "SELECT id FROM messages WHERE deleted_on IS NOT NULL"


@pytest.mark.parametrize("repair", [False, True])
def test_where_a_server_has_no_list_of_files_an_old_message_that_is_gone_is_in_doubt_until_somebody_decides(
    scene: Scene, repair: bool
) -> None:
    scene.workspace.offered.discard("archives")
    for number, days in ((1, 120), (2, 120), (3, 121), (9, 121), (4, 5), (8, 5)):
        scene.workspace.put("messages", as_listed(record(number, f"{now() - timedelta(days=days):%Y-%m-%d}")))
    scene.sync("messages", "archives")
    scene.workspace.delete("messages", [8, 9])
    result = scene.verify("messages", repair=repair)
    assert (result.failed, result.results[0].outcome) == (True, "suspicious")
    assert (result.results[0].message or "").startswith(
        "1 row that the server lists no longer may be in archive files, of which this server has no list: "
        "if they were deleted, run `rapidlake verify messages --repair --accept-deletions`"
    )
    assert scene.column(DELETED) == ({8} if repair else set())
    scene.verify("messages", repair=True, accept=True)
    assert scene.column(DELETED) == {8, 9}
    assert differences(scene.verify("messages")) == {}


def test_a_verification_that_repairs_loads_no_files_of_before_the_date_that_the_lake_begins_with(scene: Scene) -> None:
    for number in (1, 2, 3, 9):
        scene.workspace.put("messages", as_listed(record(number, f"2026-10-{number + 9}")))
    scene.sync("messages", options=Options(since=datetime(2026, 10, 1, tzinfo=UTC)))
    scene.workspace.delete("messages", [9])
    put(scene, MAY, [record(20, "2026-05-10")])
    put(scene, "2026-09-01", [record(30, "2026-09-10")])
    put(scene, "2026-10-01", [record(1, "2026-10-10")])
    assert scene.verify("messages", repair=True).complete
    assert scene.column("SELECT start_date::VARCHAR FROM _archives") == {"2026-10-01"}
    assert scene.column(DELETED) == {9}
    assert scene.sync("archives")["archives"].tally.files == 0


def test_a_run_that_goes_on_while_it_is_verified_is_no_doubt_because_of_a_file_that_was_not_read(
    scene_with_runs: Scene,
) -> None:
    scene, workspace = scene_with_runs, scene_with_runs.workspace
    scene.sync("contacts", "runs")
    runs = workspace.rows("runs")
    unread = f"{now() - timedelta(days=91):%Y-%m-%d}"
    put_archive(
        workspace,
        "run",
        "daily",
        unread,
        [json.dumps(runs[0] | {"uuid": "11111111-0000-4000-8000-000000000001"}).encode()],
    )
    scene.sync("archives", options=Options(archives=ArchiveChoice(load=False)))
    oldest = min(runs, key=lambda row: row["modified_on"])
    workspace.put("runs", oldest | {"modified_on": iso(to_micros(now() + timedelta(seconds=30)))})
    result = scene.verify("runs")
    assert result.results[0].outcome == "done", result.results[0].message
    assert differences(result) == {("runs", "unarchived"): 1}


def test_a_list_of_files_that_is_empty_for_good_has_recent_messages_read_again_no_more_often(scene: Scene) -> None:
    recent = (now() - timedelta(days=5)).strftime("%Y-%m-%dT%H:%M:%S")
    for number in range(1, 8):
        scene.workspace.put("messages", as_listed(record(number, recent)))
    put(scene, MAY, [record(20, "2026-05-10")])
    scene.sync("archives", "messages")
    for row in scene.workspace.rows("archives"):
        remove_archive(scene.workspace, row)
    scene.workspace.delete("messages", [7])
    for feed in ("revisit 48 h", "revisit 192 h"):
        scene.age("messages", feed, timedelta(days=2))
    for outcome, read in (("suspicious", 6), ("done", 0)):
        result = scene.sync("messages")["messages"]
        assert (result.outcome, result.tally.rows_read) == (outcome, read)
    assert scene.column(DELETED) == set()


def test_what_a_stopped_verification_had_no_time_to_ask_for_again_is_no_difference(scene: Scene) -> None:
    for number in range(1, 8):
        scene.workspace.put("messages", as_listed(record(number, "2026-10-10")))
    scene.sync("messages")
    scene.workspace.delete("messages", [7])
    scene.sandbox.after_page = lambda endpoint: scene.session.client.stop.set()
    result = scene.verify("messages", repair=True)
    assert (result.results[0].outcome, differences(result)) == ("stopped", {})
    scene.sandbox.after_page = None
    scene.session.client.stop.clear()
    assert differences(scene.verify("messages", repair=True)) == {("messages", "alive"): 1}


def test_a_verification_that_has_to_wait_for_the_rate_limit_while_it_loads_files_is_gone_on_with(scene: Scene) -> None:
    for number in (1, 2, 3, 9):
        scene.workspace.put("messages", as_listed(record(number, "2026-05-10")))
    scene.sync("messages")
    scene.workspace.delete("messages", [9])
    put(scene, MAY, [record(1, "2026-05-10")])
    scene.session.client.longest_wait = 10
    scene.sandbox.faults = Faults(script={"archives": ["ok", "throttle"]}, throttle_seconds=60)
    result = scene.verify("messages", repair=True).results[0]
    assert (result.outcome, (result.go_on_in or 0) > 10) == ("waiting", True)
    assert scene.column(DELETED) == set()
