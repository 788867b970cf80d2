"""Verifying a lake: true where it is true; every damage found under its name, told by its key, and mended on demand."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.proof.comparing import Verification
from pipeline.proof.verify import VerifyResult, choose_verifiable, verify
from pipeline.reading.progress import Quiet
from pipeline.reading.reader import ArchiveChoice, Options
from pipeline.settings import load_settings
from pipeline.streams import ARCHIVED, STREAMS
from pipeline.syncing.sync import choose, sync
from sandbox import Faults, Sandbox, Workspace, archive_old_rows, generate, put_archive, read_archive
from sandbox import roll_up as roll_up_month
from tests.lakes import LANGUAGES, new_lake
from tests.truth import assert_same, expected_union, stored_rows
from warehouse import Lake
from warehouse.proof.verification import KINDS

ARCHIVED_DAYS = 8
LARGE = ["contacts", "messages", "runs"]
PURGED = ["channel_events", "broadcasts", "flow_starts", "resthook_events"]
GHOST = "0f3c9a6e-5b7d-4812-a9c0-ffee0f3c9a6e"
OPENED: dict[Path, Lake] = {}


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    """Rows of 90 days, eight of them in archives, a month of which is one file; no test changes them."""
    with Sandbox(make_workspace(), requests_per_hour=0) as served:
        roll_up(served.workspace)
        yield served


@pytest.fixture(scope="module")
def synced(server: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = new_lake(tmp_path_factory.mktemp("synced") / "lake")
    bring(server, path)
    return path


@pytest.fixture
def lake(synced: Path, tmp_path: Path) -> Path:
    """A lake with all of `server`, a test's own."""
    return Path(shutil.copytree(synced, tmp_path / "lake"))


