"""Takes a staged batch apart, where the lake will not store it whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from warehouse.lake.table import count, materialise
from warehouse.loading.stage import Batch
from warehouse.parsing.unreadable import explain_unreadable

REFUSED = "the lake cannot store it"


def keep_whole(connection: duckdb.DuckDBPyConnection) -> None:
    """Keep what is staged, so that parts of it can take its place in `batch`."""
    materialise(connection, "whole", "FROM parsed")


def take_part(connection: duckdb.DuckDBPyConnection, batch: Batch, first: int, last: int) -> Batch:
    """Make the lines from `first` to `last` that can be read the staged batch."""
    part = f"FROM whole WHERE unreadable IS NULL AND line BETWEEN {first} AND {last}"
    return replace(batch, rows=materialise(connection, "parsed", part), unreadable=0, reason=None)


def take_refused(
    connection: duckdb.DuckDBPyConnection, batch: Batch, files: Sequence[Path], refused: Sequence[int]
) -> Batch:
    """Make the unreadable lines the staged batch, and those that were `refused` with them."""
    lines = ", ".join(map(str, refused)) or "NULL"
    materialise(connection, "parsed", f"FROM whole WHERE unreadable IS NOT NULL OR line IN ({lines})")
    connection.execute(f"UPDATE parsed SET unreadable = '' WHERE line IN ({lines})")
    explain_unreadable(connection, batch.table, files)
    connection.execute(f"UPDATE parsed SET reason = '{REFUSED}' WHERE line IN ({lines})")
    connection.execute("DROP TABLE whole")
    rows = count(connection, "parsed")
    return replace(batch, rows=rows, unreadable=rows, reason=batch.reason or REFUSED)
