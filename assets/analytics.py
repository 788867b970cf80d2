"""What analysts get from the lake: the report, and a copy for those who may only read.

No `from __future__ import annotations` here: Dagster reads the annotations of its functions as they stand.
"""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from assets.catalogue import ANALYTICS, LIVE, OWNERS, left_out
from assets.outcome import cancellable, refused
from assets.workspace import WorkspaceResource
from pipeline.settings import local_settings
from warehouse import RapidlakeError
from warehouse.errors import PublishBusy

REPORT_FILE = "report.html"
DAILY = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(hours=50))


@dg.asset(
    key="report",
    deps=["messages", "runs", "contacts", "groups", "broadcasts"],
    group_name=ANALYTICS,
    description=(
        f"One page that shows how the workspace is doing and whether the data is whole: `{REPORT_FILE}` in the lake's "
        "folder. It needs no network."
    ),
    kinds={"html", "ducklake"},
    owners=OWNERS,
    freshness_policy=DAILY,
    output_required=False,
)
def report_asset(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Make the report."""
    from pipeline.report import write_report  # what draws charts is large, and no sync needs it

    with cancellable("no file is left by half, and the report that was there stays"):
        try:
            with workspace.lake(threads=None) as lake:
                file = lake.path / REPORT_FILE
                write_report(lake, file, left_out=left_out())
        except RapidlakeError as error:
            refused(context, error)
            return
        yield dg.MaterializeResult(
            metadata={
                "file": dg.MetadataValue.path(str(file.resolve())),
                "kilobytes": round(file.stat().st_size / 1000),
            }
        )


@dg.asset(
    key="publish",
    deps=[*LIVE],
    group_name=ANALYTICS,
    description=(
        "A copy of the lake for those who may only read it, in the folder `RAPIDLAKE_PUBLISH`: renewed after each sync "
        "of the schedules, with all that is new. Does nothing where that is not set."
    ),
    kinds={"ducklake"},
    owners=OWNERS,
    output_required=False,
)
def publish_asset(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Make or renew the copy."""
    from warehouse.publishing.publish import publish

    with cancellable("the copy is what it was; the next publishing does the rest"):
        try:
            settings = local_settings(lake=workspace.lake_folder)
            if not settings.publish:
                context.log.info("Nothing is published: RAPIDLAKE_PUBLISH names no folder.")
                return
            done = publish(settings.lake, settings.publish)
        except PublishBusy as error:
            context.log.info(str(error))
            return
        except RapidlakeError as error:
            refused(context, error)
            return
        context.log.info(done.said)
        yield dg.MaterializeResult(
            metadata={
                "folder": dg.MetadataValue.path(str(settings.publish.resolve())),
                "files new": done.files_new,
                "files kept": done.files_kept,
                "files removed": done.files_removed,
                "megabytes copied": round(done.bytes_copied / 1e6, 1),
                "seconds": round(done.seconds, 1),
            }
        )
