"""What is planted in every part of a conversation, and how it is found again, however it was written down."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from sandbox import Workspace, count_statistics, generate, put_archive_bytes, read_archive, remove_archive
from sandbox.workspace.rows import TABLES, encode

# Given as RAPIDPRO_TOKEN; the server echoes it wherever it can.
TOKEN = "5ec2e7f00d5ec2e7f00d5ec2e7f00d5ec2e7f00d"
SIGNATURE = "X-Amz-Signature=51a9edfeed51a9edfeed51a9edfeed51a9edfeed51a9edfeed"
SENTENCE = "Mukamana is HIV positive"

# A beginning is as bad as the whole. Between words there may be what a name, an address or a line break makes of it.
BETWEEN = r"(?:%20|\\u00a0|\\n|[\W_]){0,8}"
NEEDLES = {
    "token": r"5ec2e7f00d",
    "signature": r"51a9edfeed",
    "phone": r"25078861\d\d",
    "sentence": rf"hiv{BETWEEN}positive|mukamana",
}
NEEDLE = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in NEEDLES.items()), re.IGNORECASE)
GZIP = re.compile(rb"\x1f\x8b\x08")
SHOWN = 90
MOST_UNPACKED = 8 * 1024 * 1024

# Texts of rows that the reader needs as they are: what asks again, sorts, joins and filters.
KEPT = {
    "uuid", "key", "direction", "type", "status", "visibility", "period", "archive_type", "start_date", "hash",
    "resthook", "email", "code", "timezone", "date_style", "language", "base_language", "languages", "value_type",
    "exit_type", "color", "credits",
}  # fmt: skip
LOOKS_KEPT = re.compile(r"\A(\d{4}-\d\d-\d\d(T.*)?|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|https?://.*|)\Z")


def phone(place: str) -> str:
    """A number of its own for each place."""
    return f"+25078861{zlib.crc32(place.encode()) % 10_000:04}"


def sentence(place: str) -> str:
    """What nobody else may ever read; its end tells where it was said."""
    return f"{SENTENCE} ({place})"


def everything(place: str) -> str:
    """All that is planted, in one line."""
    return f"{sentence(place)} {phone(place)} {SIGNATURE} {TOKEN} in {place}"


def in_address(place: str) -> str:
    """The same as a path and a query."""
    return f"{quote(sentence(place))}/{phone(place)}?{SIGNATURE}&token={TOKEN}"


def found(text: str | bytes) -> list[str]:
    """Excerpts of where something planted stands in a text or in a file's bytes, packed or not."""
    if isinstance(text, bytes):
        packed = [found(part) for part in _unpacked(text)]
        return [
            *_excerpts(text.decode("utf-8", "replace").replace("\0", "")),
            *(one for some in packed for one in some),
        ]
    return _excerpts(text)


def _excerpts(text: str) -> list[str]:
    excerpts, seen = [], -1
    for hit in NEEDLE.finditer(text):
        if hit.start() > seen:
            seen = hit.end() + SHOWN
            excerpt = " ".join(text[max(hit.start() - SHOWN, 0) : seen].split())
            excerpts.append(f"{hit.lastgroup}: …{excerpt}…")
    return excerpts


def _unpacked(content: bytes) -> Iterator[bytes]:
    """What the gzip members of a file hold, as far as they can be read."""
    for start in GZIP.finditer(content):
        try:
            inside = zlib.decompressobj(31).decompress(content[start.start() :], MOST_UNPACKED)
        except zlib.error:
            continue
        if inside:
            yield inside


def planted_value(value: Any, place: str) -> Any:
    """A value of a row whose texts, those that may be any, are planted ones."""
    if isinstance(value, dict):
        return {name: one if name in KEPT else planted_value(one, f"{place}.{name}") for name, one in value.items()}
    if isinstance(value, list):
        return [planted_value(one, f"{place}[{number}]") for number, one in enumerate(value)]
    if isinstance(value, str) and not LOOKS_KEPT.match(value):
        if ":" in value and " " not in value:  # an address of a contact
            return f"{value.split(':')[0]}:{phone(place)}"
        return sentence(place) if place.endswith("name") else everything(place)
    return value


def planted_workspace() -> Workspace:
    """A small workspace of which every text of every row is planted, and what is in its few archive files."""
    workspace = generate(messages=60, contacts=30, seed=3)
    for table in TABLES:
        for rowid, body in workspace.store.select(f"SELECT rowid, body FROM {table}"):
            row = json.loads(body)
            if table != "workspace":  # its name stands above answers; one that is planted has a conversation of its own
                row = planted_value(row, table)
            workspace.store.execute(f"UPDATE {table} SET body = ? WHERE rowid = ?", (encode(row), rowid))
    _plant_archives(workspace)
    count_statistics(workspace)
    return workspace


def _plant_archives(workspace: Workspace) -> None:
    """Leave the newest file of each type, with planted records."""
    left: set[str] = set()
    for row in [row for row in workspace.rows("archives") if row["period"] == "monthly" or row["record_count"] == 0]:
        if row["archive_type"] in left or not row["record_count"]:
            remove_archive(workspace, row)
            continue
        left.add(row["archive_type"])
    for row in workspace.rows("archives"):
        if row["period"] == "daily" or row["archive_type"] not in left:
            remove_archive(workspace, row)
            continue
        content = _records(workspace, row)
        packed = gzip.compress(b"".join(line + b"\n" for line in content), mtime=0)
        put_archive_bytes(
            workspace, row["archive_type"], row["period"], row["start_date"], packed, record_count=len(content)
        )


def _records(workspace: Workspace, row: dict[str, Any]) -> list[bytes]:
    place = f"archive of {row['archive_type']}"
    return [encode(planted_value(json.loads(line), place)).encode() for line in read_archive(workspace, row)]
