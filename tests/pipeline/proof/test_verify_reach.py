"""What a verification compares: no less and no more than the lake should have, to the microsecond."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import pytest
import time_machine

from pipeline.reading.reader import Options
from sandbox import Workspace, generate
from sandbox.workspace.dates import iso, to_micros
from tests.cases import cases
from tests.pipeline.scene import Scene, differences
from warehouse.proof.findings import KINDS, Finding

DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
ON = {"messages": "created_on", "contacts": "modified_on", "runs": "modified_on"}
FIRST = date(2025, 3, 1)


@pytest.fixture
def scene(scene_of: Callable[[Workspace], Scene]) -> Scene:
    return scene_of(generate(messages=100, contacts=60, seed=7, archives=False))


@pytest.mark.parametrize("stream", cases("runs", long=["contacts", "tickets"]))
def test_a_row_that_changed_at_the_end_of_what_was_read_is_wrong_and_one_a_tick_later_is_pending(
    scene: Scene, stream: str
) -> None:
    workspace = scene.workspace
    workspace.add(stream, 5)
    scene.sync(stream)
    end = scene.read_up_to(stream)
    changed = workspace.rows(stream)[:4]
    for row, at in zip(changed, (end - TICK, end, end + TICK, end + DAY), strict=True):
        workspace.put(stream, {**row, "modified_on": iso(to_micros(at))})
    result = scene.verify(stream)
    assert differences(result) == {(stream, "stale"): 2}
    assert sum(one.pending for one in result.findings) == 2
    told = {example for one in result.findings for example in one.examples}
    assert told == {f"stale {row['uuid']}" for row in changed[:2]}


def test_what_moves_by_itself_is_no_difference_and_every_other_column_is(scene: Scene) -> None:
    workspace = scene.workspace
    scene.sync("groups", "labels")
    group, label = workspace.rows("groups")[0], workspace.rows("labels")[0]
    workspace.put("groups", {**group, "count": group["count"] + 7})
    workspace.put("labels", {**label, "count": label["count"] + 7})
    result = scene.verify("groups", "labels")
    assert (differences(result), result.failed) == ({}, False)
    assert sum(one.compared for one in result.findings) == workspace.count("groups") + workspace.count("labels")
    workspace.put("groups", {**group, "name": "Another"})
    assert differences(scene.verify("groups", "labels")) == {("groups", "stale"): 1}


@pytest.mark.parametrize("stream", cases("tickets", long=["labels"]))
def test_a_row_that_only_one_reading_lacked_is_no_difference(scene: Scene, stream: str) -> None:
    workspace = scene.workspace
    workspace.add(stream, 5)
    scene.sync(stream)
    row = workspace.rows(stream)[2]
    workspace.delete(stream, [row["uuid"]])
    scene.sandbox.after_page = lambda endpoint: workspace.put(stream, row) and None
    assert differences(scene.verify(stream, repair=True)) == {}
    scene.assert_true(stream)
    scene.sandbox.after_page = None
    workspace.delete(stream, [row["uuid"]])
    result = scene.verify(stream, repair=True)
    assert differences(result) == {(stream, "alive"): 1}
    assert sum(one.compared for one in result.findings) == workspace.count(stream)
    assert differences(scene.verify(stream)) == {}
    scene.assert_true(stream)


def test_an_endpoint_that_is_gone_where_the_lake_has_rows_proves_nothing(scene: Scene) -> None:
    workspace = scene.workspace
    scene.sync("optins")
    rows = workspace.count("optins")
    workspace.offered.discard("optins")
    for rotate in (False, True):
        result = scene.verify("optins", rotate=rotate)
        assert (result.failed, [one.outcome for one in result.results]) == (True, ["suspicious"])
        assert f"does not have the endpoint where the lake has {rows} row" in (result.results[0].message or "")
        assert scene.rows("FROM _proven WHERE stream = 'optins'") == []
    scene.write("UPDATE optins SET deleted_on = now()")
    result = scene.verify("optins")
    assert (result.failed, [one.outcome for one in result.results]) == (False, ["not offered"])
    assert scene.rows("SELECT rows FROM _proven WHERE stream = 'optins'") == [(0,)]


@pytest.mark.long
def test_a_row_that_outlived_its_contact_is_told_and_mended_though_the_server_shows_none_so_old(scene: Scene) -> None:
    workspace = scene.workspace
    scene.sync("contacts", "messages")
    row = workspace.rows("messages")[0]
    victim = row["contact"]["uuid"]
    workspace.delete_contacts([victim])
    scene.sync("contacts", "messages")
    aged = f"UPDATE messages SET deleted_on = NULL, created_on = created_on - INTERVAL 200 DAY WHERE id = {row['id']}"
    scene.write(aged)
    assert differences(scene.verify("messages")) == {("messages", "alive"): 1}
    result = scene.verify("messages", repair=True)
    assert [(one.outcome, one.tally.rows_deleted) for one in result.results] == [("done", 1)]
    died = f"SELECT deleted_on FROM contacts WHERE uuid = '{victim}'"
    assert scene.rows(f"SELECT deleted_on FROM messages WHERE id = {row['id']}") == scene.rows(died)
    assert differences(scene.verify("messages")) == {}


@pytest.mark.parametrize("stream", cases("contacts", long=["messages", "runs"]))
@pytest.mark.long
def test_a_lake_is_verified_from_the_date_that_it_is_complete_from_or_a_later_one(scene: Scene, stream: str) -> None:
    workspace, on = scene.workspace, ON[stream]
    dates = sorted(datetime.fromisoformat(row[on]) for row in workspace.rows(stream))
    complete, later = dates[len(dates) // 3], dates[2 * len(dates) // 3]
    scene.sync(stream, options=Options(complete))
    scene.sync(stream)
    name = "id" if stream == "messages" else "uuid"
    kept = scene.rows(f"SELECT {name}::VARCHAR FROM {stream} WHERE deleted_on IS NULL ORDER BY {on}")
    lost = [key for (key,) in (kept[0], kept[-1])]
    scene.write(f"DELETE FROM {stream} WHERE {name}::VARCHAR IN ('{lost[0]}', '{lost[1]}')")
    dead = [] if stream != "contacts" else [
        datetime.fromisoformat(row[on]) for row in workspace.rows("contacts_deleted")
    ]  # fmt: skip
    for since, reach, missing in (
        (None, complete, lost),
        (dates[0], complete, lost),
        (later, later, lost[1:]),
        (complete + TICK, complete + TICK, lost[1:]),
    ):
        result = scene.verify(stream, since=since)
        assert sum(one.compared for one in result.findings) == sum(at >= reach for at in [*dates, *dead])
        assert differences(result) == {(stream, "missing"): len(missing)}
        assert {example for one in result.findings for example in one.examples} == {f"missing {key}" for key in missing}


@pytest.mark.parametrize(
    ("here", "there"),
    cases((-30, 0), (-30, -30), long=[(0, -30), (30, 0)]),
    ids=lambda days: f"{days} days",
)
def test_what_a_clock_that_is_wrong_hides_is_told_and_not_proven(scene: Scene, here: int, there: int) -> None:
    scene.sync("messages")
    scene.workspace.ahead = (there - here) * DAY
    with time_machine.travel(datetime.now(UTC) + here * DAY, tick=True):
        scene.sync("labels", "groups")  # two answers tell the server's time
        end = scene.session.client.now()
        result = scene.verify("messages")
    [one] = result.results
    assert (result.failed, one.outcome) == (True, "suspicious")
    assert f"nothing that is dated after {end:%Y-%m-%d %H:}" in (one.message or "")
    reason = "the lake was written up to" if here == there else "this machine's clock shows"
    assert f"was compared, because {reason}" in (one.message or "")
    assert scene.rows("SELECT max(last_day) FROM _proven") == [(end.date() - DAY,)]


def test_clocks_that_differ_by_minutes_are_no_fault(scene: Scene) -> None:
    scene.sync("messages")
    scene.sandbox.date_of = lambda endpoint, now: now - timedelta(minutes=10)
    scene.sync("labels")
    result = scene.verify("messages")
    assert (result.failed, [one.outcome for one in result.results]) == (False, ["done"])
    assert scene.rows("SELECT max(last_day) FROM _proven") == [(datetime.now(UTC).date(),)]


def test_only_archive_files_that_the_lake_should_have_are_missed(scene: Scene) -> None:
    complete = datetime.combine(FIRST + 40 * DAY, time(), UTC)
    scene.sync("messages")
    listed = [
        # kind, period, first day, records, hash, deleted, loaded, missed
        ("message", "monthly", FIRST, 100, "a", False, False, False),  # ends before the date
        ("message", "daily", FIRST + 39 * DAY, 20, "b", False, False, False),  # ends with the day before it
        ("message", "daily", FIRST + 40 * DAY, 3, "c", False, False, True),
        ("message", "daily", FIRST + 41 * DAY, 4, "d", True, False, False),
        ("message", "daily", FIRST + 42 * DAY, 0, "e", False, False, False),
        ("message", "daily", FIRST + 43 * DAY, 5, None, False, False, True),
        ("run", "daily", FIRST + 43 * DAY, 6, "f", False, False, False),
        ("message", "monthly", date(2025, 5, 1), 0, "g", False, True, False),
        ("message", "daily", date(2025, 5, 9), 50, "h", False, False, True),  # beside its month
        ("message", "daily", date(2025, 6, 9), 7, "i", False, False, True),
    ]
    for kind, period, day, records, digest, deleted, loaded, _ in listed:
        known = f"'{digest}'" if digest else "NULL"
        scene.write(
            "INSERT INTO archives (archive_type, period, start_date, record_count, size, hash, deleted_on, synced_on) "
            f"VALUES ('{kind}', '{period}', '{day}', {records}, 1, {known}, {'now()' if deleted else 'NULL'}, now())"
        )
        if loaded:
            load(scene, day, records, digest)
    scene.write(f"INSERT INTO _cursor VALUES ('archives', 'rows', now(), '{complete}', NULL, NULL, NULL, now())")
    result = scene.verify("messages")
    missed: Counter[date] = Counter()
    for _, _, day, records, *_, wanted in listed:
        missed[day.replace(day=1)] += records if wanted else 0
    assert {one.month: one.unarchived for one in result.findings if one.unarchived} == +missed
    assert {example.partition(":")[0] for one in result.findings for example in one.examples} == {
        "3 records of archive files are not loaded",
        "7 records of archive files are not loaded",
        "50 records of archive files are not loaded",
        "5 records are of archive files that are listed without an MD5",
    }


def test_archived_rows_that_differ_in_number_are_told_beside_files_that_are_not_loaded(scene: Scene) -> None:
    scene.sync("messages")
    day, another = date(2025, 3, 9), date(2025, 4, 9)
    for first in (day, another):
        load(scene, first, 5, "a", period="daily")
        chosen = f"SELECT id FROM messages WHERE archived_in IS NULL ORDER BY id LIMIT {3 if first == day else 7}"
        scene.write(f"UPDATE messages SET archived_in = '{first}' WHERE id IN ({chosen})")
    scene.write(
        "INSERT INTO archives (archive_type, period, start_date, record_count, size, hash, synced_on) "
        f"VALUES ('message', 'daily', '{day + DAY}', 4, 1, 'b', now()), "
        f"('message', 'daily', '{another + DAY}', 4, 1, 'b', now())"
    )
    found = {one.month: one for one in scene.verify("messages").findings if one.unarchived}
    assert {month: one.unarchived for month, one in found.items()} == {date(2025, 3, 1): 6, date(2025, 4, 1): 4}
    assert found[date(2025, 3, 1)].examples == (
        "2 of 5 archived rows differ in number",
        "4 records of archive files are not loaded",
    )


def test_what_api_and_archives_say_of_a_month_is_told_together() -> None:
    names = ("compared", *KINDS, "pending")
    one = Finding("messages", FIRST, *range(1, 9), examples=tuple("abcdefgh"))
    other = Finding("messages", FIRST, *range(10, 90, 10), examples=tuple("ijkl"))
    both = one + other
    assert [getattr(both, name) for name in names] == [11, 22, 33, 44, 55, 66, 77, 88]
    assert both.examples == tuple("abcdefghij")
    assert both.differences == sum(getattr(both, kind) for kind in KINDS)


def test_ten_examples_are_told_of_a_month(scene: Scene) -> None:
    scene.sync("labels", "groups")
    scene.workspace.add("labels", 12)
    [finding] = scene.verify("labels").findings
    added = sorted(
        {row["uuid"] for row in scene.workspace.rows("labels")} - scene.column("SELECT uuid::VARCHAR FROM labels")
    )
    assert (finding.missing, finding.compared) == (12, scene.workspace.count("labels"))
    assert finding.examples == tuple(f"missing {key}" for key in added[:10])


def load(scene: Scene, day: date, records: int, digest: str | None, *, period: str = "monthly") -> None:
    """Note an archive file of messages as loaded."""
    facts = f"'message', '{period}', '{day}', '{digest}', 1, {records}, {records}, 0, 'file.jsonl.gz', now(), true"
    scene.write(f"INSERT INTO _archives VALUES ({facts}, NULL)")
