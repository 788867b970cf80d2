"""A workspace in which everything happens that facts must not trip over, and how plain Python counts its rows.

Its days begin at odd hours, its clocks change, and much of it was deleted after it had been read.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import duckdb

from pipeline.progress import Quiet
from pipeline.sandbox import Sandbox, Workspace, generate
from pipeline.settings import load_settings
from pipeline.sync import choose, sync
from warehouse import Lake, refresh_views

Row = dict[str, Any]

# 12 h 45 min before UTC, 13 h 45 min from 27 September on: days and quarters of an hour that no other zone has.
ZONE = ZoneInfo("Pacific/Chatham")
# How many seconds answers take: on both sides of what the report tells apart.
LIMITS = (1, 60, 61, 300, 301, 900, 901, 3600, 3601, 21600, 21601, 86400, 86401)
# The day on which the report of this workspace is looked at: a Wednesday.
TODAY = date(2026, 10, 14)
TICK, HOUR = timedelta(microseconds=1), timedelta(hours=1)
STATUSES = (
    "queued", "wired", "sent", "resent", "delivered", "read", "failed", "errored", "initializing", "pending", "handled",
)  # fmt: skip
EXITS = ("completed", "expired", "interrupted", "failed", None)
STREAMS = (
    "workspace", "messages", "runs", "contacts", "broadcasts", "channels", "channel_events", "flows", "definitions",
    "groups", "labels", "topics", "tickets", "fields", "campaign_events", "flow_starts", "resthook_events",
)  # fmt: skip
KEYS = {"messages": "id", "broadcasts": "id", "channel_events": "id", "fields": "key"}


class Change(NamedTuple):
    """A change seen of a message."""

    id: int
    what: str
    before: str | None
    after: str
    still_on: datetime | None
    changed_by: datetime


@dataclass(frozen=True)
class Analysed:
    """A lake, the rows that the server has now, those that it had before, and when others were deleted, by key.

    `changes` of messages and `sizes` of groups are what syncs noted meanwhile.
    """

    lake: Lake
    now: dict[str, list[Row]]
    before: dict[str, list[Row]]
    deleted: dict[str, dict[Any, datetime]]
    changes: list[Change]
    sizes: list[tuple[str, date, int]]

    @property
    def archived(self) -> set[int]:
        """Messages that came from archives."""
        return {one.id for one in self.changes if one.id % 11 == 0}

    def gone(self, stream: str) -> list[Row]:
        """The rows that were deleted after they had been read."""
        return [row for row in self.before[stream] if key(stream, row) in self.deleted[stream]]


def analysed(folder: Path) -> Iterator[Analysed]:
    """Read the workspace, and mark as deleted in the lake what is deleted after that."""
    with (
        generate(messages=500, contacts=90, archives=False, seed=3, now=datetime(2026, 10, 14, 9, tzinfo=UTC)) as made,
        Sandbox(made, requests_per_hour=0, keep=True) as served,
    ):
        settings = load_settings(url=served.url, token=served.token, lake=folder / "lake", requests_per_hour=0, lag=0)
        _Author(made).write()
        result = sync(settings, choose(STREAMS), Quiet())
        assert not [one.message for one in result.streams if not one.good]
        before = {stream: made.rows(stream) for stream in (*STREAMS, "contacts_deleted")}
    doomed = dict(_doomed(before))
    now = {
        stream: [row for row in rows if key(stream, row) not in doomed.get(stream, ())]
        for stream, rows in before.items()
    }
    with Lake.create(folder / "lake") as lake:
        facts = Analysed(lake, now, before, doomed, _changes(before), _sizes(before))
        lake.commit(lambda connection: _mark(connection, doomed))
        refresh_views(lake)
        lake.commit(lambda connection: note(connection, facts))
        yield facts


def _mark(connection: duckdb.DuckDBPyConnection, doomed: dict[str, dict[Any, datetime]]) -> None:
    """Mark rows deleted, at the moments given."""
    for stream, keys in doomed.items():
        rows = ", ".join(f"('{one}', '{iso(at)}'::TIMESTAMPTZ)" for one, at in keys.items())
        connection.execute(
            f"UPDATE {stream} SET deleted_on = gone.died_on FROM (VALUES {rows}) AS gone (named, died_on) "
            f"WHERE {KEYS.get(stream, 'uuid')}::VARCHAR = gone.named"
        )


def _doomed(rows: dict[str, list[Row]]) -> Iterator[tuple[str, dict[Any, datetime]]]:
    """What is deleted from each stream, by key, and when: people around the edges, and all that is theirs."""
    mine = [row for row in rows["contacts"] if str(row["name"]).startswith("Contact ")]
    people = {mine[number * 2 % len(mine)]["uuid"]: at for number, at in enumerate(edges()) if number % 3 == 0}
    yield "contacts", people
    for stream, every in (("messages", 5), ("runs", 5), ("tickets", 3), ("channel_events", 7)):
        theirs = {key(stream, row): people[whose(row) or ""] for row in rows[stream] if whose(row) in people}
        yield stream, dict.fromkeys((key(stream, row) for row in rows[stream][::every]), edge(0)) | theirs
    for stream in ("broadcasts", "groups", "labels", "topics", "channels", "flows", "fields", "campaign_events"):
        yield stream, dict.fromkeys((key(stream, row) for row in rows[stream][1::4]), edge(0))
    yield "definitions", {rows["flows"][0]["uuid"]: edge(0)}


def note(connection: duckdb.DuckDBPyConnection, facts: Analysed) -> None:
    """Put into the lake what syncs would have noted over months, and nothing else."""
    archived = ", ".join(map(str, facts.archived))
    connection.execute(f"UPDATE messages SET source = 'archive' WHERE id IN ({archived})")
    for table, noted in (("message_history", facts.changes), ("_group_sizes", facts.sizes)):
        rows = ", ".join(f"({', '.join(map(_sql, row))})" for row in noted)
        connection.execute(f"DELETE FROM {table}")
        connection.execute(f"INSERT INTO {table} VALUES {rows}")


def _sql(value: object) -> str:
    return "NULL" if value is None else f"'{value}'"


def _changes(rows: dict[str, list[Row]]) -> list[Change]:
    """Messages that were delivered at once, late, by steps, again and again, or not at all."""
    ways: tuple[tuple[tuple[str, str | None, str, int | None, int], ...], ...] = (
        (("status", "sent", "delivered", 60, 180),),
        (("status", "wired", "read", None, 90),),
        (("status", "sent", "delivered", -5, 45), ("status", "delivered", "read", 50, 7000)),
        (("status", "sent", "read", 600, 900), ("status", "errored", "delivered", 300, 400)),
        (("status", "queued", "sent", 1, 2),),
        (("status", "read", "delivered", 3, 4),),
        (("status", None, "delivered", 5, 6),),
        (("visibility", "visible", "read", 7, 8),),
    )
    sent = [row for row in rows["messages"] if row["id"] >= 10**6 and row["direction"] == "out"]
    return [
        Change(row["id"], what, before, after, None if still is None else at + timedelta(seconds=still + number), by)
        for number, row in enumerate(sent)
        for what, before, after, still, until in ways[number * 3 % len(ways)]
        for at in [moment(row["created_on"])]
        for by in [at + timedelta(seconds=until + 2 * number)]
    ]


def _sizes(rows: dict[str, list[Row]]) -> list[tuple[str, date, int]]:
    """More groups than the report shows, one of them empty at the end, two as large as each other."""
    groups = [row["uuid"] for row in rows["groups"]] + [str(uuid.UUID(int=number)) for number in range(700, 703)]
    return [
        (group, TODAY - timedelta(days=back), 0 if (number, back) == (0, 1) else size + number // 2)
        for number, group in enumerate(groups)
        for back, size in ((185, 10), (181, 12), (100, 5), (1, 20))
    ]


class _Author:
    """Adds what a generated workspace lacks."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.people = workspace.rows("contacts")
        self.ids = count(10**6)

    def write(self) -> None:
        """Write everything."""
        place = self.workspace
        [own] = place.rows("workspace")
        place.put("workspace", own | {"timezone": ZONE.key})
        self.channels = [*map(ref, place.rows("channels")), None]
        self.broadcasts()
        self.contacts()
        self.messages()
        self.runs()
        self.opt_outs()

    def broadcasts(self) -> None:
        """More than the report shows, to any number of groups, in languages that the workspace has or has not."""
        [pattern, *_], groups = self.workspace.rows("broadcasts"), [ref(row) for row in self.workspace.rows("groups")]
        for number, at in enumerate(islice(edges(), 15)):
            texts = [{"eng": f"Hello {number}", "fra": f"Salut {number}"}, {"spa": f"Hola {number}"}, {"fra": None}]
            self.workspace.put("broadcasts", pattern | {
                "id": 100 + number, "created_on": iso(at), "groups": groups[: number % 3], "text": texts[number % 3],
                "base_language": "fra", "status": ("sent", "queued", "failed")[number % 3],
                "progress": {"total": number - 1, "started": number},
            })  # fmt: skip

    def contacts(self) -> None:
        """Contacts of every status that came just before and just after a week began."""
        statuses = cycle(("active", "blocked", "stopped", "archived"))
        for at in edges():
            for _ in range(2):
                number = next(self.ids)
                row = self.people[0] | {
                    "uuid": str(uuid.UUID(int=number)), "name": f"Contact {number}", "status": next(statuses),
                    "urns": [f"tel:+25070{number}"], "created_on": iso(at), "modified_on": iso(at + 30 * HOUR),
                }  # fmt: skip
                self.workspace.put("contacts", row)
        self.mine = [
            row for row in self.workspace.rows("contacts") if row["name"] and row["name"].startswith("Contact ")
        ]

    def messages(self) -> None:
        """Messages of every status on both sides of each edge, and answers around it."""
        pattern = next(row for row in self.workspace.rows("messages") if not row["labels"])
        broadcasts = cycle([*(row["id"] for row in self.workspace.rows("broadcasts")), None])
        people, channels = cycle([*map(ref, self.mine), None]), cycle(self.channels)
        for number, at in enumerate(edges()):
            for status in (STATUSES[number % len(STATUSES)], STATUSES[(number * 5 + 3) % len(STATUSES)]):
                self.message(pattern, at, next(people), next(channels), "out", status, next(broadcasts))
                self.message(pattern, at, next(people), next(channels), "in", status, None)
        asked = at_local(TODAY - timedelta(days=3), 9)
        for number, seconds in enumerate(LIMITS * 4):
            who = ref(self.mine[number])
            self.message(pattern, asked, who, self.channels[0], "out", "sent", None)
            for late in (seconds, seconds + 7):  # only the first is the answer
                self.message(pattern, asked + timedelta(seconds=late), who, self.channels[0], "in", "handled", None)
        for number in range(22):  # more channels than the report shows, which no list has
            channel = {"uuid": str(uuid.UUID(int=500 + number % 20)), "name": f"Channel {number % 20:02}"}
            at = at_local(TODAY - timedelta(days=10), number)
            self.message(pattern, at, next(people), channel, "out", STATUSES[number % 8], None)
        for status in STATUSES * 2:
            for days in (5, 35):
                at = at_local(TODAY - timedelta(days=days), 12) + timedelta(seconds=next(self.ids) % 1000)
                self.message(pattern, at, next(people), self.channels[1], "out", status, next(broadcasts))

    def message(
        self, pattern: Row, at: datetime, who: Row | None, channel: Row | None, way: str, status: str, cast: int | None
    ) -> None:
        number = next(self.ids)
        row = {"id": number, "uuid": str(uuid.UUID(int=number)), "broadcast": cast, "contact": who, "channel": channel,
               "direction": way, "status": status, "created_on": iso(at), "modified_on": iso(at), "flow": None,
               "text": f"No. {number}", "archived": False, "visibility": "visible"}  # fmt: skip
        self.workspace.put("messages", pattern | row)

    def runs(self) -> None:
        """Runs that end in every way, on both sides of each edge, by short ways, circles, and none."""
        pattern, nodes = self.workspace.rows("runs")[0], [str(uuid.UUID(int=number)) for number in range(1, 5)]
        flows = [ref(row) for row in self.workspace.rows("flows")]
        flows += [{"uuid": str(uuid.UUID(int=600 + number)), "name": f"Flow {number}"} for number in range(3)]
        paths = ([0], [0, 1], [0, 1, 0, 2], [], None, [3, 1, 1], [0, 1, 2, 3])
        for number, (at, path) in enumerate(zip([*edges()] * 3, cycle(paths))):
            own = next(self.ids)
            exited = EXITS[number % len(EXITS)]
            steps = None if path is None else [{"node": nodes[node], "time": iso(at)} for node in path]
            self.workspace.put("runs", pattern | {
                "id": own, "uuid": str(uuid.UUID(int=own)), "flow": flows[number % len(flows)], "path": steps,
                "contact": pattern["contact"] | ref(self.mine[number % len(self.mine)]), "responded": number % 4 < 2,
                "created_on": iso(at), "modified_on": iso(at + HOUR), "exited_on": iso(at + HOUR) if exited else None,
                "exit_type": exited,
            })  # fmt: skip

    def opt_outs(self) -> None:
        """Opt-outs on both sides of each edge: of people who came back, of nobody, and without a time of their own."""
        pattern, people = self.workspace.rows("channel_events")[0], cycle(map(ref, self.mine[::3]))
        for number, at in enumerate(edges()):
            own = next(self.ids)
            self.workspace.put("channel_events", pattern | {
                "id": own, "type": "call-in" if number % 7 == 6 else "stop-contact", "extra": None,
                "contact": None if number % 9 == 8 else next(people), "channel": self.channels[number % 4],
                "occurred_on": None if number % 5 == 4 else iso(at),
                "created_on": iso(at if number % 5 == 4 else at + 200 * HOUR),
            })  # fmt: skip


