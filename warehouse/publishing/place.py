"""The folder of a published copy: who may read it, whose copy it is, and which files its readers may still need."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from warehouse.errors import CopyRefused, PublishBusy, PublishError
from warehouse.lake.catalog import MARK
from warehouse.private import make_folder
from warehouse.scratch import PREFIX, lock_folder


@dataclass(frozen=True)
class Rights:
    """Who may read what is published: the modes of its folders and files, and their group."""

    folder: int
    file: int
    group: int


@dataclass(frozen=True)
class Mark:
    """What the mark of a published copy says: of which lake it is, and since when files are not referred to."""

    lake: str
    made_from: str
    published_on: datetime | None = None
    dropped: Mapping[str, datetime] = field(default_factory=dict)


def rights_of(folder: Path) -> Rights:
    """The rights of what is published in a folder: whoever may read the folder may read it, and nobody write it."""
    found = folder.stat()
    mode = stat.S_IMODE(found.st_mode)
    return Rights(mode & 0o755 | 0o700, mode & 0o044 | 0o600, found.st_gid)


def give(path: Path, mode: int, group: int) -> None:
    """Give a file or folder its mode and group.

    Raises:
        PublishError: this account may not.
    """
    if path.stat().st_gid != group:
        try:
            os.chown(path, -1, group)
        except PermissionError:
            raise PublishError(
                f"This account cannot give files to the group {group}, which the folder is of: "
                "make it a member of that group, or set the folder's setgid bit (chmod g+s)."
            ) from None
    path.chmod(mode)


@contextmanager
def taken(folder: Path) -> Iterator[None]:
    """Have the folder for this process alone, as long as the block runs; it is made where there is none.

    Raises:
        CopyRefused: it is a file, or holds something else than a published copy.
        PublishBusy: another process publishes into it.
    """
    if folder.exists() and not folder.is_dir():
        raise CopyRefused(f"{folder} is a file.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    make_folder(folder)
    lock = lock_folder(folder)
    if lock is None:
        raise PublishBusy(f"Another process is publishing into {folder} now; left to that one.")
    try:
        if not (folder / MARK).exists() and any(not file.name.startswith(PREFIX) for file in folder.iterdir()):
            raise CopyRefused(f"{folder} is there and holds something else than a published copy.")
        yield
    finally:
        os.close(lock)


def read_mark(folder: Path) -> Mark | None:
    """What the folder's mark says; None where there is none.

    Raises:
        CopyRefused: it says nothing that can be understood.
    """
    try:
        said = json.loads((folder / MARK).read_text(encoding="utf-8"))
        dropped = {str(name): _moment(since) for name, since in said["dropped"].items()}
        published_on = said["published_on"]
        return Mark(said["lake"], said["made_from"], published_on and _moment(published_on), dropped)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CopyRefused(f"The file {MARK} of {folder} is not as it was written.") from None


def write_mark(folder: Path, mark: Mark, own: Path, rights: Rights) -> None:
    """Mark the folder, by way of the folder `own` in it."""
    facts = {
        "lake": mark.lake,
        "made_from": mark.made_from,
        "published_on": mark.published_on and mark.published_on.isoformat(),
        "dropped": {name: since.isoformat() for name, since in sorted(mark.dropped.items())},
    }
    partial = own / MARK
    partial.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    give(partial, rights.file, rights.group)
    partial.replace(folder / MARK)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
