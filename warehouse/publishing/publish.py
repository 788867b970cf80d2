"""Makes a copy of a lake for those who may only read, beside syncs; again and again, of what is new.

folder/catalog.sqlite         the catalog, without a log: to open it nothing need be written
folder/data/                  the Parquet files, as in the lake
folder/.rapidlake-published   whose copy it is, and which files its readers may still need

The catalog takes the place of the one before when all files are there that it refers to. Killed at any moment, the copy
is what it was, or what it was to become.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from warehouse.declared import kind_of
from warehouse.errors import CopyRefused, LakeDamaged, LakeNotFound, PublishError
from warehouse.lake import clock
from warehouse.lake.catalog import catalog_of, closed, explain_damage, has_catalog, see, unfinished
from warehouse.publishing.catalog_copy import copy_apart
from warehouse.publishing.place import Mark, Rights, give, read_mark, rights_of, taken, write_mark
from warehouse.publishing.putting import Counts, Putting, Vanished, Wanted, parquet_files, read_wanted
from warehouse.scratch import scratch

# Who began to read before a file was dropped has ended then.
GRACE = timedelta(days=1)
# Upkeep may remove files between the copying of the catalog and theirs.
ATTEMPTS = 5
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Published:
    """What publishing came to: files that are new, that were there, and that were removed; bytes written."""

    folder: str
    files_new: int
    files_kept: int
    files_removed: int
    bytes_copied: int
    seconds: float

    @property
    def said(self) -> str:
        """What it came to, in one sentence."""
        return (
            f"{self.folder}: {self.files_new:,} files new, {self.files_kept:,} kept, {self.files_removed:,} removed, "
            f"{self.bytes_copied / 1e6:,.1f} MB copied, {self.seconds:.1f} s."
        )


def publish(lake: Path, folder: Path, *, grace: timedelta = GRACE) -> Published:
    """Make `folder` a copy of the lake at `lake` as it is now, for those who may read the folder.

    Safe beside syncs, upkeep and readers. Files that the copy refers to no longer are removed after `grace`. A folder
    that is not there is made for this account alone.

    Raises:
        LakeNotFound: there is no lake.
        CopyRefused: the folder holds something else, is the lake, or cannot be written.
        PublishBusy: another process publishes into it.
        PublishError: the disk is full, or the lake does not keep still.
        LakeDamaged: the lake is not whole.
    """
    begun = time.monotonic()
    see(lake)
    if not has_catalog(lake):
        raise unfinished(lake) if catalog_of(lake).is_file() else LakeNotFound(f"There is no lake at {lake}.")
    _refuse_overlap(lake, folder)
    with _errors_told(lake, folder), taken(folder), scratch(folder) as own:
        rights = rights_of(folder)
        wanted, counts = _put_all(lake.resolve(), folder.resolve(), own, rights)
        removed = _forget(lake, folder, wanted, own, rights, grace)
    return Published(str(folder), counts.new, counts.kept, removed, counts.bytes, time.monotonic() - begun)


def _refuse_overlap(lake: Path, folder: Path) -> None:
    there = folder.resolve()
    for ours in (lake.resolve(), (lake / "data").resolve()):
        if there.is_relative_to(ours) or ours.is_relative_to(there):
            raise CopyRefused(f"{folder} is the lake {lake}, lies in it, or has it inside.")


@contextmanager
def _errors_told(lake: Path, folder: Path) -> Iterator[None]:
    """Make errors of the system ours.

    Raises:
        LakeUnreadable: the lake's files may not be read.
        PublishError: the disk is full.
        CopyRefused: the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise _full(folder) from None
        if isinstance(error, PermissionError) and Path(str(error.filename)).is_relative_to(lake.resolve()):
            raise closed(lake) from None
        raise CopyRefused(f"{folder} cannot be written ({kind_of(error)}).") from None


def _full(folder: Path) -> PublishError:
    return PublishError(f"The disk with {folder} is full: what was published before stays; make room there.")


def _put_all(lake: Path, folder: Path, own: Path, rights: Rights) -> tuple[Wanted, Counts]:
    """Put a copy of the catalog in place, after the files that it refers to."""
    copied = 0
    for _ in range(ATTEMPTS):
        catalog = own / "catalog.sqlite"
        wanted = _copy_catalog(lake, folder, catalog)
        copied += catalog.stat().st_size
        _claim(lake, folder, wanted, own, rights)
        putting = Putting(lake / "data", folder / "data", own, rights, Counts(bytes=copied))
        try:
            for name, size in wanted.files.items():
                putting.put(name, size)
        except Vanished as vanished:
            missing, copied = str(vanished), putting.counts.bytes
            catalog.unlink()
            continue
        _replace_catalog(catalog, folder, rights)
        return wanted, putting.counts
    raise LakeDamaged(
        f"The lake {lake} is damaged, its file {missing} is missing: restore it from a backup, or sync into a new lake."
    )


def _copy_catalog(lake: Path, folder: Path, copy: Path) -> Wanted:
    if said := copy_apart(catalog_of(lake), copy, folder / "data"):
        if "disk is full" in said:
            raise _full(folder)
        raise explain_damage(said, lake) or PublishError(f"The catalog of the lake {lake} cannot be copied ({said}).")
    wanted = read_wanted(copy, lake)
    if not wanted:
        raise unfinished(lake)
    return wanted


def _claim(lake: Path, folder: Path, wanted: Wanted, own: Path, rights: Rights) -> None:
    """See that the folder is of this lake, or mark it so, before anything else is in it.

    Raises:
        CopyRefused: it is a copy of another lake.
    """
    mark = read_mark(folder)
    if not mark:
        write_mark(folder, Mark(wanted.lake, str(lake)), own, rights)
    elif mark.lake != wanted.lake:
        raise CopyRefused(f"{folder} is a published copy of another lake, made from {mark.made_from}.")


def _replace_catalog(catalog: Path, folder: Path, rights: Rights) -> None:
    give(catalog, rights.file, rights.group)
    for log in ("-journal", "-wal", "-shm"):  # what somebody has left who wrote there would be taken for its own
        (folder / f"catalog.sqlite{log}").unlink(missing_ok=True)
    catalog.replace(catalog_of(folder))


def _forget(lake: Path, folder: Path, wanted: Wanted, own: Path, rights: Rights, grace: timedelta) -> int:
    """Note since when files are not referred to, and remove those of which that is long ago; how many."""
    mark, now = read_mark(folder), clock.now()
    known = mark.dropped if mark else {}
    there = set(parquet_files(folder / "data"))
    dropped = {name: min(known.get(name, now), now) for name in there - wanted.files.keys()}
    doomed = {name for name, since in dropped.items() if now - since >= grace}
    kept = {name: since for name, since in dropped.items() if name not in doomed}
    write_mark(folder, Mark(wanted.lake, str(lake.resolve()), now, kept), own, rights)
    for name in doomed:
        (folder / "data" / name).unlink(missing_ok=True)
    return len(doomed)
