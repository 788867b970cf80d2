"""What a verification finds of a stream, in rows and in archive files, and how it is noted."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

from warehouse.lake.clock import NOW
from warehouse.lake.inlining import safe_from_text
from warehouse.lake.literal import literal, text_list
from warehouse.lake.table import Table, quoted

# What can be wrong with a row; all but the last two are found by comparing rows.
KINDS = ("missing", "stale", "double", "alive", "unarchived", "unreadable")
SHOWN_EXAMPLES = 10


@dataclass(frozen=True)
class Finding:
    """What was found of one stream in one month (`month`: its first day; None for rows without a date).

    compared: rows of the server, or records of archive files; pending: rows that changed after the last sync.
    unreadable: rows that this version cannot read, and that are in quarantine at best.
    repaired: how many of the differences were mended.
    """

    stream: str
    month: date | None
    compared: int = 0
    missing: int = 0
    stale: int = 0
    double: int = 0
    alive: int = 0
    unarchived: int = 0
    unreadable: int = 0
    pending: int = 0
    repaired: int = 0
    examples: tuple[str, ...] = ()

    @property
    def differences(self) -> int:
        """How many rows are not as the server has them, or were not."""
        return sum(getattr(self, kind) for kind in KINDS)

    @property
    def left(self) -> int:
        """How many of them still are not."""
        return self.differences - self.repaired

    def __add__(self, other: Finding) -> Finding:
        """Both, of one stream and month, as one."""
        numbers = ("compared", *KINDS, "pending", "repaired")
        both = {name: getattr(self, name) + getattr(other, name) for name in numbers}
        return Finding(self.stream, self.month, examples=(self.examples + other.examples)[:SHOWN_EXAMPLES], **both)


def archived_months(
    connection: duckdb.DuckDBPyConnection, table: Table, wanted_from: date | None = None
) -> dict[date, bool]:
    """First day of each month with archive files of a table → whether all of them are loaded, by the accounts alone."""
    rows = connection.execute(
        f"""
        SELECT date_trunc('month', start_date)::DATE AS month, bool_and(loaded) FROM (
            SELECT start_date, true AS loaded FROM _archives WHERE archive_type = {literal(table.archive_type)}
            UNION ALL SELECT start_date, false FROM {_unloaded(table, wanted_from)}
        )
        GROUP BY month
        """
    ).fetchall()
    return dict(rows)


def _unloaded(table: Table, wanted_from: date | None) -> str:
    """SQL: the rows of `archives` of files that are listed, wanted, and not in the lake."""
    end = "CASE period WHEN 'monthly' THEN start_date + INTERVAL 1 MONTH ELSE start_date + INTERVAL 1 DAY END"
    wanted = f"{end} > DATE '{wanted_from}'" if wanted_from else "true"
    return f"""(
        FROM archives ANTI JOIN _archives USING (archive_type, period, start_date, hash)
        WHERE archive_type = {literal(table.archive_type)} AND deleted_on IS NULL AND record_count > 0 AND {wanted}
    )"""


def verify_archives(
    connection: duckdb.DuckDBPyConnection, table: Table, wanted_from: date | None = None
) -> list[Finding]:
    """Hold the rows of each month's archive files against the accounts of what was loaded, and against the list.

    Files of the time before `wanted_from` (UTC) need not be loaded. One that is listed without an MD5 cannot be.
    """
    rows = connection.execute(
        f"""
        WITH loaded AS (
            SELECT date_trunc('month', start_date)::DATE AS month, sum(rows) AS rows FROM _archives
            WHERE archive_type = {literal(table.archive_type)} GROUP BY ALL
        ),
        stored AS (
            SELECT date_trunc('month', archived_in)::DATE AS month, count(DISTINCT {table.distinct}) AS rows
            FROM "{table.name}" WHERE archived_in IS NOT NULL GROUP BY ALL
        ),
        unloaded AS (
            SELECT date_trunc('month', start_date)::DATE AS month, sum(record_count) AS rows,
                coalesce(sum(record_count) FILTER (hash IS NULL), 0) AS unprovable
            FROM {_unloaded(table, wanted_from)} GROUP BY ALL
        )
        SELECT month, coalesce(loaded.rows, 0)::BIGINT,
            CASE
                WHEN unloaded.rows IS NOT NULL THEN greatest(coalesce(loaded.rows, 0) - coalesce(stored.rows, 0), 0)
                ELSE abs(coalesce(loaded.rows, 0) - coalesce(stored.rows, 0))
            END::BIGINT,
            (coalesce(unloaded.rows, 0) - coalesce(unloaded.unprovable, 0))::BIGINT,
            coalesce(unloaded.unprovable, 0)::BIGINT
        FROM loaded FULL JOIN stored USING (month) FULL JOIN unloaded USING (month)
        ORDER BY month DESC
        """
    ).fetchall()
    return [
        Finding(
            table.name,
            month,
            compared=expected,
            unarchived=differing + unloaded + unprovable,
            examples=tuple(
                example
                for number, example in (
                    (differing, f"{differing:,} of {expected:,} archived rows differ in number"),
                    (unloaded, f"{unloaded:,} records of archive files are not loaded"),
                    (
                        unprovable,
                        f"{unprovable:,} records are of archive files that are listed without an MD5: they cannot be "
                        "proven, and are not loaded; tell whoever runs the server",
                    ),
                )
                if number
            ),
        )
        for month, expected, differing, unloaded, unprovable in rows
    ]


def note_verification(connection: duckdb.DuckDBPyConnection, run: uuid.UUID, findings: Sequence[Finding]) -> None:
    """Write the findings into `_verification`, inside the caller's transaction."""
    for one in findings:
        columns = ("compared", *KINDS, "pending", "repaired")
        numbers = [getattr(one, name) for name in columns]
        month = f"DATE '{one.month}'" if one.month else "NULL"
        examples = text_list(one.examples)
        with safe_from_text(connection, f"(SELECT {examples} AS examples)"):
            connection.execute(
                f"""
                INSERT INTO _verification (run, verified_on, stream, month, {quoted(columns)}, examples)
                VALUES ('{run}', {NOW}, {literal(one.stream)}, {month}, {", ".join(map(str, numbers))}, {examples})
                """
            )
