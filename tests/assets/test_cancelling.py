"""Runs that somebody cancels: they are cancelled and not failed, and say in one sentence what is kept."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import NoReturn

import dagster as dg
import duckdb
import pytest
from dagster._utils.interrupts import raise_interrupts_as

from tests.assets.conftest import LOCATION, Deployment
from tests.lakes import new_lake

# A run that asks few endpoints is enough.
LEFT_OUT = "messages, broadcasts, flow_starts, channel_events, tickets, resthook_events, topics, users, definitions"
FOREVER = "SELECT count(*) FROM range(20000000000) numbers (number) WHERE hash(number) = 1"


def interrupted(*_: object, **__: object) -> NoReturn:
    """What Dagster raises where its launcher's signal comes."""
    raise dg.DagsterExecutionInterruptedError


def interrupted_in_a_query(*_: object, **__: object) -> NoReturn:
    """What DuckDB makes of a signal that comes while it works."""
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    with raise_interrupts_as(dg.DagsterExecutionInterruptedError), duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(FOREVER)
    raise AssertionError


@pytest.mark.parametrize("how", [interrupted, interrupted_in_a_query])
@pytest.mark.parametrize(
    ("job", "place", "kept"),
    [
        ("labels", "assets.streams.sync_in", "all that was read is committed; the next run goes on from there"),
        ("verify", "assets.upkeep.verify_in", "all that was read is committed; the next run goes on from there"),
        ("maintain", "assets.upkeep.maintain", "what was tidied up stays so; the next maintenance does the rest"),
        ("report", "pipeline.report.write_report", "no file is left by half, and the report that was there stays"),
        ("nightly_checks", "assets.checks.verified", "checks change nothing"),
    ],
)
def test_a_run_that_is_cancelled_counts_as_cancelled_and_says_so_in_one_sentence(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, job: str, place: str, kept: str, how: Callable[..., object]
) -> None:
    monkeypatch.setenv("RAPIDLAKE_LEAVE_OUT", LEFT_OUT)
    new_lake(deployment.lake)

    def cancelled(*words: object, **named: object) -> object:
        deployment.instance.report_run_canceling(*deployment.instance.get_runs())
        return how()

    monkeypatch.setattr(place, cancelled)
    if job == "nightly_checks":
        LOCATION.get_job(job).execute_in_process(
            instance=deployment.instance, resources={"workspace": deployment.resource}, raise_on_error=False
        )
    else:
        deployment.run(job)
    (run,) = deployment.instance.get_runs()
    assert run.status == dg.DagsterRunStatus.CANCELED
    ended = [entry.dagster_event for entry in deployment.instance.all_logs(run.run_id) if entry.dagster_event]
    (failed,) = [event.step_failure_data.error for event in ended if event.is_step_failure]
    while failed and failed.cause:
        failed = failed.cause
    assert failed and (failed.message, failed.stack) == (f"Cancelled: {kept}.", [])
