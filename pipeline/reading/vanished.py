"""Rows that a window had and has no longer: believed deleted only after asking for them by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from pipeline.reading.batches import Batches
from pipeline.reading.walk import Fetch, Piece, keys_of, seek
from pipeline.streams import Stream, Window
from warehouse import Archived, Lake
from warehouse.lake.cursor import time_at
from warehouse.lake.literal import text_list

# Vanished rows of up to this number are asked for by their key, a request each.
ASKED_ONE_BY_ONE = 20

# Asks for the server's list of archive files; None if it cannot be read.
Ask = Callable[[], Archived | None]


def settle_vanished(
    batches: Batches, lake: Lake, stream: Stream, fetch: Fetch, ask: Ask, within: str, *, listed: bool = True
) -> None:
    """Mark the rows `within` a condition (SQL) that the whole reading did not bring and no place has that could.

    Those are the listing, asked for these rows once more, and where there are archives every file that is listed then:
    `ask` asks for the list. `listed=False` where the reading was none of the listing.
    """
    missing = batches.gone(within)
    if not missing or (listed and missing > 1 and batches.lists_nothing(missing)):
        return
    for piece in second_look(batches.gone_keys(), lake, stream, fetch):
        batches.take(piece)
        if batches.full:
            batches.commit()
    batches.commit()
    if batches.still_gone() and stream.table.archive_type:
        batches.believe(ask())  # what was purged since the list was stored is in a file that it lacks
    if gone := batches.still_gone():
        batches.mark_gone(gone)


def second_look(
    keys: list[tuple[object, ...]], lake: Lake, stream: Stream, fetch: Fetch, *, until: datetime | None = None
) -> Iterator[Piece]:
    """Ask for stored rows again: for a few one by one, for many by reading the time that they are of.

    That time goes on `until` (UTC) where a change moves a row to the present. Where none does, a few are asked for by
    their time too: that shows them whichever key the server knows, and one that ignores a filter would hide them.
    """
    strategy = stream.strategy
    assert isinstance(strategy, Window)
    if len(keys) <= ASKED_ONE_BY_ONE and strategy.moves:
        yield from by_key(keys, stream, fetch)
        return
    times = times_of(keys, lake, stream, strategy.on)
    if len(keys) > ASKED_ONE_BY_ONE:
        spans = [(times[0], until or times[-1])] if times else []
    else:
        spans = [(time, time) for time in times]
    for after, before in spans:
        yield from seek(
            fetch,
            stream.name,
            strategy.on,
            stream.table.key_columns,
            after=after,
            before=before,
            place=None,
            oldest_first=strategy.oldest_first,
        )


def by_key(keys: list[tuple[object, ...]], stream: Stream, fetch: Fetch) -> Iterator[Piece]:
    """Ask for rows by their keys, a request each."""
    (name,) = stream.table.key
    for (key,) in keys:
        # A server that ignores the filter answers with its first page.
        rows = fetch({name: str(key)}).results
        yield Piece([row for row in rows if str(keys_of(row, stream.table.key)[0]) == str(key)])


def times_of(keys: list[tuple[object, ...]], lake: Lake, stream: Stream, on: str) -> list[datetime]:
    """The dates `on` (UTC) of stored rows, each once, in order."""
    texts = [str(next(value for value in key if value is not None)) for key in keys]
    rows = lake.rows(
        f"""
        SELECT DISTINCT epoch_us("{on}") AS time FROM "{stream.name}"
        WHERE {stream.table.key_text()} IN (SELECT unnest({text_list(texts)})) AND time IS NOT NULL ORDER BY time
        """
    )
    return [time_at(time) for (time,) in rows]
