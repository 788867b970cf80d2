"""A workspace in which everything happens that facts must not trip over, and how plain Python counts its rows.

Its days begin at odd hours, its clocks change, and much of it was deleted after it had been read.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from pipeline.reading.progress import Quiet
from pipeline.settings import load_settings
from pipeline.syncing.sync import choose, sync
from sandbox import Sandbox, generate
from tests.happenings import TODAY, ZONE, Author, Row, edge, edges, iso, moment
from tests.lakes import new_lake
from warehouse import Lake, refresh_views

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
        path = new_lake(folder / "lake")
        settings = load_settings(url=served.url, token=served.token, lake=path, requests_per_hour=0, lag=0)
        Author(made).write()
        result = sync(settings, choose(STREAMS), Quiet())
        assert not [one.message for one in result.streams if not one.good]
        before = {stream: made.rows(stream) for stream in (*STREAMS, "contacts_deleted")}
    doomed = dict(_doomed(before))
    now = {
        stream: [row for row in rows if key(stream, row) not in doomed.get(stream, ())]
        for stream, rows in before.items()
    }
    with Lake.create(path) as lake:
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
    people = {mine[number * 10 // 3 % len(mine)]["uuid"]: at for number, at in enumerate(edges()) if number % 3 == 0}
    noted = {whose(row) for row in rows["channel_events"]}
    out = [row["uuid"] for row in mine if row["status"] == "stopped" and row["uuid"] not in noted]
    people |= dict.fromkeys(out[:2], edge(0))
    yield "contacts", people
    for stream, every in (("messages", 5), ("runs", 5), ("tickets", 3), ("channel_events", 7)):
        theirs = {key(stream, row): people[whose(row) or ""] for row in rows[stream] if whose(row) in people}
        yield stream, dict.fromkeys((key(stream, row) for row in rows[stream][::every]), edge(0)) | theirs
    for stream in ("broadcasts", "groups", "labels", "topics", "channels", "flows", "fields", "campaign_events"):
        yield stream, dict.fromkeys((key(stream, row) for row in rows[stream][1::4]), edge(0))
    put = {row["uuid"] for row in rows["definitions"]}
    yield (
        "definitions",
        {next(row["uuid"] for row in rows["flows"] if row["results"] and row["uuid"] not in put): edge(0)},
    )


def note(connection: duckdb.DuckDBPyConnection, facts: Analysed) -> None:
    """Put into the lake what syncs would have noted over months, and nothing else."""
    archived = ", ".join(map(str, facts.archived))
    connection.execute(f"UPDATE messages SET source = 'archive' WHERE id IN ({archived})")
    changes = [(*change, None) for change in facts.changes]
    for table, noted in (("message_history", changes), ("_group_sizes", facts.sizes)):
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
    """More groups than the report shows, one of them empty at the end, two as large as each other; once the reverse."""
    groups = [row["uuid"] for row in rows["groups"]] + [str(uuid.UUID(int=number)) for number in range(700, 703)]
    return [
        (group, TODAY - timedelta(days=back), 0 if (number, back) == (0, 1) else size)
        for number, group in enumerate(groups)
        for back, size in (
            (185, 40 - number),
            *((back, size + number // 2) for back, size in ((181, 12), (100, 5), (1, 20))),
        )
    ]


def day(row: Row, name: str = "created_on") -> date:
    """The day on which something was, in the workspace's time zone."""
    return moment(row[name]).astimezone(ZONE).date()


def key(stream: str, row: Row) -> str:
    return str(row.get(KEYS.get(stream, "uuid")))


def named(row: Row, what: str) -> Any:
    """The name that a row has for what it refers to."""
    return row[what]["name"] if row[what] else None


def whose(row: Row) -> str | None:
    """The contact of a row."""
    return row["contact"]["uuid"] if row["contact"] else None
