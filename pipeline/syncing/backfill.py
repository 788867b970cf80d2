"""Reads past months whole: archive files first, then what the API still shows, then what has vanished."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from pipeline.errors import SettingsError
from pipeline.months import Month, month_range
from pipeline.reading.progress import Progress
from pipeline.reading.reader import ArchiveChoice, Options
from pipeline.results import StreamResult, SyncResult
from pipeline.settings import Settings
from pipeline.streams import ARCHIVE_LIST, ARCHIVED, Stream
from pipeline.syncing.session import Session, open_session
from pipeline.syncing.sync import sync_in
from warehouse import Lake, archives_to_load
from warehouse.lake import clock

# Another process is done with listing the archives, though not with loading many, after so long.
PATIENCE_SECONDS = 30.0


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
        workspace = session.workspace.name
    return SyncResult(uuid.uuid4(), workspace, str(settings.lake), results, time.monotonic() - begun)


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
    for month, stream in product(months, streams):
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
