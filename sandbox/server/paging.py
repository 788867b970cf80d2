"""Cursor pages, by the algorithm of the framework that the real server is built on.

A cursor holds a position p (a value of the first sort column) and an offset o. A page is `WHERE column < p OFFSET o
LIMIT 251`. Rows that share the value at the edge of a page are stepped over by the offset alone; so when one of them
changes between two pages, the offset steps over a row that was never served. Tests rely on that flaw being here.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from sandbox.workspace import dates
from sandbox.workspace.store import Condition, Listing, Served, Store

PAGE_SIZE = 250
OFFSET_CUTOFF = 100_000  # larger offsets are cut to this one without a word


class InvalidCursor(ValueError):
    """The server answers 404."""


class BrokenCursor(ValueError):
    """The cursor has the right form, but the database cannot read its position: the server answers 500."""


@dataclass(frozen=True)
class Cursor:
    """A place in a listing."""

    offset: int = 0
    reverse: bool = False
    position: str | None = None

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Read a cursor from a URL."""
        try:
            tokens = parse_qs(base64.b64decode(text.encode("ascii")).decode("ascii"), keep_blank_values=True)
            offset = int(tokens.get("o", ["0"])[0])
            reverse = bool(int(tokens.get("r", ["0"])[0]))
        except (ValueError, binascii.Error) as error:
            raise InvalidCursor(text) from error
        if offset < 0:
            raise InvalidCursor(text)
        return cls(min(offset, OFFSET_CUTOFF), reverse, tokens.get("p", [None])[0])

    def encode(self) -> str:
        """Write the cursor for a URL."""
        tokens: dict[str, str] = {}
        if self.offset:
            tokens["o"] = str(self.offset)
        if self.reverse:
            tokens["r"] = "1"
        if self.position is not None:
            tokens["p"] = self.position
        return base64.b64encode(urlencode(tokens).encode("ascii")).decode("ascii")


@dataclass(frozen=True)
class Page:
    """The rows of one page and the cursors that lead on from it."""

    rows: list[Served]
    next: Cursor | None = None
    previous: Cursor | None = None


def read_page(store: Store, listing: Listing, cursor: Cursor | None) -> Page:
    """Read the page at a cursor."""
    if listing.empty:
        return Page([])
    at = cursor or Cursor()
    more = () if at.position is None else (_beyond(listing, at),)
    found = store.page(listing, *more, offset=at.offset, limit=PAGE_SIZE + 1, flip=at.reverse)
    rows, following = found[:PAGE_SIZE], found[PAGE_SIZE:]
    edge = _text(following[0]) if following else None
    inner = at.position is not None or at.offset > 0
    if at.reverse:
        rows.reverse()
        return Page(
            rows,
            _lead(rows, at, at.position, inner, bool(following), forward=True),
            _lead(rows, at, edge, bool(following), inner, forward=False),
        )
    return Page(
        rows,
        _lead(rows, at, edge, bool(following), inner, forward=True),
        _lead(rows, at, at.position, inner, bool(following), forward=False),
    )


def _lead(
    rows: Sequence[Served], at: Cursor, position: str | None, exists: bool, other_exists: bool, *, forward: bool
) -> Cursor | None:
    """Return the cursor of the neighbouring page in one direction; `position` is the value known to lie at that end."""
    if not exists:
        return None
    against = at.reverse if forward else not at.reverse  # does this lead back where the cursor came from?
    walk = list(reversed(rows)) if forward else list(rows)
    compare = _text(walk[0]) if rows and against and at.offset else position
    for offset, row in enumerate(walk):
        value = _text(row)
        if value != compare:
            return Cursor(offset, not forward, value)
    if not rows:
        return Cursor(0, not forward, position)
    if not other_exists:  # the first page, all of one value
        return Cursor(PAGE_SIZE, not forward, None)
    if against:
        return Cursor(0, not forward, position)
    return Cursor(at.offset + PAGE_SIZE, not forward, at.position)


def _beyond(listing: Listing, at: Cursor) -> Condition:
    assert at.position is not None
    sign = "<" if listing.descending != at.reverse else ">"
    if listing.order == "key":
        return f"key {sign} ?", (at.position,)
    try:
        value = datetime.fromisoformat(at.position)
    except ValueError as error:
        raise BrokenCursor(at.position) from error
    return f"{listing.order} {sign} ?", (dates.read_iso(value.isoformat()),)


def _text(row: Served) -> str:
    return dates.cursor_text(row.position) if isinstance(row.position, int) else _decode(row.position)


def _decode(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def with_parameter(url: str, name: str, value: str | None) -> str:
    """Set a query parameter in a URL, or drop it; the parameters come out sorted by name, as the server writes them."""
    scheme, netloc, path, query, _ = urlsplit(url)
    parameters = parse_qs(query, keep_blank_values=True)
    if value is None:
        parameters.pop(name, None)
    else:
        parameters[name] = [value]
    return urlunsplit((scheme, netloc, path, urlencode(sorted(parameters.items()), doseq=True), ""))