def edges() -> Iterator[datetime]:
    """Moments around the beginnings of the days on which something begins or ends: periods, weeks, summer."""
    weeks = [monday(TODAY - timedelta(days=182)), monday(TODAY), date(2026, 9, 28)]
    days = [TODAY, *(TODAY - timedelta(days=back - 1) for back in (0, 30, 60, 90)), date(2026, 9, 27), *weeks]
    for on in days:
        yield from (at_local(on) + step * TICK for step in (-1, 0, 1))
    for back in (30, 90):  # as the report asks for what began since: by UTC
        begin = datetime.combine(TODAY - timedelta(days=back), time(), UTC)
        yield from (begin + step * TICK for step in (-1, 0, 1))


def at_local(on: date, hour: int = 0) -> datetime:
    """That hour of the workspace's day."""
    return datetime.combine(on, time(hour), ZONE).astimezone(UTC)


def day(row: Row, name: str = "created_on") -> date:
    """The day on which something was, in the workspace's time zone."""
    return moment(row[name]).astimezone(ZONE).date()


def monday(on: date) -> date:
    return on - timedelta(days=on.weekday())


def moment(written: str) -> datetime:
    return datetime.fromisoformat(written)


def iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def edge(number: int) -> datetime:
    return next(islice(edges(), number, None))


def key(stream: str, row: Row) -> str:
    return str(row.get(KEYS.get(stream, "uuid")))


def ref(row: Row) -> Row:
    return {"uuid": row["uuid"], "name": row["name"]}


def named(row: Row, what: str) -> Any:
    """The name that a row has for what it refers to."""
    return row[what]["name"] if row[what] else None


def whose(row: Row) -> str | None:
    """The contact of a row."""
    return row["contact"]["uuid"] if row["contact"] else None
