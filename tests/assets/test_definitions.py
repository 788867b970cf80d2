"""The location as a whole: that it loads, what names it, what is in it, and which months it offers."""

from __future__ import annotations

import os
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import dagster as dg
import pytest
import yaml

from assets.partitions import MONTHS, first_month
from assets.workspace import workspace_from_environment
from pipeline.months import Month
from pipeline.streams import STREAMS
from sandbox import Sandbox, Workspace
from tests.assets.conftest import LOCATION, defs, quiet_instance
from tests.processes import run

ROOT = Path(__file__).parents[2]
GROUPS = {
    "messages_and_runs": "archives broadcasts channel_events flow_starts messages runs tickets",
    "contacts": "contacts fields groups",
    "analytics": "publish report statistics",
    "upkeep": "maintain verify",
}


def load(**settings: str) -> CompletedProcess[str]:
    """Load the location in a process of its own, with these settings and no others; any warning is an error."""
    code = "import assets.definitions as it, dagster as dg; dg.Definitions.validate_loadable(it.defs); print('loaded')"
    environment = {"PATH": os.environ["PATH"], "HOME": str(Path.cwd()), **settings}
    words = [sys.executable, "-W", "error::DeprecationWarning:assets", "-c", code]
    return run(words, env=environment)


def test_the_location_loads_without_any_setting_and_makes_nothing() -> None:
    ended = load()
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "loaded\n", "")
    assert not Path("lake").exists()


def test_the_location_loads_with_settings_that_are_wrong_and_never_shows_the_token() -> None:
    Path("rapidlake.toml").write_text("lake = [", encoding="utf-8")
    ended = load(RAPIDLAKE_FIRST_MONTH="July", RAPIDLAKE_NIGHT_HOUR="25", RAPIDPRO_TOKEN="0f3c9a6e5b7d4812a9c0ffee")
    assert (ended.returncode, ended.stdout) == (0, "loaded\n")
    assert "0f3c9a6e5b7d4812a9c0ffee" not in ended.stderr


def test_dagster_and_dg_are_told_of_the_same_module_by_the_same_name() -> None:
    (listed,) = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    module = listed["python_module"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["dg"]["project"]
    assert (module["module_name"], module["location_name"]) == ("assets.definitions", "rapidlake")
    assert project["code_location_target_module"] == module["module_name"]
    assert project["code_location_name"] == module["location_name"]
    assert module["module_name"].startswith(f"{project['root_module']}.")


def test_every_stream_stands_in_its_group_and_nothing_else_is_there() -> None:
    expected = dict.fromkeys(STREAMS, "setup")
    expected |= {name: group for group, names in GROUPS.items() for name in names.split()}
    graph = LOCATION.asset_graph
    found = {key.to_user_string(): graph.get(key).group_name for key in graph.get_all_asset_keys()}
    assert found == expected
    assert STREAMS.keys() == expected.keys() - {"maintain", "publish", "report", "verify"}


def test_what_must_be_read_first_stands_before() -> None:
    graph = LOCATION.asset_graph
    parents = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert {name: of for name, of in parents.items() if of and name in STREAMS} == {"definitions": {"flows"}}
    assert {"messages", "runs", "contacts"} <= parents["verify"] & parents["report"]


def test_jobs_and_sensors_are_as_the_docs_name_them() -> None:
    jobs = {job.name for job in LOCATION.get_all_jobs() if not job.name.startswith("__")}
    assert jobs == {schedule.name for schedule in defs.schedules or []} | {"publishing"}
    sensors = list(defs.sensors or [])
    assert {sensor.name for sensor in sensors} == {
        "first_sync", "archives_arrived", "rate_limit_freed", "sync_ended", "dead_runs", "failures"
    }  # fmt: skip
    assert {sensor.default_status for sensor in sensors} == {dg.DefaultSensorStatus.RUNNING}


def test_every_asset_turns_red_well_before_the_server_forgets_rows() -> None:
    for name, stream in STREAMS.items():
        policy = LOCATION.assets_defs_by_key[dg.AssetKey(name)].get_asset_spec().freshness_policy
        assert policy, name
        assert policy.warn_window < policy.fail_window
        if stream.retention:
            assert policy.fail_window.to_timedelta() <= stream.retention / 2


def test_the_token_is_named_and_not_shown_in_the_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPIDPRO_TOKEN", "0f3c9a6e5b7d4812a9c0ffee")
    resource = workspace_from_environment()
    assert "0f3c9a6e5b7d4812a9c0ffee" not in repr(resource)
    assert resource.token == dg.EnvVar("RAPIDPRO_TOKEN")


def test_a_run_finds_the_token_in_a_file_that_dagster_knows_nothing_of(
    small_workspace: Workspace, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox(small_workspace, requests_per_hour=0, keep=True) as sandbox, quiet_instance() as instance:
        Path("token").write_text(f"{sandbox.token}\n", encoding="utf-8")
        settings = {
            "RAPIDPRO_URL": sandbox.url,
            "RAPIDPRO_TOKEN_FILE": str(Path("token").absolute()),
            "RAPIDLAKE_LAKE": str(lake),
        }
        assert load(**settings).stdout == "loaded\n"
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        (labels,) = [
            asset
            for asset in defs.assets or []
            if isinstance(asset, dg.AssetsDefinition) and asset.key.path[-1] == "labels"
        ]
        resource = workspace_from_environment()
        assert resource.token is None
        result = dg.materialize([labels], resources={"workspace": resource}, instance=instance)
        assert result.success
        assert [seen.status for seen in sandbox.requests if seen.endpoint == "labels"] == [200]
        assert sandbox.token not in repr([*instance.all_logs(result.run_id)])


# -- months --


def test_months_go_from_the_first_one_to_the_one_that_is_not_over() -> None:
    keys = MONTHS.get_partition_keys()
    assert (keys[0], keys[-1]) == ("2025-01", str(Month.of(datetime.now(UTC))))
    with dg.partition_loading_context(effective_dt=datetime(2025, 4, 1, tzinfo=UTC)):
        assert MONTHS.get_partition_keys() == ["2025-01", "2025-02", "2025-03", "2025-04"]


def test_the_first_month_is_that_of_the_settings_else_rapidpros_first_year(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAPIDLAKE_FIRST_MONTH", raising=False)
    assert first_month() == Month(2011, 1)
    monkeypatch.setenv("RAPIDLAKE_FIRST_MONTH", "2019-02")
    assert first_month() == Month(2019, 2)
    monkeypatch.setenv("RAPIDLAKE_FIRST_MONTH", "February")
    assert first_month() == Month(2011, 1)


def test_loading_asks_no_lake_and_no_server() -> None:
    Path("lake").mkdir()
    (Path("lake") / "catalog.sqlite").write_bytes(b"no catalog at all")
    ended = load(RAPIDPRO_URL="http://127.0.0.1:9", RAPIDPRO_TOKEN="0f3c9a6e5b7d4812a9c0ffee")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "loaded\n", "")
    assert [file.name for file in Path("lake").iterdir()] == ["catalog.sqlite"]
