"""Loads JSON lines into a table: one SELECT per stream, then one MERGE, both in DuckDB.

stage   JSON lines → a temporary view `batch`: typed, normalised, one row per key; the unreadable put aside
merge   batch → the table, rows that differ only, inside the caller's transaction
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import duckdb

from warehouse.errors import LakeError
from warehouse.literal import literal, text_list

# DuckDB's reader takes twice this much memory, in bytes, for its buffer; a longer row needs a larger one.
ROW_BUFFER = 2 * 1024 * 1024


@dataclass(frozen=True)
class Table:
    """What loading must know of a stream's table.

    key: columns that identify a row.
    never_older: a column that never goes back; a row older by it than the one in the lake is not taken.
    partitioned_by: the partition column, which never changes for a key.
    kept: columns whose value stays when a later row has none.
    """

    name: str
    key: tuple[str, ...]
    never_older: str | None = None
    partitioned_by: str | None = None
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """A staged batch: rows as read, and those that could not be read with what is wrong with the first.

    unknown_keys: keys that some row has and the table has no column for.
    missing_keys: keys that the record type has and the first row does not.
    """

    table: Table
    rows: int
    unreadable: int
    reason: str | None
    unknown_keys: list[str]
    missing_keys: list[str]


@dataclass(frozen=True)
class Loaded:
    """What a batch did to the table."""

    new: int = 0
    changed: int = 0
    quarantined: int = 0


def stage(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    files: list[Path],
    *,
    longest: int = 0,
    tombstones: bool = False,
) -> Batch:
    """Read JSON-lines files with the stream's SELECT into the temporary view `batch`.

    `longest` is the length of the longest line in bytes, as far as it is known.
    `tombstones=True` says that the rows are of the server's list of deleted ones: deleted_on becomes their modified_on.

    Raises:
        LakeError: a line is not JSON.
    """
    try:
        return _stage(connection, table, files, longest, tombstones=tombstones)
    except duckdb.InvalidInputException as error:
        raise LakeError(f"{table.name}: a row is not JSON ({str(error).splitlines()[0]}): sync again.") from error


def _stage(
    connection: duckdb.DuckDBPyConnection, table: Table, files: list[Path], longest: int, *, tombstones: bool
) -> Batch:
    known, keys_of_first = _parse(connection, table, files, longest=longest)
    columns = _columns(connection, "parsed_row")
    keys = ", ".join(f'"{column}"' for column in table.key)
    freshness = f'("{table.never_older}", line)' if table.never_older else "line"
    gone = '"modified_on"' if tombstones else "NULL::TIMESTAMPTZ"
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE winners AS
        SELECT max_by(line, {freshness}) AS line FROM parsed_row WHERE unreadable IS NULL GROUP BY {keys}
        """
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP VIEW batch AS
        SELECT {_list(columns)}, {gone} AS deleted_on, 'api' AS source, now() AS synced_on, extra
        FROM parsed_row
        WHERE line IN (SELECT line FROM winners)
        """
    )
    counted = connection.execute("SELECT count(*), count(unreadable), count(extra) FROM parsed_row").fetchone()
    rows, unreadable, extras = counted or (0, 0, 0)
    unknown = _extra_keys(connection) if extras else []
    reason = _reason(connection, table) if unreadable else None
    missing = [key for key in known if key not in keys_of_first] if keys_of_first else []
    return Batch(table, rows, unreadable, reason, unknown, missing)


def _extra_keys(connection: duckdb.DuckDBPyConnection) -> list[str]:
    found = connection.execute(
        "SELECT DISTINCT unnest(json_keys(extra)) AS key FROM parsed_row WHERE extra IS NOT NULL ORDER BY key"
    ).fetchall()
    return [key for (key,) in found]


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the macros that the streams' SELECTs use; once per connection that loads rows."""
    connection.execute(_sql("macros.sql"))


