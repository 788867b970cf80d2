"""Storms, one after another, for some minutes: `python -m tests.storm SEED MINUTES`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.lakes import detach
from tests.storm.storm import Ended, Size, Storm, forget

# Verifying costs as much as all the rest: every so many storms end with it.
VERIFIED_EVERY = 4


def main(seed: int, minutes: float) -> int:
    """Let it storm with one seed after another until the time is over; how many lakes are not true."""
    begun, storms, bad = time.monotonic(), 0, 0
    faults: Counter[str] = Counter()
    kills: Counter[str] = Counter()
    rows = differences = interleaved = 0
    while storms == 0 or time.monotonic() - begun < minutes * 60:
        folder = Path(tempfile.mkdtemp(prefix=f"storm-{seed + storms}-"))
        ended = Storm(seed + storms, folder, Size(verify=storms % VERIFIED_EVERY == 0)).run()
        detach()
        print(ended.told(), flush=True)
        if ended.good:
            forget(folder)
        else:
            bad += 1
            _explain(ended, folder)
        storms += 1
        rows += ended.comparison.rows
        differences += ended.comparison.differences
        interleaved += ended.interleaved
        faults += ended.faults
        kills += ended.kills
    print(
        f"{storms} storms, {rows:,} rows compared, {interleaved} commands interleaved, {faults.total():,} faults, "
        f"{kills.total()} kills "
        f"({', '.join(f'{name} {number}' for name, number in sorted(kills.items()))}), {differences} differences, "
        f"{bad} bad storms"
    )
    return bad


def _explain(ended: Ended, folder: Path) -> None:
    """Tell what happened, and where the lake is."""
    for line in [*ended.log, *ended.comparison.examples]:
        print(f"    {line}")
    print(f"    its lake: {folder / 'lake'}", flush=True)


if __name__ == "__main__":
    asked = argparse.ArgumentParser(prog="python -m tests.storm", description="Storms, one after another.")
    asked.add_argument("seed", type=int, help="of the first storm")
    asked.add_argument("minutes", type=float, help="no storm begins after these")
    given = asked.parse_args()
    sys.exit(1 if main(given.seed, given.minutes) else 0)
