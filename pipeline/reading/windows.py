"""Reads streams that the server filters by a date: window by window, seeking by timestamp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from pipeline.errors import MustWait, ServerError, Stopped
from pipeline.months import Month
from pipeline.reading.reader import DELETED, MONTH, REVISIT, ROWS, Reader
from pipeline.reading.vanished import settle_vanished
from pipeline.reading.walk import Fetch, seek
from pipeline.streams import HOUR, Window, parse_revisits
from warehouse import Cursor, OpenWalk, Sighting, forget_cursor
from warehouse.lake import clock
from warehouse.lake.cursor import time_at
from warehouse.lake.literal import literal

# What has gathered is committed before a wait that is longer than this.
LONG_WAIT_SECONDS = 5.0
# A slice of a month ends with the day on which it has so many rows: 80 pages.
SLICE_ROWS = 20_000
# Smaller ones are within the overlap.
LARGE_SKEW = timedelta(minutes=15)


class WindowReader(Reader):
    """A stream whose strategy is `Window`."""

    def read_stream(self) -> None:
        """Read the rows, then the deleted ones where the server lists them."""
        assert isinstance(self.stream.strategy, Window)
        strategy = self.stream.strategy
        if strategy.adjustable:
            strategy = replace(strategy, revisits=parse_revisits(self.settings.revisits))
        if self.options.month:
            self._month(strategy, self.options.month)
            return
        self._note_server_ahead()
        self._window(strategy, ROWS, {})
        if self.stream.deleted_feed:
            self._window(strategy, DELETED, self.stream.deleted_feed)

    def _window(self, strategy: Window, feed: str, params: dict[str, str]) -> None:
        cursor = self.cursor(feed)
        if cursor.walk and not self.options.full:
            cursor = self._walk(strategy, feed, params, cursor, cursor.walk)
        due = [] if feed == DELETED else self._due_revisits(strategy)
        shapes = self._shape_feeds() if feed == ROWS else {}
        reshaped = bool(shapes) and cursor.watermark is not None
        after = self._start(cursor, due, again=reshaped or (feed in self.doubted and cursor.watermark is None))
        if after is not None and after >= self.before:
            self._note_nothing(after, self.before)
            return
        whole = (
            cursor.watermark is None
            or after is None
            or (cursor.complete_from is not None and after <= cursor.complete_from)
        )
        beside = (self._mended(strategy) if feed == ROWS else {}) | (shapes if whole else {})
        self._walk(strategy, feed, params, cursor, OpenWalk(after, self.before), beside)

    def _start(self, cursor: Cursor, due: list[timedelta], *, again: bool) -> datetime | None:
        """Where the next window begins, `again` to read all that was ever wanted; None for the beginning of time."""
        since = self.options.since
        if self.options.full:
            return since
        if again:
            return min(since, cursor.complete_from) if since and cursor.complete_from else cursor.complete_from
        if cursor.watermark is None:
            return since
        starts = [cursor.watermark - self.overlap, *(self.before - window for window in due)]
        return min([*starts, since] if since else starts)

    def _month(self, strategy: Window, month: Month) -> None:
        """Read a month whole, a slice at a time; an interrupted reading goes on with the slice that it had begun.

        Which keys it saw of that is forgotten. So where absence means deletion the slice is parted at its place: the
        rest becomes a slice of its own, and what was read is read again. Each is read in one go sooner or later.
        """
        feed = f"{MONTH} {month}"
        cursor = self.cursor(feed)
        after, end = cursor.watermark or month.start, min(month.end, self.before)
        ends: list[datetime] = []
        if cursor.walk and not self.stream.shows_deletions:
            cursor = self._walk(strategy, feed, {}, cursor, cursor.walk)
            after = cursor.watermark or after
        elif cursor.walk and cursor.walk.place and after < cursor.walk.place < end:
            ends = [cursor.walk.place]
        slices = [*ends, *self._slice_ends(strategy, ends[-1] if ends else after, end)]
        if not slices:
            self._note_nothing(after, end)
        for before in slices:
            cursor = self._walk(strategy, feed, {}, cursor, OpenWalk(after, before))
            after = before
        if end < month.end:
            self.tally.notes.append(
                f"{month} was not over at {self.before:%Y-%m-%d %H:%M} UTC, where this reading ends: "
                f"`rapidlake sync {self.stream.name}` reads the rest"
            )
        if not self.batches.held:
            self.lake.commit(lambda connection: forget_cursor(connection, self.stream.name, feed))

    def _slice_ends(self, strategy: Window, after: datetime, end: datetime) -> list[datetime]:
        """Where the slices of a window end: days, joined until they have as many rows as are worth reading twice.

        Only a slice that is read in one go shows what has vanished from it.
        """
        if not self.stream.shows_deletions:
            return [end] if after < end else []
        days = self.lake.rows(
            f"""
            SELECT epoch_us(time_bucket(INTERVAL 1 DAY, {strategy.on}) + INTERVAL 1 DAY) AS day_end, count(*)
            FROM "{self.stream.name}"
            WHERE {strategy.on} >= {literal(after)} AND {strategy.on} < {literal(end)}
            GROUP BY day_end ORDER BY day_end
            """
        )
        ends, rows = [], 0
        for day_end, number in days:
            rows += number
            if rows >= SLICE_ROWS:
                ends.append(min(time_at(day_end), end))
                rows = 0
        return ends if ends and ends[-1] == end else [*ends, *([end] if after < end else [])]

    def _walk(
        self,
        strategy: Window,
        feed: str,
        params: dict[str, str],
        cursor: Cursor,
        walk: OpenWalk,
        beside: Mapping[str, Cursor | None] | None = None,
    ) -> Cursor:
        """Read one window; every commit saves the walk's place and the cursors `beside` it."""
        tombstones = feed == DELETED
        place = walk.place
        if not tombstones:
            self.batches.sightings = self._sightings(strategy)
        # An interrupted walk has forgotten which keys it saw.
        compared = cursor.watermark is not None or feed.startswith(MONTH)
        finds_deletions = self.stream.shows_deletions and place is None and compared
        if finds_deletions:
            self.batches.begin_whole_reading()

        def commit_place(seconds: float = LONG_WAIT_SECONDS) -> None:
            if seconds >= LONG_WAIT_SECONDS and place is not None and not self.batches.empty:
                opened = replace(cursor, walk=replace(walk, place=place))
                self.batches.commit(self.saving({feed: opened, **(beside or {})}), tombstones=tombstones)

        fetch = self.fetching(params, commit_place)
        pieces = seek(
            fetch,
            self.stream.name,
            strategy.on,
            self.stream.table.key_columns,
            after=walk.after,
            before=walk.before,
            place=place,
            oldest_first=strategy.oldest_first,
        )
        rows = 0
        try:
            for piece in pieces:
                self.batches.take(piece)
                rows += len(piece.rows)
                place = piece.place or place
                if self.batches.full:
                    commit_place()
        except (ServerError, Stopped, MustWait):
            commit_place()
            raise
        if rows == 0 and (walk.after is None or walk.place) and self._suspiciously_empty(feed, walk, fetch):
            return cursor
        ended = self._ended(cursor, walk)
        save = self.saving({feed: ended, **(beside or {})})
        # A month has no revisits: it is read up to here when what has vanished is settled too, and not before.
        of_month = finds_deletions and feed.startswith(MONTH)
        self.batches.commit(None if of_month else save, tombstones=tombstones)
        doubted = self.tally.suspicious
        if finds_deletions:
            ask = partial(self.archives_now, self.stream)
            within = _within(strategy.on, walk)
            try:
                settle_vanished(self.batches, self.lake, self.stream, self.fetching({}), ask, within)
            except (ServerError, Stopped, MustWait):
                if of_month and walk.after:  # halves take half as long: sooner or later one is settled in one go
                    half = replace(walk, place=walk.after + (walk.before - walk.after) / 2)
                    self.batches.commit(self.saving({feed: replace(cursor, walk=half)}))
                raise
        if of_month:
            self.batches.commit(save)
        revisited = self._revisited(strategy, walk)
        doubted = doubted or (self.tally.suspicious and not self.batches.archives_unknown)
        if revisited and not doubted:  # else the window stays due; of archives little more would be known so soon
            self.batches.commit(self.saving(revisited))
        return ended

    def _note_nothing(self, after: datetime, before: datetime) -> None:
        """Say why nothing is asked for: reading would begin at `after`, which is not before its end (both UTC)."""
        by_clock = ", the earlier of two clocks less RAPIDLAKE_LAG" if before == self.before else ""
        note = (
            f"nothing was asked for: reading would begin at {after:%Y-%m-%d %H:%M:%S} UTC and end at "
            f"{before:%Y-%m-%d %H:%M:%S} UTC{by_clock}"
        )
        if note not in self.tally.notes:
            self.tally.notes.append(note)

    def _note_server_ahead(self) -> None:
        """Say that rows are read late, where the server dates them later than this machine's clock shows."""
        there, here = self.client.server_now(), clock.now()
        if there and there - here > LARGE_SKEW:
            self.tally.notes.append(
                f"the server's clock is {(there - here) / HOUR:.1f} h ahead of this machine's: what it dates later "
                "than this machine's clock shows is read when that has come; let the one that is wrong be set"
            )

    def _sightings(self, strategy: Window) -> list[Sighting]:
        """When the rows of recent windows were last read."""
        last = self.cursor(ROWS).watermark
        if last is None:
            return []
        always = [revisit.window for revisit in strategy.revisits if not revisit.every]
        windows = {last: max([self.overlap, *always])}
        for revisit in strategy.revisits:
            if seen := self.cursor(_revisit_feed(revisit.window)).watermark:
                windows[seen] = max(revisit.window, windows.get(seen, revisit.window))
        return [Sighting(seen - window, seen) for seen, window in windows.items()]

    def _ended(self, cursor: Cursor, walk: OpenWalk) -> Cursor:
        """The cursor after a walk: its end is the watermark, unless a later one stands already."""
        reached = self.reached(walk.before)
        watermark = max(reached, cursor.watermark or reached)
        if walk.after is None or (cursor.watermark and cursor.complete_from is None):
            complete_from = None
        else:
            complete_from = min(walk.after, cursor.complete_from or walk.after)
        return Cursor(watermark, complete_from)

    def _suspiciously_empty(self, feed: str, walk: OpenWalk, fetch: Fetch) -> bool:
        """Whether nothing is listed where the lake has rows; of a walk that goes on, the rest may be empty."""
        if feed == DELETED or (walk.place and fetch({}).results):
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
            last = self.cursor(_revisit_feed(revisit.window)).watermark
            if last is None or self.before - last >= revisit.every or self._revisit_anyway:
                due.append(revisit.window)
        return due

    def _mended(self, strategy: Window) -> dict[str, Cursor | None]:
        """Feeds that a wrong clock has dated, and that no reading dates anew: shapes, whose date decides nothing, and
        revisits of other settings.
        """
        revisits = {_revisit_feed(revisit.window) for revisit in strategy.revisits}
        shapes = tuple(f"{shape.by} " for shape in self.stream.shapes)
        feeds: dict[str, Cursor | None] = {
            feed: Cursor(self.before) for feed in self.doubted if feed.startswith(shapes)
        }
        return feeds | {feed: None for feed in self.doubted if feed.startswith(REVISIT) and feed not in revisits}

    def _revisited(self, strategy: Window, walk: OpenWalk) -> dict[str, Cursor]:
        """Cursors of the revisits that this walk has done; those of every sync need none."""
        return {
            _revisit_feed(revisit.window): Cursor(watermark=self.reached(walk.before))
            for revisit in strategy.revisits
            if revisit.every and (walk.after is None or walk.after <= walk.before - revisit.window)
        }

    @property
    def _revisit_anyway(self) -> bool:
        return self.options.revisit_now or self.options.accept_deletions

    def _shape_feeds(self) -> dict[str, Cursor | None]:
        """What is to be noted once the stream is read whole in its present shape; nothing where it was."""
        feeds: dict[str, Cursor | None] = {}
        for shape in self.stream.shapes:
            [(state, digest)] = self.lake.rows(f"SELECT state, md5(state) FROM (SELECT {shape.state} AS state)")
            noted = {feed for feed in self.cursors if feed.startswith(f"{shape.by} ")}
            present = set() if state == shape.usual else {f"{shape.by} {digest}"}
            feeds |= dict.fromkeys(noted - present) | dict.fromkeys(present - noted, Cursor(self.before))
        return feeds


def _within(on: str, walk: OpenWalk) -> str:
    """SQL: the condition that a row is of a walk's window."""
    since = f"{on} >= {literal(walk.after)} AND " if walk.after else ""
    return f"{since}{on} <= {literal(walk.before)}"


def _revisit_feed(window: timedelta) -> str:
    hours = window.total_seconds() / 3600
    return f"{REVISIT} {hours:g} h"
