"""Commits a batch that the lake refuses, without the rows for which it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb

from warehouse import Batch, Lake, LakeRefused, Loaded, keep_whole, take_part, take_refused

Save = Callable[[duckdb.DuckDBPyConnection], None]
Commit = Callable[[Batch, Save | None], Loaded]
# Where more rows of a batch are refused than this, the fault is not theirs.
MOST_REFUSED = 20


def commit_without_refused(
    lake: Lake, batch: Batch, files: list[Path], commit: Commit, save: Save | None, error: LakeRefused
) -> tuple[Batch, Loaded]:
    """Halve a batch that was refused with `error` until the rows are found for which it was: they go to quarantine.

    The parts without them are committed by themselves, the refused rows and `save` last.

    Raises:
        LakeRefused: it is not for some of its rows.
    """
    with lake.connection() as connection:
        keep_whole(connection)
    refused: list[int] = []
    landed = Loaded()

    def land(first: int, last: int) -> None:
        nonlocal landed
        with lake.connection() as connection:
            part = take_part(connection, batch, first, last)
        try:
            landed += commit(part, None)
        except LakeRefused:
            if first < last:
                middle = (first + last) // 2
                land(first, middle)
                land(middle + 1, last)
                return
            refused.append(first)
            if len(refused) > MOST_REFUSED:
                raise error from None

    land(1, batch.rows)
    with lake.connection() as connection:
        rest = take_refused(connection, batch, files, refused)
    landed += commit(rest, save)
    doubles = batch.rows - rest.unreadable - landed.new - landed.changed - landed.equal
    return replace(batch, unreadable=rest.unreadable, reason=rest.reason), replace(landed, double=doubles)
