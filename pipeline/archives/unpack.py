"""Unpacks archive files to JSON lines, in parts of a size that DuckDB reads in bounded memory."""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from isal import igzip, isal_zlib

from pipeline.errors import Unproven
from pipeline.reading.spool import FILE_BYTES

CHUNK_BYTES = 1024 * 1024
GZIP = b"\x1f\x8b"
# A store or proxy may have packed a file once more.
MOST_LAYERS = 3
UNREADABLE = (EOFError, gzip.BadGzipFile, cast(type[Exception], isal_zlib.IsalError))  # isal's annotation is wrong
Content = io.BufferedReader | gzip.GzipFile


@dataclass
class Unpacked:
    """The parts a file was unpacked to, how many lines it has, and the bytes of the longest line, at most."""

    parts: list[Path] = field(default_factory=list)
    lines: int = 0
    longest: int = CHUNK_BYTES


def unpack(packed: Path) -> Unpacked:
    """Write the lines of a gzip file to `<packed>.0.jsonl`, `<packed>.1.jsonl` ... beside it.

    Raises:
        Unproven: it is no whole gzip file.
    """
    unpacked = Unpacked()
    try:
        with packed.open("rb") as raw:
            _write_parts(_content(raw), packed, unpacked)
    except UNREADABLE as error:
        raise Unproven(f"it cannot be unpacked ({error})") from None
    return unpacked


def _content(raw: io.BufferedReader) -> Content:
    """The unpacked content, however often it was packed."""
    content: Content = raw
    for _ in range(MOST_LAYERS):
        if content.peek(2)[:2] != GZIP:
            break
        content = igzip.IGzipFile(fileobj=content, mode="rb")  # type: ignore[no-untyped-call]  # isal does not annotate it
    return content


def _write_parts(content: Content, packed: Path, unpacked: Unpacked) -> None:
    """Copy whole lines, part after part."""
    rest = b""
    while True:
        part = packed.with_name(f"{packed.name}.{len(unpacked.parts)}.jsonl")
        with part.open("wb") as file:
            unpacked.parts.append(part)
            while file.tell() < FILE_BYTES:
                chunk = content.read(CHUNK_BYTES)
                if not chunk:
                    file.write(rest)
                    unpacked.lines += bool(rest.strip())
                    return
                end = chunk.rfind(b"\n") + 1
                if not end:
                    rest += chunk
                    unpacked.longest = max(unpacked.longest, len(rest) + CHUNK_BYTES)
                    continue
                file.write(rest)
                file.write(memoryview(chunk)[:end])
                unpacked.lines += chunk.count(b"\n")
                rest = chunk[end:]
