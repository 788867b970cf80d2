"""Chooses what a night holds against the lake, so that ten nights cover everything that the API shows, evenly.

A night takes what was proven longest ago: a ninth of the rows, and all that would be older than nine nights by the next
one. So everything is proven every nine nights, and within ten where a night fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from pipeline.months import Month, month_range
from pipeline.reading.walk import TICK
from warehouse.lake.cursor import EPOCH
from warehouse.proof.proven import DAY, Span, day_of

NIGHTS = 9
# A night may begin half a day early or late.
DUE = (NIGHTS - 0.5) * DAY
# What was proven since then is of the night that goes on.
NIGHT = timedelta(hours=20)
# Days between two that are due are read with them where that costs no more than another request.
ROWS_OF_A_PAGE = 250


@dataclass(frozen=True)
class Part:
    """What is read at one go at least: days (both included), or a stream that is read whole.

    held_on: when it was last held against the server, or read from it (UTC); weight: what it costs, about, in rows;
    proven: whether it was ever held against the server.
    """

    held_on: datetime
    weight: int
    proven: bool = False
    first: date | None = None
    last: date = date.max
    stream: str = ""


def parts_of_days(spans: Sequence[Span], rows: Mapping[date, int], now: datetime) -> list[Part]:
    """All time up to today, in parts; `rows` are those of each day that the lake has, `spans` what is proven.

    Days that were never proven count from when rotating began, or from their end, today from its beginning: syncs have
    read them by then.
    """
    today, begun = day_of(now), min((span.proven_on for span in spans), default=now)
    parts = [
        Part(believed(span.proven_on, now), 1 + max(span.rows, _rows_within(rows, span)), True, span.first, span.last)
        for span in spans
    ]
    known = sorted(day for day in rows if day <= today)
    here = None  # where what is not yet divided into parts begins
    for span in [*sorted(spans, key=lambda span: span.last), None]:
        end = span.first - DAY if span and span.first else None if span else today
        if end is not None:
            with_rows = [day for day in known if (here or day) <= day <= end]
            for first, last, number in _stretches(here, end, with_rows, rows):
                read_on = min(midnight(first + DAY), midnight(today)) if first else begun
                parts.append(Part(max(read_on, begun), 1 + number, False, first, last))
        if span:
            here = span.last + DAY
    return parts


def _stretches(
    first: date | None, last: date, with_rows: Sequence[date], rows: Mapping[date, int]
) -> Iterator[tuple[date | None, date, int]]:
    """Each day with rows, and the empty days between two such as one: first and last day, and how many rows."""
    here = first
    for day in with_rows:
        if here is None or here < day:
            yield here, day - DAY, 0
        yield day, day, rows[day]
        here = day + DAY
    if here is None or here <= last:
        yield here, last, 0


def parts_of_streams(proofs: Mapping[str, datetime], rows: Mapping[str, int], now: datetime) -> list[Part]:
    """The streams that are read whole, each a part; `rows` says how many the lake has of each."""
    begun = min(proofs.values(), default=now)
    return [
        Part(
            believed(proofs[stream], now) if stream in proofs else begun,
            ROWS_OF_A_PAGE + number,
            stream in proofs,
            stream=stream,
        )
        for stream, number in rows.items()
    ]


def believed(proven_on: datetime, now: datetime) -> datetime:
    """When something was proven; for ever ago where that lies in the future, because a clock was wrong."""
    return proven_on if proven_on - now < DAY else EPOCH


def tonight(parts: Iterable[Part], now: datetime, *, goes_on: bool = False) -> list[Part]:
    """The parts whose turn it is; with `goes_on` those that an interrupted night has left."""
    ordered = sorted(parts, key=lambda part: (part.held_on, part.proven, part.first or date.min, part.stream))
    share = -(-sum(part.weight for part in ordered) // NIGHTS)
    if goes_on:
        share -= sum(part.weight for part in ordered if part.proven and now - part.held_on < NIGHT)
    taken: list[Part] = []
    for part in ordered:
        if now - part.held_on < DUE and share <= 0:
            break
        taken.append(part)
        share -= part.weight
    return taken


def windows_of(taken: Sequence[Part], parts: Iterable[Part], now: datetime) -> list[tuple[datetime | None, datetime]]:
    """The windows (UTC, ends included) that parts of days make: neighbours are one, with what little lies between."""
    chosen = set(taken)
    windows: list[tuple[date | None, date]] = []
    between: list[Part] = []
    for part in sorted(parts, key=lambda part: part.last):
        if part not in chosen:
            between.append(part)
        elif windows and sum(one.weight for one in between) <= ROWS_OF_A_PAGE:
            windows[-1] = (windows[-1][0], part.last)
            between = []
        else:
            windows.append((part.first, part.last))
            between = []
    return [(midnight(first) if first else None, min(midnight(last + DAY) - TICK, now)) for first, last in windows]


def proven_months(spans: Sequence[Span], archived: Mapping[date, bool], today: date) -> dict[Month, datetime | None]:
    """Month → the oldest proof of its days, the latest month first; None where a day of it was never proven.

    `archived` says of months with archive files, by their first day, whether the lake has all that is in them: else
    they are not proven. From the first of them on, or else of what is proven. The last days have not had their turn
    yet; a month of such days alone is not told.
    """
    due = today - (NIGHTS + 1) * DAY
    firsts = [day for day in (*archived, *(span.first for span in spans)) if day and day <= due] if spans else []
    found: dict[Month, datetime | None] = {}
    for month in reversed(month_range(Month.of(min(firsts)), Month.of(due)) if firsts else []):
        first, last = month.start.date(), min(month.end.date() - DAY, due)
        within = [one for one in spans if one.last >= first and (one.first is None or one.first <= last)]
        days = sum((min(one.last, last) - max(one.first or first, first)).days + 1 for one in within)
        complete = archived.get(first, True) and days == (last - first).days + 1
        found[month] = min(one.proven_on for one in within) if complete else None
    return found


def midnight(day: date) -> datetime:
    """The first moment of a day (UTC)."""
    return datetime.combine(day, time(), UTC)


def _rows_within(rows: Mapping[date, int], span: Span) -> int:
    if span.first == span.last:
        return rows.get(span.last, 0)
    return sum(number for day, number in rows.items() if (span.first or day) <= day <= span.last)
