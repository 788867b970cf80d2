"""What begins runs besides the clock: new archive files, and the rate limit when it frees; and what tells of failures.

No `from __future__ import annotations` here: Dagster reads the annotations of its functions as they stand.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assets.outcome import GO_ON, UNFINISHED
from assets.partitions import MONTHS
from assets.schedules import UNFINISHED_STATUSES
from assets.workspace import WorkspaceResource
from pipeline.backfill import months_to_load
from pipeline.months import Month
from pipeline.settings import load_settings
from warehouse import RapidlakeError

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
LOADS = "rapidlake/loads_archives_of"
FINISHED_STATUSES = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
RUNS_AT_ONCE = 20


@dg.sensor(
    target=dg.AssetSelection.assets("messages", "runs"),
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reads the months of which archive files are new or changed since they were loaded.",
)
def archives_arrived(
    context: dg.SensorEvaluationContext, workspace: WorkspaceResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask for one span of months per stream at a time."""
    try:
        load_settings()
        with workspace.lake() as lake:
            wanted = months_to_load(lake)
    except RapidlakeError as error:
        yield dg.SkipReason(str(error))
        return
    reasons = []
    for stream, months in wanted.items():
        request = _load(context, stream, months)
        if isinstance(request, dg.RunRequest):
            yield request
        else:
            reasons.append(request)
    yield dg.SkipReason(" ".join(reasons) or "Asked for what is new.")


def _load(context: dg.SensorEvaluationContext, stream: str, months: Mapping[Month, int]) -> dg.RunRequest | str:
    """The run that loads the latest months without a gap between them; or why there is none to begin."""
    now = datetime.now(UTC)
    known = sorted(month for month in months if MONTHS.has_partition_key(str(month)) and month.end <= now)
    if not known:
        unknown = min(months, default=None)
        if unknown is None:
            return f"{stream}: all archive files are loaded."
        return f"{stream}: archives go back to {unknown}: reload the definitions to see all months."
    if any(
        context.instance.get_runs(dg.RunsFilter(tags={LOADS: stream, **more}, statuses=statuses), limit=1)
        for more, statuses in (({}, UNFINISHED_STATUSES), ({UNFINISHED: "yes"}, FINISHED_STATUSES))
    ):
        return f"{stream}: months are being read."
    first = last = known[-1]
    while first.plus(-1) in known:
        first = first.plus(-1)
    files = sum(months[month] for month in known if first <= month)
    return dg.RunRequest(
        # Months whose files cannot be loaded are tried once an hour.
        run_key=f"{stream} {first}...{last} {files} {now:%Y-%m-%dT%H}",
        asset_selection=[dg.AssetKey(stream)],
        tags={RANGE_START: str(first), RANGE_END: str(last), LOADS: stream},
    )


@dg.sensor(
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Goes on with what had to wait for the rate limit, once it frees.",
)
def rate_limit_freed(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Begin the run that goes on, once for each asset that had to wait."""
    waiting = context.instance.get_runs(
        dg.RunsFilter(tags={UNFINISHED: "yes"}, statuses=FINISHED_STATUSES), limit=RUNS_AT_ONCE
    )
    now, later = datetime.now(UTC), []
    for run in waiting:
        notes = {key.removeprefix(f"{GO_ON}/"): note for key, note in run.tags.items() if key.startswith(f"{GO_ON}/")}
        open_notes = {asset: note for asset, note in notes.items() if not _begun(context, run.run_id, asset)}
        if not open_notes:
            context.instance.add_run_tags(run.run_id, {UNFINISHED: "no"})
        for asset, note in open_notes.items():
            after, _, span = note.partition(" ")
            if datetime.fromisoformat(after) <= now:
                yield _go_on(run, asset, span)
            else:
                later.append(f"{asset} goes on after {after}.")
    yield dg.SkipReason(" ".join(later) or "Nothing waits.")


def _key(run_id: str, asset: str) -> str:
    return f"{run_id} {asset}"


def _begun(context: dg.SensorEvaluationContext, run_id: str, asset: str) -> bool:
    return bool(context.instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": _key(run_id, asset)}), limit=1))


def _go_on(run: dg.DagsterRun, asset: str, span: str) -> dg.RunRequest:
    """The run that does what `run` left of an asset: `span` of its months, with the same configuration."""
    first, _, last = span.partition("...")
    kept = {key: value for key, value in run.tags.items() if key in (LOADS, "dagster/backfill")}
    asked: Mapping[str, Any] = run.run_config.get("ops", {})  # type: ignore[assignment]  # Dagster says object
    return dg.RunRequest(
        run_key=_key(run.run_id, asset),
        asset_selection=[dg.AssetKey(asset)],
        run_config={"ops": {asset: asked[asset]}} if asset in asked else {},
        tags={**kept, **({RANGE_START: first, RANGE_END: last} if span else {})},
    )


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Says which stream failed, and why, in the log of its ticks and of the daemon.",
)
def failures(context: dg.RunFailureSensorContext) -> None:
    """Log a sentence per failed step."""
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        said = event.step_failure_data.user_failure_data
        reason = said.description if said and said.description else (error.message if error else "no reason was given")
        context.log.error(f"{event.step_key}: {' '.join(str(reason).split())}")
    if not context.get_step_failure_events():
        context.log.error(f"{context.dagster_run.job_name}: {context.failure_event.message}")


SENSORS = [archives_arrived, rate_limit_freed, failures]
