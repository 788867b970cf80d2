"""Reads streams again to hold them against the lake, each strategy its way."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

import msgspec

from pipeline.proof.comparing import Comparison
from pipeline.reading.documents import DailyReader, PerFlowReader
from pipeline.reading.listings import ListReader
from pipeline.reading.reader import ROWS, Reader
from pipeline.reading.vanished import second_look
from pipeline.reading.walk import date_of, follow, keys_of, seek
from pipeline.server.client import Listener
from pipeline.streams import ARCHIVE_LIST, STREAMS, Daily, Newest, PerFlow, Single, Snapshot, Stream, Window
from pipeline.syncing.lanes import Readers
from warehouse import Cursor, documents_to_read, note_asked, read_cursors
from warehouse.lake.cursor import EPOCH, LAST, time_at
from warehouse.lake.literal import literal
from warehouse.loading.documents import States
from warehouse.proof.verification import verify_archives

DAY = timedelta(days=1)


class WindowVerifier(Reader):
    """A stream whose strategy is `Window`, and its archives."""

    def read_stream(self) -> None:
        """Read it again, all of it or some days."""
        strategy, batches = self.stream.strategy, self.batches
        assert isinstance(strategy, Window) and isinstance(batches, Comparison)
        cursor = self.cursor(ROWS)
        batches.begin(cursor.watermark)
        now = self.client.now()
        windows = list(self._windows(strategy, cursor, now, batches.asked.sample))
        for after, before in windows:
            self._compare(strategy, {}, after, before)
        if self.stream.deleted_feed:
            self._compare(strategy, self.stream.deleted_feed, windows[0][0] if windows else None, now, tombstones=True)
        if self.stream.retention is None:
            self._look_for_alive(strategy, batches, windows)
        elif windows and strategy.on:
            batches.expect_some(_still_kept(self.stream, strategy.on, self.client.latest(), windows[0][0]))
        batches.end()
        if self.stream.table.archive_type:
            with self.lake.connection() as connection:
                wanted_from = read_cursors(connection, ARCHIVE_LIST.name).get(ROWS, Cursor()).complete_from
                batches.findings += verify_archives(connection, self.stream.table, wanted_from)

    def _windows(
        self, strategy: Window, cursor: Cursor, now: datetime, sample: float
    ) -> Iterator[tuple[datetime | None, datetime]]:
        """What to read: from the earliest date that is in the lake on, or days of it chosen at random."""
        starts = [start for start in (self.options.since, cursor.complete_from) if start]
        after = max(starts) if starts else None
        if sample >= 100:
            yield after, now
            return
        oldest = self.lake.rows(f'SELECT epoch_us(min("{strategy.on}")) FROM "{self.stream.name}"')[0][0]
        first = max(bound for bound in (after, time_at(oldest) if oldest else now) if bound).date()
        days = [first + number * DAY for number in range((now.date() - first).days + 1)]
        for day in sorted(random.sample(days, max(1, round(len(days) * sample / 100)))):
            start = datetime.combine(day, time(), UTC)
            yield start, min(start + DAY, now)

    def _compare(
        self,
        strategy: Window,
        params: dict[str, str],
        after: datetime | None,
        before: datetime,
        *,
        tombstones: bool = False,
    ) -> None:
        pieces = seek(
            self.fetching(params),
            self.stream.name,
            strategy.on,
            self.stream.table.key_columns,
            after=after,
            before=before,
            place=None,
            oldest_first=strategy.oldest_first,
        )
        for piece in pieces:
            self.batches.take(piece)
            if self.batches.full:
                self.batches.commit(tombstones=tombstones)
        self.batches.commit(tombstones=tombstones)

    def _look_for_alive(
        self,
        strategy: Window,
        batches: Comparison,
        windows: list[tuple[datetime | None, datetime]],
    ) -> None:
        """Find rows that the server did not bring, and ask for them once more: they may have moved meanwhile."""
        read = " OR ".join(
            f"({f'{strategy.on} >= {literal(after)} AND ' if after else ''}{strategy.on} <= {literal(before)})"
            for after, before in windows
        )
        if not batches.alive(read or "false"):
            return
        until = self.client.latest() + DAY if strategy.moves else None  # a row may move until it is asked for
        for piece in second_look(batches.alive_keys(), self.lake, self.stream, self.fetching({}), until=until):
            batches.take(piece)
        batches.commit()
        if batches.still_alive() and self.stream.table.archive_type:
            batches.believe(self.archives_now(self.stream))
            batches.still_alive()


class ListVerifier(ListReader):
    """A stream that is listed whole."""

    def read_stream(self) -> None:
        """Read the list again, twice where rows seem to be gone."""
        batches = self.batches
        assert isinstance(batches, Comparison)
        newest = isinstance(self.stream.strategy, Newest)
        batches.begin(self.cursor(ROWS).watermark if newest else None)
        self.list_whole()
        if self.stream.shows_deletions and batches.alive("true"):
            self.list_whole()
            batches.still_alive()
        if isinstance(self.stream.strategy, Newest):
            batches.expect_some(_still_kept(self.stream, self.stream.strategy.on, self.client.latest(), None))
        batches.end()


def _still_kept(stream: Stream, on: str, now: datetime, after: datetime | None) -> str:
    """SQL: the condition that the server has not purged a row yet, by its age alone."""
    starts = [start for start in (after, now - stream.retention + DAY if stream.retention else None) if start]
    return f"deleted_on IS NULL AND {on} > {literal(max(starts, default=EPOCH))}"


class SingleVerifier(Reader):
    """A stream whose strategy is `Single`."""

    def read_stream(self) -> None:
        """Compare the one object that was asked for first."""
        batches = self.batches
        assert isinstance(batches, Comparison)
        batches.begin(None)
        batches.add([msgspec.Raw(self.read_workspace())])
        batches.commit()
        batches.end()


class DailyVerifier(DailyReader):
    """A stream whose strategy is `Daily`."""

    def read_stream(self) -> None:
        """Ask for all days again; the last ones still change."""
        strategy, batches = self.stream.strategy, self.batches
        assert isinstance(strategy, Daily) and isinstance(batches, Comparison)
        watermark = self.cursor(ROWS).watermark
        batches.begin(watermark and watermark - strategy.again)
        self.take(self.days_since(self.before - strategy.first))
        batches.commit()
        batches.end()


class PerFlowVerifier(PerFlowReader):
    """A stream whose strategy is `PerFlow`."""

    def read_stream(self) -> None:
        """Ask for the documents of all live rows again."""
        strategy, batches = self.stream.strategy, self.batches
        assert isinstance(strategy, PerFlow) and isinstance(batches, Comparison)
        batches.begin(None)
        with self.lake.connection() as connection:
            known = documents_to_read(connection, self.stream.name, strategy.of, again=True)
        asked = self.read_documents(known)
        batches.commit()
        batches.alive("true")
        moved = self._moved_since(STREAMS[strategy.of], known)
        by_asking = {uuid: asked[uuid] for uuid in moved if uuid in asked}
        if by_asking:  # perhaps: the next sync compares the dates
            self.lake.commit(lambda connection: note_asked(connection, self.stream.name, by_asking))
        batches.pending(moved)
        batches.end()

    def _moved_since(self, of: Stream, known: States) -> list[str]:
        """The keys of rows that the server has in a later state than the lake knows."""
        listener = Listener(self.tally.counters)
        pages = follow(
            lambda params: self.client.page(of.path, params, scope=of.scope, listener=listener),
            of.name,
            dict(of.params),
        )
        rows = [row for page in pages for row in page.results]
        dates = {str(keys_of(row, of.table.key)[0]): date_of(row, "modified_on") for row in rows}
        return [key for key, date in dates.items() if date and date > _read(known.get(key))]


def _read(at: str | None) -> datetime:
    """A time as DuckDB writes it; the earliest for none, the last for one that Python does not know."""
    try:
        return datetime.fromisoformat(at) if at else EPOCH
    except ValueError:
        return LAST


VERIFIERS: Readers = {
    Window: WindowVerifier,
    Newest: ListVerifier,
    Snapshot: ListVerifier,
    Single: SingleVerifier,
    PerFlow: PerFlowVerifier,
    Daily: DailyVerifier,
}
