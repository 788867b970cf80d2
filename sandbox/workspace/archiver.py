"""What the server's archiver does at night: old rows go into daily archives, and whole months are rolled up."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from sandbox.workspace import dates
from sandbox.workspace.archive_files import put_archive, read_archive, remove_archive
from sandbox.workspace.contents import Workspace
from sandbox.workspace.generations import as_archived, invented_uuid
from sandbox.workspace.rows import Row, encode
from sandbox.workspace.shelf import date_of

_PATH_STEPS = 500
_MESSAGE = (
    *("uuid", "id", "broadcast", "contact", "urn", "channel", "flow", "direction", "type", "status", "visibility"),
    *("text", "attachments", "labels", "created_on", "sent_on", "modified_on"),
)
_RUN = (
    *("id", "uuid", "flow", "contact", "responded", "path", "values"),
    *("created_on", "modified_on", "exited_on", "exit_type"),
)
_DATES = ("created_on", "sent_on", "modified_on", "exited_on", "time")


def archive_old_rows(workspace: Workspace, before: date, *, purge: bool = True) -> int:
    """Move the messages and runs older than the UTC day `before` into daily archives; return how many.

    Every day gets one, empty days too, from the first such row, or the newest archive, on. A day that has an archive,
    or lies in a monthly one, is not touched: its rows stay in the API. So do all rows without `purge`.
    """
    end = dates.to_micros(datetime.combine(before, time(), UTC)) // dates.DAY
    return sum(_archive(workspace, kind, end, purge=purge) for kind in _KINDS)


def roll_up(workspace: Workspace, archive_type: str, month: str) -> Row:
    """Replace the daily archives of a month, `2026-07`, by a monthly one with their lines; return its row."""
    with workspace.store.transaction():
        dailies = [
            row
            for row in workspace.rows("archives")
            if (row["archive_type"], row["period"], row["start_date"][:7]) == (archive_type, "daily", month)
        ]
        if not dailies:
            raise ValueError(f"{month}: there is no daily archive of type {archive_type}")
        dailies.sort(key=lambda row: str(row["start_date"]))
        lines = (line for row in dailies for line in read_archive(workspace, row))
        monthly = put_archive(workspace, archive_type, "monthly", f"{month}-01", lines)
        for row in dailies:
            remove_archive(workspace, row)
        return monthly


def fill_in_uuids(workspace: Workspace, archive: Row, *, seed: int = 0) -> Row:
    """Rewrite a file of messages as a command of 26.3 does: records without a uuid get one; return the file's new row.

    What they get is invented: the API may show another one for the same message.
    """
    dice = random.Random(f"uuids {seed}")
    records = [json.loads(line) for line in read_archive(workspace, archive)]
    lines = [
        encode(record if record.get("uuid") else {"uuid": invented_uuid(record, dice), **record}).encode()
        for record in records
    ]
    return put_archive(workspace, archive["archive_type"], archive["period"], archive["start_date"], lines)


@dataclass(frozen=True)
class _Kind:
    """What is archived: from which table, by which date, in which form."""

    archive_type: str
    table: str
    column: str
    convert: Callable[[Row], Row]


def _archive(workspace: Workspace, kind: _Kind, end: int, *, purge: bool) -> int:
    """Archive one kind of rows up to a day, counted from the epoch."""
    count = 0
    with workspace.store.transaction():
        listed = {
            (row["period"], row["start_date"])
            for row in workspace.rows("archives")
            if row["archive_type"] == kind.archive_type
        }
        for day in range(_first_day(workspace, kind, listed, end), end):
            text = date_of(day)
            if ("daily", text) not in listed and ("monthly", f"{text[:7]}-01") not in listed:
                count += _archive_day(workspace, kind, day, purge=purge)
    return count


def _first_day(workspace: Workspace, kind: _Kind, listed: set[tuple[str, str]], end: int) -> int:
    workspace.store.index(kind.table, kind.column)
    [(oldest,)] = workspace.store.select(f"SELECT min({kind.column}) FROM {kind.table} WHERE hidden = 0")
    newest = max((start for _, start in listed), default=None)
    moments = [moment for moment in (oldest, dates.read_iso(newest)) if moment is not None]
    return min((moment // dates.DAY for moment in moments), default=end)


def _archive_day(workspace: Workspace, kind: _Kind, day: int, *, purge: bool) -> int:
    where = f"hidden = 0 AND {kind.column} >= ? AND {kind.column} < ?"
    bounds = (day * dates.DAY, (day + 1) * dates.DAY)
    found = workspace.store.select(f"SELECT body FROM {kind.table} WHERE {where} ORDER BY {kind.column}, id", bounds)
    lines = (encode(_written(workspace, kind, json.loads(body))).encode() for (body,) in found)
    put_archive(workspace, kind.archive_type, "daily", date_of(day), lines)
    if purge:  # without a folder, a message is not even listed among the deleted ones
        workspace.store.execute(f"UPDATE {kind.table} SET hidden = 1, folder = NULL WHERE {where}", bounds)
    return len(found)


# -- the form of archived records --


def _written(workspace: Workspace, kind: _Kind, row: Row) -> Row:
    record = kind.convert(row)
    return as_archived(record, row, workspace.generation) if kind.archive_type == "message" else record


def _message(row: Row) -> Row:
    """Return a message as an archive has it."""
    kept = {name: row[name] for name in _MESSAGE if name in row}
    kept |= {name: _reference(kept[name]) for name in ("contact", "channel", "flow") if name in kept}
    kept["labels"] = [_reference(label) for label in row.get("labels") or []]
    if kept.get("urn") is not None:
        kept["urn"] = kept["urn"].partition("#")[0]
    return _offset_dates(kept)


def _run(row: Row) -> Row:
    """Return a run as an archive has it."""
    kept = {name: row[name] for name in _RUN if name in row}
    kept |= {name: _reference(kept[name]) for name in ("flow", "contact") if name in kept}
    kept["path"] = [_offset_dates(step) for step in (row.get("path") or [])[:_PATH_STEPS]]
    values = row.get("values") or {}
    kept["values"] = {key: _offset_dates({**value, "input": value.get("input")}) for key, value in values.items()}
    return {**_offset_dates(kept), "submitted_by": None}


def _reference(value: Any) -> Any:
    return value and {"uuid": value["uuid"], "name": value["name"]}


def _offset_dates(row: Row) -> Row:
    """Write the timestamps of a row with an offset instead of Z."""
    return {
        name: f"{value[:-1]}+00:00" if name in _DATES and isinstance(value, str) and value.endswith("Z") else value
        for name, value in row.items()
    }


_KINDS = (_Kind("message", "messages", "created", _message), _Kind("run", "runs", "modified", _run))
