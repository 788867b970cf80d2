"""JSON lines on their way into the lake: pages are appended to a file until it is worth a commit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from warehouse.declared import kind_of
from warehouse.errors import LakeUnwritable

FULL_BYTES = 24 * 1024 * 1024
FULL_SECONDS = 60.0
FILE_BYTES = 3 * 1024 * 1024


class Spool:
    """One stream's JSON lines; a batch is what they hold between two commits.

    They go to several files, `<name>.0.jsonl`, `<name>.1.jsonl` ..., because DuckDB holds up to 2,048 rows of one file
    in memory at once, and contacts with hundreds of fields are large.
    """

    def __init__(
        self, folder: Path, name: str, *, full_pages: int = 200, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._name = name
        self._full_pages = full_pages
        self._clock = clock
        self._files: list[Path] = []
        self._open: BinaryIO | None = None
        self.rows = self.pages = self.bytes = self.longest = 0
        self._since = clock()
        for left in folder.glob(f"{name}.*.jsonl"):  # of a sync that was killed
            left.unlink()

    def append(self, rows: list[msgspec.Raw]) -> None:
        """Add the rows of one page, a line each.

        Raises:
            LakeUnwritable: the disk is full.
        """
        lines = b"\n".join(rows)
        if rows and lines.count(b"\n") >= len(rows):  # a row with line breaks between its keys
            rows = [msgspec.Raw(bytes(row).replace(b"\n", b" ")) for row in rows]
            lines = b"\n".join(rows)
        self.pages += 1
        if not rows:
            return
        try:
            file = self._file()
            file.write(lines)
            file.write(b"\n")
        except OSError as error:
            raise self._unwritable(error) from None
        self.longest = max(self.longest, *map(len, rows))
        self.bytes += len(lines)
        self.rows += len(rows)

    def write_apart(self, texts: Sequence[str]) -> Path:
        """Write rows that are no part of the batch to a file of their own, a line each: as JSON text where not JSON."""
        file = self._folder / f"{self._name}.apart.jsonl"
        try:
            with file.open("w", encoding="utf-8") as lines:
                for text in texts:
                    lines.write(f"{text if _is_line_of_json(text) else json.dumps(text)}\n")
        except OSError as error:
            raise self._unwritable(error) from None
        return file

    @property
    def full(self) -> bool:
        """True when the batch is large or old enough to be committed."""
        return self.bytes >= FULL_BYTES or self.pages >= self._full_pages or self._clock() - self._since >= FULL_SECONDS

    def ready(self) -> list[Path]:
        """The files to load, everything in them written; none while the batch is empty."""
        try:
            self._finish_file()
        except OSError as error:
            raise self._unwritable(error) from None
        return self._files

    def clear(self) -> None:
        """Begin the next batch."""
        with suppress(OSError):  # of a full disk, which has been told of already
            self._finish_file()
        for file in self._files:
            file.unlink(missing_ok=True)
        self._files = []
        self.rows = self.pages = self.bytes = self.longest = 0
        self._since = self._clock()

    def _unwritable(self, error: OSError) -> LakeUnwritable:
        return LakeUnwritable(
            f"{self._folder} cannot be written ({kind_of(error)}): nothing committed is lost; make room and sync again."
        )

    def _file(self) -> BinaryIO:
        if self._open is None or self._open.tell() >= FILE_BYTES:
            self._finish_file()
            path = self._folder / f"{self._name}.{len(self._files)}.jsonl"
            self._open = path.open("wb")
            self._files.append(path)
        return self._open

    def _finish_file(self) -> None:
        if self._open is not None:
            finished, self._open = self._open, None
            finished.close()


def _is_line_of_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return "\n" not in text