@pytest.fixture
def changing() -> Iterator[Sandbox]:
    """A workspace of a test's own; its archives are of single days."""
    with Sandbox(make_workspace(), requests_per_hour=0) as served:
        yield served


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Where the lake of `changing` will be."""
    return new_lake(tmp_path / "new")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """A lake that a test looks into is opened once, and closed in the end."""
    yield
    while OPENED:
        OPENED.popitem()[1].close()


# -- true --


def test_nothing_is_found_in_a_lake_that_followed_every_change(changing: Sandbox, new: Path) -> None:
    workspace = changing.workspace
    bring(changing, new)
    broadcast = str(workspace.rows("broadcasts"))  # deleted contacts leave broadcasts, which no date shows
    writers = [row["contact"]["uuid"] for row in workspace.rows("messages")[9:]]
    workspace.delete_contacts([next(uuid for uuid in writers if uuid not in broadcast)])
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


# -- found and mended --


@dataclass(frozen=True)
class Damage:
    """What is done to one row of the lake; `where` chooses it, `new_key` is the key of a row that is made up."""

    stream: str
    kind: str
    sql: str
    where: str = "deleted_on IS NULL"
    new_key: str | None = None


SHOWN, ARCHIVED_ROW = "deleted_on IS NULL AND archived_in IS NULL", "deleted_on IS NULL AND archived_in IS NOT NULL"
REMOVED = "DELETE FROM {stream} WHERE {row}"
DOUBLED = "INSERT INTO {stream} FROM {stream} WHERE {row}"
COPIED = "INSERT INTO {stream} SELECT * REPLACE ('{new}' AS {key}) FROM {stream} WHERE {row} LIMIT 1"
CHANGED = "UPDATE {stream} SET status = 'other' WHERE {row}"
RENAMED = "UPDATE {stream} SET name = 'Another' WHERE {row}"
REGROUPED = "UPDATE {stream} SET groups = groups[2:] WHERE {row}"
REVIVED = "UPDATE {stream} SET deleted_on = NULL WHERE {row}"
DAMAGES = {
    "a message removed": Damage("messages", "missing", REMOVED, SHOWN),
    "a contact removed": Damage("contacts", "missing", REMOVED),
    "a deleted contact removed": Damage("contacts", "missing", REMOVED, "deleted_on IS NOT NULL"),
    "a ticket removed": Damage("tickets", "missing", REMOVED),
    "a label removed": Damage("labels", "missing", REMOVED),
    "an archived message removed": Damage("messages", "unarchived", REMOVED, ARCHIVED_ROW),
    "an archived run removed": Damage("runs", "unarchived", REMOVED, ARCHIVED_ROW),
    "a message's status": Damage("messages", "stale", CHANGED, SHOWN),
    "a contact's name": Damage("contacts", "stale", RENAMED),
    "a contact's group": Damage("contacts", "stale", REGROUPED, "len(groups) > 0"),
    "a message twice": Damage("messages", "double", DOUBLED, SHOWN),
    "an archived message twice": Damage("messages", "double", DOUBLED, ARCHIVED_ROW),
    "a run twice": Damage("runs", "double", DOUBLED, SHOWN),
    "a label twice": Damage("labels", "double", DOUBLED),
    "a message made up": Damage("messages", "alive", COPIED, SHOWN, "9000000001"),
    "a run made up": Damage("runs", "alive", COPIED, SHOWN, GHOST),
    "a contact made up": Damage("contacts", "alive", COPIED, new_key=GHOST),
    "a label made up": Damage("labels", "alive", COPIED, new_key=GHOST),
    "a deleted contact alive": Damage("contacts", "alive", REVIVED, "deleted_on IS NOT NULL"),
}


def test_damages_are_found_and_mended(server: Sandbox, lake: Path) -> None:
    streams = {damage.stream: None for damage in DAMAGES.values()}
    done = [do(lake, damage, number) for number, damage in enumerate(DAMAGES.values())]
    result = look(server, lake, *streams, repair=True)
    assert (differences(result), result.failed) == (Counter(found for found, _ in done), True)
    told, rows_told = examples(result), {example for _, example in done if example}
    assert rows_told <= told and len(told - rows_told) == 2  # what archives lack is told as a number, of each stream
    assert_true(server.workspace, lake, *streams)
    again = look(server, lake, *streams)
    assert (differences(again), again.failed) == ({}, False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damage_by_itself_is_told_under_its_key_and_no_other(server: Sandbox, lake: Path, kind: str) -> None:
    damage = next(damage for damage in DAMAGES.values() if damage.kind == kind)
    found, example = do(lake, damage)
    result = look(server, lake, damage.stream)
    assert (differences(result), result.failed) == ({found: 1}, True)
    assert examples(result) == {example} if example else len(examples(result)) == 1


def test_every_damage_at_once_is_found_and_nothing_is_written_but_what_was_found(server: Sandbox, lake: Path) -> None:
    done = [do(lake, damage, number) for number, damage in enumerate(DAMAGES.values())]
    before = digests(lake)
    result = look(server, lake)
    assert differences(result) == Counter(found for found, _ in done)
    assert {example for _, example in done if example} <= examples(result)
    assert digests(lake) == before
    names = ("compared", *KINDS, "pending")
    noted = rows(lake, f"SELECT stream, month, {', '.join(names)}, examples FROM _verification ORDER BY ALL")
    told = [
        (one.stream, one.month, *(getattr(one, name) for name in names), list(one.examples)) for one in result.findings
    ]
    assert sorted(map(str, noted)) == sorted(map(str, told))
    look(server, lake, "labels")
    assert rows(lake, "SELECT count(DISTINCT run) FROM _verification WHERE stream = 'labels'") == [(2,)]


@pytest.mark.parametrize("lost", ["rows", "account", "both"])
def test_a_month_of_archives_that_is_lost_is_found_and_mended(server: Sandbox, lake: Path, lost: str) -> None:
    expected = {}
    for kind, stream in ARCHIVED.items():
        [(month, listed)] = rows(
            lake,
            f"""
            SELECT date_trunc('month', start_date)::DATE, sum(record_count)::INT FROM archives
            WHERE archive_type = '{kind}' GROUP BY ALL ORDER BY 1 LIMIT 1
            """,
        )
        of_month = f"BETWEEN '{month}' AND last_day(DATE '{month}')"
        [(stored,)] = rows(lake, f"SELECT count(*) FROM {stream.name} WHERE archived_in {of_month}")
        if lost in ("rows", "both"):
            write(lake, f"DELETE FROM {stream.name} WHERE archived_in {of_month}")
        if lost in ("account", "both"):
            write(lake, f"DELETE FROM _archives WHERE archive_type = '{kind}' AND start_date {of_month}")
        expected[stream.name, month, "unarchived"] = stored if lost == "rows" else listed
    result = look(server, lake, "messages", "runs", repair=True)
    assert differences(result) == expected
    assert len(examples(result)) == 2
    assert_true(server.workspace, lake, "messages", "runs")
    assert differences(look(server, lake, "messages", "runs")) == {}


def test_a_file_that_is_listed_with_another_content_than_was_loaded_is_found(changing: Sandbox, new: Path) -> None:
    workspace = changing.workspace
    bring(changing, new, "archives", "messages")
    file = next(row for row in workspace.rows("archives") if row["archive_type"] == "message" and row["record_count"])
    records = read_archive(workspace, file)
    put_archive(workspace, "message", "daily", file["start_date"], [*records[:-1], b"<html>"])
    settings = load_settings(url=changing.url, token=changing.token, lake=new, requests_per_hour=0)
    sync(settings, choose(["archives"]), Quiet(), options=Options(archives=ArchiveChoice(load=False)))
    month = date.fromisoformat(file["start_date"]).replace(day=1)
    found = differences(look(changing, new, "messages"))
    assert found == {("messages", month, "unarchived"): file["record_count"]}


def test_rows_that_stand_twice_and_are_wrong_twice_are_mended(server: Sandbox, lake: Path) -> None:
    for name, column in (("a label twice", "name"), ("a message twice", "status")):
        (stream, _, _), example = do(lake, DAMAGES[name])
        assert example
        write(lake, f"UPDATE {stream} SET {column} = 'other' WHERE {key_of(stream)} = '{example.split()[1]}'")
    result = look(server, lake, "messages", "labels", repair=True)
    assert sorted(kind for _, _, kind in differences(result)) == ["double", "double", "stale", "stale"]
    assert_true(server.workspace, lake, "messages", "labels")
    assert differences(look(server, lake, "messages", "labels")) == {}


def test_archived_rows_of_a_deleted_contact_that_is_alive_again_are_mended_with_it(
    changing: Sandbox, new: Path
) -> None:
    workspace, streams = changing.workspace, ["contacts", "messages"]
    victim = next(row["contact"]["uuid"] for row in archived(workspace, "messages"))
    bring(changing, new, "archives", *streams)
    workspace.delete_contacts([victim])
    bring(changing, new, "archives", *streams)
    assert_true(workspace, new, *streams)
    write(new, f"UPDATE contacts SET deleted_on = NULL WHERE uuid = '{victim}'")
    write(new, f"UPDATE messages SET deleted_on = NULL WHERE contact_uuid = '{victim}'")
    assert "alive contacts" in {f"{kind} {stream}" for stream, _, kind in differences(look(changing, new, *streams))}
    look(changing, new, *streams, repair=True)
    assert_true(workspace, new, *streams)
    assert differences(look(changing, new, *streams)) == {}


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


@pytest.mark.parametrize(("stream", "number"), [("contacts", 5), *((one, 60) for one in LARGE)])
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


def test_a_server_that_changes_with_every_page_makes_no_differences(changing: Sandbox, new: Path) -> None:
    bring(changing, new, *LARGE, "tickets")
    changing.faults = Faults(edits=18, seed=3)
    assert differences(look(changing, new, *LARGE, "tickets")) == {}


# -- what cannot be read --


def test_rows_of_the_server_that_cannot_be_read_are_no_differences_and_hide_what_is_gone(
    changing: Sandbox, new: Path
) -> None:
    bring(changing, new, "labels")
    label = changing.workspace.rows("labels")[0]
    changing.workspace.put("labels", {**label, "uuid": "rubbish"})
    bring(changing, new, "labels")
    assert rows(new, "SELECT count(*) FROM _quarantine") == [(1,)]
    assert differences(look(changing, new, "labels")) == {}
    do(new, DAMAGES["a label made up"])
    assert differences(look(changing, new, "labels", repair=True)) == {}
    assert rows(new, "SELECT deleted_on FROM labels WHERE uuid = '" + GHOST + "'") == [(None,)]


def test_a_row_that_cannot_be_read_the_second_time_hides_what_is_gone(changing: Sandbox, new: Path) -> None:
    workspace = changing.workspace
    bring(changing, new, "labels")
    label = workspace.rows("labels")[0]
    do(new, DAMAGES["a label made up"])
    changing.after_page = lambda endpoint: workspace.put(endpoint, {**label, "uuid": "rubbish"}) and None
    assert differences(look(changing, new, "labels", repair=True)) == {}
    assert rows(new, f"SELECT deleted_on FROM labels WHERE uuid = '{GHOST}'") == [(None,)]


# -- helpers --


def make_workspace() -> Workspace:
    workspace = generate(messages=600, seed=7, archives=False, statistics=True)
    workspace.offer("archives")
    archive_old_rows(workspace, first_day(workspace) + timedelta(days=ARCHIVED_DAYS))
    return workspace


def roll_up(workspace: Workspace) -> None:
    """Make one file of the oldest month's daily ones of each type."""
    for kind in ARCHIVED:
        daily = [row for row in workspace.rows("archives") if (row["archive_type"], row["period"]) == (kind, "daily")]
        roll_up_month(workspace, kind, min(row["start_date"] for row in daily)[:7])


