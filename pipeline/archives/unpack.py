"""Unpacks archive files to JSON lines, in parts of a size that DuckDB reads in bounded memory."""

from __future__ import annotations

import gzip
import io
import math
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from isal import igzip, isal_zlib

from pipeline.errors import TooLarge, Unproven
from pipeline.reading.spool import FILE_BYTES
from pipeline.server.downloads import GZIP
from pipeline.server.pages import SHOWN_CHARACTERS, as_text
from pipeline.settings import GIGABYTE, MEGABYTE
from warehouse.private import no_links

CHUNK_BYTES = MEGABYTE
# A character has four bytes at most.
SHOWN_BYTES = 4 * SHOWN_CHARACTERS
# A store or proxy may have packed a file once more.
MOST_LAYERS = 3
UNREADABLE = (EOFError, gzip.BadGzipFile, cast(type[Exception], isal_zlib.IsalError))  # isal's annotation is wrong
Content = io.BufferedReader | gzip.GzipFile


@dataclass(frozen=True)
class Bounds:
    """What a file may unpack to, at most: lines, bytes in all, bytes of one line, which are a megabyte or more."""

    lines: int = sys.maxsize
    size: float = math.inf
    row: int = 32 * MEGABYTE


@dataclass
class Unpacked:
    """The parts a file was unpacked to, how many lines it has, and the bytes of the longest line, at most."""

    parts: list[Path] = field(default_factory=list)
    lines: int = 0
    longest: int = CHUNK_BYTES


def unpack(packed: Path, bounds: Bounds = Bounds()) -> Unpacked:
    """Write the lines of a gzip file to `<packed>.0.jsonl`, `<packed>.1.jsonl` ... beside it.

    A line that is longer than it may be becomes a JSON string of its beginning.

    Raises:
        Unproven: it is no whole gzip file, or has more lines than it may.
        TooLarge: it unpacks to more bytes than it may.
    """
    with packed.open("rb") as raw, _Parts(packed, bounds) as parts:
        size = 0
        for chunk in _chunks(raw):
            size += len(chunk)
            if size > bounds.size:
                raise TooLarge(
                    f"it unpacks to more than {bounds.size / GIGABYTE:,.3g} GB: "
                    "if it should, and there is room on the disk, set RAPIDLAKE_LARGEST_ARCHIVE higher"
                )
            parts.write(chunk)
        parts.finish()
    return parts.unpacked


def _chunks(raw: io.BufferedReader) -> Iterator[bytes]:
    """The unpacked content, piece by piece."""
    try:
        content = _content(raw)
        while chunk := content.read(CHUNK_BYTES):
            yield chunk
    except UNREADABLE as error:
        raise Unproven(f"it cannot be unpacked ({type(error).__name__})") from None


def _content(raw: io.BufferedReader) -> Content:
    """The unpacked content, however often it was packed."""
    content: Content = raw
    for _ in range(MOST_LAYERS):
        if content.peek(2)[:2] != GZIP:
            break
        content = igzip.IGzipFile(fileobj=content, mode="rb")  # type: ignore[no-untyped-call]  # isal does not annotate it
    return content


class _Parts(AbstractContextManager["_Parts"]):
    """The files that lines are written to as they come: no line is ever in memory whole, nor in two files."""

    def __init__(self, packed: Path, bounds: Bounds) -> None:
        self.unpacked = Unpacked()
        self._packed = packed
        self._bounds = bounds
        self._file = self._next_file()
        self._length: int
        self._start: int
        self._blank: bool
        self._beginning: bytes
        self._begin_line()

    def write(self, chunk: bytes) -> None:
        """Take the next piece of the content, of CHUNK_BYTES at most."""
        lines = chunk.count(b"\n")
        self._count(lines)
        view = memoryview(chunk)
        if not lines:
            self._add(view)
            return
        first, last = chunk.index(b"\n"), chunk.rindex(b"\n") + 1
        self._add(view[:first])
        self._end_line()
        self._file.write(view[first:last])  # this line's end, and whole lines, none longer than a piece
        if self._file.tell() >= FILE_BYTES:
            self._file.close()
            self._file = self._next_file()
        self._add(view[last:])

    def finish(self) -> None:
        """Take the end of the content as that of its last line."""
        self._count(not self._blank)
        self._end_line()

    def __exit__(self, *ended: object) -> None:
        self._file.close()

    def _count(self, lines: int) -> None:
        self.unpacked.lines += lines
        if self.unpacked.lines > self._bounds.lines:
            raise Unproven(f"it has more records than the {self._bounds.lines:,} of the list")

    def _add(self, piece: memoryview) -> None:
        """Write a piece of a line, unless that has become too long."""
        if not self._length:
            self._start = self._file.tell()
        self._length += len(piece)
        self._beginning += piece[: max(SHOWN_BYTES - len(self._beginning), 0)]
        self._blank = self._blank and not bytes(piece).strip()
        if self._length <= self._bounds.row:
            self._file.write(piece)

    def _end_line(self) -> None:
        if self._length > self._bounds.row:
            self._file.seek(self._start)
            self._file.truncate()
            self._file.write(as_text(self._beginning, self._length))
        self.unpacked.longest = max(self.unpacked.longest, min(self._length, self._bounds.row))
        self._begin_line()

    def _begin_line(self) -> None:
        self._length, self._start = 0, 0
        self._blank = True
        self._beginning = b""

    def _next_file(self) -> BinaryIO:
        part = self._packed.with_name(f"{self._packed.name}.{len(self.unpacked.parts)}.jsonl")
        self.unpacked.parts.append(part)
        return open(part, "wb", opener=no_links)
