"""Prints how a lake is doing, and what the doctor found: as tables for people, as JSON for machines."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console

from pipeline.cli.answers.saying import for_people, quoted
from pipeline.cli.answers.tables import Column, console, table
from pipeline.proof.doctor import Finding
from pipeline.proof.retention import at_risk
from pipeline.proof.statuses import stream_statuses
from pipeline.streams import STREAMS, Stream
from warehouse import Lake
from warehouse.lake import clock


def print_status(lake: Lake, left_out: Collection[str] = (), *, months: bool = False, json: bool) -> None:
    """What the lake holds, stream by stream, or when each month was proven, on standard output.

    Streams that are `left_out` are marked.
    """
    owner, name, created = lake.rows("SELECT workspace_uuid::VARCHAR, workspace_name, created_on::VARCHAR FROM _lake")[
        0
    ]
    rows = stream_statuses(lake, left_out)
    if json:
        print(
            jsonlib.dumps(
                {"lake": str(lake.path), "workspace": owner, "created_on": created, "streams": rows}, indent=2
            )
        )
        return
    title = f"{for_people(name or '', ' in ') if owner else 'no workspace yet in '}{lake.path}"
    if months:
        _print_months(title, rows)
        return
    shown = table(
        title,
        Column("stream"),
        Column("rows", right=True),
        Column("deleted", right=True),
        Column("read up to"),
        Column("last sync"),
        Column("outcome"),
        Column("quarantined", right=True),
        Column("lost in", right=True),
        Column("proven"),
    )
    for row in rows:
        shown.add_row(
            str(row["stream"]),
            f"{row['rows']:,}",
            f"{row['deleted']:,}" if row["deleted"] else "",
            f"{_short(row['read_up_to'])}{' (reading)' if row['walk_open'] else ''}",
            _ago(row["last_sync"]),
            _outcome(row),
            f"{row['quarantined']:,}" if row["quarantined"] else "",
            _lost_in(STREAMS[str(row["stream"])], row["lost_in_hours"]),
            _ago(row["proven_on"]) or ("partly" if row.get("months") else ""),
        )
    out = console()
    out.print(shown)
    for row in rows:
        if row["message"] and not row["left_out"]:
            out.print(f"{row['stream']}: {quoted(str(row['message']))}", highlight=False)
    _warn_of_losses(out, rows)


def _outcome(row: Mapping[str, object]) -> str:
    if row["left_out"]:
        return "left out"
    return str(row["outcome"] or ("interrupted" if row["rows"] else "never synced"))


def _print_months(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """When each month of each stream that is read by date was last proven, all of its days."""
    proofs = {
        row["stream"]: {one["month"]: one["proven_on"] for one in row["months"]} for row in rows if "months" in row
    }
    shown = table(title, Column("month"), *(Column(stream) for stream in proofs))
    for month in sorted({month for of in proofs.values() for month in of}, reverse=True):
        shown.add_row(month, *((of[month] or "never")[:10] if month in of else "" for of in proofs.values()))
    console().print(shown)
    print("A day gets its first turn within ten nights; `rapidlake verify --rotate --repair` is a night.")


def _lost_in(stream: Stream, hours: object) -> str:
    """How long until the server deletes rows that the lake does not have; red when somebody should act."""
    if not isinstance(hours, float):
        return ""
    shown = f"{hours / 24:.0f} d" if hours >= 48 else f"{max(hours, 0):.0f} h"
    return f"[red]{shown}[/]" if _at_risk(stream, hours) else shown


def _at_risk(stream: Stream, hours: float) -> bool:
    return at_risk(stream, timedelta(hours=hours))


def _warn_of_losses(out: Console, rows: Sequence[dict[str, object]]) -> None:
    """Say which rows the server is about to delete, or has deleted, unread."""
    for row in rows:
        name, hours = str(row["stream"]), row["lost_in_hours"]
        stream = STREAMS[name]
        if isinstance(hours, float) and _at_risk(stream, hours) and stream.retention:
            keeps = f"the server keeps them for {stream.retention / timedelta(hours=1):.0f} hours only"
            what = (
                f"rows after {_short(row['read_up_to'])} are being lost unread"
                if hours <= 0
                else f"rows will be lost unread in {hours:.0f} hours"
            )
            out.print(f"[red]{name}: {what}: {keeps}; run `rapidlake sync {name}` now.[/]", highlight=False)


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
        console.print(f"{mark} {one.check:<10} {quoted(one.found)}", highlight=False, soft_wrap=True)
        if one.advice:
            console.print(f"  {'':<10} → {quoted(one.advice)}", highlight=False, soft_wrap=True)


def _short(at: object) -> str:
    return str(at)[:16] if at else ""


def _ago(at: object) -> str:
    if not at:
        return ""
    seconds = (clock.now() - datetime.fromisoformat(str(at))).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
