"""When what is synced: jobs, and the schedules that run them; all are switched on by default.

Loading them asks neither lake nor server; each tick does.

No `from __future__ import annotations` here: Dagster reads the annotations of its functions as they stand.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import dagster as dg

from assets.catalogue import LIVE
from assets.checks import CHEAP_CHECKS, lake_checks
from assets.outcome import HOURLY_SYNC, LIVE_SYNC, NIGHTLY_REVISITS, PACE, PUBLISH, RUN_KEY, tick
from assets.streams import SyncConfig
from assets.upkeep import WAIT_FOR_SYNCS_SECONDS
from pipeline.errors import SettingsError, told
from pipeline.months import Month
from pipeline.settings import Settings, load_settings, local_settings
from pipeline.streams import STREAMS, Window
from warehouse import Lake, LakeNotFound, RapidlakeError

NIGHTLY_VERIFICATION, NIGHTLY_MAINTENANCE = "nightly_verification", "nightly_maintenance"
MORNING_REPORT = "morning_report"
# What a machine missed of the night that was off then is made up for so long after.
LATEST_IN_THE_NIGHT = timedelta(hours=6)
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
        PUBLISH: (dg.AssetSelection.assets("publish"), "Renews the copy for those who may only read."),
        **_CHECKS,
    }.items()
]


def schedules() -> list[dg.ScheduleDefinition]:
    """The schedules. Nights are the workspace's, which only the lake knows: each nightly one looks once an hour."""
    try:
        settings = local_settings()
    except SettingsError:  # a tick tells what is wrong
        settings = Settings.model_construct()
    minutes, hour = settings.live_minutes, settings.night_hour
    return [
        _schedule(LIVE_SYNC, f"*/{minutes} * * * *" if minutes < 60 else "0 * * * *"),
        _schedule(HOURLY_SYNC, "7 * * * *"),
        _nightly(NIGHTLY_REVISITS, time(hour, 5)),
        _nightly(NIGHTLY_VERIFICATION, time(hour, 35)),
        _schedule(HOURLY_CHECKS, "22 * * * *"),
        _nightly(NIGHTLY_CHECKS, time((hour + 1) % 24, 35)),
        _nightly(NIGHTLY_MAINTENANCE, time((hour + 2) % 24, 5)),
        _nightly(MORNING_REPORT, time((hour + 4) % 24, 5)),
    ]


def _nightly(name: str, at: time) -> dg.ScheduleDefinition:
    """A run a night, as soon as it is `at` by the workspace's clocks."""
    return _schedule(name, f"{at.minute} * * * *", at)


def _schedule(name: str, cron: str, night: time | None = None) -> dg.ScheduleDefinition:
    said = f" Once a night, from {night:%H:%M} on by the workspace's clocks." if night else ""

    @dg.schedule(
        job_name=name,
        name=name,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"{(_TAKES | _CHECKS)[name][1]}{said}",
    )
    def due(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        with tick():
            return _request(context, name, night)

    return due


def _request(context: dg.ScheduleEvaluationContext, pace: str, night: time | None) -> dg.RunRequest | dg.SkipReason:
    """A run of the job, for the month that is not over yet; none while the last one is running, or by day."""
    at = context.scheduled_execution_time
    try:
        timezone = _timezone(load_settings())
    except SettingsError as error:
        return dg.SkipReason(told(error))
    except LakeNotFound:
        return dg.SkipReason("There is no lake yet: the sensor first_sync begins it as soon as the server answers.")
    key = f"{pace} {at.isoformat()}"
    if night:
        began = _last(night, at.astimezone(timezone))
        key = f"{pace} of {began:%Y-%m-%d}"
        if at.astimezone(timezone).replace(tzinfo=None) - began > LATEST_IN_THE_NIGHT:
            return dg.SkipReason(f"It is day: the next begins after {night:%H:%M} ({timezone.key}).")
        if context.instance.get_runs(dg.RunsFilter(tags={PACE: pace, RUN_KEY: key}), limit=1):
            return dg.SkipReason(f"That of the night of {began:%Y-%m-%d} ({timezone.key}) has begun.")
    running = context.instance.get_runs(dg.RunsFilter(tags={PACE: pace}, statuses=UNFINISHED_STATUSES), limit=1)
    if running:
        return dg.SkipReason(f"Run {running[0].run_id[:8]} of {pace} is not over yet; the next tick tries again.")
    return dg.RunRequest(
        run_key=key,
        partition_key=str(Month.of(at.astimezone(UTC))) if pace in (LIVE_SYNC, NIGHTLY_REVISITS) else None,
        run_config=_REVISITING if pace == NIGHTLY_REVISITS else None,
    )


def _timezone(settings: Settings) -> ZoneInfo:
    """The workspace's, as the lake has it; UTC while it has none that there is.

    Raises:
        LakeNotFound: there is no lake.
    """
    try:
        with Lake.open(settings.lake) as lake:
            rows = lake.rows("SELECT timezone FROM workspace LIMIT 1")
    except LakeNotFound:
        raise
    except RapidlakeError:  # the run tells what is wrong, in red
        rows = []
    return ZoneInfo(rows[0][0] if rows and rows[0][0] in available_timezones() else "UTC")


def _last(night: time, here: datetime) -> datetime:
    """When the night began last, by clocks on the wall: an hour that they skip or show twice is no night of its own."""
    wall = here.replace(tzinfo=None)
    today = datetime.combine(wall.date(), night)
    return today if today <= wall else today - timedelta(days=1)


_REVISITING = dg.RunConfig(
    ops={name: SyncConfig(revisit=True, wait_for_others=WAIT_FOR_SYNCS_SECONDS) for name in REVISITED}
)
