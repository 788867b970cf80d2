"""Finds rows in the catalog that are not read back as they were written, and drops them.

Earlier versions left them there; why, `warehouse.lake.inlining` says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import duckdb

from warehouse.lake.connection import Lake
from warehouse.lake.inlining import is_nested

METADATA = "__ducklake_metadata_lake"


@dataclass(frozen=True)
class _Inlined:
    """A table of the catalog with rows of a table of the lake, and its columns with nested values: name → type."""

    table: str
    name: str
    nested: dict[str, str]

    @property
    def relation(self) -> str:
        return f'{METADATA}."{self.name}"'

    @property
    def mangled(self) -> str:
        """SQL: the condition that a value is read back as another one, or not at all."""
        return " OR ".join(_mangled(column, kind) for column, kind in self.nested.items())


def count_mangled(lake: Lake) -> dict[str, int]:
    """Tables with rows that cannot be read back, and how many, those of earlier versions of the rows counted too."""
    found: dict[str, int] = {}
    with lake.connection() as connection:
        for inlined in _inlined_tables(connection):
            rows = connection.execute(f"SELECT count(*) FROM {inlined.relation} WHERE {inlined.mangled}").fetchall()
            if rows[0][0]:
                found[inlined.table] = found.get(inlined.table, 0) + rows[0][0]
    return found


def drop_mangled(lake: Lake, tables: Collection[str]) -> set[str]:
    """Delete the rows of these tables that cannot be read back; return which tables lack rows of today now.

    What earlier versions of the rows held is emptied: else upkeep, which reads them too, could not be done.
    """
    lacking: set[str] = set()
    with lake.connection() as connection:
        inlined_tables = [one for one in _inlined_tables(connection) if one.table in tables]
    for inlined in inlined_tables:
        with lake.writing(inlined.table):
            current = lake.rows(
                f"SELECT row_id FROM {inlined.relation} WHERE end_snapshot IS NULL AND ({inlined.mangled})"
            )
            if current:
                numbers = ", ".join(str(number) for (number,) in current)
                lake.rows(f'DELETE FROM "{inlined.table}" WHERE rowid IN ({numbers})')
                lacking.add(inlined.table)
            for column, kind in inlined.nested.items():
                lake.rows(f'UPDATE {inlined.relation} SET "{column}" = NULL WHERE {_mangled(column, kind)}')
    return lacking


def _inlined_tables(connection: duckdb.DuckDBPyConnection) -> Iterator[_Inlined]:
    found = connection.execute(
        f"""
        SELECT tables.table_name, inlined.table_name
        FROM {METADATA}.ducklake_inlined_data_tables AS inlined
        JOIN {METADATA}.ducklake_table AS tables USING (table_id)
        WHERE tables.end_snapshot IS NULL
        """
    ).fetchall()
    for table, name in found:
        described = connection.execute(f'DESCRIBE "{table}"').fetchall()
        kept = {column for column, *_ in connection.execute(f'DESCRIBE {METADATA}."{name}"').fetchall()}
        if nested := {column: kind for column, kind, *_ in described if column in kept and is_nested(kind)}:
            yield _Inlined(table, name, nested)


def _mangled(column: str, kind: str) -> str:
    return f'TRY_CAST("{column}" AS {kind})::VARCHAR IS DISTINCT FROM "{column}"'
