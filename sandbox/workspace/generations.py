"""Generations of the server: which keys name a message or a broadcast, and how some values are spelled.

The rows in the store are those of a server of version 9.0. They are rewritten as they are served, and as they are
archived, so that a workspace can go from one generation to the next, and back, at any moment.
"""

import json
import random
import uuid
from collections.abc import Mapping
from enum import Enum
from typing import Any

from sandbox.workspace import dates
from sandbox.workspace.rows import Row, encode


class Generation(Enum):
    """What a server's version decides."""

    NINE = "9.0"  # messages and broadcasts have an `id` only
    TWENTY_SIX = "26.3"  # they have `uuid` and `id`, and the statuses of broadcasts and flow starts have other names
    WITHOUT_IDS = "next"  # they have a `uuid` only; nor does a message tell the `id` of its broadcast any more


CHANGING = ("messages", "broadcasts", "flow_starts")  # the streams whose rows a generation decides
IDENTIFIED = ("messages", "broadcasts")  # those of which it decides the keys
LISTING_DELETED = ("topics", "optins")  # those in which 9.0 shows deleted rows, under another name
LISTED_BY_NINE = 2  # the value of `hidden` of such rows
_LATER: dict[str, Row] = {  # keys that 9.0 lacks, and their values where the stored row has none
    "messages": {"quick_replies": []},
    "broadcasts": {"progress": {"total": -1, "started": 0}, "quick_replies": {}},
    "flow_starts": {"progress": {"total": -1, "started": 0}},
}
_RENAMED = {
    "broadcasts": {"sent": "completed"},
    "flow_starts": {"starting": "started", "complete": "completed"},
}
_BITS = 62
_SPREAD = 0x2545F4914F6CDD1D  # odd: the product is another one for each id
_BACK = pow(_SPREAD, -1, 2**_BITS)


def as_served(row: Mapping[str, Any], stream: str, generation: Generation | None) -> Row:
    """Return a stored row as a server of this generation lists it; None: as it is stored."""
    if generation is None or stream not in CHANGING:
        return dict(row)
    later, renamed = _LATER[stream], _RENAMED.get(stream, {})
    if generation is Generation.NINE:
        return _named({name: value for name, value in row.items() if name not in later}, stream, row, generation)
    status = {"status": renamed.get(row["status"], row["status"])} if "status" in row else {}
    return _named({**later, **row, **status}, stream, row, generation)


def as_archived(record: Mapping[str, Any], row: Mapping[str, Any], generation: Generation | None) -> Row:
    """Return the record of a stored message as an archiver of this generation writes it; None: as it is."""
    return dict(record) if generation is None else _named(record, "messages", row, generation)


def _named(kept: Mapping[str, Any], stream: str, row: Mapping[str, Any], generation: Generation) -> Row:
    """Return the keys of a row that name it, as this generation does, before all others."""
    if stream not in IDENTIFIED:
        return dict(kept)
    others = {name: value for name, value in kept.items() if name not in ("uuid", "id")}
    if generation is Generation.NINE:
        return {"id": row.get("id"), **others}
    if generation is Generation.TWENTY_SIX:
        return {"uuid": uuid_of(row), "id": row.get("id"), **others}
    others.pop("broadcast", None)
    return {"uuid": uuid_of(row), **others}


def as_served_body(body: bytes, stream: str, generation: Generation | None) -> bytes:
    """Return the JSON of a stored row as a server of this generation writes it."""
    if generation is None or stream not in CHANGING:
        return body
    return encode(as_served(json.loads(body), stream, generation)).encode()


# -- uuids --


def uuid_of(row: Mapping[str, Any]) -> str:
    """Return the uuid of a stored message or broadcast: its own, or else the one that belongs to its id and date."""
    if row.get("uuid"):
        return str(row["uuid"])
    return _version_7(_milliseconds(row), int(row.get("id") or 0) * _SPREAD % 2**_BITS)


def invented_uuid(record: Mapping[str, Any], dice: random.Random) -> str:
    """Return what the archiver of 26.3 writes into a record without a uuid: its date, and the rest at random."""
    return _version_7(_milliseconds(record), dice.getrandbits(_BITS))


def id_of(text: str) -> tuple[int, int]:
    """Return the id, and the milliseconds since the epoch, that `uuid_of` made a uuid of.

    Raises:
        ValueError: it is no uuid.
    """
    value = uuid.UUID(text).int
    return (value % 2**_BITS) * _BACK % 2**_BITS, value >> 80


def _milliseconds(row: Mapping[str, Any]) -> int:
    return (dates.read_iso(row.get("created_on")) or 0) // 1000


def _version_7(milliseconds: int, bits: int) -> str:
    return str(uuid.UUID(int=(milliseconds % 2**48) << 80 | 0x7 << 76 | 0b10 << _BITS | bits))
