"""Says in one sentence what a chart shows: its title."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

Row = Mapping[str, Any]


def of_messages(rows: Sequence[Row]) -> str:
    weeks = _by(rows, "week", "messages")
    if not weeks:
        return "No messages in the last half year"
    (_, last), *earlier = sorted(weeks.items(), reverse=True)
    before = [count for _, count in earlier[:4]]
    return (
        f"{last:,} messages last week, {_compared(last, sum(before) / len(before) if before else 0, 'the four before')}"
    )


def of_channels(rows: Sequence[Row]) -> str:
    channels = _by(rows, "channel", "messages")
    if not channels:
        return "No messages in the last 30 days"
    name, most = max(channels.items(), key=lambda entry: (entry[1], entry[0]))
    return f"{name} carries {_percent(most, sum(channels.values()))} of the messages"


def of_failures(rows: Sequence[Row]) -> str:
    recent = [row for row in rows if row["week"] == max(one["week"] for one in rows)]
    if not recent:
        return "No messages were sent in the last half year"
    worst = max(recent, key=lambda row: row["failed_percent"])
    if worst["failed_percent"] < 0.05:
        return "No message failed last week"
    return f"{worst['channel']} failed most last week: {worst['failed_percent']:.1f} % of its messages"


def of_flows(rows: Sequence[Row]) -> str:
    started, completed = sum(row["started"] for row in rows), sum(row["completed"] for row in rows)
    if not started:
        return "No flow was started in the last 90 days"
    return f"{_percent(completed, started)} of the runs were completed"


def of_steps(rows: Sequence[Row]) -> str:
    if not rows or not max(row["given_up_here"] for row in rows):
        return "Nobody gave up on a flow in the last 90 days"
    worst = max(rows, key=lambda row: row["given_up_here"])
    where = f"{worst['flow']} loses most people at “{_short(worst['what'])}”"
    return f"{where}: {worst['given_up_here']:,} of {worst['runs']:,}"


def of_responses(rows: Sequence[Row]) -> str:
    answers = [row["answers"] for row in rows]
    if not sum(answers):
        return "Nobody answered a message in the last 30 days"
    return f"{_percent(sum(answers[:4]), sum(answers))} of the answers came within an hour"


def of_contacts(rows: Sequence[Row]) -> str:
    new, lost = (sum(row["contacts"] for row in rows if row["what"] == what) for what in ("new", "lost"))
    if not rows:
        return "No contacts yet"
    return f"{new:,} contacts came and {lost:,} left in the last half year"


def of_groups(rows: Sequence[Row]) -> str:
    if not rows:
        return "No groups with contacts"
    today = [row for row in rows if row["day"] == max(one["day"] for one in rows)]
    largest = max(today, key=lambda row: row["contacts"])
    return f"{largest['group']} is the largest group, with {largest['contacts']:,} contacts"


def of_opt_outs(rows: Sequence[Row]) -> str:
    counts = [row["opt_outs"] for row in rows]
    return f"{sum(counts):,} opt-outs in the last half year, {sum(counts[-4:]):,} of them in the last four weeks"


def of_broadcasts(rows: Sequence[Row]) -> str:
    if not rows:
        return "No broadcasts"
    messages = sum(row["delivered"] + row["sent"] + row["failed"] for row in rows)
    arrived = messages - sum(row["failed"] for row in rows)
    return (
        f"{_percent(arrived, messages)} of the messages of the last broadcasts went out"
        if messages
        else "No broadcast has reached anybody"
    )


def change(now: float, before: float) -> str:
    """How a figure differs from that of the 30 days before, in words."""
    return _compared(now, before, "the 30 days before")


def day(value: str) -> str:
    """A day as people write it: 24 Nov 2026."""
    return f"{date.fromisoformat(value[:10]):%-d %b %Y}"


def _compared(now: float, before: float, what: str) -> str:
    if not before:
        return f"none in {what}" if now else f"as in {what}"
    percent = 100 * (now - before) / before
    if abs(percent) < 1:
        return f"as many as in {what}"
    return f"{abs(percent):,.0f} % {'more' if percent > 0 else 'fewer'} than in {what}"


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


def _by(rows: Sequence[Row], key: str, amount: str) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in rows:
        sums[row[key]] = sums.get(row[key], 0) + row[amount]
    return sums


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39].rstrip() + "…"
