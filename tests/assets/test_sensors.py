"""Sensors: archives that arrived, runs that go on when the rate limit frees, the first sync, and what failures say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteRepositoryOrigin  # of a queued run
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from assets.sensors import archives_arrived, failures, first_sync, rate_limit_freed
from pipeline.months import Month
from sandbox import Faults, put_archive, read_archive
from tests.assets.conftest import LOCATION, RANGE, Deployment, Ran, records
from tests.lakes import LANGUAGES
from tests.truth import assert_same, expected_union, stored_rows
from warehouse import Lake

# Dagster calls it deprecated, and the location uses it.
pytestmark = pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id is deprecated:DeprecationWarning")

THIS = Month.of(datetime.now(UTC))
MANY = LOCATION.get_job("__ASSET_JOB")  # of runs that are of no job of ours
Asked = list[dg.RunRequest] | str


def ask(deployment: Deployment, sensor: dg.SensorDefinition) -> Asked:
    """The runs that a tick of a sensor asks for, or why it asks for none."""
    with dg.build_sensor_context(
        instance=deployment.instance, repository_def=LOCATION, resources={"workspace": deployment.resource}
    ) as context:
        data = sensor.evaluate_tick(context)
    return list(data.run_requests or []) or str(data.skip_message)


def queue(deployment: Deployment, request: dg.RunRequest, **tags: str) -> dg.DagsterRun:
    """What the daemon does with a request: a run in the queue."""
    target = LoadableTargetOrigin(module_name="assets.definitions")
    origin = RemoteRepositoryOrigin(InProcessCodeLocationOrigin(target, location_name="rapidlake"), "__repository__")
    return deployment.instance.create_run_for_job(
        MANY,
        run_config=request.run_config,
        asset_selection=frozenset(request.asset_selection or []),
        tags={**request.tags, "dagster/run_key": str(request.run_key), **tags},
        status=dg.DagsterRunStatus.QUEUED,
        remote_job_origin=origin.get_job_origin("__ASSET_JOB"),
    )


def execute(deployment: Deployment, request: dg.RunRequest) -> Ran:
    """Run what was asked for."""
    (asset,) = request.asset_selection or []
    first, last = (request.tags.get(name) for name in RANGE)
    months = [first] if first and first == last else [month for month in (first, last) if month]
    tags = {name: value for name, value in request.tags.items() if name not in RANGE}
    marks = {**tags, "dagster/run_key": str(request.run_key)}
    return deployment.run(asset.to_user_string(), months=months, tags=marks)


def span(request: dg.RunRequest) -> tuple[str, str, str]:
    """The one asset of a request, and its first and last month."""
    (asset,) = request.asset_selection or []
    return asset.to_user_string(), request.tags[RANGE[0]], request.tags[RANGE[1]]


# -- archives --


@pytest.fixture
def files(deployment: Deployment) -> Deployment:
    """Four monthly files of messages, with a gap between them, and one of runs; the lake has their list only."""
    keep = {("message", -9), ("message", -8), ("message", -5), ("message", -4), ("run", -8)}
    wanted = {(kind, f"{THIS.plus(back)}-01") for kind, back in keep}
    for row in deployment.workspace.rows("archives"):
        if (row["archive_type"], row["start_date"]) not in wanted:
            deployment.workspace.delete("archives", [f"{row['archive_type']}/{row['period']}/{row['start_date']}"])
    assert len(deployment.workspace.rows("archives")) == len(keep)
    assert deployment.run("archives").success
    return deployment


def test_files_of_the_month_that_is_not_over_wait_for_its_end(files: Deployment) -> None:
    put_archive(files.workspace, "message", "daily", f"{THIS}-01", [], record_count=1)
    assert files.run("archives").success
    (request,) = ask(files, archives_arrived)
    assert isinstance(request, dg.RunRequest)
    assert span(request) == ("messages", str(THIS.plus(-5)), str(THIS.plus(-4)))


def test_months_whose_files_arrived_are_asked_for_without_gaps_latest_first_one_run_at_a_time(
    files: Deployment,
) -> None:
    spans = []
    while not isinstance(asked := ask(files, archives_arrived), str):
        (request,) = asked
        spans.append(span(request))
        queued = queue(files, request)
        assert ask(files, archives_arrived) == "Archive files are being loaded."
        files.instance.report_run_canceled(queued)
        files.instance.delete_run(queued.run_id)
        assert execute(files, request).success
    assert spans == [
        ("messages", str(THIS.plus(-5)), str(THIS.plus(-4))),
        ("messages", str(THIS.plus(-9)), str(THIS.plus(-8))),
        ("runs", str(THIS.plus(-8)), str(THIS.plus(-8))),
    ]
    assert asked == "messages: all archive files are loaded. runs: all archive files are loaded."
    months = [THIS.plus(-back) for back in (9, 8, 5, 4)]
    with Lake.open(files.lake) as lake, lake.connection() as connection:
        for kind in ("message", "run"):
            truth = expected_union(f"{kind}s", [], records(files.workspace, kind, months), LANGUAGES)
            assert_same(f"{kind}s", stored_rows(connection, f"{kind}s"), truth)

    listed = next(row for row in files.workspace.rows("archives") if row["start_date"] == f"{THIS.plus(-5)}-01")
    put_archive(files.workspace, "message", "monthly", listed["start_date"], read_archive(files.workspace, listed)[:-2])
    assert ask(files, archives_arrived) == asked  # the list of the lake does not tell it yet
    assert files.run("archives").success
    (again,) = ask(files, archives_arrived)
    assert isinstance(again, dg.RunRequest)
    assert span(again) == ("messages", str(THIS.plus(-5)), str(THIS.plus(-5)))


def test_files_that_could_not_be_loaded_are_asked_for_again_in_the_next_hour_only(files: Deployment) -> None:
    (request,) = ask(files, archives_arrived)
    assert isinstance(request, dg.RunRequest)
    files.sandbox.faults = Faults(script={"files": ["error"] * 99})
    assert not execute(files, request).success
    (other,) = ask(files, archives_arrived)
    assert isinstance(other, dg.RunRequest)
    assert other.run_key != request.run_key
    assert span(other)[0] == "runs"  # the other stream need not wait for that


def test_a_load_that_must_wait_is_gone_on_with_before_others_are_asked_for(files: Deployment) -> None:
    (request,) = ask(files, archives_arrived)
    assert isinstance(request, dg.RunRequest)
    files.sandbox.faults = Faults(script={"messages": ["throttle"]}, throttle_seconds=600)
    assert execute(files, request).success
    assert ask(files, archives_arrived) == "Archive files are being loaded."
    (successor,) = ask(files, rate_limit_freed)
    assert isinstance(successor, dg.RunRequest)
    assert successor.tags["rapidlake/loads_archives"] == "yes"
    assert span(successor) == span(request)


def test_without_a_lake_or_settings_nothing_is_loaded_and_the_reason_is_said(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert str(ask(deployment, archives_arrived)).startswith("There is no lake at ")
    monkeypatch.delenv("RAPIDPRO_URL")
    assert str(ask(deployment, archives_arrived)).startswith("RAPIDPRO_URL is not set: ")


# -- the rate limit --


def wait(deployment: Deployment, *names: str, months: tuple[Month, ...] = (), **config: Any) -> Ran:
    """A run whose assets all must wait for ten minutes; the first month of several is done before."""
    script = {name: ["ok", "throttle"] if len(months) > 1 else ["throttle"] for name in names}
    deployment.sandbox.faults = Faults(script=script, throttle_seconds=600)
    ran = deployment.run(*names, months=months, config=config or None)
    assert ran.success
    deployment.sandbox.faults = Faults()
    return ran


def test_each_asset_that_had_to_wait_is_gone_on_with_once(deployment: Deployment) -> None:
    ran = wait(deployment, "labels", "groups", full=True)
    asked = ask(deployment, rate_limit_freed)
    assert isinstance(asked, list)
    assert sorted(request.asset_selection for request in asked) == [[dg.AssetKey("groups")], [dg.AssetKey("labels")]]
    for request in asked:
        (asset,) = request.asset_selection or []
        name = asset.to_user_string()
        assert request.run_config == {"ops": {name: {"config": {"full": True}}}}
        until = datetime.fromisoformat(request.tags["rapidlake/held_until"])
        assert request.tags["rapidlake/held"] == "yes"
        assert abs(until - datetime.now(UTC) - timedelta(seconds=600)) < timedelta(seconds=60)
        queue(deployment, request)
    assert ask(deployment, rate_limit_freed) == "Nothing new waits for the rate limit."
    assert ran.tags["rapidlake/unfinished"] == "no"


def test_a_run_that_is_not_over_may_leave_another_of_its_assets(deployment: Deployment) -> None:
    noted = {"rapidlake/unfinished": "yes", "rapidlake_go_on/labels": datetime.now(UTC).isoformat(timespec="seconds")}
    run = deployment.instance.create_run_for_job(MANY, tags=noted, status=dg.DagsterRunStatus.STARTED)
    (first,) = ask(deployment, rate_limit_freed)
    assert isinstance(first, dg.RunRequest)
    queue(deployment, first)
    assert ask(deployment, rate_limit_freed) == "Nothing new waits for the rate limit."
    deployment.instance.add_run_tags(run.run_id, {"rapidlake_go_on/groups": noted["rapidlake_go_on/labels"]})
    (second,) = ask(deployment, rate_limit_freed)
    assert isinstance(second, dg.RunRequest)
    assert second.asset_selection == [dg.AssetKey("groups")]


@pytest.mark.long
def test_a_run_that_goes_on_does_the_months_that_are_left_and_no_others(deployment: Deployment) -> None:
    months = (THIS.plus(-6), THIS.plus(-5), THIS.plus(-4))
    wait(deployment, "messages", months=months)
    (request,) = ask(deployment, rate_limit_freed)
    assert isinstance(request, dg.RunRequest)
    assert span(request) == ("messages", str(months[1]), str(months[2]))
    deployment.sandbox.requests.clear()
    ran = execute(deployment, request)
    assert ran.success
    assert {month for month, _ in ran.materialised("messages")} == {str(months[1]), str(months[2])}
    asked = [seen.params["after"][:7] for seen in deployment.sandbox.requests if seen.endpoint == "messages"]
    assert asked == [str(months[1]), str(months[2])]
    with Lake.open(deployment.lake) as lake, lake.connection() as connection:
        truth = expected_union("messages", [], records(deployment.workspace, "message", months), LANGUAGES)
        assert_same("messages", stored_rows(connection, "messages"), truth)
    assert ask(deployment, rate_limit_freed) == "Nothing new waits for the rate limit."


def test_a_run_is_held_until_its_time_and_then_let_go(deployment: Deployment) -> None:
    wait(deployment, "labels", "groups")
    later, due = (request for request in ask(deployment, rate_limit_freed) if isinstance(request, dg.RunRequest))
    held = queue(deployment, later)
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat(timespec="seconds")
    ready = queue(deployment, due, **{"rapidlake/held_until": past})
    assert ask(deployment, rate_limit_freed) == "Nothing new waits for the rate limit."
    assert tag(deployment, held, "rapidlake/held") == "yes"
    assert tag(deployment, ready, "rapidlake/held") == "no"
    assert status(deployment, held) == status(deployment, ready) == dg.DagsterRunStatus.QUEUED


def test_a_run_that_goes_on_and_must_wait_again_is_gone_on_with_in_turn(deployment: Deployment) -> None:
    wait(deployment, "labels")
    (first,) = ask(deployment, rate_limit_freed)
    assert isinstance(first, dg.RunRequest)
    deployment.sandbox.faults = Faults(script={"labels": ["throttle"]}, throttle_seconds=600)
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat(timespec="seconds")
    assert deployment.run(
        "labels", tags={**first.tags, "rapidlake/held_until": past, "dagster/run_key": str(first.run_key)}
    ).success
    (second,) = ask(deployment, rate_limit_freed)
    assert isinstance(second, dg.RunRequest)
    assert second.asset_selection == first.asset_selection
    assert second.run_key != first.run_key


def test_what_goes_on_with_a_backfill_belongs_to_it_and_a_sensor_that_is_off_is_told(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assets.outcome.QUEUED_WITHIN_SECONDS", 0.0)
    deployment.sandbox.faults = Faults(script={"labels": ["throttle"]}, throttle_seconds=600)
    ran = deployment.run("labels", tags={"dagster/backfill": "abcdefgh"})
    assert ran.success
    assert "No sensor has queued the run that goes on: is rate_limit_freed switched on?" in ran.said
    (request,) = ask(deployment, rate_limit_freed)
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/backfill"] == "abcdefgh"


def tag(deployment: Deployment, run: dg.DagsterRun, name: str) -> str:
    return kept(deployment, run).tags[name]


def status(deployment: Deployment, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    return kept(deployment, run).status


def kept(deployment: Deployment, run: dg.DagsterRun) -> dg.DagsterRun:
    found = deployment.instance.get_run_by_id(run.run_id)
    assert found
    return found


# -- the first sync, and failures --


def test_a_lake_that_is_not_there_is_filled_at_once_and_not_twice(deployment: Deployment) -> None:
    asked, again = ask(deployment, first_sync), ask(deployment, first_sync)
    assert isinstance(asked, list)
    assert isinstance(again, list)
    assert [(request.job_name, request.partition_key) for request in asked] == [
        ("hourly_sync", None),
        ("live_sync", str(THIS)),
    ]
    assert [request.run_key for request in asked] == [request.run_key for request in again]
    run = deployment.instance.create_run_for_job(
        LOCATION.get_job("hourly_sync"), tags=LOCATION.get_job("hourly_sync").tags, status=dg.DagsterRunStatus.STARTED
    )
    assert ask(deployment, first_sync) == "The first sync is under way."
    deployment.instance.report_run_canceled(run)
    assert deployment.run("workspace").success
    assert str(ask(deployment, first_sync)).startswith(f"The lake {deployment.lake} is there")


def test_a_server_that_lets_nothing_begin_has_one_red_run_and_the_first_sync_begins_when_it_does(
    deployment: Deployment, capfd: pytest.CaptureFixture[str]
) -> None:
    deployment.sandbox.faults = Faults(script={"workspace": ["forbidden"] * 9})
    (request,) = ask(deployment, first_sync)
    assert isinstance(request, dg.RunRequest)
    job = LOCATION.get_job("hourly_sync")
    result = job.execute_in_process(
        instance=deployment.instance,
        resources={"workspace": deployment.resource},
        tags={**job.tags, "dagster/run_key": str(request.run_key)},
        raise_on_error=False,
    )
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert failed.step_failure_data.error and not failed.step_failure_data.error.stack
    log = capfd.readouterr().err
    assert "Stack Trace" not in log and "Traceback" not in log
    assert log.count("refuses the token (403)") == 2  # of the step, and of the run
    assert not list(result.get_asset_materialization_events())
    assert len([seen for seen in deployment.sandbox.requests if seen.endpoint == "workspace"]) == 2
    assert "refuses the token (403)" in str(ask(deployment, first_sync))
    deployment.sandbox.faults = Faults()
    assert [request.job_name for request in ask(deployment, first_sync) if isinstance(request, dg.RunRequest)] == [
        "hourly_sync",
        "live_sync",
    ]


def test_a_failure_is_told_with_its_stream_and_the_reason(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.sandbox.faults = Faults(script={"labels": ["forbidden"], "groups": ["forbidden"]})
    ran = deployment.run("labels", "groups", "topics")
    (event,) = [event for event in ran.result.all_events if event.is_job_failure]
    run = deployment.instance.get_run_by_id(ran.result.run_id)
    assert run
    capsys.readouterr()
    failures(dg.build_run_status_sensor_context("failures", event, deployment.instance, run).for_run_failure())
    said = [line.partition(" - ERROR - ")[2] for line in capsys.readouterr().err.splitlines()]
    assert len(said) == 2
    for name in ("labels", "groups"):
        (line,) = [line for line in said if line.startswith(f"{name}: ")]
        assert f"{name}.json: {deployment.sandbox.url} refuses the token (403)" in line
        assert "Check RAPIDPRO_TOKEN" in line
    assert deployment.sandbox.token not in "".join(said)
