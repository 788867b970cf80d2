"""Archives: their files on disk and their rows in the list, which always change together."""

import gzip
import hashlib
from collections.abc import Iterable
from pathlib import Path

from sandbox.workspace.contents import Workspace
from sandbox.workspace.rows import Row, key_of


def put_archive(
    workspace: Workspace,
    archive_type: str,
    period: str,
    start_date: str,
    lines: Iterable[bytes],
    *,
    record_count: int | None = None,
) -> Row:
    """Write an archive file and list it, instead of one with the same type, period and date; return the row.

    The file that it replaces is deleted, so an address already issued leads nowhere. `record_count` is what the list
    says when that is not the number of lines.
    """
    scratch = _scratch(workspace, archive_type, period, start_date)
    count = 0
    with (
        scratch.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="", compresslevel=6) as packed,
    ):
        for line in lines:
            packed.write(line + b"\n")
            count += 1
    count = count if record_count is None else record_count
    return _publish(workspace, archive_type, period, start_date, scratch, count)


def put_archive_bytes(
    workspace: Workspace, archive_type: str, period: str, start_date: str, content: bytes, *, record_count: int
) -> Row:
    """List exactly these bytes as an archive file, with their true size and MD5, whatever they hold; return the row."""
    scratch = _scratch(workspace, archive_type, period, start_date)
    scratch.write_bytes(content)
    return _publish(workspace, archive_type, period, start_date, scratch, record_count)


def put_empty_archive(workspace: Workspace, archive_type: str, period: str, start_date: str) -> Row:
    """List an archive without records as newer servers do: no file, and null for hash and address; return the row."""
    return _list(workspace, _row(archive_type, period, start_date, count=0, size=0, digest=None))


def remove_archive(workspace: Workspace, row: Row) -> None:
    """Take an archive off the list and delete its file."""
    with workspace.store.transaction():
        workspace.delete("archives", [key_of("archives", row)])
        _delete_file(workspace, row)


def read_archive(workspace: Workspace, row: Row) -> list[bytes]:
    """Return the lines of a listed archive: the truth for a test."""
    name = file_name(row)
    path = find_file(workspace, name) if name else None
    return [] if path is None else gzip.decompress(path.read_bytes()).splitlines()


def file_name(row: Row) -> str | None:
    """Return the name of an archive's file: type, D or M with the day, MD5; None for an archive that has no file."""
    if not row.get("hash"):
        return None
    day = row["start_date"].replace("-", "")
    return f"{row['archive_type']}_{row['period'][0].upper()}{day}_{row['hash']}.jsonl.gz"


def find_file(workspace: Workspace, name: str) -> Path | None:
    """Return the path of an archive file; None when the store has no such object."""
    if "/" in name or name.startswith(".") or name in workspace.deleted_files:
        return None
    return next((path for folder in workspace.archive_folders if (path := folder / name).is_file()), None)


def _scratch(workspace: Workspace, archive_type: str, period: str, start_date: str) -> Path:
    return workspace.archive_folders[0] / f"{archive_type}_{period}_{start_date}.part"


def _publish(
    workspace: Workspace, archive_type: str, period: str, start_date: str, scratch: Path, record_count: int
) -> Row:
    """Give a finished file its name and list it."""
    with scratch.open("rb") as written:
        digest = hashlib.file_digest(written, "md5").hexdigest()
    row = _row(archive_type, period, start_date, count=record_count, size=scratch.stat().st_size, digest=digest)
    name = file_name(row)
    assert name is not None
    scratch.rename(scratch.with_name(name))
    workspace.deleted_files.discard(name)
    return _list(workspace, row)


def _row(archive_type: str, period: str, start_date: str, *, count: int, size: int, digest: str | None) -> Row:
    return {
        "archive_type": archive_type,
        "start_date": start_date,
        "period": period,
        "record_count": count,
        "size": size,
        "hash": digest,
        "download_url": None if digest is None else "",
    }


def _list(workspace: Workspace, row: Row) -> Row:
    with workspace.store.transaction():
        replaced = workspace.row("archives", key_of("archives", row))
        workspace.put("archives", row)
        if replaced is not None and file_name(replaced) != file_name(row):
            _delete_file(workspace, replaced)
    return row


def _delete_file(workspace: Workspace, row: Row) -> None:
    """Delete an archive's file; one that belongs to a loaded dump stays on disk, but is found no more."""
    name = file_name(row)
    if name is not None:
        workspace.deleted_files.add(name)
        (workspace.archive_folders[0] / name).unlink(missing_ok=True)
