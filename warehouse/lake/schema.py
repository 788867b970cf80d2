"""Creates the tables of a lake from the `.sql` files, and adds what a later version of them brings.

The files are the one description of the tables. They run in an empty database in memory, and the lake is compared
with the result: DuckDB reads the SQL, no code of ours does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType

import duckdb

from warehouse.errors import LakeIsNewer
from warehouse.lake.clock import NOW
from warehouse.lake.literal import literal
from warehouse.lake.retype import retype

# What a lake knows of a column: its type, NOT NULL or empty, and its comment.
Known = tuple[str, str, str | None]

# Grows when a lake of this version can no longer be read by the one before it.
FORMAT = 2

# What every stream's table has beside the columns of its own file.
COMMON_COLUMNS = {
    "deleted_on": (
        "TIMESTAMPTZ",
        "When the server was first seen to have this row no longer (UTC); null while it has it.",
    ),
    "source": ("VARCHAR", "archive if an archive file has the row, else api."),
    "synced_on": ("TIMESTAMPTZ", "When Rapidlake last wrote this row (UTC); unchanged rows are not written again."),
    "extra": (
        "JSON",
        "Keys the server sent that this version of Rapidlake has no column for, each where it stood; null if none.",
    ),
}


def table_files() -> Iterator[Traversable]:
    """The `.sql` files of the streams' tables, by name."""
    yield from sorted(
        (file for file in (resources.files("warehouse") / "tables").iterdir() if file.name.endswith(".sql")),
        key=lambda file: file.name,
    )


@dataclass(frozen=True)
class ColumnDescription:
    """A column: DuckDB's type, and what it means."""

    name: str
    type: str
    nullable: bool
    comment: str


@dataclass(frozen=True)
class TableDescription:
    """A table: what a row of it is, and its columns in order."""

    name: str
    comment: str
    columns: tuple[ColumnDescription, ...]


@cache  # DuckDB reads 650 statements for it: 0.3 CPU-seconds
def describe_tables() -> Mapping[str, TableDescription]:
    """The tables of a lake of this version, by name; needs no lake."""
    with _declared() as declared:
        comments = dict(declared.execute("SELECT table_name, comment FROM duckdb_tables()").fetchall())
        described = {
            table: TableDescription(
                table,
                comments[table] or "",
                tuple(
                    ColumnDescription(name, kind, not null, comment or "")
                    for name, (kind, null, comment) in columns.items()
                ),
            )
            for table, columns in _columns(declared, "memory").items()
        }
        return MappingProxyType(described)  # the same one for everybody


def partitioned_tables() -> set[str]:
    """The tables that are kept in a folder per year and month."""
    return {_table_of(statement) for file in table_files() for statement in filter(_is_partitioning, _statements(file))}


def check_format(connection: duckdb.DuckDBPyConnection, path: Path) -> str | None:
    """Refuse a lake, at `path`, of a later format; return the fingerprint of its tables, None if it has none yet.

    Raises:
        LakeIsNewer: this version does not know the lake's format.
    """
    try:  # to ask for a list of tables first costs twice as much, at every opening
        found, known = connection.execute("SELECT format, schema_fingerprint FROM _lake").fetchall()[0]
    except duckdb.CatalogException as error:
        if "Table with name _lake does not exist" not in str(error):
            raise
        return None
    if found > FORMAT:
        raise LakeIsNewer(
            f"The lake {path} has format {found}, this version knows {FORMAT}: "
            "upgrade rapidlake (pip install -U rapidlake)."
        )
    return str(known)


def fingerprint() -> str:
    """What tells this version's tables from another's."""
    digest = hashlib.sha256(repr((FORMAT, COMMON_COLUMNS)).encode())
    for file in table_files():
        digest.update(file.read_bytes())
    return digest.hexdigest()


@cache
def fingerprint_of_reading() -> str:
    """What tells the way in which this version makes columns of a row's JSON from another's: its macros and SELECTs."""
    digest = hashlib.sha256(fingerprint().encode())
    for folder in ("lake/macros", "parsing/rows"):
        files = (resources.files("warehouse") / folder).iterdir()
        for file in sorted((file for file in files if file.name.endswith(".sql")), key=lambda file: file.name):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _statements(file: Traversable) -> list[str]:
    return [statement.query.strip() for statement in duckdb.extract_statements(file.read_text(encoding="utf-8"))]


