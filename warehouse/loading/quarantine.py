"""Where rows wait that could not be read: `_quarantine`, a waiting room and no grave.

A row leaves when the server or an archive brings its key in a form that can be read, and when a later version can read
the text that is kept of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import metadata, resources

import duckdb

from warehouse.lake.attaching import MACROS
from warehouse.lake.clock import NOW
from warehouse.lake.literal import literal
from warehouse.lake.table import Table, columns_of, count, materialise
from warehouse.loading.stage import Batch
from warehouse.loading.stand_ins import take_stored_keys
from warehouse.parsing.parse import statements

# Rows are tried again in groups of so many: their texts are in memory.
RETRIED_AT_ONCE = 2_000
# Earlier versions kept a row whose bytes are no text in a form that looks as if it could be read.
WHOLE = "NOT contains(reason, 'is not UTF-8')"


@dataclass(frozen=True)
class Waiting:
    """Texts of rows of one stream and origin that are to be tried again, oldest first; `tried` says which they are.

    `archived_in` is the first day of the archive file they came in; `tombstones` says that they are of the server's
    list of deleted rows.
    """

    texts: list[str]
    archived_in: date | None
    tombstones: bool


def put_aside(connection: duckdb.DuckDBPyConnection, batch: Batch, *, tombstones: bool = False) -> int:
    """Put the unreadable rows of `batch` aside, each once; return how many are new there.

    Those that the batch has in a readable form too, read later, are settled; of a row that comes in another form, but
    cannot be read either, the last one waits. Inside the caller's transaction.
    """
    stream = literal(batch.table.name)
    refused = materialise(
        connection,
        "refused",
        f"""
        SELECT digest, any_value(unreadable) AS record, any_value(reason) AS reason, any_value(row_key) AS key
        FROM ({_unsettled(batch.table)})
        GROUP BY digest
        HAVING digest NOT IN (SELECT digest FROM _quarantine WHERE stream = {stream})
        """,
    )
    connection.execute(
        f"""
        INSERT INTO _quarantine
            (stream, digest, reason, record, source, seen_on, key, archived_in, tombstone, tried_with)
        SELECT {stream}, digest, coalesce(reason, {literal(batch.reason)}), record, {literal(batch.source)}, {NOW}, key,
            {_date(batch.archived_in)}, {tombstones}, {literal(reading_of(batch.table.name))}
        FROM refused
        """
    )
    connection.execute(
        f"""
        DELETE FROM _quarantine
        WHERE stream = {stream} AND source = {literal(batch.source)}
            AND key IN (SELECT key FROM refused) AND digest NOT IN (SELECT digest FROM refused)
        """
    )
    return refused


def release(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    """Let go of the rows that `batch` has in a form that can be read; return how many. In the caller's transaction.

    Those stay that the batch itself has in a form that cannot, read later.
    """
    # A row may wait under a key that servers name no longer.
    keys = f"unnest([{table.key_text()}, {table.stand_in}::VARCHAR])" if table.stand_in else table.key_text()
    brought = f"""stream = {literal(table.name)} AND key IN (SELECT {keys} FROM batch)
        AND digest NOT IN (SELECT digest FROM ({_unsettled(table)}))"""
    released = count(connection, f"_quarantine WHERE {brought}")
    if released:
        connection.execute(f"DELETE FROM _quarantine WHERE {brought}")
    return released


def _unsettled(table: Table) -> str:
    """SQL of the unreadable rows of `parsed_row` that it does not have, read later, in a form that can be read."""
    return f"""
        SELECT md5(unreadable) AS digest, unreadable, reason, row_key
        FROM parsed_row
        LEFT JOIN (
            SELECT {table.key_text()} AS row_key, max(line) AS read
            FROM parsed_row WHERE unreadable IS NULL GROUP BY ALL
        ) AS readable USING (row_key)
        WHERE unreadable IS NOT NULL AND (read IS NULL OR read < line)
        """


def waiting_streams(connection: duckdb.DuckDBPyConnection) -> dict[str, bool]:
    """The streams of which rows wait, and whether some are to be tried again.

    Those that another version tried last, or with another SELECT.
    """
    waiting: dict[str, bool] = {}
    for stream, tried_with, whole in connection.execute(
        f"SELECT DISTINCT stream, tried_with, {WHOLE} FROM _quarantine"
    ).fetchall():
        waiting[stream] = waiting.get(stream, False) or (whole and tried_with != reading_of(stream))
    return waiting


def next_waiting(connection: duckdb.DuckDBPyConnection, table: Table, number: int = RETRIED_AT_ONCE) -> Waiting | None:
    """Make `tried`: up to `number` of a stream's rows that are to be tried again; None if there are none."""
    found = materialise(
        connection,
        "tried",
        f"""
        WITH waiting AS (
            SELECT *, coalesce(tombstone, false) AS dead FROM _quarantine
            WHERE stream = {literal(table.name)} AND {WHOLE}
                AND tried_with IS DISTINCT FROM {literal(reading_of(table.name))}
        ),
        origin AS (SELECT source, archived_in, dead FROM waiting ORDER BY seen_on LIMIT 1)
        SELECT row_number() OVER (ORDER BY seen_on, digest) AS line, digest, record, waiting.archived_in, dead, seen_on
        FROM waiting JOIN origin USING (source, dead)
        WHERE waiting.archived_in IS NOT DISTINCT FROM origin.archived_in
        ORDER BY line LIMIT {number}
        """,
    )
    if not found:
        return None
    rows = connection.execute("SELECT record, archived_in, dead FROM tried ORDER BY line").fetchall()
    return Waiting([text for text, *_ in rows], *rows[0][1:])


