"""Holds what the server has against the lake, row by row: missing, stale, double, unexpectedly alive."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import date, datetime

import duckdb

from warehouse.lake.inlining import safe_from_text
from warehouse.lake.literal import literal, text_list
from warehouse.lake.table import Table, columns_of, count, materialise, quoted
from warehouse.loading.absence import mark_deleted
from warehouse.loading.changes import find_changed, find_known, find_moved
from warehouse.loading.merge import partitions
from warehouse.loading.stage import Batch
from warehouse.loading.stand_ins import keys_as_stored
from warehouse.proof.findings import KINDS, SHOWN_EXAMPLES, Finding

# What is noted of a row besides what the server's row shows: as long as it is looked for, and when it was.
NOT_BROUGHT = "('double', 'unseen', 'unknown', 'undecided')"

_NUMBERS = itertools.count()


class HeldRows:
    """What is found of each row of a table that is held against the server, in temporary tables of its own."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: Table) -> None:
        """Begin: nothing is found yet."""
        self.table = table
        number = next(_NUMBERS)
        self._found, self._unread = f'"held {table.name} {number}"', f'"unread {table.name} {number}"'
        connection.execute(
            f"""
            CREATE TEMP TABLE {self._found} AS
            SELECT {table.select_keys()}, NULL::DATE AS day, '' AS kind FROM "{table.name}" WHERE false
            """
        )
        connection.execute(f"CREATE TEMP TABLE {self._unread} (digest VARCHAR, key VARCHAR)")
        kinds = {
            kind for _, kind, *_ in connection.execute(f"DESCRIBE {self._found}").fetchall()[: len(table.key_columns)]
        }
        self._keys_are_text = "VARCHAR" in kinds

    def compare_batch(
        self,
        connection: duckdb.DuckDBPyConnection,
        batch: Batch,
        on: str | None,
        read_up_to: datetime | None,
        *,
        tombstones: bool = False,
    ) -> None:
        """Note for each row of `batch` whether the lake has it, as it is.

        `on` is the date of the stream; rows that changed after `read_up_to` are pending, not wrong.
        """
        table = self.table
        within = partitions(connection, table)
        if table.stand_in:
            keys_as_stored(connection, table, within)
        find_known(connection, table, f"{table.same_key} AND {within}")
        find_changed(connection, table, tombstones=tombstones, besides=table.counters, by_reference=True)
        if table.moved_by and find_moved(connection, table, besides=table.counters):
            connection.execute(f"DELETE FROM changed WHERE {_among(table, 'moved')}")
        columns = columns_of(connection, "batch")
        dates = [f'"{column}"' for column in ("modified_on", on) if column and column in columns]
        later = f"coalesce({', '.join(dates)}) > {literal(read_up_to)}" if dates and read_up_to else "false"
        connection.execute(
            f"""
            INSERT INTO {self._found}
            SELECT {table.select_keys()}, {_day(on)},
                CASE
                    WHEN {_among(table, "known")} AND NOT {_among(table, "changed")} THEN 'same'
                    WHEN coalesce({later}, false) THEN 'pending'
                    WHEN NOT {_among(table, "known")} THEN 'missing'
                    {"WHEN deleted_on IS NOT NULL THEN 'alive'" if table.longest_name else ""}
                    ELSE '{"alive" if tombstones else "stale"}'
                END
            FROM batch
            """
        )
        if batch.unreadable:
            connection.execute(
                f"""
                INSERT INTO {self._unread}
                SELECT md5(unreadable), row_key FROM parsed_row WHERE unreadable IS NOT NULL
                """
            )

    def find_unreadable(self, connection: duckdb.DuckDBPyConnection) -> Finding | None:
        """What could not be read: of the server's rows, and of those in quarantine whose keys are nowhere else."""
        table = self.table
        rows = connection.execute(
            f"""
            SELECT DISTINCT digest, key, {self._shown("key")} FROM {self._unread}
            UNION
            SELECT digest, key, {self._shown("key")} FROM _quarantine
            WHERE stream = {literal(table.name)}
                AND (key IS NULL OR key NOT IN (SELECT {table.key_text()} FROM "{table.name}"))
                AND (key IS NULL OR key NOT IN
                    (SELECT {table.key_text()} FROM {self._found} WHERE kind NOT IN ('unseen', 'unknown', 'undecided')))
            ORDER BY ALL
            """
        ).fetchall()
        if not rows:
            return None
        examples = tuple(f"unreadable {key or f'row {digest}'}" for digest, _, key in rows[:SHOWN_EXAMPLES])
        return Finding(table.name, None, unreadable=len(rows), examples=examples)

    def mark_pending(self, connection: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> None:
        """Count these keys, of one column, as changed after the last sync where they differ."""
        connection.execute(
            f"""
            UPDATE {self._found} SET kind = 'pending'
            WHERE kind IN ('missing', 'stale') AND {self.table.key_text()} IN (SELECT unnest({text_list(keys)}))
            """
        )

    def find_alive(self, connection: duckdb.DuckDBPyConnection, on: str | None, within: str) -> int:
        """Note the live rows `within` a condition (SQL) that the server did not bring; return how many."""
        connection.execute(f"DELETE FROM {self._found} WHERE kind IN ('unseen', 'unknown')")
        self._note_not_brought(connection, on, within, "unseen")
        return count(connection, f"{self._found} WHERE kind = 'unseen'")

    def find_unknown(self, connection: duckdb.DuckDBPyConnection, on: str | None, within: str) -> int:
        """Note, after `find_alive` and besides its rows, those of which nothing is known; return how many."""
        self._note_not_brought(connection, on, within, "unknown")
        return count(connection, f"{self._found} WHERE kind = 'unknown'")

    def _note_not_brought(self, connection: duckdb.DuckDBPyConnection, on: str | None, within: str, kind: str) -> None:
        """Note as `kind` the live rows `within` a condition that the server did not bring, and are not sought yet."""
        table = self.table
        connection.execute(
            f"""
            INSERT INTO {self._found}
            SELECT DISTINCT {table.select_keys("stored")}, {_day(on)}, '{kind}'
            FROM (FROM "{table.name}" WHERE deleted_on IS NULL AND ({within})) AS stored
            ANTI JOIN (FROM {self._found} WHERE kind NOT IN ('double', 'undecided')) AS incoming ON {table.same_key}
            """
        )

    def count_undecided(self, connection: duckdb.DuckDBPyConnection) -> int:
        """How many rows were left as unknown, and not brought since either."""
        distinct = self.table.distinct
        brought = f"SELECT {distinct} FROM {self._found} WHERE kind NOT IN {NOT_BROUGHT}"
        undecided = f"{self._found} WHERE kind = 'undecided' AND {distinct} NOT IN ({brought})"
        return count(connection, f"(SELECT DISTINCT {distinct} FROM {undecided})")

    def still_alive(self, connection: duckdb.DuckDBPyConnection, within: str) -> int:
        """Keep of what `find_alive` noted the rows not brought since, and live `within` a condition (SQL); how many.

        Of what `find_unknown` noted, those not brought since.
        """
        table = self.table
        connection.execute(
            f"""
            DELETE FROM {self._found} WHERE kind IN ('unseen', 'unknown') AND (
                {table.distinct} IN (SELECT {table.distinct} FROM {self._found} WHERE kind NOT IN {NOT_BROUGHT})
                OR kind = 'unseen' AND {table.distinct} NOT IN
                    (SELECT {table.distinct} FROM "{table.name}" WHERE deleted_on IS NULL AND ({within}))
            )
            """
        )
        return count(connection, f"{self._found} WHERE kind = 'unseen'")

    def count_unknown(self, connection: duckdb.DuckDBPyConnection) -> int:
        """How many of the rows that `find_unknown` noted the last `still_alive` has kept."""
        return count(connection, f"{self._found} WHERE kind = 'unknown'")

    def alive_keys(self, connection: duckdb.DuckDBPyConnection, *, unknown: bool = False) -> list[tuple[object, ...]]:
        """The keys that `find_alive` noted; `unknown`: also those that `find_unknown` did."""
        kinds = "('unseen', 'unknown')" if unknown else "('unseen')"
        keys = quoted(self.table.key_columns)
        return connection.execute(f"SELECT {keys} FROM {self._found} WHERE kind IN {kinds}").fetchall()

    def mark_alive(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Set deleted_on for the rows that `find_alive` noted; return how many. Inside the caller's transaction."""
        return mark_deleted(connection, self.table, self._alive)

    @property
    def _alive(self) -> str:
        return f"(SELECT {quoted(self.table.key_columns)} FROM {self._found} WHERE kind = 'unseen')"

    def find_doubles(self, connection: duckdb.DuckDBPyConnection, on: str | None) -> None:
        """Note the keys that stand more than once in the lake."""
        table = self.table
        connection.execute(
            f"""
            INSERT INTO {self._found}
            SELECT {table.select_keys()}, {_day(f"any_value({on})" if on else None, quoted=False)}, 'double'
            FROM "{table.name}" GROUP BY {", ".join(table.identity())} HAVING count(*) > 1
            """
        )

    def find_rows_of_deleted_contacts(self, connection: duckdb.DuckDBPyConnection, on: str | None) -> None:
        """Note the live rows of contacts that are deleted in the lake."""
        table = self.table
        if not table.contact:
            return
        connection.execute(
            f"""
            INSERT INTO {self._found}
            SELECT DISTINCT {table.select_keys()}, {_day(on)}, 'alive' FROM "{table.name}"
            WHERE deleted_on IS NULL
              AND "{table.contact}" IN (SELECT uuid FROM contacts WHERE deleted_on IS NOT NULL)
              AND {table.distinct} NOT IN
                  (SELECT {table.distinct} FROM {self._found} WHERE kind IN ('alive', 'unseen', 'left alive'))
            """
        )

    def settle_unseen(self, connection: duckdb.DuckDBPyConnection, *, marked: bool) -> None:
        """Keep what `find_alive` noted, as marked or left alive, and what `find_unknown` did as undecided."""
        kind = "alive" if marked else "left alive"
        connection.execute(
            f"""
            UPDATE {self._found} SET kind = CASE kind WHEN 'unseen' THEN '{kind}' ELSE 'undecided' END
            WHERE kind IN ('unseen', 'unknown')
            """
        )

    def rows_by_day(self, connection: duckdb.DuckDBPyConnection, first: date | None, last: date) -> dict[date, int]:
        """Day (UTC) → rows of it that the server listed, of the days `first` (None: the beginning) to `last`."""
        since = f"day >= DATE '{first}'" if first else "day IS NOT NULL"
        rows = connection.execute(
            f"""
            SELECT day, count(DISTINCT {self.table.key_text()}) FROM {self._found}
            WHERE {since} AND day <= DATE '{last}' AND kind NOT IN {NOT_BROUGHT} AND kind <> 'left alive' GROUP BY day
            """
        ).fetchall()
        return dict(rows)

    def differing_days(self, connection: duckdb.DuckDBPyConnection, *, repaired: bool) -> set[date]:
        """The days (UTC) with differences, of a verification that repairs those that it has left, or undecided rows."""
        found = (
            "'left alive', 'undecided'"
            if repaired
            else "'missing', 'stale', 'double', 'alive', 'left alive', 'undecided'"
        )
        rows = connection.execute(f"SELECT DISTINCT day FROM {self._found} WHERE kind IN ({found})").fetchall()
        return {day for (day,) in rows if day}

    def summarise(self, connection: duckdb.DuckDBPyConnection, *, repaired: bool) -> list[Finding]:
        """What was found, by month."""
        rows = connection.execute(
            f"""
            WITH found AS (
                SELECT {self.table.key_text()} AS key, date_trunc('month', day)::DATE AS month,
                    CASE kind WHEN 'left alive' THEN 'alive' ELSE kind END AS kind,
                    bool_or(kind = 'left alive') AS alive
                FROM {self._found} WHERE kind NOT IN ('unseen', 'unknown', 'undecided') GROUP BY key, month, 3
            )
            SELECT month, count(DISTINCT key) FILTER (kind NOT IN ('double', 'alive', 'pending')),
                {", ".join(f"count(*) FILTER (kind = '{kind}')" for kind in (*KINDS, "pending"))},
                count(*) FILTER ({repaired} AND kind IN {KINDS} AND NOT alive),
                coalesce(
                    list(kind || ' ' || {self._shown("key")} ORDER BY kind, key) FILTER (kind IN {KINDS}), []
                )[:{SHOWN_EXAMPLES}]
            FROM found GROUP BY month ORDER BY month DESC NULLS LAST
            """
        ).fetchall()
        names = ("month", "compared", *KINDS, "pending", "repaired")
        return [
            Finding(self.table.name, examples=tuple(examples), **dict(zip(names, row, strict=True)))
            for *row, examples in rows
        ]

    def _shown(self, key: str) -> str:
        """SQL of how a key is shown: one of a number or a uuid as it is, one that people wrote by its MD5."""
        return f"'MD5 ' || md5({key})" if self._keys_are_text else key

    def remove_doubles(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Leave one row, the one written last, of each key that stands more than once; return how many keys."""
        table = self.table
        doubles = f"(SELECT {table.distinct} FROM {self._found} WHERE kind = 'double')"
        kept = materialise(
            connection,
            "kept",
            f"""
            SELECT DISTINCT ON ({", ".join(table.identity())}) * FROM "{table.name}" WHERE {table.distinct} IN {doubles}
            ORDER BY synced_on DESC
            """,
        )
        if kept:
            connection.execute(
                f'DELETE FROM "{table.name}" WHERE {table.distinct} IN (SELECT {table.distinct} FROM kept)'
            )
            with safe_from_text(connection, "kept"):
                connection.execute(f'INSERT INTO "{table.name}" BY NAME SELECT * FROM kept')
        return kept

    def forget(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Give back the memory."""
        for name in (self._found, self._unread):
            connection.execute(f"DROP TABLE IF EXISTS temp.{name}")


def _among(table: Table, relation: str) -> str:
    return f"{table.distinct} IN (SELECT {table.distinct} FROM {relation})"


def _day(on: str | None, *, quoted: bool = True) -> str:
    column = f'"{on}"' if quoted else on
    if not on:
        return "NULL"
    # Python knows no other years.
    return f"greatest(least(({column} AT TIME ZONE 'UTC')::DATE, DATE '9999-12-31'), DATE '0001-01-01')"
