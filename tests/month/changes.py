"""What changes on the server in a month: rows of all ages that appear, change and vanish, some told late by their date.

Left out, as nothing in the API or the archives tells it: a message that vanishes when its day is archived already.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox import Workspace
from sandbox.workspace import dates
from sandbox.workspace.rows import key_of
from tests.truth import Row

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# What docs/completeness.md#every-night names.
TEN_NIGHTS = 10 * DAY
# What the reference names: once an hour, once a day. What is due a second after a sync waits for the next one.
BY_SYNC = 3 * HOUR
FEW_HOURS = 4  # between the syncs of what is not synced every hour
BY_LATER_SYNC = (FEW_HOURS + 1) * HOUR
DAILY = DAY + 2 * HOUR
# Archives could have what is about to be archived: "it is marked when its day is archived, and not before".
ARCHIVED_DAYS = 90
WAITS_FOR_ARCHIVE = ARCHIVED_DAYS - 10
UNTIL_ARCHIVED = 2 * TEN_NIGHTS


@dataclass(frozen=True)
class Change:
    """A row that differs from the lake's since `at`; `bound` says how long it may."""

    kind: str
    stream: str
    key: str
    at: datetime
    bound: timedelta


@dataclass
class Changes:
    """Lets rows of a workspace change, as the dice say."""

    workspace: Workspace
    dice: random.Random
    topics_deleted: int = field(default=0)
    _number: int = field(default=0)

    def happen(self) -> list[Change]:
        """Let one thing happen now; the rows that it changed, none if there is nothing to change."""
        [(_, change)] = self.dice.choices(ALL, [weight for weight, _ in ALL])
        return list(change(self))

    # -- messages, broadcasts, channel events: dated by their creation --

    def new_rows(self) -> Iterator[Change]:
        """What users do all day."""
        stream = self.dice.choice(("messages", "messages", "contacts", "runs", "flow_starts"))
        bound = BY_LATER_SYNC if stream == "flow_starts" else BY_SYNC
        yield from self._appears(stream, timedelta(0), "new: appears", bound)

    def message_appears(self) -> Iterator[Change]:
        """A message reaches the server late, or a channel delivers what it kept."""
        age = self._age(MINUTE, 120 * DAY)
        yield from self._appears("messages", age, f"{_class(age)}: appears", _of_messages(age))

    def message_changes(self) -> Iterator[Change]:
        """The status of a message, or its folder, changes; no date tells."""
        for row, age in self._some("messages", "created_on"):
            self.workspace.edit("messages", [row["id"]])
            yield self._change("messages", row["id"], f"{_class(age)}: changes", _of_messages(age))

    def message_vanishes(self) -> Iterator[Change]:
        """A user deletes a message."""
        for row, age in self._some("messages", "created_on"):
            if age > (ARCHIVED_DAYS - 1) * DAY:
                return
            self.workspace.delete("messages", [row["id"]], soft=self.dice.random() < 0.5)
            waits = age > WAITS_FOR_ARCHIVE * DAY
            kind = f"over {WAITS_FOR_ARCHIVE} days old: vanishes" if waits else f"{_class(age)}: vanishes"
            yield self._change("messages", row["id"], kind, UNTIL_ARCHIVED if waits else _of_messages(age))

    def broadcast_appears(self) -> Iterator[Change]:
        """A broadcast is committed late."""
        age = self._age(MINUTE, 60 * DAY)
        yield from self._appears("broadcasts", age, f"{_class(age)}: appears", _of_broadcasts(age))

    def broadcast_changes(self) -> Iterator[Change]:
        """The text of a broadcast changes; no date tells."""
        for row, age in self._some("broadcasts", "created_on"):
            text = {language: f"No. {self._next()}" for language in row["text"]}
            self.workspace.edit("broadcasts", [row["id"]], changes={"text": text})
            yield self._change("broadcasts", row["id"], f"{_class(age)}: changes", _of_broadcasts(age))

    def channel_event_appears(self) -> Iterator[Change]:
        """A channel event is committed late."""
        age = self._age(MINUTE, 60 * DAY)
        yield from self._appears("channel_events", age, f"{_class(age)}: appears", TEN_NIGHTS)

    # -- contacts, runs, flow starts: dated by their last change, whose transaction may be committed late --

    def late_row(self) -> Iterator[Change]:
        """A row appears with a date of minutes to weeks ago."""
        stream, age = self.dice.choice(("contacts", "runs", "flow_starts")), self._age(MINUTE, 60 * DAY)
        yield from self._appears(stream, age, f"{_late(age)}: appears", TEN_NIGHTS)

    def late_change(self) -> Iterator[Change]:
        """A row changes, and tells a date of minutes to weeks ago."""
        stream = self.dice.choice(("contacts", "contacts", "runs", "runs", "flow_starts", "tickets"))
        for row, since in self._some(stream, "modified_on"):
            age = min(self._age(MINUTE, 60 * DAY), since * 0.9)
            self.workspace.edit(stream, [row["uuid"]], at=datetime.now(UTC) - age)
            bound = DAILY if stream == "tickets" else TEN_NIGHTS
            yield self._change(stream, row["uuid"], f"{_late(age)}: changes", bound)

    def run_vanishes(self) -> Iterator[Change]:
        """A run is deleted without a trace."""
        for row, age in self._some("runs", "modified_on"):
            if age < WAITS_FOR_ARCHIVE * DAY:
                self.workspace.delete("runs", [row["uuid"]])
                yield self._change("runs", row["uuid"], "of any age: vanishes", TEN_NIGHTS)

    def contact_deleted(self) -> Iterator[Change]:
        """A contact is deleted, which the list of the deleted tells late; all that is the contact's goes too."""
        for row, since in self._some("contacts", "modified_on"):
            age = min(self._age(MINUTE, 60 * DAY), since * 0.9)
            theirs = [
                (stream, key.decode())
                for stream in ("messages", "runs", "tickets", "channel_events")
                for (key,) in self.workspace.store.select(
                    f"SELECT key FROM {stream} WHERE contact = ? AND hidden = 0", (row["uuid"],)
                )
            ]
            self.workspace.delete_contacts([row["uuid"]], at=datetime.now(UTC) - age)
            yield self._change("contacts", row["uuid"], f"{_late(age)}: is deleted", TEN_NIGHTS)
            for stream, key in theirs:
                yield self._change(stream, key, "of any age: goes with its contact", TEN_NIGHTS)

    # -- short lists --

    def label_renamed(self) -> Iterator[Change]:
        """A label gets another name."""
        [key] = self.workspace.edit("labels", 1)
        yield self._change("labels", key, "now: changes", BY_LATER_SYNC)

    def flow_changes(self) -> Iterator[Change]:
        """A flow and its definition change, and tell a date of minutes to weeks ago."""
        for row, since in self._some("flows", "modified_on"):
            age = min(self._age(MINUTE, 60 * DAY), since * 0.9)
            self.workspace.edit("flows", [row["uuid"]], at=datetime.now(UTC) - age)
            if stored := self.workspace.row("definitions", row["uuid"]):
                again = {"revision": stored.get("revision", 1) + 1, "name": f"{row['name'][:40]} {self._next()}"}
                self.workspace.put("definitions", stored | again)
            yield self._change("flows", row["uuid"], f"{_late(age)}: changes", BY_LATER_SYNC)
            yield self._change("definitions", row["uuid"], f"{_late(age)}: changes", TEN_NIGHTS)

    def topic_deleted(self) -> Iterator[Change]:
        """A topic is deleted: few are, of few."""
        rows = self.workspace.rows("topics")
        if len(rows) > 2 and self.topics_deleted < 2:
            self.topics_deleted += 1
            self.workspace.delete("topics", [rows[-1]["uuid"]])
            yield self._change("topics", rows[-1]["uuid"], "now: is deleted", BY_LATER_SYNC)

    # -- inside --

    def _appears(self, stream: str, age: timedelta, kind: str, bound: timedelta) -> Iterator[Change]:
        changes: Row = {"text": f"No. {self._next()}"} if stream == "messages" else {}  # no two are alike
        for key in self.workspace.add(stream, 1, at=datetime.now(UTC) - age, changes=changes):
            yield self._change(stream, key, kind, bound)

    def _change(self, stream: str, key: Any, kind: str, bound: timedelta) -> Change:
        return Change(kind, stream, str(key), datetime.now(UTC), bound)

    def _some(self, stream: str, column: str) -> Iterable[tuple[Row, timedelta]]:
        """A row that the API shows, chosen so that each age has its turn, and its age; none if there is none."""
        wanted, now = self._age(MINUTE, 120 * DAY), datetime.now(UTC)
        aged = [(row, now - dates.from_micros(dates.read_iso(row[column]) or 0)) for row in self.workspace.rows(stream)]
        near = sorted(aged, key=lambda each: (abs(each[1] - wanted), key_of(stream, each[0])))
        return [self.dice.choice(near[:5])] if near else []

    def _age(self, least: timedelta, most: timedelta) -> timedelta:
        """Minutes, hours, days and weeks alike."""
        return least * float((most / least) ** self.dice.random())

    def _next(self) -> int:
        self._number += 1
        return self._number


