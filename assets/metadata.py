"""Turns facts of a sync into metadata that people read, and that Dagster plots over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pipeline.months import Month
from pipeline.results import StreamResult, Tally
from pipeline.streams import Stream
from pipeline.syncing.session import Session
from warehouse import Cursor, Lake, read_cursors
from warehouse.lake import clock
from warehouse.lake.literal import literal


def sync_metadata(session: Session, stream: Stream, results: Sequence[StreamResult]) -> dict[str, Any]:
    """What the sync of a stream did and cost; numbers are plotted by their names, so these stay as they are."""
    tally = Tally()
    for result in results:
        tally.add(result.tally)
    counters = [result.tally.counters for result in results]
    facts: dict[str, Any] = {
        "rows new": tally.rows_new,
        "rows changed": tally.rows_changed,
        "rows deleted": tally.rows_deleted,
        "rows quarantined": tally.rows_quarantined,
        "requests": sum(one.requests for one in counters),
        "bytes": sum(one.bytes for one in counters),
        "seconds": round(sum(result.seconds for result in results), 1),
        "seconds waited": round(sum(one.waited_seconds for one in counters), 1),
    }
    left = session.client.requests_left(stream.scope)
    if left is not None:
        facts["requests left"] = left
    lag = _minutes_behind(session.lake, stream)
    if lag is not None:
        facts["lag (minutes)"] = lag
    said = [result.message for result in results if result.message]
    if said:
        facts["said"] = "; ".join(said)
    return facts


def _minutes_behind(lake: Lake, stream: Stream) -> float | None:
    """Minutes between now and what is read."""
    rows = lake.rows(
        "SELECT epoch(least(watermark, updated_on)) FROM _cursor "
        f"WHERE stream = {literal(stream.name)} AND feed = 'rows' AND watermark IS NOT NULL"
    )
    return round((clock.now().timestamp() - rows[0][0]) / 60, 1) if rows else None


def live_rows(lake: Lake, stream: Stream, month: Month | None = None) -> int:
    """Rows of the table that are not deleted; of those created in a month only, if one is given."""
    return int(lake.rows(f'SELECT count(*) FROM "{stream.name}" WHERE {_live(stream, month)}')[0][0])


def _live(stream: Stream, month: Month | None) -> str:
    """SQL: the condition that a row is not deleted, and was created in the month, if one is given."""
    if month is None:
        return "deleted_on IS NULL"
    on = stream.table.partitioned_by
    return f'deleted_on IS NULL AND "{on}" >= {literal(month.start)} AND "{on}" < {literal(month.end)}'


def last_written(lake: Lake, stream: Stream) -> str:
    """When a row of the table was last written (UTC)."""
    return str(lake.rows(f'SELECT coalesce(max(synced_on)::VARCHAR, {literal("never")}) FROM "{stream.name}"')[0][0])


def months_written(lake: Lake, stream: Stream, since: datetime) -> list[Month]:
    """The months of which rows were written since a time (UTC)."""
    rows = lake.rows(
        f"""
        SELECT DISTINCT date_trunc('month', "{stream.table.partitioned_by}")::DATE
        FROM "{stream.name}" WHERE synced_on >= {literal(since)} ORDER BY ALL
        """
    )
    return [Month.of(month) for (month,) in rows]


def months_of_nothing_known(lake: Lake, stream: Stream, months: Iterable[Month]) -> list[Month]:
    """Those of closed `months` of which there is nothing: no row in the lake, and no archive file on the server.

    None while that is not known: the stream was not read from its beginning, or the list of files not at all.
    """
    with lake.connection() as connection:
        read, listed = (read_cursors(connection, name).get("rows", Cursor()) for name in (stream.name, "archives"))
    if read.watermark is None or read.complete_from is not None or listed.watermark is None:
        return []
    known = lake.rows(
        f"""
        SELECT date_trunc('month', "{stream.table.partitioned_by}")::DATE FROM "{stream.name}"
        UNION SELECT date_trunc('month', start_date)::DATE FROM archives
        WHERE archive_type = {literal(stream.table.archive_type)} AND deleted_on IS NULL AND record_count > 0
        """
    )
    something = {Month.of(month) for (month,) in known}
    return [month for month in months if month not in something and month.end <= read.watermark]
