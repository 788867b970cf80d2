"""How far each stream is read: its watermark, and the place of a walk that is still open.

A cursor is saved in the transaction that writes the rows it speaks of, never outside one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb

from warehouse.literal import literal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES = ("watermark", "complete_from", "walk_after", "walk_before", "place")


@dataclass(frozen=True)
class OpenWalk:
    """A window that is being read: its fixed ends, both inclusive, and where reading goes on (all UTC).

    `after` None means from the beginning; `place` None means that nothing of it is read yet.
    """

    after: datetime | None
    before: datetime
    place: datetime | None = None


@dataclass(frozen=True)
class Cursor:
    """How far one feed of a stream is read (all times UTC).

    watermark: everything up to here is in the lake.
    complete_from: everything from here on is; None means from the beginning.
    walk: the window that is being read now, if any.
    """

    watermark: datetime | None = None
    complete_from: datetime | None = None
    walk: OpenWalk | None = None


def read_cursor(connection: duckdb.DuckDBPyConnection, stream: str, feed: str) -> Cursor:
    """The saved cursor of a feed; an empty one before its first commit."""
    columns = ", ".join(f"epoch_us({time})" for time in _TIMES)
    row = connection.execute(f"SELECT {columns} FROM _cursor WHERE {_of(stream, feed)}").fetchone()
    if row is None:
        return Cursor()
    watermark, complete_from, after, before, place = (
        None if value is None else _EPOCH + timedelta(microseconds=value) for value in row
    )
    walk = OpenWalk(after, before, place) if before is not None and place is not None else None
    return Cursor(watermark, complete_from, walk)


def save_cursor(connection: duckdb.DuckDBPyConnection, stream: str, feed: str, cursor: Cursor) -> None:
    """Write the cursor of a feed, in the transaction that is open on `connection`."""
    walk = cursor.walk
    times = [
        cursor.watermark,
        cursor.complete_from,
        walk.after if walk else None,
        walk.before if walk else None,
        walk.place if walk else None,
    ]
    connection.execute(f"DELETE FROM _cursor WHERE {_of(stream, feed)}")
    values = ", ".join(map(literal, (stream, feed, *times)))
    connection.execute(f"INSERT INTO _cursor (stream, feed, {', '.join(_TIMES)}, updated_on) VALUES ({values}, now())")


def _of(stream: str, feed: str) -> str:
    return f"stream = {literal(stream)} AND feed = {literal(feed)}"
