"""The sandbox archives like the server: at night and by month, and counts what it has."""

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from sandbox import (
    Sandbox,
    Workspace,
    archive_old_rows,
    count_statistics,
    generate,
    put_archive,
    put_empty_archive,
    roll_up,
)
from sandbox.workspace.dates import to_micros
from tests.conftest import ask

Row = dict[str, Any]

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
LINES = [b'{"id":%d}' % number for number in range(3000)]


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """A workspace whose API shows 90 days, from the 18th of March 2026 on; nothing is archived yet."""
    with generate(messages=600, contacts=60, archives=False, now=NOW) as workspace:
        yield workspace


@pytest.fixture
def sandbox(workspace: Workspace) -> Iterator[Sandbox]:
    with Sandbox(workspace, requests_per_hour=None, keep=True) as sandbox:
        yield sandbox


def listed(client: httpx.Client, sandbox: Sandbox, archive_type: str) -> dict[str, Row]:
    """Return the archives of a type by period and date, oldest first."""
    rows = ask(client, sandbox, f"archives.json?limit=1000&archive_type={archive_type}")
    return {f"{row['period']} {row['start_date']}": row for row in reversed(rows)}


def records(client: httpx.Client, row: Row) -> list[Row]:
    """Download an archive, see that it is what the list says, and return its records."""
    content = client.get(row["download_url"]).content
    assert (len(content), hashlib.md5(content).hexdigest()) == (row["size"], row["hash"])
    lines = gzip.decompress(content).splitlines()
    assert len(lines) == row["record_count"]
    return [json.loads(line) for line in lines]


# -- months --


