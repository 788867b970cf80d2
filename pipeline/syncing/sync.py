"""Brings streams up to date: one door for the command line and for Dagster."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

import duckdb

from pipeline.archives.files import ArchivesReader
from pipeline.errors import SettingsError, told
from pipeline.reading.batches import Batches
from pipeline.reading.documents import DailyReader, PerFlowReader
from pipeline.reading.listings import ListReader, NewestReader, SingleReader
from pipeline.reading.loads import DRAGGED
from pipeline.reading.progress import Progress
from pipeline.reading.reader import Options
from pipeline.reading.spool import Spool
from pipeline.reading.windows import WindowReader
from pipeline.results import StreamResult, SyncResult, Tally
from pipeline.settings import Settings
from pipeline.streams import (
    DIES_WITH_CONTACT,
    LISTS_CONTACTS,
    STREAMS,
    Archives,
    Daily,
    Newest,
    PerFlow,
    Single,
    Snapshot,
    Stream,
    Window,
)
from pipeline.syncing.lanes import Readers, Run
from pipeline.syncing.session import Session, open_session
from warehouse import (
    Lake,
    LakeStopped,
    mark_rows_of_deleted_contacts,
    note_drift,
    refresh_views,
    take_off_lists,
    waiting_streams,
)
from warehouse.lake import clock
from warehouse.lake.literal import Value, literal

# Syncs that were killed longer ago have left nothing that a verification has not seen since.
A_WEEK = timedelta(days=7)

READERS: Readers = {
    Window: WindowReader,
    Newest: NewestReader,
    Snapshot: ListReader,
    Archives: ArchivesReader,
    Single: SingleReader,
    PerFlow: PerFlowReader,
    Daily: DailyReader,
}


def choose(names: Sequence[str]) -> list[Stream]:
    """The streams of these names; all of them for none.

    Raises:
        SettingsError: there is no stream of a name.
    """
    unknown = [name for name in names if name not in STREAMS]
    if unknown:
        raise SettingsError(f"There is no stream {', '.join(unknown)}; there are: {', '.join(sorted(STREAMS))}.")
    return [STREAMS[name] for name in names] if names else list(STREAMS.values())


def sync(
    settings: Settings,
    streams: Sequence[Stream],
    progress: Progress,
    *,
    options: Options | None = None,
    stop: threading.Event | None = None,
) -> SyncResult:
    """Bring `streams` up to date, those of different throttle scopes side by side.

    Each stream ends for itself: one that fails does not stop the others. `stop` ends all of them after a commit.

    Raises:
        RapidlakeError: nothing could be begun: server, token, workspace or lake.
    """
    with open_session(settings, progress=progress, stop=stop) as session:
        return sync_in(session, settings, streams, progress, options or Options())


def sync_in(
    session: Session, settings: Settings, streams: Sequence[Stream], progress: Progress, options: Options
) -> SyncResult:
    """As `sync`, in a session that is open, and stays so."""
    begun = time.monotonic()

    def make_batches(stream: Stream, spool: Spool, tally: Tally) -> Batches:
        return Batches(
            session.lake,
            stream.table,
            spool,
            tally,
            accept_deletions=options.accept_deletions,
            accept_command=_accept_command(stream, options),
            waiting=options.waiting,
        )

    with session.lake.connection() as connection:
        options = replace(options, waiting=waiting_streams(connection))
    run = Run(session, settings, options, progress, READERS, make_batches)
    results = run.each(streams)
    try:
        _mark_rows_of_newly_deleted_contacts(session.lake, results, time.monotonic() - begun)
    except LakeStopped as error:
        results[0] = replace(results[0], outcome="stopped", message=told(error))
    record(session.lake, run.uuid, results)
    refresh_views(session.lake)
    workspace = session.workspace
    seconds = time.monotonic() - begun
    return SyncResult(run.uuid, str(workspace.uuid), str(settings.lake), results, seconds, workspace.name)


def _accept_command(stream: Stream, options: Options) -> str:
    if options.month:
        return f"rapidlake backfill {options.month} --stream {stream.name} --accept-deletions"
    return f"rapidlake sync {stream.name}{' --full' if options.full else ''} --accept-deletions"


def _mark_rows_of_newly_deleted_contacts(lake: Lake, results: Sequence[StreamResult], seconds: float) -> None:
    """Mark rows that were on their way, in this process or another, when the deletion of their contact arrived.

    `seconds` is how long it took: a clock that was set back meanwhile would show a time before it began. Deletions
    count too that syncs have brought which were killed, or stopped, since the last one that was neither.

    Raises:
        LakeStopped: the lake's `stop` was set while another process wrote.
    """
    begun = min([clock.now() - timedelta(seconds=seconds), *(result.started_on for result in results)])
    stopped = "SELECT run FROM _sync WHERE outcome = 'stopped'"
    ended = f"SELECT max(started_on) FROM _sync WHERE started_on > {literal(begun - A_WEEK)} AND run NOT IN ({stopped})"
    since = f"least({literal(begun)}, coalesce(({ended}), {literal(begun - A_WEEK)}))"
    recent = f"(SELECT uuid, deleted_on FROM contacts WHERE deleted_on IS NOT NULL AND synced_on >= {since})"
    if lake.rows(f"SELECT count(*) FROM {recent}")[0][0]:
        with lake.connection(), lake.writing(*DRAGGED):
            marked = lake.commit(lambda connection: _mark(connection, recent))
        results[0].tally.rows_deleted += marked


def _mark(connection: duckdb.DuckDBPyConnection, contacts: str) -> int:
    take_off_lists(connection, LISTS_CONTACTS, contacts)
    return mark_rows_of_deleted_contacts(connection, DIES_WITH_CONTACT, contacts)


def record(lake: Lake, run: uuid.UUID, results: Iterable[StreamResult]) -> None:
    """Write one row per stream into `_sync`, and the keys that differ from this version's into `_drift`."""
    results = list(results)
    rows: list[dict[str, Value]] = [{"run": str(run), **result.facts()} for result in results]
    drift = set().union(*(result.tally.drift for result in results))

    def write(connection: duckdb.DuckDBPyConnection) -> None:
        values = ", ".join(f"({', '.join(map(literal, row.values()))})" for row in rows)
        connection.execute(f"INSERT INTO _sync ({', '.join(rows[0])}) VALUES {values}")
        if drift:
            note_drift(connection, drift)

    lake.commit(write)
