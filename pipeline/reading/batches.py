"""Rows of one stream that are read whole, or a part of them: what was not brought may be gone, and is marked then."""

from __future__ import annotations

from datetime import datetime

import duckdb

from pipeline.reading.loads import Loads
from pipeline.reading.spool import Spool
from pipeline.reading.walk import Piece
from pipeline.results import Tally
from warehouse import (
    Archived,
    ArchiveKey,
    Batch,
    Lake,
    Reading,
    Table,
    archives_listed,
    live_rows,
    release_rows,
)

# More of a table than this is not marked deleted unasked: the fault may lie with the token, or the server.
MOST_DELETIONS = 0.2


class Batches(Loads):
    """Rows of one stream between the server and the lake, and those that the server does not have any more.

    `accept_command` is what to type where more rows are gone than may be marked unasked. `archives_unknown` is true
    where absence was not believed, because nobody knows which archive files there are.
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
        super().__init__(lake, table, spool, tally, waiting=waiting)
        self._accept_deletions = accept_deletions
        self._accept_command = accept_command
        self._reading: Reading | None = None
        self._rows_of_reading = 0
        self._within = "false"
        self._archives: Archived | None = None
        self.archives_unknown = False
        self._cut_off = False

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
        self.archives_unknown = archives is None
        if archives is None:
            self._cut_off = self._tally.suspicious = True
            self._note_once(
                "rows are no longer listed, and may be in an archive file: the list of files cannot be read, or is "
                "empty where it was not, so that none was marked deleted; look for a newer rapidlake, tell whoever "
                f"runs the server, or, if it has no files any more, run `{self._accept_command}`"
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

    def _remember(self, connection: duckdb.DuckDBPyConnection, batch: Batch) -> None:
        self._rows_of_reading += batch.rows
        if self._reading:
            self._reading.remember_batch(connection)
