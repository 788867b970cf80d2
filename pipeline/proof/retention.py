"""How long until a server forgets rows that are not in the lake yet."""

from __future__ import annotations

from datetime import datetime, timedelta

from pipeline.streams import DAY, Stream
from warehouse.lake.cursor import EPOCH
from warehouse.lake.literal import literal

# Somebody should act when so little time, or half of what the server gives, is left.
LONGEST_WARNING = timedelta(days=14)


def time_until_lost(stream: Stream, watermark: datetime | None, now: datetime) -> timedelta | None:
    """Time until the server deletes the first row that may not be read yet; None if it keeps or archives all."""
    if stream.retention is None or watermark is None:
        return None
    return watermark + stream.retention - now


def at_risk(stream: Stream, left: timedelta) -> bool:
    """True if somebody should act, so that no row is lost unread."""
    assert stream.retention
    return left < min(stream.retention / 2, LONGEST_WARNING)


def still_kept(stream: Stream, on: str, now: datetime) -> str:
    """SQL: the condition that the server has not purged a row yet, by the age of its date `on` alone."""
    return f"{on} > {literal(now - stream.retention + DAY if stream.retention else EPOCH)}"
