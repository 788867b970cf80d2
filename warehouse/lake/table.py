"""What loading must know of a stream's table, and the SQL fragments that follow from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import duckdb


@dataclass(frozen=True)
class History:
    """The table that every change of some columns is appended to: of `values`, and of lists of `references` by uuid."""

    table: str
    values: tuple[str, ...]
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """What loading must know of a stream's table.

    key: columns that identify a row.
    never_older: a column that never goes back; a row older by it than the one in the lake is not taken.
    partitioned_by: the partition column, which never changes for a key.
    kept: columns whose value stays when a later row has none.
    contact: the column that names the row's contact, where the row is deleted with it.
    lists_contacts: the column with a list of contacts, of which those that are deleted go.
    archive_type: what archives call the stream, where they have it.
    api_first: columns that archives lack, or know less well: the API's value stays.
    provisional: rows may come without a uuid, and are known by their id until it is told.
    growing: lists that only ever grow, and that archives cut short.
    uniform: its SELECT uses every key and does without the text of the JSON, so that rows can be read the fast way.
    counters: columns that move by themselves, without anybody changing the row: not verified.
    history: which changes are kept, where any are; such a table has one key column, and `partitioned_by`.
    """

    name: str
    key: tuple[str, ...]
    never_older: str | None = None
    partitioned_by: str | None = None
    kept: tuple[str, ...] = ()
    contact: str | None = None
    lists_contacts: str | None = None
    archive_type: str | None = None
    api_first: tuple[str, ...] = ()
    provisional: bool = False
    growing: tuple[str, ...] = ()
    uniform: bool = False
    counters: tuple[str, ...] = ()
    history: History | None = None

    @property
    def keys(self) -> str:
        """The key columns as SQL."""
        return quoted(self.key)

    @property
    def required(self) -> tuple[str, ...]:
        """Columns without which a row cannot be stored."""
        return (*self.key, self.partitioned_by) if self.partitioned_by else self.key

    @property
    def same_key(self) -> str:
        """The condition that `stored` and `incoming` are the same row."""
        return " AND ".join(f'stored."{column}" = incoming."{column}"' for column in self.key)


def quoted(columns: Iterable[str]) -> str:
    """Column names as an SQL list."""
    return ", ".join(f'"{column}"' for column in columns)


def columns_of(connection: duckdb.DuckDBPyConnection, relation: str) -> list[str]:
    """Names of the columns of a table or view, in order."""
    return [name for name, *_ in connection.execute(f"DESCRIBE {relation}").fetchall()]


def count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    """Number of rows of a table, view or parenthesised query."""
    found = connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
    return found[0] if found else 0


def materialise(connection: duckdb.DuckDBPyConnection, name: str, select: str) -> int:
    """Make the temporary table `name` of what a SELECT brings; return how many rows that is."""
    found = connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {select}").fetchone()
    return found[0] if found else 0
