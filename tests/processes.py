"""Processes that tests start: each in a group of its own, which ends with its test, at its time limit, or with pytest.

Tests start processes with `start` or `run` only.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

# Outlives this process, and then ends the groups that are left: a killed or crashed pytest can do nothing itself.
GUARDIAN = """
import os, signal, sys
left = set()
for line in sys.stdin:
    (left.add if line[0] == "+" else left.discard)(int(line[1:]))
for group in left:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""

Process = subprocess.Popen[str]

_started: list[Process] = []
_first_of_this_test = 0


def start(
    words: Sequence[object],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
) -> Process:
    """Start a process as the leader of a group; `env` instead of this process's environment."""
    guardian = _guardian()
    process = subprocess.Popen(
        [*map(str, words)],
        env=env,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        encoding="utf-8",
        start_new_session=True,
    )
    _started.append(process)
    _tell(guardian, f"+{process.pid}")
    return process


def run(
    words: Sequence[object],
    *,
    typed: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stderr: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Run a process to its end, and end what it left behind; the limit of its test is its only one."""
    process = start(
        words, env=env, cwd=cwd, stdin=subprocess.DEVNULL if typed is None else subprocess.PIPE, stderr=stderr
    )
    out, err = process.communicate(typed)
    end(process)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def end(process: Process) -> None:
    """Kill what is left of a group, close the pipes to it, and reap its leader."""
    _kill(process)
    with process:
        pass
    _started.remove(process)
    _tell(_guardian(), f"-{process.pid}")


@contextmanager
def ended_afterwards() -> Iterator[None]:
    """End what is started inside this block, when it is left."""
    global _first_of_this_test
    before, _first_of_this_test = _first_of_this_test, len(_started)
    try:
        yield
    finally:
        for process in _started[_first_of_this_test:]:
            end(process)
        _first_of_this_test = before


def kill_those_of_this_test() -> None:
    """Kill what the innermost `ended_afterwards` has to end, so that nobody waits for it any longer."""
    for process in _started[_first_of_this_test:]:
        _kill(process)


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@cache
def _guardian() -> Process:
    guardian = subprocess.Popen(
        [sys.executable, "-S", "-c", GUARDIAN], stdin=subprocess.PIPE, encoding="utf-8", start_new_session=True
    )
    atexit.register(guardian.__exit__, None, None, None)
    return guardian


def _tell(guardian: Process, line: str) -> None:
    assert guardian.stdin
    print(line, file=guardian.stdin, flush=True)
