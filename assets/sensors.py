"""What begins runs besides the clock: new archive files, the rate limit when it frees, and
the end of a sync; and what tells of failures.

No `from __future__ import annotations` here: Dagster reads the annotations of its functions as they stand.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from assets.alive import dead_runs
from assets.outcome import (
    BACKFILL,
    GO_ON,
    HELD,
    HELD_UNTIL,
    HOURLY_SYNC,
    LIVE_SYNC,
    LOADS,
    PACE,
    PUBLISH,
    RUN_KEY,
    UNFINISHED,
    has_successor,
    successor_key,
    tick,
)
from assets.partitions import MONTHS
from assets.schedules import JOBS, UNFINISHED_STATUSES
from assets.workspace import WorkspaceResource
from pipeline.errors import MustWait, told
from pipeline.months import Month
from pipeline.settings import Settings, load_settings, local_settings
from pipeline.streams import ARCHIVED
from pipeline.syncing.backfill import months_to_load
from pipeline.syncing.session import identify, open_client
from warehouse import Lake, LakeNotFound, RapidlakeError
from warehouse.lake import clock

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
RUNS_AT_ONCE = 20
FINISHED_STATUSES = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
# The rate limit frees within an hour: what is held for longer was noted by a clock that has been set back since.
LONGEST_HELD = timedelta(hours=2)


@dg.sensor(
    jobs=[job for job in JOBS if job.name in (LIVE_SYNC, HOURLY_SYNC)],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Begins to fill a lake that is not there yet, as soon as the server takes the token.",
)
def first_sync(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask for all streams once, as soon as there are settings and no lake."""
    with tick():
        try:
            settings = load_settings()
            Lake.open(settings.lake).close()
            yield dg.SkipReason(f"The lake {settings.lake} is there: the schedules keep it up to date.")
        except LakeNotFound:
            yield from _begin(context, settings)
        except RapidlakeError as error:
            yield dg.SkipReason(told(error))


def _begin(context: dg.SensorEvaluationContext, settings: Settings) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """The two runs that fill a lake; or one run that says in red, once, why the server lets nothing begin."""
    under_way = dg.RunsFilter(tags={PACE: HOURLY_SYNC}, statuses=UNFINISHED_STATUSES)
    if context.instance.get_runs(under_way, limit=1):
        yield dg.SkipReason("The first sync is under way.")
        return
    key = f"first sync of {settings.lake.resolve()}"
    try:
        with open_client(settings.model_copy(update={"longest_wait": 0.0})) as client:
            identify(client)
    except MustWait as error:
        yield dg.SkipReason(told(error))
    except RapidlakeError as error:
        said = told(error)
        known = context.instance.get_runs(dg.RunsFilter(tags={RUN_KEY: f"{key}: {said}"}), limit=1)
        yield dg.SkipReason(said) if known else dg.RunRequest(run_key=f"{key}: {said}", job_name=HOURLY_SYNC)
    else:
        now = clock.now()  # where it fails for another reason, it is tried again in the next hour
        for job, month in ((HOURLY_SYNC, None), (LIVE_SYNC, str(Month.of(now)))):
            yield dg.RunRequest(run_key=f"{key}: {job} {now:%Y-%m-%dT%H}", job_name=job, partition_key=month)


