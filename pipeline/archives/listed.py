"""The server's list of archive files, with their addresses, which are asked for again when one has expired."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Literal

import msgspec

from warehouse import ArchiveKey

# What the reading of a row can raise: it is none of the list's, or nested too deeply.
UNREADABLE = (ValueError, RecursionError)
MD5 = r"\A[0-9A-Fa-f]{32}\Z"


class _Record(msgspec.Struct):
    period: Literal["daily", "monthly"]
    start_date: date
    record_count: int
    archive_type: str | None = None
    type: str | None = None
    size: int | None = None
    hash: Annotated[str, msgspec.Meta(pattern=MD5)] | None = None
    download_url: str | None = None


@dataclass(frozen=True)
class ListedFile:
    """A file as the server lists it; its address is secret and valid for a day at most."""

    key: ArchiveKey
    record_count: int
    size: int | None
    digest: str
    url: str = field(repr=False)

    @property
    def file_name(self) -> str:
        """Its name in the spool, another one for another content."""
        key = self.key
        return f"archives.{key.archive_type}-{key.period}-{key.start_date}-{self.digest}.gz"


class ArchiveList:
    """The files listed, by key; safe to use from several threads."""

    def __init__(self, read_again: Callable[[], list[msgspec.Raw]]) -> None:
        self._read_again = read_again
        self._files: dict[ArchiveKey, ListedFile] = {}
        self._turn = threading.Lock()

    def note(self, rows: list[msgspec.Raw]) -> None:
        """Remember the files of these rows of the list that can be downloaded."""
        for row in rows:
            try:
                record = msgspec.json.decode(row, type=_Record)
            except UNREADABLE:
                continue  # an unreadable row of the list is quarantined like any other
            kind = record.archive_type or record.type
            if kind and record.hash and record.download_url:
                key = ArchiveKey(kind, record.period, record.start_date)
                self._files[key] = ListedFile(key, record.record_count, record.size, record.hash, record.download_url)

    def get(self, key: ArchiveKey) -> ListedFile | None:
        """The file as it was last listed; None if it is not."""
        return self._files.get(key)

    def renew(self, stale: ListedFile) -> ListedFile | None:
        """The file with a fresh address, perhaps replaced meanwhile; None if it is listed no longer."""
        with self._turn:
            if self._files.get(stale.key) is stale:  # else another thread has just asked
                rows = self._read_again()
                self._files = {}
                self.note(rows)
            return self._files.get(stale.key)


def without_address(row: msgspec.Raw) -> msgspec.Raw:
    """The row of the list as it may be stored."""
    try:
        keys = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
    except UNREADABLE:  # no object; the text of a row that cannot be read may hold an address anywhere
        return msgspec.Raw(
            msgspec.json.encode(f"a row of the list of archives that cannot be read: {len(row):,} bytes")
        )
    keys.pop("download_url", None)
    return msgspec.Raw(msgspec.json.encode(keys))
