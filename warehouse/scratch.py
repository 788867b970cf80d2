"""Folders for what is on its way: locked as long as their process lives, and removed by the next if that was killed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from warehouse.private import hand_over

# Nobody else calls a folder so: what is left of it is deleted.
PREFIX = ".rapidlake-partial-"
RANDOM = "????????"


@dataclass(frozen=True)
class Scratch:
    """A folder of this process alone, until `remove`."""

    path: Path
    lock: int

    def remove(self) -> None:
        """Delete it, and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


def make_scratch(parent: Path, prefix: str = PREFIX) -> Scratch:
    """Make a folder in `parent`, which is there.

    Raises:
        OSError: nothing can be made there.
    """
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = lock_folder(path)
        if lock is not None:
            if path.is_dir():
                return Scratch(path, lock)
            os.close(lock)  # another process took it for a dead one's, before it was locked


def remove_left(parent: Path, prefix: str = PREFIX) -> bool:
    """Delete the folders in `parent` whose processes are dead; True if there were any."""
    left = False
    for path in parent.glob(prefix + RANDOM):
        lock = lock_folder(path)
        if lock is not None:
            left = True
            Scratch(path, lock).remove()
    return left


def others_live(parent: Path, prefix: str = PREFIX, *, ours: Path | None = None) -> bool:
    """Whether `parent` has folders of living processes beside this one."""
    for path in parent.glob(prefix + RANDOM):
        lock = None if path == ours else lock_folder(path)
        if lock is not None:
            os.close(lock)
        elif path != ours and path.is_dir():
            return True
    return False


@contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A folder while the block runs, in `parent`, or where the system has temporary files."""
    where = parent or Path(tempfile.gettempdir())
    remove_left(where)
    made = make_scratch(where)
    try:
        yield made.path
    finally:
        made.remove()


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """Where to write a file that takes the place of `file` when the block ends well: whole, or not at all.

    What is no file, such as a terminal or a pipe, is written as it is. A link is followed if it is the user's own: in a
    folder of many, another's may lead to any file of theirs.

    Raises:
        OSError: it cannot be written.
    """
    if file.is_symlink() and file.lstat().st_uid not in (0, os.geteuid()):
        raise OSError(errno.EPERM, "it is a link of somebody else's")
    if file.exists() and not file.is_file():
        yield file
        return
    target = file.resolve()
    with scratch(target.parent) as folder:
        partial = folder / target.name
        yield partial
        hand_over(partial)
        partial.replace(target)


def lock_folder(path: Path) -> int | None:
    """A lock on a folder, which the system takes back with the process; None if another has it, or it is gone.

    It is a file descriptor, to be closed.
    """
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(folder)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise
    return folder
