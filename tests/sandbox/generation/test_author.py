"""The generated workspace looks like a real one, and is the same for the same seed."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox import Workspace, generate, read_archive
from sandbox.workspace.dates import read_iso, to_micros
from sandbox.workspace.rows import TABLES

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
KEYS = json.loads((Path(__file__).parent.parent / "recordings" / "sandbox_keys.json").read_text())


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    with generate(messages=3000, seed=3, now=NOW) as workspace:
        yield workspace


def archived(workspace: Workspace, archive_type: str) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for row in workspace.rows("archives")
        if row["archive_type"] == archive_type
        for line in read_archive(workspace, row)
    ]


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(workspace: Workspace) -> None:
    with generate(messages=3000, seed=3, now=NOW) as again, generate(messages=3000, seed=4, now=NOW) as other:
        for table in TABLES:
            assert workspace.rows(table) == again.rows(table), table
        assert workspace.rows("messages") != other.rows("messages")


@pytest.mark.parametrize("table", KEYS)
def test_rows_have_the_keys_of_recorded_ones(table: str, workspace: Workspace) -> None:
    kind = table.removeprefix("archived_")
    rows = archived(workspace, kind) if kind != table else workspace.rows(table)
    assert rows
    for row in rows:
        assert list(row) == KEYS[table]


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("messages", "id"),
        ("runs", "uuid"),
        ("runs", "id"),
        ("contacts", "uuid"),
        ("tickets", "uuid"),
        ("broadcasts", "id"),
    ],
)
def test_keys_are_unique_across_api_and_archives(table: str, key: str, workspace: Workspace) -> None:
    rows = workspace.rows(table)
    if table in ("messages", "runs"):
        rows += archived(workspace, table[:-1])
    assert len({row[key] for row in rows}) == len(rows)


def test_there_are_as_many_messages_as_asked_for_and_three_times_as_many_archived(workspace: Workspace) -> None:
    assert workspace.count("messages") == 3000
    assert len(archived(workspace, "message")) == 9000


def test_nothing_is_newer_than_ten_minutes_ago_and_the_api_holds_ninety_days(workspace: Workspace) -> None:
    latest = to_micros(NOW - timedelta(minutes=10))
    first = to_micros(datetime(2026, 8, 26, tzinfo=UTC))
    for table in ("messages", "runs", "contacts", "tickets", "contacts_deleted", "broadcasts", "channel_events"):
        for row in workspace.rows(table):
            for name in ("created_on", "modified_on", "sent_on", "exited_on"):
                assert (read_iso(row.get(name)) or 0) <= latest, (table, name, row)
    assert min(read_iso(row["created_on"]) or 0 for row in workspace.rows("messages")) >= first
    assert min(read_iso(row["modified_on"]) or 0 for row in workspace.rows("runs")) >= first


def test_dates_of_a_row_are_in_order(workspace: Workspace) -> None:
    for table in ("messages", "runs", "contacts", "flow_starts", "flows", "templates"):
        for row in workspace.rows(table):
            assert (read_iso(row["created_on"]) or 0) <= (read_iso(row["modified_on"]) or 0), (table, row)


def test_archives_cover_every_day_before_the_api_once(workspace: Workspace) -> None:
    for archive_type in ("message", "run"):
        days: list[str] = []
        for row in reversed([row for row in workspace.rows("archives") if row["archive_type"] == archive_type]):
            day = datetime.fromisoformat(row["start_date"])
            days.append(row["start_date"])
            while row["period"] == "monthly" and (day := day + timedelta(days=1)).day != 1:
                days.append(day.strftime("%Y-%m-%d"))
        assert days == sorted(set(days))
        assert days[0] == "2025-11-01"
        assert days[-1] == "2026-08-25"
        assert len(days) == 298


def test_archived_lines_lie_in_their_period_and_in_order(workspace: Workspace) -> None:
    for row in workspace.rows("archives"):
        column = "created_on" if row["archive_type"] == "message" else "modified_on"
        lines = [json.loads(line) for line in read_archive(workspace, row)]
        places = [(line[column], line["id"]) for line in lines]
        assert places == sorted(places)
        width = 10 if row["period"] == "daily" else 7
        assert {place[0][:width] for place in places} <= {row["start_date"][:width]}


def test_what_rows_refer_to_exists(workspace: Workspace) -> None:
    contacts = {row["uuid"]: row["name"] for row in workspace.rows("contacts")}
    for table in ("messages", "runs", "tickets", "channel_events"):
        for row in workspace.rows(table):
            assert contacts[row["contact"]["uuid"]] == row["contact"]["name"]
    broadcasts = {row["id"] for row in workspace.rows("broadcasts")}
    assert {row["broadcast"] for row in workspace.rows("messages")} - {None} == broadcasts
    counted = Counter(group["name"] for row in workspace.rows("contacts") for group in row["groups"])
    assert {row["name"]: row["count"] for row in workspace.rows("groups")} == dict(counted)


def test_run_results_quote_messages_of_the_same_contact(workspace: Workspace) -> None:
    texts = {(row["contact"]["uuid"], row["text"]) for row in workspace.rows("messages")}
    texts |= {(row["contact"]["uuid"], row["text"]) for row in archived(workspace, "message")}
    for run in workspace.rows("runs"):
        for result in run["values"].values():
            assert (run["contact"]["uuid"], result["input"]) in texts


def test_there_is_variety(workspace: Workspace) -> None:
    messages = workspace.rows("messages")
    assert {row["status"] for row in messages} >= {"handled", "wired", "sent", "delivered", "failed"}
    assert {row["visibility"] for row in messages} == {"visible", "archived"}
    assert {row["exit_type"] for row in workspace.rows("runs")} == {"completed", "expired", "interrupted", None}
    assert {row["status"] for row in workspace.rows("contacts")} == {"active", "blocked", "stopped", "archived"}
    assert {row["type"] for row in workspace.rows("fields")} == {
        "text",
        "number",
        "datetime",
        "state",
        "district",
        "ward",
    }
    assert any("#" in row["urn"] for row in messages)
    assert any(row["attachments"] for row in messages)
    ids = [row["id"] for row in messages]
    assert ids != sorted(ids, reverse=True)  # numbers do not follow the time of creation
    ties = Counter(row["modified_on"] for row in workspace.rows("contacts"))
    assert ties.most_common(1)[0][1] >= 60


def test_numbers_and_lengths_can_be_asked_for() -> None:
    with generate(messages=500, contacts=30, runs=700, archives=False, text_bytes=300, now=NOW) as workspace:
        assert workspace.count("contacts") + workspace.count("contacts_deleted") == 30
        assert workspace.count("runs") == 700
        assert workspace.count("archives") == 0
        assert min(len(row["text"].encode()) for row in workspace.rows("messages")) > 200
    with generate(messages=500, runs=20, archives=False, now=NOW) as workspace:
        assert workspace.count("runs") == 20


def test_a_folder_without_a_dump_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "unrelated.jsonl.gz", "wt") as file:
        file.write("{}\n")
    with pytest.raises(FileNotFoundError, match="no <endpoint>"):
        Workspace.load(tmp_path)
