"""Measures whether a lake stays small and quick: 1,000 small syncs with a few changes before each, upkeep every 96.

    python bench/many_syncs.py                1,000 syncs
    python bench/many_syncs.py --no-upkeep    the same without upkeep, to compare
    python bench/many_syncs.py --odd          one message of each sync has a value that the catalog cannot hold

A night passes after 96 syncs; versions are kept for four of them. CPU-seconds are this process's, which serves too:
only their growth says something.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.reading.progress import Quiet
from pipeline.settings import Settings, load_settings
from pipeline.syncing.sync import choose, sync
from sandbox import Sandbox, Workspace, generate
from warehouse import Lake, maintain
from warehouse.lake.upkeep import size_of

SYNCS_A_NIGHT, KEPT_NIGHTS, EARLY = 96, 4, 50
LIVE = ("contacts", "messages", "runs", "tickets")


def change(workspace: Workspace, number: int, *, odd: bool) -> None:
    """What happens in a workspace in a quarter of an hour."""
    workspace.add("messages", 4 if odd else 5)
    if odd:
        label = {"uuid": workspace.rows("labels")[0]["uuid"], "name": "Urgent}"}
        workspace.add("messages", 1, changes={"labels": [label]})
    workspace.add("runs", 2)
    workspace.edit("messages", 4)
    workspace.edit("runs", 4)
    workspace.edit("contacts", 6)
    if number % 8 == 0:
        workspace.edit("tickets", 1)


def print_size(number: int, settings: Settings, costs: list[float]) -> None:
    """One line of the table."""
    with Lake.open(settings.lake) as lake:
        size = size_of(lake)
    on_disk = len(list(settings.lake.rglob("*.parquet")))
    catalog = (settings.lake / "catalog.sqlite").stat().st_size
    print(
        f"{number:>6} {size.files:>6} {size.deletion_files:>10} {on_disk:>8} {size.bytes / 1e6:>8.1f} "
        f"{size.snapshots:>9} {catalog / 1e6:>11.1f} {statistics.median(costs[-50:]):>11.3f}",
        flush=True,
    )


def idle_cost(settings: Settings, lake: Path) -> float:
    """Median CPU-seconds of a sync that finds nothing, with this lake."""
    with_lake = settings.model_copy(update={"lake": lake})
    sync(with_lake, choose(LIVE), Quiet())
    costs = []
    for _ in range(15):
        begun = time.process_time()
        sync(with_lake, choose(LIVE), Quiet())
        costs.append(time.process_time() - begun)
    return statistics.median(costs)


def main() -> None:
    """Change, sync, tidy up, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--syncs", type=int, default=1000)
    arguments.add_argument("--messages", type=int, default=20_000)
    arguments.add_argument("--upkeep", action=argparse.BooleanOptionalAction, default=True)
    arguments.add_argument("--odd", action="store_true")
    given = arguments.parse_args()
    print(" syncs  files  deletions  on disk       MB  versions  catalog MB  CPU s/sync")
    with (
        tempfile.TemporaryDirectory() as folder,
        generate(messages=given.messages, archives=False) as workspace,
        Sandbox(workspace, requests_per_hour=0) as served,
    ):
        os.environ["RAPIDLAKE_CACHE"] = folder
        settings = load_settings(
            url=served.url, token=served.token, lake=Path(folder, "lake"), requests_per_hour=0, lag=0,
            # A day is seconds here: what is read again must not be all days.
            overlap=2, revisits="",
        )  # fmt: skip
        nights, costs, spent = [datetime.now(UTC)], [], 0.0
        sync(settings, choose([]), Quiet())
        for number in range(1, given.syncs + 1):
            change(workspace, number, odd=given.odd)
            begun = time.process_time()
            result = sync(settings, choose(LIVE), Quiet())
            costs.append(time.process_time() - begun)
            if result.failed:
                raise SystemExit("a sync failed")
            if number == EARLY:
                shutil.copytree(settings.lake, Path(folder, "early"))
            if number in (1, EARLY) or number % SYNCS_A_NIGHT == 0:
                print_size(number, settings, costs)
            if given.upkeep and number % SYNCS_A_NIGHT == 0:
                nights.append(datetime.now(UTC))
                keep = datetime.now(UTC) - nights[max(len(nights) - 1 - KEPT_NIGHTS, 0)]
                begun = time.process_time()
                with Lake.create(settings.lake) as lake:
                    maintain(lake, keep=max(keep, timedelta(seconds=1)), grace=timedelta(0))
                spent = time.process_time() - begun
        print_size(given.syncs, settings, costs)
        print(f"last upkeep: {spent:.1f} CPU s")
        for title, lake_folder in (
            (f"lake of {EARLY} syncs", Path(folder, "early")),
            ("lake of all syncs", settings.lake),
        ):
            print(f"a sync that finds nothing, {title}: {idle_cost(settings, lake_folder):.3f} CPU s")


if __name__ == "__main__":
    main()
