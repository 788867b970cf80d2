"""The copy for those who may only read, as an asset, and the sensor that asks for it when a sync has ended."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from assets.outcome import PUBLISH
from assets.sensors import sync_ended
from tests.assets.conftest import LOCATION, Deployment
from tests.assets.test_sensors import ask
from tests.lakes import new_lake, rows
from warehouse.scratch import lock_folder

COUNT = "SELECT count(*) FROM labels"


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the settings ask for the copy."""
    monkeypatch.setenv("RAPIDLAKE_PUBLISH", str(tmp_path / "copy"))
    return tmp_path / "copy"


def sync_of(deployment: Deployment, pace: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """A run of a schedule, as the instance remembers it."""
    job = LOCATION.get_job("hourly_sync")
    return deployment.instance.create_run_for_job(job, tags={"rapidlake/pace": pace}, status=status)


def publishing(deployment: Deployment, request: dg.RunRequest, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """The run that was asked for."""
    tags = {"dagster/run_key": str(request.run_key)}
    return deployment.instance.create_run_for_job(LOCATION.get_job(PUBLISH), tags=tags, status=status)


def test_the_copy_has_what_the_lake_has_and_its_page_says_what_it_cost(deployment: Deployment, copy: Path) -> None:
    assert deployment.run("labels").success
    ((_, facts),) = deployment.run("publish").materialised("publish")
    assert rows(copy, COUNT) == deployment.rows(COUNT) == [(len(deployment.workspace.rows("labels")),)]
    assert facts["folder"] == str(copy)
    assert facts["files new"] + facts["files kept"] == len(list((deployment.lake / "data").rglob("*.parquet")))
    assert facts["files removed"] == 0


def test_without_a_folder_nothing_is_published_and_nothing_fails(deployment: Deployment) -> None:
    ran = deployment.run("publish")
    assert ran.success
    assert ran.materialised("publish") == []
    assert "Nothing is published: RAPIDLAKE_PUBLISH names no folder." in ran.said
    sync_of(deployment, "live_sync", dg.DagsterRunStatus.SUCCESS)
    assert ask(deployment, sync_ended) == "Nothing is published: RAPIDLAKE_PUBLISH names no folder."


def test_a_folder_of_something_else_fails_the_step_in_one_sentence(deployment: Deployment, copy: Path) -> None:
    copy.mkdir()
    (copy / "letter.txt").write_text("Dear mother")
    ran = deployment.run("publish")
    assert not ran.success
    assert ran.reason == (
        f"{copy} is there and holds something else than a published copy: "
        "name an empty or a new folder with --to or RAPIDLAKE_PUBLISH."
    )


def test_a_copy_that_another_process_makes_is_left_to_that_one(deployment: Deployment, copy: Path) -> None:
    new_lake(deployment.lake)
    copy.mkdir()
    assert lock_folder(copy) is not None
    ran = deployment.run("publish")
    assert ran.success
    assert ran.materialised("publish") == []
    assert any("Another process is publishing into" in line for line in ran.said)


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE])
@pytest.mark.parametrize("pace", ["live_sync", "hourly_sync"])
def test_a_sync_that_has_ended_is_published_once(
    deployment: Deployment, copy: Path, pace: str, status: dg.DagsterRunStatus
) -> None:
    assert ask(deployment, sync_ended) == "No sync of the schedules has ended yet."
    sync_of(deployment, "nightly_checks", status)
    sync_of(deployment, pace, dg.DagsterRunStatus.STARTED)
    assert ask(deployment, sync_ended) == "No sync of the schedules has ended yet."
    sync_of(deployment, pace, status)
    (request,) = asked = ask(deployment, sync_ended)
    assert isinstance(request, dg.RunRequest), asked
    publishing(deployment, request, dg.DagsterRunStatus.SUCCESS)
    assert "is published, or about to be" in str(ask(deployment, sync_ended))


def test_a_sync_that_ends_while_the_copy_is_made_is_published_after_that(deployment: Deployment, copy: Path) -> None:
    sync_of(deployment, "live_sync", dg.DagsterRunStatus.SUCCESS)
    (request,) = ask(deployment, sync_ended)
    assert isinstance(request, dg.RunRequest)
    first = publishing(deployment, request, dg.DagsterRunStatus.STARTED)
    sync_of(deployment, "hourly_sync", dg.DagsterRunStatus.SUCCESS)
    assert (
        ask(deployment, sync_ended)
        == f"Run {first.run_id[:8]} of publishing is not over yet; the next tick tries again."
    )
    deployment.instance.report_run_failed(first)
    (request,) = ask(deployment, sync_ended)
    assert isinstance(request, dg.RunRequest)
