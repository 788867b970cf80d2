"""`rapidlake` as people and machines run it: real processes, their exit codes, and what they print."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

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


def run(*arguments: object, first: list[str] | None = None, typed: str | None = None, **settings: str) -> Ended:
    """Run `rapidlake` in the test's directory with these settings and no others; `first` is a command that starts it.

    Whatever happens, there is no traceback, and the token is shown nowhere.
    """
    done = processes.run(_words(*arguments, first=first), typed=typed, env=_environment(settings))
    ended = Ended(done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in ended.said, ended.err
    assert settings.get("RAPIDPRO_TOKEN", "(none)") not in ended.said
    return ended


def start(*arguments: object, **settings: str) -> Process:
    """Start what `run` runs."""
    return processes.start(_words(*arguments), env=_environment(settings))


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
    """Make several calls of `run`, two at a time: each mostly waits for the processor."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda call: call(), calls))


def access(sandbox: Sandbox) -> dict[str, str]:
    """The settings that a sandbox needs; with little patience, for a test has none."""
    return {"RAPIDPRO_URL": sandbox.url, "RAPIDPRO_TOKEN": sandbox.token, "RAPIDLAKE_PATIENCE": "1"}


def _words(*arguments: object, first: list[str] | None = None) -> list[object]:
    return [*(first or []), COMMAND, *arguments]


def _environment(settings: dict[str, str]) -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "RAPIDLAKE_CACHE")} | settings
