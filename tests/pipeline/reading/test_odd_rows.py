"""A row that no JSON reader takes, in the midst of good ones: it is put aside with its text, and the rest is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import msgspec
import pytest

from pipeline.reading.reader import Options
from pipeline.reading.walk import date_of, keys_of
from pipeline.results import StreamResult
from pipeline.settings import load_settings
from sandbox import Sandbox, Workspace, generate
from tests.cases import cases
from tests.conftest import Answer, Asked, Serve
from tests.lakes import rows
from tests.sessions import sync, verify

SPOILT = "spoilt on its way"
HALF_A_PAIR = rb'"\ud83d"'


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with generate(messages=40, contacts=20, seed=7, archives=False) as workspace:
        yield workspace


def synced(serve: Serve, sandbox: Sandbox, lake: Path, *streams: str, odd: bytes) -> StreamResult:
    """Sync from a server that sends what the sandbox does, but for one text of the last stream; how that ended."""

    def answering(asked: Asked) -> Answer:
        answer = httpx.get(
            f"{sandbox.url}{asked.path}?{asked.query}", headers={"Authorization": asked.headers["Authorization"]}
        )
        spoils = asked.path.endswith(f"/{streams[-1]}.json")
        return Answer(answer.content.replace(f'"{SPOILT}"'.encode(), odd) if spoils else answer.content)

    settings = load_settings(
        url=serve(answering).url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0, patience=0
    )
    return sync(settings, streams).streams[-1]


@pytest.mark.parametrize(
    ("odd", "place"),
    cases(
        (HALF_A_PAIR, 0),
        (b"[" * 3000 + b"]" * 3000, 20),
        long=[(b'"\xff"', 20), (b'"\n"', -1), (b'"a","text":"b"', 0), (b'{"a":1}', -1)],
    ),
)
def test_a_message_that_no_reader_takes_is_put_aside_and_all_others_are_read(
    odd: bytes, place: int, sandbox: Sandbox, lake: Path, serve: Serve
) -> None:
    ids = [row["id"] for row in sandbox.workspace.rows("messages")]
    sandbox.workspace.edit("messages", [ids[place]], changes={"text": SPOILT})
    result = synced(serve, sandbox, lake, "messages", odd=odd)
    assert (result.outcome, result.tally.rows_quarantined) == ("done", 1)
    ((record,),) = rows(lake, "SELECT record FROM _quarantine")
    assert str(ids[place]) in record
    assert {key for (key,) in rows(lake, "SELECT id FROM messages")} == set(ids) - {ids[place]}


def test_a_definition_that_no_reader_takes_is_put_aside_and_the_others_of_its_answer_are_read(
    sandbox: Sandbox, lake: Path, serve: Serve
) -> None:
    first, *others = [row["uuid"] for row in sandbox.workspace.rows("flows")]
    sandbox.workspace.edit("flows", [first], changes={"name": SPOILT})
    result = synced(serve, sandbox, lake, "flows", "definitions", odd=HALF_A_PAIR)
    assert (result.outcome, result.tally.rows_quarantined) == ("done", 1)
    assert others and {str(key) for (key,) in rows(lake, "SELECT uuid FROM definitions")} == set(others)


@pytest.mark.parametrize(
    "row",
    [
        rb'"{\"uuid\": \"c1\", \"modified_on\": \"2026-01-31T08:00:00Z\"}"',
        b'{"uuid":{},"modified_on":"0001-01-01T00:00:00+14:00"}',
        b'{"uuid":{},"modified_on":"9999-12-31T23:59:59-14:00"}',
        b'{"uuid":[1],"modified_on":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
    ids=["text", "the year 1", "the year 9999", "deep"],
)
def test_a_row_without_a_date_or_a_key_that_can_be_read_has_none(row: bytes) -> None:
    assert date_of(msgspec.Raw(row), "modified_on") is None
    assert keys_of(msgspec.Raw(row), ("uuid",)) == (row,)


def test_a_good_row_has_its_date_and_its_key() -> None:
    row = msgspec.Raw(b'{"uuid":"c1","modified_on":"2026-01-31T08:00:00Z"}')
    assert (date_of(row, "modified_on"), keys_of(row, ("uuid",))) == (datetime(2026, 1, 31, 8, tzinfo=UTC), ("c1",))


@pytest.mark.parametrize("stream", cases("contacts", long=["messages"]))
def test_dates_before_all_that_python_knows_stop_nothing(sandbox: Sandbox, lake: Path, stream: str) -> None:
    workspace, on = sandbox.workspace, {"messages": "created_on", "contacts": "modified_on"}[stream]
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0)
    for row, at in zip(workspace.rows(stream), ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"], strict=False):
        workspace.put(stream, {**row, on: at})
    for options in (Options(), Options(full=True), Options(full=True, accept_deletions=True)):
        assert sync(settings, [stream], options).streams[0].outcome == "done"
        assert rows(lake, f"SELECT count(*) FROM {stream} WHERE deleted_on IS NULL") == [(workspace.count(stream),)]
    workspace.delete(stream, [row.get("id") or row["uuid"] for row in workspace.rows(stream)[:1]])
    verified = verify(settings, [stream], repair=True)
    assert {one.outcome for one in verified.results} == {"done"}
    assert {type(one.month) for one in verified.findings} == {date}


def test_keys_that_a_newer_server_sends_in_objects_are_kept_at_their_place_and_told(
    sandbox: Sandbox, lake: Path
) -> None:
    workspace = sandbox.workspace
    message, run, contact = (workspace.rows(stream)[0] for stream in ("messages", "runs", "contacts"))
    uuid, at = message["contact"]["uuid"], message["created_on"]
    result = {"value": "v", "category": "C", "name": "Q", "input": "v", "node": uuid, "time": at}
    labels = [{"uuid": uuid, "name": "A"}, {"uuid": uuid, "name": "B", "color": "red"}]
    workspace.put("messages", message | {"labels": labels, "contact": message["contact"] | {"ref": "A1"}, "new": 1.5})
    workspace.put("runs", run | {"values": {"q": result | {"extra": {"code": 7}}, "r": result}})
    workspace.put("contacts", contact | {"notes": [{"text": "n", "created_on": at, "created_by": {"id": None}}]})
    extra = {
        "messages": {"new": 1.5, "contact": {"ref": "A1"}, "labels": [None, {"color": "red"}]},
        "runs": {"values": {"q": {"extra": {"code": 7}}}},
        "contacts": {"notes": [{"created_by": {"id": None}}]},
    }
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0)
    notes = {one.stream: one.tally.notes for one in sync(settings, [*extra]).streams}
    assert notes["messages"][0].endswith("kept in `extra`, named in _drift")
    named = rows(lake, "SELECT key FROM _drift WHERE stream = 'messages' AND kind = 'unknown' ORDER BY key")
    assert named == [("contact.ref",), ("labels[].color",), ("new",)]
    for stream, kept in extra.items():
        found = rows(lake, f"SELECT extra::VARCHAR FROM {stream} WHERE extra IS NOT NULL")
        assert [json.loads(str(text)) for (text,) in found] == [kept]
    assert rows(lake, "SELECT stream, key FROM _drift WHERE kind = 'unknown' ORDER BY ALL") == [
        ("contacts", "notes[].created_by.id"),
        ("messages", "contact.ref"),
        ("messages", "labels[].color"),
        ("messages", "new"),
        ("runs", "values.*.extra"),
    ]
    assert not verify(settings, [*extra]).failed


@pytest.mark.long
def test_a_zero_byte_in_a_key_or_a_name_stops_nothing(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    (owner,) = workspace.rows("workspace")
    workspace.put("workspace", {**owner, "name": "a\0b", "languages": ["eng", "a\0b"]})
    field, label, topic = (workspace.rows(stream)[0] for stream in ("fields", "labels", "topics"))
    workspace.put("fields", {**field, "key": "a\0b"})
    workspace.put("fields", {**field, "name": "a\0b"})
    workspace.put("labels", {**label, "name": "a\0b", "new\0key": 1})
    workspace.put("topics", {**topic, "name": "a\0b"})
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0)
    streams = ["fields", "labels", "topics", "contacts", "messages"]
    for _ in range(2):
        assert {one.outcome for one in sync(settings, streams).streams} == {"done"}
    assert rows(lake, "SELECT workspace_name FROM _lake") == [("a\0b",)]
    assert rows(lake, "SELECT key FROM _drift WHERE kind = 'unknown'") == [("new\0key",)]
    # A catalog cannot be asked for such a key.
    assert rows(lake, "SELECT stream, reason FROM _quarantine") == [("fields", "its key has a zero byte")]
    result = verify(settings, streams)
    assert sum(one.differences for one in result.findings) == sum(one.unreadable for one in result.findings) == 1
