"""A workspace goes from one generation of the server to the next, in lists and in archives."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest

from sandbox import (
    Generation,
    Sandbox,
    archive_old_rows,
    count_statistics,
    fill_in_uuids,
    generate,
    read_archive,
    uuid_of,
)
from tests.sandbox.server.asking import follow, get

Row = dict[str, Any]
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    workspace = generate(messages=300, contacts=40, archives=False, now=NOW)
    with Sandbox(workspace, requests_per_hour=None) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def as_stored_afterwards(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.workspace.generation = None


def served(client: httpx.Client, sandbox: Sandbox, stream: str, generation: Generation | None) -> list[Row]:
    sandbox.workspace.generation = generation
    rows, _ = follow(client, sandbox, f"{stream}.json")
    return rows


@pytest.mark.parametrize("stream", ["messages", "broadcasts"])
def test_ids_are_joined_by_uuids_and_then_replaced_while_order_and_text_stay(
    stream: str, sandbox: Sandbox, client: httpx.Client
) -> None:
    [stored, nine, later, last] = [served(client, sandbox, stream, each) for each in (None, *Generation)]
    assert nine == stored
    assert [row["id"] for row in later] == [row["id"] for row in nine]
    assert [row["uuid"] for row in last] == [row["uuid"] for row in later] == [uuid_of(row) for row in stored]
    assert len({row["uuid"] for row in last}) == len(last) > 0
    assert {*last[0]} == {*later[0]} - {"id", "broadcast"}
    assert {*later[0]} - {*nine[0]} >= {"uuid", "quick_replies"}
    assert [row["text"] for row in last] == [row["text"] for row in nine]
    sandbox.workspace.generation = Generation.WITHOUT_IDS
    assert sandbox.workspace.listed(stream) == last


def test_what_is_finished_has_another_name_on_newer_servers(sandbox: Sandbox, client: httpx.Client) -> None:
    for stream, words in (("broadcasts", ("sent", "completed")), ("flow_starts", ("complete", "completed"))):
        before, after = (served(client, sandbox, stream, each) for each in list(Generation)[:2])
        assert [(row["status"], then["status"]) for row, then in zip(before, after, strict=True)] == [
            words for _ in before
        ]


def test_one_message_is_found_by_the_key_that_its_generation_has(sandbox: Sandbox, client: httpx.Client) -> None:
    row = sandbox.workspace.rows("messages")[100]

    def found(generation: Generation, question: str) -> list[str]:
        sandbox.workspace.generation = generation
        return [one["text"] for one in get(client, sandbox, f"messages.json?{question}").json()["results"]]

    by_id, by_uuid = f"id={row['id']}", f"uuid={uuid_of(row)}"
    for generation, asked in ((Generation.NINE, [by_id]), (Generation.TWENTY_SIX, [by_id, by_uuid])):
        assert [found(generation, each) for each in asked] == [[row["text"]]] * len(asked)
    assert len(found(Generation.NINE, by_uuid)) == 250  # ignored
    assert len(found(Generation.WITHOUT_IDS, by_id)) == 250
    assert found(Generation.WITHOUT_IDS, by_uuid) == [row["text"]]
    assert found(Generation.TWENTY_SIX, f"uuid={uuid_of(row | {'id': 10**6})}") == []
    assert get(client, sandbox, "messages.json?uuid=x").status_code == 400


def test_archives_have_the_keys_of_the_day_on_which_they_were_written_or_invented_ones(sandbox: Sandbox) -> None:
    workspace = sandbox.workspace
    stored = {row["id"]: row for row in workspace.rows("messages")}
    written: dict[Generation, list[Row]] = {}
    for generation, until in zip(Generation, (date(2026, 4, 10), date(2026, 4, 25), date(2026, 5, 10)), strict=True):
        workspace.generation = generation
        known = {row["start_date"] for row in workspace.rows("archives")}
        archive_old_rows(workspace, until)
        new = [row for row in workspace.rows("archives")[::-1] if row["start_date"] not in known]
        written[generation] = [
            json.loads(line) for row in new if row["archive_type"] == "message" for line in read_archive(workspace, row)
        ]
    nine, later, last = written.values()
    assert [{"uuid", "id"} & {*rows[0]} for rows in (nine, later, last)] == [{"id"}, {"uuid", "id"}, {"uuid"}]
    assert {uuid_of(stored[row["id"]]) for row in later} == {row["uuid"] for row in later}
    assert {row["uuid"] for row in last} < {uuid_of(row) for row in stored.values()}

    oldest = next(row for row in workspace.rows("archives")[::-1] if row["archive_type"] == "message" and row["size"])
    rewritten = fill_in_uuids(workspace, oldest)
    records = [json.loads(line) for line in read_archive(workspace, rewritten)]
    assert (rewritten["record_count"], rewritten["hash"] != oldest["hash"]) == (oldest["record_count"], True)
    assert [record["id"] for record in records] == [row["id"] for row in nine[: len(records)]]
    assert not {record["uuid"] for record in records} & {uuid_of(row) for row in stored.values()}

    days = count_statistics(workspace, today=NOW.date())
    counted = sum(count for day in days for entry in day["channels"].values() for count in list(entry.values())[1:])
    assert counted == sum(bool(row["channel"]) for row in stored.values())


@pytest.mark.parametrize("stream", ["topics", "optins"])
def test_a_deleted_topic_or_opt_in_stays_listed_by_nine_under_another_name(
    stream: str, sandbox: Sandbox, client: httpx.Client
) -> None:
    workspace = sandbox.workspace
    workspace.generation = Generation.NINE
    [gone] = workspace.add(stream, 1, changes={"name": "Gone"})
    workspace.delete(stream, [gone])
    shown = [
        [row["name"] for row in served(client, sandbox, stream, each) if row["uuid"] == gone] for each in Generation
    ]
    assert re.fullmatch(r"deleted-[0-9a-f-]{36}-Gone", shown[0][0])
    assert shown[1:] == [[], []]
    assert gone not in [row["uuid"] for row in workspace.rows(stream)]


def test_nine_rewrites_a_flow_of_an_old_version_once_when_its_definition_is_asked_for(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    workspace, moved = sandbox.workspace, []
    flow = workspace.rows("flows")[0]["uuid"]
    workspace.put("definitions", {"uuid": flow, "name": "Old", "spec_version": "13.0.0", "revision": 4})
    for generation in (None, Generation.TWENTY_SIX, Generation.NINE, Generation.NINE):
        workspace.generation, before = generation, workspace.row("flows", flow)
        [found] = get(client, sandbox, f"definitions.json?flow={flow}").json()["flows"]
        moved.append((workspace.row("flows", flow) != before, found["spec_version"], found["revision"]))
    assert moved == [(False, "13.0.0", 4)] * 2 + [(True, "13.2.0", 5), (False, "13.2.0", 5)]
