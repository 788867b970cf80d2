"""What happens to a row when it is edited, copied or deleted, as the API shows it."""

import random
import uuid
from collections.abc import Mapping
from typing import Any

_NEXT_STATUS = {"queued": "wired", "wired": "sent", "sent": "delivered", "errored": "wired"}
_RENAMED = ("name", "body", "value")


def changed(
    endpoint: str, row: dict[str, Any], changes: Mapping[str, Any] | None, timestamp: str, dice: random.Random
) -> None:
    """Change a row in place; `modified_on` moves where the row has one, and nothing else that is a date."""
    if changes is not None:
        row.update(changes)
    elif endpoint == "runs":
        row["responded"] = not row["responded"]
    elif endpoint == "messages":
        _change_message(row, timestamp)
    elif endpoint == "tickets":
        closing = row["status"] == "open"
        row.update(status="closed" if closing else "open", closed_on=timestamp if closing else None)
    elif endpoint in ("flow_starts", "broadcasts"):
        row["status"] = {"queued": "sent", "pending": "starting", "starting": "complete"}.get(
            row["status"], row["status"]
        )
    else:
        for attribute in _RENAMED:
            if attribute in row:
                row[attribute] = f"{str(row[attribute] or 'edited').split(' #')[0][:40]} #{dice.randrange(10**6)}"
                break
    if "modified_on" in row and (changes is None or "modified_on" not in changes):
        row["modified_on"] = timestamp


def _change_message(row: dict[str, Any], timestamp: str) -> None:
    if row["direction"] == "in":
        archived = not row["archived"]
        row.update(archived=archived, visibility="archived" if archived else "visible")
    else:
        row["status"] = _NEXT_STATUS.get(row["status"], "failed")
        if row["status"] in ("wired", "sent", "delivered") and row["sent_on"] is None:
            row["sent_on"] = timestamp


def clone(row: dict[str, Any], number: int, timestamp: str, dice: random.Random) -> dict[str, Any]:
    """Copy a row as a new one: another id and uuid, and every date that it has set to `timestamp`."""
    copy = dict(row)
    if "uuid" in copy:
        copy["uuid"] = str(uuid.UUID(int=dice.getrandbits(128), version=4))
    if "id" in copy:
        copy["id"] = number
    for attribute in ("key", "email", "resthook"):
        if attribute in copy:
            copy[attribute] = f"{number}_{copy[attribute]}"
    for attribute in ("created_on", "modified_on", "sent_on", "opened_on"):
        if copy.get(attribute) is not None:
            copy[attribute] = timestamp
    if copy.get("exited_on") is not None:
        copy["exited_on"] = timestamp
    return copy


def tombstone(row: Mapping[str, Any], timestamp: str) -> dict[str, Any]:
    """Return what the list of deleted contacts keeps of a contact."""
    emptied: dict[str, Any] = {"urns": [], "groups": [], "fields": {}}
    kept = {name: row.get(name) for name in ("uuid", "created_on", "last_seen_on")}
    return {name: kept.get(name, emptied.get(name)) for name in row} | {"modified_on": timestamp}
