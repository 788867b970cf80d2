"""What a sync tells while it runs, and the ways of telling it that need no terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from pipeline.results import StreamResult, Tally

MARKS = {
    "done": "✓",
    "not offered": "-",
    "skipped": "-",
    "waiting": "…",
    "stopped": "■",
    "suspicious": "!",
    "failed": "✗",
}
LINE_EVERY_SECONDS = 10.0
NOT_DONE = ("not offered", "skipped", "waiting", "failed", "stopped")
Tell = Callable[[StreamResult], str]


class Progress(Protocol):
    """What a sync tells while it runs; called from several threads."""

    def begun(self, stream: str) -> None:
        """A stream's turn has come."""

    def page(self, stream: str, tally: Tally) -> None:
        """A page has arrived."""

    def waiting(self, stream: str, seconds: float) -> None:
        """The stream waits for the rate limit."""

    def retrying(self, stream: str, why: str | None) -> None:
        """A request of the stream has kept failing for some seconds, and is asked again; None: it is answered."""

    def ended(self, result: StreamResult) -> None:
        """The stream is finished, one way or another."""


class Quiet(AbstractContextManager["Quiet"]):
    """Shows nothing."""

    def begun(self, stream: str) -> None: ...

    def page(self, stream: str, tally: Tally) -> None: ...

    def waiting(self, stream: str, seconds: float) -> None: ...

    def retrying(self, stream: str, why: str | None) -> None: ...

    def ended(self, result: StreamResult) -> None: ...

    def __exit__(self, *ended: object) -> None: ...


class Lines(Quiet):
    """Plain lines, each given to `say`: one when a stream ends, one when the server begins to fail, and now and
    then while a long stream runs.
    """

    def __init__(self, tell: Tell, say: Callable[[str], None]) -> None:
        self._tell_end = tell
        self._say = say
        self._turn = threading.Lock()
        self._told: dict[str, float] = {}
        self._since: dict[str, float] = {}
        self._failing: set[str] = set()

    def begun(self, stream: str) -> None:
        with self._turn:
            self._since[stream] = self._told[stream] = time.monotonic()

    def page(self, stream: str, tally: Tally) -> None:
        now = time.monotonic()
        with self._turn:
            if now - self._told[stream] < LINE_EVERY_SECONDS:
                return
            self._told[stream] = now
            rate = tally.rows_read / max(now - self._since[stream], 0.001)
        self._say(f"{stream}: {tally.rows_read:,} rows, {tally.pages:,} pages, {rate:,.0f} rows/s")

    def waiting(self, stream: str, seconds: float) -> None:
        if seconds >= 1:
            self._say(f"{stream}: waiting {duration(seconds)} for the rate limit")

    def retrying(self, stream: str, why: str | None) -> None:
        with self._turn:
            told = bool(self._failing)  # a server that is down fails all streams
            (self._failing.discard if why is None else self._failing.add)(stream)
        if why and not told:
            self._say(f"{stream}: {why}")

    def ended(self, result: StreamResult) -> None:
        self.retrying(result.stream, None)
        self._say(f"{MARKS[result.outcome]} {result.stream}: {self._tell_end(result)}")


def summary(result: StreamResult) -> str:
    """One line on how a stream ended: counts if it is done, the reason if not."""
    tally = result.tally
    if result.outcome in NOT_DONE:
        return result.message or result.outcome
    counts = [f"{tally.rows_new:,} new", f"{tally.rows_changed:,} changed"]
    counts += [f"{tally.rows_deleted:,} deleted"] if tally.rows_deleted else []
    counts += [f"{tally.rows_unreadable:,} unreadable"] if tally.rows_unreadable else []
    counts += [f"{tally.files:,} {'file' if tally.files == 1 else 'files'}"] if tally.files else []
    counts += [_requests(tally)]
    return ", ".join(counts) + (f"; {result.message}" if result.message else "")


def compared(result: StreamResult) -> str:
    """One line on how the verification of a stream ended."""
    if result.outcome in NOT_DONE:
        return result.message or result.outcome
    note = f"; {result.message}" if result.message else ""
    return f"{counted(result.tally.rows_read, 'row')} compared, {_requests(result.tally)}{note}"


def counted(number: int, what: str) -> str:
    """A number of things, as people say it: 1 row, 2 rows."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _requests(tally: Tally) -> str:
    return counted(tally.counters.requests, "request")


def duration(seconds: float) -> str:
    """A time as people say it: 2 min 05 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