@dg.sensor(
    target=dg.AssetSelection.assets(*(stream.name for stream in ARCHIVED.values())),
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reads the months of which archive files are new or changed since they were loaded.",
)
def archives_arrived(
    context: dg.SensorEvaluationContext, workspace: WorkspaceResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask for one span of months of one stream at a time."""
    with tick():
        try:
            settings = load_settings()
            with workspace.lake() as lake:
                wanted = {
                    name: months for name, months in months_to_load(lake).items() if name not in settings.left_out
                }
        except RapidlakeError as error:
            yield dg.SkipReason(told(error))
            return
        # One at a time: only one process downloads.
        under_way = dg.RunsFilter(tags={LOADS: "yes"}, statuses=UNFINISHED_STATUSES)
        left_over = dg.RunsFilter(tags={LOADS: "yes", UNFINISHED: "yes"})
        if any(context.instance.get_runs(which, limit=1) for which in (under_way, left_over)):
            yield dg.SkipReason("Archive files are being loaded.")
            return
        answers = [_load(context, stream, months) for stream, months in wanted.items()]
        request = next((answer for answer in answers if isinstance(answer, dg.RunRequest)), None)
        yield request or dg.SkipReason(" ".join(map(str, answers)))


def _load(context: dg.SensorEvaluationContext, stream: str, months: Mapping[Month, int]) -> dg.RunRequest | str:
    """The run that loads the latest months without a gap between them; or why there is none to begin."""
    now = clock.now()
    known = sorted(month for month in months if MONTHS.has_partition_key(str(month)) and month.end <= now)
    if not known:
        return f"{stream}: all archive files are loaded{f', but for {_not_due(months)}' if months else ''}."
    first = last = known[-1]
    while first.plus(-1) in known:
        first = first.plus(-1)
    files = sum(months[month] for month in known if first <= month)
    run_key = f"{stream} {first}...{last} {files} {now:%Y-%m-%dT%H}"
    if context.instance.get_runs(dg.RunsFilter(tags={RUN_KEY: run_key}), limit=1):
        return f"{stream}: {files} files could not be loaded and are tried again in the next hour."
    return dg.RunRequest(
        run_key=run_key,
        asset_selection=[dg.AssetKey(stream)],
        tags={RANGE_START: str(first), RANGE_END: str(last), LOADS: "yes"},
    )


def _not_due(months: Mapping[Month, int]) -> str:
    """Which months' files wait, and for what."""
    early = [month for month in months if not MONTHS.has_partition_key(str(month))]
    told = [f"those before {MONTHS.get_first_partition_key()} (RAPIDLAKE_FIRST_MONTH)"] if early else []
    return " and ".join([*told, *(["those of the month that is not over"] if len(early) < len(months) else [])])


@dg.sensor(
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Queues a run for each asset that had to wait for the rate limit, and lets it go when the limit frees; "
        "no worker waits meanwhile."
    ),
)
def rate_limit_freed(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Queue what goes on, once for each asset that had to wait; let go what has waited long enough."""
    with tick():
        _let_go(context)
        requests = [
            request
            for run in context.instance.get_runs(dg.RunsFilter(tags={UNFINISHED: "yes"}), limit=RUNS_AT_ONCE)
            for request in _successors(context, run)
        ]
        if not requests:
            yield dg.SkipReason("Nothing new waits for the rate limit.")
        yield from requests


def _let_go(context: dg.SensorEvaluationContext) -> None:
    """Let runs leave the queue whose time has come."""
    now = clock.now()
    held = context.instance.get_runs(dg.RunsFilter(tags={HELD: "yes"}, statuses=[dg.DagsterRunStatus.QUEUED]))
    for run in held:
        left = datetime.fromisoformat(run.tags[HELD_UNTIL]) - now
        if not timedelta(0) < left < LONGEST_HELD:
            context.instance.add_run_tags(run.run_id, {HELD: "no"})


def _successors(context: dg.SensorEvaluationContext, run: dg.DagsterRun) -> Iterator[dg.RunRequest]:
    """The runs that go on with the assets that `run` has left, as far as they are not queued yet."""
    notes = {key.removeprefix(f"{GO_ON}/"): note for key, note in run.tags.items() if key.startswith(f"{GO_ON}/")}
    queued = {asset for asset in notes if has_successor(context.instance, run.run_id, asset)}
    if run.is_finished and queued == notes.keys():
        context.instance.add_run_tags(run.run_id, {UNFINISHED: "no"})
    for asset in notes.keys() - queued:
        after, _, span = notes[asset].partition(" ")
        yield _go_on(run, asset, after, span)


def _go_on(run: dg.DagsterRun, asset: str, after: str, span: str) -> dg.RunRequest:
    """The run that does what `run` left of an asset: `span` of its months, with the same configuration."""
    first, _, last = span.partition("...")
    kept = {key: value for key, value in run.tags.items() if key in (LOADS, BACKFILL)}
    asked: Mapping[str, Any] = run.run_config.get("ops", {})  # type: ignore[assignment]  # Dagster says object
    return dg.RunRequest(
        run_key=successor_key(run.run_id, asset),
        asset_selection=[dg.AssetKey(asset)],
        run_config={"ops": {asset: asked[asset]}} if asset in asked else {},
        tags={**kept, HELD: "yes", HELD_UNTIL: after, **({RANGE_START: first, RANGE_END: last} if span else {})},
    )


@dg.sensor(
    job=next(job for job in JOBS if job.name == PUBLISH),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Renews the copy for those who may only read, after each sync of the schedules, well ended or not.",
)
@tick()
def sync_ended(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for the copy once for the sync that ended last; one that ends while it is made asks again."""
    try:
        if not local_settings().publish:
            return dg.SkipReason("Nothing is published: RAPIDLAKE_PUBLISH names no folder.")
    except RapidlakeError as error:
        return dg.SkipReason(told(error))
    # A sync that failed has committed what it had read, and other streams than the one that failed.
    ended = dg.RunsFilter(tags={PACE: [LIVE_SYNC, HOURLY_SYNC]}, statuses=FINISHED_STATUSES)
    latest = context.instance.get_run_records(ended, limit=1, order_by="update_timestamp")
    if not latest:
        return dg.SkipReason("No sync of the schedules has ended yet.")
    sync = latest[0].dagster_run
    key = f"publish after {sync.run_id}"
    if context.instance.get_runs(dg.RunsFilter(tags={RUN_KEY: key}), limit=1):
        return dg.SkipReason(f"What {sync.job_name} {sync.run_id[:8]} has left is published, or about to be.")
    under_way = dg.RunsFilter(job_name=PUBLISH, statuses=UNFINISHED_STATUSES)
    if running := context.instance.get_runs(under_way, limit=1):
        return dg.SkipReason(f"Run {running[0].run_id[:8]} of {PUBLISH} is not over yet; the next tick tries again.")
    return dg.RunRequest(run_key=key)


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Says which stream failed, and why, in the log of its ticks and of the daemon.",
)
@tick()
def failures(context: dg.RunFailureSensorContext) -> None:
    """Log a sentence per failed step."""
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        said = event.step_failure_data.user_failure_data
        reason = said.description if said and said.description else (error.message if error else "no reason was given")
        context.log.error(f"{event.step_key}: {' '.join(str(reason).split())}")
    if not context.get_step_failure_events():
        context.log.error(f"{context.dagster_run.job_name}: {context.failure_event.message}")


SENSORS = [first_sync, archives_arrived, rate_limit_freed, sync_ended, dead_runs, failures]
