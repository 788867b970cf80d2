"""The reference lists what Dagster shows: assets by group, schedules, sensors, checks, and the settings of a run."""

from __future__ import annotations

import dagster as dg

from assets.streams import SyncConfig
from assets.upkeep import VerifyConfig
from pipeline.proof.checks import CHECKS
from tests.assets.conftest import LOCATION
from tests.test_docs import REFERENCE, code, section, table

IN_DAGSTER = REFERENCE.split("\n## In Dagster\n", 1)[1]


def named(heading: str) -> set[str]:
    return {name for row in table(IN_DAGSTER, heading) for name in code(row[0])}


def test_it_lists_every_asset_in_its_group() -> None:
    groups: dict[str, set[str]] = {}
    for key, node in ((key, LOCATION.asset_graph.get(key)) for key in LOCATION.asset_graph.get_all_asset_keys()):
        groups.setdefault(node.group_name, set()).add(key.to_user_string())
    listed = {code(row[0])[0]: set(code(row[1])) for row in table(IN_DAGSTER, "Group")}
    assert listed.pop("setup") == set() and groups.pop("setup")
    assert listed == groups


def test_it_lists_every_schedule_sensor_and_check() -> None:
    assert named("Schedule") == {schedule.name for schedule in LOCATION.schedule_defs}
    assert named("Sensor") == {sensor.name for sensor in LOCATION.sensor_defs}
    assert named("Check") == {check.name for check in CHECKS} | {"verified"}


def test_it_lists_the_settings_of_a_run() -> None:
    described = code(section(IN_DAGSTER, "Settings of one run"))
    configs: tuple[type[dg.Config], ...] = (SyncConfig, VerifyConfig)
    assert {name for config in configs for name in config.model_fields} <= set(described)
