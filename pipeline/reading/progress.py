"""Shows how a sync goes: bars on a terminal, plain lines elsewhere, nothing with `--json`."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

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
COLOURS = {"done": "green", "failed": "red", "suspicious": "yellow", "stopped": "yellow", "waiting": "yellow"}
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

    def ended(self, result: StreamResult) -> None:
        """The stream is finished, one way or another."""


class Quiet(AbstractContextManager["Quiet"]):
    """Shows nothing."""

    def begun(self, stream: str) -> None: ...

    def page(self, stream: str, tally: Tally) -> None: ...

    def waiting(self, stream: str, seconds: float) -> None: ...

    def ended(self, result: StreamResult) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Lines(Quiet):
    """Plain lines on standard error: one when a stream ends, and now and then while a long one runs."""

    def __init__(self, tell: Tell) -> None:
        self._tell_end = tell
        self._turn = threading.Lock()
        self._told: dict[str, float] = {}
        self._since: dict[str, float] = {}

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
            self._say(f"{stream}: waiting {_duration(seconds)} for the rate limit")

    def ended(self, result: StreamResult) -> None:
        self._say(f"{MARKS[result.outcome]} {result.stream}: {self._tell_end(result)}")

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class Terminal(Quiet):
    """A bar per running stream; a line stays for each finished one."""

    def __init__(self, console: Console, tell: Tell) -> None:
        self._tell_end = tell
        self._console = console
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description:<21}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._since: dict[str, float] = {}
        self._waits: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def begun(self, stream: str) -> None:
        self._since[stream] = time.monotonic()
        self._tasks[stream] = self._bars.add_task(stream, total=None, said="")

    def page(self, stream: str, tally: Tally) -> None:
        rate = tally.rows_read / max(time.monotonic() - self._since[stream], 0.001)
        self._tell(stream, f"{tally.rows_read:>11,} rows {tally.pages:>6,} pages {rate:>8,.0f} rows/s")

    def waiting(self, stream: str, seconds: float) -> None:
        if seconds >= 1:
            until = time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
            self._tell(stream, f"[yellow]waiting {_duration(seconds)} for the rate limit, until {until}[/]")

    def ended(self, result: StreamResult) -> None:
        task = self._tasks.pop(result.stream, None)
        if task is not None:
            self._bars.remove_task(task)
        colour = COLOURS.get(result.outcome, "dim")
        self._console.print(
            f"[{colour}]{MARKS[result.outcome]}[/] {result.stream:<21} {escape(self._tell_end(result))}",
            highlight=False,
        )

    def _tell(self, stream: str, said: str) -> None:
        if stream in self._tasks:
            self._bars.update(self._tasks[stream], said=said)


def for_output(*, json: bool, verifying: bool = False) -> Quiet:
    """The progress that suits where standard error goes, and what is being done."""
    if json:
        return Quiet()
    tell = compared if verifying else summary
    console = Console(stderr=True)
    return Terminal(console, tell) if console.is_terminal else Lines(tell)


def summary(result: StreamResult) -> str:
    """One line on how a stream ended: counts if it is done, the reason if not."""
    tally = result.tally
    if result.outcome in NOT_DONE:
        return result.message or result.outcome
    counts = [f"{tally.rows_new:,} new", f"{tally.rows_changed:,} changed"]
    counts += [f"{tally.rows_deleted:,} deleted"] if tally.rows_deleted else []
    counts += [f"{tally.files:,} {'file' if tally.files == 1 else 'files'}"] if tally.files else []
    counts += [_requests(tally)]
    return ", ".join(counts) + (f"; {result.message}" if result.message else "")


def compared(result: StreamResult) -> str:
    """One line on how the verification of a stream ended."""
    if result.outcome in NOT_DONE:
        return result.message or result.outcome
    note = f"; {result.message}" if result.message else ""
    return f"{result.tally.rows_read:,} rows compared, {_requests(result.tally)}{note}"


def _requests(tally: Tally) -> str:
    return f"{tally.counters.requests:,} {'request' if tally.counters.requests == 1 else 'requests'}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
