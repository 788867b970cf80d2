"""Walks over a server, and what they bring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from pipeline.reading.walk import Fetch, Piece, seek
from pipeline.server.client import Client
from sandbox import Sandbox, Workspace
from tests.conftest import Origin

Row = dict[str, Any]

PAGE_ROWS = 250
DAY = timedelta(days=1)
ON = {"contacts": "modified_on", "runs": "modified_on", "messages": "created_on", "broadcasts": "created_on"}
KEYS = {"contacts": "uuid", "runs": "uuid", "messages": "id", "broadcasts": "id"}
READINGS = [("contacts", True), ("contacts", False), ("runs", True), ("runs", False)]
READINGS += [("messages", False), ("broadcasts", False)]
WAYS = [("contacts", True), ("contacts", False), ("messages", False)]
LATER = datetime(2100, 1, 1, tzinfo=UTC)
CLIENTS: dict[str, Client] = {}


def middle(workspace: Workspace, stream: str) -> Row:
    rows = workspace.rows(stream)
    return rows[len(rows) // 2]


def fetching(server: Sandbox | Origin, stream: str) -> Fetch:
    if server.url not in CLIENTS:
        token = server.token if isinstance(server, Sandbox) else "none"
        CLIENTS[server.url] = Client(server.url, token, sleep=lambda seconds: None, patience=0.01)
    client = CLIENTS[server.url]
    return lambda params: client.page(f"{stream}.json", params, scope="v2")


def walk(
    sandbox: Sandbox | Origin,
    stream: str,
    *,
    after: datetime | None = None,
    before: datetime = LATER,
    place: datetime | None = None,
    oldest_first: bool = True,
) -> Iterator[Piece]:
    return seek(
        fetching(sandbox, stream),
        stream,
        ON[stream],
        (KEYS[stream],),
        after=after,
        before=before,
        place=place,
        oldest_first=oldest_first,
    )


def rows_of(pieces: Iterable[Piece]) -> list[Row]:
    return [msgspec.json.decode(row) for piece in pieces for row in piece.rows]


def by_key(stream: str, rows: Iterable[Row]) -> dict[object, Row]:
    """Key → row; of rows that came twice the last."""
    return {row[KEYS[stream]]: row for row in rows}


def at(row: Row, stream: str) -> datetime:
    return datetime.fromisoformat(row[ON[stream]])


def tie_of(workspace: Workspace, stream: str) -> datetime:
    """The timestamp that most rows share."""
    moments = [row[ON[stream]] for row in workspace.rows(stream)]
    return datetime.fromisoformat(max(set(moments), key=moments.count))
