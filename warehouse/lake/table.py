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
    stand_in: a column that identifies the rows in which the server sends no key; such a table has one key column.
    content: columns that never change, and tell rows apart where one side knows only key and the other only stand_in.
    never_older: a column that never goes back; a row older by it than the one in the lake is not taken.
    partitioned_by: the partition column, which never changes for a key.
    kept: columns whose value stays when a later row has none.
    kept_in: (column, part): a map of values with a time; the part of one stays when a later state of it has none.
    longest_name: where the server may go on listing a row that is deleted, under a name that tells it (the macro
        `is_deleted_name`): so many characters its `name` has at most.
    moved_by: the stream of documents that, asked for, make old servers rewrite a row and move its modified_on.
    contact: the column that names the row's contact, where the row is deleted with it.
    lists_contacts: the column with a list of contacts, of which those that are deleted go.
    archive_type: what archives call the stream, where they have it.
    api_first: columns that archives lack, or know less well: the API's value stays.
    api_only: columns that archives lack, and whose last value counts also where it is none.
    provisional: rows may come without a uuid, and are known by their id until it is told.
    growing: lists that only ever grow, and that archives cut short.
    uniform: its SELECT uses every key and does without the text of the JSON, so that rows can be read the fast way.
    counters: columns that move by themselves, without anybody changing the row: not verified.
    history: which changes are kept, where any are; such a table has one key column, and `partitioned_by`.
    """

    name: str
    key: tuple[str, ...]
    stand_in: str | None = None
    content: tuple[str, ...] = ()
    never_older: str | None = None
    partitioned_by: str | None = None
    kept: tuple[str, ...] = ()
    kept_in: tuple[tuple[str, str], ...] = ()
    longest_name: int | None = None
    moved_by: str | None = None
    contact: str | None = None
    lists_contacts: str | None = None
    archive_type: str | None = None
    api_first: tuple[str, ...] = ()
    api_only: tuple[str, ...] = ()
    provisional: bool = False
    growing: tuple[str, ...] = ()
    uniform: bool = False
    counters: tuple[str, ...] = ()
    history: History | None = None

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns of the key, and the one that stands in for it."""
        return (*self.key, self.stand_in) if self.stand_in else self.key

    @property
    def required(self) -> str:
        """In words, what a row cannot be stored without."""
        if self.stand_in:
            both = " and ".join(self.key_columns)
            return f"{both}, or {self.partitioned_by}" if self.partitioned_by else both
        return " or ".join([*self.key, *filter(None, [self.partitioned_by])])

    def lacks_required(self, row: str) -> str:
        """SQL: the condition that a row (a relation or struct) lacks what it cannot be stored without."""
        columns = [f'{row}."{column}" IS NULL' for column in self.key_columns]
        key = f"({' AND '.join(columns)})" if self.stand_in else " OR ".join(columns)
        return f'{key} OR {row}."{self.partitioned_by}" IS NULL' if self.partitioned_by else key

    def identity(self, of: str = "") -> tuple[str, ...]:
        """SQL of the values that tell a row of a relation (`of`, or the only one) from others."""
        dot = f"{of}." if of else ""
        values = tuple(f'{dot}"{column}"' for column in self.key)
        return (*values, f'CASE WHEN {values[0]} IS NULL THEN {dot}"{self.stand_in}" END') if self.stand_in else values

    def select_keys(self, of: str = "") -> str:
        """SQL of a list of columns, named as the key columns, that tell a row from others."""
        values = zip(self.identity(of), self.key_columns, strict=True)
        return ", ".join(f'{value} AS "{column}"' for value, column in values)

    @property
    def distinct(self) -> str:
        """SQL: one value that tells a row from others, for counting, grouping and IN."""
        values = self.identity()
        return values[0] if len(values) == 1 else f"({', '.join(values)})"

    def same(self, one: str, other: str) -> str:
        """SQL: the condition that rows of two relations are the same row."""
        equal = "IS NOT DISTINCT FROM" if self.stand_in else "="
        pairs = zip(self.identity(one), self.identity(other), strict=True)
        return " AND ".join(f"{left} {equal} {right}" for left, right in pairs)

    @property
    def same_key(self) -> str:
        """The condition that `stored` and `incoming` are the same row."""
        return self.same("stored", "incoming")

    def key_text(self, of: str = "") -> str:
        """SQL of a row's key as text."""
        dot = f"{of}." if of else ""
        texts = [f'{dot}"{column}"::VARCHAR' for column in self.key_columns]
        return f"coalesce({', '.join(texts)})" if self.stand_in else " || ' ' || ".join(texts)


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
