"""Reads streams that the server does not filter by a date: whole listings, newest-first listings, one object."""

from __future__ import annotations

from datetime import datetime

import msgspec

from pipeline.reading.reader import ROWS, WHOLE, Reader
from pipeline.reading.walk import CutOff, counts_through_a_tie, date_of, follow
from pipeline.streams import Newest
from warehouse import Cursor

MOST_READINGS = 3


class SingleReader(Reader):
    """A stream whose strategy is `Single`: the one object that every sync asks for first."""

    def read_stream(self) -> None:
        """Commit it."""
        self.batches.add([msgspec.Raw(self.read_workspace())])
        self.batches.commit()


class ListReader(Reader):
    """A stream that is listed whole; absence is believed only when a second reading agrees."""

    # Many rows of the list vanish at once in the normal run of things.
    guarded = True

    def read_stream(self) -> None:
        """Read the list."""
        self.batches.begin_whole_reading()
        self.list_whole()
        self.settle_absences()

    def settle_absences(self) -> None:
        """Mark the rows that a whole reading did not bring, where absence means deletion."""
        if not self.stream.shows_deletions or self.batches.lists_nothing() or not self.batches.gone():
            return
        self.list_whole()
        if gone := self.batches.still_gone():
            self.batches.mark_gone(gone, guarded=self.guarded)

    def list_whole(self) -> None:
        """Read the list from end to end."""
        try:
            for page in follow(self.fetching({}), self.stream.name, dict(self.stream.params)):
                self.take(page)
        except CutOff:
            self.batches.cut_off()
        self.batches.commit()


class NewestReader(ListReader):
    """A stream whose strategy is `Newest`."""

    def read_stream(self) -> None:
        """Read until rows are known, or everything."""
        strategy = self.stream.strategy
        assert isinstance(strategy, Newest)
        cursor, last_whole = self.cursor(ROWS), self.cursor(WHOLE).watermark
        whole = (
            self.options.full
            or cursor.watermark is None
            or last_whole is None
            or self.before - last_whole >= strategy.whole_every
        )
        known = None if whole or cursor.watermark is None else cursor.watermark - self.overlap
        if known and self.options.since:
            known = min(known, self.options.since)
        if whole:
            self.batches.begin_whole_reading()
        if not any(self._newest_once(strategy, known) for _ in range(MOST_READINGS)):
            self.batches.commit()
            self.tally.notes.append("rows kept changing while they were read; the next sync reads them again")
            return
        read = Cursor(self.reached(self.before))
        feeds = {ROWS: read} | ({WHOLE: read} if whole else {})
        self.batches.commit()
        if whole:
            self.settle_absences()
        if not self.tally.suspicious:
            self.batches.commit(self.saving(feeds))

    def _newest_once(self, strategy: Newest, known: datetime | None) -> bool:
        """Read until `known`; True if no row can have been skipped.

        A row is skipped only where the server's cursor counts through rows of one timestamp while one of them moves up;
        then the first page is not the same afterwards.
        """
        fetch = self.fetching({})
        first: list[msgspec.Raw] | None = None
        risky = False
        try:
            for page in follow(fetch, self.stream.name, dict(self.stream.params)):
                first = page.results if first is None else first
                self.take(page)
                oldest = date_of(page.results[-1], strategy.on) if page.results else None
                if known and oldest and oldest < known:
                    break
                risky = risky or counts_through_a_tie(page)
        except CutOff:
            self.batches.cut_off()
            return True
        if not risky:
            return True
        again = fetch(dict(self.stream.params))
        self.take(again)
        return [bytes(row) for row in again.results] == [bytes(row) for row in first or []]
