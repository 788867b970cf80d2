"""A server that turns away in the middle of a sync: told once, by one stream, and the others are not tried."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.reading.progress import Quiet
from pipeline.results import StreamResult
from pipeline.settings import load_settings
from pipeline.streams import STREAMS
from pipeline.syncing.sync import choose, sync
from sandbox import Faults, Sandbox, Workspace, generate

NAMES = ("groups", "fields", "labels", "topics", "users", "flows", "campaigns", "contacts", "broadcasts", "tickets")


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with generate(messages=40, contacts=20, seed=4, archives=False) as generated:
        yield generated


def synced(sandbox: Sandbox, lake: Path, *names: str) -> dict[str, StreamResult]:
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, patience=0)
    return {result.stream: result for result in sync(settings, choose(names), Quiet()).streams}


def from_then_on(sandbox: Sandbox, fault: str, *besides: str) -> None:
    """After the first page of a stream, let all endpoints but these answer with a fault."""
    failing = Faults(script={name: [fault] * 99 for name in (*STREAMS, "workspace") if name not in besides})

    def fail(endpoint: str) -> None:
        sandbox.faults = failing

    sandbox.after_page = fail


@pytest.mark.parametrize(
    ("fault", "said", "why"),
    [
        ("forbidden", "The token worked until a minute ago, and is refused now (403): ", "the token is refused"),
        ("error", " kept failing for 0 s (the server answered ", "the server does not answer"),
    ],
)
def test_a_server_that_turns_away_is_told_of_once_and_asked_for_nothing_more(
    sandbox: Sandbox, lake: Path, fault: str, said: str, why: str
) -> None:
    from_then_on(sandbox, fault)
    results = synced(sandbox, lake, *NAMES)
    (failed,) = [result for result in results.values() if result.outcome == "failed"]
    assert said in str(failed.message)
    left = [result for result in results.values() if result.outcome == "skipped"]
    assert len(left) >= 5
    assert {result.message for result in left} <= {f"not read: {why}", f"not read to its end: {why}"}
    asked = [seen.endpoint for seen in sandbox.requests]
    tries = 1 if fault == "forbidden" else 2  # a failing request is sent once more, without any patience
    assert asked.count("workspace") == 1 + tries
    assert len([seen for seen in sandbox.requests if seen.status != 200]) <= 5 * tries  # of each lane, and that

    sandbox.after_page, sandbox.faults = None, Faults()
    assert {result.outcome for result in synced(sandbox, lake, *NAMES).values()} == {"done"}


@pytest.mark.parametrize("fault", ["forbidden", "error"])
def test_an_endpoint_that_refuses_alone_keeps_no_other_from_being_read(
    sandbox: Sandbox, lake: Path, fault: str
) -> None:
    sandbox.faults = Faults(script={name: [fault] * 99 for name in ("labels", "topics")})
    results = synced(sandbox, lake, *NAMES)
    assert {name for name, result in results.items() if result.outcome == "failed"} == {"labels", "topics"}
    assert {result.outcome for name, result in results.items() if name not in ("labels", "topics")} == {"done"}
    assert [seen.endpoint for seen in sandbox.requests].count("workspace") == 2  # not once for each