def _class(age: timedelta) -> str:
    for name, most in (("under 1 h old", HOUR), ("under 46 h old", 46 * HOUR), ("2 to 7 days old", 7 * DAY)):
        if age < most:
            return name
    return "over 7 days old"


def _late(age: timedelta) -> str:
    return "minutes late" if age < HOUR else "hours late" if age < DAY else "days late"


def _of_messages(age: timedelta) -> timedelta:
    return BY_SYNC if age < 46 * HOUR else DAILY if age < 7 * DAY else TEN_NIGHTS


def _of_broadcasts(age: timedelta) -> timedelta:
    return DAILY if age < 7 * DAY else TEN_NIGHTS


ALL: list[tuple[float, Callable[[Changes], Iterable[Change]]]] = [
    (5, Changes.new_rows),
    (4, Changes.message_appears),
    (4, Changes.message_changes),
    (2, Changes.message_vanishes),
    (0.5, Changes.broadcast_appears),
    (0.5, Changes.broadcast_changes),
    (0.5, Changes.channel_event_appears),
    (3, Changes.late_row),
    (3, Changes.late_change),
    (0.5, Changes.run_vanishes),
    (0.4, Changes.contact_deleted),
    (0.5, Changes.label_renamed),
    (0.7, Changes.flow_changes),
    (0.05, Changes.topic_deleted),
]
