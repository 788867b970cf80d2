"""The whole of a lake against the whole of a workspace: lost, double, stale, wrongly alive, wrongly deleted."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.streams import STREAMS
from sandbox import Workspace, read_archive, uuid_of
from sandbox.server.flow_definitions import export
from sandbox.workspace.generations import CHANGING, IDENTIFIED, id_of
from tests.lakes import LANGUAGES, detach, reading
from tests.truth import Row, differences, every_row, expected_rows, expected_union, key_of

# Counted by the server for the day on which it is asked; tested elsewhere.
NOT_COMPARED = {"statistics"}
# What one generation tells and another does not: a row that is not read again keeps what it had.
OF_GENERATIONS = {
    "messages": {"uuid", "quick_replies", "broadcast"},
    "broadcasts": {"uuid", "quick_replies", "progress"},
    "flow_starts": {"progress"},
}
# Words of two generations for the same.
SAME_STATUS = {"sent": "completed", "complete": "completed", "starting": "started"}
# How keys begin that are made up, and stand in `extra`.
NEW = "new"
EXAMPLES = 3


@dataclass
class Comparison:
    """How many rows were compared, and how many differ: kind → stream → number, and some examples."""

    rows: int = 0
    found: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    examples: list[str] = field(default_factory=list)

    @property
    def differences(self) -> int:
        """How many rows differ."""
        return sum(counts.total() for counts in self.found.values())

    def note(self, kind: str, stream: str, keys: Iterable[object], why: object = "") -> None:
        """Count rows that differ in one way."""
        for key in keys:
            self.found[kind][stream] += 1
            if self.found[kind][stream] <= EXAMPLES:
                self.examples.append(f"{kind}: {stream} {key} {why}")


def compare(lake: Path, workspace: Workspace, *, generations: bool) -> Comparison:
    """Hold every table of a lake against what the workspace lists and its archive files hold.

    `generations` says that the server has been of several: then a row may have kept what only one of them tells.
    """
    comparison = Comparison()
    detach()
    with reading(lake) as connection:
        for stream in sorted(STREAMS.keys() - NOT_COMPARED):
            if stream in workspace.offered:
                truth = _Truth(workspace, stream, lenient=generations and stream in CHANGING)
                truth.compare(every_row(connection, stream), comparison)
        for stream, reason in connection.execute("SELECT stream, reason FROM _quarantine").fetchall():
            comparison.note("left in quarantine", stream, [reason])
    return comparison


class _Truth:
    """What the lake should hold of one stream."""

    def __init__(self, workspace: Workspace, stream: str, *, lenient: bool) -> None:
        self.workspace, self.stream, self.lenient = workspace, stream, lenient
        listed, purged = workspace.rows(stream), _purged(workspace, stream)
        self.numbers = _Numbers([*listed, *purged]) if stream in IDENTIFIED else None
        records = self._records()
        self.expected = self._expected(listed, records)
        # Of a row that was purged after it was read, the lake may know what no archive tells.
        self.purged = self._expected(purged, records) if records else {}
        self.extra = {} if stream == "definitions" else self._extra(listed)

    def compare(self, stored: Iterable[Row], comparison: Comparison) -> None:
        """Count all rows of a table that are not as they should be."""
        found: dict[Any, list[Row]] = defaultdict(list)
        for row in stored:
            found[self.numbers.of(row) if self.numbers else key_of(self.stream, row)].append(row)
        alive = {key for key, rows in found.items() if any(row["deleted_on"] is None for row in rows)}
        comparison.rows += len(self.expected)
        comparison.note("lost", self.stream, self.expected.keys() - found.keys())
        comparison.note("wrongly deleted", self.stream, (self.expected.keys() & found.keys()) - alive)
        comparison.note("wrongly alive", self.stream, alive - self.expected.keys())
        comparison.note("double", self.stream, [key for key, rows in found.items() if len(rows) > 1])
        for key in self.expected.keys() & alive:
            if wrong := self._wrong(key, found[key][0]):
                comparison.note("stale", self.stream, [key], f"(stored, expected) {wrong}")

    def _wrong(self, key: Any, row: Row) -> dict[str, tuple[Any, Any]]:
        """Column → (stored, expected) where a row is not as it should be."""
        wrong = differences(row, self.expected[key])
        if wrong and key in self.purged:
            known = differences(row, self.purged[key])
            wrong = {name: values for name, values in wrong.items() if name in known}
        wrong = {name: values for name, values in wrong.items() if not _good_name(name, *values)}
        wrong |= differences(row["extra"] if isinstance(row["extra"], dict) else {}, self.extra.get(key, {}))
        if self.lenient:
            wrong = {name: values for name, values in wrong.items() if not _of_generations(name, *values)}
            allowed = self.numbers.uuids(key) if self.numbers else {str(row["uuid"])}
            if row["uuid"] is not None and str(row["uuid"]) not in allowed:
                wrong["uuid"] = row["uuid"], allowed
        return wrong

    def _expected(self, rows: list[Row], records: list[Row]) -> dict[Any, Row]:
        """Key → the row as the lake should hold it, of listed rows and archived records."""
        if self.stream == "definitions":
            flows = export(self.workspace, [row["uuid"] for row in self.workspace.rows("flows")], [], "none")["flows"]
            return {
                row["uuid"]: {name: row[name] for name in ("name", "type", "language")} | {"definition": row}
                for row in flows
            }
        left_out = OF_GENERATIONS[self.stream] if self.lenient else set()
        plain, archived = (
            [{name: _known(value) for name, value in row.items() if name not in left_out} for row in each]
            for each in (map(_with_columns, rows), records)
        )
        if archived:
            return expected_union(self.stream, plain, archived, LANGUAGES)
        return expected_rows(self.stream, plain, LANGUAGES)

    def _extra(self, rows: list[Row]) -> dict[Any, Row]:
        """Key → what of the row has no column."""
        return {
            next(iter(expected_rows(self.stream, [_with_columns(row)], LANGUAGES))): added
            for row in rows
            if (added := _added(row))
        }

    def _records(self) -> list[Row]:
        """What all listed archive files hold of the stream, by contacts that are not deleted."""
        kind = STREAMS[self.stream].table.archive_type
        if kind is None:
            return []
        dead = {row["uuid"] for row in self.workspace.rows("contacts_deleted")}
        lines = [
            json.loads(line)
            for archive in self.workspace.rows("archives")
            if archive["archive_type"] == kind
            for line in read_archive(self.workspace, archive)
        ]
        if self.numbers:
            lines = [self.numbers.numbered(record) for record in lines]
        return [record for record in lines if record["contact"]["uuid"] not in dead]


class _Numbers:
    """Which message or broadcast a row is, whatever names it: rows, listed and purged ones, tell."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._ids = {uuid_of(row): int(row["id"]) for row in rows}
        self._uuids: dict[str, set[str]] = defaultdict(set)
        for uuid, number in self._ids.items():
            self._uuids[str(number)].add(uuid)

    def of(self, row: Row) -> str:
        """The number of a stored row, as text."""
        return str(self._number(row["uuid"]) if row["id"] is None else row["id"])

    def numbered(self, record: Row) -> Row:
        """An archive's record with its number; its uuid, which may be invented, is one that the lake may have."""
        record = {"id": self._number(record["uuid"]), **record} if record.get("id") is None else record
        if record.get("uuid"):
            self._uuids[str(record["id"])].add(record["uuid"])
        return record

    def uuids(self, key: str) -> set[str]:
        """The uuids that the row with a number may have."""
        return self._uuids[key]

    def _number(self, uuid: object) -> int:
        return self._ids.get(str(uuid)) or id_of(str(uuid))[0]


