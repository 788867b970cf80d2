"""Questions whose answers show whether a lake can be trusted: numbers only, no content of any row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from warehouse.lake import clock
from warehouse.lake.connection import Lake
from warehouse.lake.cursor import time_at
from warehouse.lake.literal import literal
from warehouse.lake.table import Table
from warehouse.loading.archived import archives_wanted_from
from warehouse.proof.findings import KINDS, verify_archives


def count_double_keys(lake: Lake, table: Table) -> int:
    """How many keys stand more than once in the table."""
    return _number(lake, f'(SELECT 1 FROM "{table.name}" GROUP BY {", ".join(table.identity())} HAVING count(*) > 1)')


def count_orphans(lake: Lake, table: Table) -> int:
    """How many live rows of the API name a contact that the lake does not have, though contacts were read after them.

    Rows of archives may: a contact that was deleted before the first sync is in no list.
    """
    return _number(
        lake,
        f"""
        "{table.name}" AS named
        WHERE "{table.contact}" NOT IN (SELECT uuid FROM contacts) AND named.deleted_on IS NULL
            AND named.source = 'api' AND named.synced_on < (
                SELECT watermark FROM _cursor WHERE stream = 'contacts' AND feed = 'rows' AND complete_from IS NULL)
        """,
    )


@dataclass(frozen=True)
class Drift:
    """Keys of a stream's rows that this version does not know, or misses, first seen since some time."""

    unknown: tuple[str, ...]
    missing: tuple[str, ...]


def find_drift(lake: Lake, stream: str, since: datetime) -> Drift:
    """The drift of a stream that was first seen since a time (UTC).

    Keys that were missing from the lake's first day on are none: this server's version never had them.
    """
    rows = lake.rows(
        f"""
        SELECT kind, key FROM _drift
        -- What a clock that was ahead has dated is not new for years.
        WHERE stream = {literal(stream)} AND first_seen_on BETWEEN {literal(since)} AND {literal(clock.now())}
            AND (kind = 'unknown' OR first_seen_on > {literal(made_on(lake) + timedelta(days=1))})
        ORDER BY key
        """
    )
    return Drift(*(tuple(key for kind, key in rows if kind == wanted) for wanted in ("unknown", "missing")))


def count_quarantined(lake: Lake, stream: str) -> int:
    """How many rows of a stream could not be read. Why is not told: a reason may hold a value of the row."""
    return _number(lake, f"_quarantine WHERE stream = {literal(stream)}")


@dataclass(frozen=True)
class Archived:
    """Records of archive files that are wanted: how many there are, how many the lake lacks, and how many it awaits.

    unprovable: those that it lacks because their files are listed without an MD5.
    """

    records: int
    lacking: int
    awaited: int
    unprovable: int


def count_unarchived(lake: Lake, table: Table, *, late_before: datetime, first_month: date | None = None) -> Archived:
    """Hold the lake against the archive files that the server lists.

    A file is awaited, and not lacking, while it was listed, or its month was over, after `late_before` (UTC); one
    without an MD5 never is. Those of months before `first_month` are not wanted, nor those of which `--since` says so.
    """
    with lake.connection() as connection:
        wanted_from = archives_wanted_from(connection)
        findings = verify_archives(connection, table, wanted_from)
    early = f"month < DATE '{first_month}'" if first_month else "false"
    since = f"last > DATE '{wanted_from}'" if wanted_from else "true"
    young = f"greatest(synced_on, (month + INTERVAL 1 MONTH)::TIMESTAMPTZ) > {literal(late_before)}"
    [(unwanted, awaited, late, unprovable)] = lake.rows(
        f"""
        WITH unloaded AS (
            SELECT record_count AS records, synced_on, hash, date_trunc('month', start_date)::DATE AS month,
                start_date + CASE period WHEN 'monthly' THEN INTERVAL 1 MONTH ELSE INTERVAL 1 DAY END AS last
            FROM archives ANTI JOIN _archives USING (archive_type, period, start_date, hash)
            WHERE archive_type = {literal(table.archive_type)} AND deleted_on IS NULL AND record_count > 0
        )
        SELECT coalesce(sum(records) FILTER ({early}), 0)::BIGINT,
            coalesce(sum(records) FILTER (NOT {early} AND {young} AND hash IS NOT NULL), 0)::BIGINT,
            coalesce(sum(records) FILTER (NOT {early} AND NOT {young} AND hash IS NOT NULL), 0)::BIGINT,
            coalesce(sum(records) FILTER (NOT {early} AND hash IS NULL), 0)::BIGINT
        FROM unloaded WHERE {since}
        """
    )
    loaded = sum(one.compared for one in findings)
    lacking = sum(one.unarchived for one in findings) - awaited - unwanted
    return Archived(loaded + awaited + late + unprovable, lacking, awaited, unprovable)


