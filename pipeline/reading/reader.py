"""What every way of reading a stream shares: requests, cursors, commits."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property

import duckdb

from pipeline.months import Month
from pipeline.reading.archive_list import ask_for_archives
from pipeline.reading.batches import Batches
from pipeline.reading.doubts import Clocks, as_believed, is_doubtful
from pipeline.reading.progress import Progress
from pipeline.reading.walk import Fetch
from pipeline.results import Counters, Tally
from pipeline.server.client import AGREEING_CLOCKS, Client, Listener
from pipeline.server.pages import Page
from pipeline.settings import Settings
from pipeline.streams import Archives, PerFlow, Stream
from warehouse import (
    Archived,
    ArchiveKey,
    Cursor,
    Lake,
    archives_wanted_from,
    ever_archived,
    forget_cursor,
    last_sync_before,
    read_cursors,
    remember_deleted_contacts,
    save_cursor,
)
from warehouse.lake import clock

# Feeds of a stream: each has a cursor of its own.
ROWS, DELETED, WHOLE, REVISIT, MONTH = "rows", "deleted", "whole", "revisit", "month"


@dataclass(frozen=True)
class ArchiveChoice:
    """Which archive files are wanted: of these types and months (YYYY-MM), all if none is named.

    again: also those that are loaded; load: False to read the list only.
    """

    types: frozenset[str] = frozenset()
    months: frozenset[str] = frozenset()
    again: bool = False
    load: bool = True

    def has(self, key: ArchiveKey) -> bool:
        """True if the file is wanted."""
        return (
            self.load
            and (not self.types or key.archive_type in self.types)
            and (not self.months or key.start_date.strftime("%Y-%m") in self.months)
        )


@dataclass(frozen=True)
class Options:
    """What the user asked for.

    since: the earliest date wanted (UTC); full: read everything again.
    revisit_now: do all revisits, due or not.
    accept_deletions: mark rows that are gone, however many; archives: the files wanted.
    month: read this month whole instead of what is new.
    wait_for_others: seconds to wait for another process that is reading the same stream.
    waiting: streams with rows in quarantine, and whether some are to be tried again.
    """

    since: datetime | None = None
    full: bool = False
    revisit_now: bool = False
    accept_deletions: bool = False
    archives: ArchiveChoice = ArchiveChoice()
    month: Month | None = None
    wait_for_others: float = 0.0
    waiting: dict[str, bool] = field(default_factory=dict)

    def retries(self, stream: Stream) -> bool:
        """True if rows of the stream in quarantine are to be tried again; a month leaves them to the stream's sync."""
        return self.month is None and self.waiting.get(stream.name, False)


