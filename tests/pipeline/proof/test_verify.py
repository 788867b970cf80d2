"""Verifying a lake that nothing happened to: true, whatever the server has archived, purged, changed or cannot tell."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from sandbox import Faults, Sandbox, archive_old_rows, generate
from tests.cases import cases
from tests.pipeline.proof.verifying import (
    ARCHIVED_DAYS,
    DAMAGES,
    GHOST,
    LARGE,
    bring,
    date_of,
    differences,
    do,
    first_day,
    look,
    noon,
    roll_up,
    rows,
    write,
)

PURGED = ["channel_events", "broadcasts", "flow_starts", "resthook_events"]


# -- true --


def test_nothing_is_found_in_a_lake_that_followed_every_change(changing: Sandbox, new: Path) -> None:
    workspace = changing.workspace
    bring(changing, new)
    writers = [row["contact"]["uuid"] for row in workspace.rows("messages")[9:]]
    addressed = [contact["uuid"] for row in workspace.rows("broadcasts") for contact in row["contacts"]]
    workspace.delete_contacts([writers[0], addressed[-1]])  # they leave broadcasts, which no date shows
    for stream in ("contacts", "runs", "tickets", "flow_starts", "labels", "groups"):
        workspace.edit(stream, 3)
    for stream in LARGE:
        workspace.add(stream, 3)
    workspace.edit("messages", [row["id"] for row in workspace.rows("messages")[:3]])
    field = workspace.rows("fields")[0]
    workspace.put("fields", {**field, "key": "shoe_size", "name": "Shoe size", "label": "Shoe size"})
    for contact in workspace.rows("contacts"):
        workspace.put("contacts", {**contact, "fields": {**contact["fields"], "shoe_size": "42"}})
    bring(changing, new)
    result = look(changing, new)
    assert (differences(result), result.failed, result.uncounted) == ({}, False, [])
    assert sum(one.pending for one in result.findings) == 0
    assert {one.stream for one in result.findings} >= {*LARGE, "tickets", "labels", "groups", "fields", "broadcasts"}


@pytest.mark.long
def test_nothing_is_found_after_the_servers_archiver_was_at_work(changing: Sandbox, new: Path) -> None:
    workspace, streams = changing.workspace, ["archives", *LARGE]
    bring(changing, new, *streams)
    for last, purge in ((3, False), (6, True)):
        archive_old_rows(workspace, first_day(workspace) + timedelta(days=ARCHIVED_DAYS + last), purge=purge)
        roll_up(workspace)
        assert not look(changing, new, *LARGE).failed, "archived since the last sync"
        bring(changing, new, *streams)
        assert differences(look(changing, new, *LARGE)) == {}
    stored = rows(new, "SELECT DISTINCT period FROM _archives ORDER BY 1")
    assert ("monthly",) in stored


@pytest.mark.long
def test_what_lies_before_the_date_of_the_sync_is_not_missing_and_what_lies_after_it_is_compared(
    changing: Sandbox, new: Path
) -> None:
    workspace = changing.workspace
    days = [first_day(workspace) + timedelta(days=number) for number in range(2, ARCHIVED_DAYS)]
    within = noon(next(day for day in days if day.day > 2))  # a day before it has a file of the same month
    oldest = workspace.rows("contacts")[-1]["uuid"]
    workspace.edit("contacts", [oldest], at=within - timedelta(hours=1))  # else it depends on the hour whether one is
    bring(changing, new, "archives", *LARGE, since=within)
    bring(changing, new, "archives", *LARGE)
    assert rows(new, "SELECT count(*) > 0 FROM messages WHERE archived_in IS NOT NULL") == [(True,)]
    wanted = {stream: [row for row in workspace.rows(stream) if date_of(stream, row) >= within] for stream in LARGE}
    assert 0 < len(wanted["contacts"]) < workspace.count("contacts")
    assert differences(look(changing, new, *LARGE)) == {}
    done = [do(new, DAMAGES[name]) for name in ("a message removed", "a run twice", "a contact's name")]
    result = look(changing, new, *LARGE)
    assert differences(result) == Counter(found for found, _ in done)
    shown = [one for one in result.findings if one.stream == "contacts"]
    dead = [row for row in workspace.rows("contacts_deleted") if date_of("contacts", row) >= within]
    assert sum(one.compared for one in shown) == len(wanted["contacts"]) + len(dead)


def test_rows_that_the_server_has_purged_are_no_difference(changing: Sandbox, new: Path) -> None:
    bring(changing, new, *PURGED)
    for stream in PURGED:
        assert changing.workspace.count(stream)
        changing.workspace.store.execute(f"DELETE FROM {stream} WHERE rowid % 2 = 0")
    assert differences(look(changing, new, *PURGED)) == {}


# -- while the server changes --


def test_rows_that_changed_after_the_last_sync_are_pending(changing: Sandbox, new: Path) -> None:
    workspace = changing.workspace
    bring(changing, new, *LARGE)
    for stream in LARGE:
        workspace.edit(stream, 4)
        workspace.add(stream, 3)
    result = look(changing, new, *LARGE)
    assert (differences(result), result.failed) == ({}, False)
    pending = {stream: sum(one.pending for one in result.findings if one.stream == stream) for stream in LARGE}
    assert pending == {stream: 7 for stream in LARGE}
    workspace.delete_contacts([workspace.rows("contacts")[-1]["uuid"], *workspace.add("contacts", 1)])
    assert differences(look(changing, new, "contacts")) == {}


@pytest.mark.parametrize(
    ("stream", "number"),
    cases(("contacts", 5), ("messages", 60), long=[("contacts", 60), ("runs", 60)]),
)
def test_rows_that_change_while_they_are_read_are_no_differences(new: Path, stream: str, number: int) -> None:
    with (
        generate(messages=600, contacts=600, runs=600, seed=8, archives=False) as workspace,
        Sandbox(workspace, requests_per_hour=0) as sandbox,
    ):
        bring(sandbox, new, stream)
        # Pages begin with the oldest contacts and runs, and with the newest messages.
        last = [row.get("uuid") if stream != "messages" else row["id"] for row in workspace.rows(stream)]
        waiting = [last[-number:] if stream == "messages" else last[:number]]
        sandbox.after_page = lambda endpoint: waiting and workspace.edit(endpoint, waiting.pop()) and None
        result = look(sandbox, new, stream, repair=True)
        assert (waiting, differences(result), result.failed) == ([], {}, False)
        assert rows(new, f"SELECT count(*) FROM {stream} WHERE deleted_on IS NULL") == [(workspace.count(stream),)]


@pytest.mark.long
def test_a_server_that_changes_with_every_page_makes_no_differences(changing: Sandbox, new: Path) -> None:
    bring(changing, new, *LARGE, "tickets")
    changing.faults = Faults(edits=18, seed=3)
    assert differences(look(changing, new, *LARGE, "tickets")) == {}


def test_a_stream_of_which_nothing_could_be_compared_is_not_true(changing: Sandbox, new: Path) -> None:
    bring(changing, new, "runs")
    changing.workspace.edit("runs", changing.workspace.count("runs"))
    result = look(changing, new, "runs")
    assert (differences(result), result.failed) == ({}, True)
    assert "none of the" in (result.results[0].message or "") and result.results[0].outcome == "suspicious"
    assert result.conclusion.startswith("No differences in what was read, but not everything was;")


@pytest.mark.parametrize("stream", cases("broadcasts", long=["resthook_events"]))
def test_a_list_that_is_empty_where_the_lake_has_what_no_age_explains_is_not_true(
    changing: Sandbox, new: Path, stream: str
) -> None:
    bring(changing, new, stream)
    changing.workspace.store.execute(f"DELETE FROM {stream}")
    result = look(changing, new, stream)
    assert (differences(result), result.failed) == ({}, True)
    assert (result.results[0].message or "").startswith("the server lists no rows where the lake has ")


@pytest.mark.long
def test_a_definition_whose_flow_changed_after_the_last_sync_is_pending(changing: Sandbox, new: Path) -> None:
    bring(changing, new, "flows", "definitions")
    changed = "', '".join(changing.workspace.edit("flows", 2))
    write(new, f"UPDATE definitions SET revision = 0 WHERE uuid IN ('{changed}')")
    result = look(changing, new, "definitions")
    assert (differences(result), sum(one.pending for one in result.findings)) == ({}, 2)
    assert not result.failed


@pytest.mark.long
def test_a_contact_whose_deletion_a_repair_brings_leaves_broadcasts_with_it(changing: Sandbox, new: Path) -> None:
    bring(changing, new, "contacts", "broadcasts")
    addressed = [contact["uuid"] for row in changing.workspace.rows("broadcasts") for contact in row["contacts"]]
    changing.workspace.delete_contacts(addressed[-1:])
    look(changing, new, "contacts", repair=True)
    assert differences(look(changing, new, "contacts", "broadcasts")) == {}


# -- what cannot be read --


def test_a_row_of_the_server_that_cannot_be_read_is_told_and_hides_what_is_gone(changing: Sandbox, new: Path) -> None:
    bring(changing, new, "labels")
    label = changing.workspace.rows("labels")[0]
    changing.workspace.put("labels", {**label, "uuid": "rubbish"})
    bring(changing, new, "labels")
    assert rows(new, "SELECT count(*) FROM _quarantine") == [(1,)]
    unreadable = {("labels", None, "unreadable"): 1}
    result = look(changing, new, "labels")
    assert (differences(result), result.failed) == (unreadable, True)
    assert result.conclusion.startswith("The lake is not true: 1 row cannot be read by this version (see _quarantine)")
    do(new, DAMAGES["a label made up"])
    assert differences(look(changing, new, "labels", repair=True)) == unreadable
    assert rows(new, "SELECT deleted_on FROM labels WHERE uuid = '" + GHOST + "'") == [(None,)]


@pytest.mark.long
def test_a_row_that_cannot_be_read_the_second_time_hides_what_is_gone(changing: Sandbox, new: Path) -> None:
    workspace = changing.workspace
    bring(changing, new, "labels")
    label = workspace.rows("labels")[0]
    do(new, DAMAGES["a label made up"])
    changing.after_page = lambda endpoint: workspace.put(endpoint, {**label, "uuid": "rubbish"}) and None
    assert differences(look(changing, new, "labels", repair=True)) == {("labels", None, "unreadable"): 1}
    assert rows(new, f"SELECT deleted_on FROM labels WHERE uuid = '{GHOST}'") == [(None,)]
