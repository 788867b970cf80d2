"""Reads streams that answer one document instead of pages: flow definitions, and daily statistics."""

from __future__ import annotations

from datetime import datetime

import duckdb

from pipeline.reading.reader import ROWS, Reader
from pipeline.reading.walk import keys_of
from pipeline.server.client import AGREEING_CLOCKS, Params
from pipeline.server.pages import Page
from pipeline.streams import Daily, PerFlow
from warehouse import Cursor, documents_to_read, note_read, read_up_to
from warehouse.lake.clock import NOW
from warehouse.lake.inlining import safe_from_text
from warehouse.loading.documents import Asked, States


class PerFlowReader(Reader):
    """A stream whose strategy is `PerFlow`."""

    def read_stream(self) -> None:
        """Ask for the documents of rows that are new, or have another modified_on than when they were read."""
        strategy = self.stream.strategy
        assert isinstance(strategy, PerFlow)
        documents, of = self.stream.name, strategy.of
        with self.lake.connection() as connection:
            states = documents_to_read(connection, documents, of, again=self.options.full)
        self.read_documents(states)
        if states:
            with self.lake.connection() as connection:
                read = read_up_to(connection, documents, of)
            self.batches.commit(self.saving({ROWS: Cursor(read)}))
        else:
            self.tally.notes.append(f"none of the {of} is new or modified: nothing to ask for")
        self.tally.rows_deleted += self.lake.commit(
            lambda connection: _mark_those_of_deleted_rows(connection, documents, of)
        )

    def read_documents(self, states: States) -> Asked:
        """Ask for the documents of these rows, some at once, and commit them with the states that they were read in.

        Returns which were answered, and between when they were asked for.
        """
        strategy = self.stream.strategy
        assert isinstance(strategy, PerFlow)
        listener, key, asked = self.listener(), self.stream.table.key, [*states]
        answered: dict[str, tuple[datetime, datetime]] = {}

        def save(connection: duckdb.DuckDBPyConnection) -> None:
            note_read(connection, self.stream.name, states, answered)

        for start in range(0, len(asked), strategy.at_once):
            params: Params = {"flow": asked[start : start + strategy.at_once], "dependencies": "none"}
            begun = self._server_time() - AGREEING_CLOCKS
            page = self.client.page(self.stream.path, params, scope=self.stream.scope, listener=listener, rows="flows")
            between = (begun, self._server_time() + AGREEING_CLOCKS)
            answered |= {str(keys_of(row, key)[0]).lower(): between for row in page.results}
            self.batches.add(page.results)
            if self.batches.full:
                self.batches.commit(save)
        if not self.batches.empty:
            self.batches.commit(save)
        return answered

    def _server_time(self) -> datetime:
        """What the server, which dates its rows, takes for the present (UTC)."""
        return self.client.server_now() or self.client.now()


class DailyReader(Reader):
    """A stream whose strategy is `Daily`."""

    def read_stream(self) -> None:
        """Ask for the last days again, the first time for all."""
        strategy = self.stream.strategy
        assert isinstance(strategy, Daily)
        cursor = self.cursor(ROWS)
        first = cursor.watermark is None or self.options.full
        start = self.before - strategy.first if first or not cursor.watermark else cursor.watermark - strategy.again
        self.take(self.days_since(start))
        self.batches.commit(self.saving({ROWS: Cursor(self.reached(self.before))}))

    def days_since(self, start: datetime) -> Page:
        """A row for each day from `start` (UTC) on."""
        return self.fetching({})({"since": start.date().isoformat()})


def _mark_those_of_deleted_rows(connection: duckdb.DuckDBPyConnection, documents: str, of: str) -> int:
    gone = f'deleted_on IS NULL AND uuid IN (SELECT uuid FROM "{of}" WHERE deleted_on IS NOT NULL)'
    found = connection.execute(f'SELECT count(*) FROM "{documents}" WHERE {gone}').fetchone()
    if found and found[0]:
        with safe_from_text(connection, f'(FROM "{documents}" WHERE {gone})'):
            connection.execute(f'UPDATE "{documents}" SET deleted_on = {NOW}, synced_on = {NOW} WHERE {gone}')
    return found[0] if found else 0
