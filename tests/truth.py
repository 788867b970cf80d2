"""An independent reading of API rows and archive records in plain Python, to hold against the lake's tables.

No code of the product's.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

Row = dict[str, Any]

# Columns that are Rapidlake's own, not the server's.
OWN_COLUMNS = {"deleted_on", "source", "synced_on", "extra"}


def expected_rows(stream: str, rows: Iterable[Row], languages: list[str]) -> dict[Any, Row]:
    """Key → the row as the lake should hold it."""
    flattened = [_flatten(stream, row, languages) for row in rows]
    return {key_of(stream, row): row for row in flattened}


def expected_union(stream: str, rows: Iterable[Row], records: Iterable[Row], languages: list[str]) -> dict[Any, Row]:
    """Key → the row as the lake should hold it, of the API's rows and of the records of archive files."""
    united = expected_rows(stream, rows, languages)
    archived: dict[Any, Row] = {}
    for record in records:
        flat = _flatten(stream, _modern(stream, record), languages)
        known = archived.setdefault(key_of(stream, record), flat)
        if _later(flat, known):
            archived[key_of(stream, record)] = flat
    for key, flat in archived.items():
        united[key] = _unite(stream, united[key], flat) if key in united else flat
    return united


def dumped_rows(dump: Path, stream: str) -> list[Row]:
    """The rows of a stream in the dump of a workspace."""
    with gzip.open(dump / f"{stream}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def archived_records(dump: Path, archive_type: str) -> list[Row]:
    """What all archive files of a type hold in the dump of a workspace."""
    files = (dump / "archives").glob(f"{archive_type}_*.jsonl.gz")
    return [json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]


def stored_rows(connection: duckdb.DuckDBPyConnection, stream: str, *, live: bool = True) -> dict[Any, Row]:
    """Key → the row that the lake holds; every key must stand once."""
    rows = [
        {name: value for name, value in row.items() if name not in OWN_COLUMNS}
        for row in every_row(connection, stream)
        if not live or row["deleted_on"] is None
    ]
    found = {key_of(stream, row): row for row in rows}
    assert len(found) == len(rows), f"{stream} has keys that stand more than once"
    return found


def every_row(connection: duckdb.DuckDBPyConnection, stream: str) -> list[Row]:
    """All that stands in a table, deleted rows and Rapidlake's own columns too."""
    answer = connection.execute(f'SELECT * FROM "{stream}"')
    columns = [(column[0], str(column[1]) == "JSON") for column in answer.description or []]
    return [
        {name: _json(value) if is_json else value for (name, is_json), value in zip(columns, row, strict=True)}
        for row in answer.fetchall()
    ]


def assert_same(stream: str, stored: dict[Any, Row], expected: dict[Any, Row]) -> None:
    """Every key, and every value that the server sent, is in the lake as it was sent."""
    missing, surplus = expected.keys() - stored.keys(), stored.keys() - expected.keys()
    assert not missing, f"{stream}: {len(missing)} rows are missing, such as {sorted(map(str, missing))[:3]}"
    assert not surplus, f"{stream}: {len(surplus)} rows should not be there, such as {sorted(map(str, surplus))[:3]}"
    for key, row in expected.items():
        differing = differences(stored[key], row)
        assert not differing, f"{stream} {key}: (stored, expected) {differing}"


def differences(stored: Row, expected: Row) -> dict[str, tuple[Any, Any]]:
    """Column → (stored, expected) of all expected values that a stored row has not."""
    return {
        name: (stored.get(name, "no such column"), value)
        for name, value in expected.items()
        if name not in stored or _plain(stored[name]) != _plain(value)
    }


def key_of(stream: str, row: Row) -> Any:
    """What tells a row from all others of its stream, of a row as the lake holds it."""
    keys = {
        "messages": "id", "broadcasts": "id", "channel_events": "id", "resthook_subscribers": "id", "fields": "key",
        "globals": "key", "resthooks": "resthook", "users": "email", "statistics": "date", "resthook_events": "data",
    }  # fmt: skip
    if stream == "archives":
        return row["archive_type"], row["period"], str(row["start_date"])
    if stream == "resthook_events":
        return hashlib.md5(
            json.dumps([row["resthook"], _plain(row["created_on"]), _json(row["data"])], sort_keys=True).encode()
        ).hexdigest()
    return str(row[keys.get(stream, "uuid")])


def _flatten(stream: str, row: Row, languages: list[str]) -> Row:
    flat: Row = {}
    for name, value in row.items():
        flat.update(_column(stream, name, value, row, languages))
    return flat


def _column(stream: str, name: str, value: Any, row: Row, languages: list[str]) -> Row:
    if name in _WITHOUT_COLUMN.get(stream, ()):
        return {}
    if name in ("urn", "urns"):
        return _urns(name, value)
    if stream == "runs" and name == "values":
        return {"results": {key: _timed(result) for key, result in value.items()}}
    if stream == "runs" and name == "contact":
        if "urn" not in value:  # of an archive
            return {"contact_uuid": value["uuid"], "contact_name": value["name"]}
        split = _split(value["urn"])
        return {
            "contact_uuid": value["uuid"], "contact_name": value["name"], "contact_urn": value["urn"],
            "contact_urn_scheme": split["scheme"], "contact_urn_path": split["path"],
            "contact_urn_display": value["urn_display"],
            **{f"contact_{part}": value[part] for part in ("anon_display", "ref") if part in value},
        }  # fmt: skip
    if (stream, name) == ("contacts", "notes"):
        return {"notes": value and [_note(note) for note in value]}
    if (stream, name) == ("channels", "device"):
        return {f"device_{key}": part for key, part in (value or {}).items()}
    if name == "progress":
        return {f"progress_{key}": part if part != -1 else None for key, part in (value or {}).items()}
    if name == "path" and value is not None:
        return {"path": [_timed(step) for step in value]}
    if (stream, name) in _TRANSLATED:
        base = row.get("base_language")
        order = [base, *languages, *(value or {})]
        best = next((value[one] for one in order if value and value.get(one) is not None), None)
        return {name: value, f"{name}_default": best}
    if (stream, name) in _GROUPED:
        return {f"{name}_{key}": part for key, part in value.items()}
    if name in ("params", "data", "event_extra") or (stream, name) == ("channel_events", "extra"):
        return {{"extra": "event_extra"}.get(name, name): _json(value)}
    if isinstance(value, dict) and {"uuid", "key", "email"} & value.keys() and stream != "definitions":
        return {f"{name}_{key}": part for key, part in value.items() if key != "label"}
    if (stream, name) in _REFERENCES and value is None:
        return {}
    if (stream, name) == ("archives", "hash"):
        return {"hash": value or None}
    return {name: value}


def _modern(stream: str, record: Row) -> Row:
    """An archive's record in the form that newer archives have."""
    if stream == "messages" and record["type"] in _OLD_TYPES:
        return {**record, "type": _OLD_TYPES[record["type"]]}
    if stream == "runs" and isinstance(record["values"], list):
        return {**record, "values": {key: result for part in record["values"] for key, result in part.items()}}
    return record


def _unite(stream: str, api: Row, archived: Row) -> Row:
    """A row that API and archive have: the archive has its last state, unless it tells no date, or the API a later."""
    first, second = (api, archived) if _later(api, archived) or not archived.get("modified_on") else (archived, api)
    united = {**second, **first, "modified_on": first.get("modified_on") or second.get("modified_on")}
    if len(second.get("path") or []) > len(first.get("path") or []):
        united["path"] = second["path"]
    for name in _NEVER_LOST & united.keys():
        united[name] = second.get(name) if first.get(name) is None else first[name]
    for name in _API_KNOWS_BETTER[stream] & united.keys():
        united[name] = archived.get(name) if api.get(name) is None else api[name]
    return united


def _later(one: Row, other: Row) -> bool:
    dates = [row.get("modified_on") for row in (one, other)]
    return all(dates) and datetime.fromisoformat(str(dates[0])) > datetime.fromisoformat(str(dates[1]))


_OLD_TYPES = {"inbox": "text", "flow": "text", "ivr": "voice"}
_NEVER_LOST = {"broadcast", "flow_uuid", "flow_name", "ticket_uuid", "submitted_by", "events"}
_API_KNOWS_BETTER = {
    "messages": {"uuid", "urn", "urn_scheme", "urn_path", "urn_display", "quick_replies", "archived", "media"},
    "runs": {"start_uuid", "contact_urn", "contact_urn_scheme", "contact_urn_path", "contact_urn_display"},
}
_WITHOUT_COLUMN = {
    "archives": ("download_url", "type"),
    "fields": ("label", "value_type"),
    "flow_starts": ("extra",),
    "workspace": ("credits",),
}
_TRANSLATED = {("broadcasts", "text"), ("campaign_events", "message")}
_GROUPED = {("fields", "usages"), ("flows", "runs"), ("topics", "counts")}
_REFERENCES = {
    (stream, name)
    for stream, names in {
        "messages": ("channel", "flow", "contact"), "runs": ("start",), "contacts": ("flow",),
        "campaign_events": ("flow",),
        "tickets": ("assignee", "opened_by", "opened_in", "topic"), "channel_events": ("channel",),
    }.items()
    for name in names
}  # fmt: skip


def _urns(name: str, value: Any) -> Row:
    if name == "urns":
        return {"urns": None if value is None else [_split(urn) for urn in value]}
    split = _split(value)
    return {"urn": value, "urn_scheme": split["scheme"], "urn_path": split["path"], "urn_display": split["display"]}


def _split(urn: str | None) -> Row:
    if urn is None:
        return {"urn": None, "scheme": None, "path": None, "display": None}
    scheme, rest = urn.split(":", 1)
    rest, _, display = rest.partition("#")
    path = rest.split("?", 1)[0]
    return {
        "urn": urn,
        "scheme": scheme,
        "path": _unescape(path),
        "display": _unescape(display) if "#" in urn else None,
    }


def _unescape(part: str) -> str:
    return re.sub("%23|%3F|%25", lambda found: {"%23": "#", "%3F": "?", "%25": "%"}[found.group()], part)


def _timed(step: Row) -> Row:
    return {**step, "time": datetime.fromisoformat(step["time"])}


def _note(note: Row) -> Row:
    kept = {key: value for key, value in note.items() if key != "created_by"}
    return kept | {f"created_by_{key}": part for key, part in (note["created_by"] or {}).items()}


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    """Values that mean the same, alike: dates, UUIDs, JSON text, missing keys of a struct."""
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items() if part is not None}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, str):
        return _as_date(value)
    return value


def _as_date(text: str) -> str:
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", text):
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    return text