def first_day(workspace: Workspace) -> date:
    listed = [row["start_date"] for row in workspace.rows("archives")]
    return date.fromisoformat(min(listed or [row["created_on"][:10] for row in workspace.rows("messages")]))


def date_of(stream: str, row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["created_on" if stream == "messages" else "modified_on"])


def noon(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=12)


def bring(sandbox: Sandbox, lake: Path, *streams: str, since: datetime | None = None) -> None:
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0)
    sync(settings, choose(streams), Quiet(), options=Options(since))


def look(sandbox: Sandbox, lake: Path, *streams: str, repair: bool = False) -> VerifyResult:
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0)
    return verify(settings, choose_verifiable(streams), Quiet(), asked=Verification(repair=repair))


def differences(result: VerifyResult) -> dict[tuple[str, date | None, str], int]:
    """Stream, month, kind → how many."""
    every = {(one.stream, one.month, kind): getattr(one, kind) for one in result.findings for kind in KINDS}
    return {place: number for place, number in every.items() if number}


def examples(result: VerifyResult) -> set[str]:
    return {example for one in result.findings for example in one.examples}


def key_of(stream: str) -> str:
    [key] = STREAMS[stream].table.key
    return key


def do(lake: Path, damage: Damage, number: int = 0) -> tuple[tuple[str, date | None, str], str | None]:
    """Do it to the `number`th row that it can be done to; return where it is to be found, and the example told."""
    on = getattr(STREAMS[damage.stream].strategy, "on", None)
    month = f"date_trunc('month', {on})::DATE" if on else "NULL::DATE"
    key = key_of(damage.stream)
    choice = f"SELECT {key}::VARCHAR, {month} FROM {damage.stream} WHERE {damage.where} ORDER BY {key}"
    found = rows(lake, choice)
    value, day = found[number % len(found)]
    row = f"{key} = '{value}'"
    write(lake, damage.sql.format(stream=damage.stream, key=key, row=row, new=damage.new_key))
    example = None if damage.kind == "unarchived" else f"{damage.kind} {damage.new_key or value}"
    return (damage.stream, day, damage.kind), example


