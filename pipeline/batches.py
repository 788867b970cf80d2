"""Carries one stream's rows into the lake: pages gather in the spool, and a commit takes them with their cursor."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import msgspec

from pipeline.results import Tally
from pipeline.spool import Spool
from warehouse import Batch, Lake, Loaded, Table, forget_batch, mark_deleted, merge, missing_keys, remember_keys, stage

Save = Callable[[duckdb.DuckDBPyConnection], None]


class Batches:
    """Rows of one stream between the server and the lake."""

    def __init__(self, lake: Lake, table: Table, spool: Spool, tally: Tally) -> None:
        self._lake = lake
        self._table = table
        self._spool = spool
        self._tally = tally
        self._whole = False
        self._fresh = True
        self._rows_of_reading = 0

    def add(self, rows: list[msgspec.Raw]) -> None:
        """Take the rows of one page."""
        self._spool.append(rows)
        self._tally.rows_read += len(rows)
        self._rows_of_reading += len(rows)

    @property
    def full(self) -> bool:
        """True when it is time to commit."""
        return self._spool.full

    @property
    def empty(self) -> bool:
        """True when there is nothing to commit."""
        return self._spool.rows == 0

    def commit(self, save: Save | None = None, *, tombstones: bool = False) -> None:
        """Load what has gathered and run `save`, in one transaction."""
        files = self._spool.ready()

        def work(connection: duckdb.DuckDBPyConnection) -> tuple[Batch | None, Loaded]:
            batch, loaded = None, Loaded()
            if files:
                batch = stage(connection, self._table, files, longest=self._spool.longest, tombstones=tombstones)
                loaded = merge(connection, batch, tombstones=tombstones)
                if self._whole:
                    remember_keys(connection, self._table, fresh=self._fresh)
                forget_batch(connection)
            if save:
                save(connection)
            return batch, loaded

        if files or save:
            batch, loaded = self._lake.commit(work)
            self._note(batch, loaded)
        self._spool.clear()

    def begin_whole_reading(self) -> None:
        """From here on note which keys are seen, to find those that are gone."""
        self._whole, self._fresh, self._rows_of_reading = True, True, 0

    def gone(self) -> int:
        """How many rows of the lake the whole reading did not bring.

        0 where absence means nothing: a row was unreadable, or the server listed nothing at all.
        """
        if self._tally.rows_unreadable:
            return 0
        with self._lake.connection() as connection:
            if self._rows_of_reading == 0:
                found = connection.execute(
                    f'SELECT count(*) FROM "{self._table.name}" WHERE deleted_on IS NULL'
                ).fetchone()
                if found and found[0]:
                    self._tally.suspicious = True
                    self._tally.notes.append(
                        f"the server lists no rows where the lake has {found[0]:,}: nothing was marked deleted; "
                        "look at the workspace, then sync again"
                    )
                return 0
            return missing_keys(connection, self._table)

    def mark_gone(self) -> None:
        """Set deleted_on for the rows that the whole reading did not bring."""
        self._tally.rows_deleted += self._lake.commit(lambda connection: mark_deleted(connection, self._table))

    def _note(self, batch: Batch | None, loaded: Loaded) -> None:
        tally = self._tally
        tally.rows_new += loaded.new
        tally.rows_changed += loaded.changed
        tally.rows_quarantined += loaded.quarantined
        if batch is None:
            return
        self._fresh = self._fresh and not self._whole
        tally.rows_unreadable += batch.unreadable
        tally.drift.update((self._table.name, key, "unknown") for key in batch.unknown_keys)
        tally.drift.update((self._table.name, key, "missing") for key in batch.missing_keys)
        if batch.unknown_keys:
            self._note_once(
                f"the server sends keys this version does not know, kept in `extra`: {', '.join(batch.unknown_keys)}"
            )
        if batch.unreadable:
            self._note_once(f"unreadable rows are kept in _quarantine ({batch.reason})")

    def _note_once(self, note: str) -> None:
        if note not in self._tally.notes:
            self._tally.notes.append(note)
