"""Pages of a listing: decoded as a whole, or cut apart where one row keeps a page from being JSON.

A page that msgspec takes costs nothing more. One that it does not take is scanned once, without recursion: what is good
comes out byte for byte, and a row that no reader takes becomes a JSON string of its text, for the quarantine.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

# A string that has no end takes the rest, so that nothing is read twice, and the page is never closed.
STRING = rb'"(?:[^"\\]++|\\.)*+"?'
TOKEN = re.compile(rb"[][{},]|" + STRING, re.DOTALL)
NAME = re.compile(rb"[ \t\r\n]*+(" + STRING + rb")[ \t\r\n]*+:", re.DOTALL)
SPACE = re.compile(rb"[ \t\r\n]*+")
WHITE = b" \t\r\n"
CLOSING = {ord("{"): ord("}"), ord("["): ord("]")}
# What msgspec raises for what is no JSON, or is nested too deeply for it.
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
RAW = msgspec.json.Decoder(msgspec.Raw)
SLICE_BYTES = 64 * 1024
# Of a longer row that cannot be read, so many characters are kept.
LONGEST_TEXT_BYTES, SHOWN_CHARACTERS = 1024 * 1024, 1000


class NotJson(ValueError):
    """An answer that is no JSON as a whole, as a failing server or a proxy sends."""


class NoPage(ValueError):
    """An answer that is JSON, but no page of rows."""


class Page(msgspec.Struct):
    """One page of a listing; rows stay the bytes they came as, checked to be JSON and UTF-8.

    {"next": "https://.../contacts.json?cursor=..." or null, "previous": ..., "results": [{...}, ...]}
    """

    results: list[msgspec.Raw]
    next: str | None = None

    @property
    def following(self) -> dict[str, str] | None:
        """Query parameters of the next page; the address before them is the server's idea of itself and is not used.

        Raises:
            ValueError: `next` is no address.
        """
        return dict(parse_qsl(urlsplit(self.next).query, keep_blank_values=True)) if self.next else None


def read_page(body: bytes, rows: str = "results") -> Page:
    """The page that an answer is; `rows` names the list of its rows.

    Raises:
        NotJson: it is broken as a whole.
        NoPage: it has no such list, or its `next` is no address.
    """
    try:
        page = _decoder(rows).decode(body)
    except msgspec.ValidationError:
        raise NoPage from None
    except UNDECODABLE:
        page = None
    found = Page(page.results, page.next) if page and is_utf8(body) else _cut_apart(body, rows)
    try:
        _ = found.following  # told here, where the stream is known
    except ValueError:
        raise NoPage from None
    return found


def read_object(body: bytes) -> None:
    """Make sure that an answer is one object, JSON and UTF-8.

    Raises:
        NotJson: it is broken.
        NoPage: it is something else.
    """
    try:
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        raise NoPage from None
    except UNDECODABLE:
        raise NotJson from None
    if not is_utf8(body):
        raise NotJson


def as_text(row: bytes, size: int | None = None) -> msgspec.Raw:
    """A row that cannot be read, as a JSON string of its text, in one line; of a very long one, the beginning.

    `size` is how many bytes the row has where only its beginning is at hand.
    """
    text = row[:LONGEST_TEXT_BYTES].decode("utf-8", "backslashreplace")
    if (size or len(row)) > LONGEST_TEXT_BYTES:
        text = f"{text[:SHOWN_CHARACTERS]} ... ({size or len(row):,} bytes)"
    return msgspec.Raw(json.dumps(text).encode())


def is_utf8(text: bytes) -> bool:
    """True if bytes are UTF-8, which msgspec does not look at in what it leaves raw."""
    if text.isascii():
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(text), SLICE_BYTES):  # a whole page as text may take four times its memory
            decoder.decode(text[start : start + SLICE_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


@dataclass
class _Member:
    """A key of the page, where its value lies, and the edges of what the value holds: brackets and commas between."""

    name: str
    start: int
    end: int
    edges: list[int]


def _cut_apart(body: bytes, rows: str) -> Page:
    """The page of an answer that cannot be read in one, as `read_page`."""
    body = body.removeprefix(codecs.BOM_UTF8)
    results: list[msgspec.Raw] | None = None
    following: str | None = None
    for member in _members(body):
        if member.name == rows:
            results = [_checked(row) for row in _elements(body, member)]
        elif member.name == "next":
            following = _address(body[member.start : member.end])
    if results is None:
        raise NoPage
    return Page(results, following)


def _members(body: bytes) -> Iterator[_Member]:
    """The keys of the object that `body` is, however its values look.

    Raises:
        NotJson: it is no object, or not a whole one.
    """
    opened = bytearray()
    start = end = 0
    edges: list[int] = []
    for token in TOKEN.finditer(body):
        what, at = body[token.start()], token.start()
        if not opened and (end or what != ord("{") or not _blank(body, 0, at)):
            raise NotJson
        if what == ord('"'):
            continue
        if what == ord(","):
            if len(opened) == 1:
                yield _member(body, start, at, edges)
                start, edges = at + 1, []
            elif len(opened) == 2:
                edges.append(at)
        elif what in CLOSING:
            opened.append(what)
            if len(opened) == 1:
                start = at + 1
            elif len(opened) == 2:
                edges = [at]
        elif CLOSING[opened.pop()] != what:
            raise NotJson
        elif len(opened) == 1:
            edges.append(at)
        elif not opened:
            end = at + 1
            if not _blank(body, start, at):
                yield _member(body, start, at, edges)
    if not end or not _blank(body, end, len(body)):
        raise NotJson


def _member(body: bytes, start: int, end: int, edges: list[int]) -> _Member:
    named = NAME.match(body, start, end)
    if not named:
        raise NotJson
    try:
        name = msgspec.json.decode(named[1], type=str)
    except UNDECODABLE:
        name = ""
    return _Member(name, named.end(), end, edges)


def _elements(body: bytes, member: _Member) -> Iterator[bytes]:
    """The texts between the commas of a list.

    Raises:
        NoPage: the value is no list.
    """
    edges = member.edges
    listed = len(edges) > 1 and body[edges[0]] == ord("[")
    if not (listed and _blank(body, member.start, edges[0]) and _blank(body, edges[-1] + 1, member.end)):
        raise NoPage
    if len(edges) == 2 and _blank(body, edges[0] + 1, edges[1]):
        return
    for before, after in pairwise(edges):
        yield body[before + 1 : after].strip(WHITE)


def _checked(row: bytes) -> msgspec.Raw:
    """A row as it came; as a JSON string of its text if no reader takes it."""
    try:
        RAW.decode(row)
    except UNDECODABLE:
        return as_text(row)
    return msgspec.Raw(row) if is_utf8(row) else as_text(row)


def _address(text: bytes) -> str | None:
    try:
        return msgspec.json.decode(text, type=str | None)
    except msgspec.ValidationError:
        raise NoPage from None
    except UNDECODABLE:
        raise NotJson from None


def _blank(body: bytes, start: int, end: int) -> bool:
    return SPACE.fullmatch(body, start, end) is not None


@lru_cache
def _decoder(rows: str) -> msgspec.json.Decoder[Any]:
    """A decoder of pages whose rows have this name."""
    fields: list[Any] = [("results", list[msgspec.Raw], msgspec.field(name=rows)), ("next", str | None, None)]
    return msgspec.json.Decoder(msgspec.defstruct("Decoded", fields))
