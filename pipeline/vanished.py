"""Rows that a window had and has no longer: believed deleted only after asking for them by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from pipeline.batches import Batches
from pipeline.streams import Stream, Window
from pipeline.walk import Fetch, keys_of, seek
from warehouse import Lake

# Vanished rows of up to this number are asked for by their key, a request each.
ASKED_ONE_BY_ONE = 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def settle_vanished(batches: Batches, lake: Lake, stream: Stream, fetch: Fetch, within: str) -> None:
    """Mark the rows `within` a condition (SQL) that the whole reading did not bring and the server does not either."""
    if not batches.gone(within):
        return
    for rows in _second_look(batches.gone_keys(), lake, stream, fetch):
        batches.add(rows)
        if batches.full:
            batches.commit()
    batches.commit()
    if gone := batches.gone(within):
        batches.mark_gone(gone)


def _second_look(
    keys: list[tuple[object, ...]], lake: Lake, stream: Stream, fetch: Fetch
) -> Iterator[list[msgspec.Raw]]:
    """Ask for rows again: for a few one by one, for many by reading the time that they are of."""
    table, strategy = stream.table, stream.strategy
    assert isinstance(strategy, Window)
    if len(keys) <= ASKED_ONE_BY_ONE:
        (name,) = table.key
        for (key,) in keys:
            # A server that ignores the filter answers with its first page.
            yield [row for row in fetch({name: str(key)}).results if keys_of(row, table.key) == (key,)]
        return
    bounds = lake.rows(
        f"""
        SELECT epoch_us(min("{strategy.on}")), epoch_us(max("{strategy.on}"))
        FROM "{table.name}" SEMI JOIN "unseen {table.name}" USING ({table.keys})
        """
    )[0]
    first, last = (EPOCH + timedelta(microseconds=bound) for bound in bounds)
    window = {"after": first, "before": last}
    for piece in seek(
        fetch, table.name, strategy.on, table.key, place=None, oldest_first=strategy.oldest_first, **window
    ):
        yield piece.rows
