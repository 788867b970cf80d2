"""What Dagster makes is the owner's, and a fault of Rapidlake's own shows nothing of a row on any of its pages."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import dagster as dg
import pytest

from assets.outcome import cancellable, tick
from sandbox import Sandbox, Workspace
from tests import processes
from tests.assets.conftest import quiet_instance
from tests.cases import cases

PERSON = "+250788000111 is HIV positive"


@pytest.mark.parametrize("umask", cases(0o000, long=[0o022]))
def test_nobody_else_may_read_what_a_run_makes(small_workspace: Workspace, tmp_path: Path, umask: int) -> None:
    home = tmp_path / "home"
    home.mkdir(0o755)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    (home / "dagster.yaml").chmod(0o644)
    with Sandbox(small_workspace, keep=True, requests_per_hour=0) as sandbox:
        settings = {
            "DAGSTER_HOME": str(home),
            "RAPIDPRO_URL": sandbox.url,
            "RAPIDPRO_TOKEN": sandbox.token,
            "RAPIDLAKE_LAKE": str(tmp_path / "lake"),
            "RAPIDLAKE_CACHE": str(tmp_path / "cache"),
        }
        words = ["asset", "materialize", "-m", "assets.definitions", "--select", "labels,report"]
        program = (
            f"import os, runpy, sys; os.umask({umask}); sys.argv = {['dagster', *words]}; runpy.run_module('dagster')"
        )
        kept = {name: os.environ[name] for name in ("PATH", "HOME")}
        ended = processes.run([sys.executable, "-c", program], env=kept | settings)
    assert ended.returncode == 0, ended.stderr
    made = [one for folder in (home, tmp_path / "lake", tmp_path / "cache") for one in [folder, *folder.rglob("*")]]
    assert {"report.html", "catalog.sqlite", "dagster.yaml"} <= {one.name for one in made}
    assert len([one for one in made if one.is_relative_to(home)]) > 5
    assert {str(one): oct(mode) for one in made if (mode := stat.S_IMODE(one.lstat().st_mode)) & 0o077} == {}


def test_a_step_that_meets_a_fault_says_where_and_shows_nothing() -> None:
    @dg.asset
    def broken() -> None:
        with cancellable("nothing"):
            raise KeyError(PERSON)

    with quiet_instance() as instance:
        result = dg.materialize([broken], instance=instance, raise_on_error=False)
        told = [repr(record) for record in instance.all_logs(result.run_id)]
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert "A fault of Rapidlake's own, KeyError in " in str(failed.step_failure_data)
    assert not [record for record in told if "HIV" in record]


def test_a_tick_that_meets_a_fault_says_where_and_shows_nothing() -> None:
    @dg.sensor(target=dg.AssetSelection.all())
    @tick()
    def broken() -> dg.SkipReason:
        raise KeyError(PERSON)

    with dg.build_sensor_context() as context, pytest.raises(dg.DagsterError, match="KeyError in ") as caught:
        broken.evaluate_tick(context)
    assert "HIV" not in str(caught.value)
    assert caught.value.__suppress_context__
