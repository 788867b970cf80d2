"""Holds streams that the server filters by a date against the lake, some days at a time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta

from pipeline.errors import MustWait, ServerError, Stopped
from pipeline.proof.comparing import Comparison
from pipeline.proof.retention import still_kept
from pipeline.proof.rotation import midnight, parts_of_days, tonight, windows_of
from pipeline.reading.reader import ROWS, Reader
from pipeline.reading.vanished import ASKED_ONE_BY_ONE, by_key, second_look, times_of
from pipeline.reading.walk import TICK, Piece, seek
from pipeline.reading.windows import LARGE_SKEW, SLICE_ROWS
from pipeline.streams import Window
from warehouse import Cursor, LakeStopped, archives_wanted_from, read_cursors
from warehouse.lake import clock
from warehouse.lake.cursor import FIRST, time_at
from warehouse.lake.literal import literal
from warehouse.proof.findings import verify_archives
from warehouse.proof.proven import DAY, count_days, day_of, proven_days

# Servers archive after 90 days unless they are told otherwise.
SHOWN_AT_LEAST = timedelta(days=89)
MINUTE = "%Y-%m-%d %H:%M"

Ends = tuple[datetime | None, datetime]


class WindowVerifier(Reader):
    """A stream whose strategy is `Window`, and its archives."""

    def read_stream(self) -> None:
        """Read it again: all of it, some days, or those whose turn it is."""
        batches = self.batches
        assert isinstance(self.stream.strategy, Window) and isinstance(batches, Comparison)
        cursor, now = self.cursor(ROWS), self.client.now()
        behind = self._why_behind(self.stream.strategy, now)
        batches.begin(cursor.watermark)
        if behind:
            batches.doubt(
                f"nothing that is dated after {now:{MINUTE}} UTC was compared, because {behind}: "
                "let the clock that is wrong be set, sync, then verify again"
            )
        try:
            for window in self._windows(self.stream.strategy, cursor, now):
                for slice_ in self._slices(self.stream.strategy, batches, window):
                    self._settle(self.stream.strategy, batches, cursor, slice_, whole_days=bool(behind))
        except (ServerError, Stopped, LakeStopped, MustWait):
            batches.sum_up()
            raise
        batches.end()
        if self.stream.table.archive_type:
            with self.lake.connection() as connection:
                wanted_from = archives_wanted_from(connection)
                batches.findings += verify_archives(connection, self.stream.table, wanted_from)

    def _why_behind(self, strategy: Window, now: datetime) -> str | None:
        """What shows that windows which end `now` (UTC) end well before the present; None if nothing does."""
        end, there = now + max(self.overlap, LARGE_SKEW), self.client.server_now()
        if there and self.client.latest() > end:
            return f"this machine's clock shows {clock.now():{MINUTE}} and the server's {there:{MINUTE}} UTC"
        written = self._written_until(strategy, end)
        return f"the lake was written up to {written:{MINUTE}} UTC, which no clock shows yet" if written else None

    def _written_until(self, strategy: Window, after: datetime) -> datetime | None:
        """Up to which time (UTC) the stream was read, or has rows; None if not up to one `after` this.

        Nothing is read, and no row is written, before its time: a date later than that tells nothing.
        """
        on, later = strategy.on, f"> {literal(after)}"
        [(newest,)] = self.lake.rows(
            f"""
            SELECT epoch_us(max(least("{on}", synced_on))) FROM "{self.stream.name}"
            WHERE "{on}" {later} AND synced_on {later}
            """
        )
        with self.lake.connection() as connection:
            read = read_cursors(connection, self.stream.name).get(ROWS, Cursor())
        known = [min(read.watermark, read.saved_on)] if read.watermark and read.saved_on else []
        known += [time_at(newest)] if newest is not None else []
        return max((at for at in known if at > after), default=None)

    def _windows(self, strategy: Window, cursor: Cursor, now: datetime) -> Iterator[Ends]:
        """What to read, both ends included (UTC): from the earliest date that is in the lake on, or days of it."""
        asked = self.batches.asked if isinstance(self.batches, Comparison) else None
        assert asked
        starts = [start for start in (self.options.since, cursor.complete_from) if start]
        after = max(starts) if starts else None
        if asked.rotate:
            parts = parts_of_days(proven_days(self.lake).get(self.stream.name, []), self._rows(strategy, now), now)
            for start, end in windows_of(tonight(parts, now, goes_on=asked.goes_on), parts, now):
                if after is None or end >= after:
                    yield (max(start, after) if start and after else start or after), end
        elif asked.sample >= 100:
            yield after, now
        else:
            for day in self._sampled(strategy, after, now, asked.sample):
                yield midnight(day), min(midnight(day + DAY) - TICK, now)

    def _rows(self, strategy: Window, now: datetime) -> dict[date, int]:
        """Day (UTC) → rows in the lake that the server still lists, as far as can be told from here."""
        listed = "true" if self.stream.deleted_feed else "deleted_on IS NULL"
        if self.stream.table.archive_type:
            listed += f" AND (archived_in IS NULL OR {strategy.on} >= {literal(now - SHOWN_AT_LEAST)})"
        return count_days(self.lake, self.stream.table, strategy.on, listed, now)

    def _sampled(self, strategy: Window, after: datetime | None, now: datetime, sample: float) -> list[date]:
        """Days (UTC) of those that the lake has, chosen at random."""
        oldest = self.lake.rows(f'SELECT epoch_us(min("{strategy.on}")) FROM "{self.stream.name}"')[0][0]
        bounds = (after, time_at(oldest) if oldest else now)
        first = max(bound for bound in bounds if bound).date()
        days = [first + number * DAY for number in range((now.date() - first).days + 1)]
        return sorted(random.sample(days, max(1, round(len(days) * sample / 100))))

    def _slices(self, strategy: Window, batches: Comparison, window: Ends) -> Iterator[Ends]:
        """Read a window, and stop at the end of a day whenever there is enough to be settled: its ends (UTC)."""
        after, before = window
        done = False
        while not done:
            batches.begin_reading(self.client.now())
            cut = self._read(strategy, batches, after, before)
            done = cut is None
            if cut is None:
                yield after, before
            elif strategy.oldest_first:
                yield after, cut - TICK
                after = cut
            else:
                yield cut, before
                before = cut - TICK

    def _read(self, strategy: Window, batches: Comparison, after: datetime | None, before: datetime) -> datetime | None:
        """Read up to the edge of the day (UTC) on which a slice is full; None if that is the end of the window."""
        rows, edge, reading = 0, None, None
        for piece in self._pieces(strategy, {}, after, before):
            batches.take(piece)
            rows += len(piece.rows)
            if batches.full:
                batches.commit()
            if piece.place is None:
                continue
            last, reading = reading, day_of(piece.place)
            if rows >= SLICE_ROWS and last not in (None, reading):  # what was read of a day would be read again
                edge = midnight(reading) if strategy.oldest_first else midnight(reading) + DAY
                if (after is None or edge > after) and edge <= before:
                    break
        else:
            edge = None
        batches.commit()
        return edge

    def _settle(
        self, strategy: Window, batches: Comparison, cursor: Cursor, ends: Ends, *, whole_days: bool = False
    ) -> None:
        """Find and mark what is gone from a slice that was read, and note its days as proven.

        `whole_days`: also the last one only if it was read to its end.
        """
        after, before = ends
        within = f"{strategy.on} BETWEEN {literal(after or FIRST)} AND {literal(before)}"
        if self.stream.retention:
            within += f" AND {still_kept(self.stream, strategy.on, self.client.latest())}"
        live = batches.live_rows(within)
        if live and not batches.brought_rows and self._lists_nothing(batches, live):
            return
        if self.stream.deleted_feed:
            self._compare(strategy, self.stream.deleted_feed, after, before, tombstones=True)
        if self.stream.retention is None:
            self._look_for_alive(strategy, batches, within)
        if after is None or (cursor.complete_from and after <= cursor.complete_from):
            first = None
        else:
            first = day_of(after + DAY - TICK)  # a day of which only a part was read is not proven
        batches.settle_days(first, day_of(before + TICK) - DAY if whole_days else day_of(before), live)

    def _lists_nothing(self, batches: Comparison, live: int) -> bool:
        """True, and said, if the server lists no rows at all; some days may well have none any more."""
        if self.options.accept_deletions or self.fetching({})({}).results:
            return False
        batches.expect_some(live)
        return True

    def _look_for_alive(self, strategy: Window, batches: Comparison, within: str) -> None:
        """Find rows that the server did not bring, and ask for them wherever they may be by now."""
        moved = self._look_at_changes if strategy.moves else None
        deleted = self._look_at_deleted if self.stream.deleted_feed else None
        left = batches.alive(within)
        for look in (moved, self._look_again, moved, deleted):
            if left and look:
                look(strategy, batches)
                left = batches.still_alive()
        if left > batches.unknown and self.stream.table.archive_type:
            batches.believe(self.archives_now(self.stream))
            batches.alive(within)
        if batches.unknown and batches.decide():
            self._look_for_alive(strategy, batches, within)

    def _look_at_changes(self, strategy: Window, batches: Comparison) -> None:
        """Read what changed since the last sync, where asking for each row would cost more."""
        last = self.cursor(ROWS).watermark
        if last and len(batches.alive_keys(unknown=True)) > ASKED_ONE_BY_ONE:
            self._compare(strategy, {}, last - self.overlap, self.client.latest() + DAY)

    def _look_again(self, strategy: Window, batches: Comparison) -> None:
        """Ask for the rows by their keys, or their time; if few, for those too that may be in an archive file."""
        keys = batches.alive_keys(unknown=batches.unknown <= ASKED_ONE_BY_ONE)
        for piece in second_look(keys, self.lake, self.stream, self.fetching({})):
            batches.take(piece)
        batches.commit()

    def _look_at_deleted(self, strategy: Window, batches: Comparison) -> None:
        """Ask the list of deleted rows for them: a row stands there under the time of its deletion."""
        feed = self.stream.deleted_feed or {}
        keys = batches.alive_keys()
        if len(keys) > ASKED_ONE_BY_ONE:
            times = times_of(keys, self.lake, self.stream, strategy.on)
            self._compare(strategy, feed, times[0] if times else None, self.client.latest(), tombstones=True)
            return
        for piece in by_key(keys, self.stream, self.fetching(feed)):
            batches.take(piece)
        batches.commit(tombstones=True)

    def _compare(
        self,
        strategy: Window,
        params: dict[str, str],
        after: datetime | None,
        before: datetime,
        *,
        tombstones: bool = False,
    ) -> None:
        for piece in self._pieces(strategy, params, after, before):
            self.batches.take(piece)
            if self.batches.full:
                self.batches.commit(tombstones=tombstones)
        self.batches.commit(tombstones=tombstones)

    def _pieces(
        self, strategy: Window, params: dict[str, str], after: datetime | None, before: datetime
    ) -> Iterator[Piece]:
        return seek(
            self.fetching(params),
            self.stream.name,
            strategy.on,
            self.stream.table.key_columns,
            after=after,
            before=before,
            place=None,
            oldest_first=strategy.oldest_first,
        )
