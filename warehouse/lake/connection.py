"""Opens a lake: DuckLake with a SQLite catalog beside its Parquet files.

lake/catalog.sqlite   the catalog: tables, snapshots, small changes
lake/data/            Parquet files
lake/spool/           downloads, and a folder per open lake for what is on its way in
lake/locks/           one lock file per stream being synced
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import uuid4

import duckdb

from warehouse.declared import kind_of
from warehouse.errors import (
    FolderRefused,
    LakeIsFile,
    LakeIsPublished,
    LakeNotFound,
    LakeRefused,
    LakeUnwritable,
    LocksRefused,
)
from warehouse.lake import clock, schema
from warehouse.lake.attaching import attach, connect, outside_the_lake, prepare
from warehouse.lake.catalog import (
    READERS,
    WRITERS,
    Pinned,
    catalog_of,
    has_catalog,
    is_published,
    must_be_pinned,
    pin_catalog,
    see,
    unfinished,
)
from warehouse.lake.failures import RACING, explain
from warehouse.lake.inlining import forget_inlining_option, without_inlining
from warehouse.lake.locks import locked
from warehouse.private import make_folder
from warehouse.scratch import Scratch, make_scratch, others_live, remove_left

T = TypeVar("T")


class Lake(AbstractContextManager["Lake"]):
    """One open connection to a lake. Safe to use from several threads: work runs one piece at a time.

    Use as a context manager; `Lake.create` makes the lake if there is none, `Lake.open` needs one.
    """

    def __init__(
        self,
        path: Path,
        connection: duckdb.DuckDBPyConnection,
        *,
        read_only: bool,
        guarded: bool = False,
        own: Scratch | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.path = path
        self.read_only = read_only
        self.guarded = guarded
        self._connection = connection
        self._own = own
        self._pinned: Pinned | None = None
        self._at_one_moment = False
        self._reading: Callable[..., duckdb.DuckDBPyConnection] | None = None
        self._stop = stop
        self._turn = threading.RLock()

    @classmethod
    def create(
        cls, path: Path, *, memory: str = "320MB", threads: int = 1, stop: threading.Event | None = None
    ) -> Self:
        """Open the lake at `path` for writing; make it, and bring its tables up to this version, where needed.

        `threads=1` because it costs the fewest CPU-seconds per row, and the network is slower than one thread.
        Once `stop` is set, nothing waits for another process any more.

        Raises:
            LakeUnwritable: path is a file, or cannot be written.
            LakeDamaged: its catalog is lost, or not whole; nothing is made in its place.
            LakeIsPublished: it is a copy for readers.
            LakeIsNewer: a later version made it.
            LakeIsOther: its columns cannot become those of this version.
            LakeStopped: `stop` was set while another process made it, or brought it up.
        """
        own = _make_folders(path)
        try:
            connection = connect(
                path, read_only=False, overflow=own.path / "overflow", memory=memory, threads=threads, stop=stop
            )
        except BaseException:
            own.remove()
            raise
        lake = cls(path, connection, read_only=False, own=own, stop=stop)
        try:
            lake._upgrade()
            with outside_the_lake(lake._connection):
                prepare(lake._connection)
        except BaseException:
            lake.close()
            raise
        return lake

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        as_of: datetime | None = None,
        threads: int | None = 1,
        guarded: bool = True,
        at_one_moment: bool = False,
    ) -> Self:
        """Open the lake at `path` for reading, as it is or as it was at some time; other processes may write meanwhile.

        `at_one_moment` if all answers shall be of the moment when it was opened, or renewed: upkeep moves rows from the
        catalog to files, and DuckDB looks there and here within one question. So they are of a published copy, and of a
        lake in which this account may write nothing; not where others write without a pause, or there is no room.

        `threads=1` because a second one doubles the CPU-seconds of small questions; None, for large ones, takes as
        many as there are processors. If `guarded`, its connection reaches no files but the lake's.

        Raises:
            LakeNotFound: there is none.
            LakeUnreadable: this account may not read it.
            LakeDamaged: its catalog is lost, or not whole.
            LakeIsNewer: a later version made it.
            LakeIsOlder: an earlier DuckLake made it, and nothing has written it since.
        """
        see(path)
        if not has_catalog(path):
            raise (
                unfinished(path)
                if is_published(path) or catalog_of(path).is_file()
                else LakeNotFound(f"There is no lake at {path}.")
            )
        own = _make_overflow(path)
        try:
            pinned = _pin(path, own, wanted=at_one_moment)
            overflow = own.path if own else None
            reading = partial(
                connect, path, read_only=True, guarded=guarded, overflow=overflow, threads=threads, as_of=as_of
            )
            connection = reading(catalog=pinned.file if pinned else None)
        except BaseException:
            if own:
                own.remove()
            raise
        lake = cls(path, connection, read_only=True, guarded=guarded, own=own)
        lake._pinned, lake._reading = pinned, reading
        lake._at_one_moment = at_one_moment or pinned is not None
        try:
            if not lake._format():
                raise unfinished(path)
        except BaseException:
            lake.close()
            raise
        return lake

    def _format(self) -> str | None:
        """The fingerprint of the tables; None where the first sync has not made them yet."""
        return self._again_and_again(lambda: schema.check_format(self._connection, self.path))

    def _upgrade(self) -> None:
        """Bring the tables to this version."""
        with self.lock("schema"):
            found = self._format()
            if found != schema.fingerprint():
                if found:
                    self._forget_inlining_option()
                self.commit(lambda connection: schema.bring_up(connection, self.path))
            self._remove_left()

    def _remove_left(self) -> None:
        """Delete what writers have left that were killed, unless others write: their files look the same.

        Nobody begins to write meanwhile, for that takes the lock of `_upgrade`.
        """
        if not self.others_write() and remove_left(self.path / "spool", WRITERS):
            self.rows("CALL ducklake_delete_orphaned_files('lake', cleanup_all => true)")

    def others_write(self) -> bool:
        """True if this lake is open for writing elsewhere, or if it is open for reading here, and nobody can tell."""
        return not self._own or others_live(self.path / "spool", WRITERS, ours=self._own.path)

    def _forget_inlining_option(self) -> None:
        """Remove it, and attach the catalog anew, which alone makes DuckLake forget it too."""
        with self._turn:
            self._again_and_again(lambda: forget_inlining_option(self._connection))
            self._connection.execute("USE memory")
            self._connection.execute("DETACH lake")
            attach(self._connection, self.path, read_only=False)

    def renew(self) -> None:
        """Where answers are of one moment, let it be now: files that were dropped since then stay for a day only.

        Not where there is no guard: one who may make tables and settings shall not lose them.
        """
        with self._turn:
            before = self._pinned
            if not (self._at_one_moment and self.guarded and self._reading) or (before and before.is_latest(self.path)):
                return
            latest = _pin(self.path, self._own, wanted=True)
            if not before and not latest:
                return
            # A connection whose settings are locked attaches nothing more.
            renewed = self._reading(catalog=latest.file if latest else None)
            self._connection.close()
            self._connection, self._pinned = renewed, latest
            if before:
                before.forget()

    @property
    def spool(self) -> Path:
        """Folder of this open lake alone, for JSON lines that are not loaded yet."""
        return self._own.path if self._own else self.path / "spool"

    @contextmanager
    def reaching(self, file: Path) -> Iterator[Path]:
        """Where a guarded connection may write what is in `file` when the block ends well.

        That is its own folder, the one place beside the lake's rows that it reaches.

        Raises:
            OSError: the file cannot be written.
        """
        if not self.guarded or not self._own:
            yield file
            return
        made = self._own.path / uuid4().hex
        try:
            yield made
            if file.exists():  # a pipe or a terminal
                with made.open("rb") as source, file.open("wb") as target:
                    shutil.copyfileobj(source, target)
            else:
                shutil.move(made, file)
        finally:
            made.unlink(missing_ok=True)

    @property
    def downloads(self) -> Path:
        """Folder for files that another process goes on with if this one is killed."""
        return self.path / "spool"

    @property
    def locks(self) -> Path:
        """Folder of the lock files, one per stream being synced."""
        return self.path / "locks"

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Do what only one process does at a time, as long as the block runs.

        Raises:
            LakeStopped: the lake's `stop` was set while another process did it.
        """
        return locked(self.locks / f"{name}.lock", self._stop)

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The DuckDB connection, for this thread alone while the block runs; its errors become ours."""
        with self._turn:
            try:
                yield self._connection
            except duckdb.Error as error:
                raise explain(error, self.path) from None

    @contextmanager
    def snapshot(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """As `connection`, in one transaction: every question is about the same state, and the catalog is read once.

        Not for changes of the lake, which `commit` tries again.
        """
        with self.connection() as connection:
            connection.begin()
            try:
                yield connection
                connection.commit()
            except BaseException:
                _rollback(connection)
                raise

    @contextmanager
    def raw_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The DuckDB connection, for this thread alone; its errors stay DuckDB's."""
        with self._turn:
            yield self._connection

    def commit(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Run `work` in one transaction: all of it is in the lake afterwards, or nothing.

        When another process commits to the same rows first, the whole of `work` runs again. What the catalog cannot
        hold as text is written to files.

        Raises:
            LakeBusy: it lost the race `CONFLICT_ATTEMPTS` times.
            LakeUnwritable: the disk is full or not writable.
            LakeRefused: it cannot be stored, for another reason than these.
        """
        try:
            return self._again_and_again(lambda: self._commit_once(work))
        except LakeRefused:
            if self.read_only:
                raise
            with self._turn, without_inlining(self._connection):
                return self._again_and_again(lambda: self._commit_once(work))

    def _again_and_again(self, attempt: Callable[[], T]) -> T:
        """Run `attempt`, anew each time that another process was faster; DuckDB's errors become ours."""
        try:
            return RACING.copy()(attempt)
        except duckdb.Error as error:
            raise explain(error, self.path) from None

    def _commit_once(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        with self._turn:
            self._connection.begin()
            try:
                clock.tell(self._connection)
                result = work(self._connection)
                self._connection.commit()
            except BaseException:
                _rollback(self._connection)
                raise
            return result

    @contextmanager
    def writing(self, *tables: str) -> Iterator[None]:
        """Write rows of these tables as the only process: two that add the same key at once would both find it missing.

        A process that writes contacts waits for other tables too; none that writes others waits for contacts. Where
        several threads write, each takes the `connection` first.

        Raises:
            LakeStopped: the lake's `stop` was set while another process wrote.
        """
        with ExitStack() as stack:
            for table in sorted(tables, key=lambda table: (table != "contacts", table)):
                stack.enter_context(self.lock(f"{table}.write"))
            yield

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._turn:
            return self._again_and_again(lambda: self._connection.execute(sql).fetchall())

    def close(self) -> None:
        """Give back the connection; an uncommitted transaction is undone."""
        self._connection.close()
        if self._own:
            self._own.remove()
            self._own = None

    def __exit__(self, *ended: object) -> None:
        self.close()


def _rollback(connection: duckdb.DuckDBPyConnection) -> None:
    with suppress(duckdb.TransactionException):  # a commit that failed has already ended the transaction
        connection.rollback()


def _make_folders(path: Path) -> Scratch:
    """Make what a lake at `path` needs, and the folder of one who writes it."""
    see(path)
    if is_published(path):
        raise LakeIsPublished(
            f"The folder {path} is a published copy, for reading only: write into the lake that it was made from."
        )
    if path.exists() and not path.is_dir():
        raise LakeIsFile(f"The lake path {path} is a file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in (path, path / "data", path / "spool", path / "locks"):
            make_folder(folder)
        return make_scratch(path / "spool", WRITERS)
    except OSError as error:
        raise FolderRefused(f"The lake folder {path} cannot be written ({kind_of(error)}).") from None


def _make_overflow(path: Path) -> Scratch | None:
    """A folder for what does not fit into a reader's memory; None where there is no place for it.

    It is in the lake, or where the system has temporary files, if this account may not write there.
    """
    if (path / "spool").is_dir():
        with suppress(OSError):
            remove_left(path / "spool", READERS)
            return make_scratch(path / "spool", READERS)
    with suppress(OSError):
        elsewhere = Path(tempfile.gettempdir())
        remove_left(elsewhere)
        return make_scratch(elsewhere)
    return None


def _pin(path: Path, own: Scratch | None, *, wanted: bool) -> Pinned | None:
    """The catalog as it is now, where that is wanted and can be had, or where nothing else can be read."""
    must = must_be_pinned(path)
    if must and not own:
        raise LakeUnwritable("There is no folder for temporary files: set TMPDIR to one that this account may write.")
    if not own or not (must or wanted):
        return None
    try:
        return pin_catalog(path, own.path)
    except (LocksRefused, LakeUnwritable):
        if must:
            raise
        return None
