"""Reads streams again to hold them against the lake, each strategy its way."""

from __future__ import annotations

from datetime import datetime

import msgspec

from pipeline.proof.comparing import Comparison
from pipeline.proof.retention import still_kept
from pipeline.proof.window_verifier import WindowVerifier
from pipeline.reading.documents import DailyReader, PerFlowReader
from pipeline.reading.listings import ListReader
from pipeline.reading.reader import ROWS, Reader
from pipeline.reading.walk import date_of, follow, keys_of
from pipeline.server.client import Listener
from pipeline.streams import STREAMS, Daily, Newest, PerFlow, Single, Snapshot, Stream, Window
from pipeline.syncing.lanes import Readers
from warehouse import documents_to_read, note_asked
from warehouse.lake.cursor import EPOCH, LAST
from warehouse.loading.documents import States


class ListVerifier(ListReader):
    """A stream that is listed whole."""

    def read_stream(self) -> None:
        """Read the list again, twice where rows seem to be gone."""
        batches = self.batches
        assert isinstance(batches, Comparison)
        newest = isinstance(self.stream.strategy, Newest)
        batches.begin(self.cursor(ROWS).watermark if newest else None)
        batches.begin_reading(self.client.now())
        self.list_whole()
        if self.stream.shows_deletions and batches.alive("true"):
            self.list_whole()
            batches.still_alive()
        if isinstance(self.stream.strategy, Newest):
            kept = still_kept(self.stream, self.stream.strategy.on, self.client.latest())
            batches.expect_some(0 if self.tally.rows_read else batches.live_rows(kept))
        batches.settle_whole()


class SingleVerifier(Reader):
    """A stream whose strategy is `Single`."""

    def read_stream(self) -> None:
        """Compare the one object that was asked for first."""
        batches = self.batches
        assert isinstance(batches, Comparison)
        batches.begin(None)
        batches.begin_reading(self.client.now())
        batches.add([msgspec.Raw(self.read_workspace())])
        batches.commit()
        batches.settle_whole()


class DailyVerifier(DailyReader):
    """A stream whose strategy is `Daily`."""

    def read_stream(self) -> None:
        """Ask for all days again; the last ones still change."""
        strategy, batches = self.stream.strategy, self.batches
        assert isinstance(strategy, Daily) and isinstance(batches, Comparison)
        watermark = self.cursor(ROWS).watermark
        batches.begin(watermark and watermark - strategy.again)
        batches.begin_reading(self.client.now())
        self.take(self.days_since(self.before - strategy.first))
        batches.commit()
        batches.settle_whole()


class PerFlowVerifier(PerFlowReader):
    """A stream whose strategy is `PerFlow`."""

    def read_stream(self) -> None:
        """Ask for the documents of all live rows again."""
        strategy, batches = self.stream.strategy, self.batches
        assert isinstance(strategy, PerFlow) and isinstance(batches, Comparison)
        batches.begin(None)
        batches.begin_reading(self.client.now())
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
        batches.settle_whole()

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