def _prepare(connection: duckdb.DuckDBPyConnection, stream: str) -> list[str]:
    """Make the stream's record type; return the keys that it knows."""
    connection.execute(_statements(stream)[0])
    described = connection.execute(f'DESCRIBE SELECT unnest(NULL::"{stream}_record")').fetchall()
    return [name for name, *_ in described]


def _parse(
    connection: duckdb.DuckDBPyConnection, table: Table, files: list[Path], *, longest: int
) -> tuple[list[str], list[str]]:
    """JSON lines → `parsed_row`: the stream's columns, line, extra, and the JSON where it could not be read.

    Returns the keys that the record type knows, and the keys of the first row.

    Raises:
        duckdb.InvalidInputException: some line breaks the reading.
    """
    known = _prepare(connection, table.name)
    reading = f"format = 'newline_delimited', maximum_object_size = {max(longest + 1, ROW_BUFFER)}"
    lines = f"read_json_objects({text_list(map(str, files))}, {reading})"
    first = connection.execute(f"SELECT json_keys(json) FROM {lines} LIMIT 1").fetchone()
    keys_of_first: list[str] = first[0] if first else []
    # Rows with just these keys, all known, need no closer look at their keys.
    usual = keys_of_first if set(keys_of_first) <= set(known) else []
    record = f'"{table.name}_record"'
    missing_key = " OR ".join(f'row."{column}" IS NULL' for column in (*table.key, *_partition(table)))
    # Without this setting DuckDB 1.5 moves casts out of the SELECT's TRY, and one bad value fails the whole batch.
    connection.execute("SET disabled_optimizers = 'unused_columns,common_subexpressions'")
    try:
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE parsed AS
            WITH lines AS (
                SELECT
                    row_number() OVER () AS line,
                    json,
                    TRY_CAST(json AS {record}) AS record,
                    json_keys(json) AS keys
                FROM {lines}
            ),
            records AS (
                SELECT
                    line,
                    json,
                    record,
                    CASE WHEN keys IS DISTINCT FROM {text_list(usual)}
                          AND NOT list_has_all({text_list(known)}, keys) THEN
                        to_json(map_from_entries(list_transform(
                            list_filter(keys, lambda key: NOT list_contains({text_list(known)}, key)),
                            lambda key: struct_pack(
                                key := key,
                                value := json_extract(json, '/' || replace(replace(key, '~', '~0'), '/', '~1'))
                            )
                        )))
                    END AS extra
                FROM lines
            ),
            selected AS (
                {_statements(table.name)[1]}
            )
            SELECT
                row,
                line,
                extra,
                CASE WHEN row IS NULL OR {missing_key} THEN json END AS unreadable
            FROM selected
            """
        )
    finally:
        connection.execute("RESET disabled_optimizers")
    connection.execute(
        "CREATE OR REPLACE TEMP VIEW parsed_row AS SELECT unnest(row), line, extra, unreadable FROM parsed"
    )
    return known, keys_of_first


def merge(connection: duckdb.DuckDBPyConnection, batch: Batch, *, tombstones: bool = False) -> Loaded:
    """Write what `batch` brings into its table, and its unreadable rows into `_quarantine`.

    Runs inside the caller's transaction. A row equal to the one in the lake is not written.
    Tombstones only mark: the values last seen of a deleted row stay.
    """
    table = batch.table
    quarantined = _quarantine(connection, batch) if batch.unreadable else 0
    columns = _columns(connection, "batch")
    matched = _matching(connection, table)
    known = _remember_stored(connection, table, matched)
    changed = _update(connection, table, columns, matched, tombstones=tombstones) if known else 0
    new = _insert(connection, table, columns)
    return Loaded(new, changed, quarantined)


def forget_batch(connection: duckdb.DuckDBPyConnection) -> None:
    """Give back the memory of the last batch."""
    connection.execute(
        "DROP TABLE IF EXISTS temp.changed; DROP TABLE IF EXISTS temp.known; DROP TABLE IF EXISTS temp.parsed"
    )


def _matching(connection: duckdb.DuckDBPyConnection, table: Table) -> str:
    """The join condition of stored and incoming rows; on partitioned tables it reads only the partitions concerned."""
    same_key = _same_key(table)
    for column in _partition(table):
        bounds = connection.execute(f'SELECT min("{column}")::VARCHAR, max("{column}")::VARCHAR FROM batch').fetchone()
        if bounds and bounds[0]:
            same_key += f""" AND stored."{column}" BETWEEN '{bounds[0]}'::TIMESTAMPTZ AND '{bounds[1]}'::TIMESTAMPTZ"""
    return same_key


def _same_key(table: Table) -> str:
    return " AND ".join(f'stored."{column}" = incoming."{column}"' for column in table.key)


def _remember_stored(connection: duckdb.DuckDBPyConnection, table: Table, matched: str) -> int:
    """Make `known`: the stored rows whose keys the batch has; return how many."""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE known AS
        SELECT stored.* FROM "{table.name}" AS stored SEMI JOIN batch AS incoming ON {matched}
        """
    )
    found = connection.execute("SELECT count(*) FROM known").fetchone()
    return found[0] if found else 0


