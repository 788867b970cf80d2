"""`rapidlake` as people and machines run it: its words, exit codes, and what it prints."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

from pipeline.cli.answers.sql_answers import USUAL_SIZE
from pipeline.cli.app import main
from sandbox import Sandbox
from tests import processes
from tests.processes import Process

COMMAND = Path(sys.executable).with_name("rapidlake")


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything it printed, line breaks and frames taken out: a sentence may be wrapped."""
        return re.sub(r"[\s│]+", " ", f"{self.out} {self.err}")

    @property
    def facts(self) -> Any:
        """What it answered in JSON."""
        return json.loads(self.out)


def run(*arguments: object, **settings: str) -> Ended:
    """Run `rapidlake` in the test's directory with these settings and no others, and without a terminal.

    It runs in this process, for one of its own costs a second. Whatever happens, there is no traceback, and the token
    is shown nowhere.
    """
    return _checked(run_unchecked(*arguments, **settings), settings)


def run_unchecked(*arguments: object, **settings: str) -> Ended:
    """What `run` does, for those who look themselves at what it printed."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    environment = _environment(settings) | {"COLUMNS": str(USUAL_SIZE[0])}
    with (
        mock.patch.dict(os.environ, environment, clear=True),
        mock.patch.object(sys, "argv", [str(COMMAND), *map(str, arguments)]),
        _signals_kept(),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Ended(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))


def run_apart(*arguments: object, first: list[str] | None = None, typed: str | None = None, **settings: str) -> Ended:
    """What `run` does, in a process of its own; `first` is a command that starts it."""
    done = processes.run([*(first or []), COMMAND, *arguments], typed=typed, env=_environment(settings))
    return _checked(Ended(done.returncode, done.stdout, done.stderr), settings)


def start(*arguments: object, **settings: str) -> Process:
    """Start what `run_apart` runs."""
    return processes.start([COMMAND, *arguments], env=_environment(settings))


def killed(sandbox: Sandbox, start_it: Callable[[], Process], *, page: int = 0, file: int = 0) -> int:
    """Start a process, and kill it when it asks a sandbox for its n-th page or file; its exit code."""
    pages, files = count(1), count(1)
    sandbox.after_page = lambda name: process.kill() if next(pages) == page else None
    sandbox.before_file = lambda name: process.kill() if next(files) == file else None
    process = start_it()
    try:
        process.communicate()
    finally:
        sandbox.after_page = sandbox.before_file = None
    return process.returncode


def together(*calls: Callable[[], Ended]) -> list[Ended]:
    """Make several calls of `run_apart` at once."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda call: call(), calls))


def access(sandbox: Sandbox) -> dict[str, str]:
    """The settings that a sandbox needs; with little patience, for a test has none."""
    return {"RAPIDPRO_URL": sandbox.url, "RAPIDPRO_TOKEN": sandbox.token, "RAPIDLAKE_PATIENCE": "1"}


def _checked(ended: Ended, settings: dict[str, str]) -> Ended:
    assert "Traceback" not in ended.said, ended.err
    assert settings.get("RAPIDPRO_TOKEN", "(none)") not in ended.said
    return ended


@contextmanager
def _signals_kept() -> Iterator[None]:
    """What a command decides about signals, and who may read its files, ends with it, as in a process of its own."""
    umask = os.umask(0o022)
    os.umask(umask)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        os.umask(umask)
        for number, handler in before.items():
            signal.signal(number, handler)


def _environment(settings: dict[str, str]) -> dict[str, str]:
    kept = ("PATH", "HOME", "RAPIDLAKE_CACHE", "PYTHON_KEYRING_BACKEND")
    return {name: os.environ[name] for name in kept} | settings
