"""Carries one stream's rows into the lake: pages gather in the spool, and a commit takes them with their cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from pathlib import Path

import duckdb
import msgspec

from pipeline.reading.refused import Save, commit_without_refused
from pipeline.reading.spool import Spool
from pipeline.reading.walk import Piece
from pipeline.results import Tally
from pipeline.streams import DIES_WITH_CONTACT, LISTS_CONTACTS
from warehouse import (
    Archived,
    ArchiveKey,
    Batch,
    Lake,
    LakeRefused,
    Loaded,
    Reading,
    RowsLost,
    Sighting,
    Table,
    Waiting,
    archives_listed,
    drop_outdated,
    forget_batch,
    leave_waiting,
    live_rows,
    mark_rows_of_deleted_contacts,
    merge,
    next_waiting,
    note_moved_rows,
    release_rows,
    remember_deleted_contacts,
    settle_retried,
    stage,
    take_off_lists,
)
from warehouse.lake import clock

# The tables whose rows are marked, or shortened, with a contact.
DRAGGED = tuple(table.name for table in (*DIES_WITH_CONTACT, *LISTS_CONTACTS))
# More of a table than this is not marked deleted unasked: the fault may lie with the token, or the server.
MOST_DELETIONS = 0.2
# Where more of a batch than this cannot be read, no row is odd, but the server's version or ours is another.
MOST_UNREADABLE, FEW_UNREADABLE = 0.05, 3


class Batches:
    """Rows of one stream between the server and the lake.

    `sightings` says when the stored rows were last seen, for the history of changes. `accept_command` is what to type
    where more rows are gone than may be marked unasked. `held` says that no cursor is saved any more, because much of
    what was read cannot be read. `waiting` has the streams with rows in quarantine, if that is known;
    all batches of a run share it.
    """

    def __init__(
        self,
        lake: Lake,
        table: Table,
        spool: Spool,
        tally: Tally,
        *,
        accept_deletions: bool = False,
        accept_command: str = "rapidlake sync --accept-deletions",
        waiting: dict[str, bool] | None = None,
    ) -> None:
        self.sightings: Sequence[Sighting] = ()
        self._lake = lake
        self._table = table
        self._spool = spool
        self._tally = tally
        self._accept_deletions = accept_deletions
        self._accept_command = accept_command
        self._waiting = waiting
        self._reading: Reading | None = None
        self._rows_of_reading = 0
        self._within = "false"
        self._archives: Archived | None = None
        self.held = False
        self._cut_off = False
        self._begun = clock.now()

    def add(self, rows: list[msgspec.Raw]) -> None:
        """Take the rows of one page."""
        self._spool.append(rows)
        self._tally.rows_read += len(rows)

    def take(self, piece: Piece) -> None:
        """Take the rows of one step of a walk."""
        self.add(piece.rows)
        if piece.cut_off:
            self.cut_off(piece.cut_off)

    def cut_off(self, at: datetime | None = None) -> None:
        """Note that more rows share a timestamp (`at`, UTC, if known) than the server lists: none is taken for gone."""
        self._cut_off = self._tally.suspicious = True
        when = f"the timestamp {at:%Y-%m-%dT%H:%M:%S.%fZ}" if at else "one timestamp"
        self._note_once(
            f"more rows share {when} than the server can list: those that it lists are in the lake, others are not; "
            "tell whoever runs the server"
        )

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
            self._rows_of_reading += batch.rows
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
            if self._reading:
                self._reading.remember_batch(connection)
        if save:
            save(connection)
        forget_batch(connection)
        return replace(loaded, dragged=dragged)

    def begin_whole_reading(self) -> None:
        """From here on note which keys are seen, to find those that are gone."""
        self._rows_of_reading = 0
        with self._lake.connection() as connection:
            if self._reading:
                self._reading.forget(connection)
            self._reading = Reading(connection, self._table)

    def end_whole_reading(self) -> None:
        """Give back the memory of the keys that were seen."""
        if self._reading:
            with self._lake.connection() as connection:
                self._reading.forget(connection)
            self._reading = None

    @property
    def _whole(self) -> Reading:
        assert self._reading, "no whole reading was begun"
        return self._reading

    def gone(self, within: str = "true") -> int:
        """How many live rows `within` a condition (SQL) the whole reading did not bring, nor any archive file.

        0 if a row was unreadable, or the server could not list all.
        """
        self._within = within
        with self._lake.connection() as connection:
            gone = self._whole.find_unseen(connection, within)
            return self._still_unseen(connection) if gone else 0

    def still_gone(self) -> int:
        """How many of the rows that the last `gone` found are gone still, after what was brought since."""
        with self._lake.connection() as connection:
            return self._still_unseen(connection)

    def _still_unseen(self, connection: duckdb.DuckDBPyConnection) -> int:
        return self._whole.still_unseen(connection, self._where_absence_counts(connection))

    def _where_absence_counts(self, connection: duckdb.DuckDBPyConnection) -> str:
        return self.in_no_archive(connection, self._within) if self.shows_absence else "false"

    def in_no_archive(self, connection: duckdb.DuckDBPyConnection, within: str) -> str:
        """The condition `within` (SQL), and that no archive file has the row, of those that are listed."""
        if not self._table.archive_type:
            return within
        return f"({within}) AND {self._archived(connection).lack(connection, self._table)}"

    def _archived(self, connection: duckdb.DuckDBPyConnection) -> Archived:
        """What the server has archived, as far as it is known."""
        return self._archives or archives_listed(connection, self._table)

    def release_rows(self, connection: duckdb.DuckDBPyConnection, key: ArchiveKey) -> None:
        """Let rows name an archive file no longer that the whole reading of it did not bring; in a transaction."""
        release_rows(connection, self._table, key, self._whole)

    def believe(self, archives: Archived | None) -> None:
        """Take this for what the server has archived, instead of what it listed last; None if nobody knows."""
        self._archives = archives
        if archives is None:
            self._cut_off = self._tally.suspicious = True
            self._note_once(
                "rows are no longer listed, and may be in an archive file: the list of files cannot be read, so that "
                "none was marked deleted; look for a newer rapidlake, or tell whoever runs the server"
            )

    @property
    def shows_absence(self) -> bool:
        """True if what was not read is not there."""
        return not self._tally.rows_unreadable and not self._cut_off

    def gone_keys(self) -> list[tuple[object, ...]]:
        """The keys that the last `gone` found."""
        with self._lake.connection() as connection:
            return self._whole.unseen_keys(connection)

    def lists_nothing(self, gone: int | None = None) -> bool:
        """True, and said, if the whole reading brought no row where the lake has some.

        `gone` is how many it has where only a part of the table was read.
        """
        with self._lake.connection() as connection:
            stored = 0 if self._rows_of_reading else live_rows(connection, self._table) if gone is None else gone
        if stored and not (self._accept_deletions and gone):
            self._tally.suspicious = True
            self._tally.notes.append(
                f"the server lists no rows where the lake has {stored:,}: nothing was marked deleted; "
                "look at the workspace, then sync again"
            )
            return True
        return False

    def mark_gone(self, gone: int, *, guarded: bool = True) -> None:
        """Set deleted_on for the rows that the last `gone` found, unless they are suspiciously many."""
        with self._lake.connection() as connection:
            stored = live_rows(connection, self._table)
        if guarded and not self._accept_deletions and gone > 1 and gone > MOST_DELETIONS * stored:
            self._tally.suspicious = True
            self._tally.notes.append(
                f"{gone:,} of {stored:,} rows are no longer on the server ({gone / stored:.0%}): were they deleted on "
                f"purpose? Then run `{self._accept_command}`; nothing was marked yet"
            )
            return
        with self._lake.connection(), self._lake.writing(self._table.name):
            self._tally.rows_deleted += self._lake.commit(self._mark_unseen)

    def _mark_unseen(self, connection: duckdb.DuckDBPyConnection) -> int:
        self._still_unseen(connection)  # another process may have brought some, or the file that has them
        return self._whole.mark_unseen(connection)

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
            self._note_once(
                f"the server sends keys this version does not know, kept in `extra`: {', '.join(batch.unknown_keys)}"
            )
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
