"""A month of hourly syncs and nightly verification, in minutes: `python -m tests.month SEED [DAYS]`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from tests.month.changes import TEN_NIGHTS
from tests.month.month import Month
from tests.month.watch import hours


def main(seed: int, days: int) -> int:
    """Let a month pass; 1 if its lake is not true in the end, or a row was wrong for longer than is promised."""
    folder = Path(tempfile.mkdtemp(prefix=f"month-{seed}-"))
    ended = Month(seed, days, folder / "lake", say=lambda line: print(line, flush=True)).run()
    for line in [*ended.watch.told(), *ended.problems, *ended.comparison.examples]:
        print(line)
    longest, differences = ended.watch.longest, ended.comparison.differences
    good = not differences and not ended.problems and longest <= TEN_NIGHTS
    print(
        f"month {seed}: {ended.syncs:,} syncs, {ended.nights} nights, {len(ended.watch.lasted):,} rows changed, "
        f"none wrong for longer than {hours(longest)} (bound: {TEN_NIGHTS // timedelta(days=1)} nights); "
        f"{ended.comparison.rows:,} rows compared, {differences} differences, {len(ended.problems)} problems"
    )
    if good:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"    its lake: {folder / 'lake'}")
    return 0 if good else 1


if __name__ == "__main__":
    asked = argparse.ArgumentParser(prog="python -m tests.month", description="A month of syncs and nights.")
    asked.add_argument("seed", type=int, help="what happens")
    asked.add_argument("days", type=int, nargs="?", default=30, help="with changes; ten quiet nights follow")
    given = asked.parse_args()
    sys.exit(main(given.seed, given.days))
