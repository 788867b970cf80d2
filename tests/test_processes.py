"""What keeps one test from harming the next: time limits, and the end of every process that a test started."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.processes import run

ROOT = Path(__file__).parents[1]
CONFTEST = "from tests import isolation; isolation.GRACE_SECONDS = 1.0"
# The process that hangs has a child that hangs; both have the pipe open for writing.
TESTS = """
import os, sys, threading
from concurrent.futures import ThreadPoolExecutor
import pytest
from tests import processes

HANG = "import os, time; pipe = open('pipe', 'w'); print('begun', flush=True); os.fork(); time.sleep(1_000_000)"

def start_one_that_hangs():
    assert processes.start([sys.executable, "-c", HANG]).stdout.readline() == "begun\\n"

@pytest.mark.timeout(1)
def test_a_process_hangs():
    with ThreadPoolExecutor() as pool:
        list(pool.map(processes.run, [[sys.executable, "-c", HANG]]))

@pytest.mark.timeout(1)
def test_its_own_threads_hang():
    with ThreadPoolExecutor() as pool:
        hanging = pool.submit(threading.Event().wait)
        start_one_that_hangs()
        hanging.result()

def test_pytest_crashes():
    start_one_that_hangs()
    os._exit(1)

def test_a_process_is_left():
    start_one_that_hangs()

def test_next():
    pass
"""


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("test_a_process_hangs", ["Timeout (>1.0s)", "1 failed, 1 passed"]),
        ("test_its_own_threads_hang", ["crashed while running", "1 failed, 1 passed"]),
        ("test_pytest_crashes", ["crashed while running", "1 failed, 1 passed"]),
        ("test_a_process_is_left", ["2 passed"]),
    ],
)
def test_the_processes_of_a_test_end_however_it_ends_and_the_next_test_goes_on(test: str, words: list[str]) -> None:
    Path("conftest.py").write_text(CONFTEST, encoding="utf-8")
    Path("test_inner.py").write_text(TESTS, encoding="utf-8")
    os.mkfifo("pipe")
    ends = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(ends, True)
    tests = [f"test_inner.py::{name}" for name in (test, "test_next")]
    options = ["-n1", "-p", "tests.isolation", "-p", "no:cacheprovider"]
    inner = run([sys.executable, "-m", "pytest", *options, *tests], env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert os.read(ends, 1) == b""  # comes when nobody is left who could write
    os.close(ends)
    assert [part for part in words if part not in inner.stdout] == [], inner.stdout