def _is_partitioning(statement: str) -> bool:
    return "SET PARTITIONED BY" in statement.upper()


def _table_of(statement: str) -> str:
    """The name in ALTER TABLE <name> SET PARTITIONED BY ..."""
    return statement.split()[2]


def _declared() -> duckdb.DuckDBPyConnection:
    """An empty database in memory with all tables as the files declare them."""
    connection = duckdb.connect(config={"threads": 1})
    for file in table_files():
        for statement in _statements(file):
            if not _is_partitioning(statement):  # plain DuckDB does not know it
                connection.execute(statement)
    for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        if (resources.files("warehouse") / "parsing" / "rows" / f"{table}.sql").is_file():
            for column, (kind, comment) in COMMON_COLUMNS.items():
                connection.execute(f'ALTER TABLE "{table}" ADD COLUMN "{column}" {kind}')
                connection.execute(f'COMMENT ON COLUMN "{table}"."{column}" IS {literal(comment)}')
    return connection


def bring_up(lake: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Bring the tables of the lake at `path` to this version: new tables, columns, types and comments.

    Nothing is ever dropped but that a column must have a value. Inside the caller's transaction.

    Raises:
        LakeIsOther: a column has another type, which cannot become this version's.
    """
    have = _columns(lake, "lake")
    for table in describe_tables().values():
        known = have.get(table.name, {})
        if not known:
            definitions = ", ".join(f'"{one.name}" {one.type}{_null(one)}' for one in table.columns)
            lake.execute(f'CREATE TABLE "{table.name}" ({definitions})')
        for column in table.columns:
            if known:
                _bring_up_column(lake, table.name, column, known.get(column.name), path)
            if column.comment and (column.name not in known or known[column.name][2] != column.comment):
                lake.execute(f'COMMENT ON COLUMN "{table.name}"."{column.name}" IS {literal(column.comment)}')
    for table in describe_tables().values():
        if table.comment:
            lake.execute(f'COMMENT ON TABLE "{table.name}" IS {literal(table.comment)}')
    for file in table_files():
        for statement in filter(_is_partitioning, _statements(file)):
            if _table_of(statement) not in have:
                lake.execute(statement)
    if have.get("_lake"):
        lake.execute(f"UPDATE _lake SET format = {FORMAT}, schema_fingerprint = {literal(fingerprint())}")
    else:
        lake.execute(
            "INSERT INTO _lake (format, schema_fingerprint, created_on, extra_read_with) "
            f"VALUES ({FORMAT}, {literal(fingerprint())}, {NOW}, {literal(fingerprint_of_reading())})"
        )


def _bring_up_column(
    lake: duckdb.DuckDBPyConnection, table: str, column: ColumnDescription, known: Known | None, path: Path
) -> None:
    """Add a column to a table that the lake has, or change its type."""
    if not known:
        lake.execute(f'ALTER TABLE "{table}" ADD COLUMN "{column.name}" {column.type}')
        return
    kind, null, _ = known
    if kind != column.type:
        retype(lake, table, column.name, kind, column.type, path)
    if null and column.nullable:
        lake.execute(f'ALTER TABLE "{table}" ALTER COLUMN "{column.name}" DROP NOT NULL')


def _null(column: ColumnDescription) -> str:
    return "" if column.nullable else " NOT NULL"


def _columns(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, dict[str, Known]]:
    """Table → column → what is known of it."""
    found: dict[str, dict[str, Known]] = {}
    for table, column, kind, nullable, comment in connection.execute(
        f"""
        SELECT table_name, column_name, data_type, is_nullable, comment
        FROM duckdb_columns()
        WHERE database_name = {literal(database)}
        ORDER BY table_name, column_index
        """
    ).fetchall():
        found.setdefault(table, {})[column] = (kind, "" if nullable else " NOT NULL", comment)
    return found
