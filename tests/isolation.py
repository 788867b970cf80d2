"""A plugin: no test harms the next one, however it ends, nor the person who runs it."""

from __future__ import annotations

import atexit
import faulthandler
import os
import signal
import ssl
import tempfile
import threading
from collections.abc import Generator, Iterator
from functools import cache
from types import FrameType
from typing import Any

import duckdb
import pytest
from pytest_timeout import Settings, is_debugging

from tests import processes

# A test whose own threads never end cannot be unwound: so long after its limit, its process is ended.
GRACE_SECONDS = 30.0

# Hypothesis keeps what it has computed beside the tests, if it is not told otherwise before the first of them.
_computed = tempfile.TemporaryDirectory(prefix="hypothesis-")
atexit.register(_computed.cleanup)
os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = _computed.name

STDERR = pytest.StashKey[int]()
LAST_RESORT = pytest.StashKey[threading.Timer]()


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of the person who runs the tests has a say in them, and nothing is left in their home."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("RAPIDPRO_", "RAPIDLAKE_", "DAGSTER_", "XDG_")):
                patch.delenv(name)
        patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("RAPIDLAKE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_extensions() -> Iterator[None]:
    """DuckDB hashes its extensions, 71 MB, whenever one is loaded: 0.4 CPU-seconds for each lake that a test opens.

    Processes that tests start do it as everybody's; `test_lake` holds them to it.
    """
    connect = duckdb.connect

    def without_hashing(
        database: str = ":memory:", *, config: dict[str, Any] | None = None
    ) -> duckdb.DuckDBPyConnection:
        return connect(database, config={"allow_unsigned_extensions": True} | (config or {}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duckdb, "connect", without_hashing)
        yield


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """Every client of every sync would read the file of certificates again: 0.03 CPU-seconds each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture(autouse=True)
def no_process_outlives_its_test() -> Iterator[None]:
    """Whatever a test starts has ended before the next one begins."""
    with processes.ended_afterwards():
        yield


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """One more than xdist would begin for the processors that it may use: some tests mostly wait."""
    workers = yield
    return workers if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else workers + 1


def pytest_configure(config: pytest.Config) -> None:
    """Keep the terminal at hand, as what a test prints is captured, and let Ctrl-C reach what tests start."""
    config.stash[STDERR] = os.dup(2)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts what runs in its background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if (
        signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    ):  # so `nohup` does; what a test starts would leave it alone too
        signal.signal(signal.SIGHUP, lambda number, frame: None)


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Settings) -> Generator[None, object, object]:
    """At the limit, first end the processes: threads of the test may wait for them, and the test for its threads."""
    answer = yield
    fail = signal.getsignal(signal.SIGALRM)
    assert callable(fail)

    def handle(number: int, frame: FrameType | None) -> None:
        if not is_debugging():
            processes.kill_those_of_this_test()
        fail(number, frame)

    signal.signal(signal.SIGALRM, handle)
    timer = threading.Timer(settings.timeout + GRACE_SECONDS, _give_up, (item.nodeid, item.config.stash[STDERR]))
    timer.daemon = True
    timer.start()
    item.stash[LAST_RESORT] = timer
    return answer


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """The last resort stays until the fixtures have ended too: pytest-timeout itself forgets a test that failed."""
    try:
        return (yield)
    finally:
        if timer := item.stash.get(LAST_RESORT, None):
            timer.cancel()
            timer.join()


def _give_up(test: str, stderr: int) -> None:
    """End this process; xdist goes on with another."""
    if not is_debugging():
        os.write(stderr, f"\n{test} does not end after its time limit:\n".encode())
        faulthandler.dump_traceback(stderr)
        os._exit(1)
