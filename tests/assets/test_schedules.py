"""Schedules: what each tick of a week asks for, and when it asks for nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import cron_string_iterator  # what the daemon finds ticks with

from assets.schedules import schedules
from pipeline.months import Month
from pipeline.streams import STREAMS
from tests.assets.conftest import LOCATION, Deployment
from tests.cases import cases
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
    """The settings that a tick needs, and a lake; no tick asks the server."""
    monkeypatch.setenv("RAPIDPRO_URL", "https://textit.example")
    monkeypatch.setenv("RAPIDPRO_TOKEN", "0f3c9a6e5b7d4812a9c0ffee0f3c9a6e5b7d4812")
    new_lake(Path("lake"))
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
    # A nightly one looks once an hour whether it is night where the workspace is.
    for name, counted in per_day.items():
        assert counted == dict.fromkeys(days, 96 if name == "live_sync" else 24), name


@pytest.mark.parametrize(("minutes", "ticks"), [("1", 1440), ("5", 288), ("60", 24)])
def test_live_minutes_say_how_often_people_are_synced(access: pytest.MonkeyPatch, minutes: str, ticks: int) -> None:
    access.setenv("RAPIDLAKE_LIVE_MINUTES", minutes)
    assert len(times(named()["live_sync"], WEEK[0], WEEK[0] + timedelta(days=1))) == ticks


@pytest.mark.parametrize("name", ["hourly_checks", "hourly_sync", "live_sync"])
def test_a_tick_asks_for_one_run_of_the_month_that_is_not_over_where_there_are_months(
    access: pytest.MonkeyPatch, instance: dg.DagsterInstance, name: str
) -> None:
    at_the_edge = datetime(2025, 11, 30, 23, tzinfo=UTC), datetime(2025, 12, 1, 1, tzinfo=UTC)
    moments = times(named()[name], *at_the_edge)
    keys = set()
    for at in moments:
        request = tick(instance, name, at)
        assert isinstance(request, dg.RunRequest), request
        assert request.partition_key == (f"{at:%Y-%m}" if name in BY_MONTH else None)
        keys.add(request.run_key)
    assert len(keys) == len(moments)
    assert {f"{at:%m}" for at in moments} == {"11", "12"}


# -- nights --


def nights(instance: dg.DagsterInstance, name: str, begin: datetime, end: datetime) -> list[datetime]:
    """When the runs of a nightly schedule would begin from begin to end, each over at once."""
    begun = []
    for at in times(named()[name], begin, end):
        if isinstance(request := tick(instance, name, at), dg.RunRequest):
            begun.append(at)
            assert request.partition_key == (f"{at.astimezone(UTC):%Y-%m}" if name in BY_MONTH else None)
            job = LOCATION.get_job(name)
            tags = {**job.tags, "dagster/run_key": str(request.run_key)}
            instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.SUCCESS)
    return begun


@pytest.mark.parametrize(
    ("timezone", "hour", "begins"),
    cases(
        ("Asia/Kathmandu", 2, "02:50"),
        long=[
            ("Africa/Kigali", 2, "02:05"),
            ("Pacific/Auckland", 2, "02:05"),
            ("America/Los_Angeles", 23, "23:05"),
        ],
    ),
)
def test_nights_are_those_of_the_workspace_and_months_those_of_utc(
    access: pytest.MonkeyPatch, instance: dg.DagsterInstance, timezone: str, hour: int, begins: str
) -> None:
    in_timezone(timezone)
    access.setenv("RAPIDLAKE_NIGHT_HOUR", str(hour))
    here = ZoneInfo(timezone)
    begin = datetime(2025, 11, 30, 21, tzinfo=here)
    (at,) = nights(instance, "nightly_revisits", begin, begin + timedelta(hours=8))
    assert f"{at.astimezone(here):%H:%M}" == begins
    forget(instance)


@pytest.mark.long
def test_each_night_has_one_run_of_each_kind_also_when_clocks_change(
    access: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    in_timezone("America/New_York")
    here = ZoneInfo("America/New_York")
    for hour, name in (("1", "nightly_verification"), ("2", "nightly_revisits"), ("0", "nightly_checks")):
        access.setenv("RAPIDLAKE_NIGHT_HOUR", hour)
        for change in (datetime(2026, 3, 8, tzinfo=here), datetime(2026, 11, 1, tzinfo=here)):
            (at,) = nights(instance, name, change.astimezone(UTC), change.astimezone(UTC) + timedelta(hours=6))
            assert at.astimezone(here).date() == change.date(), name
    forget(instance)


def test_the_work_of_a_night_is_made_up_in_the_morning_and_not_in_the_afternoon(
    access: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    morning = tick(instance, "nightly_maintenance", datetime(2025, 11, 28, 9, 5, tzinfo=UTC))
    assert isinstance(morning, dg.RunRequest)
    said = tick(instance, "nightly_maintenance", datetime(2025, 11, 28, 11, 5, tzinfo=UTC))
    assert said == "It is day: the next begins after 04:05 (UTC)."


def forget(instance: dg.DagsterInstance) -> None:
    """Let the next test begin without runs."""
    for run in instance.get_runs():
        instance.delete_run(run.run_id)


def in_timezone(timezone: str) -> None:
    """Let the lake know the timezone of the workspace."""
    with Lake.create(Path("lake")) as lake, lake.connection() as connection:
        connection.execute("DELETE FROM workspace")
        connection.execute("INSERT INTO workspace (uuid, timezone) VALUES (uuid(), ?)", [timezone])


def test_nights_are_utcs_while_there_is_no_such_timezone_and_nothing_is_begun_without_a_lake(
    access: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    at = datetime(2025, 11, 28, 2, 5, tzinfo=UTC)
    assert isinstance(tick(instance, "nightly_revisits", at), dg.RunRequest)
    in_timezone("Mars/Olympus")
    assert isinstance(tick(instance, "nightly_revisits", at), dg.RunRequest)
    access.setenv("RAPIDLAKE_LAKE", "another")
    for name in named():
        assert str(tick(instance, name, at)).startswith("There is no lake yet: the sensor first_sync begins it")


# -- nothing is asked for --


@pytest.mark.parametrize("status", cases("STARTED", long=["NOT_STARTED", "STARTING", "CANCELING"]))
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
    assert "from 02:05 on" in str(named()["nightly_revisits"].description)
    said = tick(instance, "nightly_revisits", WEEK[0])
    assert isinstance(said, str)
    assert said.startswith("RAPIDLAKE_NIGHT_HOUR: ")


# -- what is asked for can be run --


@pytest.mark.parametrize("name", cases("live_sync", long=["nightly_revisits"]))
def test_the_run_that_a_tick_asks_for_brings_the_streams_of_its_job(
    deployment: Deployment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert deployment.run("messages", "broadcasts", "channel_events", months=[Month.of(datetime.now(UTC))]).success
    deployment.sandbox.requests.clear()
    at = datetime.now(UTC)
    monkeypatch.setenv("RAPIDLAKE_NIGHT_HOUR", str((at - timedelta(hours=1)).hour))
    request = tick(instance, name, at)
    assert isinstance(request, dg.RunRequest), request
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