@dataclass
class Reader(ABC):
    """One stream being read; `before` is the fixed end of its windows (the earlier of two clocks, UTC, less the lag).

    `workspace` is what the server said of the workspace when the session was opened, `opened` what that has cost, as
    far as no stream has counted it. `doubted` has the feeds of which a cursor was found that cannot be right.
    """

    client: Client
    lake: Lake
    stream: Stream
    batches: Batches
    tally: Tally
    progress: Progress
    settings: Settings
    options: Options
    before: datetime
    workspace: bytes
    opened: Counters = field(default_factory=Counters)
    doubted: set[str] = field(default_factory=set)
    _begun: float = field(default_factory=time.monotonic)

    def read(self) -> None:
        """Bring the stream up to `before`. The caller holds the stream's lock, so that its cursors are ours."""
        if self.stream.table.contact or isinstance(self.stream.strategy, Archives):
            with self.lake.connection() as connection:
                remember_deleted_contacts(connection)
        if self.options.retries(self.stream):
            self.batches.retry_waiting()
        self.read_stream()

    @cached_property
    def cursors(self) -> dict[str, Cursor]:
        """How far each feed is read; a stream that is listed whole has none and does not ask for any."""
        with self.lake.connection() as connection:
            found = read_cursors(connection, self.stream.name)
        if isinstance(self.stream.strategy, PerFlow):  # its watermark is the date of a row
            return found
        # Another process may have read on since `before` was fixed.
        now = max(self.before + self._lag, self.client.now())
        self.doubted |= {feed for feed, cursor in found.items() if is_doubtful(cursor, now)}
        return found | self._as_believed({feed: found[feed] for feed in self.doubted})

    def _as_believed(self, doubtful: dict[str, Cursor]) -> dict[str, Cursor]:
        """What can be believed of cursors that cannot be right, and say so."""
        if not doubtful:
            return {}
        with self.lake.connection() as connection:
            found = {
                feed: as_believed(
                    cursor,
                    Clocks(self.client.now(), clock.now()),
                    lambda at: last_sync_before(connection, self.stream.name, at),
                )
                for feed, cursor in doubtful.items()
            }
        # What is only read again now and then is due; a month is read from its beginning.
        believed = {feed: one if feed in (ROWS, DELETED) else Cursor() for feed, one in found.items()}
        told = [one for feed, one in doubtful.items() if self._concerns(feed)]
        if told:
            self._tell_doubts(told, [one for feed, one in found.items() if self._concerns(feed)])
        return believed

    def _concerns(self, feed: str) -> bool:
        """True if this reading goes by the feed: a month by its own only."""
        return feed == f"{MONTH} {self.options.month}" if self.options.month else not feed.startswith(MONTH)

    def _tell_doubts(self, doubtful: list[Cursor], believed: list[Cursor]) -> None:
        ends = [end for one in doubtful for end in (one.watermark, one.walk and one.walk.before) if end]
        safe = max((one.watermark for one in believed if one.watermark), default=None)
        self.tally.notes.append(
            f"a clock was wrong: this was noted as read up to {max(ends):%Y-%m-%d %H:%M} UTC before that had come; "
            + (f"it counts as read up to {safe:%Y-%m-%d %H:%M} UTC" if safe else "it counts as not read")
        )

    @property
    def _lag(self) -> timedelta:
        return timedelta(seconds=self.settings.lag)

    def reached(self, before: datetime) -> datetime:
        """What may be noted once all is read up to `before`: that, unless a clock was ahead and has been set since.

        Then it is what the clocks of now would have shown when reading began.
        """
        began = self.client.now() - timedelta(seconds=time.monotonic() - self._begun) - self._lag
        return before if before <= began + AGREEING_CLOCKS else began

    @property
    def overlap(self) -> timedelta:
        """So long before its last watermark a stream is read again."""
        return timedelta(seconds=self.settings.overlap)

    @abstractmethod
    def read_stream(self) -> None:
        """Ask for what is needed, and commit it."""

    def take(self, page: Page) -> None:
        """Add a page to the batch, and commit that when it is full."""
        self.batches.add(page.results)
        if self.batches.full:
            self.batches.commit()

    def fetching(self, fixed: dict[str, str], before_wait: Callable[[float], None] | None = None) -> Fetch:
        """A function that asks for a page of the stream with `fixed` parameters and its own."""

        listener = self.listener(before_wait)

        def fetch(params: dict[str, str]) -> Page:
            page = self.client.page(self.stream.path, {**fixed, **params}, scope=self.stream.scope, listener=listener)
            self.tally.pages += 1
            self.progress.page(self.stream.name, self.tally)
            return page

        return fetch

    def listener(self, before_wait: Callable[[float], None] | None = None) -> Listener:
        """Who hears of the stream's requests: its counters and the progress, and `before_wait`."""

        def waiting(seconds: float) -> None:
            if before_wait:
                before_wait(seconds)
            self.progress.waiting(self.stream.name, seconds)

        return Listener(self.tally.counters, waiting, failing=lambda why: self.progress.retrying(self.stream.name, why))

    def archives_now(self, of: Stream, wanted_from: date | None = None) -> Archived | None:
        """What the server has archived of a stream at this moment; None if that cannot be known.

        Files that end before `wanted_from` are wanted by nobody; if not given, that is as earlier syncs were told. A
        list without any file, where there were some, tells nothing, unless deletions are accepted.
        """
        with self.lake.connection() as connection:
            if wanted_from is None:
                wanted_from = archives_wanted_from(connection)
            had_some = not self.options.accept_deletions and ever_archived(connection, of.table)
        found = ask_for_archives(self.client, self.listener(), of, wanted_from, self.client.latest())
        if found and self.options.accept_deletions:
            found = replace(found, shown_from=None)
        return None if found and not found.files and had_some else found

    def read_workspace(self) -> bytes:
        """What the server says of the workspace: as when the session was opened, and anew for whoever comes later."""
        if not self.opened.requests:
            return self.client.document(self.stream.path, {}, scope=self.stream.scope, listener=self.listener())
        self.tally.counters.add(self.opened)
        self.opened.requests = 0
        return self.workspace

    def cursor(self, feed: str) -> Cursor:
        """Where a feed stands."""
        return self.cursors.get(feed, Cursor())

    def saving(self, feeds: Mapping[str, Cursor | None]) -> Callable[[duckdb.DuckDBPyConnection], None]:
        """What saves cursors inside a commit; those that are None are forgotten."""

        def save(connection: duckdb.DuckDBPyConnection) -> None:
            for feed, cursor in feeds.items():
                if cursor:
                    save_cursor(connection, self.stream.name, feed, cursor)
                    self.cursors[feed] = cursor
                else:
                    forget_cursor(connection, self.stream.name, feed)
                    self.cursors.pop(feed, None)

        return save
