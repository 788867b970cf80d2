"""Tells whether the process of a run lives: it holds a lock, which the system takes back whatever kills it.

Dagster's own launcher asks no process how it does: a run that was killed would stand as started for ever, and its
schedule would wait for it.

No `from __future__ import annotations` here: Dagster reads the annotations of its functions as they stand.
"""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

from assets.outcome import LOADS, PACE, PUBLISH, tick
from warehouse.lake import clock

# In DAGSTER_HOME, which the processes of a deployment share, whatever the settings are: there may be no lake yet.
FOLDER = "rapidlake_runs"
DEAD_AFTER = timedelta(minutes=2)
HAVE_A_PROCESS = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
# Linux draws it anew whenever it starts: locks of processes that share it are the same kernel's, container or not.
BOOT = Path("/proc/sys/kernel/random/boot_id")

# Locks of runs of this process whose last step is over.
_over: list[FileLock] = []


@contextmanager
def alive(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold the lock of a run around its steps, and until its process ends or begins another run.

    What Dagster writes after the last step is the run's too. Where no lock can be had, nobody can tell whether the run
    lives, and `dead_runs` leaves it alone.
    """
    while _over:
        _over.pop().release()
    folder = _folder(instance)
    lock = FileLock(folder / f"{run_id}@{_host()}@{_boot()}.lock", thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except (OSError, Timeout):
        yield
        return
    try:
        yield
    finally:
        _over.append(lock)


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends runs whose process was killed, so that the next ones need not wait for them.",
)
@tick()
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Report each run failed that has had a process for two minutes, and has none now."""
    instance = context.instance
    died = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=HAVE_A_PROCESS)):
        run_id = record.dagster_run.run_id
        begun = record.start_time or record.create_timestamp.timestamp()
        age = clock.now() - datetime.fromtimestamp(begun, UTC)
        # The clock may have been set back since: how long it has run cannot be told then.
        if timedelta(0) <= age < DEAD_AFTER or not _is_dead(instance, run_id):
            continue
        run = instance.get_run_by_id(run_id)
        if run and run.status in HAVE_A_PROCESS:  # it may have ended while its lock was looked at
            instance.report_run_failed(run, _said(run))
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)
            died.append(run_id[:8])
    _tidy_up(instance)
    return dg.SkipReason(f"Reported failed, for they died: {', '.join(died)}." if died else "Each run lives.")


def _said(run: dg.DagsterRun) -> str:
    """What happened, and what comes next."""
    if (pace := run.tags.get(PACE)) == PUBLISH:
        then = "sync_ended asks for the copy again after the next sync"
    elif pace:
        then = f"the next tick of {pace} goes on from the last commit"
    elif LOADS in run.tags:
        then = "archives_arrived asks for what is left within the hour"
    else:
        then = "begin it again, and it goes on from the last commit"
    return (
        "The process of this run is gone: it was killed, the machine had no memory left for it, or lost its power. "
        f"Nothing committed is lost; {then}."
    )


def _is_dead(instance: dg.DagsterInstance, run_id: str) -> bool:
    """True if the run has left a lock that nobody holds, and that could be seen held from here."""
    return any(_is_of_here(file) and _is_free(file) for file in _folder(instance).glob(f"{run_id}@*.lock"))


def _is_of_here(file: Path) -> bool:
    """True if the process that made a lock is, or was, of this machine: over a network locks may look free."""
    _, host, boot = file.stem.split("@")
    return host == _host() or (boot == _boot() != "")


def _is_free(file: Path) -> bool:
    try:
        with FileLock(file, timeout=0):
            return True
    except (OSError, Timeout):
        return False


def _tidy_up(instance: dg.DagsterInstance) -> None:
    """Remove the locks of runs that are over."""
    for file in _folder(instance).glob("*@*@*.lock"):
        run = instance.get_run_by_id(file.stem.partition("@")[0])
        if (run is None or run.is_finished) and _is_free(file):
            file.unlink(missing_ok=True)


def _folder(instance: dg.DagsterInstance) -> Path:
    return Path(instance.root_directory) / FOLDER


@cache
def _host() -> str:
    return re.sub(r"[^\w.-]", "_", socket.gethostname())


@cache
def _boot() -> str:
    """Which start of this machine's kernel this is; empty where it does not tell."""
    try:
        return BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""
