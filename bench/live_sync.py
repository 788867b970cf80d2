"""Measures what the live sync costs with Dagster around it: the whole process of a run, with nothing changed.

    python bench/live_sync.py                10 runs on a workspace of 20,000 messages

A run of the daemon is the same process; it is started here by the command line. Requests are in each run's metadata.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from measure import measure, print_heading, sandbox

from assets.catalogue import LIVE

MATERIALIZE = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "assets.definitions"]


def main() -> None:
    """Serve, sync again and again, measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--messages", type=int, default=20_000)
    arguments.add_argument("--runs", type=int, default=10)
    given = arguments.parse_args()
    month = f"{datetime.now(UTC):%Y-%m}"
    live = [*MATERIALIZE, "--select", ",".join(LIVE), "--partition", month]
    with tempfile.TemporaryDirectory() as name, sandbox(given.messages, archives=False) as url:
        os.environ["DAGSTER_HOME"] = name
        Path(name, "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
        print_heading(f"live sync, {given.messages} messages")
        measure("first", live, url, Path(name))
        again = [measure("again, nothing changed", live, url, Path(name)) for _ in range(given.runs)]
        print(f"{'median of the later ones':<36} {statistics.median(again):>8.2f}")


if __name__ == "__main__":
    main()
