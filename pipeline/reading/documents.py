"""Reads streams that answer one document instead of pages: flow definitions, and daily statistics."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import duckdb

from pipeline.reading.reader import ROWS, Reader
from pipeline.server.client import Params
from pipeline.server.pages import Page
from pipeline.streams import Daily, PerFlow
from warehouse import Cursor
from warehouse.lake.cursor import time_at
from warehouse.lake.inlining import safe_from_text
from warehouse.lake.literal import literal


class PerFlowReader(Reader):
    """A stream whose strategy is `PerFlow`."""

    def read_stream(self) -> None:
        """Ask for the documents of rows that are new or modified."""
        strategy = self.stream.strategy
        assert isinstance(strategy, PerFlow)
        cursor = self.cursor(ROWS)
        watermark = literal(cursor.watermark)
        flows = self.lake.rows(
            f"""
            SELECT uuid::VARCHAR FROM "{strategy.of}"
            WHERE deleted_on IS NULL
              AND ({self.options.full} OR {watermark} IS NULL OR modified_on > {watermark}
                   OR uuid NOT IN (SELECT uuid FROM "{self.stream.name}"))
            ORDER BY 1
            """
        )
        newest = self.lake.rows(f'SELECT max(epoch_us(modified_on)) FROM "{strategy.of}"')[0][0]
        asked = [str(uuid) for (uuid,) in flows]
        self.read_documents(asked)
        if asked and isinstance(newest, int):
            read_up_to = time_at(newest)
            self.batches.commit(self.saving({ROWS: Cursor(read_up_to)}))
        self.tally.rows_deleted += self.lake.commit(
            lambda connection: _mark_those_of_deleted_rows(connection, self.stream.name, strategy.of)
        )

    def read_documents(self, asked: Sequence[str]) -> None:
        """Ask for the documents of these rows, some at once, and take them."""
        strategy = self.stream.strategy
        assert isinstance(strategy, PerFlow)
        listener = self.listener()
        for start in range(0, len(asked), strategy.at_once):
            params: Params = {"flow": asked[start : start + strategy.at_once], "dependencies": "none"}
            self.take(
                self.client.page(self.stream.path, params, scope=self.stream.scope, listener=listener, rows="flows")
            )


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
        self.batches.commit(self.saving({ROWS: Cursor(self.before)}))

    def days_since(self, start: datetime) -> Page:
        """A row for each day from `start` (UTC) on."""
        return self.fetching({})({"since": start.date().isoformat()})


def _mark_those_of_deleted_rows(connection: duckdb.DuckDBPyConnection, documents: str, of: str) -> int:
    gone = f'deleted_on IS NULL AND uuid IN (SELECT uuid FROM "{of}" WHERE deleted_on IS NOT NULL)'
    found = connection.execute(f'SELECT count(*) FROM "{documents}" WHERE {gone}').fetchone()
    if found and found[0]:
        with safe_from_text(connection, f'(FROM "{documents}" WHERE {gone})'):
            connection.execute(f'UPDATE "{documents}" SET deleted_on = now(), synced_on = now() WHERE {gone}')
    return found[0] if found else 0
