"""Writes tables and views into a folder, for tools that read Parquet or CSV: Spark, Athena, BigQuery, R."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb

from warehouse.asking.spreadsheet import as_text, heading, may_run
from warehouse.declared import kind_of
from warehouse.errors import ExportError, PlaceRefused
from warehouse.lake.connection import Lake
from warehouse.lake.failures import explain
from warehouse.lake.literal import literal
from warehouse.lake.schema import partitioned_tables
from warehouse.private import hand_over
from warehouse.scratch import scratch
from warehouse.views.names import identifier

Format = Literal["parquet", "csv"]
# Names what Rapidlake wrote, so that nothing else is ever replaced.
MARK = ".rapidlake-export"


@dataclass(frozen=True)
class Exported:
    """A table or view that was written: its folder, and how many rows it has."""

    name: str
    folder: str
    rows: int


def export(lake: Lake, folder: Path, *, kind: Format, names: Sequence[str] = (), raw: bool = False) -> list[Exported]:
    """Write tables and views, all of one state of the lake, each into a folder of its own; all of them for none named.

    An earlier export in `folder` is replaced when the new one is whole. Messages and runs are split into folders
    year=/month= (UTC). UUID and JSON become text; in CSV nested values do too, as JSON, and what a spreadsheet would
    run is made text, unless `raw`. The lake must be open without a guard.

    Raises:
        ExportError: there is no table of a name.
        PlaceRefused: the folder holds something else, or cannot be written.
    """
    try:
        _refuse_others(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with scratch(folder.parent) as own:
            partial = own / "export"
            partial.mkdir()
            (partial / MARK).touch()
            done = _write_all(lake, partial, kind, names, raw)
            hand_over(partial)
            if folder.exists():  # out of the way first: to delete it may take long, and be interrupted
                folder.replace(own / "earlier")
            partial.replace(folder)
    except OSError as error:
        raise PlaceRefused(f"{folder} cannot be written ({kind_of(error)}).") from None
    return done


def _refuse_others(folder: Path) -> None:
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).exists()):
        raise PlaceRefused(f"{folder} is there and holds no export.")


def _write_all(lake: Lake, folder: Path, kind: Format, names: Sequence[str], raw: bool) -> list[Exported]:
    with lake.raw_connection() as connection:
        connection.begin()  # all tables as of one commit
        try:
            return [
                _write(connection, folder, schema, name, kind, raw) for schema, name in _chosen(connection, lake, names)
            ]
        except duckdb.Error as error:
            raise explain(error, lake.path) from None
        finally:
            connection.rollback()


def _chosen(connection: duckdb.DuckDBPyConnection, lake: Lake, names: Sequence[str]) -> list[tuple[str, str]]:
    """(schema, name) of what was asked for."""
    found = connection.execute(
        """
        SELECT table_schema, table_name FROM information_schema.tables
        WHERE table_catalog = 'lake' AND NOT starts_with(table_name, '_')
        ORDER BY table_schema, table_name
        """
    ).fetchall()
    known = {name if schema == "main" else f"{schema}.{name}": (schema, name) for schema, name in found}
    if unknown := [name for name in names if name not in known]:
        raise ExportError(
            f"The lake {lake.path} has no table or view {', '.join(unknown)}; `SHOW ALL TABLES` lists them."
        )
    return [known[name] for name in names or known]


def _write(
    connection: duckdb.DuckDBPyConnection, folder: Path, schema: str, name: str, kind: Format, raw: bool
) -> Exported:
    place = folder / (name if schema == "main" else f"{schema}.{name}")
    columns = connection.execute(f"DESCRIBE {schema}.{identifier(name)}").fetchall()
    selected = [_portable(column, type_name, kind, raw) for column, type_name, *_ in columns]
    split = name in partitioned_tables() and schema == "main"
    if split:
        selected += ["year(created_on) AS year", "month(created_on) AS month"]
    options = [f"FORMAT {kind}", "COMPRESSION zstd" if kind == "parquet" else "HEADER true"]
    place.mkdir()
    target = place if split else place / f"{name}.{kind}"
    if split:
        options += ["PARTITION_BY (year, month)", "OVERWRITE_OR_IGNORE true"]
    copied = connection.execute(
        f"COPY (SELECT {', '.join(selected)} FROM {schema}.{identifier(name)}) "
        f"TO {literal(str(target))} ({', '.join(options)})"
    ).fetchone()
    return Exported(name if schema == "main" else f"{schema}.{name}", place.name, copied[0] if copied else 0)


def _portable(column: str, type_name: str, kind: Format, raw: bool) -> str:
    """SQL of a column in a type that every reader of the format knows."""
    name = identifier(column)
    nested = any(mark in type_name for mark in ("STRUCT(", "MAP(", "[]"))
    if nested and kind == "csv":
        value = f"to_json({name})::VARCHAR"
    elif kind == "csv" and not raw and may_run(type_name):
        value = as_text(name)
    elif nested or type_name in ("UUID", "JSON"):
        value = f"{name}::{type_name.replace('UUID', 'VARCHAR').replace('JSON', 'VARCHAR')}"
    else:
        value = name
    return f"{value} AS {name if kind != 'csv' or raw else identifier(heading(column))}"
