"""Rows on disk: one SQLite table per endpoint, in a directory that goes away with the store.

A row is kept as the very text that will be served, beside the few columns that listings sort and filter on. So serving
a page is one indexed query and a join of bytes, and memory does not grow with the number of rows.
"""

import fcntl
import itertools
import os
import shutil
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class Record(NamedTuple):
    """One row of a table; the order of the fields is the order of the columns."""

    id: int  # the server's own id: breaks ties in every sort
    key: str
    created: int
    modified: int
    body: str
    sent: int | None = None
    contact: str | None = None
    flow: str | None = None
    folder: str | None = None
    hidden: int = 0  # 1: known to the server, but not in the default list; 2: only in that of 9.0


class Served(NamedTuple):
    """One row as a listing reads it."""

    rowid: int
    position: int | str  # its value in the column that the listing is sorted on
    body: bytes


Condition = tuple[str, tuple[object, ...]]  # SQL and its arguments


@dataclass(frozen=True)
class Listing:
    """A query over one table: which rows, in which order."""

    table: str
    order: str
    descending: bool = True
    conditions: tuple[Condition, ...] = ()
    lookups: tuple[str, ...] = ()  # columns compared with one value, worth an index
    without_paths: bool = False  # runs with `paths=false`
    empty: bool = False  # the server answers without looking

    def where(self, *more: Condition) -> Condition:
        """Return all conditions, and `more`, as one."""
        parts = (*self.conditions, *more)
        return (
            " AND ".join(f"({sql})" for sql, _ in parts) or "1",
            tuple(itertools.chain.from_iterable(arguments for _, arguments in parts)),
        )


# Nobody else calls a directory so.
PREFIX = "rapidlake-sandbox-"


class Store:
    """SQLite tables of records; safe to use from several threads."""

    def __init__(self, tables: Iterable[str]) -> None:
        self.directory, lock = _make_directory()
        self._delete = weakref.finalize(self, _remove_directory, self.directory, lock)
        self._lock = threading.RLock()
        self._indexes: set[tuple[str, str]] = set()
        self._db = sqlite3.connect(self.directory / "rows.sqlite", isolation_level=None, check_same_thread=False)
        self._db.executescript(
            "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; "
            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-65536"
        )
        self._db.text_factory = bytes  # rows go from the disk to the socket without being decoded
        columns = (
            "id INTEGER, key TEXT, created INTEGER, modified INTEGER, body TEXT, sent INTEGER, "
            "contact TEXT, flow TEXT, folder TEXT, hidden INTEGER"
        )
        for table in tables:
            self._db.execute(f"CREATE TABLE {table} ({columns})")

    def close(self) -> None:
        """Close the database and delete its directory; a second call does nothing."""
        with self._lock:
            self._db.close()
            self._delete()

    def transaction(self) -> "_Transaction":
        """Group changes: no other thread sees or makes one in between."""
        return _Transaction(self._db, self._lock)

    def insert(self, table: str, records: Iterable[Record]) -> None:
        """Add records, in batches, whatever is there already."""
        marks = ", ".join("?" * len(Record._fields))
        iterator = iter(records)
        while batch := list(itertools.islice(iterator, 10_000)):
            with self.transaction():
                self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", batch)

    def page(self, listing: Listing, *more: Condition, offset: int, limit: int, flip: bool = False) -> list[Served]:
        """Return up to `limit` rows of a listing from `offset` on; `flip` reads it from the other end."""
        way = "DESC" if listing.descending != flip else "ASC"
        where, arguments = listing.where(*more)
        with self._lock:
            for column in (listing.order, *listing.lookups):
                self.index(listing.table, column)
            rows = self._db.execute(
                f"SELECT rowid, {listing.order}, body FROM {listing.table} WHERE {where} "
                f"ORDER BY {listing.order} {way}, id {way} LIMIT ? OFFSET ?",
                [*arguments, limit, offset],
            ).fetchall()
        return [Served(*row) for row in rows]

    def index(self, table: str, column: str) -> None:
        """Make sure that a column is indexed, once."""
        if (table, column) not in self._indexes:
            with self._lock:
                self._db.execute(f"CREATE INDEX IF NOT EXISTS {table}_{column} ON {table} ({column}, id)")
                self._indexes.add((table, column))

    def select(self, sql: str, arguments: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run any query; text comes back as bytes."""
        with self._lock:
            return self._db.execute(sql, arguments).fetchall()

    def execute(self, sql: str, arguments: Sequence[object] = ()) -> None:
        """Run any statement."""
        with self._lock:
            self._db.execute(sql, arguments)


@dataclass
class _Transaction:
    """Holds the lock, commits at the end of the outermost block, rolls back on an exception."""

    db: sqlite3.Connection
    lock: threading.RLock

    def __enter__(self) -> None:
        self.lock.acquire()
        self.outermost = not self.db.in_transaction
        if self.outermost:
            self.db.execute("BEGIN")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self.outermost:
                self.db.execute("COMMIT" if kind is None else "ROLLBACK")
        finally:
            self.lock.release()


def _make_directory() -> tuple[Path, int]:
    """A directory, and a lock on it that the system takes back with this process; those of killed ones are removed."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}????????"):
        if (lock := _lock(left)) is not None:
            _remove_directory(left, lock)
    while True:
        directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = _lock(directory)
        if lock is not None and directory.is_dir():  # else it was taken for one that a killed process left
            return directory, lock
        if lock is not None:
            os.close(lock)


def _remove_directory(directory: Path, lock: int) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    os.close(lock)


def _lock(directory: Path) -> int | None:
    """A lock on a directory; None if another process has it, or the directory is gone."""
    try:
        found = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(found)
        return None
    return found
