"""Shows how a sync goes: bars on a terminal, plain lines elsewhere, nothing with `--json`."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from pipeline.cli.answers.saying import quoted, warn
from pipeline.reading.progress import MARKS, Lines, Quiet, Tell, compared, duration, summary
from pipeline.results import StreamResult, Tally
from warehouse.lake import clock

COLOURS = {"done": "green", "failed": "red", "suspicious": "yellow", "stopped": "yellow", "waiting": "yellow"}


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

    def __exit__(self, *ended: object) -> None:
        self._bars.stop()

    def begun(self, stream: str) -> None:
        self._since[stream] = time.monotonic()
        self._tasks[stream] = self._bars.add_task(stream, total=None, said="")

    def page(self, stream: str, tally: Tally) -> None:
        rate = tally.rows_read / max(time.monotonic() - self._since[stream], 0.001)
        self._tell(stream, f"{tally.rows_read:>11,} rows {tally.pages:>6,} pages {rate:>8,.0f} rows/s")

    def waiting(self, stream: str, seconds: float) -> None:
        if seconds >= 1:
            until = f"{(clock.now() + timedelta(seconds=seconds)).astimezone():%H:%M:%S}"
            self._tell(stream, f"[yellow]waiting {duration(seconds)} for the rate limit, until {until}[/]")

    def retrying(self, stream: str, why: str | None) -> None:
        if stream in self._tasks:
            self._tell(stream, f"[yellow]{quoted(why)}[/]" if why else "")
        elif why:
            self._console.print(f"[yellow]{quoted(why)}[/]", highlight=False)

    def ended(self, result: StreamResult) -> None:
        task = self._tasks.pop(result.stream, None)
        if task is not None:
            self._bars.remove_task(task)
        colour = COLOURS.get(result.outcome, "dim")
        self._console.print(
            f"[{colour}]{MARKS[result.outcome]}[/] {result.stream:<21} {quoted(self._tell_end(result))}",
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
    return Terminal(console, tell) if console.is_terminal else Lines(tell, warn)
