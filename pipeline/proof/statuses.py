"""What is known of every stream: rows, how far it is read, how its last sync went, when unread rows are lost."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta

from pipeline.proof.retention import time_until_lost
from pipeline.proof.rotation import proven_months
from pipeline.streams import STREAMS, Stream, Window
from warehouse import Lake, archives_wanted_from
from warehouse.lake import clock
from warehouse.lake.literal import literal
from warehouse.proof.findings import archived_months
from warehouse.proof.proven import Span, day_of, proven_days, proven_whole


def stream_statuses(lake: Lake, left_out: Collection[str] = ()) -> list[dict[str, object]]:
    """What is known of every stream; one query, for each costs a look into the catalog.

    Nothing is lost of those that are `left_out`, for nobody wants it.
    """
    counts = " UNION ALL ".join(
        f"""SELECT {literal(name)} AS stream, {number} AS number,
                count(*) FILTER (deleted_on IS NULL) AS live, count(deleted_on) AS deleted FROM "{name}\""""
        for number, name in enumerate(STREAMS)
    )
    found = lake.rows(
        f"""
        WITH counted AS ({counts}),
        cursors AS (
            SELECT * REPLACE (CASE WHEN watermark > updated_on THEN updated_on ELSE watermark END AS watermark)
            FROM _cursor WHERE feed = 'rows'
        ),
        last AS (
            SELECT DISTINCT ON (stream) stream, started_on, outcome, message
            FROM _sync ORDER BY stream, outcome = 'skipped', started_on > {literal(clock.now())}, started_on DESC
        ),
        refused AS (SELECT stream, count(*) AS quarantined FROM _quarantine GROUP BY stream)
        SELECT stream, live, deleted, watermark::VARCHAR, complete_from::VARCHAR, walk_before IS NOT NULL,
            epoch(started_on), outcome, message, coalesce(quarantined, 0), epoch(watermark)
        FROM counted
        LEFT JOIN cursors USING (stream) LEFT JOIN last USING (stream) LEFT JOIN refused USING (stream)
        ORDER BY number
        """
    )
    names = ("stream", "rows", "deleted", "read_up_to", "complete_from", "walk_open",
             "last_sync", "outcome", "message", "quarantined", "watermark")  # fmt: skip
    rows = [dict(zip(names, row, strict=True)) for row in found]
    days, whole = proven_days(lake), proven_whole(lake)
    for row in rows:
        if row["last_sync"] is not None:
            row["last_sync"] = datetime.fromtimestamp(row["last_sync"], UTC).isoformat()
        row["left_out"] = row["stream"] in left_out
        row |= _proofs(lake, STREAMS[str(row["stream"])], days, whole)
        row["lost_in_hours"] = _hours_until_lost(STREAMS[str(row["stream"])], row.pop("watermark"))
        if row["left_out"]:
            row["lost_in_hours"] = None
    return rows


def _proofs(lake: Lake, stream: Stream, days: dict[str, list[Span]], whole: dict[str, datetime]) -> dict[str, object]:
    """When the stream was last proven, all of it; for streams that are read by date also when each month was.

    None where some of it never was.
    """
    if not isinstance(stream.strategy, Window):
        at = whole.get(stream.name)
        return {"proven_on": at and at.isoformat()}
    spans = days.get(stream.name, [])
    archived = _archived(lake, stream) if spans and stream.table.archive_type else {}
    months = proven_months(spans, archived, day_of(clock.now()))
    proofs = [at for at in (*(span.proven_on for span in spans if span.first is None), *months.values()) if at]
    complete = bool(spans) and spans[0].first is None and None not in months.values()
    return {
        "proven_on": min(proofs).isoformat() if complete and proofs else None,
        "months": [{"month": str(month), "proven_on": at and at.isoformat()} for month, at in months.items()],
    }


def _archived(lake: Lake, stream: Stream) -> dict[date, bool]:
    """First day of each month with archive files of the stream → whether all their records are in the lake."""
    with lake.connection() as connection:
        return archived_months(connection, stream.table, archives_wanted_from(connection))


def _hours_until_lost(stream: Stream, watermark: object) -> float | None:
    """Hours until the server deletes the first row that may not be read yet; None if it keeps or archives all."""
    read = datetime.fromtimestamp(watermark, UTC) if isinstance(watermark, float) else None
    left = time_until_lost(stream, read, clock.now())
    return None if left is None else round(left / timedelta(hours=1), 1)
