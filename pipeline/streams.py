"""The table of streams: one entry per endpoint, its facts, no behaviour.

CONTRIBUTING.md says how to add an endpoint; docs/api.md describes the facts.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta

from warehouse.lake.table import History, Table

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Revisit:
    """Rows of the last `window` are read again, at most once per `every`, because no filter shows their changes."""

    window: timedelta
    every: timedelta = timedelta(0)


def parse_revisits(text: str) -> tuple[Revisit, ...]:
    """Read `2h, 2d/1h, 8d/1d`: the last 2 hours every time, 2 days once an hour, 8 days once a day.

    Raises:
        ValueError: it is written differently.
    """
    return tuple(_revisit(part.strip()) for part in text.split(",") if part.strip())


def _revisit(text: str) -> Revisit:
    found = re.fullmatch(r"(\d+)([hd])(?:\s*/\s*(\d+)([hd]))?", text)
    if not found:
        raise ValueError(f"{text!r} is no revisit: write them like 2h, 2d/1h, 8d/1d")
    units = {"h": HOUR, "d": DAY}
    window, unit, every, of = found.groups()
    return Revisit(int(window) * units[unit], int(every) * units[of] if every else timedelta(0))


@dataclass(frozen=True)
class Window:
    """The server filters by a date, `on`: read in windows, seeking by timestamp.

    `oldest_first` where the server honours reverse=true. `adjustable` where RAPIDLAKE_REVISITS says what is revisited.
    """

    on: str
    oldest_first: bool = False
    revisits: tuple[Revisit, ...] = ()
    adjustable: bool = False

    @property
    def moves(self) -> bool:
        """True if a change of a row moves its date to the present."""
        return self.on == "modified_on"


@dataclass(frozen=True)
class Newest:
    """The server sorts by a date, `on`, newest first, and does not filter: read until rows are known, daily whole."""

    on: str
    whole_every: timedelta = DAY


@dataclass(frozen=True)
class Snapshot:
    """Small and without a usable date: read whole each time."""


@dataclass(frozen=True)
class Archives:
    """A list of files, read whole each time; then the files that are new or changed."""


@dataclass(frozen=True)
class Single:
    """One object instead of a listing."""


@dataclass(frozen=True)
class PerFlow:
    """One object per row of the stream `of`: read for rows that are new or modified."""

    of: str
    at_once: int = 25


@dataclass(frozen=True)
class Daily:
    """One row per day in one answer: the last year first, then recent days again."""

    on: str = "date"
    first: timedelta = 365 * DAY
    again: timedelta = 7 * DAY


@dataclass(frozen=True)
class Shape:
    """What `by` is like decides what every row of a stream holds; `state` is SQL of that, one value.

    No date of the stream says when it changes: the stream is read whole then. The state that the stream was read in is
    noted, unless it is the `usual` one.
    """

    by: str
    state: str
    usual: str | None = None


Strategy = Window | Newest | Snapshot | Archives | Single | PerFlow | Daily


@dataclass(frozen=True)
class Stream:
    """One endpoint of API v2 and its table.

    scope: the server's throttle bucket.
    retention: how long the server keeps a row that no archive has; None if for ever, or until it is archived.
    shows_deletions: a row missing from a complete reading, of a window or of everything, was deleted; False where the
        server purges old rows, moves them to other windows, or lists deleted ones.
    deleted_feed: query of the listing of deleted rows, where there is one.
    always_offered: False for endpoints that only some server versions have.
    shapes: what else decides the content of its rows, where something does.
    """

    table: Table
    strategy: Strategy = field(default_factory=Snapshot)
    scope: str = "v2"
    params: dict[str, str] = field(default_factory=dict)
    retention: timedelta | None = None
    shows_deletions: bool = True
    deleted_feed: dict[str, str] | None = None
    always_offered: bool = True
    shapes: tuple[Shape, ...] = ()

    @property
    def name(self) -> str:
        """Name of the stream, its endpoint and its table."""
        return self.table.name

    @property
    def needs(self) -> frozenset[str]:
        """The streams without which this one cannot be kept true, and which therefore are read where it is."""
        needed = {shape.by for shape in self.shapes}
        if isinstance(self.strategy, PerFlow):
            needed.add(self.strategy.of)
        if self.table.archive_type:
            needed.add("archives")  # what they have is not deleted, though no listing shows it
        return frozenset(needed)

    @property
    def path(self) -> str:
        """Path below /api/v2/; without `.json` the server answers an empty list."""
        return f"{self.name}.json"


BY_UUID = ("uuid",)
# Characters of a thing's name. Servers give a deleted one another name, and some versions go on listing some of them.
NAME, SHORT_NAME = 64, 36

# Each contact's `fields` has a key for every field. The name tells most fields that took the key of a deleted one.
FIELDS = Shape(
    "fields",
    """(
        SELECT string_agg(written, ',' ORDER BY written)
        FROM (SELECT row(key, type, name)::VARCHAR AS written FROM fields WHERE deleted_on IS NULL)
    )""",
)
# An anonymous workspace shows no addresses of contacts; `anonymous` is what the server said when the session began.
ANONYMITY = Shape("workspace", "getvariable('anonymous')::VARCHAR", usual="false")

_ALL = (
    Stream(Table("workspace", BY_UUID), Single()),
    # Large streams.
    Stream(
        Table("contacts", BY_UUID, never_older="modified_on"),
        Window("modified_on", oldest_first=True),
        scope="v2.contacts",
        shows_deletions=False,
        deleted_feed={"deleted": "true"},
        shapes=(FIELDS, ANONYMITY),
    ),
    Stream(
        Table(
            "messages",
            ("id",),
            stand_in="uuid",
            content=("created_on", "contact_uuid", "direction", "text"),
            partitioned_by="created_on",
            kept=(
                *("uuid", "broadcast", "flow_uuid", "flow_name", "ticket_uuid", "quick_replies", "modified_on"),
                # Servers always send these, but the oldest, which have no such keys.
                *("visibility", "attachments"),
            ),
            contact="contact_uuid",
            archive_type="message",
            api_first=("uuid", "urn", "urn_scheme", "urn_path", "urn_display", "quick_replies", "archived", "media"),
            history=History("message_history", values=("status", "visibility"), references=("labels",)),
            uniform=True,
        ),
        Window(
            "created_on",
            revisits=(Revisit(2 * HOUR), Revisit(2 * DAY, HOUR), Revisit(8 * DAY, DAY)),
            adjustable=True,
        ),
        scope="v2.messages",
        shapes=(ANONYMITY,),
    ),
    Stream(
        Table(
            "runs",
            BY_UUID,
            never_older="modified_on",
            partitioned_by="created_on",
            kept=("submitted_by", "events", "modified_on"),
            # What newer servers no longer tell.
            kept_in=(("results", "input"),),
            contact="contact_uuid",
            archive_type="run",
            growing=("path",),
            provisional=True,
            api_first=("start_uuid",),
            api_only=(
                "contact_urn",
                "contact_urn_scheme",
                "contact_urn_path",
                "contact_urn_display",
                "contact_anon_display",
                "contact_ref",
            ),
        ),
        Window("modified_on", oldest_first=True),
        scope="v2.runs",
        shows_deletions=False,
        shapes=(ANONYMITY,),
    ),
    Stream(
        # The server takes deleted contacts off a broadcast's list, however old it is: so does the lake.
        Table(
            "broadcasts",
            ("id",),
            stand_in="uuid",
            content=("created_on", "base_language"),
            kept=("uuid", "quick_replies"),
            counters=("progress_total", "progress_started"),
            lists_contacts="contacts",
        ),
        Window("created_on", revisits=(Revisit(2 * HOUR), Revisit(8 * DAY, DAY))),
        scope="v2.broadcasts",
        retention=90 * DAY,
        shows_deletions=False,
        shapes=(ANONYMITY,),
    ),
    Stream(
        Table("flow_starts", BY_UUID, never_older="modified_on", counters=("progress_total", "progress_started")),
        Window("modified_on", oldest_first=True),
        retention=90 * DAY,
        shows_deletions=False,
    ),
    Stream(
        Table("channel_events", ("id",), contact="contact_uuid"),
        Window("created_on", revisits=(Revisit(2 * HOUR),)),
        retention=90 * DAY,
        shows_deletions=False,
        always_offered=False,
    ),
    Stream(
        Table("tickets", BY_UUID, never_older="modified_on", kept=("body",), contact="contact_uuid"),
        Newest("modified_on"),
    ),
    Stream(
        Table("resthook_events", ("key",)), Newest("created_on"), retention=timedelta(hours=48), shows_deletions=False
    ),
    # Small streams.
    Stream(Table("archives", ("archive_type", "period", "start_date")), Archives(), params={"limit": "100000"}),
    Stream(Table("campaigns", BY_UUID)),
    Stream(Table("campaign_events", BY_UUID)),
    Stream(
        Table(
            "channels",
            BY_UUID,
            counters=(
                "device_power_level",
                "device_power_status",
                "device_power_source",
                "device_network_type",
                "last_seen",
            ),
        )
    ),
    Stream(Table("classifiers", BY_UUID, longest_name=NAME), always_offered=False),
    Stream(
        Table(
            "fields",
            ("key",),
            longest_name=SHORT_NAME,
            counters=("usages_flows", "usages_groups", "usages_campaign_events"),
        )
    ),
    Stream(
        Table(
            "flows",
            BY_UUID,
            longest_name=NAME,
            moved_by="definitions",
            counters=(
                "runs_active",
                "runs_waiting",
                "runs_completed",
                "runs_expired",
                "runs_interrupted",
                "runs_failed",
            ),
        )
    ),
    Stream(Table("globals", ("key",), longest_name=SHORT_NAME)),
    Stream(Table("groups", BY_UUID, longest_name=NAME, counters=("count",))),
    Stream(Table("labels", BY_UUID, longest_name=NAME, counters=("count",))),
    Stream(Table("optins", BY_UUID, longest_name=NAME), always_offered=False),
    Stream(Table("resthooks", ("resthook",))),
    Stream(Table("resthook_subscribers", ("id",))),
    Stream(Table("templates", BY_UUID), always_offered=False),
    Stream(Table("topics", BY_UUID, longest_name=NAME, counters=("counts_open", "counts_closed"))),
    Stream(Table("users", ("email",))),
    # Documents; definitions need the flows.
    Stream(Table("definitions", BY_UUID), PerFlow(of="flows"), always_offered=False),
    Stream(Table("statistics", ("date",)), Daily(), shows_deletions=False, always_offered=False),
)

ARCHIVED: dict[str, Stream] = {stream.table.archive_type: stream for stream in _ALL if stream.table.archive_type}
LISTS_CONTACTS = [stream.table for stream in _ALL if stream.table.lists_contacts]
DIES_WITH_CONTACT = [stream.table for stream in _ALL if stream.table.contact]
STREAMS: dict[str, Stream] = {stream.name: stream for stream in _ALL}
(ARCHIVE_LIST,) = (stream for stream in _ALL if isinstance(stream.strategy, Archives))


def check_left_out(names: Collection[str]) -> None:
    """Make sure that the streams of these names can be left out, and no others need them.

    Raises:
        ValueError: there is no stream of a name, or it is needed.
    """
    if unknown := [name for name in names if name not in STREAMS]:
        raise ValueError(f"there is no stream {', '.join(unknown)}; there are: {', '.join(sorted(STREAMS))}")
    if "workspace" in names:
        raise ValueError(
            "workspace cannot be left out: every sync asks for it first, to see whose data the token gives"
        )
    kept = [stream for stream in _ALL if stream.name not in names]
    for name in sorted(names):
        if needing := [stream.name for stream in kept if name in stream.needs]:
            needing_all = ", ".join(needing)
            raise ValueError(
                f"{name} cannot be left out while {needing_all} {'is' if len(needing) == 1 else 'are'} read, "
                f"which cannot be kept true without it: leave out {needing_all} too, or keep {name}"
            )
