"""Archive files larger than they may be, and lists with odd rows: what can be loaded is, and the rest is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.results import StreamResult
from pipeline.settings import load_settings
from sandbox import Sandbox, Workspace, generate, put_archive
from tests.cases import cases
from tests.conftest import Answer, Asked, Serve
from tests.lakes import rows
from tests.sessions import sync

DAY, OTHER = "2025-02-02", "2025-02-01"


def message(number: int, day: str = DAY, text: str = "Hello") -> bytes:
    """A message as an archive has it."""
    record: dict[str, Any] = {
        "id": number, "contact": None, "urn": None, "channel": None, "direction": "in", "type": "text",
        "status": "handled", "visibility": "visible", "text": text, "attachments": [], "labels": [], "sent_on": None,
        "broadcast": None, "created_on": f"{day}T08:00:00+00:00", "modified_on": f"{day}T08:00:00+00:00",
    }  # fmt: skip
    return json.dumps(record).encode()


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """Two daily files of messages, and no message in the API."""
    with generate(messages=0, contacts=2, archives=False) as workspace:
        put_archive(workspace, "message", "daily", OTHER, [message(1, OTHER)])
        put_archive(workspace, "message", "daily", DAY, [message(2), message(3, text="x" * 3_000_000), message(4)])
        workspace.offer("archives")
        yield workspace


def run(sandbox: Sandbox, lake: Path, *, url: str | None = None, **given: Any) -> StreamResult:
    settings = load_settings(
        url=url or sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0, patience=0, **given
    )
    return sync(settings, ["archives"]).streams[0]


def ids(lake: Path) -> list[int]:
    return [key for (key,) in rows(lake, "SELECT id FROM messages ORDER BY id")]


def downloads(sandbox: Sandbox) -> int:
    return sum(seen.endpoint == "files" for seen in sandbox.requests)


def test_a_line_longer_than_is_set_is_put_aside_with_its_beginning_and_the_rest_is_loaded(
    sandbox: Sandbox, lake: Path
) -> None:
    result = run(sandbox, lake, longest_row=1)
    assert (result.outcome, result.tally.rows_quarantined) == ("done", 1)
    assert ids(lake) == [1, 2, 4]
    assert rows(lake, f"SELECT rows, unreadable FROM _archives WHERE start_date = DATE '{DAY}'") == [(2, 1)]
    ((record,),) = rows(lake, "SELECT record FROM _quarantine")
    assert "xxxx" in record and len(record) < 3000


def test_a_long_line_is_loaded_like_any_other(sandbox: Sandbox, lake: Path) -> None:
    assert run(sandbox, lake).outcome == "done"
    assert rows(lake, "SELECT id, length(text) FROM messages ORDER BY id") == [(1, 5), (2, 5), (3, 3_000_000), (4, 5)]


def test_a_file_that_unpacks_to_more_than_is_set_is_told_and_downloaded_once(sandbox: Sandbox, lake: Path) -> None:
    result = run(sandbox, lake, largest_archive=0.001)
    assert result.outcome == "failed"
    assert result.message and f"message {DAY} (it unpacks to more than 0.001 GB:" in result.message
    assert "RAPIDLAKE_LARGEST_ARCHIVE" in result.message
    assert ids(lake) == [1]
    assert downloads(sandbox) == 2
    assert not [path for path in (lake / "spool").rglob("*") if path.is_file()]


def listing(serve: Serve, sandbox: Sandbox, odd: bytes) -> str:
    """The address of a server whose list of archives has one more row."""

    def answering(asked: Asked) -> Answer:
        there = f"{sandbox.url}{asked.path}?{asked.query}"
        answer = httpx.get(there, headers={"Authorization": asked.headers["Authorization"]})
        more = b'"results":[' + odd + b","
        return Answer(answer.content.replace(b'"results":[', more) if "archives" in asked.path else answer.content)

    return serve(answering).url


@pytest.mark.parametrize(
    ("odd", "outcome"),
    cases(
        (rb'{"archive_type":"message","hash":"\ud83d","download_url":"https://s.example/?Signature=b5f1c0de"}', "done"),
        (b'{"archive_type":"message","period":"daily","start_date":"2025-01-01","record_count":3,'
         b'"hash":"../../../x","size":9,"download_url":"https://s.example/?Signature=b5f1c0de"}', "failed"),
        long=[
            (b'{"archive_type":"message","period":"daily","start_date":"2025-01-01","record_count":"many",'
             b'"hash":7,"size":-1,"download_url":"https://s.example/?Signature=b5f1c0de"}', "done"),
            (b'"https://s.example/?Signature=b5f1c0de"', "done"),
            (b"NaN", "done"),
        ],
    ),
    ids=["half a pair", "a path", "odd values", "text", "NaN"],
)  # fmt: skip
def test_an_odd_row_of_the_list_stops_no_other_file_and_leaves_no_address(
    odd: bytes, outcome: str, sandbox: Sandbox, lake: Path, serve: Serve
) -> None:
    result = run(sandbox, lake, url=listing(serve, sandbox, odd))
    assert result.outcome == outcome
    assert ids(lake) == [1, 2, 3, 4]
    content = b"".join(path.read_bytes() for path in lake.rglob("*") if path.is_file())
    assert b"b5f1c0de" not in content
    assert (
        "b5f1c0de" not in f"{rows(lake, 'SELECT * FROM _quarantine')} {rows(lake, 'SELECT * FROM archives')} {result}"
    )
