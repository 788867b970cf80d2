"""Finds what a clock that was wrong has left in the cursors, and says how far they can be believed.

A watermark later than the present, or than the commit that wrote it, says that rows are read which were not there yet.
It is as wrong when its time has come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pipeline.server.client import AGREEING_CLOCKS
from warehouse import Cursor


@dataclass(frozen=True)
class Clocks:
    """What is the present (UTC): by the earlier of both clocks, and by this machine's, which dates what is written."""

    now: datetime
    here: datetime

    def believed(self, begun: datetime | None) -> datetime | None:
        """What the earlier clock showed (UTC) when this machine's showed `begun`; None if that is not known.

        All that had been committed by then on the server was there to be read.
        """
        if begun is None or begun > self.here + AGREEING_CLOCKS:
            return None
        return begun - max(self.here - self.now, timedelta(0))


def is_doubtful(cursor: Cursor, now: datetime) -> bool:
    """True if a cursor says that rows are, or are being, read of a time (UTC) that had not come when it was written."""
    possible = (min(now, cursor.saved_on) if cursor.saved_on else now) + AGREEING_CLOCKS
    ends = (cursor.watermark, cursor.walk and cursor.walk.before)
    return any(end > possible for end in ends if end)


def as_believed(cursor: Cursor, clocks: Clocks, begun_before: Callable[[datetime], datetime | None]) -> Cursor:
    """A doubtful cursor, as far as it can be believed; without a watermark if it cannot at all.

    `begun_before` says when the last sync began of those that began before a time (both by this machine's clock).
    """
    safe = clocks.believed(begun_before(cursor.saved_on)) if cursor.saved_on else None
    if safe is None:
        return Cursor(None, cursor.complete_from)
    if cursor.complete_from:
        safe = max(safe, cursor.complete_from)
    walk = cursor.walk
    if walk:
        before = min(walk.before, safe)
        walk = replace(walk, before=before) if walk.after is None or before > walk.after else None
    return replace(cursor, watermark=cursor.watermark and min(cursor.watermark, safe), walk=walk)
