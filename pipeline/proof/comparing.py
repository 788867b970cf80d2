"""Holds rows that were read again against the lake; with `repair`, writes what differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb

from pipeline.reading.batches import MOST_DELETIONS, Batches
from pipeline.reading.loads import DRAGGED
from pipeline.reading.progress import counted
from pipeline.reading.refused import Save
from pipeline.reading.spool import Spool
from pipeline.results import Tally
from pipeline.streams import Daily, Newest, Stream, Window
from warehouse import (
    Archived,
    Lake,
    Loaded,
    forget_batch,
    mark_rows_of_deleted_contacts,
    remember_deleted_contacts,
)
from warehouse.lake.cursor import EPOCH
from warehouse.lake.table import count
from warehouse.proof.findings import Finding
from warehouse.proof.proven import forget_days, forget_whole, note_days, note_whole
from warehouse.proof.verification import HeldRows

# So many rows of some days may vanish unasked, whatever part of these days' rows that is.
FEW_DELETIONS = 250


@dataclass(frozen=True)
class Verification:
    """What is asked of a verification.

    sample: rows of this percentage of the days; rotate: of the days whose turn it is; goes_on: of those that an
    interrupted night has left; repair: differences are repaired.
    """

    sample: float = 100.0
    repair: bool = False
    rotate: bool = False
    goes_on: bool = False


class Comparison(Batches):
    """Where the rows of a verified stream go: held against the lake instead of being loaded, or before it.

    `load_archives` loads what the server has archived of the stream since the last sync.
    """

    def __init__(
        self,
        lake: Lake,
        stream: Stream,
        spool: Spool,
        tally: Tally,
        asked: Verification,
        *,
        accept_deletions: bool,
        load_archives: Callable[[], object],
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
        self._load_archives = load_archives
        self._archives_loaded = False
        self._unlisted = False
        self.unknown = 0
        self._on = stream.strategy.on if isinstance(stream.strategy, Window | Newest | Daily) else None
        self._read_up_to: datetime | None = None
        self._held: HeldRows | None = None
        self._read_on = EPOCH
        self._rows_before = self._unreadable_before = 0

    @property
    def _rows(self) -> HeldRows:
        assert self._held, "no comparison was begun"
        return self._held

    def begin(self, read_up_to: datetime | None) -> None:
        """Begin to compare; rows that changed after `read_up_to` cannot be in the lake yet; doubles go."""
        self._read_up_to = read_up_to
        with self._lake.connection() as connection:
            if self._held:
                self._held.forget(connection)
            self._held = HeldRows(connection, self._table)
        with self._lake.snapshot() as connection:
            self._rows.find_doubles(connection, self._on)
        if self.asked.repair:
            with self._lake.connection(), self._lake.writing(self._table.name):
                self._lake.commit(self._rows.remove_doubles)

    def begin_reading(self, now: datetime) -> None:
        """Begin, at a time (UTC), to read what is proven or not as one: some days, or the whole stream."""
        self._read_on, self._cut_off, self._archives = now, False, None
        self._rows_before, self._unreadable_before = self._tally.rows_read, self._tally.rows_unreadable

    @property
    def brought_rows(self) -> bool:
        """True if the reading brought any row."""
        return self._tally.rows_read > self._rows_before

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
            self._look_at(batch, rows)
            with self._lake.snapshot():
                self._rows.compare_batch(connection, batch, self._on, self._read_up_to, tombstones=tombstones)
            loaded = Loaded(equal=batch.distinct)
            if self.asked.repair:
                with self._lake.writing(self._table.name, *(DRAGGED if tombstones else ())):
                    committed, loaded = self._commit(batch, files, save, tombstones=tombstones)
                batch = committed or batch
                remember_deleted_contacts(connection)
            else:
                forget_batch(connection)
        self._note(batch, loaded)

    @property
    def shows_absence(self) -> bool:
        """True if what this reading did not bring is not there."""
        return self._tally.rows_unreadable == self._unreadable_before and not self._cut_off

    def alive(self, within: str) -> int:
        """How many live rows `within` a condition (SQL) the server did not bring; 0 where that tells nothing.

        `unknown` of them may be in an archive file that was not read.
        """
        self._within = within
        if self._table.contact:  # rows of deleted contacts are found by that, and were deleted then
            dead = "SELECT uuid FROM contacts WHERE deleted_on IS NOT NULL"
            contact = f'"{self._table.contact}"'
            self._within = f"({within}) AND ({contact} IS NULL OR {contact} NOT IN ({dead}))"
        with self._lake.snapshot() as connection:
            alive = self._rows.find_alive(connection, self._on, self._where_absence_counts(connection))
            undecided = self._where_undecided(connection)
            self.unknown = self._rows.find_unknown(connection, self._on, undecided) if undecided else 0
        return alive + self.unknown

    def _where_undecided(self, connection: duckdb.DuckDBPyConnection) -> str | None:
        """The condition (SQL) that a row may be in an archive file that was not read; None if none can be."""
        if not self._table.archive_type or not self.shows_absence:
            return None
        return f"({self._within}) AND {self._archived(connection).undecided(connection, self._table)}"

    def believe(self, archives: Archived | None) -> None:
        """As of any reading; and note if the server has no list of archive files."""
        super().believe(archives)
        self._unlisted = archives is not None and archives.shown_from is not None

    def still_alive(self) -> int:
        """How many of the rows that the last `alive` found are alive still, after what was read since."""
        with self._lake.snapshot() as connection:
            alive = self._rows.still_alive(connection, self._where_absence_counts(connection))
            self.unknown = self._rows.count_unknown(connection)
        return alive + self.unknown

    def decide(self) -> bool:
        """Load the files that may have the `unknown` rows; False if that was done, or if nobody lists them.

        A verification that repairs nothing loads nothing.
        """
        if not self.asked.repair or self._archives_loaded or self._unlisted:
            return False
        self._archives_loaded = True
        self._load_archives()
        self._archives = None  # what was listed since is stored
        return True

    def alive_keys(self, *, unknown: bool = False) -> list[tuple[object, ...]]:
        """The keys of the rows that `alive` found, without those that are `unknown` unless these are asked for too."""
        with self._lake.connection() as connection:
            return self._rows.alive_keys(connection, unknown=unknown)

    def settle_days(self, first: date | None, last: date, live: int) -> None:
        """Mark what is gone from these days (UTC; `first` None: from the beginning), and note those that are proven.

        `live` is how many live rows the lake had of them.
        """
        good = self._settle(live) and not (first and first > last)
        with self._lake.connection() as connection:
            rows = self._rows.rows_by_day(connection, first, last)
            differing = self._rows.differing_days(connection, repaired=self.asked.repair)
        name, read_on = self._table.name, self._read_on
        if good:
            self._lake.commit(
                lambda connection: note_days(connection, name, first, last, rows, read_on, besides=differing)
            )
        elif differing:
            self._lake.commit(lambda connection: forget_days(connection, name, differing))

    def settle_whole(self) -> None:
        """Mark what is gone from a stream that was read whole, and end; note whether it is proven."""
        good = self._settle(0)
        self.end()
        left, name, read_on = any(one.left for one in self.findings), self._table.name, self._read_on
        if good and not left and not self._tally.suspicious:
            rows = sum(one.compared + one.pending for one in self.findings)
            self._lake.commit(lambda connection: note_whole(connection, name, rows, read_on))
        elif left:
            self._lake.commit(lambda connection: forget_whole(connection, name))

    def _settle(self, live: int) -> bool:
        """Mark what is gone where that is asked, and is not too much; True if what was read can be proven."""
        good = self.shows_absence and not self.held
        gone = len(self.alive_keys())
        if gone and self.asked.repair:
            doubts, self._tally.suspicious = self._tally.suspicious, False
            if not self._too_many(gone, live):
                self.mark_gone(gone)
            good = good and not self._tally.suspicious
            self._tally.suspicious = self._tally.suspicious or doubts
        with self._lake.connection() as connection:
            self._rows.settle_unseen(connection, marked=good)
        return good

    def _too_many(self, gone: int, live: int) -> bool:
        """True, and said, if too many rows of some days are gone; `mark_gone` looks at the whole table."""
        if self._accept_deletions or not live or gone <= max(FEW_DELETIONS, MOST_DELETIONS * live):
            return False
        self.doubt(
            f"{gone:,} of {live:,} rows of the same days are no longer on the server ({gone / live:.0%}): were they "
            f"deleted on purpose? Then run `{self._accept_command}`; nothing was marked yet"
        )
        return True

    def sum_up(self) -> None:
        """Tell what was found so far; of a reading that could not be ended, too."""
        with self._lake.snapshot() as connection:
            self.findings = self._rows.summarise(connection, repaired=self.asked.repair)

    def end(self) -> None:
        """Find what the lake alone shows to be wrong, repair it, and sum up."""
        with self._lake.snapshot() as connection:
            self._rows.find_rows_of_deleted_contacts(connection, self._on)
            unreadable = self._rows.find_unreadable(connection)
            undecided = self._rows.count_undecided(connection)
        self.sum_up()
        if undecided:
            self.doubt(f"{counted(undecided, 'row')} that the server lists no longer {self._why_undecided}")
        if unreadable:
            self.findings.append(unreadable)
        elif self._tally.rows_read and not any(one.compared for one in self.findings):
            self.doubt(
                f"none of the {self._tally.rows_read:,} rows that the server lists could be compared, because all "
                "changed after the last sync: sync, then verify again"
            )
        if self.asked.repair and self._table.contact:
            deleted = "(SELECT uuid, deleted_on FROM contacts WHERE deleted_on IS NOT NULL)"
            with self._lake.connection(), self._lake.writing(self._table.name):
                self._tally.rows_deleted += self._lake.commit(
                    lambda connection: mark_rows_of_deleted_contacts(connection, [self._table], deleted)
                )

    @property
    def _why_undecided(self) -> str:
        """What may have become of rows that are in no listing and in no file that was read, and what to do."""
        if self._unlisted:
            return (
                "may be in archive files, of which this server has no list: "
                f"if they were deleted, run `{self._accept_command}`"
            )
        return (
            "may be in archive files that are not in the lake, or of which a line could not be read: "
            "sync archives, then verify again"
        )

    def end_whole_reading(self) -> None:
        """Give back the memory of what was found of each row."""
        super().end_whole_reading()
        if self._held:
            with self._lake.connection() as connection:
                self._held.forget(connection)
            self._held = None

    def _mark_unseen(self, connection: duckdb.DuckDBPyConnection) -> int:
        self._rows.still_alive(connection, self._where_absence_counts(connection))
        return self._rows.mark_alive(connection)

    def live_rows(self, within: str) -> int:
        """How many live rows the lake has `within` a condition (SQL)."""
        with self._lake.connection() as connection:
            return count(connection, f'"{self._table.name}" WHERE deleted_on IS NULL AND ({within})')

    def pending(self, keys: Sequence[str]) -> None:
        """Count these keys as changed after the last sync where they differ."""
        with self._lake.connection() as connection:
            self._rows.mark_pending(connection, keys)

    def expect_some(self, kept: int) -> None:
        """Doubt a server that lists nothing where the lake has so many live rows."""
        if kept:
            self.doubt(
                f"the server lists no rows where the lake has {kept:,}: look at the workspace, then verify again"
            )

    def doubt(self, note: str) -> None:
        """Say why what was read is not to be trusted."""
        self._tally.suspicious = True
        if note not in self._tally.notes:
            self._tally.notes.append(note)
