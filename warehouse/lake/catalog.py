"""Looks at the file of a lake's catalog before anything attaches it, which would make a new one in silence."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from warehouse.declared import kind_of
from warehouse.errors import (
    LakeAbandoned,
    LakeDamaged,
    LakeError,
    LakeUnfinished,
    LakeUnreadable,
    LakeUnwritable,
    LocksRefused,
)
from warehouse.lake import clock
from warehouse.private import FILE
from warehouse.scratch import others_live

# How SQLite and DuckLake tell that a catalog is none, or not whole.
DAMAGES = re.compile(
    r"file is not a database|database disk image is malformed|malformed database schema|unsupported file format"
    r"|no such (table|column): (\w+\.)?ducklake_"
    r"|DuckLake: .*\bTable with name ducklake_\w+ does not exist"
    r"|No snapshot found in DuckLake"
    r"|\bInvalid type in column .* was declared as "
)
# What the folders of open lakes in the spool are called.
WRITERS, READERS = "writer-", "reader-"
# Names a copy of a lake for readers; says of which.
MARK = ".rapidlake-published"
SQLITE_PAGE_BYTES = 4096
# What stands behind the name of a catalog: nothing, and its log.
LOGS = ("", "-wal")
PINNING_ATTEMPTS, SETTLED_SECONDS = 50, 0.02
NO_TABLES = "creating a new DuckLake is explicitly disabled"


def catalog_of(path: Path) -> Path:
    """The catalog's file of the lake at `path`."""
    return path / "catalog.sqlite"


def is_published(path: Path) -> bool:
    """Whether the folder at `path` is a copy for readers, in which no lake is written."""
    return (path / MARK).exists()


def see(path: Path) -> None:
    """Look whether the lake at `path` may be looked at, if there is one.

    Raises:
        LakeUnreadable: this account may not.
    """
    try:
        catalog_of(path).stat()
    except PermissionError:
        raise closed(path) from None
    except OSError:
        return


def closed(path: Path) -> LakeUnreadable:
    """What is said of the lake or the copy at `path` where the system lets this account not read it."""
    what = "published copy" if os.access(path, os.X_OK) and is_published(path) else "lake"
    return LakeUnreadable(f"The {what} {path} cannot be read by this account.")


@dataclass(frozen=True)
class Pinned:
    """The catalog of a lake as it was at a moment, in a file of this process's own."""

    file: Path
    state: tuple[int, ...]

    def is_latest(self, path: Path) -> bool:
        """Whether the lake at `path` has still that catalog; True where nobody can tell."""
        try:
            return _state(path) == self.state
        except OSError:
            return True

    def forget(self) -> None:
        """Delete it."""
        shutil.rmtree(self.file.parent, ignore_errors=True)


def must_be_pinned(path: Path) -> bool:
    """Whether who reads the lake at `path` cannot keep a lock there, or must not: it is a copy that is replaced."""
    return is_published(path) or not os.access(path, os.W_OK)


def pin_catalog(path: Path, folder: Path) -> Pinned:
    """Keep the catalog of the lake at `path`, and its log, in `folder`, whatever is written or published meanwhile.

    DuckDB opens a catalog by its name, again and again within one question, which would mix two of them.

    Raises:
        LakeUnreadable: this account may not read it.
        LakeUnwritable: there is no room for it.
        LocksRefused: it is written all the time.
    """
    try:
        for _ in range(PINNING_ATTEMPTS):
            state = _state(path)
            if not is_published(path) and not _is_settled(state):  # a copy would have to be made again
                time.sleep(SETTLED_SECONDS)
                continue
            pinned = Pinned(Path(mkdtemp(dir=folder)) / "catalog.sqlite", state)
            for log in LOGS:
                with suppress(FileNotFoundError):
                    shutil.copyfile(f"{catalog_of(path)}{log}", f"{pinned.file}{log}")
                    os.chmod(f"{pinned.file}{log}", FILE)
            if pinned.file.exists() and _state(path) == state:
                return pinned
            pinned.forget()
            time.sleep(SETTLED_SECONDS)
    except PermissionError:
        raise closed(path) from None
    except OSError as error:
        raise LakeUnwritable(
            f"The catalog of {path} cannot be kept in {folder.parent} ({kind_of(error)}): make room there, or set "
            "TMPDIR to another folder."
        ) from None
    raise LocksRefused(f"The lake {path} is written all the time, and this account cannot keep a lock there.")


