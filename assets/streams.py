"""Makes an asset of every stream: messages and runs by month, all others whole.

No `from __future__ import annotations` here: Dagster reads the annotations of its functions as they stand.
"""

import math
from collections.abc import Iterator
from datetime import datetime

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
from assets.metadata import last_written, live_rows, months_written, preview, sync_metadata
from assets.outcome import ended, held_still, progress_in_log, refused
from assets.partitions import MONTHS
from assets.workspace import WorkspaceResource
from pipeline.months import Month
from pipeline.reading.reader import ArchiveChoice, Options
from pipeline.results import StreamResult
from pipeline.settings import Settings
from pipeline.streams import Archives, Stream
from pipeline.syncing.backfill import backfill_month
from pipeline.syncing.session import Session
from pipeline.syncing.sync import sync_in
from warehouse import RapidlakeError
from warehouse.lake import clock

# The default workspace; pools are named after it, for a rate limit is a workspace's.
WORKSPACE = "main"


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
        try:
            if stream.name in workspace.settings().left_out:
                context.log.info(f"{stream.name}: {LEFT_OUT}; nothing was asked for.")
                return
            settings, session = workspace.settings(), workspace.session(progress_in_log(context))
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
                "preview": preview(session.lake, stream),
            },
        )


def _months(
    context: dg.AssetExecutionContext, config: SyncConfig, settings: Settings, session: Session, stream: Stream
) -> Iterator[dg.MaterializeResult[None]]:
    """Bring months up to date, one after another: each is told as soon as it is committed."""
    months = [Month.parse(key) for key in context.partition_keys]
    for number, month in enumerate(months, start=1):
        begun = clock.now()
        context.log.info(f"{stream.name} {month}: month {number} of {len(months)}")
        results = _month(context, config, settings, session, stream, month)
        if not ended(context, results, left=months[number - 1 :]):
            return
        facts = {
            **sync_metadata(session, stream, results),
            "dagster/partition_row_count": live_rows(session.lake, stream, month),
            "preview": preview(session.lake, stream),
        }
        if number < len(months):
            context.log_event(dg.AssetMaterialization(stream.name, partition=str(month), metadata=facts))
        context.add_asset_metadata(facts, partition_key=str(month))
        if month.end > begun:
            _tell_other_months(context, session, stream, begun, besides=month)
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
    """A sync of the open month also brings late rows of earlier ones: tell their new numbers of rows."""
    for month in months_written(session.lake, stream, since):
        if month != besides and MONTHS.has_partition_key(str(month)):
            facts = {"dagster/partition_row_count": live_rows(session.lake, stream, month)}
            context.log_event(dg.AssetMaterialization(stream.name, partition=str(month), metadata=facts))
