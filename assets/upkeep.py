"""Assets that keep the lake true and small: verification, and maintenance.

No `from __future__ import annotations` here: Dagster reads the annotations of its functions as they stand.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from assets.catalogue import OWNERS, UPKEEP, left_out
from assets.outcome import HELD, READ_IS_KEPT, StepFailed, cancellable, go_on_later, progress_in_log, refused
from assets.workspace import WorkspaceResource
from pipeline.proof.comparing import Verification
from pipeline.proof.verify import VerifyResult, choose_verifiable, verify_in
from pipeline.reading.progress import compared
from pipeline.reading.reader import Options
from pipeline.settings import local_settings
from pipeline.streams import STREAMS
from pipeline.syncing.sync import sync_in
from warehouse import Lake, RapidlakeError, maintain
from warehouse.proof.findings import KINDS, Finding

# Each night, and a little patience.
NIGHTLY = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(hours=50))
# A sync of the same stream is over by then.
WAIT_FOR_SYNCS_SECONDS = 900.0


class VerifyConfig(dg.Config):
    """What may be asked of one verification, as the command line's options.

    sample: percent of the days to read, chosen at random (100: all), instead of those whose turn it is; repair: mend
    what differs.
    """

    sample: float | None = None
    repair: bool = True


@dg.asset(
    key="verify",
    deps=[stream.name for stream in choose_verifiable([]) if stream.name not in left_out()],
    group_name=UPKEEP,
    description=(
        "Syncs, then reads again what was proven longest ago, holds every row against the lake (missing, stale, "
        "double, unexpectedly alive, not archived), and mends what differs. Ten nights cover all that the API shows. "
        "What it finds is in the table `_verification`, what is proven in `_proven`; what it cannot mend turns the "
        "check `verified` red."
    ),
    kinds={"rapidpro", "ducklake"},
    owners=OWNERS,
    freshness_policy=NIGHTLY,
    output_required=False,
)
def verify_asset(
    context: dg.AssetExecutionContext, config: VerifyConfig, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Hold the lake against the server."""
    with cancellable(READ_IS_KEPT):
        try:
            settings, session = workspace.settings(), workspace.session(progress_in_log(context))
            streams = [stream for stream in choose_verifiable([]) if stream.name not in settings.left_out]
            # Rows of which no date tells that they changed would be called stale otherwise.
            fresh = Options(revisit_now=True, wait_for_others=WAIT_FOR_SYNCS_SECONDS)
            wanted = [stream for stream in STREAMS.values() if stream.name not in settings.left_out]
            sync_in(session, settings, wanted, progress_in_log(context), fresh)
            asked = Verification(
                100.0 if config.sample is None else config.sample,
                config.repair,
                rotate=config.sample is None,
                goes_on=HELD in context.run.tags,
            )
            patient = Options(wait_for_others=WAIT_FOR_SYNCS_SECONDS)
            result = verify_in(session, settings, streams, progress_in_log(context, compared), patient, asked)
        except RapidlakeError as error:
            refused(context, error)
            return
        context.log.info(result.conclusion)
        waits = [one.go_on_in for one in result.results if one.go_on_in is not None]
        if waits:
            go_on_later(context, "The rate limit is used up before everything was verified.", max(waits))
        elif not result.complete:
            raise StepFailed(result.conclusion, metadata=_facts(result), allow_retries=False)
        else:
            yield dg.MaterializeResult(metadata=_facts(result))


@dg.asset(
    key="maintain",
    group_name=UPKEEP,
    description=(
        "Joins small files, drops what was deleted from them, forgets versions older than `RAPIDLAKE_KEEP_DAYS`, and "
        "removes files that nobody uses. Changes no answer; runs beside syncs."
    ),
    kinds={"ducklake"},
    owners=OWNERS,
    freshness_policy=NIGHTLY,
    output_required=False,
)
def maintain_asset(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Tidy the lake up."""
    with cancellable("what was tidied up stays so; the next maintenance does the rest"):
        try:
            with workspace.lake():  # upkeep makes no lake
                settings = local_settings(lake=workspace.lake_folder)
            with Lake.create(settings.lake) as lake:
                done = maintain(lake, keep=timedelta(days=settings.keep_days))
        except RapidlakeError as error:
            refused(context, error)
            return
        context.log.info(done.said)
        if not done.busy:
            yield dg.MaterializeResult(
                metadata={
                    "files": done.after.files,
                    "megabytes": round(done.after.bytes / 1e6, 1),
                    "versions": done.after.snapshots,
                    "files removed": done.files_removed,
                    "seconds": round(done.seconds, 1),
                    "said": done.said,
                }
            )


def _facts(result: VerifyResult) -> dict[str, Any]:
    """What a verification found, as metadata; the table has a line per stream that was compared."""
    headings = ("stream", "compared", *KINDS, "pending")
    by_stream: dict[str, list[Finding]] = {}
    for finding in result.findings:
        by_stream.setdefault(finding.stream, []).append(finding)
    records = [
        dg.TableRecord({"stream": stream, **{name: sum(getattr(one, name) for one in of) for name in headings[1:]}})
        for stream, of in by_stream.items()
    ]
    schema = dg.TableSchema([dg.TableColumn(name, "string" if name == "stream" else "int") for name in headings])
    return {
        "conclusion": result.conclusion,
        "rows compared": sum(one.compared for one in result.findings),
        "differences": sum(one.differences for one in result.findings),
        "requests": sum(one.tally.counters.requests for one in result.results),
        "seconds": round(result.seconds, 1),
        "findings": dg.MetadataValue.table(records, schema),
    }
