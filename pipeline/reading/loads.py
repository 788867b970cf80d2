"""Carries one stream's rows into the lake: pages gather in the spool, and a commit takes them with their cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import duckdb
import msgspec

from pipeline.reading.refused import Save, commit_without_refused
from pipeline.reading.spool import Spool
from pipeline.results import Tally
from pipeline.streams import DIES_WITH_CONTACT, LISTS_CONTACTS
from warehouse import (
    Batch,
    Lake,
    LakeRefused,
    Loaded,
    RowsLost,
    Sighting,
    Table,
    Waiting,
    drop_outdated,
    forget_batch,
    leave_waiting,
    mark_rows_of_deleted_contacts,
    merge,
    next_waiting,
    note_moved_rows,
    remember_deleted_contacts,
    settle_retried,
    stage,
    take_off_lists,
)
from warehouse.lake import clock

# The tables whose rows are marked, or shortened, with a contact.
DRAGGED = tuple(table.name for table in (*DIES_WITH_CONTACT, *LISTS_CONTACTS))
# Where more of a batch than this cannot be read, no row is odd, but the server's version or ours is another.
MOST_UNREADABLE, FEW_UNREADABLE = 0.05, 3


class Loads:
    """Rows of one stream between the server and the lake.

    `sightings` says when the stored rows were last seen, for the history of changes. `held` says that no cursor is
    saved any more, because much of what was read cannot be read. `waiting` has the streams with rows in quarantine, if
    that is known; all of a run share it.
    """

    def __init__(
        self, lake: Lake, table: Table, spool: Spool, tally: Tally, *, waiting: dict[str, bool] | None = None
    ) -> None:
        self.sightings: Sequence[Sighting] = ()
        self.held = False
        self._lake = lake
        self._table = table
        self._spool = spool
        self._tally = tally
        self._waiting = waiting
        self._begun = clock.now()

    def add(self, rows: list[msgspec.Raw]) -> None:
        """Take the rows of one page."""
        self._spool.append(rows)
        self._tally.rows_read += len(rows)

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
        if files or save:
            self.load(files, save, rows=self._spool.rows, longest=self._spool.longest, tombstones=tombstones)
        self._spool.clear()

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
        """Load JSON-lines files of `rows` and run `save`, in one transaction; other arguments are those of `stage`.

        Where much of a batch cannot be read, nothing is saved from here on: no cursor passes rows that did not land.

        Raises:
            RowsLost: the files hold another number of rows.
        """

        with self._lake.connection() as connection:
            batch = (
                self._stage(connection, files, longest=longest, tombstones=tombstones, archived_in=archived_in)
                if files
                else None
            )
            if batch:
                self._look_at(batch, rows)
            # Staged outside the transaction: one that loses a race is run again without parsing again.
            with self._lake.writing(self._table.name, *(DRAGGED if tombstones else ())):
                batch, loaded = self._commit(batch, files, None if self.held else save, tombstones=tombstones)
            if tombstones:
                remember_deleted_contacts(connection)
        if batch:
            if batch.unreadable and self._waiting is not None:
                self._waiting.setdefault(self._table.name, False)
            self._note(batch, loaded)

    def _look_at(self, batch: Batch, rows: int | None) -> None:
        """Hold what was staged against what was read, and notice where too much of it is unreadable."""
        if rows is not None and batch.rows != rows:
            raise RowsLost(
                f"{self._table.name}: {rows:,} rows were read and {batch.rows:,} came out of the spool: "
                "nothing of them was written; sync again, and if it stays so, tell the developers of Rapidlake."
            )
        few = max(FEW_UNREADABLE, MOST_UNREADABLE * batch.rows)
        readable = batch.rows - batch.unreadable + self._tally.rows_accounted - self._tally.rows_unreadable
        if batch.unreadable > few or batch.unreadable + self._tally.rows_unreadable > readable:
            self.held = self._tally.suspicious = True

    def _commit(
        self, batch: Batch | None, files: list[Path], save: Save | None, *, tombstones: bool
    ) -> tuple[Batch | None, Loaded]:
        """Write it in one transaction; without the rows that the lake refuses, where it refuses any."""

        def commit(part: Batch | None, save: Save | None) -> Loaded:
            return self._lake.commit(lambda connection: self._write(connection, part, save, tombstones=tombstones))

        try:
            return batch, commit(batch, save)
        except LakeRefused as error:
            if batch is None:
                raise
            return commit_without_refused(self._lake, batch, files, commit, save, error)

    def retry_waiting(self) -> None:
        """Try the rows again that wait in quarantine since another version of Rapidlake could not read them.

        Where the lake refuses some, they are tried one by one.
        """
        at_once: dict[str, int] = {}
        with self._lake.connection() as connection:
            while waiting := next_waiting(connection, self._table, **at_once):
                try:
                    self._retry(connection, waiting)
                except (LakeRefused, RowsLost):
                    if at_once:
                        self._lake.commit(lambda connection: leave_waiting(connection, self._table))
                    at_once = {"number": 1}

    def _retry(self, connection: duckdb.DuckDBPyConnection, waiting: Waiting) -> None:
        file = self._spool.write_apart(waiting.texts)
        batch = self._stage(
            connection,
            [file],
            longest=file.stat().st_size,
            tombstones=waiting.tombstones,
            archived_in=waiting.archived_in,
        )
        file.unlink()
        if batch.rows != len(waiting.texts):  # else they would be taken for one another
            raise RowsLost(f"{self._table.name}: {len(waiting.texts)} rows waited and {batch.rows} were read again.")
        with self._lake.connection(), self._lake.writing(self._table.name, *(DRAGGED if waiting.tombstones else ())):
            loaded, freed = self._lake.commit(partial(self._write_retried, batch, waiting.tombstones))
        self._tally.rows_new += loaded.new
        self._tally.rows_changed += loaded.changed
        self._tally.rows_equal += loaded.equal
        self._tally.rows_read += loaded.new + loaded.changed + loaded.equal
        if freed:
            self._note_once("rows that waited in _quarantine can be read now")

    def _write_retried(
        self, batch: Batch, tombstones: bool, connection: duckdb.DuckDBPyConnection
    ) -> tuple[Loaded, int]:
        drop_outdated(connection, self._table)
        loaded = merge(connection, replace(batch, unreadable=0), tombstones=tombstones)  # the others wait already
        freed = settle_retried(connection, self._table)
        forget_batch(connection)
        return loaded, freed

    def _stage(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: list[Path],
        *,
        longest: int,
        tombstones: bool,
        archived_in: date | None,
    ) -> Batch:
        return stage(
            connection,
            self._table,
            files,
            longest=longest,
            tombstones=tombstones,
            archived_in=archived_in,
            strictly_first=True,
        )

    def _write(
        self, connection: duckdb.DuckDBPyConnection, batch: Batch | None, save: Save | None, *, tombstones: bool
    ) -> Loaded:
        loaded, dragged = Loaded(), 0
        if batch:
            waiting = self._waiting is None or self._table.name in self._waiting
            loaded = merge(
                connection,
                batch,
                tombstones=tombstones,
                sightings=self.sightings,
                waiting=waiting,
                begun=self._begun,
            )
            if tombstones:
                dragged = mark_rows_of_deleted_contacts(connection, DIES_WITH_CONTACT)
                take_off_lists(connection, LISTS_CONTACTS)
            if batch.source == "archive" and loaded.changed:
                note_moved_rows(connection, self._table)
            self._remember(connection, batch)
        if save:
            save(connection)
        forget_batch(connection)
        return replace(loaded, dragged=dragged)

    def _remember(self, connection: duckdb.DuckDBPyConnection, batch: Batch) -> None:
        """Hear of a batch that is being written, inside its transaction."""

    def _note(self, batch: Batch, loaded: Loaded) -> None:
        tally = self._tally
        tally.rows_new += loaded.new
        tally.rows_changed += loaded.changed
        tally.rows_equal += loaded.equal
        tally.rows_double += loaded.double
        tally.rows_deleted += loaded.dragged + loaded.deleted
        tally.rows_quarantined += loaded.quarantined
        tally.rows_unreadable += batch.unreadable
        tally.drift.update((self._table.name, key, "unknown") for key in batch.unknown_keys)
        if batch.source == "api":  # archives of different years have different keys
            tally.drift.update((self._table.name, key, "missing") for key in batch.missing_keys)
        if batch.unknown_keys:
            self._note_once("the server sends keys that this version does not know: kept in `extra`, named in _drift")
        if self.held:
            self._note_once(
                f"{batch.unreadable:,} of {batch.rows:,} rows could not be read ({batch.reason}): they wait in "
                "_quarantine and are asked for again by each sync until they can be; look for a newer rapidlake"
            )
        elif batch.unreadable:
            self._note_once(f"rows that could not be read wait in _quarantine ({batch.reason})")

    def _note_once(self, note: str) -> None:
        if note not in self._tally.notes:
            self._tally.notes.append(note)
