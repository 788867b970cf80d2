"""What a sync did, as plain facts: the command line, Dagster and `_sync` each show them their way."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Outcome = Literal["done", "not offered", "skipped", "waiting", "stopped", "suspicious", "failed"]
# Outcomes that somebody should look at; the exit code says so.
FAILED: tuple[Outcome, ...] = ("failed", "stopped", "suspicious")


@dataclass
class Counters:
    """What requests of one stream have cost so far."""

    requests: int = 0
    bytes: int = 0
    waited_seconds: float = 0.0

    def add(self, other: Counters) -> None:
        """Count what `other` has cost too."""
        self.requests += other.requests
        self.bytes += other.bytes
        self.waited_seconds += other.waited_seconds


@dataclass
class Tally:
    """What the sync of one stream has done so far.

    Rows read are new, changed, equal to what the lake has, double in their batch, or unreadable. rows_read counts rows
    at the edge of two pages twice; rows_quarantined counts only the unreadable rows not seen before.
    """

    counters: Counters = field(default_factory=Counters)
    pages: int = 0
    files: int = 0
    rows_read: int = 0
    rows_new: int = 0
    rows_changed: int = 0
    rows_equal: int = 0
    rows_double: int = 0
    rows_unreadable: int = 0
    rows_quarantined: int = 0
    rows_deleted: int = 0
    notes: list[str] = field(default_factory=list)
    drift: set[tuple[str, str, str]] = field(default_factory=set)
    suspicious: bool = False

    @property
    def rows_accounted(self) -> int:
        """Rows of which it is known what became of them."""
        return self.rows_readable + self.rows_double + self.rows_unreadable

    @property
    def rows_readable(self) -> int:
        """Rows that were read and are in the lake."""
        return self.rows_new + self.rows_changed + self.rows_equal

    def add(self, other: Tally) -> None:
        """Count what `other` did too; its counters are expected to be these."""
        for name in ("pages", "files", "rows_read", "rows_new", "rows_changed", "rows_equal", "rows_double",
                     "rows_unreadable", "rows_quarantined", "rows_deleted"):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.notes.extend(note for note in other.notes if note not in self.notes)
        self.drift |= other.drift
        self.suspicious = self.suspicious or other.suspicious


@dataclass(frozen=True)
class StreamResult:
    """How the sync of one stream ended; `message` says what happened and what to do.

    go_on_in: seconds until it is worth going on, where the rate limit ended it.
    """

    stream: str
    outcome: Outcome
    started_on: datetime
    seconds: float
    tally: Tally
    message: str | None = None
    go_on_in: float | None = None

    @property
    def good(self) -> bool:
        """True if the stream was read to its end, or the server does not have it."""
        return self.outcome in ("done", "not offered")

    def facts(self) -> dict[str, str | int | float | None]:
        """The row of `_sync`, and of `--json`."""
        tally = self.tally
        return {
            "stream": self.stream,
            "started_on": self.started_on.isoformat(),
            "seconds": round(self.seconds, 3),
            "requests": tally.counters.requests,
            "pages": tally.pages,
            "bytes": tally.counters.bytes,
            "rows_read": tally.rows_read,
            "rows_new": tally.rows_new,
            "rows_changed": tally.rows_changed,
            "rows_equal": tally.rows_equal,
            "rows_double": tally.rows_double,
            "rows_unreadable": tally.rows_unreadable,
            "rows_quarantined": tally.rows_quarantined,
            "rows_deleted": tally.rows_deleted,
            "waited_seconds": round(tally.counters.waited_seconds, 3),
            "outcome": self.outcome,
            "message": self.message,
        }


@dataclass(frozen=True)
class SyncResult:
    """How a sync ended, stream by stream; `workspace` is its uuid, `name` what people call it."""

    run: uuid.UUID
    workspace: str
    lake: str
    streams: list[StreamResult]
    seconds: float
    name: str = ""

    @property
    def failed(self) -> bool:
        """True if any stream failed, was stopped, or looks suspicious."""
        return any(stream.outcome in FAILED for stream in self.streams)
