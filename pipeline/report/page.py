"""Puts the report together: asks the lake, draws, and writes one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import ReportError
from pipeline.output import templates, write_whole
from pipeline.proof.retention import at_risk
from pipeline.proof.statuses import stream_statuses
from pipeline.report import charts, findings
from pipeline.report.charts import Image, Row, Spec
from pipeline.report.drawing import draw
from pipeline.streams import STREAMS
from warehouse import Lake, LakeDamaged
from warehouse.lake import clock
from warehouse.lake.failures import explain

DIRECTIONS = ("received", "sent")
RUN_STATES = ("started", "responded", "completed")
CONTACT_STATES = ("active", "new", "lost")


@dataclass(frozen=True)
class Chart:
    """A chart of the report: the finding as its title, what is counted, the rows, and how these are drawn.

    `image` is None of a chart without rows, and of one that could not be drawn.
    """

    name: str
    title: str
    subtitle: str
    rows: Sequence[Row]
    headings: Sequence[str]
    sizes: Sequence[Spec]
    image: Image | None = None


@dataclass(frozen=True)
class Figure:
    """A headline figure: what it is, how much, and how that compares."""

    what: str
    amount: str
    note: str


GOOD_OUTCOMES = ("done", "not offered", "skipped", "waiting", "left out")
Draw = Callable[[Sequence[Spec]], Sequence[str | None]]


def write_report(lake: Lake, output: Path, *, left_out: Collection[str] = (), draw: Draw = draw) -> None:
    """Write the report of a lake to `output`, which is replaced when it is whole; `draw` makes SVGs of specifications.

    `left_out` are the streams that nobody wants.

    Raises:
        ReportError: the file cannot be written, or the lake has no views yet.
    """
    write_whole(output, render(lake, draw, left_out))


def render(lake: Lake, draw: Draw, left_out: Collection[str] = ()) -> str:
    """The report as HTML; text of the workspace is cleaned and escaped, charts are images.

    Raises:
        ReportError: the lake has no views yet.
    """
    with lake.connection() as connection:
        try:
            state = _rows(connection, "state")[0]
        except duckdb.CatalogException as error:
            if isinstance(explain(error, lake.path), LakeDamaged):
                raise
            raise ReportError(f"The lake {lake.path} has no views yet: run `rapidlake sync` once.") from None
        if not state["synced_on"]:
            raise ReportError(f"The lake {lake.path} is empty: run `rapidlake sync` first.")
        connection.execute(f"SET VARIABLE today = '{state['synced_on'][:10]}'::DATE")
        shown = [chart(connection) for chart in CHARTS]
        broadcasts = _rows(connection, "broadcasts")
        delivery = _rows(connection, "delivery_times")
        verification = _rows(connection, "verification")
        headline = _headline(_rows(connection, "headline")[0])
    environment = templates("pipeline.report", escape=True)
    environment.filters |= {"day": findings.day, "cell": _cell, "ago": _ago}
    return environment.get_template("page.html.j2").render(
        state=state,
        headline=headline,
        charts={chart.name: chart for chart in _drawn(shown, draw)},
        broadcasts=broadcasts,
        broadcasts_title=findings.of_broadcasts(broadcasts),
        delivery=delivery,
        streams=_streams(lake, left_out),
        verification=verification,
        made_on=clock.now(),
    )


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    """The rows of a query of this folder; days and times as text, so that no time zone can move them."""
    cursor = connection.execute((resources.files("pipeline.report") / "queries" / f"{query}.sql").read_text("utf-8"))
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, map(_plain, row), strict=True)) for row in cursor.fetchall()]


def _plain(value: object) -> object:
    return (
        value.isoformat(" ") if isinstance(value, datetime) else value.isoformat() if isinstance(value, date) else value
    )


def _headline(row: Row) -> list[Figure]:
    runs, sent = row["runs_now"], row["sent_now"]
    return [
        Figure("Contacts", f"{row['contacts']:,}", "today"),
        Figure(
            "Messages received",
            f"{row['received_now']:,}",
            findings.change(row["received_now"], row["received_before"]),
        ),
        Figure("Messages sent", f"{sent:,}", findings.change(sent, row["sent_before"])),
        Figure("Failed", f"{100 * row['failed_now'] / sent:.1f} %" if sent else "none", "of the messages sent"),
        Figure(
            "Runs of flows", f"{runs:,}", f"{100 * row['completed_now'] / runs:.0f} % completed" if runs else "none"
        ),
        Figure("Open tickets", f"{row['open_tickets']:,}", "today"),
    ]


def _chart(
    name: str,
    title: Callable[[Sequence[Row]], str],
    subtitle: str,
    spec: Callable[[Sequence[Row]], Spec],
    height: int = 220,
) -> Callable[[duckdb.DuckDBPyConnection], Chart]:
    """How a chart is made from the rows of the query of its name; without rows there is only a title."""

    def make(connection: duckdb.DuckDBPyConnection) -> Chart:
        rows = _rows(connection, name)
        sizes = charts.sizes(spec(rows), rows, height=height) if rows else []
        return Chart(name, title(rows), subtitle, rows, list(rows[0]) if rows else [], sizes)

    return make


def _drawn(undrawn: Sequence[Chart], draw: Draw) -> list[Chart]:
    """The charts with their images, all drawn at once."""
    svgs = iter(draw([spec for chart in undrawn for spec in chart.sizes]))
    return [
        replace(chart, image=charts.image(*(next(svgs) for _ in chart.sizes))) if chart.sizes else chart
        for chart in undrawn
    ]


def _names(rows: Sequence[Row], column: str) -> list[str]:
    return list(dict.fromkeys(str(row[column]) for row in rows))


def _flows(rows: Sequence[Row]) -> Spec:
    folded = {"transform": [{"fold": list(RUN_STATES), "as": ["state", "runs"]}]}
    return folded | charts.bars("flow", "runs", "state", names=RUN_STATES, unit="runs")


def _steps(rows: Sequence[Row]) -> Spec:
    label = {"calculate": "datum.step + '. ' + datum.what", "as": "label"}
    spec = charts.steps("label", "runs", "given_up_here", unit="runs at the step; orange: given up there")
    return spec | {"transform": [label, *spec["transform"]]}


CHARTS = (
    _chart(
        "messages",
        findings.of_messages,
        "Messages per week",
        lambda rows: charts.lines("week", "messages", "direction", names=DIRECTIONS, unit="messages per week"),
    ),
    _chart(
        "channels",
        findings.of_channels,
        "Messages of the last 30 days, by channel",
        lambda rows: charts.bars("channel", "messages", "direction", names=DIRECTIONS, unit="messages in 30 days"),
        260,
    ),
    _chart(
        "failures",
        findings.of_failures,
        "Messages that failed, per 100 that ended, by week",
        lambda rows: charts.lines(
            "week", "failed_percent", "channel", names=_names(rows, "channel"), unit="failed per 100", decimals=1
        ),
    ),
    _chart("flows", findings.of_flows, "Runs that began in the last 90 days, by flow", _flows, 360),
    _chart("steps", findings.of_steps, "How far runs came, by step, in the last 90 days", _steps, 240),
    _chart(
        "responses",
        findings.of_responses,
        "Answers of the last 30 days, by the time since the message they answer",
        lambda rows: charts.columns("within", "answers", unit="answers", classes="answered within"),
    ),
    _chart(
        "contacts",
        findings.of_contacts,
        "Contacts per week who wrote (active), came (new) or left (lost)",
        lambda rows: charts.lines("week", "contacts", "what", names=CONTACT_STATES, unit="contacts per week"),
    ),
    _chart(
        "groups",
        findings.of_groups,
        "Contacts in the largest groups",
        lambda rows: (
            charts.lines("day", "contacts", "group", names=_names(rows, "group"), unit="contacts")
            if len(_names(rows, "day")) > 1
            else charts.ranking("group", "contacts", unit="contacts")
        ),
    ),
    _chart(
        "opt_outs",
        findings.of_opt_outs,
        "Opt-outs per week",
        lambda rows: charts.columns("week", "opt_outs", unit="opt-outs per week"),
        160,
    ),
)


def _streams(lake: Lake, left_out: Collection[str]) -> list[dict[str, Any]]:
    """The streams, those that need somebody first."""
    rows = stream_statuses(lake, left_out)
    for row in rows:
        hours = row["lost_in_hours"]
        row["at_risk"] = isinstance(hours, float) and at_risk(STREAMS[str(row["stream"])], timedelta(hours=hours))
        if row["left_out"]:
            row |= {"outcome": "left out", "message": None}
        row["good"] = row["outcome"] in GOOD_OUTCOMES and not row["at_risk"]
    return sorted(rows, key=lambda row: bool(row["good"]))


def _cell(value: object) -> str:
    """A value as a table shows it."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _ago(moment: str | None) -> str:
    """How long ago a moment was, at most in days."""
    if not moment:
        return "never"
    hours = (clock.now() - datetime.fromisoformat(moment)).total_seconds() / 3600
    if hours < 1:
        return f"{max(hours, 0) * 60:.0f} min ago"
    return f"{hours:.0f} h ago" if hours < 48 else f"{hours / 24:.0f} days ago"
