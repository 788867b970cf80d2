"""Looks whether the rows that changed are right in the lake by now, and keeps how long each was wrong."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pipeline.streams import STREAMS
from sandbox import Workspace
from sandbox.server.flow_definitions import export
from tests.lakes import LANGUAGES
from tests.month.changes import UNTIL_ARCHIVED, Change
from tests.truth import OWN_COLUMNS, Row, differences, expected_rows
from warehouse import Lake
from warehouse.lake.literal import literal

# By which an archived row is known: the rest of it may be the archive's.
OF_ARCHIVED = {"messages": ("text", "status", "visibility"), "runs": ("responded", "exit_type")}


@dataclass
class Watch:
    """Changes that the lake does not show yet, and how long it took to show the others."""

    workspace: Workspace
    lake: Lake
    waiting: list[Change] = field(default_factory=list)
    lasted: dict[Change, timedelta] = field(default_factory=dict)

    def look(self) -> None:
        """Look at the rows that were wrong, one query for each stream."""
        now, still = datetime.now(UTC), []
        for stream in sorted({change.stream for change in self.waiting}):
            changes = [change for change in self.waiting if change.stream == stream]
            stored = self._stored(stream, {change.key for change in changes})
            for change in changes:
                if self._right(change, stored.get(change.key)):
                    self.lasted[change] = now - change.at
                else:
                    still.append(change)
        self.waiting = still

    def expire(self) -> None:
        """It is over: what is wrong now was so until now."""
        self.lasted |= {change: datetime.now(UTC) - change.at for change in self.waiting}

    @property
    def longest(self) -> timedelta:
        """How long a row was wrong at the most, of those that do not wait for their archive."""
        times = (lasted for change, lasted in self.lasted.items() if change.bound != UNTIL_ARCHIVED)
        return max(times, default=timedelta(0))

    def too_long(self) -> list[str]:
        """The changes that took longer than they may."""
        return [
            f"{change.stream} {change.key}, {change.kind} at {change.at:%m-%d %H:%M}: wrong for {hours(lasted)}"
            for change, lasted in self.lasted.items()
            if lasted > change.bound
        ]

    def told(self) -> Iterator[str]:
        """A table: for each kind of change how many, and how long they were wrong."""
        kinds: dict[tuple[str, str, timedelta], list[timedelta]] = defaultdict(list)
        for change, lasted in self.lasted.items():
            kinds[change.stream, change.kind, change.bound].append(lasted)
        yield f"{'':48}{'rows':>6}{'median':>10}{'longest':>10}{'bound':>10}"
        for (stream, kind, bound), times in sorted((kind, sorted(times)) for kind, times in kinds.items()):
            told = f"{hours(times[len(times) // 2]):>10}{hours(times[-1]):>10}{hours(bound):>10}"
            yield f"{f'{stream}, {kind}':48}{len(times):6,}{told}"

    def _stored(self, stream: str, keys: Iterable[str]) -> dict[str, Row]:
        """Key → the row that the lake has."""
        [name] = STREAMS[stream].table.key
        listed = ", ".join(map(literal, sorted(keys)))
        with self.lake.connection() as connection:
            answer = connection.execute(f'SELECT * FROM "{stream}" WHERE {name}::VARCHAR IN ({listed})')
            names = [(column[0], str(column[1]) == "JSON") for column in answer.description or []]
            rows = [
                {each: _value(value, is_json) for (each, is_json), value in zip(names, values, strict=True)}
                for values in answer.fetchall()
            ]
        return {str(row[name]): row for row in rows}

    def _right(self, change: Change, stored: Row | None) -> bool:
        """True if the lake has a row as the server has it now, or has it not, as the server."""
        alive = stored is not None and stored["deleted_on"] is None
        if change.stream == "definitions":
            [flow] = export(self.workspace, [change.key], [], "none")["flows"]
            return alive and stored is not None and stored["definition"] == flow
        found = self.workspace.store.select(f"SELECT hidden, body FROM {change.stream} WHERE key = ?", (change.key,))
        hidden, truth = (found[0][0], json.loads(found[0][1])) if found else (0, None)
        if truth is None or (hidden and truth.get("visibility", "") is None):
            return not alive
        if not alive or stored is None:
            return False
        [expected] = expected_rows(change.stream, [truth], LANGUAGES).values()
        if hidden:
            expected = {name: expected[name] for name in OF_ARCHIVED[change.stream]}
        return not differences({name: value for name, value in stored.items() if name not in OWN_COLUMNS}, expected)


def _value(value: object, is_json: bool) -> object:
    return json.loads(value) if is_json and isinstance(value, str) else value


def hours(time: timedelta) -> str:
    """A time as one reads it: `35 min`, `7.5 h`, `8.9 d`."""
    if time < timedelta(hours=1):
        return f"{time / timedelta(minutes=1):.0f} min"
    if time < timedelta(days=2):
        return f"{time / timedelta(hours=1):.1f} h"
    return f"{time / timedelta(days=1):.1f} d"
