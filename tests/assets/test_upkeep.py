"""Verification and maintenance as assets: what they do first, when they are red, and what they keep."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from filelock import FileLock

from sandbox import Faults, Workspace, generate
from tests.assets.conftest import LOCATION, Deployment
from warehouse import Lake

# Dagster calls it deprecated, and the location uses it.
pytestmark = pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id is deprecated:DeprecationWarning")

# Of all others there is nothing to say that these do not say.
LEFT_OUT = (
    "broadcasts", "campaigns", "campaign_events", "channel_events", "classifiers", "definitions", "flow_starts",
    "globals", "resthooks", "resthook_events", "resthook_subscribers", "statistics", "topics", "users",
)  # fmt: skip
LISTED = ("messages", "runs", "contacts", "tickets", "groups", "labels", "flows", "channels")


@pytest.fixture(autouse=True)
def few_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPIDLAKE_LEAVE_OUT", ", ".join(LEFT_OUT))


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """A small workspace without archives."""
    with generate(messages=100, contacts=30, seed=4, archives=False) as generated:
        yield generated


# -- verify --


@pytest.mark.long
def test_a_verification_syncs_first_and_tells_what_it_compared_found_and_mended(
    deployment: Deployment,
) -> None:
    workspace = deployment.workspace
    ((_, facts),) = deployment.run("verify", config={"sample": 100}).materialised("verify")
    deployment.assert_true(*LISTED)
    assert facts["conclusion"].startswith("The lake is true: no differences")
    assert facts["differences"] == 0
    found = by_stream(facts)
    counted = {name: len(workspace.rows(name)) for name in LISTED if name != "contacts"}
    assert {name: found[name]["compared"] for name in counted} == counted
    assert facts["rows compared"] == sum(one["compared"] for one in found.values())
    assert facts["requests"] >= len(found)
    assert evaluation(deployment).passed

    # What changed without a date that tells it is read before it is compared; what is damaged is found.
    ages = sorted((str(row["created_on"]), row["id"]) for row in workspace.rows("messages"))
    recent = next(identity for at, identity in ages if at > (datetime.now(UTC) - timedelta(days=7)).isoformat())
    workspace.edit("messages", [recent], changes={"status": "failed"})
    workspace.add("messages", 5, at=datetime.now(UTC) - timedelta(minutes=5))
    damage(deployment, f"UPDATE messages SET text = 'damaged' WHERE id = {ages[0][1]}")
    ran = deployment.run("verify", config={"sample": 100})
    assert ran.success
    ((_, facts),) = ran.materialised("verify")
    assert facts["differences"] == 1
    found = by_stream(facts)
    assert (found["messages"]["compared"], found["messages"]["stale"]) == (len(workspace.rows("messages")), 1)
    deployment.assert_true("messages")
    mended = evaluation(deployment)
    assert mended.passed and (mended.description or "").endswith("1 differed and were mended.")

    damage(deployment, f"UPDATE messages SET text = 'damaged' WHERE id = {ages[0][1]}")
    assert deployment.run("verify", config={"sample": 100, "repair": False}).success
    red = evaluation(deployment)  # until it is mended, or found no more
    assert (red.passed, red.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert red.metadata["left"].value == 1


def test_nights_take_turns_and_mend_what_they_find(deployment: Deployment) -> None:
    ((_, facts),) = deployment.run("verify").materialised("verify")
    messages = len(deployment.workspace.rows("messages"))
    assert by_stream(facts)["messages"]["compared"] < messages // 2
    assert facts["conclusion"].startswith("No differences in what was due")
    (oldest,) = deployment.rows("SELECT arg_min(id, created_on) FROM messages")[0]
    damage(deployment, f"UPDATE messages SET text = 'damaged' WHERE id = {oldest}")
    damage(deployment, "UPDATE _proven SET proven_on = proven_on - INTERVAL 9 DAY")
    ((_, facts),) = deployment.run("verify").materialised("verify")
    assert facts["differences"] == 1
    deployment.assert_true("messages")
    assert evaluation(deployment).passed


def test_a_verification_that_could_not_compare_a_stream_is_red_and_one_of_few_days_compares_few_rows(
    deployment: Deployment,
) -> None:
    deployment.sandbox.faults = Faults(script={"labels": ["ok", "forbidden"]})
    ran = deployment.run("verify", config={"sample": 1})
    assert not ran.success
    assert ran.materialised("verify") == []
    assert ran.reason.startswith("No differences in what was read, but not everything was")
    (failed,) = [event.step_failure_data.user_failure_data for event in ran.result.all_events if event.is_step_failure]
    assert failed
    assert failed.metadata["differences"].value == 0
    found = {str(one.data["stream"]): one.data for one in failed.metadata["findings"].value.records}
    assert found["groups"]["compared"] == len(deployment.workspace.rows("groups"))
    assert found.get("messages", {"compared": 0})["compared"] < len(deployment.workspace.rows("messages")) // 2


@pytest.mark.long
def test_a_verification_that_must_wait_for_long_leaves_a_note_and_no_verdict(deployment: Deployment) -> None:
    deployment.sandbox.faults = Faults(script={"labels": ["ok", "throttle"]}, throttle_seconds=600)
    ran = deployment.run("verify", config={"sample": 1})
    assert ran.success
    assert ran.materialised("verify") == []
    assert ran.tags["rapidlake/unfinished"] == "yes"
    after = datetime.fromisoformat(ran.tags["rapidlake_go_on/verify"])
    assert abs(after - datetime.now(UTC) - timedelta(seconds=600)) < timedelta(seconds=120)


def test_a_verification_that_cannot_begin_is_red_in_one_sentence(deployment: Deployment) -> None:
    deployment.sandbox.faults = Faults(script={"workspace": ["forbidden"]})
    assert "refuses the token (403)" in deployment.run("verify").reason


# -- maintain --


def test_maintenance_keeps_the_versions_of_the_days_that_are_configured(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deployment.run("labels").success
    before = deployment.rows("SELECT max(snapshot_id) FROM ducklake_snapshots('lake')")[0][0]
    damage(deployment, "DELETE FROM labels")
    earlier = f"SELECT count(*) FROM labels AT (VERSION => {before})"
    kept = deployment.run("maintain")
    assert kept.success
    assert deployment.rows(earlier) == [(len(deployment.workspace.rows("labels")),)]
    versions = "SELECT count(*) FROM ducklake_snapshots('lake')"
    ((_, facts),) = kept.materialised("maintain")
    assert facts["versions"] == deployment.rows(versions)[0][0] > 1

    monkeypatch.setenv("RAPIDLAKE_KEEP_DAYS", "0.000001")
    ((_, facts),) = deployment.run("maintain").materialised("maintain")
    assert facts["versions"] == deployment.rows(versions)[0][0] == 1
    assert facts["files"] == deployment.rows("SELECT sum(file_count) FROM ducklake_table_info('lake')")[0][0]


def test_maintenance_beside_another_is_left_to_that_one(deployment: Deployment) -> None:
    assert deployment.run("labels").success
    with FileLock(deployment.lake / "locks" / "maintain.lock"):
        ran = deployment.run("maintain")
    assert ran.success
    assert ran.materialised("maintain") == []
    assert any("Another process is tidying the lake up now" in line for line in ran.said)


def test_maintenance_makes_no_lake_and_asks_no_server(deployment: Deployment) -> None:
    deployment.lake.mkdir()
    ran = deployment.run("maintain")
    assert ran.success
    assert ran.materialised("maintain") == []
    assert any("There is no lake" in line for line in ran.said)
    assert list(deployment.lake.iterdir()) == []
    assert deployment.sandbox.requests == []


# -- helpers --


def damage(deployment: Deployment, sql: str) -> None:
    with Lake.create(deployment.lake) as lake:
        lake.commit(lambda connection: connection.execute(sql))


def by_stream(facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The lines of the table of findings."""
    return {str(one.data["stream"]): dict(one.data) for one in facts["findings"].records}


def evaluation(deployment: Deployment) -> dg.AssetCheckEvaluation:
    """What the check of the last verification says."""
    key = dg.AssetCheckKey(dg.AssetKey("verify"), "verified")
    job = LOCATION.get_job("nightly_checks").get_subset(asset_check_selection={key})
    result = job.execute_in_process(instance=deployment.instance, resources={"workspace": deployment.resource})
    (found,) = result.get_asset_check_evaluations()
    return found
