"""Measures what copying messages from the API into the lake costs: CPU-seconds and memory of `rapidlake sync`.

    python bench/api_to_lake.py                      200,000 messages of about 700 bytes
    python bench/api_to_lake.py --messages 2000000   memory must not grow with the workspace

The server runs in a process of its own and is not counted. Figures are the operating system's for the whole sync
process: start, imports and all requests included.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.sandbox.sandbox import TOKEN

RAPIDLAKE = [sys.executable, "-c", "from pipeline.cli import main; main()"]
# Makes rows of about 700 bytes of JSON.
TEXT_BYTES = 150


def main() -> None:
    """Serve, sync, measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--messages", type=int, default=200_000)
    arguments.add_argument("--streams", nargs="*", default=["messages"])
    arguments.add_argument("--again", type=int, default=1, help="syncs after the first, with nothing changed")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, _sandbox(given.messages) as url:
        print(f"{'sync of ' + str(given.messages) + ' messages':<36} {'CPU s':>8} {'wall s':>8} {'peak MB':>8}")
        for number in range(1 + given.again):
            _measure("first" if number == 0 else "again, nothing changed", url, given.streams, Path(folder))
        parquet = sum(file.stat().st_size for file in Path(folder, "lake").rglob("*.parquet"))
        print(f"{'Parquet in the lake, MB':<36} {parquet / 1e6:>8.1f}")


@contextmanager
def _sandbox(messages: int) -> Iterator[str]:
    """A server in a process of its own; this one stays small, because a child's peak memory counts its parent's too."""
    server = subprocess.Popen(
        [*RAPIDLAKE, "sandbox", "--port", "0", "--rate", "0", "--no-archives",
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


def _measure(name: str, url: str, streams: list[str], folder: Path) -> None:
    environment = os.environ | {
        "RAPIDPRO_URL": url,
        "RAPIDPRO_TOKEN": TOKEN,
        "RAPIDLAKE_LAKE": str(folder / "lake"),
        "RAPIDLAKE_CACHE": str(folder / "cache"),
        "RAPIDLAKE_REQUESTS_PER_HOUR": "100000000",
    }
    begun = time.monotonic()
    process = subprocess.Popen(
        [*RAPIDLAKE, "sync", *streams],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"the sync failed ({status})")
    cpu = usage.ru_utime + usage.ru_stime
    print(f"{name:<36} {cpu:>8.2f} {time.monotonic() - begun:>8.1f} {_megabytes(usage):>8.0f}", flush=True)


def _megabytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
