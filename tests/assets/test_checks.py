"""Checks as Dagster runs them: red where a lake is wrong, as grave as it is, and what is made from it waits."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pipeline.reading.progress import Quiet
from pipeline.settings import load_settings
from pipeline.streams import STREAMS
from pipeline.syncing.sync import choose, sync
from sandbox import Sandbox, Workspace
from tests.assets.conftest import LOCATION, Deployment, defs
from tests.lakes import new_lake
from warehouse import Lake

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
FAULTS = {
    ("tickets", "keys_unique"): (ERROR, "INSERT INTO tickets BY NAME SELECT * FROM tickets LIMIT 2"),
    ("channel_events", "no_orphans"): (
        WARN,
        "UPDATE channel_events SET contact_uuid = uuid() "
        "WHERE id IN (SELECT id FROM channel_events WHERE deleted_on IS NULL LIMIT 3)",
    ),
    ("broadcasts", "quarantine_empty"): (
        ERROR,
        "INSERT INTO _quarantine (stream, digest, reason, record, source, seen_on) "
        "VALUES ('broadcasts', 'd', 'secret is no number', '{}', 'api', now())",
    ),
    ("flows", "no_drift"): (WARN, "INSERT INTO _drift VALUES ('flows', 'colour', 'unknown', now())"),
    ("resthook_events", "read_in_time"): (
        ERROR,
        "UPDATE _cursor SET watermark = now() - INTERVAL 30 HOUR WHERE stream = 'resthook_events'",
    ),
    ("runs", "archives_counted"): (
        ERROR,
        "INSERT INTO archives (archive_type, period, start_date, record_count, hash, synced_on) "
        "VALUES ('run', 'daily', '2025-01-01', 4, 'd', now() - INTERVAL 3 DAY)",
    ),
}
# Those that the checks above ask of, and that the report is made from.
NEEDED = ("workspace", "contacts", "messages", "runs", "broadcasts", "channel_events", "flow_starts", "flows",
          "resthook_events", "tickets")  # fmt: skip
HOURLY = {"no_drift", "quarantine_empty", "read_in_time", "verified"}
Key = tuple[str, str]


@pytest.fixture(scope="module")
def synced(small_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Path]]:
    """A workspace without archives, and a lake of it; no test changes them."""
    path = new_lake(tmp_path_factory.mktemp("synced") / "lake")
    with Sandbox(small_workspace, requests_per_hour=0, keep=True) as served:
        settings = load_settings(url=served.url, token=served.token, lake=path, requests_per_hour=0, lag=0)
        assert not sync(settings, choose(NEEDED), Quiet()).failed
        yield served, path


@pytest.fixture
def wrong(synced: tuple[Sandbox, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """A copy of that lake."""
    served, path = synced
    shutil.copytree(path, tmp_path / "lake")
    monkeypatch.setenv("RAPIDLAKE_LAG", "0")
    monkeypatch.setenv("RAPIDLAKE_PATIENCE", "0")
    with dg.DagsterInstance.ephemeral() as instance:
        yield Deployment(served, tmp_path / "lake", instance)


# A lake of four days: what is forgiven to a new one is not to it.
AGED = (
    "UPDATE _lake SET created_on = now() - INTERVAL 4 DAY",
    "UPDATE _drift SET first_seen_on = first_seen_on - INTERVAL 4 DAY",
)


def spoil(deployment: Deployment, *statements: str) -> None:
    with Lake.create(deployment.lake) as lake:
        for sql in (*AGED, *statements):
            lake.commit(lambda connection, sql=sql: connection.execute(sql))
        lake.commit(
            lambda connection: connection.execute(
                "UPDATE _cursor SET watermark = now() WHERE feed = 'rows' AND stream = 'contacts'"
            )
        )


def checked(deployment: Deployment, job: str) -> dict[Key, dg.AssetCheckEvaluation]:
    """What the checks of a job say of the lake."""
    result = LOCATION.get_job(job).execute_in_process(
        instance=deployment.instance, resources={"workspace": deployment.resource}, raise_on_error=False
    )
    return {(one.asset_key.to_user_string(), one.check_name): one for one in result.get_asset_check_evaluations()}


# -- red, and how red --


def test_each_fault_of_a_lake_fails_its_check_and_no_other_and_is_as_grave_as_it_is(wrong: Deployment) -> None:
    spoil(wrong, *(sql for _, sql in FAULTS.values()))
    found = checked(wrong, "nightly_checks")
    assert found.keys() == {(key.asset_key.to_user_string(), key.name) for key in keys()}
    red = {key: one.severity for key, one in found.items() if not one.passed}
    assert red == {key: severity for key, (severity, _) in FAULTS.items()} | {("verify", "verified"): WARN}
    said = found["tickets", "keys_unique"]
    assert said.description == "2 keys of tickets stand twice: run `rapidlake verify tickets --repair`."
    assert said.metadata["doubles"].value == 2
    assert "secret" not in str(found)


def test_a_true_lake_passes_and_what_is_cheap_is_asked_every_hour(wrong: Deployment) -> None:
    spoil(wrong)
    found = checked(wrong, "hourly_checks")
    assert {name for _, name in found} == HOURLY
    assert [key for key, one in found.items() if not one.passed] == [("verify", "verified")]
    assert {stream for stream, name in found if name == "quarantine_empty"} == STREAMS.keys()


def test_nothing_is_red_or_yellow_while_a_new_lake_is_being_filled(wrong: Deployment) -> None:
    shutil.rmtree(wrong.lake)
    with Lake.create(new_lake(wrong.lake)) as lake:
        lake.commit(
            lambda connection: connection.execute(
                """
                INSERT INTO archives (archive_type, period, start_date, record_count, hash, synced_on)
                VALUES ('message', 'monthly', '2025-01-01', 52411, 'd', now());
                INSERT INTO messages (id, created_on, synced_on)
                SELECT number, now() - to_days(3 + number // 40), now() FROM range(3000) AS them(number)
                """
            )
        )
    found = checked(wrong, "nightly_checks")
    assert [(key, one.description) for key, one in found.items() if not one.passed] == []
    assert found["messages", "archives_counted"].description == (
        "52,411 of 52,411 archived records of messages are on their way: their files are loaded by themselves."
    )
    assert found["verify", "verified"].description == "The lake is new: the coming nights verify it."
    assert str(found["messages", "volume_usual"].description).startswith("messages is not read up to the end of ")
    assert found["channel_events", "read_in_time"].description == "The first reading of channel_events is not over yet."


def test_archive_files_of_no_month_that_is_wanted_are_not_lacking(
    wrong: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(wrong, FAULTS["runs", "archives_counted"][1])
    assert not checked(wrong, "nightly_checks")["runs", "archives_counted"].passed
    monkeypatch.setenv("RAPIDLAKE_FIRST_MONTH", "2025-02")
    assert checked(wrong, "nightly_checks")["runs", "archives_counted"].passed


def test_without_a_lake_every_check_fails_and_none_is_grave(wrong: Deployment) -> None:
    shutil.rmtree(wrong.lake)
    found = checked(wrong, "hourly_checks")
    assert {(one.passed, one.severity) for one in found.values()} == {(False, WARN)}
    assert all("There is no lake at" in str(one.description) for one in found.values())


def test_a_lake_that_cannot_be_asked_fails_the_step_in_one_sentence(wrong: Deployment) -> None:
    with Lake.create(wrong.lake) as lake:
        lake.commit(lambda connection: connection.execute("DROP TABLE labels"))
    result = LOCATION.get_job("nightly_checks").execute_in_process(
        instance=wrong.instance, resources={"workspace": wrong.resource}, raise_on_error=False
    )
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    data = failed.step_failure_data.user_failure_data
    assert data and data.description == f"The lake {wrong.lake} refused what was asked of it (CatalogException)."


# -- what waits for it --


def test_nothing_is_made_from_keys_that_stand_twice_and_all_else_may_be_red(wrong: Deployment) -> None:
    doubled, asked = "INSERT INTO broadcasts BY NAME SELECT * FROM broadcasts LIMIT 1", ("keys_unique", "no_drift")
    spoil(wrong, "INSERT INTO _drift VALUES ('broadcasts', 'colour', 'unknown', now())")
    went_on = with_report(wrong, asked)
    assert went_on.success
    assert made(went_on) == {"broadcasts", "report"}
    assert [one.passed for one in evaluations(went_on)] == [True, False]
    spoil(wrong, doubled)
    stopped = with_report(wrong, asked)
    assert not stopped.success
    assert made(stopped) == {"broadcasts"}


def test_only_what_would_be_made_wrong_waits() -> None:
    blocking = {key.name for key in keys() if LOCATION.asset_graph.get_check_spec(key).blocking}
    assert blocking == {"keys_unique"}


def with_report(deployment: Deployment, names: tuple[str, ...]) -> dg.ExecuteInProcessResult:
    """Sync broadcasts, ask these checks of them, and make the report from them, in one run."""
    broadcasts = dg.AssetKey("broadcasts")
    selection = dg.AssetSelection.assets(broadcasts, "report").without_checks() | dg.AssetSelection.checks(
        *(dg.AssetCheckKey(broadcasts, name) for name in names)
    )
    return dg.materialize(
        [*(defs.assets or []), *(defs.asset_checks or [])],  # type: ignore[list-item]  # Dagster's are wider
        selection=selection,
        resources={"workspace": deployment.resource},
        instance=deployment.instance,
        raise_on_error=False,
    )


def made(result: dg.ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}


def evaluations(result: dg.ExecuteInProcessResult) -> list[dg.AssetCheckEvaluation]:
    return sorted(result.get_asset_check_evaluations(), key=lambda one: one.check_name)


def keys() -> set[dg.AssetCheckKey]:
    return set(LOCATION.asset_graph.asset_check_keys)
