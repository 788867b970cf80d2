"""What analysts get from the lake: the report.

No `from __future__ import annotations` here: Dagster reads the annotations of its functions as they stand.
"""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from assets.catalogue import ANALYTICS, OWNERS, left_out
from assets.outcome import cancellable, refused
from assets.workspace import WorkspaceResource
from warehouse import RapidlakeError

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
