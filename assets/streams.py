"""Makes an asset of every stream: messages and runs by month, all others whole.

No `from __future__ import annotations` here: Dagster reads the annotations of its functions as they stand.
"""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import dagster as dg

from assets.catalogue import (
    LEFT_OUT,
    OWNERS,
    describe,
    facts_of,
    freshness_of,
    group_of,
    lineage_of,
)
from assets.metadata import (
    last_written,
    live_rows,
    months_of_nothing_known,
    months_written,
    sync_metadata,
)
from assets.outcome import READ_IS_KEPT, cancellable, ended, held_still, progress_in_log, refused
from assets.partitions import MONTHS
from assets.workspace import WorkspaceResource
from pipeline.months import Month
from pipeline.reading.reader import ArchiveChoice, Options
from pipeline.results import StreamResult
from pipeline.settings import Settings
from pipeline.streams import Archives, Stream
from pipeline.syncing.backfill import backfill_month, months_of_nothing, nothing_said
from pipeline.syncing.session import Session
from pipeline.syncing.sync import sync_in
from warehouse import RapidlakeError
from warehouse.lake import clock

# The default workspace; pools are named after it, for a rate limit is a workspace's.
WORKSPACE = "main"
# Dagster plots it, and shows it with the month.
ROWS_OF_MONTH = "dagster/partition_row_count"


class SyncConfig(dg.Config):
    """What may be asked of one run, as the command line's options.

    full: read everything again; revisit: read recent rows again, due or not; accept_deletions: mark rows that are gone,
    however many; wait_for_others: seconds to wait for another process that is reading the same stream.
    """

    full: bool = False
    revisit: bool = False
    accept_deletions: bool = False
    wait_for_others: float = 0.0

    def options(self, stream: Stream) -> Options:
        """The same as the pipeline understands it."""
        return Options(
            full=self.full,
            revisit_now=self.revisit,
            accept_deletions=self.accept_deletions,
            wait_for_others=self.wait_for_others,
            # The list only: the files come with the months that they are of.
            archives=ArchiveChoice(load=not isinstance(stream.strategy, Archives)),
        )


def stream_asset(stream: Stream) -> dg.AssetsDefinition:
    """The asset of a stream's table."""
    monthly = stream.table.archive_type is not None

    @dg.asset(
        key=stream.name,
        deps=lineage_of(stream),
        group_name=group_of(stream),
        description=describe(stream),
        kinds={"rapidpro", "ducklake"},
        owners=OWNERS,
        metadata=facts_of(stream),
        freshness_policy=freshness_of(stream),
        pool=f"{WORKSPACE}/{stream.scope}",
        partitions_def=MONTHS if monthly else None,
        backfill_policy=dg.BackfillPolicy.single_run() if monthly else None,
        # A stream that another process is reading, or that must wait, ends well without being materialised.
        output_required=False,
    )
    def synced(
        context: dg.AssetExecutionContext, config: SyncConfig, workspace: WorkspaceResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        with cancellable(READ_IS_KEPT):
            try:
                if workspace.leaves_out(stream):
                    context.log.info(f"{stream.name}: {LEFT_OUT}; nothing was asked for.")
                    return
                settings, session = workspace.begin(stream.name, progress_in_log(context))
                if held_still(context):
                    session.client.longest_wait = math.inf
                if monthly:
                    yield from _months(context, config, settings, session, stream)
                else:
                    yield from _whole(context, config, settings, session, stream)
            except RapidlakeError as error:
                refused(context, error)

    return synced


def _whole(
    context: dg.AssetExecutionContext, config: SyncConfig, settings: Settings, session: Session, stream: Stream
) -> Iterator[dg.MaterializeResult[None]]:
    """Sync a stream that has no partitions."""
    results = sync_in(session, settings, [stream], progress_in_log(context), config.options(stream)).streams
    if ended(context, results):
        yield dg.MaterializeResult(
            # What is made from the stream is out of date when rows have changed, not when they were looked at.
            data_version=dg.DataVersion(last_written(session.lake, stream)),
            metadata={
                **sync_metadata(session, stream, results),
                "dagster/row_count": live_rows(session.lake, stream),
            },
        )


def _months(
    context: dg.AssetExecutionContext, config: SyncConfig, settings: Settings, session: Session, stream: Stream
) -> Iterator[dg.MaterializeResult[None]]:
    """Bring months up to date, one after another: each is told as soon as it is committed."""
    months = [Month.parse(key) for key in context.partition_keys]
    nothing = months_of_nothing(session, settings, stream, months, progress_in_log(context))
    if nothing:
        context.log.info(f"{stream.name} {nothing_said(stream, nothing)}.")
    for number, month in enumerate(months, start=1):
        begun = clock.now()
        facts: dict[str, Any] = {ROWS_OF_MONTH: 0}
        if month not in nothing:
            context.log.info(f"{stream.name} {month}: month {number} of {len(months)}")
            results = _month(context, config, settings, session, stream, month)
            if not ended(context, results, left=months[number - 1 :]):
                return
            facts = {
                **sync_metadata(session, stream, results),
                ROWS_OF_MONTH: live_rows(session.lake, stream, month),
            }
        if number < len(months):
            context.log_event(dg.AssetMaterialization(stream.name, partition=str(month), metadata=facts))
        context.add_asset_metadata(facts, partition_key=str(month))
        if month not in nothing:
            _tell_other_months(context, session, stream, begun, besides=month)
    for month in months[:-1]:  # a month may have brought rows of those before it
        context.add_asset_metadata({ROWS_OF_MONTH: live_rows(session.lake, stream, month)}, partition_key=str(month))
    _tell_months_of_nothing(context, session, stream)
    yield dg.MaterializeResult(metadata={"dagster/row_count": live_rows(session.lake, stream)})


def _month(
    context: dg.AssetExecutionContext,
    config: SyncConfig,
    settings: Settings,
    session: Session,
    stream: Stream,
    month: Month,
) -> list[StreamResult]:
    """A month that is over is read whole; the open one from where the last sync ended."""
    progress = progress_in_log(context)
    if month.end > session.client.now():
        return sync_in(session, settings, [stream], progress, config.options(stream)).streams
    return backfill_month(session, settings, stream, month, progress, accept_deletions=config.accept_deletions)


def _tell_other_months(
    context: dg.AssetExecutionContext, session: Session, stream: Stream, since: datetime, *, besides: Month
) -> None:
    """Reading a month also brings, changes and deletes rows of others: tell their new numbers of rows."""
    for month in months_written(session.lake, stream, since):
        if month != besides and MONTHS.has_partition_key(str(month)):
            _tell(context, stream, month, live_rows(session.lake, stream, month))


def _tell_months_of_nothing(context: dg.AssetExecutionContext, session: Session, stream: Stream) -> None:
    """Months of which there is nothing are not missing: tell it, once, as soon as it is known."""
    told = context.instance.get_materialized_partitions(context.asset_key) | set(context.partition_keys)
    untold = [Month.parse(key) for key in MONTHS.get_partition_keys() if key not in told]
    if not untold:
        return
    months = months_of_nothing_known(session.lake, stream, untold)
    for month in months:
        _tell(context, stream, month, 0)
    if months:
        context.log.info(f"{stream.name}: of {len(months)} months there is nothing, from {months[0]} to {months[-1]}.")


def _tell(context: dg.AssetExecutionContext, stream: Stream, month: Month, rows: int) -> None:
    facts = {ROWS_OF_MONTH: rows}
    context.log_event(dg.AssetMaterialization(stream.name, partition=str(month), metadata=facts))
