"""What tests of verify share: a workspace with archives, damages to its lake, and a look at what is found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.proof.verify import VerifyResult
from pipeline.reading.reader import Options
from pipeline.results import SyncResult
from pipeline.settings import load_settings
from pipeline.streams import ARCHIVED, STREAMS
from sandbox import Sandbox, Workspace, archive_old_rows, generate, read_archive
from sandbox import roll_up as roll_up_month
from tests.lakes import LANGUAGES
from tests.sessions import sync, verify
from tests.truth import assert_same, expected_union, stored_rows
from warehouse import Lake
from warehouse.proof.findings import KINDS

ARCHIVED_DAYS = 8
LARGE = ["contacts", "messages", "runs"]
GHOST = "0f3c9a6e-5b7d-4812-a9c0-ffee0f3c9a6e"
OPENED: dict[Path, Lake] = {}


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
ADDRESSED = f"UPDATE {{stream}} SET contacts = [{{{{'uuid': '{GHOST}'::UUID, 'name': 'Ann'}}}}] WHERE {{row}}"
LONG_AGO = "channels <> MAP {} AND date < current_date - 10"
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
    "a broadcast's contact": Damage("broadcasts", "stale", ADDRESSED),
    "a definition": Damage("definitions", "stale", "UPDATE {stream} SET definition = '{{}}' WHERE {row}"),
    "a definition removed": Damage("definitions", "missing", REMOVED),
    "the workspace": Damage("workspace", "stale", RENAMED),
    "a day's statistics": Damage(
        "statistics", "stale", "UPDATE {stream} SET channels = MAP {{}} WHERE {row}", LONG_AGO
    ),
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


def bring(sandbox: Sandbox, lake: Path, *streams: str, since: datetime | None = None) -> SyncResult:
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0)
    return sync(settings, streams, Options(since))


def look(
    sandbox: Sandbox,
    lake: Path,
    *streams: str,
    repair: bool = False,
    since: datetime | None = None,
    rotate: bool = False,
) -> VerifyResult:
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0)
    return verify(settings, streams, repair=repair, since=since, rotate=rotate)


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