def made_on(lake: Lake) -> datetime:
    """When the lake was made (UTC), at the latest: a clock may have been ahead then."""
    [(made,)] = lake.rows("SELECT epoch_us(least(created_on, (SELECT min(started_on) FROM _sync))) FROM _lake")
    return min(time_at(made), clock.now())


@dataclass(frozen=True)
class Volume:
    """Rows of the last complete day and week, and what is usual.

    rows, week: of `day`, and of the seven days that end with it; usual: median of the same weekday of the eight weeks
    before; usual_week: median of the four weeks before; weeks: how many weeks of history there are.
    """

    day: date
    rows: int
    usual: float
    week: int
    usual_week: float
    weeks: int


def volume_of(lake: Lake, table: Table, day: date) -> Volume:
    """How many rows were created up to the end of `day` (UTC), and before."""
    rows = lake.rows(
        f"""
        WITH counted AS (
            SELECT (created_on AT TIME ZONE 'UTC')::DATE AS day, count(*) AS rows
            FROM "{table.name}"
            WHERE created_on >= (DATE '{day}' - 63)::TIMESTAMP AT TIME ZONE 'UTC'
                AND created_on < (DATE '{day}' + 1)::TIMESTAMP AT TIME ZONE 'UTC'
            GROUP BY ALL
        ),
        daily AS (
            SELECT DATE '{day}' - back::INTEGER AS day, back::INTEGER AS back, coalesce(rows, 0) AS rows
            FROM range(63) AS days(back) LEFT JOIN counted ON counted.day = DATE '{day}' - back::INTEGER
        ),
        weekly AS (SELECT back // 7 AS week, sum(rows) AS rows FROM daily GROUP BY ALL)
        SELECT
            (SELECT rows FROM daily WHERE back = 0),
            (SELECT median(rows) FROM daily WHERE back % 7 = 0 AND back > 0),
            (SELECT rows FROM weekly WHERE week = 0),
            (SELECT median(rows) FROM weekly WHERE week BETWEEN 1 AND 4),
            (SELECT coalesce(max(back), 0) // 7 FROM daily WHERE rows > 0)
        """
    )[0]
    return Volume(day, *rows)


@dataclass(frozen=True)
class Verified:
    """The last verification of every stream: when the latest was (UTC), and how many rows all compared.

    differences: rows that were found to differ; left: those of them that were not mended.
    """

    at: datetime
    compared: int
    differences: int
    left: int


def last_verification(lake: Lake) -> Verified | None:
    """What the last verification of every stream came to; None if there was none."""
    differences = " + ".join(f'coalesce("{kind}", 0)' for kind in KINDS)
    rows = lake.rows(
        f"""
        SELECT epoch(coalesce(max(verified_on) FILTER (verified_on <= {literal(clock.now())}), max(verified_on))),
            sum(compared)::BIGINT, sum({differences})::BIGINT,
            sum({differences} - coalesce(repaired, 0))::BIGINT
        -- Lakes that an earlier version wrote last have no column of what was mended.
        FROM (SELECT NULL::BIGINT AS repaired WHERE false UNION ALL BY NAME FROM _verification)
        SEMI JOIN (
            SELECT stream, arg_max(run, row(verified_on <= {literal(clock.now())}, verified_on)) AS run
            FROM _verification GROUP BY stream
        ) AS last USING (stream, run)
        """
    )[0]
    return None if rows[0] is None else Verified(datetime.fromtimestamp(rows[0], UTC), *rows[1:])


def _number(lake: Lake, relation: str) -> int:
    return int(lake.rows(f"SELECT count(*) FROM {relation}")[0][0])
