"""Holds rows that were read again against the lake; with `repair`, writes what differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb

from pipeline.reading.batches import Batches
from pipeline.reading.refused import Save
from pipeline.reading.spool import Spool
from pipeline.results import Tally
from pipeline.streams import (
    Daily,
    Newest,
    Stream,
    Window,
)
from warehouse import (
    Lake,
    Loaded,
    forget_batch,
    mark_rows_of_deleted_contacts,
    remember_deleted_contacts,
)
from warehouse.lake.table import count
from warehouse.proof.verification import Finding, HeldRows

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
        self._on = stream.strategy.on if isinstance(stream.strategy, Window | Newest | Daily) else None
        self._read_up_to: datetime | None = None
        self._held: HeldRows | None = None

    @property
    def _rows(self) -> HeldRows:
        assert self._held, "no comparison was begun"
        return self._held

    def begin(self, read_up_to: datetime | None) -> None:
        """Begin to compare; rows that changed after `read_up_to` cannot be in the lake yet."""
        self._read_up_to = read_up_to
        with self._lake.connection() as connection:
            if self._held:
                self._held.forget(connection)
            self._held = HeldRows(connection, self._table)

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
                with self._lake.writing(self._table.name):
                    committed, loaded = self._commit(batch, files, save, tombstones=tombstones)
                batch = committed or batch
                remember_deleted_contacts(connection)
            else:
                forget_batch(connection)
        self._note(batch, loaded)

    def alive(self, within: str) -> int:
        """How many live rows `within` a condition (SQL) the server did not bring; 0 where that tells nothing."""
        self._within = within
        with self._lake.snapshot() as connection:
            return self._rows.find_alive(connection, self._on, self._where_absence_counts(connection))

    def still_alive(self) -> int:
        """How many of the rows that the last `alive` found are alive still, after what was read since."""
        with self._lake.snapshot() as connection:
            return self._rows.still_alive(connection, self._where_absence_counts(connection))

    def alive_keys(self) -> list[tuple[object, ...]]:
        """Their keys."""
        with self._lake.connection() as connection:
            return self._rows.alive_keys(connection)

    def end(self) -> None:
        """Find the doubles, sum up, and repair what is left to repair."""
        with self._lake.snapshot() as connection:
            self._rows.find_doubles(connection, self._on)
            self._rows.find_rows_of_deleted_contacts(connection, self._on)
            self.findings = self._rows.summarise(connection)
            gone = len(self._rows.alive_keys(connection))
            unreadable = self._rows.find_unreadable(connection)
        if unreadable:
            self.findings.append(unreadable)
        elif self._tally.rows_read and not any(one.compared for one in self.findings):
            self._doubt(
                f"none of the {self._tally.rows_read:,} rows that the server lists could be compared, because all "
                "changed after the last sync: sync, then verify again"
            )
        if self.asked.repair:
            if self._table.contact:  # such rows were deleted when their contact was, and not only now
                deleted = "(SELECT uuid, deleted_on FROM contacts WHERE deleted_on IS NOT NULL)"
                self._tally.rows_deleted += self._lake.commit(
                    lambda connection: mark_rows_of_deleted_contacts(connection, [self._table], deleted)
                )
            if gone:
                self.mark_gone(gone)
            self._lake.commit(self._rows.remove_doubles)

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

    def expect_some(self, within: str) -> None:
        """Doubt a server that lists nothing where the lake has live rows `within` a condition (SQL)."""
        with self._lake.connection() as connection:
            kept = 0 if self._tally.rows_read else count(connection, f'"{self._table.name}" WHERE {within}')
        if kept:
            self._doubt(
                f"the server lists no rows where the lake has {kept:,}: look at the workspace, then verify again"
            )

    def pending(self, keys: Sequence[str]) -> None:
        """Count these keys as changed after the last sync where they differ."""
        with self._lake.connection() as connection:
            self._rows.mark_pending(connection, keys)

    def _doubt(self, note: str) -> None:
        self._tally.suspicious = True
        self._tally.notes.append(note)
