"""Reads streams again to hold them against the lake, each strategy its way; with `repair`, writes what differs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from pipeline.reading.batches import Batches
from pipeline.reading.listings import ListReader
from pipeline.reading.reader import ROWS, Reader
from pipeline.reading.refused import Save
from pipeline.reading.spool import Spool
from pipeline.reading.vanished import oldest_shown, second_look
from pipeline.reading.walk import seek
from pipeline.results import Tally
from pipeline.streams import ARCHIVE_LIST, Newest, Snapshot, Stream, Window
from pipeline.syncing.lanes import Readers
from warehouse import (
    Cursor,
    Lake,
    Loaded,
    forget_batch,
    mark_rows_of_deleted_contacts,
    read_cursors,
    remember_deleted_contacts,
)
from warehouse.lake.cursor import EPOCH
from warehouse.lake.literal import literal
from warehouse.proof.verification import (
    Finding,
    begin_verification,
    find_alive,
    find_doubles,
    find_rows_of_deleted_contacts,
    mark_alive,
    remove_doubles,
    summarise,
    unseen_of_verification,
    verify_archives,
    verify_batch,
)

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Verification:
    """What is asked of a verification: rows of this percentage of days; differences to be repaired or not."""

    sample: float = 100.0
    repair: bool = False


class Comparison(Batches):
    """Where the rows of a verified stream go: held against the lake instead of being loaded, or before it."""

    def __init__(
        self, lake: Lake, stream: Stream, spool: Spool, tally: Tally, asked: Verification, *, accept_deletions: bool
    ) -> None:
        super().__init__(
            lake,
            stream.table,
            spool,
            tally,
            accept_deletions=accept_deletions,
            accept_command=f"rapidlake verify {stream.name} --repair --accept-deletions",
        )
        self.asked = asked
        self.findings: list[Finding] = []
        self.stream = stream
        self._on = stream.strategy.on if isinstance(stream.strategy, Window | Newest) else None
        self._read_up_to: datetime | None = None

    def begin(self, read_up_to: datetime | None) -> None:
        """Begin to compare; rows that changed after `read_up_to` cannot be in the lake yet."""
        self._read_up_to = read_up_to
        with self._lake.connection() as connection:
            begin_verification(connection, self._table)

    def load(
        self,
        files: list[Path],
        save: Save | None = None,
        *,
        rows: int | None = None,
        longest: int = 0,
        tombstones: bool = False,
        archived_in: date | None = None,
    ) -> None:
        """Compare JSON-lines files with the lake."""

        if not files:
            return
        with self._lake.connection() as connection:
            batch = self._stage(connection, files, longest=longest, tombstones=tombstones, archived_in=archived_in)
            with self._lake.snapshot():
                verify_batch(connection, batch, self._on, self._read_up_to, tombstones=tombstones)
            loaded = Loaded()
            if self.asked.repair:
                with self._lake.writing(self._table.name):
                    loaded = self._lake.commit(
                        lambda connection: self._write(connection, batch, save, tombstones=tombstones)
                    )
                remember_deleted_contacts(connection)
            else:
                forget_batch(connection)
        self._note(batch, loaded)

    def alive(self, within: str) -> int:
        """How many live rows `within` a condition (SQL) the server did not bring; 0 if a row was unreadable."""
        with self._lake.snapshot() as connection:
            return find_alive(connection, self._table, self._on, "false" if self._tally.rows_unreadable else within)

    def alive_keys(self) -> list[tuple[object, ...]]:
        """Their keys."""
        with self._lake.connection() as connection:
            return unseen_of_verification(connection, self._table)

    def end(self) -> None:
        """Find the doubles, sum up, and repair what is left to repair."""
        with self._lake.snapshot() as connection:
            find_doubles(connection, self._table, self._on)
            orphans = find_rows_of_deleted_contacts(connection, self._table, self._on)
            self.findings = summarise(connection, self._table)
            gone = mark_alive(connection, self._table)
        if self.asked.repair:
            if gone:
                self.mark_gone(gone)
            if orphans:
                deleted = "(SELECT uuid, deleted_on FROM contacts WHERE deleted_on IS NOT NULL)"
                self._tally.rows_deleted += self._lake.commit(
                    lambda connection: mark_rows_of_deleted_contacts(connection, [self._table], deleted)
                )
            self._lake.commit(lambda connection: remove_doubles(connection, self._table))


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
            self._look_for_alive(strategy, batches, windows, now)
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
        bounds = (
            after,
            EPOCH + timedelta(microseconds=oldest) if oldest else now,
            oldest_shown(self.lake, self.stream, now),
        )
        first = max(bound for bound in bounds if bound).date()
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
            self.stream.table.key,
            after=after,
            before=before,
            place=None,
            oldest_first=strategy.oldest_first,
        )
        for piece in pieces:
            self.batches.add(piece.rows)
            if self.batches.full:
                self.batches.commit(tombstones=tombstones)
        self.batches.commit(tombstones=tombstones)

    def _look_for_alive(
        self,
        strategy: Window,
        batches: Comparison,
        windows: list[tuple[datetime | None, datetime]],
        now: datetime,
    ) -> None:
        """Find rows that the server did not bring, and ask for them once more: they may have moved meanwhile."""
        oldest = oldest_shown(self.lake, self.stream, now) or EPOCH
        read = " OR ".join(
            f"{strategy.on} BETWEEN {literal(max(after or oldest, oldest))} AND {literal(before)}"
            for after, before in windows
        )
        if not batches.alive(read or "false"):
            return
        until = self.client.now() if strategy.on == "modified_on" else None
        for rows in second_look(batches.alive_keys(), self.lake, self.stream, self.fetching({}), until=until):
            batches.add(rows)
        batches.commit()
        batches.alive(read)


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
            batches.alive("true")
        batches.end()


VERIFIERS: Readers = {Window: WindowVerifier, Newest: ListVerifier, Snapshot: ListVerifier}
