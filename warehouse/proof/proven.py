"""Which days of a stream were held against the server, and when: `_proven`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb

from warehouse.lake.connection import Lake
from warehouse.lake.cursor import time_at
from warehouse.lake.literal import literal
from warehouse.lake.table import Table

DAY = timedelta(days=1)
# Rows of before are counted with its days: no server is so old, and a walk from the beginning reads them anyway.
FIRST_DAY = date(1970, 1, 2)


@dataclass(frozen=True)
class Span:
    """Days (UTC), both included, that were proven at one time (UTC), and how many rows the server listed of them then.

    `first` is None for all time before, too.
    """

    first: date | None
    last: date
    proven_on: datetime
    rows: int


def proven_days(lake: Lake) -> dict[str, list[Span]]:
    """Stream → what is proven of it, from the earliest on, for those that are read by date; no two spans overlap."""
    found: dict[str, list[Span]] = {}
    for stream, first, last, proven_on, rows in _proofs(lake, "last_day IS NOT NULL"):
        found.setdefault(stream, []).append(Span(first, last, time_at(proven_on), rows))
    return found


def proven_whole(lake: Lake) -> dict[str, datetime]:
    """Stream → when it was last proven (UTC), for those that are read whole."""
    return {stream: time_at(proven_on) for stream, _, _, proven_on, _ in _proofs(lake, "last_day IS NULL")}


def _proofs(lake: Lake, which: str) -> list[tuple[Any, ...]]:
    """Rows of `_proven`; none in a lake that no version with proofs has written yet."""
    known = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'lake' AND table_name = '_proven'"
    if lake.read_only and not lake.rows(known):
        return []
    return lake.rows(
        f"SELECT stream, first_day, last_day, epoch_us(proven_on), rows FROM _proven WHERE {which} ORDER BY last_day"
    )


def note_whole(connection: duckdb.DuckDBPyConnection, stream: str, rows: int, proven_on: datetime) -> None:
    """Note that a stream was read whole and proven, inside the caller's transaction."""
    forget_whole(connection, stream)
    _insert(connection, stream, [("NULL", "NULL", proven_on, rows)])


def forget_whole(connection: duckdb.DuckDBPyConnection, stream: str) -> None:
    """Note that a stream that is read whole is known to differ, inside the caller's transaction."""
    connection.execute(f"DELETE FROM _proven WHERE stream = {literal(stream)} AND last_day IS NULL")


def note_days(
    connection: duckdb.DuckDBPyConnection,
    stream: str,
    first: date | None,
    last: date,
    rows: Mapping[date, int],
    proven_on: datetime,
    *,
    besides: Collection[date] = (),
) -> None:
    """Note the days from `first` (None: from the beginning) to `last` as proven, inside the caller's transaction.

    `rows` says how many rows the server lists of a day, where it lists any. The days `besides` are known to differ.
    """
    _replace(connection, stream, first, last, list(_spans(first, last, rows, proven_on, besides)))


def forget_days(connection: duckdb.DuckDBPyConnection, stream: str, days: Iterable[date]) -> None:
    """Note that days of a stream are known to differ, inside the caller's transaction."""
    for day in {max(day, FIRST_DAY) for day in days}:
        _replace(connection, stream, day, day, [])


def count_days(lake: Lake, table: Table, on: str, listed: str, now: datetime) -> dict[date, int]:
    """Day (UTC) of the date `on`, up to `now` → rows in the lake that are listed by a condition (SQL)."""
    rows = lake.rows(
        f"""
        SELECT greatest(({on} AT TIME ZONE 'UTC')::DATE, {_date(FIRST_DAY)}) AS day, count(*) FILTER ({listed})
        FROM "{table.name}" WHERE {on} <= {literal(now)} GROUP BY day
        """
    )
    return dict(rows)


def unproven_since(lake: Lake, before: datetime) -> list[str]:
    """The streams of which something was last proven before a time (UTC)."""
    proofs = _proofs(lake, f"proven_on < {literal(before)}")
    return sorted({stream for stream, *_ in proofs})


def _spans(
    first: date | None, last: date, rows: Mapping[date, int], proven_on: datetime, besides: Collection[date]
) -> Iterator[Span]:
    """A span per day with rows, one for the empty days between two such, and none of the days `besides`."""
    here, differing = first, {max(day, FIRST_DAY) for day in besides}
    listed: Counter[date] = Counter()
    for day, number in rows.items():
        listed[max(day, FIRST_DAY)] += number
    for day in sorted({*listed, *differing}):
        if (here and day < here) or day > last:
            continue
        if here is None or here < day:
            yield Span(here, day - DAY, proven_on, 0)
        if day not in differing:
            yield Span(day, day, proven_on, listed[day])
        here = day + DAY
    if here is None or here <= last:
        yield Span(here, last, proven_on, 0)


def _replace(
    connection: duckdb.DuckDBPyConnection, stream: str, first: date | None, last: date, new: Sequence[Span]
) -> None:
    """Write what is proven of the days from `first` to `last`; what a span has outside of them stays."""
    overlapping = (
        f"stream = {literal(stream)} AND last_day >= {_date(first or date.min)} "
        f"AND (first_day IS NULL OR first_day <= {_date(last)})"
    )
    found = connection.execute(
        f"SELECT first_day, last_day, epoch_us(proven_on), rows FROM _proven WHERE {overlapping}"
    ).fetchall()
    kept = []
    for low, high, proven_on, rows in found:
        old = Span(low, high, time_at(proven_on), rows)
        if first is not None and (low is None or low < first):
            kept.append(replace(old, last=first - DAY))
        if high > last:
            kept.append(replace(old, first=last + DAY))
    connection.execute(f"DELETE FROM _proven WHERE {overlapping}")
    written = [(_date(one.first) if one.first else "NULL", _date(one.last), one) for one in (*kept, *new)]
    _insert(connection, stream, [(low, high, one.proven_on, one.rows) for low, high, one in written])


def _insert(
    connection: duckdb.DuckDBPyConnection, stream: str, values: Iterable[tuple[str, str, datetime, int]]
) -> None:
    written = [f"({literal(stream)}, {first}, {last}, {literal(at)}, {rows})" for first, last, at, rows in values]
    if written:
        connection.execute(
            f"INSERT INTO _proven (stream, first_day, last_day, proven_on, rows) VALUES {', '.join(written)}"
        )


def _date(day: date) -> str:
    return f"DATE '{day.isoformat()}'"


def day_of(at: datetime) -> date:
    """The day of a time, in UTC."""
    return at.astimezone(UTC).date()
