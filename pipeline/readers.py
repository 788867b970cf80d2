"""Reads one stream, each strategy its way: which requests, when to commit, where the cursor stands then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import duckdb
import msgspec

from pipeline.batches import Batches
from pipeline.client import Client, Listener, Page, Params
from pipeline.errors import ServerError, Stopped
from pipeline.progress import Progress
from pipeline.results import Tally
from pipeline.streams import Daily, Newest, PerFlow, Single, Snapshot, Stream, Window
from pipeline.walk import Fetch, counts_through_a_tie, date_of, follow, seek
from warehouse import Cursor, Lake, OpenWalk, read_cursors, save_cursor
from warehouse.literal import literal

# Feeds of a stream: each has a cursor of its own.
ROWS, DELETED, WHOLE, REVISIT, FIELDS = "rows", "deleted", "whole", "revisit", "fields"
# What has gathered is committed before a wait that is longer than this.
LONG_WAIT_SECONDS = 5.0
MOST_READINGS = 3


@dataclass(frozen=True)
class Options:
    """What the user asked for: `since` (UTC) is the earliest date wanted, `full` reads everything again."""

    since: datetime | None = None
    full: bool = False
    overlap: timedelta = timedelta(minutes=15)


@dataclass
class Reader:
    """One stream being read; `before` is the fixed end of its windows (server time, UTC, less the lag)."""

    client: Client
    lake: Lake
    stream: Stream
    batches: Batches
    tally: Tally
    progress: Progress
    options: Options
    before: datetime
    workspace: bytes
    cursors: dict[str, Cursor] = field(default_factory=dict)

    def read(self) -> None:
        """Bring the stream up to `before`. The caller holds the stream's lock, so that its cursors are ours."""
        with self.lake.connection() as connection:
            self.cursors = read_cursors(connection, self.stream.name)
        strategy = self.stream.strategy
        if isinstance(strategy, Window):
            self._window(strategy, ROWS, {})
            if self.stream.deleted_feed:
                self._window(strategy, DELETED, self.stream.deleted_feed)
        elif isinstance(strategy, Newest):
            self._newest(strategy)
        elif isinstance(strategy, Snapshot):
            self._snapshot()
        elif isinstance(strategy, Single):
            self.batches.add([msgspec.Raw(self.workspace)])
            self.batches.commit()
        elif isinstance(strategy, PerFlow):
            self._per_flow(strategy)
        else:
            self._daily(strategy)

    # Windows.

    def _window(self, strategy: Window, feed: str, params: dict[str, str]) -> None:
        cursor = self._cursor(feed)
        if cursor.walk and not self.options.full:
            cursor = self._walk(strategy, feed, params, cursor, cursor.walk)
        due = [] if feed == DELETED else self._due_revisits(strategy)
        digest = self._fields_digest() if feed == ROWS and self.stream.name == "contacts" else None
        after = self._start(cursor, due, fields_changed=digest is not None and self._fields_changed(cursor, digest))
        if after is not None and after >= self.before:
            return
        whole = (
            cursor.watermark is None
            or after is None
            or (cursor.complete_from is not None and after <= cursor.complete_from)
        )
        beside = {f"{FIELDS} {digest}": Cursor(self.before)} if digest and whole else {}
        self._walk(strategy, feed, params, cursor, OpenWalk(after, self.before), beside)

    def _start(self, cursor: Cursor, due: list[timedelta], *, fields_changed: bool) -> datetime | None:
        """Where the next window begins; None for the beginning of time."""
        since = self.options.since
        if self.options.full:
            return since
        if fields_changed:
            return cursor.complete_from
        if cursor.watermark is None:
            return since
        starts = [cursor.watermark - self.options.overlap, *(self.before - window for window in due)]
        return min([*starts, since] if since else starts)

    def _walk(
        self,
        strategy: Window,
        feed: str,
        params: dict[str, str],
        cursor: Cursor,
        walk: OpenWalk,
        beside: dict[str, Cursor] | None = None,
    ) -> Cursor:
        """Read one window; every commit saves the walk's place and the cursors `beside` it."""
        tombstones = feed == DELETED
        place = walk.place

        def commit_place(seconds: float = LONG_WAIT_SECONDS) -> None:
            if seconds >= LONG_WAIT_SECONDS and place is not None and not self.batches.empty:
                opened = replace(cursor, walk=replace(walk, place=place))
                self.batches.commit(self._saving({feed: opened, **(beside or {})}), tombstones=tombstones)

        pieces = seek(
            self._fetching(params, commit_place),
            self.stream.name,
            strategy.on,
            self.stream.table.key,
            after=walk.after,
            before=walk.before,
            place=place,
            oldest_first=strategy.oldest_first,
        )
        rows = 0
        try:
            for piece in pieces:
                self.batches.add(piece.rows)
                rows += len(piece.rows)
                place = piece.place or place
                if self.batches.full:
                    commit_place()
        except (ServerError, Stopped):
            commit_place()
            raise
        if rows == 0 and walk.after is None and self._suspiciously_empty(feed):
            return cursor
        ended = self._ended(cursor, walk)
        feeds = {feed: ended, **self._revisited(strategy, walk), **(beside or {})}
        self.batches.commit(self._saving(feeds), tombstones=tombstones)
        return ended

    def _ended(self, cursor: Cursor, walk: OpenWalk) -> Cursor:
        """The cursor after a walk: its end is the watermark, unless a later one stands already."""
        watermark = max(walk.before, cursor.watermark or walk.before)
        if walk.after is None or (cursor.watermark and cursor.complete_from is None):
            complete_from = None
        else:
            complete_from = min(walk.after, cursor.complete_from or walk.after)
        return Cursor(watermark, complete_from)

    def _suspiciously_empty(self, feed: str) -> bool:
        if feed == DELETED:
            return False
        stored = self.lake.rows(f'SELECT count(*) FROM "{self.stream.name}" WHERE deleted_on IS NULL')[0][0]
        if stored:
            self.tally.suspicious = True
            self.tally.notes.append(
                f"the server lists no rows where the lake has {stored:,}: nothing was changed; "
                "look at the workspace, then sync again"
            )
        return bool(stored)

    def _due_revisits(self, strategy: Window) -> list[timedelta]:
        due = []
        for revisit in strategy.revisits:
            last = self._cursor(_revisit_feed(revisit.window)).watermark
            if last is None or self.before - last >= revisit.every:
                due.append(revisit.window)
        return due

    def _revisited(self, strategy: Window, walk: OpenWalk) -> dict[str, Cursor]:
        """Cursors of the revisits that this walk has done; those of every sync need none."""
        return {
            _revisit_feed(revisit.window): Cursor(watermark=walk.before)
            for revisit in strategy.revisits
            if revisit.every and (walk.after is None or walk.after <= walk.before - revisit.window)
        }

    def _fields_digest(self) -> str:
        """Digest of the workspace's contact fields: each contact's `fields` changes with them, and no date says so."""
        rows = self.lake.rows(
            "SELECT md5(string_agg(key || ' ' || type, ',' ORDER BY key)) FROM fields WHERE deleted_on IS NULL"
        )
        return str(rows[0][0])

    def _fields_changed(self, cursor: Cursor, digest: str) -> bool:
        return cursor.watermark is not None and self._cursor(f"{FIELDS} {digest}").watermark is None

    # Listings.

    def _newest(self, strategy: Newest) -> None:
        cursor, last_whole = self._cursor(ROWS), self._cursor(WHOLE).watermark
        whole = (
            self.options.full
            or cursor.watermark is None
            or last_whole is None
            or self.before - last_whole >= strategy.whole_every
        )
        known = None if whole or cursor.watermark is None else cursor.watermark - self.options.overlap
        if known and self.options.since:
            known = min(known, self.options.since)
        if whole:
            self.batches.begin_whole_reading()
        if not any(self._newest_once(strategy, known) for _ in range(MOST_READINGS)):
            self.batches.commit()
            self.tally.notes.append("rows kept changing while they were read; the next sync reads them again")
            return
        feeds = {ROWS: Cursor(self.before)} | ({WHOLE: Cursor(self.before)} if whole else {})
        self.batches.commit()
        if whole and self.stream.shows_deletions:
            self._settle_absences()
        if not self.tally.suspicious:
            self.batches.commit(self._saving(feeds))

    def _newest_once(self, strategy: Newest, known: datetime | None) -> bool:
        """Read until `known`; True if no row can have been skipped.

        A row is skipped only where the server's cursor counts through rows of one timestamp while one of them moves up;
        then the first page is not the same afterwards.
        """
        fetch = self._fetching({})
        first: list[msgspec.Raw] | None = None
        risky = False
        for page in follow(fetch, self.stream.name, dict(self.stream.params)):
            first = page.results if first is None else first
            self._take(page)
            oldest = date_of(page.results[-1], strategy.on) if page.results else None
            if known and oldest and oldest < known:
                break
            risky = risky or counts_through_a_tie(page)
        if not risky:
            return True
        again = fetch(dict(self.stream.params))
        self._take(again)
        return [bytes(row) for row in again.results] == [bytes(row) for row in first or []]

    def _snapshot(self) -> None:
        self.batches.begin_whole_reading()
        self._list_whole()
        if self.stream.shows_deletions:
            self._settle_absences()

    def _list_whole(self) -> None:
        for page in follow(self._fetching({}), self.stream.name, dict(self.stream.params)):
            self._take(page)
        self.batches.commit()

    def _settle_absences(self) -> None:
        """Believe that rows are gone only when a second reading does not bring them either."""
        if self.batches.gone():
            self._list_whole()
            if self.batches.gone():
                self.batches.mark_gone()

    # Documents.

    def _per_flow(self, strategy: PerFlow) -> None:
        cursor = self._cursor(ROWS)
        watermark = literal(cursor.watermark)
        flows = self.lake.rows(
            f"""
            SELECT uuid::VARCHAR FROM flows
            WHERE deleted_on IS NULL
              AND ({self.options.full} OR {watermark} IS NULL OR modified_on > {watermark}
                   OR uuid NOT IN (SELECT uuid FROM definitions))
            ORDER BY 1
            """
        )
        newest = self.lake.rows("SELECT max(epoch_us(modified_on)) FROM flows")[0][0]
        asked = [str(uuid) for (uuid,) in flows]
        listener = Listener(self.tally.counters)
        for start in range(0, len(asked), strategy.at_once):
            params: Params = {"flow": asked[start : start + strategy.at_once], "dependencies": "none"}
            body = self.client.document(self.stream.path, params, scope=self.stream.scope, listener=listener)
            self._take(Page(results=msgspec.json.decode(body, type=_Definitions).flows))
        if asked and isinstance(newest, int):
            read_up_to = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=newest)
            self.batches.commit(self._saving({ROWS: Cursor(read_up_to)}))
        self.tally.rows_deleted += self.lake.commit(_mark_definitions_of_deleted_flows)

    def _daily(self, strategy: Daily) -> None:
        cursor = self._cursor(ROWS)
        first = cursor.watermark is None or self.options.full
        start = self.before - strategy.first if first or not cursor.watermark else cursor.watermark - strategy.again
        page = self._fetching({})({"since": start.date().isoformat()})
        self._take(page)
        self.batches.commit(self._saving({ROWS: Cursor(self.before)}))

    # What all of them use.

    def _take(self, page: Page) -> None:
        self.batches.add(page.results)
        if self.batches.full:
            self.batches.commit()

    def _fetching(self, fixed: dict[str, str], before_wait: Callable[[float], None] | None = None) -> Fetch:
        def waiting(seconds: float) -> None:
            if before_wait:
                before_wait(seconds)
            self.progress.waiting(self.stream.name, seconds)

        listener = Listener(self.tally.counters, waiting)

        def fetch(params: dict[str, str]) -> Page:
            page = self.client.page(self.stream.path, {**fixed, **params}, scope=self.stream.scope, listener=listener)
            self.tally.pages += 1
            self.progress.page(self.stream.name, self.tally)
            return page

        return fetch

    def _cursor(self, feed: str) -> Cursor:
        return self.cursors.get(feed, Cursor())

    def _saving(self, feeds: dict[str, Cursor]) -> Callable[[duckdb.DuckDBPyConnection], None]:
        def save(connection: duckdb.DuckDBPyConnection) -> None:
            if any(feed.startswith(FIELDS) for feed in feeds):  # one list of fields is the last one read with
                connection.execute(
                    f"DELETE FROM _cursor WHERE stream = {literal(self.stream.name)} AND feed LIKE '{FIELDS} %'"
                )
            for feed, cursor in feeds.items():
                save_cursor(connection, self.stream.name, feed, cursor)
            self.cursors |= feeds

        return save


class _Definitions(msgspec.Struct):
    flows: list[msgspec.Raw]


def _mark_definitions_of_deleted_flows(connection: duckdb.DuckDBPyConnection) -> int:
    gone = "deleted_on IS NULL AND uuid IN (SELECT uuid FROM flows WHERE deleted_on IS NOT NULL)"
    found = connection.execute(f"SELECT count(*) FROM definitions WHERE {gone}").fetchone()
    if found and found[0]:
        connection.execute(f"UPDATE definitions SET deleted_on = now(), synced_on = now() WHERE {gone}")
    return found[0] if found else 0


def _revisit_feed(window: timedelta) -> str:
    hours = window.total_seconds() / 3600
    return f"{REVISIT} {hours:g} h"
