"""The one clock: this machine's, for Python and for SQL alike.

SQL's own `now()` is another, which nothing can set. Only the view of group sizes asks it, when an analyst looks, and
DuckLake, for its snapshots.
"""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb

from warehouse.lake.literal import literal

# SQL of the time at which the transaction began, by this clock.
NOW = "getvariable('now')::TIMESTAMPTZ"


def now() -> datetime:
    """What the clock shows (UTC)."""
    return datetime.now(UTC)


def tell(connection: duckdb.DuckDBPyConnection) -> None:
    """Let `NOW` be the present, for the transaction that has just begun on `connection`."""
    connection.execute(f"SET VARIABLE now = {literal(now())}")
