"""What happens in a workspace that facts could trip over: everything, just before and just after each edge."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import count, cycle, islice
from typing import Any
from zoneinfo import ZoneInfo

from sandbox import Workspace

Row = dict[str, Any]

# 12 h 45 min before UTC, 13 h 45 min from 27 September on: days and quarters of an hour that no other zone has.
ZONE = ZoneInfo("Pacific/Chatham")
# How many seconds answers take: on both sides of what the report tells apart.
LIMITS = (1, 60, 61, 300, 301, 900, 901, 3600, 3601, 21600, 21601, 86400, 86401)
# The day on which the report of this workspace is looked at: a Wednesday.
TODAY = date(2026, 10, 14)
TICK, HOUR = timedelta(microseconds=1), timedelta(hours=1)
# What contacts have in fields of every type, right and wrong.
VALUES: dict[str, list[str | None]] = {
    "age": ["17", "1.50", "x", "", "-3", "123456.789", "NaN", "1E+400", None],
    "expected_delivery": [
        "2026-09-30T10:00:00Z",
        "2026-09-26T10:00:00",
        "2026-09-27 10:00:00+02:00",
        "soon",
        "infinity",
        "1930-05-01T00:00:00+02:00:16",
        "1905-01-01T00:00:00.123456-05:41:16",
        None,
    ],
    "province": ["Rwanda > Kigali City", "Rwanda", "Rwanda > Kigali City > Gasabo"],
    "district": ["Rwanda > Kigali City > Gasabo", "Gasabo", None],
    "ward": ["Rwanda > Kigali City > Gasabo > Remera", "Rwanda > Kigali City"],
    "gender": ["F", "m", "", None],
    "children": ["2", None],
}
FILES = [{"content_type": f"image/{kind}", "url": f"https://example.org/{kind}"} for kind in ("png", "jpeg")]
# Groups that no list has and no row but broadcasts, or contacts.
OLD_GROUPS = [{"uuid": str(uuid.UUID(int=310 + number)), "name": f"Old {number}"} for number in range(9)]
UNKNOWN_GROUP = {"uuid": str(uuid.UUID(int=300)), "name": "Nowhere else"}
# Nodes of a flow: what it says, what it asks, what it sets, and one that does nothing.
NODES: list[Row] = [
    {"actions": [{"type": "set_contact_name", "name": "x"}, {"type": "send_msg", "text": "Hi"},
                 {"type": "send_msg", "text": "again"}]},
    {"actions": [{"type": "say_msg", "text": "Ring"}], "router": {"result_name": "Pick", "wait": {"type": "msg"}}},
    {"actions": [{"type": "set_run_result", "name": "Kept"}, {"type": "set_run_result", "name": "Later"}],
     "router": {"type": "switch"}},
    {},
]  # fmt: skip
STATUSES = (
    "queued", "wired", "sent", "resent", "delivered", "read", "failed", "errored", "initializing", "pending", "handled",
)  # fmt: skip
EXITS = ("completed", "expired", "interrupted", "failed", None)


class Author:
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
        self.labels = [*map(ref, place.rows("labels")), {"uuid": str(uuid.UUID(int=400)), "name": "No label now"}]
        self.broadcasts()
        self.contacts()
        self.messages()
        self.runs()
        self.opt_outs()
        self.tickets()
        self.hooks()

    def broadcasts(self) -> None:
        """More than the report shows, to any number of groups, in languages that the workspace has or has not."""
        pattern = self.workspace.rows("broadcasts")[0]
        groups = [*map(ref, self.workspace.rows("groups")), *OLD_GROUPS]
        for number, at in enumerate(islice(edges(), 15)):
            texts = [{"eng": f"Hello {number}", "fra": f"Salut {number}"}, {"spa": f"Hola {number}"}, {"fra": None}]
            changes = {
                "id": 100 + number,
                "status": ("sent", "queued", "failed", "completed", "started")[number % 5],
                "progress": {"total": number - 1, "started": number},
                "groups": groups[number : number + number % 3],
                "text": texts[number % 3],
                "base_language": "fra",
                "created_on": iso(at),
            }
            self.workspace.put("broadcasts", pattern | changes)

    def contacts(self) -> None:
        """Contacts of every status that came just before and just after a week began."""
        statuses = cycle(("active", "blocked", "stopped", "archived"))
        groups = [ref(row) for row in self.workspace.rows("groups")]
        for at in edges():
            for _ in range(2):
                number = next(self.ids)
                row = self.people[0] | {
                    "uuid": str(uuid.UUID(int=number)), "name": f"Contact {number}", "status": next(statuses),
                    "urns": [f"tel:+25070{number}", f"telegram:{number}#us%23er", "ext:a%3Fb"][: number % 4],
                    "fields": {"ghost": "boo"} | {name: each[number % len(each)] for name, each in VALUES.items()},
                    "groups": [*groups[number % 3 : number % 5], UNKNOWN_GROUP][: number % 4],
                    "created_on": iso(at), "modified_on": iso(at + 30 * HOUR),
                }  # fmt: skip
                self.workspace.put("contacts", row)
        self.mine = [
            row for row in self.workspace.rows("contacts") if row["name"] and row["name"].startswith("Contact ")
        ]

    def messages(self) -> None:
        """Messages of every status on both sides of each edge, and answers around it."""
        pattern = next(row for row in self.workspace.rows("messages") if not row["labels"])
        [*reaching, _, _] = sorted(row["id"] for row in self.workspace.rows("broadcasts"))  # the last reach nobody
        broadcasts = cycle([*reaching, None])
        people, channels = cycle([*map(ref, self.mine), None]), cycle([*self.channels, self.channels[0]])
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
        for number, who in enumerate([None, *map(ref, self.mine[41:47])]):  # at once, and of nobody
            at = start_of(30)
            self.message(pattern, at, who, None, "out", "sent", None)
            self.message(pattern, at + number % 2 * TICK, who, None, "in", "handled", None)
        for number in range(22):  # more channels than the report shows, which no list has
            channel = {"uuid": str(uuid.UUID(int=500 + number % 20)), "name": f"Channel {number % 20:02}"}
            at = at_local(TODAY - timedelta(days=10), number)
            self.message(pattern, at, next(people), channel, "out", STATUSES[number % 8], None)
        for status in STATUSES * 2:
            for days in (5, 35):
                at = at_local(TODAY - timedelta(days=days), 12) + timedelta(seconds=next(self.ids) % 1000)
                who = next(people)
                for cast in [next(broadcasts)] * 2:  # twice to the same contact
                    self.message(pattern, at, who, self.channels[1], "out", status, cast)

    def message(
        self, pattern: Row, at: datetime, who: Row | None, channel: Row | None, way: str, status: str, cast: int | None
    ) -> None:
        number = next(self.ids)
        row = {"id": number, "uuid": str(uuid.UUID(int=number)), "broadcast": cast, "contact": who, "channel": channel,
               "direction": way, "status": status, "created_on": iso(at), "modified_on": iso(at), "flow": None,
               "text": f"No. {number}", "archived": False, "visibility": "visible",
               "labels": self.labels[number % 5 : number % 7], "attachments": FILES[: number % 3]}  # fmt: skip
        self.workspace.put("messages", pattern | row)

    def runs(self) -> None:
        """Runs that end in every way, on both sides of each edge, by short ways, circles, and none."""
        flows = [ref(row) for row in self.workspace.rows("flows")]
        flows += [{"uuid": str(uuid.UUID(int=600 + number)), "name": f"Flow {number}"} for number in range(3)]
        nodes = [str(uuid.UUID(int=number + 1)) for number in range(18)]
        expired = Counter(row["flow"]["uuid"] for row in self.workspace.rows("runs") if row["exit_type"] == "expired")
        [*known, losing] = sorted(self.workspace.rows("flows"), key=lambda row: -expired[row["uuid"]])
        own = {"uuid": losing["uuid"], "name": losing["name"], "type": "messaging", "spec_version": "13.2.0"}
        described = [{"uuid": node} | what for node, what in zip(nodes, NODES, strict=False)]
        self.workspace.put("definitions", own | {"nodes": described})
        self.workspace.put(
            "definitions", {"uuid": known[0]["uuid"], "name": known[0]["name"], "spec_version": "13.2.0"}
        )
        paths = ([0], [0, 1], [0, 1, 0, 2], [], None, [3, 1, 1], [0, 1, 2, 3])
        for copy in range(3):  # of each contact three in a flow, which set the same results
            for number, (at, path) in enumerate(zip(edges(), cycle(paths[copy:] + paths[:copy]), strict=False)):
                begun, flow = at + copy // 2 * 5 * HOUR, flows[number % len(flows)]
                steps = None if path is None else [{"node": nodes[node], "time": iso(begun)} for node in path]
                times = [(0, 0, 0), (0, 0, None), (1, 0, 0), (None, None, None)][number % 4]
                late = times[copy]
                results = self.results(None if late is None else iso(at + late * HOUR), number + copy)
                self.run(flow, self.mine[number], begun, steps, EXITS[(number + copy) % len(EXITS)], results)
        for number, begun in enumerate(
            [*[start_of(90)] * 4, start_of(90) - TICK, *[at_local(TODAY - timedelta(days=70))] * 33]
        ):
            # The flow that loses most, by few days and one way to end; step by step, and one that begins with the last.
            way = nodes[: 18 - number % 12] if number % 12 else [nodes[17], *nodes[:16]]
            steps = [{"node": node, "time": iso(begun)} for node in way]
            self.run(ref(losing), self.mine[number], begun, steps, "interrupted", {})
        self.run(
            flows[2], {"uuid": str(uuid.UUID(int=330))}, at_local(TODAY, 1), None, None, {}
        )  # of an unknown contact
        never = {"uuid": str(uuid.UUID(int=340)), "name": "Never begun", "results": []}
        self.workspace.put("flows", self.workspace.rows("flows")[0] | never | {"created_on": iso(edge(0))})
        for back in (0, 29, 30, 59, 60, 89, 90):
            for number, how in enumerate(EXITS * 2):
                begun = at_local(TODAY - timedelta(days=back), 12 + number)
                self.run(flows[(back + number) % len(flows)], self.mine[number + 4], begun, None, how, {})

    def run(self, flow: Row, who: Row, at: datetime, path: list[Row] | None, how: str | None, results: Row) -> None:
        number = next(self.ids)
        pattern = self.workspace.rows("runs")[0]
        changes = {
            "id": number,
            "uuid": str(uuid.UUID(int=number)),
            "flow": flow,
            "contact": pattern["contact"] | {"uuid": who["uuid"], "name": "As it was"},
            "path": path,
            "values": results,
            "responded": number % 4 < 2,
            "created_on": iso(at),
            "modified_on": iso(at + HOUR),
            "exited_on": iso(at + HOUR) if how else None,
            "exit_type": how,
        }
        self.workspace.put("runs", pattern | changes)

    def results(self, at: str | None, number: int) -> Row:
        """None, one or more; of other names than their flow now has."""
        node = str(uuid.UUID(int=1))
        each = {
            key: {"value": f"{key} {number}", "category": "Other", "name": f"Old {key}", "input": f"in {number}",
                  "node": node, "time": at}
            for key in ("age", "mood", "a/b")
        }  # fmt: skip
        return dict(list(each.items())[: number % 4])

    def opt_outs(self) -> None:
        """Opt-outs on both sides of each edge: of people who came back, of nobody, and without a time of their own."""
        pattern, people = self.workspace.rows("channel_events")[0], [*map(ref, self.mine[::3])]
        for number, at in enumerate(edges()):
            own = next(self.ids)
            self.workspace.put("channel_events", pattern | {
                "id": own, "type": "call-in" if number % 7 == 6 else "stop-contact", "extra": None,
                "contact": None if number % 9 == 8 else people[number // 2 % len(people)],
                "channel": self.channels[number % 4], "occurred_on": None if number % 5 == 4 else iso(at),
                "created_on": iso(at if number % 5 == 4 else at + 200 * HOUR),
            })  # fmt: skip

    def tickets(self) -> None:
        """Open and closed ones, of people who will be deleted too."""
        pattern = self.workspace.rows("tickets")[0]
        for number, who in enumerate(self.mine[:12]):
            changes = {"uuid": str(uuid.UUID(int=next(self.ids))), "status": "closed" if number % 3 else "open"}
            topic = {"topic": {"uuid": str(uuid.UUID(int=320)), "name": "Old topic"}} if number % 5 == 4 else {}
            self.workspace.put("tickets", pattern | changes | topic | {"contact": ref(who)})

    def hooks(self) -> None:
        """Calls of resthooks with keys and values of every kind."""
        who, run = {"uuid": str(uuid.UUID(int=1))}, {"uuid": str(uuid.UUID(int=2))}
        data = {"contact": who, "flow": {"uuid": "none"}, "run": run, "a/b": [1], "a~b": None, "~1": "x"}
        for number, sent in enumerate((data, {}, [1], None)):
            at = iso(at_local(TODAY, number))
            self.workspace.put("resthook_events", {"resthook": f"hook-{number}", "data": sent, "created_on": at})


def edges() -> Iterator[datetime]:
    """Moments around the beginnings of the days on which something begins or ends: periods, weeks, summer."""
    weeks = [monday(TODAY - timedelta(days=182)), monday(TODAY), date(2026, 9, 28)]
    days = [TODAY, *(TODAY - timedelta(days=back - 1) for back in (0, 30, 60, 90)), date(2026, 9, 27), *weeks]
    for on in days:
        yield from (at_local(on) + step * TICK for step in (-1, 0, 1))
    for back in (30, 90):
        yield from (start_of(back) + step * TICK for step in (-1, 0, 1))


def edge(number: int) -> datetime:
    return next(islice(edges(), number, None))


def start_of(days: int) -> datetime:
    """Since when the report asks for what began in the last days: by UTC."""
    return datetime.combine(TODAY - timedelta(days=days), time(), UTC)


def at_local(on: date, hour: int = 0) -> datetime:
    """That hour of the workspace's day."""
    return datetime.combine(on, time(hour), ZONE).astimezone(UTC)


def monday(on: date) -> date:
    return on - timedelta(days=on.weekday())


def moment(written: str) -> datetime:
    return datetime.fromisoformat(written)


def iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def ref(row: Row) -> Row:
    return {"uuid": row["uuid"], "name": row["name"]}
