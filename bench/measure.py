"""What the benchmarks share: a server in a process of its own, and the cost of a command as the system counts it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox import TOKEN

RAPIDLAKE = [sys.executable, "-c", "from pipeline.cli.app import main; main()"]
# Makes rows of about 700 bytes of JSON.
TEXT_BYTES = 150


@contextmanager
def sandbox(messages: int, *, archives: bool) -> Iterator[str]:
    """A server in a process of its own; this one stays small, because a child's peak memory counts its parent's too."""
    server = subprocess.Popen(
        [*RAPIDLAKE, "sandbox", "--port", "0", "--rate", "0", "--archives" if archives else "--no-archives",
         "--messages", str(messages), "--text-bytes", str(TEXT_BYTES)],
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert server.stderr
        yield next(line.split()[2].rstrip(".") for line in server.stderr if line.startswith("Serving on"))
    finally:
        server.terminate()
        server.wait()


def print_heading(title: str) -> None:
    """The heading of the rows that `measure` prints."""
    print(f"{title:<36} {'CPU s':>8} {'wall s':>8} {'peak MB':>8}")


def measure(name: str, command: list[str], url: str, folder: Path) -> float:
    """Run a command with a lake in `folder` and print what it cost; return its CPU-seconds."""
    environment = os.environ | {
        "RAPIDPRO_URL": url,
        "RAPIDPRO_TOKEN": TOKEN,
        "RAPIDLAKE_LAKE": str(folder / "lake"),
        "RAPIDLAKE_CACHE": str(folder / "cache"),
        "RAPIDLAKE_REQUESTS_PER_HOUR": "100000000",
    }
    begun = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{name} failed ({status})")
    cpu = usage.ru_utime + usage.ru_stime
    print(f"{name:<36} {cpu:>8.2f} {time.monotonic() - begun:>8.1f} {usage.ru_maxrss / 1024:>8.0f}", flush=True)
    return cpu
