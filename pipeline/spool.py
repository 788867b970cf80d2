"""JSON lines on their way into the lake: pages are appended to a file until it is worth a commit."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from warehouse.errors import LakeUnwritable

FULL_BYTES = 24 * 1024 * 1024
FULL_SECONDS = 60.0


class Spool:
    """One stream's file of JSON lines; a batch is what it holds between two commits."""

    def __init__(self, path: Path, *, full_pages: int = 200, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._full_pages = full_pages
        self._file = path.open("wb")
        self.clear()

    def append(self, rows: list[msgspec.Raw]) -> None:
        """Add the rows of one page, a line each.

        Raises:
            LakeUnwritable: the disk is full.
        """
        lines = b"\n".join(rows)
        if rows and lines.count(b"\n") >= len(rows):  # a row with line breaks between its keys
            rows = [msgspec.Raw(msgspec.json.format(bytes(row), indent=-1)) for row in rows]
            lines = b"\n".join(rows)
        try:
            if rows:
                self._file.write(lines + b"\n")
        except OSError as error:
            raise LakeUnwritable(
                f"{self.path.parent} cannot be written ({error.strerror}): nothing committed is lost; make room and sync again."
            ) from None
        self.longest = max(self.longest, len(lines))
        self.bytes += len(lines)
        self.rows += len(rows)
        self.pages += 1

    @property
    def full(self) -> bool:
        """True when the batch is large or old enough to be committed."""
        return (
            self.bytes >= FULL_BYTES or self.pages >= self._full_pages or self._clock() - self._since >= FULL_SECONDS
        )

    def ready(self) -> list[Path]:
        """The file to load, everything in it written; none while it is empty."""
        self._file.flush()
        return [self.path] if self.rows else []

    def clear(self) -> None:
        """Begin the next batch."""
        self._file.seek(0)
        self._file.truncate()
        self.rows = self.pages = self.bytes = self.longest = 0
        self._since = self._clock()

    def close(self) -> None:
        """Delete the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)
