"""What tests of the Dagster location share: a workspace, its lake, an instance, and runs in this process."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from sandbox import Sandbox, Workspace, generate, read_archive
from tests.lakes import assert_holds, new_lake, rows
from tests.workspaces import keep_days

with pytest.MonkeyPatch.context() as _patch, tempfile.TemporaryDirectory() as _folder:
    # Dagster's list of months is made when the location is loaded: let no lake or setting of the developer's decide.
    _patch.chdir(_folder)
    for _name in [name for name in os.environ if name.startswith(("RAPIDPRO_", "RAPIDLAKE_"))]:
        _patch.delenv(_name)
    _patch.setenv("RAPIDLAKE_FIRST_MONTH", "2025-01")
    from assets.definitions import defs
    from assets.workspace import WorkspaceResource


RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
LOCATION = defs.get_repository_def()


@dataclass(frozen=True)
class Ran:
    """A run that has ended, and what the instance remembers of it."""

    result: dg.ExecuteInProcessResult
    instance: dg.DagsterInstance

    @property
    def success(self) -> bool:
        return self.result.success

    @property
    def tags(self) -> Mapping[str, str]:
        """Its tags, as they are now."""
        run = self.instance.get_run_by_id(self.result.run_id)
        assert run
        return run.tags

    @property
    def said(self) -> list[str]:
        """The messages of its log, without those of Dagster's own events."""
        entries = self.instance.all_logs(self.result.run_id)
        return [entry.user_message for entry in entries if not entry.is_dagster_event]

    @property
    def reason(self) -> str:
        """Why its only failed step failed, as its page shows it."""
        (failed,) = [event for event in self.result.all_events if event.is_step_failure]
        data = failed.step_failure_data
        assert data.user_failure_data
        return str(data.user_failure_data.description)

    def materialised(self, asset: str) -> list[tuple[str | None, dict[str, Any]]]:
        """Partition and metadata of each materialization of an asset, in their order."""
        return [
            (event.partition, {name: value.value for name, value in event.materialization.metadata.items()})
            for event in self.result.get_asset_materialization_events()
            if event.asset_key == dg.AssetKey(asset)
        ]


@dataclass(frozen=True)
class Deployment:
    """A served workspace, the folder of its lake, and a Dagster instance."""

    sandbox: Sandbox
    lake: Path
    instance: dg.DagsterInstance

    @property
    def workspace(self) -> Workspace:
        return self.sandbox.workspace

    @property
    def resource(self) -> WorkspaceResource:
        """As Dagster gives it to assets and sensors."""
        return WorkspaceResource(url=self.sandbox.url, token=self.sandbox.token, lake_folder=str(self.lake))

    def run(
        self,
        *names: str,
        months: Sequence[object] = (),
        config: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Ran:
        """Materialise assets; of the months from the first to the last named, where there are any."""
        if not self.lake.exists():
            new_lake(self.lake)
        marks = dict(zip(RANGE, (str(months[0]), str(months[-1])), strict=True)) if len(months) > 1 else {}
        result = dg.materialize(
            [
                asset
                for asset in defs.assets or []
                if isinstance(asset, dg.AssetsDefinition) and asset.key.path[-1] in names
            ],
            partition_key=str(months[0]) if len(months) == 1 else None,
            resources={"workspace": self.resource},
            instance=self.instance,
            tags={**marks, **(tags or {})},
            run_config={"ops": {name: {"config": dict(config)} for name in names}} if config else None,
            raise_on_error=False,
        )
        return Ran(result, self.instance)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the lake answers."""
        return rows(self.lake, query)

    def assert_true(self, *streams: str) -> None:
        """The live rows of the lake are those that the API lists, value by value."""
        assert_holds(self.lake, self.workspace, *streams)


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """Nine months in monthly archives, 90 days in the API."""
    with generate(messages=800, seed=7) as generated:
        yield keep_days(generated, 0)


def quiet_instance() -> dg.DagsterInstance:
    """Dagster's own memory of a test, which tells nobody of itself."""
    return dg.DagsterInstance.ephemeral(settings={"telemetry": {"enabled": False}})


@pytest.fixture
def deployment(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """That workspace, served without limits, an empty lake, and the settings of the daemon's environment."""
    with (
        Sandbox(workspace, requests_per_hour=0) as sandbox,
        quiet_instance() as instance,
    ):
        monkeypatch.setenv("RAPIDPRO_URL", sandbox.url)
        monkeypatch.setenv("RAPIDPRO_TOKEN", sandbox.token)
        monkeypatch.setenv("RAPIDLAKE_LAKE", str(tmp_path / "lake"))
        monkeypatch.setenv("RAPIDLAKE_PATIENCE", "0")
        monkeypatch.setenv("RAPIDLAKE_LAG", "0")
        yield Deployment(sandbox, tmp_path / "lake", instance)


def records(workspace: Workspace, kind: str, months: Sequence[object]) -> list[dict[str, Any]]:
    """What the listed archives of a type hold of these months."""
    names = {str(month) for month in months}
    listed = [
        row for row in workspace.rows("archives") if row["archive_type"] == kind and row["start_date"][:7] in names
    ]
    return [json.loads(line) for row in listed for line in read_archive(workspace, row)]