def _insert(connection: duckdb.DuckDBPyConnection, table: Table, columns: list[str]) -> int:
    """Append the rows of `batch` whose keys are not stored; return how many."""
    found = connection.execute(
        f"""
        INSERT INTO "{table.name}" ({_list(columns)})
        SELECT {_list(columns)} FROM batch ANTI JOIN known USING ({_list(list(table.key))})
        """
    ).fetchone()
    return found[0] if found else 0


def _update(
    connection: duckdb.DuckDBPyConnection, table: Table, columns: list[str], matched: str, *, tombstones: bool
) -> int:
    """Write the stored rows that `batch` has with other values; return how many."""
    marks = ("deleted_on", "modified_on", "source", "synced_on")
    kept = [column for column in columns if column not in marks] if tombstones else list(table.kept)
    final = ", ".join(f'{_final(column, kept, tombstones=tombstones)} AS "{column}"' for column in columns)
    differs = " OR ".join(
        f'stored."{column}" IS DISTINCT FROM {_final(column, kept, tombstones=tombstones)}'
        for column in columns
        if column not in ("source", "synced_on")
    )
    newer = (
        f' AND coalesce(stored."{table.never_older}" <= incoming."{table.never_older}", true)'
        if table.never_older
        else ""
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE changed AS
        SELECT {final}
        FROM batch AS incoming JOIN known AS stored ON {_same_key(table)}
        WHERE ({differs}){newer}
        """
    )
    found = connection.execute("SELECT count(*) FROM changed").fetchone()
    if found and found[0]:
        updates = ", ".join(f'"{column}" = incoming."{column}"' for column in columns if column not in table.key)
        connection.execute(
            f"""
            MERGE INTO "{table.name}" AS stored USING changed AS incoming ON {matched}
            WHEN MATCHED THEN UPDATE SET {updates}
            """
        )
    return found[0] if found else 0


def _final(column: str, kept: list[str], *, tombstones: bool) -> str:
    """The value a column has after `incoming` met `stored`."""
    if column not in kept:
        return f'incoming."{column}"'
    return f'stored."{column}"' if tombstones else f'coalesce(incoming."{column}", stored."{column}")'


def _quarantine(connection: duckdb.DuckDBPyConnection, batch: Batch) -> int:
    """Put the unreadable rows aside, each once; return how many are new there."""
    stream = literal(batch.table.name)
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE refused AS
        SELECT md5(unreadable) AS digest, any_value(unreadable) AS record
        FROM parsed_row
        WHERE unreadable IS NOT NULL
        GROUP BY digest
        HAVING digest NOT IN (SELECT digest FROM _quarantine WHERE stream = {stream})
        """
    )
    connection.execute(
        f"""
        INSERT INTO _quarantine (stream, digest, reason, record, source, seen_on)
        SELECT {stream}, digest, {literal(batch.reason)}, record, 'api', now() FROM refused
        """
    )
    found = connection.execute("SELECT count(*) FROM refused").fetchone()
    return found[0] if found else 0


