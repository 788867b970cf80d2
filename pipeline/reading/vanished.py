"""Rows that a window had and has no longer: believed deleted only after asking for them by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from pipeline.reading.batches import Batches
from pipeline.reading.walk import Fetch, Piece, keys_of, seek
from pipeline.streams import Stream, Window
from warehouse import Lake
from warehouse.lake.cursor import time_at
from warehouse.lake.literal import literal, text_list

# Vanished rows of up to this number are asked for by their key, a request each.
ASKED_ONE_BY_ONE = 20
# Servers archive after 90 days unless they are told otherwise; then the list of archives says so.
SHOWN_AT_LEAST = timedelta(days=89)


def settle_vanished(batches: Batches, lake: Lake, stream: Stream, fetch: Fetch, within: str) -> None:
    """Mark the rows `within` a condition (SQL) that the whole reading did not bring and the server does not either."""
    missing = batches.gone(within)
    if not missing or (missing > 1 and batches.lists_nothing(missing)):
        return
    for piece in second_look(batches.gone_keys(), lake, stream, fetch):
        batches.take(piece)
        if batches.full:
            batches.commit()
    batches.commit()
    if gone := batches.gone(within):
        batches.mark_gone(gone)


def second_look(
    keys: list[tuple[object, ...]], lake: Lake, stream: Stream, fetch: Fetch, *, until: datetime | None = None
) -> Iterator[Piece]:
    """Ask for stored rows again: for a few one by one, for many by reading the time that they are of.

    That time goes on `until` (UTC) where a change moves a row to the present.
    """
    table, strategy = stream.table, stream.strategy
    assert isinstance(strategy, Window)
    (name,) = table.key
    wanted = [str(key) for (key,) in keys]
    if len(wanted) <= ASKED_ONE_BY_ONE:
        for key in wanted:
            # A server that ignores the filter answers with its first page.
            yield Piece([row for row in fetch({name: key}).results if str(keys_of(row, table.key)[0]) == key])
        return
    first, last = lake.rows(
        f"""
        SELECT epoch_us(min("{strategy.on}")), epoch_us(max("{strategy.on}"))
        FROM "{table.name}" WHERE "{name}"::VARCHAR IN (SELECT unnest({text_list(wanted)}))
        """
    )[0]
    after, before = time_at(first), until or time_at(last)
    yield from seek(
        fetch,
        table.name,
        strategy.on,
        table.key,
        after=after,
        before=before,
        place=None,
        oldest_first=strategy.oldest_first,
    )


def oldest_shown(lake: Lake, stream: Stream, now: datetime) -> datetime | None:
    """From where on a row must be listed if it exists (UTC), as the server purges archived ones; None: always."""
    kind = stream.table.archive_type
    if kind is None:
        return None
    archived = lake.rows(
        f"""
        SELECT epoch_us(max(CASE period WHEN 'monthly' THEN start_date + INTERVAL 1 MONTH
                                        ELSE start_date + INTERVAL 1 DAY END)::TIMESTAMPTZ)
        FROM archives WHERE archive_type = {literal(kind)}
        """
    )[0][0]
    by_default = now - SHOWN_AT_LEAST
    return max(by_default, time_at(archived)) if archived else by_default
