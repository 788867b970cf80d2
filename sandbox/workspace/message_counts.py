"""How many messages a workspace has, by day and channel: the rows of the `statistics` endpoint of newer servers."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time

from sandbox.workspace import dates
from sandbox.workspace.archive_files import read_archive
from sandbox.workspace.contents import Workspace
from sandbox.workspace.generations import id_of
from sandbox.workspace.rows import Row
from sandbox.workspace.shelf import date_of

DAYS = 366
_SCOPES = ("text:in", "text:out", "voice:in", "voice:out")
_VOICE = ("voice", "ivr")  # ivr: what old archives call it


def count_statistics(workspace: Workspace, *, today: date | None = None) -> list[Row]:
    """Count the messages of the last 366 days as they are now, offer the `statistics` endpoint and return its rows.

    A message that is both in the API and in an archive counts once. Channels that the workspace no longer has are left
    out, as are days without a message.
    """
    now = workspace.clock() if today is None else dates.to_micros(datetime.combine(today, time(), UTC))
    end = now // dates.DAY + 1
    counts: Counter[tuple[int, str, str]] = Counter()
    for row in _messages(workspace, date_of(end - DAYS)):
        day = (dates.read_iso(row["created_on"]) or 0) // dates.DAY
        if end - DAYS <= day < end and row.get("channel"):
            scope = f"{'voice' if row.get('type') in _VOICE else 'text'}:{row['direction']}"
            counts[day, row["channel"]["uuid"], scope] += 1
    rows = _rows(counts, {row["uuid"]: _channel_type(row) for row in workspace.rows("channels")})
    with workspace.store.transaction():
        workspace.store.execute("DELETE FROM statistics")
        workspace.offer("statistics")
        for row in reversed(rows):  # what comes last is served first
            workspace.put("statistics", row)
    return rows


def _messages(workspace: Workspace, since: str) -> Iterator[Row]:
    """Yield every message once: those of the API, then those that only archives have."""
    known = set()
    for row in workspace.rows("messages"):
        known.add(_number(row))
        yield row
    for archive in workspace.rows("archives"):
        if archive["archive_type"] == "message" and archive["start_date"][:7] >= since[:7]:
            for row in map(json.loads, read_archive(workspace, archive)):
                if _number(row) not in known:
                    known.add(_number(row))
                    yield row


def _number(row: Row) -> object:
    """Return the id of a message, which newer records tell only by their uuid."""
    return row["id"] if "id" in row else id_of(row["uuid"])[0]


def _rows(counts: Counter[tuple[int, str, str]], types: dict[str, str]) -> list[Row]:
    by_day: dict[int, Row] = {}
    for (day, channel, scope), count in sorted(counts.items()):
        if channel in types:
            row = by_day.setdefault(day, {"date": date_of(day), "channels": {}})
            entry = row["channels"].setdefault(channel, {"type": types[channel], **dict.fromkeys(_SCOPES, 0)})
            entry[scope] = count
    return list(by_day.values())


def _channel_type(channel: Row) -> str:
    """Return a channel's type; older servers do not show it, except that only a phone with Android is a device."""
    return str(channel.get("type") or ("android" if channel.get("device") else "external"))
