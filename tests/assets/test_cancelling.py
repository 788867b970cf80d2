"""Runs that somebody cancels: they are cancelled and not failed, and say in one sentence what is kept."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg
import pytest
from filelock import FileLock, Timeout

from tests.assets.conftest import LOCATION, Deployment
from tests.lakes import new_lake

# A run that asks few endpoints is enough.
LEFT_OUT = "messages, broadcasts, flow_starts, channel_events, tickets, resthook_events, topics, users, definitions"
READ_IS_KEPT = "Cancelled: all that was read is committed; the next run goes on from there."


@pytest.fixture(autouse=True)
def few_streams(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPIDLAKE_LEAVE_OUT", LEFT_OUT)
    new_lake(deployment.lake)


@pytest.mark.parametrize(("asset", "endpoint", "page"), [("labels", "labels", 1), ("verify", "campaigns", 2)])
def test_a_run_behind_a_request_that_hangs_is_cancelled(
    deployment: Deployment, asset: str, endpoint: str, page: int
) -> None:
    pages, over = [0], threading.Event()

    def hang(asked: str) -> None:
        pages[0] += asked == endpoint
        if pages[0] == page:
            cancel(deployment)
            over.wait()

    deployment.sandbox.after_page = hang
    try:
        deployment.run(asset)
    finally:
        over.set()
    assert_cancelled(deployment, READ_IS_KEPT)


def test_a_maintenance_that_waits_for_another_process_is_cancelled(deployment: Deployment) -> None:
    locks = deployment.lake / "locks"

    def tidies() -> bool:
        try:
            with FileLock(locks / "maintain.lock", timeout=0):
                return False
        except Timeout:
            return True

    with FileLock(locks / "labels.write.lock"), cancelled_when(deployment, tidies):
        deployment.run("maintain")
    assert_cancelled(deployment, "Cancelled: what was tidied up stays so; the next maintenance does the rest.")


def test_a_report_is_cancelled_and_the_one_that_was_there_stays(deployment: Deployment) -> None:
    assert deployment.run("labels").success
    assert deployment.run("report").success
    before = (deployment.lake / "report.html").read_bytes()
    with cancelled_when(deployment, lambda: reads(deployment)):
        deployment.run("report")
    assert_cancelled(deployment, "Cancelled: no file is left by half, and the report that was there stays.")
    assert (deployment.lake / "report.html").read_bytes() == before
    assert not any(deployment.lake.glob(".rapidlake-partial-*"))


def test_checks_are_cancelled(deployment: Deployment) -> None:
    with cancelled_when(deployment, lambda: reads(deployment)):
        LOCATION.get_job("nightly_checks").execute_in_process(
            instance=deployment.instance, resources={"workspace": deployment.resource}, raise_on_error=False
        )
    assert_cancelled(deployment, "Cancelled: checks change nothing.")


def reads(deployment: Deployment) -> bool:
    """Whether a process has the lake open to read it."""
    return any((deployment.lake / "spool").glob("reader-*"))


def cancel(deployment: Deployment) -> None:
    """What the button of a run's page does, and the signal that Dagster's launcher sends for it."""
    run, *_ = deployment.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    deployment.instance.report_run_canceling(run)
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def cancelled_when(deployment: Deployment, happens: Callable[[], bool]) -> Iterator[None]:
    """Cancel the run that begins in this block, once something happens."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.005):
            if happens():
                cancel(deployment)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def assert_cancelled(deployment: Deployment, sentence: str) -> None:
    """The last run was cancelled, and has one sentence and no stack to say of it."""
    run = deployment.instance.get_runs()[0]
    assert run.status == dg.DagsterRunStatus.CANCELED
    ended = [entry.dagster_event for entry in deployment.instance.all_logs(run.run_id) if entry.dagster_event]
    (failed,) = [event.step_failure_data.error for event in ended if event.is_step_failure]
    while failed and failed.cause:
        failed = failed.cause
    assert failed and (failed.message, failed.stack) == (sentence, [])
