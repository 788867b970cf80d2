"""Reads one window of a listing, page by page, so that no row is skipped while rows change.

A walk does not follow `next`: among rows of one timestamp that cursor is an offset, and when one of them changes,
another is skipped for good. It seeks instead: the next page is asked for by the last timestamp seen, whose rows come
again. Only where one timestamp fills a page is that timestamp read by itself, until two readings agree.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qs

import msgspec

from pipeline.errors import UnexpectedAnswer
from pipeline.server.pages import Page

TICK = timedelta(microseconds=1)
MOST_READINGS = 20
# What the reading of one key of a row can raise: it is none, or of the year 1 or 9999; the row is nested too deeply.
UNREADABLE = (ValueError, OverflowError, RecursionError)

Fetch = Callable[[dict[str, str]], Page]


@dataclass(frozen=True)
class Piece:
    """Rows of a page, as bytes, and the place from which the walk would go on after them (None: unchanged).

    `cut_off` is a timestamp (UTC) of which there are more rows than the server can list.
    """

    rows: list[msgspec.Raw]
    place: datetime | None = None
    cut_off: datetime | None = None


class CutOff(UnexpectedAnswer):
    """The server's listing runs in a circle, because it cannot count that far among rows of one timestamp."""


def timestamp(at: datetime) -> str:
    """A time as the API reads it for certain: UTC, microseconds, `Z`; anything else can answer an empty list."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def seek(
    fetch: Fetch,
    stream: str,
    on: str,
    key: tuple[str, ...],
    *,
    after: datetime | None,
    before: datetime,
    place: datetime | None,
    oldest_first: bool,
) -> Iterator[Piece]:
    """Read the rows whose date `on` lies in [after, before], both inclusive; start at `place` if given.

    Yields at least every row that is in the window from start to end, some twice.

    Raises:
        UnexpectedAnswer: the server ignores the filter or the order, or rows have no readable date.
    """
    here = place or (after if oldest_first else before)
    while True:
        low, high = (here, before) if oldest_first else (after, here)
        page = fetch(_window(low, high, oldest_first=oldest_first))
        dates = _edge_dates(page, on)
        if dates is None:
            if page.results and page.next:
                raise UnexpectedAnswer(
                    f"{stream}: no row of a page has a readable {on}: the walk cannot go on from it."
                )
            yield Piece(page.results)
            return
        first, last = dates
        _check_order(stream, on, first, last, low, high, oldest_first=oldest_first)
        if page.next is None:
            yield Piece(page.results)
            return
        if first != last:
            here = last
            yield Piece(page.results, here)
            continue
        yield Piece(page.results)
        yield from drain(fetch, stream, last, key)
        here = last + TICK if oldest_first else last - TICK
        yield Piece([], here)
        if (oldest_first and here > before) or (not oldest_first and after is not None and here < after):
            return


def drain(fetch: Fetch, stream: str, at: datetime, key: tuple[str, ...]) -> Iterator[Piece]:
    """Read all rows of one timestamp, again and again until two readings hold the same keys.

    Equal readings prove that no row left the timestamp in between, hence that none was skipped.

    A server counts up to 100,000 rows of one timestamp; of more the others may be listed from the other end.

    Raises:
        UnexpectedAnswer: the rows kept changing.
    """
    tie = {"after": timestamp(at), "before": timestamp(at)}
    previous: set[object] | None = None
    for _ in range(MOST_READINGS):
        keys: list[object] = []
        pages = 0
        try:
            for page in follow(fetch, stream, tie):
                keys += [keys_of(row, key) for row in page.results]
                pages += 1
                yield Piece(page.results)
        except CutOff:
            if not (yield from _from_the_other_end(fetch, stream, tie, key, keys)):
                yield Piece([], cut_off=at)
            return
        if set(keys) == previous or pages == 1:  # one page is one look at the table: nothing is skipped in it
            return
        previous = set(keys)
    raise UnexpectedAnswer(
        f"{stream}: the rows of {timestamp(at)} changed during {MOST_READINGS} readings; "
        "sync again when the server is quieter."
    )


def _from_the_other_end(
    fetch: Fetch, stream: str, tie: dict[str, str], key: tuple[str, ...], listed: list[object]
) -> Generator[Piece, None, bool]:
    """Read rows of one timestamp in the other order, up to one that was `listed`; return whether one was met."""
    known = set(listed)
    first = True
    try:
        for page in follow(fetch, stream, {**tie, "reverse": "true"}):
            keys = [keys_of(row, key) for row in page.results]
            if first and keys[:1] == listed[:1]:  # the server knows one order only
                return False
            first = False
            yield Piece(page.results)
            if not known.isdisjoint(keys):
                return True
    except CutOff:
        return False
    return True


def follow(fetch: Fetch, stream: str, params: dict[str, str]) -> Iterator[Page]:
    """Yield each page of a listing by its `next`, for listings that have no date to seek by.

    Raises:
        CutOff: `next` leads to a page that was read before.
    """
    seen: set[tuple[tuple[str, str], ...]] = set()
    following: dict[str, str] | None = params
    while following is not None:
        mark = tuple(sorted(following.items()))
        if mark in seen:
            raise CutOff(
                f"{stream}: the server's next page is one that was read already: "
                "more rows share a timestamp than it can list."
            )
        seen.add(mark)
        page = fetch(following)
        yield page
        following = page.following


def counts_through_a_tie(page: Page) -> bool:
    """True if the next page's cursor is an offset among rows of one timestamp, or cannot be understood.

    A cursor is base64 of `p=<timestamp>`, or of `o=<rows to skip>&p=<timestamp>` where the rows of a timestamp go over
    the page's edge.
    """
    if page.following is None:
        return False
    try:
        cursor = parse_qs(base64.b64decode(page.following.get("cursor", ""), validate=True).decode())
    except ValueError:
        return True
    return "o" in cursor or "p" not in cursor


def date_of(row: msgspec.Raw, on: str) -> datetime | None:
    """The date `on` of a row, without a zone in UTC, as it is loaded; None if it has no readable one."""
    try:
        value = getattr(_decoder((on,)).decode(row), on)
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        return at and (at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC))
    except UNREADABLE:
        return None


def _window(low: datetime | None, high: datetime | None, *, oldest_first: bool) -> dict[str, str]:
    params = {}
    if low is not None:
        params["after"] = timestamp(low)
    if high is not None:
        params["before"] = timestamp(high)
    if oldest_first:
        params["reverse"] = "true"
    return params


def _edge_dates(page: Page, on: str) -> tuple[datetime, datetime] | None:
    """Dates of the first and the last row that have a readable one."""
    first = next((date for row in page.results if (date := date_of(row, on))), None)
    last = next((date for row in reversed(page.results) if (date := date_of(row, on))), None)
    return (first, last) if first and last else None


def _check_order(
    stream: str,
    on: str,
    first: datetime,
    last: datetime,
    low: datetime | None,
    high: datetime | None,
    *,
    oldest_first: bool,
) -> None:
    earliest, latest = (first, last) if oldest_first else (last, first)
    if earliest > latest:
        raise UnexpectedAnswer(f"{stream}: the server does not sort by {on} as expected; nothing is read that way.")
    if (low is not None and earliest < low) or (high is not None and latest > high):
        raise UnexpectedAnswer(f"{stream}: the server ignores the filter on {on}; nothing is read that way.")


def keys_of(row: msgspec.Raw, key: tuple[str, ...]) -> tuple[object, ...]:
    """The values of a row's key; the row itself where it has none that can be read."""
    try:
        return tuple(msgspec.structs.astuple(_decoder(key).decode(row)))
    except UNREADABLE:
        return (bytes(row),)


@lru_cache
def _decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[msgspec.Struct]:
    """A decoder that reads only these keys of a row."""
    fields = [(name, str | int | float | bool | None, None) for name in names]
    return msgspec.json.Decoder(msgspec.defstruct("Named", fields))
