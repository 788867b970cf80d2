"""Checks of a lake, stream by stream: each says in a sentence whether its rows can be trusted, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from pipeline.errors import SettingsError
from pipeline.months import Month
from pipeline.proof.retention import at_risk, time_until_lost
from pipeline.settings import local_settings
from pipeline.streams import Stream
from warehouse import Lake, read_cursors
from warehouse.proof.proven import unproven_since
from warehouse.proof.trust import (
    count_double_keys,
    count_orphans,
    count_quarantined,
    count_unarchived,
    find_drift,
    last_verification,
    made_on,
    volume_of,
)

# New keys are told for a week; what they hold is kept in `extra` for ever.
DRIFT_TOLD = timedelta(days=7)
# Fewer rows than this a day come and go by chance.
LEAST_USUAL_ROWS = 20
LEAST_WEEKS = 4
DAY_FACTOR, WEEK_FACTOR = 5.0, 2.0
VERIFIED_WITHIN = timedelta(days=3)
# The night in which it is due may be a long one.
PROVEN_WITHIN = timedelta(days=11)
# A history of years is loaded by then.
ARCHIVES_WITHIN = timedelta(days=2)

Facts = dict[str, int | float | str]


@dataclass(frozen=True)
class Checked:
    """What a check found; `said` holds no content of any row. `grave`: somebody must act, not only look."""

    passed: bool
    said: str
    facts: Facts = field(default_factory=dict)
    grave: bool = True


@dataclass(frozen=True)
class Check:
    """A question to the rows of a stream.

    blocking: what is made from the rows would be wrong; cheap: costs the same however large the table is.
    """

    name: str
    description: str
    ask: Callable[[Lake, Stream, datetime], Checked]
    applies: Callable[[Stream], bool] = lambda stream: True
    blocking: bool = False
    cheap: bool = False


def checks_of(stream: Stream) -> list[Check]:
    """The checks that a stream has."""
    return [check for check in CHECKS if check.applies(stream)]


def _keys_unique(lake: Lake, stream: Stream, now: datetime) -> Checked:
    doubles = count_double_keys(lake, stream.table)
    if not doubles:
        return Checked(True, "Each key stands once.", {"doubles": 0})
    return Checked(
        False,
        f"{doubles:,} keys of {stream.name} stand twice: run `rapidlake verify {stream.name} --repair`.",
        {"doubles": doubles},
    )


def _no_orphans(lake: Lake, stream: Stream, now: datetime) -> Checked:
    orphans = count_orphans(lake, stream.table)
    if not orphans:
        return Checked(True, "Each contact that is named is in the lake.", {"orphans": 0})
    return Checked(
        False,
        f"{orphans:,} rows of {stream.name} name a contact that the lake does not have: "
        "run `rapidlake verify contacts --repair`.",
        {"orphans": orphans},
        grave=False,
    )


def _read_up_to(lake: Lake, stream: Stream, now: datetime) -> datetime | None:
    """Up to when (UTC) a stream is read; None while its first reading is not over."""
    with lake.connection() as connection:
        cursors = read_cursors(connection, stream.name)
    rows = cursors.get("rows")
    # Nothing is read before its time, whatever a clock that was wrong has written.
    return min(rows.watermark, rows.saved_on or now, now) if rows and rows.watermark else None


def _read_in_time(lake: Lake, stream: Stream, now: datetime) -> Checked:
    watermark = _read_up_to(lake, stream, now)
    # What the server had when the lake was made is what a first reading brings.
    left = time_until_lost(stream, watermark or made_on(lake), now)
    assert left is not None
    hours = round(left / timedelta(hours=1), 1)
    facts: Facts = {"hours until rows are lost": hours}
    if watermark is None:
        if not at_risk(stream, left):
            return Checked(True, f"The first reading of {stream.name} is not over yet.", facts)
        return Checked(False, f"{stream.name} was never read to its end: run `rapidlake sync {stream.name}`.", facts)
    if not at_risk(stream, left):
        return Checked(True, f"The server forgets unread rows in {hours:,.0f} hours.", facts)
    what = "are being lost unread" if hours <= 0 else f"will be lost unread in {hours:.0f} hours"
    return Checked(False, f"Rows of {stream.name} {what}: run `rapidlake sync {stream.name}` now.", facts)


def _no_drift(lake: Lake, stream: Stream, now: datetime) -> Checked:
    drift = find_drift(lake, stream.name, now - DRIFT_TOLD)
    unknown = len(drift.unknown)  # what they are called is the server's, and stays in the lake
    facts: Facts = {"unknown": unknown, "missing": ", ".join(drift.missing)}
    if not drift.unknown and not drift.missing:
        return Checked(True, "The server sends the keys that this version knows.")
    keys = "1 unknown key, named" if unknown == 1 else f"{unknown:,} unknown keys, named"
    parts = [f"sends {keys} in _drift and kept in `extra`"] if unknown else []
    parts += [f"no longer sends {facts['missing']}"] if drift.missing else []
    return Checked(
        False, f"{stream.name}: the server {' and '.join(parts)}: look for a newer rapidlake.", facts, grave=False
    )


def _quarantine_empty(lake: Lake, stream: Stream, now: datetime) -> Checked:
    rows = count_quarantined(lake, stream.name)
    if not rows:
        return Checked(True, "Every row could be read.", {"rows": 0})
    return Checked(
        False,
        f"{rows:,} rows of {stream.name} could not be read: _quarantine keeps them, with the reason; "
        "look for a newer rapidlake.",
        {"rows": rows},
    )


def _archives_counted(lake: Lake, stream: Stream, now: datetime) -> Checked:
    found = count_unarchived(lake, stream.table, late_before=now - ARCHIVES_WITHIN, first_month=_first_month())
    facts: Facts = {"records": found.records, "lacking": found.lacking, "on their way": found.awaited}
    if found.unprovable:
        return Checked(
            False,
            f"{found.lacking:,} of {found.records:,} archived records of {stream.name} are not in the lake, "
            f"{found.unprovable:,} of them because their files are listed without an MD5 and cannot be proven: "
            "tell whoever runs the server.",
            facts,
        )
    if found.lacking:
        return Checked(
            False,
            f"{found.lacking:,} of {found.records:,} archived records of {stream.name} are not in the lake: "
            "materialise their months, or run `rapidlake archives --load`.",
            facts,
        )
    if found.awaited:
        return Checked(
            True,
            f"{found.awaited:,} of {found.records:,} archived records of {stream.name} are on their way: "
            "their files are loaded by themselves.",
            facts,
        )
    return Checked(True, f"All {found.records:,} records of archive files are in the lake.", facts)


def _first_month() -> date | None:
    """From when on archive files are loaded by themselves, if the settings say it."""
    try:
        chosen = local_settings().first_month
    except SettingsError:  # told where it can be read
        return None
    return Month.parse(chosen).start.date() if chosen else None


def _volume_usual(lake: Lake, stream: Stream, now: datetime) -> Checked:
    yesterday = (now.astimezone(UTC) - timedelta(days=1)).date()
    found = volume_of(lake, stream.table, yesterday)
    facts: Facts = {
        "rows of the day": found.rows,
        "usual for its weekday": found.usual,
        "rows of the week": found.week,
        "usual for a week": found.usual_week,
    }
    read_up_to = _read_up_to(lake, stream, now)
    if read_up_to is None or read_up_to.astimezone(UTC).date() <= yesterday:
        return Checked(True, f"{stream.name} is not read up to the end of {yesterday} yet.", facts)
    if found.weeks < LEAST_WEEKS:
        return Checked(True, f"There are {found.weeks} weeks of history: too few to say what is usual.", facts)
    for what, rows, usual, factor in (
        (f"on {yesterday}", found.rows, found.usual, DAY_FACTOR),
        (f"in the week up to {yesterday}", found.week, found.usual_week, WEEK_FACTOR),
    ):
        if max(rows, usual) >= LEAST_USUAL_ROWS and not usual / factor <= rows <= usual * factor:
            return Checked(
                False,
                f"{rows:,} {stream.name} were created {what}, {usual:,.0f} are usual: "
                "ask whether a campaign began or a channel failed.",
                facts,
                grave=False,
            )
    return Checked(
        True, f"{found.rows:,} {stream.name} were created on {yesterday}, {found.usual:,.0f} are usual.", facts
    )


def verified(lake: Lake, now: datetime) -> Checked:
    """Whether the last verifications left nothing as it should not be, and are not old."""
    last = last_verification(lake)
    if last is None and now - made_on(lake) <= VERIFIED_WITHIN:
        return Checked(True, "The lake is new: the coming nights verify it.")
    if last is None:
        return Checked(
            False, "The lake was never verified: materialise `verify`, or run `rapidlake verify`.", grave=False
        )
    facts: Facts = {"compared": last.compared, "differences": last.differences, "left": last.left}
    if last.left:
        return Checked(False, f"{last.left:,} rows differ from the server: run `rapidlake verify --repair`.", facts)
    if abs(now - last.at) > VERIFIED_WITHIN:
        return Checked(False, f"The last verification is of {last.at:%Y-%m-%d}: verify again.", facts, grave=False)
    if late := unproven_since(lake, now - PROVEN_WITHIN):
        said = f"Some of {', '.join(late)} was last proven more than {PROVEN_WITHIN.days} days ago"
        return Checked(False, f"{said}: run `rapidlake verify --rotate --repair`.", facts, grave=False)
    found = f"{last.differences:,} differed and were mended" if last.differences else "none differed"
    return Checked(True, f"{last.compared:,} rows were held against the server, and {found}.", facts)


CHECKS = (
    Check("keys_unique", "No key stands twice.", _keys_unique, blocking=True),
    Check(
        "no_orphans",
        "Each contact that a live row of the API names is in the lake.",
        _no_orphans,
        applies=lambda stream: stream.table.contact is not None,
    ),
    Check(
        "read_in_time",
        "Red before the server forgets rows that were not read.",
        _read_in_time,
        applies=lambda stream: stream.retention is not None,
        cheap=True,
    ),
    Check("no_drift", "The server sends the keys that this version knows, and no others.", _no_drift, cheap=True),
    Check("quarantine_empty", "Every row could be read.", _quarantine_empty, cheap=True),
    Check(
        "archives_counted",
        "The lake has as many rows of each month's archive files as these have records.",
        _archives_counted,
        applies=lambda stream: stream.table.archive_type is not None,
    ),
    Check(
        "volume_usual",
        "No sudden drop or rise against the weeks before.",
        _volume_usual,
        applies=lambda stream: stream.table.archive_type is not None,
    ),
)
