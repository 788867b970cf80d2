"""Whose files are: the owner's, whatever the umask, and a group's where it was told that it may read."""

from __future__ import annotations

import grp
import os
import resource
import stat
from pathlib import Path

OWNERS, GROUPS = 0o077, 0o027
FOLDER, FOLDER_OF_GROUP = 0o700, 0o2750
FILE, FILE_OF_GROUP = 0o600, 0o640

_group: int | None = None


def keep_private(group: int | None = None) -> None:
    """Let nobody else read what this process makes from here on, but members of `group`, a number, where it is told.

    If it crashes, it leaves no image of its memory either.
    """
    global _group
    _group = group
    os.umask(OWNERS if group is None else GROUPS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def group_number(name: str) -> int:
    """The number of a group of this machine.

    Raises:
        ValueError: there is none of the name, or whoever runs this is no member, and can give it nothing.
    """
    try:
        number = grp.getgrnam(name).gr_gid
    except KeyError:
        raise ValueError(f"is {name!r}, which is no group of this machine: `getent group` lists them") from None
    if number not in (*os.getgroups(), os.getegid()) and os.geteuid() != 0:
        raise ValueError(f"is {name!r}, of which this account is no member: add it, and log in anew")
    return number


def make_folder(folder: Path) -> None:
    """Make a folder that those may read who may read what is made; one that is there stays as it is.

    Raises:
        OSError: it cannot be made.
        PermissionError: the owner is no member of the group.
    """
    try:
        folder.mkdir(FOLDER)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    if _group is not None:
        os.chown(folder, -1, _group)
    folder.chmod(FOLDER if _group is None else FOLDER_OF_GROUP)


def no_links(path: str, flags: int) -> int:
    """Opens files whose names others can foresee, for `open(..., opener=no_links)`: no link of theirs is followed."""
    return os.open(path, flags | os.O_NOFOLLOW, FILE)


def hand_over(path: Path) -> None:
    """Give a file, or a folder with all in it, that was made where nobody else reads, to those who may read it."""
    if _group is None:
        return
    for part in [path, *path.rglob("*")]:
        os.chown(part, -1, _group)
        part.chmod(FOLDER_OF_GROUP if part.is_dir() else FILE_OF_GROUP)


def open_to(path: Path) -> str:
    """Who else may read a file or folder: everybody, its group if that was not told that it may, or '' for nobody."""
    try:
        found, *above = [one.stat() for one in (path.resolve(), *path.resolve().parents)]
    except (OSError, RuntimeError):  # the last of links that lead in a circle
        return ""
    if found.st_mode & stat.S_IRWXO and all(folder.st_mode & stat.S_IXOTH for folder in above):
        return "everybody"
    return "its group" if found.st_mode & stat.S_IRWXG and found.st_gid != _group else ""


def close_folder(folder: Path, *within: str) -> None:
    """Let nobody else into a folder of this account's, nor read what these patterns find in it.

    Its group keeps its rights where the folder hands it on (setgid), which somebody has set on purpose.
    """
    shared = folder.is_dir() and folder.stat().st_mode & stat.S_ISGID
    for part in (folder, *(one for pattern in within for one in folder.glob(pattern))):
        try:
            found = part.lstat()
            closed = found.st_mode & (stat.S_IRWXO if shared else OWNERS)
            if closed and found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode):
                part.chmod(stat.S_IMODE(found.st_mode) & ~closed)
        except OSError:  # it is gone, or of a file system that knows no modes
            continue
