"""Keeps a lake small: joins small files, rewrites those full of deletions, forgets old versions, removes what is left.

Nothing of it changes what a query of today's lake answers. Each step commits by itself, so a killed one loses nothing;
what it leaves on the disk, the next one removes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from warehouse.errors import LakeBusy
from warehouse.lake import clock
from warehouse.lake.connection import Lake
from warehouse.lake.cursor import time_at
from warehouse.lake.literal import literal

GRACE = timedelta(days=1)
# Parts of a file that deletions may waste.
MOST_DELETED = 0.2
# Files of a partition that may stay apart because something was deleted from them.
MOST_FILES = 3
# Files of at least this size are left alone: joining them would cost more than it saves.
LARGE_FILE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Size:
    """How large a lake is: Parquet files that it uses, their bytes, files of deletions, and snapshots."""

    files: int
    bytes: int
    deletion_files: int
    snapshots: int


@dataclass
class Upkeep:
    """What upkeep did; `left` are the tables that others were writing, `busy` says that other upkeep was running."""

    before: Size
    after: Size
    files_removed: int = 0
    left: list[str] = field(default_factory=list)
    busy: bool = False
    seconds: float = 0.0

    @property
    def said(self) -> str:
        """What it came to, in one sentence."""
        if self.busy:
            return "Another process is tidying the lake up now; left to that one."
        before, after = self.before, self.after
        left = f"; left for the next time, because others write to them: {', '.join(self.left)}" if self.left else ""
        return (
            f"{_of(before.files, after.files, 'files')} ({_of(before.bytes // 1000, after.bytes // 1000, 'kB')}), "
            f"{_of(before.snapshots, after.snapshots, 'versions')}, "
            f"{self.files_removed:,} unused files removed, {self.seconds:.1f} s{left}."
        )


def maintain(lake: Lake, *, keep: timedelta, grace: timedelta = GRACE) -> Upkeep:
    """Tidy a lake up; versions younger than `keep` stay readable. Safe beside syncs, readers and `kill -9`.

    Files that nobody refers to are removed after `grace`: whoever began to read or to write one before has ended.

    Raises:
        LakeUnwritable: the disk is full or not writable.
    """
    begun = time.monotonic()
    before = size_of(lake)
    done = Upkeep(before, before)
    try:
        with _alone(lake):
            now = clock.now()
            _expire_snapshots(lake, min(now, _newest_version(lake)) - keep)
            for table in _tables(lake):
                _tidy(lake, table, done)
            done.files_removed = _remove_files(lake, now - grace)
    except Timeout:
        done.busy = True
    done.after = size_of(lake)
    done.seconds = time.monotonic() - begun
    return done


def size_of(lake: Lake) -> Size:
    """How large the lake is now."""
    files, size, deletion_files = lake.rows(
        """
        SELECT coalesce(sum(file_count), 0)::BIGINT, coalesce(sum(file_size_bytes), 0)::BIGINT,
            coalesce(sum(delete_file_count), 0)::BIGINT
        FROM ducklake_table_info('lake')
        """
    )[0]
    return Size(files, size, deletion_files, lake.rows("SELECT count(*) FROM ducklake_snapshots('lake')")[0][0])


@contextmanager
def _alone(lake: Lake) -> Iterator[None]:
    """Hold the lock of upkeep, which the system takes back if this process dies.

    Raises:
        filelock.Timeout: another process holds it.
    """
    with FileLock(lake.locks / "maintain.lock", timeout=0):
        yield


def _tables(lake: Lake) -> list[str]:
    return [name for (name,) in lake.rows("SELECT table_name FROM ducklake_table_info('lake') ORDER BY table_name")]


def _newest_version(lake: Lake) -> datetime:
    """When the newest version was written (UTC): a clock that is ahead makes no version old."""
    return time_at(lake.rows("SELECT epoch_us(max(snapshot_time)) FROM ducklake_snapshots('lake')")[0][0])


def _expire_snapshots(lake: Lake, older_than: datetime) -> None:
    """Forget versions from before `older_than` (UTC); the newest one always stays."""
    old = lake.rows(
        f"""
        SELECT count(*) FROM ducklake_snapshots('lake')
        WHERE snapshot_time < {literal(older_than)}
            AND snapshot_id < (SELECT max(snapshot_id) FROM ducklake_snapshots('lake'))
        """
    )[0][0]
    if old:
        lake.rows(f"CALL ducklake_expire_snapshots('lake', older_than => {literal(older_than)})")


def _tidy(lake: Lake, table: str, done: Upkeep) -> None:
    """Write what stays in the catalog into files, join small files, and drop what was deleted from them.

    A table that others are writing all the time is left for the next upkeep.
    """
    name = literal(table)
    try:
        with lake.writing(table):
            lake.rows(f"CALL ducklake_flush_inlined_data('lake', table_name => {name})")
            files = _most_files_of_a_partition(lake, table)
            if not files:
                return
            # A file with deletions is joined with no other: where files are many, the least deletion is too much.
            most_deleted = 0 if files > MOST_FILES else MOST_DELETED
            lake.rows(f"CALL ducklake_rewrite_data_files('lake', {name}, delete_threshold => {most_deleted})")
            lake.rows(f"CALL ducklake_merge_adjacent_files('lake', {name}, max_file_size => {LARGE_FILE_BYTES})")
    except LakeBusy:
        done.left.append(table)


def _most_files_of_a_partition(lake: Lake, table: str) -> int:
    found = lake.rows(
        f"""
        SELECT count(*) AS files FROM ducklake_list_files('lake', {literal(table)})
        GROUP BY parse_dirpath(data_file) ORDER BY files DESC LIMIT 1
        """
    )
    return int(found[0][0]) if found else 0


def _remove_files(lake: Lake, older_than: datetime) -> int:
    """Remove files that no version refers to, and what dead processes have left; return how many.

    What others write is not referred to yet, and may seem old to a clock that was set: beside them such files stay.
    """
    functions = ["ducklake_cleanup_old_files", *(() if lake.others_write() else ("ducklake_delete_orphaned_files",))]
    removed = 0
    for function in functions:
        removed += len(lake.rows(f"CALL {function}('lake', older_than => {literal(older_than)})"))
    return removed + sum(_remove_leftover(file, older_than) for file in lake.downloads.rglob("*"))


def _remove_leftover(file: Path, older_than: datetime) -> bool:
    """Delete a file of the spool that nobody has touched for long."""
    try:
        if file.is_file() and file.stat().st_mtime < older_than.timestamp():
            file.unlink()
            return True
    except FileNotFoundError:  # its owner was faster
        pass
    return False


def _of(before: int, after: int, what: str) -> str:
    return f"{before:,} → {after:,} {what}"
