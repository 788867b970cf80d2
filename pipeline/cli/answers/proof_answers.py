"""Prints what shows that a lake is complete: its archive files, and what a verification found."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.table import Table

from pipeline.cli.answers.saying import for_people, quoted, say
from pipeline.cli.answers.tables import Column, console, table
from pipeline.proof.verify import VerifyResult
from pipeline.reading.reader import ArchiveChoice
from pipeline.streams import ARCHIVED, STREAMS
from warehouse import ArchiveKey, Lake
from warehouse.lake.literal import literal
from warehouse.proof.findings import KINDS, Finding

SHOWN_UNCOUNTED = 10
PERIODS = ("daily", "monthly")


def print_archives(lake: Lake, chosen: ArchiveChoice, *, json: bool) -> None:
    """The archive files by month and type, on standard output."""
    rows = lake.rows(
        f"""
        SELECT
            {_known("archive_type", ARCHIVED)}, {_known("period", PERIODS)}, start_date, listed.record_count,
            listed.size,
            CASE
                WHEN listed.record_count = 0 THEN 'empty'
                WHEN loaded.hash = listed.hash THEN 'loaded'
                WHEN loaded.hash IS NOT NULL THEN 'changed'
                WHEN start_date < (SELECT date_trunc('month', complete_from) FROM _cursor WHERE stream = 'archives')
                    THEN 'left out'
                ELSE 'not loaded'
            END, loaded_on::VARCHAR, loaded.rows, unreadable
        FROM archives AS listed
        LEFT JOIN _archives AS loaded USING (archive_type, period, start_date)
        WHERE deleted_on IS NULL
        ORDER BY start_date DESC, archive_type, period
        """
    )
    names = ("archive_type", "period", "start_date", "record_count", "size", "state", "loaded_on", "rows", "unreadable")
    files = [dict(zip(names, row, strict=True)) for row in rows if chosen.has(ArchiveKey(*row[:3]))]
    if json:
        print(jsonlib.dumps([file | {"start_date": str(file["start_date"])} for file in files], indent=2))
        return
    numbers = ("files", "records", "MB", "loaded", "not loaded", "empty", "unreadable")
    shown = table("", Column("month"), Column("type"), *(Column(name, right=True) for name in numbers))
    for (month, kind), group in groupby(
        sorted(files, key=lambda file: (str(file["start_date"])[:7], str(file["archive_type"])), reverse=True),
        key=lambda file: (str(file["start_date"])[:7], str(file["archive_type"])),
    ):
        of = list(group)
        states = [file["state"] for file in of]
        cells = (
            len(of),
            sum(file["record_count"] for file in of),
            round(sum(file["size"] or 0 for file in of) / 1e6, 1),
            states.count("loaded"),
            sum(states.count(state) for state in ("not loaded", "changed", "left out")),
            states.count("empty"),
            sum(file["unreadable"] or 0 for file in of),
        )
        shown.add_row(month, kind, *(f"{cell:,}" if cell else "" for cell in cells))
    console().print(shown)
    waiting = [file for file in files if file["state"] in ("not loaded", "changed")]
    left_out = [file for file in files if file["state"] == "left out"]
    if waiting:
        print(f"{len(waiting)} files are not loaded: run `rapidlake archives --load`, or the next sync does it.")
    if left_out:
        print(
            f"{len(left_out)} files are older than the --since of the first sync: "
            "`rapidlake archives MONTH --load` loads a month of them, `rapidlake sync` with an earlier --since all."
        )
    if not files:
        print("No archive files: the server has none, or no sync has listed them yet (run `rapidlake sync archives`).")


def _known(column: str, words: Iterable[str]) -> str:
    """SQL of a column whose words are the server's: those that are known, and `other` for any other text."""
    return f"CASE WHEN {column} IN ({', '.join(map(literal, words))}) THEN {column} ELSE 'other' END"


def print_verification(result: VerifyResult, *, json: bool) -> None:
    """What a verification found, on standard output."""
    if json:
        print(jsonlib.dumps(_facts(result), indent=2))
        return
    headings = ("compared", *KINDS, "pending")
    shown = table(
        f"{for_people(result.name, ' against ')}{result.lake}",
        Column("stream"),
        Column("month"),
        *(Column(name, right=True) for name in headings),
    )
    for stream in STREAMS:
        of = [finding for finding in result.findings if finding.stream == stream]
        if of:
            _add(shown, headings, stream, "", of)
            for finding in of:
                if finding.differences and finding.month:
                    _add(shown, headings, "", f"{finding.month:%Y-%m}", [finding])
    console().print(shown)
    for finding in result.findings:
        for example in finding.examples:
            console().print(f"  {finding.stream}: {quoted(example)}", highlight=False)
    for one in result.results:
        if one.outcome not in ("done", "not offered") and one.message:
            say(f"{one.stream} {one.outcome}: {one.message}")
    _print_uncounted(result)
    say(result.conclusion)


def _add(shown: Table, headings: Sequence[str], stream: str, month: str, findings: Sequence[Finding]) -> None:
    numbers = {name: sum(getattr(finding, name) for finding in findings) for name in headings}
    wrong = any(numbers[kind] for kind in KINDS)
    cells = [
        f"[red]{number:,}[/]" if number and name in KINDS else f"{number:,}" if number or name == "compared" else ""
        for name, number in numbers.items()
    ]
    shown.add_row(f"[red]{stream}[/]" if wrong else stream, month, *cells)


def _print_uncounted(result: VerifyResult) -> None:
    """Days on which the server counted more messages than the lake has."""
    if not result.uncounted:
        return
    print(
        f"On {len({one.day for one in result.uncounted}):,} days the server counted more messages than the lake has, "
        "deleted ones included. If they were deleted before the first sync, nothing is wrong:"
    )
    for one in result.uncounted[:SHOWN_UNCOUNTED]:
        say(f"  {one.day} {one.channel} {one.direction}: {one.counted:,} counted, {one.stored:,} in the lake")
    if len(result.uncounted) > SHOWN_UNCOUNTED:
        print(f"  and {len(result.uncounted) - SHOWN_UNCOUNTED:,} more; --json shows all")


def _facts(result: VerifyResult) -> dict[str, object]:
    return {
        "workspace": result.workspace,
        "lake": result.lake,
        "seconds": round(result.seconds, 3),
        "failed": result.failed,
        "repaired": result.repaired,
        "rotated": result.rotated,
        "differences": sum(finding.differences for finding in result.findings),
        "findings": [
            {
                "stream": finding.stream,
                "month": str(finding.month) if finding.month else None,
                **{name: getattr(finding, name) for name in ("compared", *KINDS, "pending", "repaired")},
                "examples": list(finding.examples),
            }
            for finding in result.findings
        ],
        "uncounted": [
            {"day": str(one.day), "channel": one.channel, "direction": one.direction,
             "counted": one.counted, "stored": one.stored}
            for one in result.uncounted
        ],
        "streams": [one.facts() for one in result.results],
    }  # fmt: skip
