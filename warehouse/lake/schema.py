"""Creates the tables of a lake from the `.sql` files, and adds what a later version of them brings.

The files are the one description of the tables. They run in an empty database in memory, and the lake is compared
with the result: DuckDB reads the SQL, no code of ours does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import duckdb

from warehouse.errors import LakeIsNewer
from warehouse.lake.literal import literal
from warehouse.lake.retype import retype

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


def describe_tables() -> dict[str, TableDescription]:
    """The tables of a lake of this version, by name; needs no lake."""
    with _declared() as declared:
        comments = dict(declared.execute("SELECT table_name, comment FROM duckdb_tables()").fetchall())
        return {
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
    with _declared() as declared:
        _bring_up(lake, declared, path)


def _bring_up(lake: duckdb.DuckDBPyConnection, declared: duckdb.DuckDBPyConnection, path: Path) -> None:
    have = _columns(lake, "lake")
    for table, columns in _columns(declared, "memory").items():
        if table not in have:
            definitions = ", ".join(f'"{name}" {kind}{null}' for name, (kind, null, _) in columns.items())
            lake.execute(f'CREATE TABLE "{table}" ({definitions})')
        for name, (kind, null, comment) in columns.items():
            known = have.get(table, {})
            if known and name not in known:
                lake.execute(f'ALTER TABLE "{table}" ADD COLUMN "{name}" {kind}')
            elif known and known[name][0] != kind:
                retype(lake, table, name, known[name][0], kind, path)
            if name in known and known[name][1] and not null:
                lake.execute(f'ALTER TABLE "{table}" ALTER COLUMN "{name}" DROP NOT NULL')
            if comment and (name not in known or known[name][2] != comment):
                lake.execute(f'COMMENT ON COLUMN "{table}"."{name}" IS {literal(comment)}')
    for table, comment in declared.execute("SELECT table_name, comment FROM duckdb_tables()").fetchall():
        if comment:
            lake.execute(f'COMMENT ON TABLE "{table}" IS {literal(comment)}')
    for file in table_files():
        for statement in filter(_is_partitioning, _statements(file)):
            if _table_of(statement) not in have:
                lake.execute(statement)
    if have.get("_lake"):
        lake.execute(f"UPDATE _lake SET format = {FORMAT}, schema_fingerprint = {literal(fingerprint())}")
    else:
        lake.execute(
            "INSERT INTO _lake (format, schema_fingerprint, created_on, extra_read_with) "
            f"VALUES ({FORMAT}, {literal(fingerprint())}, now(), {literal(fingerprint_of_reading())})"
        )


def _columns(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, dict[str, tuple[str, str, str | None]]]:
    """Table → column → (type, NOT NULL or empty, comment)."""
    found: dict[str, dict[str, tuple[str, str, str | None]]] = {}
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
