"""What the store must know about a row: its key, its timestamps, what it belongs to."""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sandbox.workspace import dates
from sandbox.workspace.endpoints import ENDPOINTS, Endpoint
from sandbox.workspace.store import Record

Row = dict[str, Any]

DELETED_CONTACTS = "contacts_deleted"  # the second list of contacts, behind `deleted=true`
TABLES = (*(name for name in ENDPOINTS if name != "definitions"), DELETED_CONTACTS, "definitions")

_UNDATED = dates.to_micros(dates.from_micros(0).replace(year=2024))  # where rows without any date are put
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))  # `json.dumps` would make one for each row
_SENT = ("wired", "sent", "delivered")
_UNSENT = ("initializing", "queued", "errored")


def table_endpoint(table: str) -> Endpoint:
    """Return the endpoint that serves a table."""
    return ENDPOINTS["contacts" if table == DELETED_CONTACTS else table]


def encode(row: object) -> str:
    """Write JSON like the server: compact, raw UTF-8, with the two line separators of Unicode escaped."""
    text = _COMPACT.encode(row)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def key_of(table: str, row: Mapping[str, Any]) -> str:
    """Return the row's key as text; an invented one where the API offers none."""
    if table == "archives":
        return "/".join(str(row.get(part)) for part in ("archive_type", "period", "start_date"))
    value = row.get(table_endpoint(table).key)
    return str(uuid.uuid4()) if value is None else str(value)


def folder_of(row: Mapping[str, Any]) -> str:
    """Return the folder that shows a message."""
    if row.get("visibility") is None:
        return "deleted"
    if row.get("direction") == "in":
        if row.get("visibility") == "archived":
            return "archived"
        return "flows" if row.get("flow") else "inbox"
    status = row.get("status")
    return "sent" if status in _SENT else "outbox" if status in _UNSENT else "failed"


def record(table: str, row: Mapping[str, Any], order_id: int, body: str | None = None) -> Record:
    """Build the record of one row; without dates of its own it gets an old one."""
    created = dates.read_iso(row.get("created_on"))
    modified = dates.read_iso(row.get("modified_on"))
    if table == "archives":
        created = dates.read_iso(row.get("start_date"))
    if table == "tickets" and created is None:
        created = dates.read_iso(row.get("opened_on"))
    fallback = created if created is not None else modified if modified is not None else _UNDATED
    visible_id = row.get("id")
    return Record(
        id=visible_id if isinstance(visible_id, int) and abs(visible_id) < 2**63 else order_id,
        key=key_of(table, row),
        created=fallback if created is None else created,
        modified=fallback if modified is None else modified,
        body=encode(row) if body is None else body,
        sent=dates.read_iso(row.get("sent_on")),
        contact=_uuid(row.get("contact")),
        flow=_uuid(row.get("flow")),
        folder=folder_of(row) if table == "messages" else None,
        hidden=int(table == "messages" and row.get("visibility") is None),
    )


def _uuid(reference: object) -> str | None:
    value = reference.get("uuid") if isinstance(reference, dict) else None
    return value if isinstance(value, str) else None


def in_served_order(table: str, rows: Iterable[Row]) -> Iterator[Record]:
    """Build the records of a whole dump so that they are served in the order in which they stand there.

    Rows without a date, or sorted by one that the API does not show, get a date in that order.
    """
    endpoint = table_endpoint(table)
    latest: int | None = None
    for index, row in enumerate(rows):
        built = record(table, row, -index)
        if endpoint.descending and table != "archives":
            by_modified = endpoint.order == "modified"
            value = built.modified if by_modified else built.created
            if value == _UNDATED:
                value = _UNDATED - index * dates.SECOND
            if latest is not None and value > latest:
                value = latest
            latest = value
            built = built._replace(modified=value) if by_modified else built._replace(created=value)
        yield built
