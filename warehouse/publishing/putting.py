"""Puts the files of a lake into a published copy: each whole, or not at all; files that are there already stay."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from warehouse.errors import CopyRefused, LakeDamaged, PublishError
from warehouse.publishing.place import Rights, give

# All files of all versions that a catalog knows, each with the folders that it is in.
FILES = """
SELECT DISTINCT schemas.path, tables.path, files.path, files.file_size_bytes,
    schemas.path_is_relative AND tables.path_is_relative AND files.path_is_relative
FROM (
    SELECT table_id, path, path_is_relative, file_size_bytes FROM ducklake_data_file
    UNION ALL SELECT table_id, path, path_is_relative, file_size_bytes FROM ducklake_delete_file
) files
JOIN ducklake_table tables USING (table_id) JOIN ducklake_schema schemas USING (schema_id)
"""
# The file system has no such links, not to this file, or not for this account.
NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS)


class Vanished(Exception):
    """A file of the lake is gone since its catalog was copied."""


@dataclass(frozen=True)
class Wanted:
    """What a catalog refers to: which lake it is of, and the size of each file, by its path below `data`."""

    lake: str
    files: dict[str, int]


@dataclass
class Counts:
    """How many files were put, or were there; and how many bytes were written for them."""

    new: int = 0
    kept: int = 0
    bytes: int = 0


def read_wanted(catalog: Path, lake: Path) -> Wanted | None:
    """What the copy of a catalog refers to; None if the lake has no tables yet.

    Raises:
        PublishError: it refers to files outside the lake.
    """
    with closing(sqlite3.connect(catalog)) as connection:
        if not connection.execute("SELECT 1 FROM ducklake_table LIMIT 1").fetchall():
            return None
        files: dict[str, int] = {}
        for *parts, size, is_relative in connection.execute(FILES):
            path = PurePosixPath(*parts)
            if not is_relative or path.is_absolute() or ".." in path.parts:
                raise PublishError(f"The lake {lake} has a file outside its folder, which cannot be published.")
            files[str(path)] = size
        [(uuid,)] = connection.execute("SELECT schema_uuid FROM ducklake_schema ORDER BY schema_id LIMIT 1")
    return Wanted(str(uuid), files)


@dataclass
class Putting:
    """Puts files from the folder `source` into `target`, by way of the folder `own`, which is on the same disk."""

    source: Path
    target: Path
    own: Path
    rights: Rights
    counts: Counts = field(default_factory=Counts)
    _folders: set[Path] = field(default_factory=set)

    def put(self, name: str, size: int) -> None:
        """Put a file of so many bytes, unless it is there.

        Raises:
            Vanished: the lake has it no longer.
            LakeDamaged: it has another size there.
            CopyRefused: something that is no folder is in the way.
        """
        source, target = self.source / name, self.target / name
        self._make_folder(target.parent)
        if self._is_there(target, size):
            self.counts.kept += 1
            return
        partial = self.own / "file.parquet"
        partial.unlink(missing_ok=True)  # a rename to another name of the same file does nothing
        try:
            found = source.stat()
            if found.st_size != size:
                raise LakeDamaged(
                    f"The lake is damaged, its file {source} has {found.st_size:,} bytes and not {size:,}: "
                    "restore it from a backup, or sync into a new lake."
                )
            if not self._link(source, found, partial):
                self._copy(source, partial)
        except FileNotFoundError:
            if source.exists():
                raise
            raise Vanished(str(source)) from None
        partial.replace(target)
        self.counts.new += 1

    def _is_there(self, target: Path, size: int) -> bool:
        """Whether the file is there and whole; who may read it is set right, but never of a file that is the lake's."""
        try:
            found = target.lstat()
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(found.st_mode) or found.st_size != size:
            return False
        if self._fits(found):
            return True
        if found.st_nlink > 1:
            return False
        give(target, self.rights.file, self.rights.group)
        return True

    def _fits(self, found: os.stat_result) -> bool:
        return stat.S_IMODE(found.st_mode) == self.rights.file and found.st_gid == self.rights.group

    def _link(self, source: Path, found: os.stat_result, partial: Path) -> bool:
        """Give the lake's file a second name, if the same people may read it by that; False if that cannot be."""
        if not self._fits(found) or not stat.S_ISREG(source.lstat().st_mode):
            return False
        try:
            os.link(source, partial, follow_symlinks=False)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return False
        return True

    def _copy(self, source: Path, partial: Path) -> None:
        shutil.copyfile(source, partial)
        give(partial, self.rights.file, self.rights.group)
        descriptor = os.open(partial, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # a file of the right size is not copied again, also after the power was lost
        finally:
            os.close(descriptor)
        self.counts.bytes += partial.stat().st_size

    def _make_folder(self, folder: Path) -> None:
        """Make a folder of the copy, and those that it is in; none of them is reached through a link."""
        if folder in self._folders:
            return
        if folder != self.target:
            self._make_folder(folder.parent)
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise CopyRefused(f"{folder} is no folder.")
        if not folder.exists():
            made = self.own / "folder"
            made.mkdir()
            give(made, self.rights.folder, self.rights.group)
            made.replace(folder)
        elif (folder.stat().st_mode & 0o777, folder.stat().st_gid) != (self.rights.folder, self.rights.group):
            give(folder, self.rights.folder, self.rights.group)
        self._folders.add(folder)


def parquet_files(data: Path) -> Iterator[str]:
    """The Parquet files in the folder `data`, by their path in it; links are not followed."""
    for folder, _, names in os.walk(data):
        for name in names:
            if name.endswith(".parquet"):
                yield str(Path(folder, name).relative_to(data))