def test_rolling_up_puts_the_lines_of_a_month_in_one_file_and_deletes_the_dailies(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    for day, lines in (("03", LINES[:5]), ("01", LINES[5:9]), ("02", [])):
        put_archive(sandbox.workspace, "message", "daily", f"2026-01-{day}", lines)
    put_empty_archive(sandbox.workspace, "message", "daily", "2026-01-04")
    put_archive(sandbox.workspace, "message", "daily", "2026-02-01", LINES[:1])
    put_archive(sandbox.workspace, "run", "daily", "2026-01-01", LINES[:1])
    before = listed(client, sandbox, "message")

    row = roll_up(sandbox.workspace, "message", "2026-01")

    after = listed(client, sandbox, "message")
    assert list(after) == ["monthly 2026-01-01", "daily 2026-02-01"]
    assert [record["id"] for record in records(client, after["monthly 2026-01-01"])] == [5, 6, 7, 8, 0, 1, 2, 3, 4]
    assert row["hash"] == after["monthly 2026-01-01"]["hash"]
    assert {client.get(before[f"daily 2026-01-0{day}"]["download_url"]).status_code for day in (1, 2, 3)} == {404}
    assert list(listed(client, sandbox, "run")) == ["daily 2026-01-01"]


def test_a_month_without_dailies_cannot_be_rolled_up(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="2025-11: there is no daily archive of type run"):
        roll_up(workspace, "run", "2025-11")


# -- nights --


def truth(workspace: Workspace, endpoint: str, before: str) -> list[Row]:
    """Return the rows that the API shows from before a day, in the order of archives."""
    column = "created_on" if endpoint == "messages" else "modified_on"
    rows = [row for row in workspace.rows(endpoint) if row[column] < before]
    return sorted(rows, key=lambda row: (row[column], row["id"]))


def all_records(client: httpx.Client, sandbox: Sandbox, archive_type: str) -> list[Row]:
    return [record for row in listed(client, sandbox, archive_type).values() for record in records(client, row)]


@pytest.mark.parametrize(("archive_type", "endpoint"), [("message", "messages"), ("run", "runs")])
def test_a_night_moves_old_rows_from_the_api_to_daily_archives(
    archive_type: str, endpoint: str, sandbox: Sandbox, client: httpx.Client
) -> None:
    old = truth(sandbox.workspace, endpoint, "2026-04-10")
    total = sandbox.workspace.count(endpoint)
    both = len(truth(sandbox.workspace, "messages", "2026-04-10")) + len(truth(sandbox.workspace, "runs", "2026-04-10"))
    assert archive_old_rows(sandbox.workspace, date(2026, 4, 10)) == both

    assert [record["id"] for record in all_records(client, sandbox, archive_type)] == [row["id"] for row in old]
    assert truth(sandbox.workspace, endpoint, "2026-04-10") == []
    assert sandbox.workspace.count(endpoint) == total - len(old)
    assert ask(client, sandbox, f"{endpoint}.json?before=2026-04-09") == []


def test_each_day_has_its_archive_with_the_lines_of_that_day_even_when_there_are_none(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    quiet = [
        row["id"] for row in sandbox.workspace.rows("messages") if "2026-04-01" <= row["created_on"] < "2026-04-04"
    ]
    sandbox.workspace.delete("messages", quiet)
    busy = {row["created_on"][:10] for row in sandbox.workspace.rows("messages")}
    archive_old_rows(sandbox.workspace, date(2026, 4, 10))
    archives = listed(client, sandbox, "message")
    days = [date(2026, 3, 18) + timedelta(days=number) for number in range(23)]
    assert list(archives) == [f"daily {day}" for day in days]
    for day in days:
        found = records(client, archives[f"daily {day}"])
        assert all(record["created_on"].startswith(str(day)) for record in found)
        assert (found != []) == (str(day) in busy)


def test_the_next_night_goes_on_where_the_last_one_ended(sandbox: Sandbox, client: httpx.Client) -> None:
    archive_old_rows(sandbox.workspace, date(2026, 4, 1))
    first = listed(client, sandbox, "message")
    quiet = [row["id"] for row in sandbox.workspace.rows("messages") if row["created_on"] < "2026-04-03"]
    sandbox.workspace.delete("messages", quiet)
    archive_old_rows(sandbox.workspace, date(2026, 4, 5))
    second = listed(client, sandbox, "message")

    assert list(second)[len(first) :] == [f"daily 2026-04-0{day}" for day in (1, 2, 3, 4)]
    assert {key: second[key]["hash"] for key in first} == {key: row["hash"] for key, row in first.items()}
    assert archive_old_rows(sandbox.workspace, date(2026, 4, 5)) == 0


def test_a_day_that_is_archived_already_is_not_touched_and_its_late_rows_stay_in_the_api(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    archive_old_rows(sandbox.workspace, date(2026, 4, 10))
    roll_up(sandbox.workspace, "message", "2026-03")
    before = {key: row["hash"] for key, row in listed(client, sandbox, "message").items()}
    late = [
        key
        for day in (date(2026, 3, 20), date(2026, 4, 2))
        for key in sandbox.workspace.add("messages", 1, at=datetime(day.year, day.month, day.day, 9, tzinfo=UTC))
    ]
    assert archive_old_rows(sandbox.workspace, date(2026, 4, 10)) == 0
    assert {key: row["hash"] for key, row in listed(client, sandbox, "message").items()} == before
    assert {str(row["id"]) for row in ask(client, sandbox, "messages.json?before=2026-04-10")} == set(late)


def test_without_a_purge_rows_are_in_the_api_and_in_archives(sandbox: Sandbox, client: httpx.Client) -> None:
    before = {name: sandbox.workspace.rows(name) for name in ("messages", "runs")}
    assert archive_old_rows(sandbox.workspace, date(2026, 4, 10), purge=False) > 0
    assert {name: sandbox.workspace.rows(name) for name in before} == before
    archived = {record["id"] for record in all_records(client, sandbox, "message")}
    assert archived == {row["id"] for row in truth(sandbox.workspace, "messages", "2026-04-10")}


def test_deleted_messages_are_not_archived_and_purged_ones_are_in_no_folder(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    incoming = [row["id"] for row in truth(sandbox.workspace, "messages", "2026-04-10") if row["direction"] == "in"]
    sandbox.workspace.delete("messages", incoming[:2], soft=True)
    archive_old_rows(sandbox.workspace, date(2026, 4, 10))
    archived = {record["id"] for record in all_records(client, sandbox, "message")}
    assert archived & set(incoming) == set(incoming[2:])
    shown = ask(client, sandbox, "messages.json?folder=incoming&before=2026-04-10")
    assert {row["id"] for row in shown} == set(incoming[:2])


def test_archived_messages_have_the_form_of_the_server(sandbox: Sandbox, client: httpx.Client) -> None:
    workspace = sandbox.workspace
    [pattern] = [row for row in workspace.rows("messages") if row["attachments"]][:1] or workspace.rows("messages")[:1]
    row = {
        **pattern,
        "id": 9_000_001,
        "urn": "telegram:77#tee_tee",
        "contact": {"uuid": "c1", "name": None, "urn": "telegram:77"},
        "created_on": "2026-03-01T08:00:00Z",
        "sent_on": None,
        "quick_replies": [{"text": "Yes"}],
        "labels": [{"uuid": "l1", "name": "Urgent", "count": 3}],
    }
    workspace.put("messages", row)
    workspace.put("messages", {**row, "id": 9_000_002, "urn": None, "channel": None, "uuid": "m2"})
    archive_old_rows(workspace, date(2026, 3, 2))
    first, second = records(client, listed(client, sandbox, "message")["daily 2026-03-01"])
    absent = {"quick_replies", "archived", "media"}
    assert first.keys() == row.keys() - absent
    assert first == {name: row[name] for name in first} | {
        "urn": "telegram:77",
        "contact": {"uuid": "c1", "name": None},
        "created_on": "2026-03-01T08:00:00+00:00",
        "modified_on": row["modified_on"].replace("Z", "+00:00"),
        "labels": [{"uuid": "l1", "name": "Urgent"}],
    }
    assert (second["urn"], second["channel"], second["uuid"]) == (None, None, "m2")


def test_archived_runs_have_the_form_of_the_server(sandbox: Sandbox, client: httpx.Client) -> None:
    pattern = sandbox.workspace.rows("runs")[0]
    steps = [{"node": f"n{number}", "time": "2026-03-01T08:00:00.000123Z"} for number in range(620)]
    value = {"value": "5", "category": "Has", "node": "n1", "time": "2026-03-01T08:00:00Z", "name": "Age"}
    times = {"created_on": "2026-03-01T08:00:00Z", "modified_on": "2026-03-01T09:00:00Z", "exited_on": None}
    row = {**pattern, "id": 9_000_001, "uuid": "r1", "path": steps, "values": {"age": value}, **times}
    sandbox.workspace.put("runs", row)
    archive_old_rows(sandbox.workspace, date(2026, 3, 2))
    [record] = records(client, listed(client, sandbox, "run")["daily 2026-03-01"])
    assert record.keys() == row.keys() - {"start"} | {"submitted_by"}
    assert record["contact"] == {name: row["contact"][name] for name in ("uuid", "name")}
    assert record["path"] == [{**step, "time": "2026-03-01T08:00:00.000123+00:00"} for step in steps[:500]]
    assert record["values"] == {"age": {**value, "time": "2026-03-01T08:00:00+00:00", "input": None}}
    assert (record["modified_on"], record["exited_on"]) == ("2026-03-01T09:00:00+00:00", None)


def test_generated_archives_and_those_of_a_night_have_records_of_one_form(client: httpx.Client) -> None:
    with Sandbox(generate(messages=300, now=NOW)) as sandbox:
        generated = {key for row in listed(client, sandbox, "run").values() for key in records_keys(client, row)}
        archive_old_rows(sandbox.workspace, date(2026, 3, 25))
        [night] = {keys for keys in records_keys(client, listed(client, sandbox, "run")["daily 2026-03-24"])}
        assert generated == {night}


def records_keys(client: httpx.Client, row: Row) -> set[tuple[str, ...]]:
    return {tuple(record) for record in records(client, row)}


# -- statistics --


def tally(rows: list[Row]) -> Counter[tuple[str, str, str]]:
    """Count messages by day, channel and scope."""
    return Counter(
        (row["created_on"][:10], row["channel"]["uuid"], f"{row['type']}:{row['direction']}") for row in rows
    )


def told(rows: list[Row]) -> Counter[tuple[str, str, str]]:
    """Return what statistics tell in the same form."""
    scopes = ("text:in", "text:out", "voice:in", "voice:out")
    return +Counter(
        {
            (row["date"], channel, scope): counts[scope]
            for row in rows
            for channel, counts in row["channels"].items()
            for scope in scopes
        }
    )


def test_statistics_are_not_offered_unless_asked_for(sandbox: Sandbox, client: httpx.Client) -> None:
    answer = client.get(f"{sandbox.url}/api/v2/statistics.json", headers={"Authorization": f"Token {sandbox.token}"})
    assert answer.status_code == 404


def test_statistics_count_the_messages_of_the_api_and_of_archives(client: httpx.Client) -> None:
    with Sandbox(generate(messages=300, now=NOW, statistics=True)) as sandbox:
        rows = ask(client, sandbox, "statistics.json")
        since = "2025-06-15"
        archived = [row for row in all_records(client, sandbox, "message") if row["created_on"] >= since]
        assert archived
        assert told(rows) == tally([*sandbox.workspace.rows("messages"), *archived])
        assert [row["date"] for row in rows] == sorted({row["date"] for row in rows})
        assert {row["date"] for row in ask(client, sandbox, "statistics.json?since=2026-06-01&until=2026-06-02")} == {
            "2026-06-01"
        }


def test_a_message_that_is_in_the_api_and_archived_counts_once(sandbox: Sandbox, client: httpx.Client) -> None:
    workspace = sandbox.workspace
    expected = tally(workspace.rows("messages"))
    archive_old_rows(workspace, date(2026, 4, 10), purge=False)
    assert told(count_statistics(workspace, today=NOW.date())) == expected
    assert told(ask(client, sandbox, "statistics.json")) == expected


def test_statistics_know_calls_and_forget_removed_channels(sandbox: Sandbox, client: httpx.Client) -> None:
    workspace = sandbox.workspace
    kept, removed, *_ = workspace.rows("channels")
    workspace.add("messages", 4, at=to_micros(NOW), changes={"type": "voice", "channel": kept, "direction": "out"})
    workspace.delete("channels", [removed["uuid"]])
    rows = count_statistics(workspace, today=NOW.date())
    assert rows[-1]["channels"][kept["uuid"]] == {
        **rows[-1]["channels"][kept["uuid"]],
        "type": "android",
        "voice:in": 0,
        "voice:out": 4,
    }
    assert not any(removed["uuid"] in row["channels"] for row in rows)
    assert ask(client, sandbox, "statistics.json") == rows
