"""What happens in a workspace while it is copied: what the next sync is sure to see, and nothing else.

Left out, as no sync and no verification sees it, or none yet:

* a broadcast that changes when it is older than two hours, unless the storm ends with a verification,
* a message or broadcast that waits in quarantine under its id, and is mended when the server sends ids no longer,
* two messages of one contact, or two broadcasts, that are alike to the microsecond, told by id only, then by uuid only,
* many rows of a short list deleted at once, about which somebody is asked,
* clocks that are wrong: `tests/pipeline/reading/test_clocks.py`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sandbox import Generation, Sandbox, archive_old_rows, fill_in_uuids, put_archive, read_archive, roll_up
from sandbox.workspace import dates
from sandbox.workspace.generations import IDENTIFIED
from sandbox.workspace.rows import encode, key_of
from tests.storm.damages import KINDS, Damages
from tests.truth import Row
from tests.warehouse.loading.odd import Chance, pattern_of, typed_of

# Lists that are read whole, of which rows come, change and go.
LISTS = ("campaigns", "campaign_events", "channels", "fields", "flows", "globals", "groups", "labels", "users")
# Read by a date that moves with each change.
MOVING = ("contacts", "runs", "tickets", "flow_starts")
# Streams that get rows with odd texts, of those that the sandbox makes nothing else of.
ODD = (
    "messages", "contacts", "runs", "tickets", "broadcasts", "flow_starts", "channel_events", "resthook_events",
    "groups", "labels", "globals", "channels", "campaigns", "campaign_events", "optins", "users", "topics",
)  # fmt: skip
# Which values of rows are numbers, and texts.
NUMBERS = {"messages": "broadcast", "groups": "count", "labels": "count", "campaign_events": "offset"}
TEXTS = ("urn", "name", "type", "exit_type", "base_language", "unit", "body")
MISPLACED = {"wrong": "place"}  # where a text belongs
TWICE = '"new twice":1,"new twice":2'
FIRST_ODD = 10_000_000  # the next ones have lower ids: what the workspace adds has higher ones than any row
OLDEST_SEEN = timedelta(days=7)  # messages that are older change unseen, by the default revisits
YOUNGEST_ARCHIVED = timedelta(days=20)


@dataclass
class Happenings:
    """Lets things happen, one by one, as the dice say; keeps a log of them."""

    sandbox: Sandbox
    dice: random.Random
    generations: tuple[Generation, ...] = ()  # those that the server may become
    most_files: int = 40  # archive files written, each of which costs a tenth of a CPU-second to load
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.workspace = self.sandbox.workspace
        self.damages = Damages(self.workspace)
        self.gone: list[tuple[str, Row]] = []
        self.deleted_from: set[str] = set()
        self.odd = FIRST_ODD
        self.unseen = False  # whether something happened that only a verification sees
        self.texts = 0
        self.twice: list[tuple[str, str]] = []  # stream and key of the rows in which a key stands twice
        self.chance = Chance([], self.dice.getrandbits(32))
        newest = [row["start_date"] for row in self.workspace.rows("archives") if row["period"] == "daily"]
        self.archived_until = date.fromisoformat(max(newest)) + timedelta(days=1)

    def happen(self) -> None:
        """Let one thing happen."""
        weights = [weight for weight, _ in ALL]
        [(_, happening)] = self.dice.choices(ALL, weights)
        said = happening(self)
        if said:
            self.log.append(said)

    def some(self, most: int) -> int:
        """How many: mostly few."""
        return 1 + int(most * self.dice.random() ** 2)

    def moment(self, **back: float) -> datetime:
        """Some moment of the time that lies so far back, at most."""
        return datetime.now(UTC) - timedelta(**back) * self.dice.random()

    # -- rows that come, change and go --

    def new_rows(self) -> str:
        """Rows appear, of now or a little late, some with one timestamp."""
        often = ("messages", "contacts", "runs") * 4
        stream = self.dice.choice((*often, *MOVING, "broadcasts", "channel_events", "resthook_events", *LISTS))
        late = {"messages": {"days": 6}, "contacts": {"minutes": 10}, "runs": {"minutes": 10}}.get(stream, {})
        at = self.moment(**late) if late and self.dice.random() < 0.7 else None
        number = self.some(2 if stream in LISTS else 12)
        if stream == "messages":
            self._new_messages(number, at or datetime.now(UTC), same_timestamp=self.dice.random() < 0.5)
        else:  # no two broadcasts are of one microsecond
            tie = stream != "broadcasts" and self.dice.random() < 0.5
            self.workspace.add(stream, number, at=at, same_timestamp=tie)
        return f"{number} new {stream}{f' of {at:%m-%d %H:%M}' if at else ''}"

    def _new_messages(self, number: int, at: datetime, *, same_timestamp: bool) -> None:
        """Add messages, each with a text of its own: no two of a contact are the same to the microsecond."""
        for index in range(number):
            self.texts += 1
            moment = at if same_timestamp else at + index * timedelta(microseconds=1)
            self.workspace.add("messages", 1, at=moment, changes={"text": f"No. {self.texts}"})

    def changes(self) -> str:
        """Rows change whose date moves, or whose list is read whole."""
        stream = self.dice.choice((*MOVING, *MOVING, *LISTS))
        number = self.some(20 if stream in ("contacts", "runs") else 3)
        self.workspace.edit(stream, number, same_timestamp=self.dice.random() < 0.5)
        return f"{number} {stream} change"

    def long_tie(self) -> str:
        """More rows than a page has get one timestamp."""
        stream = self.dice.choice(("contacts", "runs", "messages"))
        if stream == "messages":
            self._new_messages(260, self.moment(days=2), same_timestamp=True)
        else:
            self.workspace.edit(stream, 260, same_timestamp=True)
        return f"a long tie of {stream}"

    def recent(self, stream: str, back: timedelta) -> list[str]:
        """The keys of rows created since."""
        since = dates.to_micros(datetime.now(UTC) - back)
        found = self.workspace.store.select(f"SELECT key FROM {stream} WHERE hidden = 0 AND created > ?", (since,))
        return [key.decode() for (key,) in found]

    def recent_changes(self) -> str:
        """Messages and broadcasts change, which no date tells."""
        stream, back = self.dice.choice((("messages", OLDEST_SEEN), ("broadcasts", timedelta(minutes=90))))
        keys = self.recent(stream, back)
        chosen = self.dice.sample(keys, min(len(keys), self.some(10)))
        if chosen:
            self.workspace.edit(stream, chosen, same_timestamp=self.dice.random() < 0.3)
        return f"{len(chosen)} recent {stream} change"

    def new_parts(self) -> str:
        """The server adds keys inside the objects of a message."""
        keys = self.recent("messages", OLDEST_SEEN)
        for key in self.dice.sample(keys, min(len(keys), 2)):
            row = self.workspace.row("messages", key)
            if row is None or not isinstance(row["contact"], dict):
                continue
            parts: Row = {"contact": row["contact"] | {"new": "C7"}}
            for name in ("labels", "attachments"):
                parts[name] = [part | {"new": self.dice.choice(("#fff", 7, {"deep": [1]}))} for part in row[name] or []]
            self.workspace.edit("messages", [key], changes=parts)
        return "messages with new keys inside"

    def late_messages(self) -> str:
        """Messages appear, change or are deleted that are older than what any sync reads again."""
        since = dates.to_micros(datetime.now(UTC) - timedelta(days=18))
        until = dates.to_micros(datetime.now(UTC) - timedelta(days=9))
        found = self.workspace.store.select(
            "SELECT key FROM messages WHERE hidden = 0 AND created BETWEEN ? AND ?", (since, until)
        )
        keys = [key.decode() for (key,) in found]
        self.unseen = True
        kind = self.dice.choice(("new", "changed", "deleted"))
        if kind == "new" or not keys:
            self._new_messages(1, datetime.now(UTC) - timedelta(days=9 + 9 * self.dice.random()), same_timestamp=True)
            return "a message of weeks ago appears"
        if kind == "changed":
            self.workspace.edit("messages", [self.dice.choice(keys)])
        else:
            self.workspace.delete("messages", [self.dice.choice(keys)])
        return f"a message of weeks ago is {kind}"

    def deleted_topic(self) -> str:
        """A topic is deleted: 9.0 goes on listing it, under a mangled name."""
        odd = "00000000-"  # which nobody mends any more, once they are deleted
        topics = [row for row in self.workspace.rows("topics") if not row["uuid"].startswith(odd)]
        if len(topics) < 2 or "topics" in self.deleted_from:
            return ""
        self.deleted_from.add("topics")
        self.workspace.delete("topics", [topics[-1]["uuid"]])
        return f"topic {topics[-1]['uuid']} is deleted"

    def deleted_messages(self) -> str:
        """Users delete messages."""
        keys = self.recent("messages", OLDEST_SEEN)
        chosen = self.dice.sample(keys, min(len(keys), self.some(4)))
        soft = self.dice.random() < 0.5
        if not soft:
            self.gone += [("messages", row) for key in chosen if (row := self.workspace.row("messages", key))]
        self.workspace.delete("messages", chosen, soft=soft)
        return f"messages {', '.join(chosen)} are deleted{' softly' if soft else ''}"

    def deleted_contacts(self) -> str:
        """Contacts are deleted, and all that is theirs."""
        rows = self.workspace.rows("contacts")
        chosen = [row["uuid"] for row in self.dice.sample(rows, self.some(3))]
        self.workspace.delete_contacts(chosen)
        self.gone = [
            (stream, row)
            for stream, row in self.gone
            if not isinstance(row.get("contact"), dict) or row["contact"]["uuid"] not in chosen
        ]
        return f"contacts {', '.join(chosen)} are deleted"

    def deleted_from_list(self) -> str:
        """One row of a list is deleted: of several at once in a short list somebody would be asked."""
        stream = self.dice.choice(LISTS)
        if stream in self.deleted_from or self.workspace.count(stream) < 2:
            return ""
        self.deleted_from.add(stream)
        row = self.dice.choice(self.workspace.rows(stream))
        key = key_of(stream, row)
        self.gone.append((stream, row))
        self.workspace.delete(stream, [key])
        return f"{stream} {key!r} is deleted"

    def back_again(self) -> str:
        """What was deleted comes back."""
        if not self.gone:
            return ""
        stream, row = self.gone.pop(self.dice.randrange(len(self.gone)))
        if stream == "messages" and dates.read_iso(row["created_on"]) is None:
            return ""
        moved = {"modified_on": dates.iso(dates.now_micros())} if stream in ("flows", "globals") else {}
        if stream == "globals":
            self.workspace.store.execute("DELETE FROM globals WHERE key = ?", (row["key"],))
        self.workspace.put(stream, row | moved)
        return f"{stream} {key_of(stream, row)!r} is back"

    def workspace_changes(self) -> str:
        """The workspace gets another name."""
        [row] = self.workspace.rows("workspace")
        self.workspace.put("workspace", row | {"name": f"Workspace {self.dice.randrange(100)}"})
        return "the workspace has another name"

    # -- odd rows --

    def odd_rows(self) -> str:
        """Rows with texts that readers stumble at."""
        stream = self.dice.choice(ODD)
        number = self.some(6)
        for _ in range(number):
            self.workspace.put(stream, self._odd_row(stream))
        return f"{number} odd {stream}"

    def unreadable_rows(self) -> str:
        """Rows that no reader takes, before they are mended."""
        # Rows without a key stay in quarantine, and so do those that are mended when they have another.
        nameless = ("resthook_events", *(IDENTIFIED if self.generations else ()))
        stream = self.dice.choice([stream for stream in ODD if stream not in nameless])
        kind = self.dice.choice(("misfit", "key twice", "no number", "too large", "misplaced"))
        row = self._odd_row(stream)
        if kind == "misfit" and typed_of(stream):
            # A run without its uuid, when it is mended, would be another one of the same id.
            self.workspace.put(
                stream, self.chance.misfit(stream, row) | ({"uuid": row["uuid"]} if "uuid" in row else {})
            )
        elif kind == "key twice":
            self.twice.append((stream, self.workspace.put(stream, row, raw=f"{encode(row)[:-1]},{TWICE}}}")))
        elif kind == "misplaced" and (names := [name for name in TEXTS if name in row]):
            self.workspace.put(stream, row | {names[0]: MISPLACED})
        elif (name := NUMBERS.get(stream, "")) and kind == "too large":
            self.workspace.put(stream, row, raw=encode(row | {name: 424242}).replace("424242", "1E+400"))
        elif name:
            self.workspace.put(stream, row | {name: math.nan})
        return f"a row of {stream}: {kind}"

    def _odd_row(self, stream: str) -> Row:
        """A new row with odd texts and dates of now, as far as it has any by which it is found."""
        self.odd -= 1
        now = dates.iso(dates.to_micros(self.moment(hours=1) if stream == "messages" else datetime.now(UTC)))
        dated = {name: now for name in ("created_on", "modified_on", "opened_on") if name in pattern_of(stream)}
        return self.chance.row(stream, self.odd, self.dice.choice((0.05, 0.3, 1.0))) | dated

    def mend_odd_rows(self) -> str:
        """Rows that could not be read, and what was copied from them, are sent as they should have been."""
        mended = 0
        now = dates.iso(dates.now_micros())
        for stream, key in self.twice:
            if row := self.workspace.row(stream, key):
                self.workspace.put(stream, row | ({"modified_on": now} if "modified_on" in row else {}))
        self.twice = []
        for stream in ODD:
            for row in self.workspace.rows(stream):
                good = {name: right for name, value in row.items() if (right := self._mended(stream, name, value, now))}
                if good:
                    mended += 1
                    moved = {"modified_on": now} if "modified_on" in row else {}
                    self.workspace.put(stream, row | moved | {name: value[0] for name, value in good.items()})
        return f"{mended} unreadable rows are mended" if mended else ""

    def _mended(self, stream: str, name: str, value: Any, now: str) -> tuple[Any] | None:
        """What a value should have been, in a tuple; None if it is as it should be."""
        if str(value).startswith("?") and name in typed_of(stream):
            return (now if name.endswith("_on") else None,)
        if value == MISPLACED:
            return ("tel:+250788000009" if name == "urn" else "mended",)
        return (7,) if isinstance(value, float) and not math.isfinite(value) else None

    # -- archives --

    def night(self) -> str:
        """The archiver runs, for one day or two; what it archived stays in the API now and then."""
        days = self.dice.choice((1, 1, 2))
        until = self.archived_until + timedelta(days=days)
        if self.most_files < 2 * days or until > (datetime.now(UTC) - YOUNGEST_ARCHIVED).date():
            return ""
        self.most_files -= 2 * days
        purge = self.dice.random() < 0.8
        archive_old_rows(self.workspace, until, purge=purge)
        self.archived_until = until
        return f"archived until {until}{'' if purge else ', without purging'}"

    def month(self) -> str:
        """The daily files of a month that is over become one."""
        months = {
            (row["archive_type"], row["start_date"][:7])
            for row in self.workspace.rows("archives")
            if row["period"] == "daily" and row["start_date"][:7] < f"{self.archived_until:%Y-%m}"
        }
        damaged = {(key.split("/")[0], key.split("/")[2][:7]) for key in self.damages.sound}
        if not (free := sorted(months - damaged)):
            return ""
        kind, month = self.dice.choice(free)
        roll_up(self.workspace, kind, month)
        return f"{kind} {month} is rolled up"

    def other_file(self) -> str:
        """A record lies in the file of another day, or of another month, or in a day listed beside its month."""
        rows = [row for row in self.damages.candidates() if row["archive_type"] == "message"]
        if len(rows) < 2 or self.most_files < 2:
            return ""
        one, other = self.dice.sample(rows, 2)
        lines = read_archive(self.workspace, one)
        if not lines:
            return ""
        self.most_files -= 2
        line = lines.pop(self.dice.randrange(len(lines)))
        put_archive(self.workspace, "message", other["period"], other["start_date"],
                    [*read_archive(self.workspace, other), line])  # fmt: skip
        put_archive(self.workspace, "message", one["period"], one["start_date"], lines)
        return f"a record of {one['period']} {one['start_date']} is in {other['period']} {other['start_date']}"

    def filled_in(self) -> str:
        """An archive of messages is rewritten, with uuids that are invented."""
        if self.workspace.generation is not Generation.TWENTY_SIX:
            return ""
        rows = [row for row in self.damages.candidates() if row["archive_type"] == "message"]
        if not rows or self.most_files < 1:
            return ""
        self.most_files -= 1
        row = self.dice.choice(rows)
        fill_in_uuids(self.workspace, row, seed=self.dice.getrandbits(32))
        return f"message {row['period']} {row['start_date']} gets invented uuids"

    def damage(self) -> str:
        """An archive file, or its entry, is damaged."""
        rows = self.damages.candidates()
        if not rows:
            return ""
        row, kind = self.dice.choice(rows), self.dice.choice(KINDS)
        self.damages.damage(row, kind, self.dice)
        return f"{key_of('archives', row)}: {kind}"

    def mend(self) -> str:
        """A damaged archive file is as it was."""
        if not self.damages.sound:
            return ""
        key = self.dice.choice(sorted(self.damages.sound))
        self.damages.mend(key)
        return f"{key}: mended"

    # -- the server --

    def upgrade(self) -> str:
        """The server is of another version from now on."""
        others = [each for each in self.generations if each is not self.workspace.generation]
        if not others:
            return ""
        self.workspace.generation = self.dice.choice(others)
        return f"the server is {self.workspace.generation.name}"

    def quiet(self) -> None:
        """All that was damaged is mended; nothing happens after this."""
        for key in sorted(self.damages.sound):
            self.damages.mend(key)
        self.mend_odd_rows()


ALL: list[tuple[float, Callable[[Happenings], str]]] = [
    (6, Happenings.new_rows),
    (6, Happenings.changes),
    (0.5, Happenings.long_tie),
    (4, Happenings.recent_changes),
    (1.5, Happenings.new_parts),
    (2, Happenings.deleted_messages),
    (0.7, Happenings.late_messages),
    (0.3, Happenings.deleted_topic),
    (1, Happenings.deleted_contacts),
    (1, Happenings.deleted_from_list),
    (1, Happenings.back_again),
    (0.3, Happenings.workspace_changes),
    (2, Happenings.odd_rows),
    (1.5, Happenings.unreadable_rows),
    (0.5, Happenings.mend_odd_rows),
    (1, Happenings.night),
    (0.3, Happenings.month),
    (0.7, Happenings.other_file),
    (0.5, Happenings.filled_in),
    (2, Happenings.damage),
    (1.5, Happenings.mend),
    (0.7, Happenings.upgrade),
]
