"""Loads archive files: lists them, downloads several at once, proves each, and loads what is new or changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import duckdb
import msgspec

from pipeline.archives.listed import ArchiveList, ListedFile, without_address
from pipeline.archives.proving import prove
from pipeline.archives.unpack import Bounds, Unpacked, unpack
from pipeline.errors import AddressExpired, ArchivesFailed, ServerError, ServerUnavailable, Stopped, Unproven
from pipeline.reading.batches import Batches
from pipeline.reading.listings import ListReader
from pipeline.reading.reader import ROWS
from pipeline.reading.spool import Spool
from pipeline.reading.vanished import settle_vanished
from pipeline.reading.walk import Fetch, follow
from pipeline.results import Counters, Tally
from pipeline.server.downloads import Downloads
from pipeline.server.pages import Page
from pipeline.settings import GIGABYTE, MEGABYTE
from pipeline.streams import ARCHIVED, Stream
from warehouse import (
    ArchiveKey,
    Cursor,
    RowsLost,
    adopt_monthly_files,
    archives_listed,
    archives_to_load,
    emptied_archives,
    empty_archive,
    loaded_months,
    note_archive,
    settle_files,
    unsettled_files,
    within_spans,
)
from warehouse.lake.table import count

DOWNLOADS_AT_ONCE = 4
# A file whose address keeps expiring, or that keeps being replaced, is left for the next sync.
MOST_LISTINGS = 5
SHOWN_FAILURES = 5
# After so many files in a row that the store did not send, it is down.
MOST_UNAVAILABLE = 3
# Bytes of JSON to load at once: more would need more than the half gigabyte of memory that a small server has.
BATCH_BYTES = 48 * 1024 * 1024


@dataclass(frozen=True)
class Download:
    """A proven file on this machine; None if the server lists it no longer."""

    listed: ListedFile | None
    file: Path
    counters: Counters


class Account:
    """The entry of a file that is being loaded, written with its last rows; `known` if its month has files already."""

    def __init__(self, stream: Stream, listed: ListedFile, tally: Tally, batches: Batches, *, known: bool) -> None:
        self.written = False
        self._stream = stream
        self._listed = listed
        self._tally = tally
        self._batches = batches
        self._known = known

    def write(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Write it, inside the caller's transaction."""
        last = count(connection, "parsed_row WHERE unreadable IS NOT NULL")
        unreadable = self._tally.rows_unreadable + last
        if self._known and not unreadable:
            self._batches.release_rows(connection, self._listed.key)
        note_archive(
            connection,
            self._stream.table,
            self._listed.key,
            digest=self._listed.digest,
            size=self._listed.size or 0,
            record_count=self._listed.record_count,
            unreadable=unreadable,
            settled=not self._stream.shows_deletions,
            first=not self._known,
        )
        self.written = True