def _purged(workspace: Workspace, stream: str) -> list[Row]:
    """The rows that are listed no longer but known, as they were: those that the archiver took away, mostly."""
    return [json.loads(body) for (body,) in workspace.store.select(f"SELECT body FROM {stream} WHERE hidden = 1")]


def _good_name(name: str, stored: object, expected: object) -> bool:
    """True if the server says the mangled name of a deleted thing, and the lake keeps the one that it had."""
    return (
        name.endswith("name")
        and re.fullmatch(f"deleted-[0-9a-f-]{{36}}-{re.escape(str(stored))}", str(expected)) is not None
    )


def _of_generations(name: str, stored: object, expected: object) -> bool:
    """True if one generation tells what another does not, or in other words."""
    if name == "status":
        return SAME_STATUS.get(str(stored), stored) == SAME_STATUS.get(str(expected), expected)
    return name == "id" and stored is None


def _with_columns(row: Row) -> Row:
    """A row without the keys that are made up."""
    return {name: value for name, value in row.items() if not name.startswith(NEW)}


def _added(row: Row) -> Row:
    """What is made up in a row, in its objects and in their lists, each where it stands."""
    added: Row = {name: value for name, value in row.items() if name.startswith(NEW)}
    for name, value in row.items():
        if isinstance(value, dict) and NEW in value:
            added[name] = {NEW: value[NEW]}
        elif isinstance(value, list) and any(isinstance(part, dict) and NEW in part for part in value):
            added[name] = [{NEW: part[NEW]} if NEW in part else None for part in value]
    return added


def _known(value: Any) -> Any:
    """An object, or a list of them, without the keys that are made up; they stand in `extra`, by their path."""
    if isinstance(value, list):
        return [_known(part) for part in value]
    if isinstance(value, dict) and NEW in value:
        return {name: part for name, part in value.items() if name != NEW}
    return value