def _state(path: Path) -> tuple[int, ...]:
    """What tells the catalog of the lake at `path`, and its log, from those of another moment."""
    found = []
    for log in LOGS:
        try:
            file = Path(f"{catalog_of(path)}{log}").stat()
            found += [file.st_ino, file.st_mtime_ns, file.st_size]
        except FileNotFoundError:
            found += [0, 0, 0]
    return tuple(found)


def _is_settled(state: tuple[int, ...]) -> bool:
    """Whether nothing was written a moment ago: systems tell times in steps, and two writes may bear the same."""
    return all(abs(clock.now().timestamp() - at / 1e9) > SETTLED_SECONDS for at in state[1::3])


def has_catalog(path: Path) -> bool:
    """Whether the lake at `path` has a catalog with anything in it.

    Raises:
        LakeDamaged: it has none, and there are rows that it would be of.
    """
    # Another process may make the catalog, and write rows, between the two looks at it.
    if _is_bare(path) and holds_rows(path) and not is_published(path) and _is_bare(path):
        raise LakeDamaged(
            f"The lake {path} has files of rows and no catalog.sqlite that says what they are: restore that from a "
            "backup, or sync into a new lake; nothing was made or changed."
        )
    return not _is_bare(path)


def holds_rows(path: Path) -> bool:
    """Whether there is something that only a catalog of the lake at `path` can have known."""
    return any((path / "data").rglob("*.parquet"))


def knows_no_table(path: Path) -> bool:
    """Whether the lake at `path`, which is open nowhere in this process, has no catalog, or one without any table.

    Not every catalog is made by Rapidlake.
    """
    catalog = catalog_of(path)
    if not catalog.exists():
        return True
    try:
        with closing(sqlite3.connect(catalog)) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            known = "SELECT 1 FROM ducklake_table"
            return not names or ("ducklake_table" in names and not connection.execute(known).fetchall())
    except sqlite3.DatabaseError:
        return False


def _is_bare(path: Path) -> bool:
    """Whether the catalog is missing, or without any table; one with a log beside it may have some in there."""
    catalog, log = catalog_of(path), path / "catalog.sqlite-wal"
    return not catalog.is_file() or (_has_no_room(catalog) and not _size(log))


def _has_no_room(catalog: Path) -> bool:
    """Whether the file has no room for a table yet, as for a moment in a first sync, or for ever if that is killed.

    Told by its size: to open and close it would take away SQLite's locks, if this process has it attached.
    """
    return _size(catalog) in (0, SQLITE_PAGE_BYTES)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def unfinished(path: Path) -> LakeUnfinished:
    """What is said of the lake at `path` while its tables are not there yet."""
    if is_published(path):
        return LakeUnfinished(f"The published copy {path} is not whole yet: try again when its publishing has ended.")
    if not others_live(path / "spool", WRITERS):
        return LakeAbandoned(f"The first sync of the lake at {path} was ended before it had made it.")
    return LakeUnfinished(f"The lake at {path} is still being made by its first sync: try again in a moment.")


def explain_damage(said: str, path: Path) -> LakeError | None:
    """The error of ours for what DuckDB `said` of the catalog of the lake at `path`; None if it is not about that."""
    if NO_TABLES in said and _has_no_room(catalog_of(path)) and not holds_rows(path):
        return unfinished(path)
    if NO_TABLES in said or DAMAGES.search(said):
        return damaged(path)
    return None


def damaged(path: Path) -> LakeDamaged:
    """What is said of the lake at `path` where its catalog is there and cannot be read."""
    return LakeDamaged(
        f"The catalog of the lake {path}, catalog.sqlite, is damaged: restore the whole folder from a backup, "
        "or sync into a new lake."
    )