def digests(lake: Path) -> list[tuple[Any, ...]]:
    """What is in every table but `_verification`."""
    tables = rows(
        lake,
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' ORDER BY 1",
    )
    names = [name for (name,) in tables if name != "_verification"]
    assert {"messages", "_sync", "_cursor", "_quarantine", "message_history"} <= set(names)
    return [(name, *rows(lake, f'SELECT count(*), sum(hash(t)) FROM "{name}" AS t')[0]) for name in names]


def archived(workspace: Workspace, stream: str) -> list[dict[str, Any]]:
    kind = STREAMS[stream].table.archive_type
    listed = [row for row in workspace.rows("archives") if row["archive_type"] == kind]
    return [json.loads(line) for row in listed for line in read_archive(workspace, row)]


def rows(lake: Path, query: str) -> list[tuple[Any, ...]]:
    return opened(lake).rows(query)


def write(lake: Path, statement: str) -> None:
    """What no part of Rapidlake does: change the lake by hand."""
    opened(lake).commit(lambda connection: connection.execute(statement) and None)


def opened(lake: Path) -> Lake:
    if lake not in OPENED:
        OPENED[lake] = Lake.create(lake)
    return OPENED[lake]


def assert_true(workspace: Workspace, lake: Path, *streams: str) -> None:
    """The live rows of the lake are those of the API and of the archives, less those of deleted contacts."""
    dead = {row["uuid"] for row in workspace.rows("contacts_deleted")}
    with opened(lake).connection() as connection:
        for stream in streams:
            records = [row for row in archived(workspace, stream) if row["contact"]["uuid"] not in dead]
            expected = expected_union(stream, workspace.rows(stream), records, LANGUAGES)
            assert_same(stream, stored_rows(connection, stream), expected)
