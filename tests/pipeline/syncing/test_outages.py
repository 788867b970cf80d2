"""A server that is down is told of while it is retried, whatever is being done, in one line for each outage."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from assets.workspace import WorkspaceResource
from pipeline.cli.answers.bars import Terminal
from pipeline.errors import Stopped
from pipeline.months import Month
from pipeline.proof.comparing import Verification
from pipeline.proof.doctor import examine
from pipeline.proof.verify import choose_verifiable, verify
from pipeline.reading.progress import Lines, Quiet, summary
from pipeline.results import StreamResult, Tally
from pipeline.settings import Settings, load_settings
from pipeline.syncing.backfill import backfill
from pipeline.syncing.sync import choose, sync
from tests.conftest import Answer, Asked, Serve

TOKEN = "0f3c9a6e5b7d4812a9c0ffee0f3c9a6e5b7d4812"
DOWN = Answer(b"<p>Adaeze Obi", 503, {"Retry-After": "60"})
WHY = "https://textit.example fails (the server answered 503); trying again for up to 300 s"


class Impatient(Quiet):
    """Notes what it is told of a server that is down, and has no time to wait for it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | None]] = []

    def retrying(self, stream: str, why: str | None) -> None:
        self.told.append((stream, why))
        raise Stopped("Stopped.")


DOINGS: dict[str, Callable[[Settings, Impatient], object]] = {
    "sync": lambda settings, progress: sync(settings, choose([]), progress),
    "backfill": lambda settings, progress: backfill(settings, choose(["runs"]), [Month.parse("2026-01")], progress),
    "verify": lambda settings, progress: verify(settings, choose_verifiable([]), progress, asked=Verification()),
    "doctor": lambda settings, progress: examine(settings, progress),
    "Dagster": lambda settings, progress: WorkspaceResource(
        url=settings.url, token=TOKEN, lake_folder=str(settings.lake)
    ).session(progress),
}


@pytest.mark.parametrize("doing", DOINGS)
def test_the_very_first_request_tells_that_the_server_is_down(doing: str, serve: Serve, lake: Path) -> None:
    origin, progress = serve(lambda asked: DOWN), Impatient()
    settings = load_settings(url=origin.url, token=TOKEN, lake=lake)
    try:
        DOINGS[doing](settings, progress)
    except Stopped:
        assert doing != "doctor"  # which tells what it found
    why = f"{origin.url} fails (the server answered 503); trying again for up to 15 s"
    assert progress.told == [("workspace", why)]


@pytest.mark.parametrize("stream", ["labels", "messages", "archives", "statistics", "tickets", "broadcasts"])
def test_each_way_of_reading_tells_that_the_server_is_down(stream: str, serve: Serve, lake: Path) -> None:
    def answering(asked: Asked) -> Answer:
        return Answer(b'{"uuid":"5e0a3b1c-0000-4000-8000-000000000000"}') if "workspace" in asked.path else DOWN

    origin, progress = serve(answering), Impatient()
    sync(load_settings(url=origin.url, token=TOKEN, lake=lake), choose([stream]), progress)
    assert progress.told == [(stream, f"{origin.url} fails (the server answered 503); trying again for up to 300 s")]


# -- in lines --


@pytest.fixture
def said() -> list[str]:
    return []


def test_an_outage_of_all_streams_is_one_line(said: list[str]) -> None:
    lines = Lines(summary, said.append)
    for stream in ("contacts", "messages", "runs"):
        lines.begun(stream)
        lines.retrying(stream, WHY)
    assert said == [f"contacts: {WHY}"]
    for stream in ("messages", "contacts", "runs"):
        lines.retrying(stream, None)
    lines.retrying("runs", WHY)
    assert said == [f"contacts: {WHY}", f"runs: {WHY}"]


def test_a_stream_that_failed_leaves_the_next_outage_to_be_told(said: list[str]) -> None:
    lines = Lines(summary, said.append)
    lines.begun("contacts")
    lines.retrying("contacts", WHY)
    lines.ended(StreamResult("contacts", "failed", datetime.now(UTC), 1.0, Tally(), "it is down"))
    lines.retrying("runs", WHY)
    assert said == [f"contacts: {WHY}", "✗ contacts: it is down", f"runs: {WHY}"]


# -- on a terminal --


def shown(*told: tuple[str, str | None]) -> str:
    """What a terminal shows while a stream is read, the last time that it is drawn too."""
    screen = io.StringIO()
    with Terminal(Console(file=screen, force_terminal=True, width=200), summary) as terminal:
        terminal.begun("contacts")
        for stream, why in told:
            terminal.retrying(stream, why)
    return screen.getvalue()


def test_a_terminal_shows_it_beside_the_stream() -> None:
    assert f"[red] {WHY}" in shown(("contacts", f"[red] {WHY}"))
    assert WHY not in shown(("contacts", WHY), ("contacts", None)).splitlines()[-1]


def test_a_terminal_shows_it_where_no_stream_has_begun() -> None:
    assert WHY in shown(("workspace", WHY), ("workspace", None))
