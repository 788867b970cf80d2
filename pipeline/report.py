"""Prints what commands have to tell: as tables for people, as JSON for machines."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.doctor import Finding
from pipeline.results import SyncResult
from pipeline.streams import STREAMS
from warehouse import Lake
from warehouse.literal import literal

# Where nobody says how wide the output is, as in a file, no column is cut.
NARROWEST_TABLE = 140


@dataclass(frozen=True)
class Column:
    """A column of a table on the terminal."""

    heading: str
    right: bool = False


def console() -> Console:
    """Standard output; as wide as it is, or so wide that no column is cut."""
    return Console(width=None if sys.stdout.isatty() else NARROWEST_TABLE)


def table(title: str, *columns: Column) -> Table:
    """A table for the terminal."""
    made = Table(title=escape(title) or None, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column.heading, justify="right" if column.right else "left", no_wrap=True)
    return made


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
    print(f"{result.workspace} → {result.lake}: {', '.join(words)}.")
    for stream in result.streams:
        if stream.outcome in ("failed", "suspicious"):
            print(f"{stream.stream} {stream.outcome}: {stream.message}")


def print_status(lake: Lake, *, json: bool) -> None:
    """What the lake holds, stream by stream, on standard output."""
    owner, created = lake.rows("SELECT workspace_name, created_on::VARCHAR FROM _lake")[0]
    rows = _stream_statuses(lake)
    if json:
        print(
            jsonlib.dumps(
                {"lake": str(lake.path), "workspace": owner, "created_on": created, "streams": rows}, indent=2
            )
        )
        return
    table = Table(
        title=escape(f"{owner or 'no workspace yet'} in {lake.path}"), title_justify="left", box=None, pad_edge=False
    )
    for heading, justify in (("stream", "left"), ("rows", "right"), ("deleted", "right"), ("read up to", "left"),
                             ("last sync", "left"), ("outcome", "left"), ("quarantined", "right")):  # fmt: skip
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(
            str(row["stream"]),
            f"{row['rows']:,}",
            f"{row['deleted']:,}" if row["deleted"] else "",
            f"{_short(row['read_up_to'])}{' (reading)' if row['walk_open'] else ''}",
            _ago(row["last_sync"]),
            str(row["outcome"] or ("interrupted" if row["rows"] else "never synced")),
            f"{row['quarantined']:,}" if row["quarantined"] else "",
        )
    console = Console(width=None if sys.stdout.isatty() else NARROWEST_TABLE)
    console.print(table)
    for row in rows:
        if row["message"]:
            console.print(f"{row['stream']}: {escape(str(row['message']))}", highlight=False)


def print_findings(findings: Sequence[Finding], *, json: bool) -> None:
    """What the doctor found, on standard output."""
    if json:
        print(
            jsonlib.dumps(
                [{"check": one.check, "good": one.good, "found": one.found, "advice": one.advice} for one in findings],
                indent=2,
            )
        )
        return
    console = Console()
    for one in findings:
        mark = "[green]✓[/]" if one.good else "[red]✗[/]"
        console.print(f"{mark} {one.check:<10} {escape(one.found)}", highlight=False, soft_wrap=True)
        if one.advice:
            console.print(f"  {'':<10} → {escape(one.advice)}", highlight=False, soft_wrap=True)


def _stream_statuses(lake: Lake) -> list[dict[str, object]]:
    """What is known of every stream; one query, for each costs a look into the catalog."""
    counts = " UNION ALL ".join(
        f"""SELECT {literal(name)} AS stream, {number} AS number,
                count(*) FILTER (deleted_on IS NULL) AS live, count(deleted_on) AS deleted FROM "{name}\""""
        for number, name in enumerate(STREAMS)
    )
    found = lake.rows(
        f"""
        WITH counted AS ({counts}),
        cursors AS (SELECT * FROM _cursor WHERE feed = 'rows'),
        last AS (
            SELECT DISTINCT ON (stream) stream, started_on, outcome, message
            FROM _sync ORDER BY stream, outcome = 'skipped', started_on DESC
        ),
        refused AS (SELECT stream, count(*) AS quarantined FROM _quarantine GROUP BY stream)
        SELECT stream, live, deleted, watermark::VARCHAR, complete_from::VARCHAR, walk_before IS NOT NULL,
            epoch(started_on), outcome, message, coalesce(quarantined, 0)
        FROM counted
        LEFT JOIN cursors USING (stream) LEFT JOIN last USING (stream) LEFT JOIN refused USING (stream)
        ORDER BY number
        """
    )
    names = ("stream", "rows", "deleted", "read_up_to", "complete_from", "walk_open",
             "last_sync", "outcome", "message", "quarantined")  # fmt: skip
    rows = [dict(zip(names, row, strict=True)) for row in found]
    for row in rows:
        if row["last_sync"] is not None:
            row["last_sync"] = datetime.fromtimestamp(row["last_sync"], UTC).isoformat()
    return rows


def _short(at: object) -> str:
    return str(at)[:16] if at else ""


def _ago(at: object) -> str:
    if not at:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(str(at))).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
