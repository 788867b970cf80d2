"""What is asked of one run, and what a run may do: deletions that are accepted, waits, retries, sessions, versions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from assets.schedules import WAIT_FOR_SYNCS_SECONDS
from assets.streams import SyncConfig
from assets.workspace import WorkspaceResource
from pipeline.months import Month
from pipeline.reading.reader import ArchiveChoice, Options
from pipeline.streams import STREAMS
from sandbox import Faults, Workspace, generate
from tests.assets.conftest import LOCATION, Deployment, Ran, defs
from tests.lakes import new_lake

# Dagster calls it deprecated, and the location uses it.
pytestmark = pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id is deprecated:DeprecationWarning")

LAST = Month.of(datetime.now(UTC)).plus(-1)
GRAPH = LOCATION.asset_graph


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """A small workspace without archives."""
    with generate(messages=120, contacts=30, seed=4, archives=False) as generated:
        yield generated


# -- what is asked of a run --


@pytest.mark.parametrize("name", ["labels", "archives"])
def test_what_is_asked_of_a_run_is_what_the_pipeline_is_asked(name: str) -> None:
    asked = SyncConfig(full=True, revisit=True, accept_deletions=True, wait_for_others=7)
    files = ArchiveChoice(load=name != "archives")
    assert asked.options(STREAMS[name]) == Options(
        full=True, revisit_now=True, accept_deletions=True, wait_for_others=7, archives=files
    )
    assert SyncConfig().options(STREAMS[name]) == Options(archives=files)


@pytest.mark.long
def test_many_rows_that_are_gone_are_marked_only_by_a_run_that_accepts_it(deployment: Deployment) -> None:
    month = [str(row["id"]) for row in deployment.workspace.rows("messages") if row["created_on"][:7] == str(LAST)]
    assert len(month) > 5
    assert deployment.run("topics").success
    assert deployment.run("messages", months=[LAST]).success
    deployment.workspace.delete("topics", [row["uuid"] for row in deployment.workspace.rows("topics")[1:]])
    deployment.workspace.delete("messages", month[: len(month) // 2])
    for name, months in (("topics", []), ("messages", [LAST])):
        refused = deployment.run(name, months=months)
        assert not refused.success
        assert "no longer on the server" in refused.reason
        assert live(deployment, name) > len(there(deployment, name))
        assert deployment.run(name, months=months, config={"accept_deletions": True}).success
        assert live(deployment, name) == len(there(deployment, name))


def there(deployment: Deployment, name: str) -> list[object]:
    """What the server has of what the runs have read."""
    rows = deployment.workspace.rows(name)
    return [row for row in rows if name != "messages" or row["created_on"][:7] == str(LAST)]


def live(deployment: Deployment, name: str) -> int:
    return int(deployment.rows(f"SELECT count(*) FROM {name} WHERE deleted_on IS NULL")[0][0])


def test_the_nightly_revisits_wait_for_the_sync_that_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPIDPRO_URL", "https://textit.example")
    monkeypatch.setenv("RAPIDPRO_TOKEN", "0f3c9a6e5b7d4812a9c0ffee0f3c9a6e5b7d4812")
    new_lake(Path("lake"))
    (schedule,) = [one for one in defs.schedules or [] if one.name == "nightly_revisits"]
    assert isinstance(schedule, dg.ScheduleDefinition)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:  # a tick opens it anew
        context = dg.build_schedule_context(instance, datetime(2025, 11, 28, 2, 5, tzinfo=UTC), repository_def=LOCATION)
        (request,) = schedule.evaluate_tick(context).run_requests or []
    configs = {name: one["config"] for name, one in request.run_config["ops"].items()}
    assert configs.keys() == {"messages", "broadcasts", "channel_events"}
    for config in configs.values():
        assert (config["revisit"], config["wait_for_others"]) == (True, WAIT_FOR_SYNCS_SECONDS)
        assert not config["full"] and not config["accept_deletions"]


# -- waiting --


def test_a_run_waits_two_minutes_for_the_rate_limit_unless_the_settings_say_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resource = WorkspaceResource(url="https://textit.example", token="token", lake_folder="lake")
    assert resource.settings().longest_wait == 120
    monkeypatch.setenv("RAPIDLAKE_LONGEST_WAIT", "0")
    assert resource.settings().longest_wait == 0


def test_a_run_that_should_be_held_back_still_waits_itself(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPIDLAKE_LONGEST_WAIT", "0.5")
    until = {"rapidlake/held_until": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    over = {"rapidlake/held_until": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    for tags, waits in ((until, True), (over, False)):
        deployment.sandbox.faults = Faults(script={"labels": ["throttle"]}, throttle_seconds=1)
        ran = deployment.run("labels", tags=tags)
        assert ran.success
        assert len(ran.materialised("labels")) == waits


@pytest.mark.long
def test_the_share_of_the_budget_is_that_of_the_settings_and_runs_tell_what_is_left(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPIDLAKE_REQUESTS_PER_HOUR", "6")
    monkeypatch.setenv("RAPIDLAKE_SHARE", "0.5")
    ran = deployment.run("groups", "labels", "topics", "users")
    assert ran.success
    told = [facts["requests left"] for name in ("groups", "labels", "topics", "users")
            for _, facts in ran.materialised(name)]  # fmt: skip
    assert sorted(told) == [0, 1, 2]
    counted = [seen for seen in deployment.sandbox.requests if seen.scope == "v2"]
    assert len(counted) == 3 + 1  # whose token it is, is asked before it is known whose budget to use
    (waiting,) = [tag for tag in ran.tags if tag.startswith("rapidlake_go_on/")]
    assert deployment.run(waiting.removeprefix("rapidlake_go_on/")).success
    assert len([seen for seen in deployment.sandbox.requests if seen.scope == "v2"]) == 4 + 1


# -- sessions, retries, versions --


def test_all_steps_of_a_run_share_one_session(deployment: Deployment) -> None:
    assert deployment.run("groups", "labels", "topics").success
    assert [seen.endpoint for seen in deployment.sandbox.requests].count("workspace") == 1


def test_a_server_that_was_down_is_tried_again_and_a_refusal_is_not(deployment: Deployment) -> None:
    for faults, tries in (
        ({"workspace": ["error", "error"]}, 2),
        ({"workspace": ["forbidden"]}, 1),
        ({"labels": ["error", "error"]}, 1),
    ):
        deployment.sandbox.faults = Faults(script=faults)
        ran = with_retries(deployment, "labels")
        assert ran.success is (tries == 2)
        assert len([event for event in ran.all_events if event.is_step_up_for_retry]) == tries - 1


def with_retries(deployment: Deployment, name: str) -> dg.ExecuteInProcessResult:
    """A run of a deployment that has its steps tried again."""
    job = dg.define_asset_job(
        "retrying", dg.AssetSelection.assets(name).without_checks(), op_retry_policy=dg.RetryPolicy(max_retries=1)
    )
    assets = [one for one in defs.assets or [] if isinstance(one, dg.AssetsDefinition) and one.key.path == [name]]
    location = dg.Definitions(assets=assets, jobs=[job], resources={"workspace": deployment.resource})
    return location.resolve_job_def("retrying").execute_in_process(instance=deployment.instance, raise_on_error=False)


def test_a_stream_has_a_new_version_when_its_rows_have_changed_and_not_when_they_were_looked_at(
    deployment: Deployment,
) -> None:
    first, second = version(deployment.run("topics")), version(deployment.run("topics"))
    assert first == second
    deployment.workspace.edit("topics", 1, changes={"name": "Renamed"})
    assert version(deployment.run("topics")) != second


def version(ran: Ran) -> str:
    (event,) = ran.result.get_asset_materialization_events()
    tags = event.materialization.tags or {}
    return tags["dagster/data_version"]


# -- the location --


def test_months_are_one_run_and_syncs_ask_no_checks() -> None:
    for name in STREAMS:
        policy = GRAPH.get(dg.AssetKey(name)).backfill_policy
        assert policy == (dg.BackfillPolicy.single_run() if name in ("messages", "runs") else None)
    for name in ("live_sync", "hourly_sync", "nightly_revisits", "nightly_verification", "morning_report"):
        assert LOCATION.get_job(name).asset_layer.selected_asset_keys
        assert not LOCATION.get_job(name).asset_layer.asset_graph.asset_check_keys
        assert LOCATION.get_job(name).tags["rapidlake/pace"] == name
