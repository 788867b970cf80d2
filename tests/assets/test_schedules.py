"""Schedules: what each tick of a week asks for, and when it asks for nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import cron_string_iterator  # what the daemon finds ticks with

from assets.schedules import schedules
from pipeline.months import Month
from pipeline.streams import STREAMS
from tests.assets.conftest import LOCATION, Deployment
from tests.lakes import new_lake
from warehouse import Lake

# Dagster calls it deprecated, and the location uses it.
pytestmark = pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id is deprecated:DeprecationWarning")

WEEK = datetime(2025, 11, 27, tzinfo=UTC), datetime(2025, 12, 4, tzinfo=UTC)
LIVE = {"contacts", "messages", "runs", "tickets"}
TAKES = {
    "live_sync": LIVE,
    "hourly_sync": STREAMS.keys() - LIVE,
    "nightly_revisits": {"messages", "broadcasts", "channel_events"},
    "nightly_verification": {"verify"},
    "nightly_maintenance": {"maintain"},
    "morning_report": {"report"},
}
CHECKS = {"hourly_checks", "nightly_checks"}
BY_MONTH = {"live_sync", "nightly_revisits"}


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """An instance on a disk: ticks open it anew; every run in it is over at the end of a test."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("home"))) as made:
        yield made


@pytest.fixture
def access(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The settings that a tick needs; no tick asks the server."""
    monkeypatch.setenv("RAPIDPRO_URL", "https://textit.example")
    monkeypatch.setenv("RAPIDPRO_TOKEN", "0f3c9a6e5b7d4812a9c0ffee0f3c9a6e5b7d4812")
    return monkeypatch


def named() -> dict[str, dg.ScheduleDefinition]:
    return {schedule.name: schedule for schedule in schedules()}


def times(schedule: dg.ScheduleDefinition, begin: datetime, end: datetime) -> list[datetime]:
    """When the daemon would evaluate it, from begin to end."""
    found = cron_string_iterator(begin.timestamp(), str(schedule.cron_schedule), schedule.execution_timezone)
    return list(takewhile(lambda at: at < end, found))


def tick(instance: dg.DagsterInstance, name: str, at: datetime) -> dg.RunRequest | str | None:
    """The run that a tick asks for, or why it asks for none."""
    context = dg.build_schedule_context(instance, at, repository_def=LOCATION)
    data = named()[name].evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else data.skip_message


# -- what is asked for --


def test_each_job_takes_its_assets_and_live_and_hourly_are_all_streams_without_one_twice() -> None:
    taken = {
        name: {key.to_user_string() for key in LOCATION.get_job(name).asset_layer.executable_asset_keys}
        for name in TAKES
    }
    assert taken == TAKES
    assert taken["live_sync"] | taken["hourly_sync"] == STREAMS.keys()
    assert not taken["live_sync"] & taken["hourly_sync"]


def test_every_schedule_is_switched_on_runs_its_job_and_ticks_as_often_as_it_should_in_a_week(
    access: pytest.MonkeyPatch,
) -> None:
    found = named()
    assert found.keys() == TAKES.keys() | CHECKS
    assert {schedule.default_status for schedule in found.values()} == {dg.DefaultScheduleStatus.RUNNING}
    assert {name: schedule.job_name for name, schedule in found.items()} == {name: name for name in found}
    per_day = {name: Counter(at.date() for at in times(schedule, *WEEK)) for name, schedule in found.items()}
    days = {(WEEK[0] + timedelta(days=number)).date() for number in range(7)}
    expected = {"live_sync": 96, "hourly_sync": 24, "hourly_checks": 24}
    for name, counted in per_day.items():
        assert counted == dict.fromkeys(days, expected.get(name, 1)), name


@pytest.mark.parametrize(("minutes", "ticks"), [("1", 1440), ("5", 288), ("60", 24)])
def test_live_minutes_say_how_often_people_are_synced(access: pytest.MonkeyPatch, minutes: str, ticks: int) -> None:
    access.setenv("RAPIDLAKE_LIVE_MINUTES", minutes)
    assert len(times(named()["live_sync"], WEEK[0], WEEK[0] + timedelta(days=1))) == ticks


@pytest.mark.parametrize("name", sorted(TAKES.keys() | CHECKS))
def test_a_tick_asks_for_one_run_of_the_month_that_is_not_over_where_there_are_months(
    access: pytest.MonkeyPatch, instance: dg.DagsterInstance, name: str
) -> None:
    at_the_edge = datetime(2025, 11, 30, 23, tzinfo=UTC), datetime(2025, 12, 1, 1, tzinfo=UTC)
    found = named()[name]
    moments = times(found, *at_the_edge) or times(found, *WEEK)
    keys = set()
    for at in moments:
        request = tick(instance, name, at)
        assert isinstance(request, dg.RunRequest), request
        assert request.partition_key == (f"{at.astimezone(UTC):%Y-%m}" if name in BY_MONTH else None)
        keys.add(request.run_key)
    assert len(keys) == len(moments)
    if name in ("live_sync", "nightly_revisits"):
        assert {f"{at.astimezone(UTC):%m}" for at in moments} == {"11", "12"}


# -- nights --


def test_nights_are_those_of_the_workspace_and_months_those_of_utc(
    deployment: Deployment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for timezone, hour, day, partition in (
        ("Africa/Kigali", 2, "2025-12-01", "2025-12"),
        ("Africa/Kigali", 1, "2025-12-01", "2025-11"),
        ("Pacific/Auckland", 2, "2025-12-01", "2025-11"),
        ("America/Los_Angeles", 23, "2025-11-30", "2025-12"),
    ):
        in_timezone(deployment, timezone)
        monkeypatch.setenv("RAPIDLAKE_NIGHT_HOUR", str(hour))
        begin = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(timezone))
        (at,) = times(named()["nightly_revisits"], begin, begin + timedelta(days=1))
        assert (at.astimezone(ZoneInfo(timezone)).hour, at.minute) == (hour, 5)
        request = tick(instance, "nightly_revisits", at)
        assert isinstance(request, dg.RunRequest)
        assert request.partition_key == partition
    assert {named()[name].execution_timezone for name in ("live_sync", "hourly_sync", "hourly_checks")} == {"UTC"}


def test_each_night_has_one_run_of_each_kind_also_when_clocks_change(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_timezone(deployment, "America/New_York")
    here = ZoneInfo("America/New_York")
    for hour in ("1", "2", "22"):
        monkeypatch.setenv("RAPIDLAKE_NIGHT_HOUR", hour)
        found = named()
        for change in (datetime(2026, 3, 8, tzinfo=here), datetime(2026, 11, 1, tzinfo=here)):
            begin, end = change - timedelta(days=3), change + timedelta(days=4)
            for name, schedule in found.items():
                if name.startswith("nightly"):
                    nights = [at.astimezone(here).date() for at in times(schedule, begin, end)]
                    assert nights == sorted(set(nights)), (name, hour)
                    assert len(nights) == 7, (name, hour)


def in_timezone(deployment: Deployment, timezone: str) -> None:
    """Let the lake know the timezone of the workspace."""
    with Lake.create(new_lake(deployment.lake)) as lake, lake.connection() as connection:
        connection.execute("INSERT INTO workspace (uuid, timezone) VALUES (uuid(), ?)", [timezone])


def test_nights_are_utcs_while_there_is_no_lake_or_no_such_timezone(deployment: Deployment) -> None:
    assert named()["nightly_revisits"].execution_timezone == "UTC"
    in_timezone(deployment, "Mars/Olympus")
    assert named()["nightly_revisits"].execution_timezone == "UTC"


# -- nothing is asked for --


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
def test_nothing_is_asked_for_while_a_run_of_the_same_job_is_not_over_and_again_after_it(
    access: pytest.MonkeyPatch, instance: dg.DagsterInstance, status: str
) -> None:
    job = LOCATION.get_job("hourly_sync")
    run = instance.create_run_for_job(job, tags=job.tags, status=dg.DagsterRunStatus[status])
    said = tick(instance, "hourly_sync", WEEK[0])
    assert said == f"Run {run.run_id[:8]} of hourly_sync is not over yet; the next tick tries again."
    assert isinstance(tick(instance, "live_sync", WEEK[0]), dg.RunRequest)
    instance.report_run_canceled(run)
    assert isinstance(tick(instance, "hourly_sync", WEEK[0]), dg.RunRequest)


def test_without_an_address_a_tick_says_what_to_set(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPIDPRO_TOKEN", "0f3c9a6e5b7d4812a9c0ffee0f3c9a6e5b7d4812")
    for name in named():
        said = tick(instance, name, WEEK[0])
        assert isinstance(said, str)
        assert said.startswith("RAPIDPRO_URL is not set: set it to your server, e.g. export RAPIDPRO_URL=https://")


def test_a_wrong_setting_leaves_the_schedules_as_they_are_by_default_and_ticks_say_it(
    access: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    access.setenv("RAPIDLAKE_NIGHT_HOUR", "25")
    assert named()["nightly_revisits"].cron_schedule == "5 2 * * *"
    said = tick(instance, "nightly_revisits", WEEK[0])
    assert isinstance(said, str)
    assert said.startswith("RAPIDLAKE_NIGHT_HOUR: ")


# -- what is asked for can be run --


@pytest.mark.parametrize("name", ["live_sync", "nightly_revisits"])
def test_the_run_that_a_tick_asks_for_brings_the_streams_of_its_job(
    deployment: Deployment, instance: dg.DagsterInstance, name: str
) -> None:
    assert deployment.run("messages", "broadcasts", "channel_events", months=[Month.of(datetime.now(UTC))]).success
    deployment.sandbox.requests.clear()
    request = tick(instance, name, datetime.now(UTC))
    assert isinstance(request, dg.RunRequest)
    job = LOCATION.get_job(name)
    result = job.execute_in_process(
        run_config=request.run_config,
        partition_key=request.partition_key,
        instance=deployment.instance,
        resources={"workspace": deployment.resource},
    )
    assert {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()} == TAKES[name]
    deployment.assert_true(*TAKES[name])
    if name == "nightly_revisits":
        asked = [seen.params["after"] for seen in deployment.sandbox.requests if seen.endpoint == "messages"]
        assert datetime.fromisoformat(min(asked)) <= datetime.now(UTC) - timedelta(days=8) + timedelta(minutes=5)
