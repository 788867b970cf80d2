"""Prints how a command ended: in a sentence for people, as JSON for machines."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline.cli.answers.saying import for_people, say
from pipeline.results import SyncResult
from warehouse import Upkeep
from warehouse.asking.export import Exported
from warehouse.publishing.publish import Published


def print_sync(result: SyncResult, *, json: bool) -> None:
    """How a sync ended, on standard output."""
    if json:
        facts = {
            "run": str(result.run),
            "workspace": result.workspace,
            "lake": result.lake,
            "seconds": round(result.seconds, 3),
            "failed": result.failed,
            "streams": [stream.facts() for stream in result.streams],
        }
        print(jsonlib.dumps(facts, indent=2))
        return
    tallies = [stream.tally for stream in result.streams]
    requests = sum(tally.counters.requests for tally in tallies)
    words = [
        f"{sum(tally.rows_new for tally in tallies):,} new",
        f"{sum(tally.rows_changed for tally in tallies):,} changed",
        f"{sum(tally.rows_deleted for tally in tallies):,} deleted",
        f"{requests:,} {'request' if requests == 1 else 'requests'}",
        f"{result.seconds:.1f} s",
    ]
    say(f"{for_people(result.name, ' → ')}{result.lake}: {', '.join(words)}.")
    for stream in result.streams:
        if stream.outcome in ("failed", "suspicious"):
            say(f"{stream.stream} {stream.outcome}: {stream.message}")


def print_export(done: Sequence[Exported], folder: Path, *, json: bool) -> None:
    """What an export wrote, on standard output."""
    if json:
        print(jsonlib.dumps([asdict(one) for one in done], indent=2))
        return
    print(f"{len(done):,} tables and views, {sum(one.rows for one in done):,} rows → {folder}/")


def print_upkeep(done: Upkeep, *, json: bool) -> None:
    """What upkeep did, on standard output."""
    print(jsonlib.dumps(asdict(done), indent=2) if json else done.said)


def print_published(done: Published, *, json: bool) -> None:
    """What was published, on standard output."""
    print(jsonlib.dumps(asdict(done), indent=2) if json else done.said)
