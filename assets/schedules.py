"""When what is synced: jobs, and the schedules that run them; all are switched on by default.

No `from __future__ import annotations` here: Dagster reads the annotations of its functions as they stand.
"""

from collections.abc import Sequence
from datetime import UTC
from zoneinfo import available_timezones

import dagster as dg

from assets.catalogue import LIVE
from assets.checks import CHEAP_CHECKS, lake_checks
from assets.outcome import HOURLY_SYNC, LIVE_SYNC, NIGHTLY_REVISITS, PACE
from assets.streams import SyncConfig
from assets.upkeep import WAIT_FOR_SYNCS_SECONDS
from pipeline.errors import SettingsError, told
from pipeline.months import Month
from pipeline.settings import Settings, load_settings, local_settings
from pipeline.streams import STREAMS, Window
from warehouse import Lake, RapidlakeError

NIGHTLY_VERIFICATION, NIGHTLY_MAINTENANCE = "nightly_verification", "nightly_maintenance"
MORNING_REPORT = "morning_report"
HOURLY_CHECKS, NIGHTLY_CHECKS = "hourly_checks", "nightly_checks"
HOURLY = tuple(name for name in STREAMS if name not in LIVE)
# Streams of which recent rows change without a date that tells it.
REVISITED = tuple(
    name for name, stream in STREAMS.items() if isinstance(stream.strategy, Window) and stream.strategy.revisits
)
UNFINISHED_STATUSES = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


# Job → the assets that it takes, and why.
_TAKES: dict[str, tuple[Sequence[str], str]] = {
    LIVE_SYNC: (LIVE, "Contacts, messages, runs and tickets that are new or changed."),
    HOURLY_SYNC: (HOURLY, "All other streams: what is set up, and what the server forgets."),
    NIGHTLY_REVISITS: (REVISITED, "Recent rows once more, because no date tells that they changed."),
    NIGHTLY_VERIFICATION: (("verify",), "Holds the lake against the server."),
    NIGHTLY_MAINTENANCE: (("maintain",), "Joins small files and forgets old versions."),
    MORNING_REPORT: (("report",), "Makes the report anew."),
}
_CHECKS: dict[str, tuple[dg.AssetSelection, str]] = {
    HOURLY_CHECKS: (dg.AssetSelection.checks(*CHEAP_CHECKS), "The checks that cost little."),
    NIGHTLY_CHECKS: (dg.AssetSelection.checks(lake_checks), "All checks."),
}
JOBS = [
    dg.define_asset_job(name, selection, description=why, tags={PACE: name})
    for name, (selection, why) in {
        # A sync must cost what changed, and some checks read whole tables.
        **{name: (dg.AssetSelection.assets(*assets).without_checks(), why) for name, (assets, why) in _TAKES.items()},
        **_CHECKS,
    }.items()
]


def _timing() -> tuple[Settings, str]:
    """The settings, or their defaults if they are wrong (a run tells what is), and the workspace's timezone."""
    try:
        settings = local_settings()
    except SettingsError:
        settings = Settings.model_construct()
    return settings, _workspace_timezone(settings)


def _workspace_timezone(settings: Settings) -> str:
    """The timezone of the workspace in the lake; UTC while there is none."""
    try:
        with Lake.open(settings.lake) as lake:
            rows = lake.rows("SELECT timezone FROM workspace LIMIT 1")
    except RapidlakeError:
        return "UTC"
    return str(rows[0][0]) if rows and rows[0][0] in available_timezones() else "UTC"


def schedules() -> list[dg.ScheduleDefinition]:
    """The schedules; nights are those of the workspace."""
    settings, timezone = _timing()
    minutes, hour = settings.live_minutes, settings.night_hour
    return [
        _schedule(LIVE_SYNC, f"*/{minutes} * * * *" if minutes < 60 else "0 * * * *"),
        _schedule(HOURLY_SYNC, "7 * * * *"),
        _schedule(NIGHTLY_REVISITS, f"5 {hour} * * *", timezone),
        _schedule(NIGHTLY_VERIFICATION, f"35 {hour} * * *", timezone),
        _schedule(HOURLY_CHECKS, "22 * * * *"),
        _schedule(NIGHTLY_CHECKS, f"35 {(hour + 1) % 24} * * *", timezone),
        _schedule(NIGHTLY_MAINTENANCE, f"5 {(hour + 2) % 24} * * *", timezone),
        _schedule(MORNING_REPORT, f"5 {(hour + 4) % 24} * * *", timezone),
    ]


def _schedule(name: str, cron: str, timezone: str = "UTC") -> dg.ScheduleDefinition:
    @dg.schedule(
        job_name=name,
        name=name,
        cron_schedule=cron,
        execution_timezone=timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=(_TAKES | _CHECKS)[name][1],
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return _request(context, name)

    return tick


def _request(context: dg.ScheduleEvaluationContext, pace: str) -> dg.RunRequest | dg.SkipReason:
    """A run of the job, for the month that is not over yet; none while the last one is running."""
    try:
        load_settings()
    except SettingsError as error:
        return dg.SkipReason(told(error))
    running = context.instance.get_runs(dg.RunsFilter(tags={PACE: pace}, statuses=UNFINISHED_STATUSES), limit=1)
    if running:
        return dg.SkipReason(f"Run {running[0].run_id[:8]} of {pace} is not over yet; the next tick tries again.")
    at = context.scheduled_execution_time
    return dg.RunRequest(
        run_key=f"{pace} {at.isoformat()}",
        partition_key=str(Month.of(at.astimezone(UTC))) if pace in (LIVE_SYNC, NIGHTLY_REVISITS) else None,
        run_config=_REVISITING if pace == NIGHTLY_REVISITS else None,
    )


_REVISITING = dg.RunConfig(
    ops={name: SyncConfig(revisit=True, wait_for_others=WAIT_FOR_SYNCS_SECONDS) for name in REVISITED}
)
