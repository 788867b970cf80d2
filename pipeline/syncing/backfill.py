"""Reads past months whole: archive files first, then what the API still shows, then what has vanished."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from pipeline.errors import MustWait, ServerError, SettingsError
from pipeline.months import Month, month_range
from pipeline.reading.progress import Progress
from pipeline.reading.reader import ArchiveChoice, Options
from pipeline.reading.walk import TICK, timestamp
from pipeline.results import Counters, StreamResult, SyncResult, Tally
from pipeline.settings import Settings
from pipeline.streams import ARCHIVE_LIST, ARCHIVED, Stream
from pipeline.syncing.session import Session, open_session
from pipeline.syncing.sync import sync_in
from warehouse import Lake, archives_to_load
from warehouse.lake import clock
from warehouse.lake.literal import literal

# Another process is done with listing the archives, though not with loading many, after so long.
PATIENCE_SECONDS = 30.0
# Fewer months are read without asking first whether there is anything.
WORTH_ASKING = 2


def closed_months(months: Sequence[str], to: str | None = None) -> list[Month]:
    """The months that a user named, YYYY-MM; with `to` all from the one named to that one.

    Raises:
        SettingsError: one is no month, or is not over yet.
    """
    if not months:
        raise SettingsError("Name the months to read, e.g. `rapidlake backfill 2026-05 --to 2026-07`.")
    if to and len(months) > 1:
        raise SettingsError("--to takes one month before it, the first: name either months, or the first and --to.")
    named = [Month.parse(month) for month in months]
    chosen = month_range(named[0], Month.parse(to)) if to else named
    if open_ones := [month for month in chosen if month >= Month.of(clock.now())]:
        raise SettingsError(f"{open_ones[0]} is not over yet: `rapidlake sync` keeps it up to date.")
    return chosen


def backfill(
    settings: Settings,
    streams: Sequence[Stream],
    months: Sequence[Month],
    progress: Progress,
    *,
    accept_deletions: bool = False,
    stop: threading.Event | None = None,
) -> SyncResult:
    """Read closed `months` of `streams` whole, month by month; the first that fails, or must wait, ends it.

    Raises:
        RapidlakeError: nothing could be begun: server, token, workspace or lake.
    """
    begun = time.monotonic()
    with open_session(settings, progress=progress, stop=stop) as session:
        results = backfill_in(session, settings, streams, months, progress, accept_deletions=accept_deletions)
        workspace = session.workspace
    seconds = time.monotonic() - begun
    return SyncResult(uuid.uuid4(), str(workspace.uuid), str(settings.lake), results, seconds, workspace.name)


def backfill_in(
    session: Session,
    settings: Settings,
    streams: Sequence[Stream],
    months: Sequence[Month],
    progress: Progress,
    *,
    accept_deletions: bool = False,
) -> list[StreamResult]:
    """As `backfill`, in a session that is open, and stays so; how each part ended."""
    results: list[StreamResult] = []
    nothing = {stream.name: months_of_nothing(session, settings, stream, months, progress) for stream in streams}
    for stream in streams:
        if nothing[stream.name]:
            result = _nothing_there(stream, nothing[stream.name])
            progress.ended(result)
            results.append(result)
    for month, stream in product(months, streams):
        if month in nothing[stream.name]:
            continue
        results += backfill_month(session, settings, stream, month, progress, accept_deletions=accept_deletions)
        if not results[-1].good:
            break
    return results


def backfill_month(
    session: Session,
    settings: Settings,
    stream: Stream,
    month: Month,
    progress: Progress,
    *,
    accept_deletions: bool = False,
) -> list[StreamResult]:
    """Read a closed month of a stream whole; how its two parts ended: archive files, and, if they are good, API."""
    files = ArchiveChoice(frozenset([stream.table.archive_type or ""]), frozenset([str(month)]))
    asked = Options(accept_deletions=accept_deletions, wait_for_others=PATIENCE_SECONDS)
    options = replace(asked, archives=files)
    results = sync_in(session, settings, [ARCHIVE_LIST], progress, options).streams
    if results[-1].good:
        results += sync_in(session, settings, [stream], progress, replace(asked, month=month)).streams
    return results


def months_of_nothing(
    session: Session, settings: Settings, stream: Stream, months: Sequence[Month], progress: Progress
) -> list[Month]:
    """The closed `months` before the first of which there is anything: none need be asked for by itself.

    No listed archive file and no row of the lake is so old, and the server, asked once, lists nothing so old either.
    Where that cannot be shown, none: each month is read then.
    """
    early = _before_all_known(session.lake, stream, months)
    if len(early) < WORTH_ASKING:
        return []
    listing = Options(wait_for_others=PATIENCE_SECONDS, archives=ArchiveChoice(load=False))
    if not sync_in(session, settings, [ARCHIVE_LIST], progress, listing).streams[-1].good:
        return []
    early = _before_all_known(session.lake, stream, months)
    if len(early) < WORTH_ASKING:
        return []
    try:
        page = session.client.page(stream.path, {"before": timestamp(early[-1].end - TICK)}, scope=stream.scope)
    except (ServerError, MustWait):  # told by the first month that is read
        return []
    return [] if page.results else early


def nothing_said(stream: Stream, months: Sequence[Month]) -> str:
    """What `months_of_nothing` has found."""
    span = str(months[0]) if len(months) == 1 else f"{months[0]} to {months[-1]}"
    return f"{span}: the server has no {stream.name} that are so old, and no archive file of them"


def _nothing_there(stream: Stream, months: Sequence[Month]) -> StreamResult:
    tally = Tally(counters=Counters(requests=1))
    return StreamResult(stream.name, "done", clock.now(), 0.0, tally, nothing_said(stream, months))


def _before_all_known(lake: Lake, stream: Stream, months: Sequence[Month]) -> list[Month]:
    """The closed months before the first listed archive file, and before the first row in the lake."""
    on = stream.table.partitioned_by
    [(first,)] = lake.rows(
        f"""
        SELECT min(day) FROM (
            SELECT min(start_date) AS day FROM archives
            WHERE archive_type = {literal(stream.table.archive_type)} AND deleted_on IS NULL AND record_count > 0
            UNION ALL SELECT min("{on}")::DATE FROM "{stream.name}"
        )
        """
    )
    end = Month.of(min(first, clock.now().date()) if first else clock.now().date())
    return sorted(month for month in months if month < end)


def months_to_load(lake: Lake) -> dict[str, dict[Month, int]]:
    """Per archived stream: the months of which archive files are listed but not loaded, with how many files."""
    found: dict[str, dict[Month, int]] = {stream.name: {} for stream in ARCHIVED.values()}
    with lake.connection() as connection:
        for key in archives_to_load(connection):
            if key.archive_type in ARCHIVED:
                months = found[ARCHIVED[key.archive_type].name]
                month = Month.of(key.start_date)
                months[month] = months.get(month, 0) + 1
    return found
