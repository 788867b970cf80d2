"""Runs whose process died: found by the lock that it held, reported failed, and no others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from assets.alive import alive, dead_runs
from assets.schedules import schedules
from tests.assets.conftest import LOCATION, Deployment
from tests.lakes import new_lake
from tests.processes import end, ended_afterwards, start

# Dagster calls it deprecated, and the location uses it.
pytestmark = pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id is deprecated:DeprecationWarning")

Status = dg.DagsterRunStatus
HOLD = """
import contextlib, sys, time
import dagster as dg
from assets.alive import alive
with dg.DagsterInstance.from_config(sys.argv[1]) as instance, contextlib.ExitStack() as stack:
    for run_id in sys.argv[2:]:
        stack.enter_context(alive(instance, run_id))
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance that several processes open."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.from_config(str(home)) as made:
        yield made


def begun(instance: dg.DagsterInstance, name: str, status: Status, minutes: float, **tags: str) -> dg.DagsterRun:
    """A run that has been under way for so many minutes."""
    job = LOCATION.get_job(name)
    run = instance.create_run_for_job(job, tags={**job.tags, **tags}, status=status)
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]  # of SQLite's storage
        connection.exec_driver_sql(
            "UPDATE runs SET start_time = ?, create_timestamp = ? WHERE run_id = ?",
            (at.timestamp(), at.replace(tzinfo=None).isoformat(" "), run.run_id),
        )
    return run


def held(instance: dg.DagsterInstance, *runs: dg.DagsterRun) -> Callable[[], None]:
    """Let a process of its own hold the locks of runs; what kills it."""
    process = start([sys.executable, "-c", HOLD, instance.root_directory, *(run.run_id for run in runs)])
    assert process.stdout and process.stdout.readline() == "held\n"
    return lambda: end(process)


def look(instance: dg.DagsterInstance) -> str:
    """What a tick of the sensor says."""
    with dg.build_sensor_context(instance=instance, repository_def=LOCATION) as context:
        return str(dead_runs.evaluate_tick(context).skip_message)


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Status:
    found = instance.get_run_by_id(run.run_id)
    assert found
    return found.status


def test_runs_whose_process_was_killed_are_reported_failed_and_their_schedule_goes_on(
    instance: dg.DagsterInstance, deployment: Deployment
) -> None:
    new_lake(deployment.lake)
    (hourly,) = [schedule for schedule in schedules() if schedule.name == "hourly_sync"]
    states = (Status.STARTING, Status.STARTED, Status.CANCELING)
    runs = [begun(instance, "hourly_sync", state, minutes=3) for state in states]
    young = begun(instance, "live_sync", Status.STARTED, minutes=1)
    elsewhere = begun(instance, "live_sync", Status.STARTED, minutes=300)
    unseen = begun(instance, "live_sync", Status.STARTED, minutes=300)
    with ended_afterwards():
        kill = held(instance, *runs, young, elsewhere)
        assert look(instance) == "Each run lives."
        assert [status(instance, run) for run in runs] == [*states]
        kill()
    (file,) = locks(instance, elsewhere)
    file.rename(file.with_name(f"{elsewhere.run_id}@pod-7@0f3c9a6e-5b7d-4812-a9c0-ffee0f3c9a6e.lock"))
    with dg.build_schedule_context(instance, datetime.now(UTC), repository_def=LOCATION) as tick:
        assert "is not over yet" in str(hourly.evaluate_tick(tick).skip_message)
        assert look(instance).startswith("Reported failed, for they died: ")
        assert {status(instance, run) for run in runs} == {Status.FAILURE}
        assert hourly.evaluate_tick(tick).run_requests
    for run in runs:
        said = [str(entry.dagster_event and entry.dagster_event.message) for entry in instance.all_logs(run.run_id)]
        assert any("was killed" in one and "the next tick of hourly_sync goes on" in one for one in said), said
    assert not any(locks(instance, run) for run in runs)
    # Of these nobody can tell, or not yet.
    assert look(instance) == "Each run lives."
    assert {status(instance, run) for run in (young, elsewhere, unseen)} == {Status.STARTED}


def test_a_run_that_began_before_the_clock_was_set_back_is_found_dead_at_once(instance: dg.DagsterInstance) -> None:
    run = begun(instance, "live_sync", Status.STARTED, minutes=-180)
    with ended_afterwards():
        kill = held(instance, run)
        assert look(instance) == "Each run lives."
        kill()
    assert look(instance).startswith("Reported failed")
    assert status(instance, run) == Status.FAILURE


def locks(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[Path]:
    return list(Path(instance.root_directory).glob(f"rapidlake_runs/{run.run_id}@*"))


def test_a_run_holds_its_lock_until_what_follows_its_last_step_is_written(instance: dg.DagsterInstance) -> None:
    run = begun(instance, "live_sync", Status.STARTED, minutes=3)
    with alive(instance, run.run_id):
        assert look(instance) == "Each run lives."
    assert look(instance) == "Each run lives."
    with alive(instance, "another"):
        assert look(instance).startswith("Reported failed")


def test_whatever_a_run_does_it_holds_a_lock(deployment: Deployment) -> None:
    new_lake(deployment.lake)
    for name in ("hourly_checks", "nightly_maintenance"):
        result = LOCATION.get_job(name).execute_in_process(
            instance=deployment.instance, resources={"workspace": deployment.resource}
        )
        assert [*Path(deployment.instance.root_directory).glob(f"rapidlake_runs/{result.run_id}@*")]
