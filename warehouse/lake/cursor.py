"""How far each stream is read: its watermark, and the place of a walk that is still open.

A cursor is saved in the transaction that writes the rows it speaks of, never outside one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import duckdb

from warehouse.lake.clock import NOW
from warehouse.lake.literal import literal

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
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
    saved_on: when this was written, by this machine's clock; None if it was not yet.
    """

    watermark: datetime | None = None
    complete_from: datetime | None = None
    walk: OpenWalk | None = None
    saved_on: datetime | None = field(default=None, compare=False)


def read_cursors(connection: duckdb.DuckDBPyConnection, stream: str) -> dict[str, Cursor]:
    """The saved cursors of a stream by feed."""
    columns = ", ".join(f"epoch_us({time})" for time in (*_TIMES, "updated_on"))
    rows = connection.execute(f"SELECT feed, {columns} FROM _cursor WHERE stream = {literal(stream)}").fetchall()
    return {feed: _cursor(*times) for feed, *times in rows}


def _cursor(
    watermark: int | None,
    complete_from: int | None,
    after: int | None,
    before: int | None,
    place: int | None,
    saved_on: int | None,
) -> Cursor:
    """A cursor from times in microseconds since the epoch."""
    end, here = _time(before), _time(place)
    walk = OpenWalk(_time(after), end, here) if end and here else None
    return Cursor(_time(watermark), _time(complete_from), walk, _time(saved_on))


def last_sync_before(connection: duckdb.DuckDBPyConnection, stream: str, at: datetime) -> datetime | None:
    """When the sync of a stream began that went on at a time (UTC), or else the last before; None if none is known."""
    found = connection.execute(
        f"""
        SELECT epoch_us(coalesce(
            min(started_on) FILTER (started_on + to_seconds(ceil(seconds)) >= {literal(at)}),
            max(started_on)
        ))
        FROM _sync
        WHERE stream = {literal(stream)} AND started_on <= {literal(at)} AND outcome <> 'skipped'
        """
    ).fetchone()
    return _time(found[0]) if found else None


def time_at(microseconds: int) -> datetime:
    """The time so long after the epoch (UTC); the first or last that Python knows where DuckDB knows more."""
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return LAST if microseconds > 0 else FIRST


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else time_at(microseconds)


def forget_cursor(connection: duckdb.DuckDBPyConnection, stream: str, feed: str) -> None:
    """Delete the cursor of a feed that is read to its end, inside the caller's transaction."""
    connection.execute(f"DELETE FROM _cursor WHERE stream = {literal(stream)} AND feed = {literal(feed)}")


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
    forget_cursor(connection, stream, feed)
    values = ", ".join(map(literal, (stream, feed, *times)))
    connection.execute(f"INSERT INTO _cursor (stream, feed, {', '.join(_TIMES)}, updated_on) VALUES ({values}, {NOW})")