class ArchivesReader(ListReader):
    """The list of archives, and the files."""

    # A monthly file takes the place of thirty daily ones.
    guarded = False

    def read_stream(self) -> None:
        """Read the list, then load the files that are new or have changed."""
        self._list = ArchiveList(self._rows_of_list)
        super().read_stream()
        self.lake.commit(adopt_monthly_files)
        if self.options.archives.load:
            self._note_emptied()
        cursor = self._chosen_start()
        try:
            self._load_wanted(cursor)
        except ArchivesFailed:  # which keep only those rows waiting that the files may have
            self._settle_all(cursor)
            raise
        self._settle_all(cursor)
        if not self.tally.suspicious:
            self.lake.commit(self.saving({ROWS: cursor}))

    def _settle_all(self, cursor: Cursor) -> None:
        """Ask for what no file has, of each archived stream whose rows stay in place, unless only the list was read."""
        if self.options.archives.load:
            for stream in ARCHIVED.values():
                if stream.shows_deletions:
                    self._settle(stream, cursor)

    def _note_emptied(self) -> None:
        """Let no row name a file any more that the server lists without records."""
        with self.lake.connection() as connection:
            emptied = emptied_archives(connection)
        for key, digest in emptied:
            stream = ARCHIVED[key.archive_type]
            empty = partial(
                empty_archive, table=stream.table, key=key, digest=digest, settled=not stream.shows_deletions
            )
            with self.lake.connection(), self.lake.writing(stream.table.name):
                self.lake.commit(empty)

    def _load_wanted(self, cursor: Cursor) -> None:
        """Load the files that are new or have changed, and those that are to be read again because of them."""
        tried: set[ArchiveKey] = set()
        while wanted := [key for key in self._wanted(cursor) if key not in tried]:
            if not tried:
                self._remove_leftovers(wanted)
            tried.update(wanted)
            self._load_all(wanted)
        if not tried:
            self._remove_leftovers([])

    def _wanted(self, cursor: Cursor) -> list[ArchiveKey]:
        """The files to load, newest first."""
        chosen = self.options.archives
        with self.lake.connection() as connection:
            keys = archives_to_load(connection, again=chosen.again)
            self._months = loaded_months(connection)
        wanted = [key for key in keys if key.archive_type in ARCHIVED and self._is_wanted(key)]
        if cursor.complete_from and not chosen.months:
            wanted = [key for key in wanted if key.end_date > cursor.complete_from.date()]
        return wanted

    def _is_wanted(self, key: ArchiveKey) -> bool:
        """True if the file was asked for, by its type where that is of a stream that the settings leave out."""
        left_out = ARCHIVED[key.archive_type].name in self.settings.left_out
        return self.options.archives.has(key) and (not left_out or key.archive_type in self.options.archives.types)

    def _settle(self, stream: Stream, cursor: Cursor) -> None:
        """Ask for rows that none of the files has which were loaded, and are of their time."""
        wanted_from = cursor.complete_from.date() if cursor.complete_from else None
        with self.lake.connection() as connection:
            files = unsettled_files(connection, stream.table)
            if not files:
                return
            archived = replace(archives_listed(connection, stream.table), wanted_from=wanted_from)
            since = archived.unread_until(connection, stream.table)
        tally = Tally(counters=self.tally.counters)
        spool = Spool(self.lake.spool, f"archives-{stream.name}")
        batches = self._batches(stream, spool, tally)
        batches.believe(archived)
        batches.begin_whole_reading()
        try:
            ask = partial(self.archives_now, stream, wanted_from)
            within = within_spans(f'"{stream.table.partitioned_by}"', [(key.start_date, key.end_date) for key in files])
            settle_vanished(batches, self.lake, stream, self._fetching_rows(stream), ask, within, listed=False)
            if not tally.suspicious:  # else they are asked for again until somebody has looked
                self.lake.commit(lambda connection: settle_files(connection, stream.table, since))
        finally:
            batches.end_whole_reading()
            spool.clear()
            self.tally.add(tally)

    def take(self, page: Page) -> None:
        """Note the addresses, and add the rows without them."""
        self._list.note(page.results)
        super().take(Page([without_address(row) for row in page.results]))

    def _rows_of_list(self) -> list[msgspec.Raw]:
        """The list as it is now, not stored."""
        pages = follow(self.fetching({}), self.stream.name, dict(self.stream.params))
        return [row for page in pages for row in page.results]

    def _chosen_start(self) -> Cursor:
        """From when on archives are wanted: what `--since` said in any sync, the earliest."""
        before, since = self.cursor(ROWS), self.options.since
        read = self.reached(self.before)
        if ROWS not in self.cursors or self.options.full:
            return Cursor(read, since)
        start = before.complete_from
        return Cursor(read, min(start, since) if start and since else start)

    # Loading.

    @property
    def _largest(self) -> int:
        """Bytes that a file may have when it is unpacked."""
        return int(self.settings.largest_archive * GIGABYTE)

    def _load_all(self, wanted: Sequence[ArchiveKey]) -> None:
        """Load files while the next ones are being downloaded; those that fail do not stop the others."""
        failures: list[str] = []
        in_a_row = 0
        with (
            self._downloads() as downloads,
            ThreadPoolExecutor(DOWNLOADS_AT_ONCE, thread_name_prefix="download") as pool,
        ):
            for key, ahead in _ahead(pool, lambda key: self._download(key, downloads), wanted):
                try:
                    self._load(key, ahead, downloads)
                    in_a_row = 0
                except ServerError as error:
                    failures.append(f"{key} ({error})")
                    in_a_row += isinstance(error, ServerUnavailable)
                    if in_a_row == MOST_UNAVAILABLE:
                        break
        if failures:
            more = f" and {len(failures) - SHOWN_FAILURES} more" if len(failures) > SHOWN_FAILURES else ""
            rest = "the rest was not tried" if in_a_row == MOST_UNAVAILABLE else "the others are"
            raise ArchivesFailed(
                f"{len(failures)} of {len(wanted)} archive files are not loaded, {rest}: "
                f"{', '.join(failures[:SHOWN_FAILURES])}{more}; the next sync tries again, "
                "and if it stays so, tell whoever runs the server"
            )

    def _downloads(self) -> Downloads:
        """What fetches files, from where the settings allow it."""
        return Downloads(
            self.client.url,
            stores=self.settings.stores,
            ca_file=self.settings.ca_file,
            patience=self.client.patience,
            stop=self.client.stop,
        )

    def _download(self, key: ArchiveKey, downloads: Downloads) -> Download:
        """Download a file and prove it, once more with a fresh address if it is another than listed."""
        counters = Counters()
        listed = self._list.get(key)
        proven = False
        if listed is None:
            raise Unproven("the server lists it without an address, or without an MD5")
        for listings in range(MOST_LISTINGS):
            if listed is None:
                return Download(None, Path(), counters)
            file = self.lake.downloads / listed.file_name
            try:
                downloads.fetch(
                    listed.url, file, counters, most=listed.size or self._largest, failing=self.listener().failing
                )
                prove(file, size=listed.size, digest=listed.digest)
                return Download(listed, file, counters)
            except AddressExpired:
                if listings == MOST_LISTINGS - 1:
                    raise
            except Unproven:
                file.unlink(missing_ok=True)
                if proven:
                    raise
                proven = True
            listed = self._list.renew(listed)
        raise AddressExpired(f"it was replaced {MOST_LISTINGS} times while it was downloaded")

    def _load(self, key: ArchiveKey, ahead: Future[Download], downloads: Downloads) -> None:
        """Unpack a file and load it; one that does not hold what the list says is downloaded once more.

        Raises:
            Unproven: nor does it then.
        """
        download = ahead.result()
        for second in (False, True):
            self.tally.counters.bytes += download.counters.bytes
            listed = download.listed
            if listed is None:  # a monthly file has taken its place, and comes with the next sync
                return
            try:
                self._unpack_and_load(listed, download.file)
                return
            except Unproven:
                if second:
                    raise
                self._list.renew(listed)
                download = self._download(key, downloads)

    def _unpack_and_load(self, listed: ListedFile, file: Path) -> None:
        try:
            unpacked = unpack(file, Bounds(listed.record_count, self._largest, self.settings.longest_row * MEGABYTE))
            if unpacked.lines != listed.record_count:
                raise Unproven(f"it has {unpacked.lines:,} records where the list says {listed.record_count:,}")
            file.unlink()
            self._load_parts(listed, unpacked)
        finally:
            file.unlink(missing_ok=True)
            self._remove_parts(file.name)

    def _load_parts(self, listed: ListedFile, unpacked: Unpacked) -> None:
        """Load the lines part by part, look for what the file no longer has, and note that it is in the lake."""
        stream, tally = ARCHIVED[listed.key.archive_type], Tally(counters=self.tally.counters)
        spool = Spool(self.lake.spool, f"archives-{stream.name}")
        batches = self._batches(stream, spool, tally)
        known = listed.key.month in self._months
        account = Account(stream, listed, tally, batches, known=known)
        if known:
            batches.begin_whole_reading()
        groups = list(_batches_of(unpacked.parts))
        try:
            for number, parts in enumerate(groups):
                if self.client.stop.is_set():
                    raise Stopped("Stopped: all that was loaded is committed; run the same command again to go on.")
                last = number == len(groups) - 1
                batches.load(
                    parts,
                    account.write if last else None,
                    rows=unpacked.lines - tally.rows_accounted if last else None,
                    longest=unpacked.longest,
                    archived_in=listed.key.start_date,
                )
                self.progress.page(self.stream.name, self.tally)
        except RowsLost:
            raise Unproven("not each of its lines is a record") from None
        finally:
            batches.end_whole_reading()
            spool.clear()
            if account.written:
                self._months.add(listed.key.month)
            tally.rows_read += unpacked.lines
            tally.files = 1
            self.tally.add(tally)

    def _batches(self, stream: Stream, spool: Spool, tally: Tally) -> Batches:
        """What carries rows of an archived stream into the lake."""
        return Batches(
            self.lake,
            stream.table,
            spool,
            tally,
            accept_deletions=self.options.accept_deletions,
            accept_command="rapidlake sync archives --accept-deletions",
            waiting=self.options.waiting,
        )

    def _fetching_rows(self, stream: Stream) -> Fetch:
        """A function that asks for a page of the stream whose archive this is."""
        listener = self.listener()
        return lambda params: self.client.page(stream.path, params, scope=stream.scope, listener=listener)

    def _remove_leftovers(self, wanted: Sequence[ArchiveKey]) -> None:
        """Delete downloads that a killed sync left, but for those that can be resumed; links are no sync's."""
        resumable = {listed.file_name for key in wanted if (listed := self._list.get(key))}
        for file in self.lake.downloads.glob("archives.*.gz"):
            if file.name not in resumable or file.is_symlink():
                file.unlink(missing_ok=True)
        self._remove_parts("archives.*.gz")

    def _remove_parts(self, of: str) -> None:
        """Delete what files of this name were unpacked to."""
        for part in self.lake.downloads.glob(f"{of}.*.jsonl"):
            part.unlink(missing_ok=True)


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[ArchiveKey], Download], keys: Sequence[ArchiveKey]
) -> Iterator[tuple[ArchiveKey, Future[Download]]]:
    """Begin the work of the next keys while the first is being used: never more than fit on the disk."""
    begun: deque[tuple[ArchiveKey, Future[Download]]] = deque()
    waiting = iter(keys)
    while True:
        while len(begun) < DOWNLOADS_AT_ONCE and (key := next(waiting, None)):
            begun.append((key, pool.submit(work, key)))
        if not begun:
            return
        yield begun.popleft()


def _batches_of(parts: list[Path]) -> Iterator[list[Path]]:
    """The parts in groups of a batch's size."""
    group: list[Path] = []
    size = 0
    for part in parts:
        group.append(part)
        size += part.stat().st_size
        if size >= BATCH_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
