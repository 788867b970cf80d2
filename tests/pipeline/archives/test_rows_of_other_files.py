"""A message is deleted that is in no listing and in no listed file, whichever file that is, and whenever it is read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest

from pipeline.months import Month
from pipeline.proof.checks import checks_of
from pipeline.proof.statuses import stream_statuses
from pipeline.reading.reader import ArchiveChoice, Options
from pipeline.streams import STREAMS
from sandbox import (
    Faults,
    Workspace,
    archive_old_rows,
    generate,
    put_empty_archive,
    remove_archive,
)
from tests.cases import cases
from tests.pipeline.archives.records import JULY, JUNE, MAY, as_listed, assert_true, broken, put, record
from tests.pipeline.scene import Scene, differences

ACCEPTING = Options(accept_deletions=True)


# -- in the file of another month --


@pytest.mark.parametrize("created", cases("2026-05-31T23:59:59.999999", long=["2026-07-01T00:00:00"]))
@pytest.mark.parametrize(
    "late",
    cases(JUNE, long=[None, MAY, JULY]),
    ids=lambda late: f"the file of {late} late",
)
def test_a_message_in_the_file_of_another_month_is_alive_in_whichever_order_they_are_loaded(
    created: str, late: str | None, scene: Scene
) -> None:
    """The second time, each file is written anew without it, and only then it is gone."""
    odd = record(9, created)
    files = {MAY: [record(1, "2026-05-10")], JUNE: [record(2, "2026-06-10"), odd], JULY: [record(3, "2026-07-10")]}
    scene.workspace.put("messages", as_listed(odd))
    scene.sync("messages")
    scene.workspace.delete("messages", [9])  # purged
    for start, records in files.items():
        if start != late:
            put(scene, start, records)
    scene.sync("archives", "messages", options=Options(revisit_now=True))
    if late:
        put(scene, late, files[late])
        scene.sync("archives", "messages")
    assert_true(scene, 9)
    assert differences(scene.verify("messages")) == {}

    put(scene, JUNE, files[JUNE][:1])
    scene.sync("archives", "messages", options=ACCEPTING)
    assert_true(scene)
    assert scene.column("SELECT id FROM messages WHERE deleted_on IS NOT NULL") == {9}
    assert differences(scene.verify("messages")) == {}


def test_a_message_that_a_file_may_have_which_cannot_be_loaded_is_not_believed_deleted(scene: Scene) -> None:
    scene.session.client.patience = 0
    for number in range(1, 13):
        scene.workspace.put("messages", as_listed(record(number, f"2026-05-{number + 9}")))
    scene.workspace.put("messages", as_listed(record(30, "2026-08-10")))
    scene.sync("messages")
    scene.workspace.delete("messages", list(range(1, 13)))
    put(scene, "2026-01-01", [record(40, "2026-01-10")])
    put(scene, MAY, [record(number, f"2026-05-{number + 9}") for number in range(1, 12)])
    put(scene, JUNE, [record(20, "2026-06-10")])
    scene.sandbox.before_file = lambda name: broken(scene, "20260101" in name or "20260601" in name)
    for _ in range(2):
        assert scene.sync("archives", "messages", options=Options(revisit_now=True))["archives"].outcome == "failed"
        assert scene.column("SELECT id FROM messages WHERE deleted_on IS NOT NULL") == set()
    assert ("messages", "alive") not in differences(scene.verify("messages"))

    scene.sandbox.before_file = lambda name: broken(scene, "20260101" in name)
    result = scene.sync("archives")["archives"]
    assert (result.outcome, result.tally.rows_deleted) == ("failed", 1), "a file of long before keeps nobody waiting"
    scene.sandbox.before_file = None
    scene.sandbox.faults = Faults()
    assert scene.sync("archives")["archives"].outcome == "done"
    assert_true(scene)


def test_the_day_of_a_message_that_a_file_may_have_which_was_not_read_is_not_proven(scene: Scene) -> None:
    archived_since_the_sync(scene)
    result = scene.verify("messages")
    assert (result.complete, result.results[0].outcome, differences(result)) == (False, "suspicious", {})
    assert (result.results[0].message or "").startswith("1 row that the server lists no longer may be in archive")
    assert "true" not in result.conclusion
    assert proven(scene) == [True, False, True]
    scene.sync("archives", "messages")
    result = scene.verify("messages")
    assert (result.complete, differences(result), proven(scene)) == (True, {}, [True, True, True])
    assert scene.column("SELECT id FROM messages WHERE deleted_on IS NOT NULL") == {9}


@pytest.mark.parametrize("rotate", cases(False, long=[True]))
def test_a_verification_that_repairs_loads_the_files_that_may_have_what_is_gone(rotate: bool, scene: Scene) -> None:
    archived_since_the_sync(scene)
    for _ in range(10 if rotate else 1):
        result = scene.verify("messages", repair=True, rotate=rotate)
        assert (result.complete, differences(result)) == (True, {}), "what was gone is marked as its file is loaded"
    assert scene.column("SELECT id FROM messages WHERE deleted_on IS NOT NULL") == {9}
    assert_true(scene)


@pytest.mark.long
def test_a_file_that_cannot_be_loaded_leaves_a_verification_that_repairs_in_doubt(scene: Scene) -> None:
    archived_since_the_sync(scene)
    scene.session.client.patience = 0
    scene.sandbox.before_file = lambda name: broken(scene, True)
    result = scene.verify("messages", repair=True)
    assert (result.complete, proven(scene)) == (False, [True, False, True])
    assert scene.column("SELECT id FROM messages WHERE deleted_on IS NOT NULL") == set()


def archived_since_the_sync(scene: Scene) -> None:
    """One message of May is gone, and after the sync a file of May was listed, which does not have it."""
    for number, day in ((1, 10), (2, 10), (3, 11), (9, 11), (4, 12)):
        scene.workspace.put("messages", as_listed(record(number, f"2026-05-{day}")))
    scene.sync("messages")
    scene.workspace.delete("messages", [9])
    put(scene, MAY, [record(1, "2026-05-10")])


@pytest.mark.parametrize("how", cases("verify", long=["sync", "month"]))
def test_a_list_of_files_that_cannot_be_read_is_told_where_a_message_is_gone(how: str, scene: Scene) -> None:
    for number in range(1, 7):
        scene.workspace.put("messages", as_listed(record(number, "2026-05-10")))
    scene.sync("messages")
    scene.workspace.delete("messages", [6])
    put(scene, MAY, [record(1, "2026-05-10")])
    [listed] = scene.workspace.rows("archives")
    scene.workspace.put("archives", listed | {"start_date": "May"})
    if how == "verify":
        verified = scene.verify("messages", repair=True)
        assert (verified.complete, proven(scene)) == (False, [False, False, False])
        result = verified.results[0]
    elif how == "sync":
        result = scene.sync("messages", options=Options(full=True))["messages"]
    else:
        result = scene.fill("messages", Month(2026, 5))
    assert (result.outcome, result.tally.rows_deleted) == ("suspicious", 0)
    assert "the list of files cannot be read" in (result.message or "")


def test_a_file_before_the_date_of_the_sync_keeps_nobody_waiting(scene: Scene) -> None:
    scene.workspace.put("messages", as_listed(record(9, "2026-06-11")))
    scene.sync("messages")
    scene.workspace.delete("messages", [9])
    put(scene, MAY, [record(1, "2026-05-10")])
    put(scene, JUNE, [record(number, "2026-06-10") for number in range(10, 20)])
    scene.sync("archives", options=Options(since=datetime(2026, 6, 1, tzinfo=UTC)))
    assert scene.column("SELECT id FROM messages WHERE deleted_on IS NOT NULL") == {9}
    assert scene.sync("archives")["archives"].tally.files == 0


def test_a_message_that_a_file_of_months_before_has_too_is_alive_when_its_own_is_written_anew_without_it(
    scene: Scene,
) -> None:
    odd = record(9, "2026-06-10")
    put(scene, "2026-02-01", [record(1, "2026-02-10"), odd])
    put(scene, JUNE, [record(2, "2026-06-10"), odd])
    scene.sync("archives", "messages")
    put(scene, JUNE, [record(2, "2026-06-10")])
    scene.sync("archives", "messages", options=ACCEPTING)
    assert differences(scene.verify("messages", repair=True)) == {}
    assert_true(scene, 9)


@pytest.mark.parametrize("how", ["no file", "a file without lines"])
def test_what_a_file_had_is_gone_once_it_is_listed_without_records(how: str, scene: Scene) -> None:
    put(scene, MAY, [record(number, "2026-05-10") for number in range(1, 8)])
    put(scene, JUNE, [record(9, "2026-06-10")])
    scene.sync("archives", "messages")
    if how == "no file":
        put_empty_archive(scene.workspace, "message", "monthly", JUNE)
    else:
        put(scene, JUNE, [])
    scene.sync("archives", "messages")
    assert_true(scene)
    assert scene.column("SELECT id FROM messages WHERE deleted_on IS NOT NULL") == {9}
    assert differences(scene.verify("messages")) == {}
    put(scene, JUNE, [record(9, "2026-06-10")])
    scene.sync("archives", "messages")
    assert_true(scene, 9)


# -- where the list says nothing --


@pytest.mark.parametrize("command", ["sync", "verify"])
def test_a_list_without_any_file_where_there_were_some_says_nothing_of_a_message(command: str, scene: Scene) -> None:
    recent = (datetime.now(UTC) - timedelta(days=5)).strftime("%Y-%m-%dT%H:%M:%S")
    for number in range(1, 8):
        scene.workspace.put("messages", as_listed(record(number, recent)))
    put(scene, MAY, [record(20, "2026-05-10")])
    scene.sync("archives", "messages")
    scene.workspace.delete("messages", [7])  # archived and purged, in a file that nobody lists for a moment
    for row in scene.workspace.rows("archives"):
        remove_archive(scene.workspace, row)
    if command == "sync":
        scene.sync("messages", options=Options(revisit_now=True))
    else:
        scene.verify("messages", repair=True)
    assert scene.column("SELECT id FROM messages WHERE deleted_on IS NOT NULL") == set()
    scene.sync("messages", options=Options(revisit_now=True, accept_deletions=True))
    assert scene.column("SELECT id FROM messages WHERE deleted_on IS NOT NULL") == {7}


def test_a_month_is_not_proven_while_the_lake_lacks_a_file_of_it(scene: Scene) -> None:
    scene.workspace.put("messages", as_listed(record(9, "2026-08-10")))
    put(scene, MAY, [record(1, "2026-05-10")])
    scene.sync("archives", "messages")
    for number, start in ((2, "2026-04-01"), (3, JUNE)):
        put(scene, start, [record(number, f"{start[:7]}-10")])
    scene.sync("archives", options=Options(archives=ArchiveChoice(load=False)))
    scene.verify("messages")
    lacking = {"2026-04": True, "2026-05": False, "2026-06": True, "2026-07": False}
    assert months_unproven(scene) == lacking
    scene.sync("archives")
    assert months_unproven(scene) == dict.fromkeys(lacking, False)


def test_a_file_that_is_listed_without_an_md5_is_told_as_not_in_the_lake(scene: Scene) -> None:
    scene.workspace.put("messages", as_listed(record(9, "2026-08-10")))
    put(scene, MAY, [record(1, "2026-05-10"), record(2, "2026-05-10")])
    [listed] = scene.workspace.rows("archives")
    scene.workspace.put("archives", listed | {"hash": None})
    assert scene.sync("archives", "messages")["archives"].tally.files == 0
    for rotate in (False, True):
        result = scene.verify("messages", repair=True, rotate=rotate)
        assert (result.failed, differences(result)) == (True, {("messages", "unarchived"): 2})
        assert result.conclusion.startswith("2 differences were not all repaired")
    [example] = [example for one in result.findings for example in one.examples]
    assert example.startswith("2 records are of archive files that are listed without an MD5: they cannot be proven")
    checked = next(check for check in checks_of(STREAMS["messages"]) if check.name == "archives_counted").ask(
        scene.session.lake, STREAMS["messages"], datetime.now(UTC)
    )
    assert (checked.passed, checked.facts["lacking"]) == (False, 2)
    assert "listed without an MD5 and cannot be proven" in checked.said


# -- in a daily file beside the monthly one --


@pytest.mark.parametrize("listed", cases(False, long=[True]), ids=["purged", "also in the API"])
@pytest.mark.parametrize("day", cases("2026-05-01", long=["2026-05-31"]))
@pytest.mark.parametrize("first", cases("both", long=["monthly", "daily"]))
def test_a_message_in_a_day_that_is_listed_beside_its_month_is_alive_until_the_day_is_gone(
    first: str, day: str, listed: bool, scene: Scene
) -> None:
    odd = record(9, f"{day}T12:00:00")
    scene.workspace.put("messages", as_listed(odd))
    scene.sync("messages")
    if not listed:
        scene.workspace.delete("messages", [9])
    others = [record(number, "2026-05-10") for number in range(1, 8)]
    for period in ("monthly", "daily") if first == "both" else (first, {"monthly": "daily"}.get(first, "monthly")):
        put(scene, day if period == "daily" else MAY, [odd, others[0]] if period == "daily" else others, period)
        if first != "both" or period == "daily":
            scene.sync("archives", "messages", options=Options(revisit_now=True))
    assert scene.sync("archives")["archives"].tally.files == 0, "what is loaded is loaded once"
    assert_true(scene, 9)
    assert differences(scene.verify("messages")) == {}

    if listed:
        scene.workspace.delete("messages", [9])
    for row in scene.workspace.rows("archives"):
        if row["period"] == "daily":
            remove_archive(scene.workspace, row)
    scene.sync("archives", "messages")
    assert_true(scene)
    assert scene.column("SELECT id FROM messages WHERE deleted_on IS NOT NULL") == {9}
    assert scene.rows("SELECT period, rows FROM _archives") == [("monthly", 7)]
    assert differences(scene.verify("messages")) == {}


@pytest.mark.parametrize("rewritten", cases("daily", long=["monthly"]))
def test_a_message_that_two_listed_files_have_is_alive_when_one_of_them_is_written_anew_without_it(
    rewritten: str, scene: Scene
) -> None:
    both = [record(number, "2026-05-10") for number in range(1, 8)]
    put(scene, MAY, both)
    put(scene, "2026-05-10", both, "daily")
    scene.sync("archives")
    put(scene, MAY if rewritten == "monthly" else "2026-05-10", both[1:], rewritten)
    scene.sync("archives")
    assert_true(scene, *range(1, 8))
    put(scene, MAY, both[1:])
    put(scene, "2026-05-10", both[1:], "daily")
    scene.sync("archives")
    scene.sync("archives")
    assert_true(scene, *range(2, 8))
    assert differences(scene.verify("messages")) == {}


# -- archived while it is read --


@pytest.mark.parametrize("how", cases("verify", long=["sync"]))
def test_what_the_server_archives_and_purges_while_messages_are_read_is_not_deleted(
    how: str, scene_of: Callable[[Workspace], Scene]
) -> None:
    workspace = generate(messages=700, contacts=10, seed=7, archives=False)
    workspace.offer("archives")
    scene = scene_of(workspace)
    scene.sync("archives", "messages")
    gone = [row["id"] for row in workspace.rows("messages")][300:302]
    workspace.delete("messages", gone)
    until = datetime.now(UTC) - timedelta(days=85)

    def archive(endpoint: str) -> None:
        if endpoint == "messages":
            scene.sandbox.after_page = None
            archive_old_rows(workspace, until.date())

    scene.sandbox.after_page = archive
    if how == "sync":
        scene.sync("messages", options=Options(full=True))
    else:
        assert scene.verify("messages", repair=True).complete
    deleted = scene.column("SELECT id FROM messages WHERE deleted_on IS NOT NULL")
    assert deleted <= set(gone), "what is purged is in a file that was listed before"
    scene.sync("archives", "messages", options=Options(revisit_now=True))
    scene.verify("messages", repair=True)
    assert_true(scene)
    assert scene.column("SELECT id FROM messages WHERE deleted_on IS NOT NULL") == set(gone)
    assert differences(scene.verify("messages")) == {}


# -- helpers --


def proven(scene: Scene) -> list[bool]:
    """Whether each of three days of May is noted as proven."""
    spans = scene.rows("SELECT coalesce(first_day, DATE '0001-01-01'), last_day FROM _proven WHERE stream = 'messages'")
    return [any(first <= date(2026, 5, day) <= last for first, last in spans) for day in (10, 11, 12)]


def months_unproven(scene: Scene) -> dict[str, bool]:
    """Each month up to July → whether `status` tells that some of its messages were never proven."""
    [status] = [one for one in stream_statuses(scene.session.lake) if one["stream"] == "messages"]
    months = cast(list[dict[str, Any]], status["months"])
    return {one["month"]: one["proven_on"] is None for one in months[::-1] if one["month"] <= JULY[:7]}
