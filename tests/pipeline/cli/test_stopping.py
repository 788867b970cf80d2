"""How a command is stopped: within ten seconds whatever it does, in words, and nothing of what it had is lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event

import pytest
from filelock import FileLock

from sandbox import Sandbox, Workspace
from tests import processes
from tests.cases import cases
from tests.commands import COMMAND, access, run, start
from tests.conftest import Answer, Asked, Serve
from tests.lakes import new_lake
from tests.processes import Process

KEPT = "what was committed is kept"
FOREVER = "SELECT count(*) FROM range(100000) a, range(100000) b, range(100000) c WHERE a.range + b.range = c.range"
LONGEST_SECONDS = 10


@pytest.fixture(scope="module")
def synced(small_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with labels; no test changes it."""
    lake = new_lake(tmp_path_factory.mktemp("synced") / "lake")
    with Sandbox(small_workspace, keep=True, requests_per_hour=0) as served:
        assert run("sync", "labels", "--lake", lake, **access(served)).code == 0
    return lake


def stopped(process: Process, number: signal.Signals = signal.SIGTERM) -> str:
    """Send a signal, and see how the process ends: in time, with exit code 1, and without a traceback."""
    begun = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate()
    assert time.monotonic() - begun < LONGEST_SECONDS
    assert process.returncode == 1, err
    assert "Traceback" not in out + err and "KeyboardInterrupt" not in out + err, err
    return err


@contextmanager
def hanging(serve: Serve, *, answered: Callable[[Asked], Answer | None]) -> Iterator[tuple[dict[str, str], Event]]:
    """A server that never answers what `answered` has nothing for; the event says that it was asked such a thing."""
    asked, over = Event(), Event()

    def answer(request: Asked) -> Answer:
        found = answered(request)
        if found is None:
            asked.set()
            over.wait()
        return found or Answer()

    origin = serve(answer)
    yield {"RAPIDPRO_URL": origin.url, "RAPIDPRO_TOKEN": "token0of0an0administrator", "RAPIDLAKE_PATIENCE": "1"}, asked
    over.set()


def only_workspace(request: Asked) -> Answer | None:
    if not request.path.endswith("workspace.json"):
        return None
    return Answer(b'{"uuid":"0f3c9a6e-5b7d-4812-a9c0-ffee0f3c9a6e","name":"Nyaruka","languages":[],"anon":false}')


@pytest.mark.parametrize("number", cases(signal.SIGTERM, long=[signal.SIGINT, signal.SIGHUP]))
def test_a_sync_behind_a_request_that_hangs_ends_and_says_what_is_kept(serve: Serve, number: signal.Signals) -> None:
    with hanging(serve, answered=only_workspace) as (settings, asked):
        process = start("sync", "labels", "contacts", **settings)
        assert asked.wait(60)
        said = stopped(process, number)
    assert "Stopping after a last commit" in said
    assert "labels: Stopped: all that was read is committed; run the same command again to go on." in said


@pytest.mark.parametrize("command", [["sync"], ["doctor"]])
def test_a_command_whose_first_request_hangs_ends(serve: Serve, command: list[str]) -> None:
    with hanging(serve, answered=lambda request: None) as (settings, asked):
        process = start(*command, **settings)
        assert asked.wait(60)
        assert "Stopped: " in stopped(process)


@pytest.mark.parametrize("command", [["sync", "labels"], ["maintain"]])
def test_a_command_that_waits_for_another_process_ends(
    synced: Path, small_workspace: Workspace, command: list[str]
) -> None:
    with Sandbox(small_workspace, keep=True, requests_per_hour=0) as served, FileLock(synced / "locks" / "schema.lock"):
        process = start(*command, "--lake", synced, **access(served))
        wait_until_open(process, "catalog.sqlite")
        assert KEPT in stopped(process)


def test_a_question_that_takes_for_ever_ends_and_leaves_no_file(synced: Path) -> None:
    Path("out").mkdir()
    process = start("sql", FOREVER, "-o", "out/rows.csv", "--lake", synced)
    wait_until_open(process, "catalog.sqlite")
    assert KEPT in stopped(process)
    assert list(Path("out").iterdir()) == []


@pytest.mark.parametrize("number", cases(signal.SIGINT, long=[signal.SIGTERM, signal.SIGHUP]))
def test_a_command_is_stopped_in_words_from_its_first_moment_on(synced: Path, number: signal.Signals) -> None:
    process = start("export", "--lake", synced)
    while not signals_heeded(process):  # a few milliseconds after Python itself
        pass
    assert KEPT in stopped(process, number)
    assert list(Path().iterdir()) == []


def test_a_second_interrupt_ends_at_once(synced: Path, small_workspace: Workspace) -> None:
    with Sandbox(small_workspace, keep=True, requests_per_hour=0) as served, catalog_kept(synced):
        process = start("sync", "labels", "--lake", synced, **access(served))
        wait_until_open(process, "catalog.sqlite")
        process.send_signal(signal.SIGINT)
        assert process.stderr and "Ctrl-C again to stop at once" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        said = process.stderr.readline()
    assert process.wait() == 130
    assert KEPT in said


@contextmanager
def catalog_kept(lake: Path) -> Iterator[None]:
    """Keep everybody else out of a catalog: SQLite waits a minute for it, and looks at no signal."""
    with closing(sqlite3.connect(lake / "catalog.sqlite")) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        yield


def test_a_sync_that_waits_for_the_lock_of_a_table_ends_and_its_stream_is_stopped(
    small_workspace: Workspace, tmp_path: Path
) -> None:
    lake = new_lake(tmp_path / "lake")
    lock = FileLock(lake / "locks" / "groups.write.lock")
    with Sandbox(small_workspace, keep=True, requests_per_hour=0) as served, lock:
        process = start("sync", "groups", "--lake", lake, **access(served))
        wait_until_open(process, "groups.write.lock")
        said = stopped(process)
    assert "groups: Stopped: another process had the lake, and what was committed is kept: run the same" in said


def test_a_command_that_was_told_not_to_mind_the_end_of_its_terminal_goes_on(synced: Path) -> None:
    process = start_without_hangups("sql", "FROM labels", "--lake", synced)
    while not signals_heeded(process):
        pass
    process.send_signal(signal.SIGHUP)
    process.communicate()
    assert process.returncode == 0


def start_without_hangups(*arguments: object) -> Process:
    return processes.start(["nohup", COMMAND, *arguments], env=dict(os.environ))


def wait_until_open(process: Process, name: str) -> None:
    """Until the process has a file of this name open."""
    while process.poll() is None and not any(name in file for file in open_files(process)):
        time.sleep(0.01)


def open_files(process: Process) -> Iterator[str]:
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            yield os.readlink(link)


def signals_heeded(process: Process) -> bool:
    """Whether the process has a handler of its own for SIGTERM."""
    caught = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "SigCgt" in line)
    return bool(int(caught.split()[1], 16) & (1 << (signal.SIGTERM - 1)))