def _reason(connection: duckdb.DuckDBPyConnection, table: Table) -> str:
    """What DuckDB says of the first unreadable row when it is read without TRY, in a database of its own."""
    record = connection.execute(
        "SELECT unreadable FROM parsed_row WHERE unreadable IS NOT NULL ORDER BY line LIMIT 1"
    ).fetchone()
    with duckdb.connect() as apart:
        prepare(apart)
        apart.execute(_statements(table.name)[0])
        apart.execute(
            f"""
            CREATE TEMP TABLE records AS
            SELECT 1 AS line, json, TRY_CAST(json AS "{table.name}_record") AS record, NULL::JSON AS extra
            FROM (SELECT {literal(record[0] if record else None)}::JSON AS json)
            """
        )
        try:
            apart.execute(_statements(table.name)[1].replace("TRY(", "(", 1)).fetchall()
        except duckdb.ConversionException as error:
            return str(error).splitlines()[0].removeprefix("Conversion Error: ")
    return f"{' or '.join((*table.key, *_partition(table)))} is missing"


def note_drift(connection: duckdb.DuckDBPyConnection, drift: Iterable[tuple[str, str, str]]) -> None:
    """Remember (stream, key, kind) where kind is `unknown` or `missing`, each once; inside the caller's transaction."""
    noted = set(connection.execute("SELECT stream, key, kind FROM _drift").fetchall())
    for row in sorted(set(drift) - noted):
        values = ", ".join(map(literal, row))
        connection.execute(f"INSERT INTO _drift (stream, key, kind, first_seen_on) VALUES ({values}, now())")


def missing_keys(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    """How many rows of the table, not marked deleted, were not seen by the reading that `remember_keys` followed."""
    found = connection.execute(f"SELECT count(*) FROM ({_unseen(table)})").fetchone()
    return found[0] if found else 0


def remember_keys(connection: duckdb.DuckDBPyConnection, table: Table, *, fresh: bool) -> None:
    """Note the keys of `batch` as seen by a reading of everything; `fresh` begins a new reading."""
    keys = _list(list(table.key))
    if fresh:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {_seen(table)} AS SELECT {keys} FROM batch")
    else:
        connection.execute(f"INSERT INTO {_seen(table)} SELECT {keys} FROM batch")


def mark_deleted(connection: duckdb.DuckDBPyConnection, table: Table) -> int:
    """Set deleted_on for the rows that were not seen; return how many. Runs inside the caller's transaction."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE unseen AS {_unseen(table)}")
    matched = " AND ".join(f'stored."{column}" = unseen."{column}"' for column in table.key)
    found = connection.execute("SELECT count(*) FROM unseen").fetchone()
    if found and found[0]:
        connection.execute(
            f"""
            MERGE INTO "{table.name}" AS stored USING unseen ON {matched}
            WHEN MATCHED THEN UPDATE SET deleted_on = now(), synced_on = now()
            """
        )
    return found[0] if found else 0


def _unseen(table: Table) -> str:
    keys = _list(list(table.key))
    return f'SELECT {keys} FROM "{table.name}" WHERE deleted_on IS NULL EXCEPT SELECT {keys} FROM {_seen(table)}'


def _seen(table: Table) -> str:
    return f'"seen {table.name}"'


def _partition(table: Table) -> tuple[str, ...]:
    return (table.partitioned_by,) if table.partitioned_by else ()


def _columns(connection: duckdb.DuckDBPyConnection, relation: str) -> list[str]:
    described = connection.execute(f"DESCRIBE {relation}").fetchall()
    return [
        name
        for name, *_ in described
        if name not in ("line", "extra", "unreadable") or (relation == "batch" and name == "extra")
    ]


def _list(columns: list[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _statements(stream: str) -> list[str]:
    """The two statements of a stream's file: its record type, and its SELECT."""
    return [statement.query.strip().rstrip(";") for statement in duckdb.extract_statements(_sql(f"rows/{stream}.sql"))]


def _sql(name: str) -> str:
    return (resources.files("warehouse") / name).read_text(encoding="utf-8")