def drop_outdated(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Take out of `parsed` the rows of `tried` that the lake has as they were written, or changed, later.

    Inside the caller's transaction.
    """
    if table.stand_in:
        take_stored_keys(connection, table, "true")
    later = "stored.synced_on > tried.seen_on"
    if "modified_on" in columns_of(connection, "parsed"):
        later += " OR stored.modified_on > incoming.modified_on"
    connection.execute(
        f"""
        DELETE FROM parsed WHERE line IN (
            SELECT incoming.line
            FROM parsed AS incoming JOIN tried USING (line) JOIN "{table.name}" AS stored ON {table.same_key}
            WHERE incoming.unreadable IS NULL AND ({later})
        )
        """
    )


def settle_retried(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    """Let the rows of `tried` go that could be read, and note of the others what is wrong with them now.

    Returns how many went. After `put_aside`, of the batch that was staged of them. Inside the caller's transaction.
    """
    stream = literal(table.name)
    left = materialise(
        connection,
        "refused",
        "SELECT digest, reason, row_key FROM tried JOIN parsed USING (line) WHERE unreadable IS NOT NULL",
    )
    connection.execute(
        f"""
        DELETE FROM _quarantine
        WHERE stream = {stream} AND digest IN (SELECT digest FROM tried) AND digest NOT IN (SELECT digest FROM refused)
        """
    )
    if left:
        connection.execute(
            f"""
            MERGE INTO _quarantine AS stored USING refused AS incoming
            ON stored.stream = {stream} AND stored.digest = incoming.digest
            WHEN MATCHED THEN UPDATE
            SET reason = incoming.reason, key = incoming.row_key, tried_with = {literal(reading_of(table.name))}
            """
        )
    return count(connection, "tried") - left


def leave_waiting(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Let the rows of `tried` wait for the next version. Inside the caller's transaction."""
    connection.execute(
        f"""
        UPDATE _quarantine SET tried_with = {literal(reading_of(table.name))}
        WHERE stream = {literal(table.name)} AND digest IN (SELECT digest FROM tried)
        """
    )


@cache
def reading_of(stream: str) -> str:
    """What tells this way of reading a stream from another: Rapidlake's version, DuckDB's, and the stream's SQL."""
    folder = resources.files("warehouse.lake") / "macros"
    parts = [metadata.version("rapidlake"), duckdb.__version__, *statements(stream)]
    parts += [(folder / f"{name}.sql").read_text(encoding="utf-8") for name in MACROS]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _date(day: date | None) -> str:
    return f"{literal(day.isoformat() if day else None)}::DATE"
