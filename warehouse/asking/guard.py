"""Lets only SQL run that reads the lake: judged by what DuckDB's parser makes of it, before anything runs.

Beside it, the connection of a guarded lake reaches no file but the lake's (`warehouse.lake.attaching`). That alone is
not enough: whoever may read the lake's Parquet files could write them too, and SQLite's files open without being asked.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import duckdb
from duckdb import StatementType

from warehouse.errors import QueryError, QueryRefused
from warehouse.lake.literal import literal

# What may stand in FROM like a table: these read rows, the lake's catalog, or DuckDB's memory. All others are refused,
# for some delete or write the lake's files though it is open for reading only, and some open files.
READERS = set(
    re.findall(
        r"\w+",
        """
    range generate_series unnest repeat repeat_row json_each json_tree regexp_split_to_table
    summary histogram histogram_values test_all_types icu_calendar_names pg_timezone_names
    ducklake_snapshots ducklake_current_snapshot ducklake_last_committed_snapshot ducklake_table_info
    ducklake_table_changes ducklake_table_insertions ducklake_table_deletions ducklake_list_files
    ducklake_options ducklake_settings
    snapshots current_snapshot last_committed_snapshot table_info table_changes table_insertions table_deletions
    options settings
    duckdb_columns duckdb_constraints duckdb_databases duckdb_dependencies duckdb_extensions duckdb_functions
    duckdb_indexes duckdb_keywords duckdb_memory duckdb_optimizers duckdb_schemas duckdb_sequences duckdb_settings
    duckdb_tables duckdb_temporary_files duckdb_types duckdb_variables duckdb_views
    pragma_collations pragma_database_size pragma_platform pragma_show pragma_storage_info pragma_table_info
    pragma_user_agent pragma_version
    """,
    )
)
ONLY_READS = "only SQL that reads the lake is run"
OF_THE_LAKE = """
    SELECT lower(function_name) FROM duckdb_functions()
    WHERE function_type = 'table_macro' AND database_name = 'lake'
"""
# What may stand before a bracket, unless a function that may do harm has the same name.
HARMLESS = """
    (SELECT lower(function_name) FROM duckdb_functions() WHERE function_type IN ('scalar', 'aggregate', 'macro')
        UNION ALL SELECT lower(type_name) FROM duckdb_types()
        UNION ALL SELECT lower(keyword_name) FROM duckdb_keywords())
    EXCEPT SELECT lower(function_name) FROM duckdb_functions() WHERE function_type IN ('table', 'table_macro')
"""
# In a parse as JSON, which is nested too deeply for Python's reader; a quote in a name has a backslash there.
FROM_FUNCTION = re.compile(r'"type":"TABLE_FUNCTION".*?"function_name":("(?:[^"\\]|\\.)*")', re.DOTALL)
FIRST_WORD = re.compile(r'"(?:[^"]|"")*"|\w[\w$]*|\W')


@dataclass(frozen=True)
class Question:
    """SQL to run: `plain` if DuckDB plans all of it before it reads rows, so that what it says till then shows none.

    `explains` if it is an EXPLAIN, `pivots` if it makes names of values.
    """

    sql: str
    plain: bool = False
    explains: bool = False
    pivots: bool = False


def one_question(connection: duckdb.DuckDBPyConnection, sql: str) -> Question:
    """What may run of a user's SQL: one statement that reads, on a connection that has the lake.

    Raises:
        QueryError: the SQL is wrong, or is not one statement.
        QueryRefused: it may do more than read the lake.
    """
    statements = _parsed(sql)
    kinds = [statement.type for statement in statements]
    if len(statements) > 1 and _is_pivot(sql, statements):
        _check_by_words(connection, sql)
        return Question(without_end(sql), pivots=True)
    if len(statements) != 1:
        raise QueryError(
            "Give one SQL query: there is " + ("none." if not statements else f"more than one ({len(statements)}).")
        )
    text = statements[0].query
    if kinds == [StatementType.EXPLAIN]:
        _check_functions(connection, _explained(text))
        return Question(without_end(text), explains=True)
    if kinds != [StatementType.SELECT]:
        raise QueryRefused(f"This SQL is {_name(kinds[0])}, and {ONLY_READS}.")
    _check_functions(connection, text)
    return Question(without_end(text), plain=_is_plain(text))


def ends(sql: str) -> bool:
    """Whether the last word of SQL is a semicolon, which is in no string or comment."""
    return _words(sql)[-1:] == [";"]


def without_end(sql: str) -> str:
    """A statement without its last semicolon, so that it may stand inside another."""
    return re.sub(r";\s*(--[^\n]*\s*)*$", "", sql.strip())


def _parsed(sql: str) -> list[duckdb.Statement]:
    try:
        return duckdb.extract_statements(sql)
    except duckdb.Error as error:
        said = str(error).strip()
    raise QueryError(said)


def _name(kind: StatementType) -> str:
    return f"{'an' if kind.name[0] in 'AEIOU' else 'a'} {kind.name.replace('_', ' ')}"


def _is_plain(text: str) -> bool:
    """False for what DuckDB answers while it plans, such as SUMMARIZE."""
    return _words(text)[:1] in (["select"], ["from"], ["with"], ["values"])


def _check_functions(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    """See that one SELECT calls nothing in FROM but `READERS` and the lake's own macros.

    The engine's own parse of it is looked through: no comment, case or quotes hide a name there.
    """
    row = connection.execute(f"SELECT json_serialize_sql({literal(text)})").fetchall()[0]
    tree = str(row[0]) if row else ""
    called = FROM_FUNCTION.findall(tree)
    if not tree.startswith('{"error":false') or len(called) != tree.count('"type":"TABLE_FUNCTION"'):
        raise QueryRefused(f"This SQL cannot be looked through, and {ONLY_READS}.")
    _refuse_unknown(connection, {json.loads(name) for name in called}, OF_THE_LAKE)


def _check_by_words(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """See that a PIVOT, of which the engine shows no parse, calls only what can do no harm wherever it stands."""
    words = _words(sql)
    called = {word for word, following in pairwise(words) if following == "(" and re.match(r'["\w]', word)}
    _refuse_unknown(connection, set(map(_unquoted, called)), f"{OF_THE_LAKE} UNION ALL {HARMLESS}")


def _refuse_unknown(connection: duckdb.DuckDBPyConnection, names: set[str], known: str) -> None:
    """Refuse names that are neither of `READERS` nor among the rows of a query."""
    unknown = {name.lower() for name in names} - READERS
    if unknown:  # which costs more than to look at most SQL does
        unknown -= {str(name) for (name,) in connection.execute(known).fetchall()}
    if unknown:
        raise QueryRefused(f"This SQL calls {', '.join(sorted(unknown))}, and {ONLY_READS}.")


def _explained(text: str) -> str:
    """The SELECT that an EXPLAIN is about.

    Raises:
        QueryRefused: it is about something else, which EXPLAIN ANALYZE would do.
    """
    parts, words = _parts(text), _words(text)
    after = 1
    while words[after : after + 1] in (["analyze"], ["verbose"]):
        after += 1
    for begin in (after, _behind_brackets(words, after)):  # there may be options in brackets, or the SELECT itself
        with suppress(duckdb.Error):
            statements = duckdb.extract_statements("".join(parts[begin:]))
            if [statement.type for statement in statements] == [StatementType.SELECT]:
                return statements[0].query
    raise QueryRefused(f"This EXPLAIN is not of a SELECT, and {ONLY_READS}.")


def _behind_brackets(words: list[str], begin: int) -> int:
    """Where the brackets that open at `begin` have closed again; `begin` itself if none open there."""
    depth = 0
    for place, word in enumerate(words[begin:], begin):
        depth += (word == "(") - (word == ")")
        if not depth:
            return place + (word == ")")
    return begin


def _is_pivot(sql: str, statements: list[duckdb.Statement]) -> bool:
    """True for one PIVOT, which DuckDB takes apart: into types of the values that it finds, and a SELECT."""
    *types, last = [statement.type for statement in statements]
    return (
        set(types) == {StatementType.CREATE}
        and last == StatementType.SELECT
        and not any(statement.query for statement in statements)
        and ";" not in _words(without_end(sql))
    )


def _words(sql: str) -> list[str]:
    """The words and signs of SQL in lower case, without comments."""
    return [found[0].lower() if (found := FIRST_WORD.match(part)) else part for part in _parts(sql)]


def _parts(sql: str) -> list[str]:
    """SQL cut before each word or sign, as DuckDB does."""
    # Its parser takes any space of Unicode's for one; what cuts for it does not.
    source = "".join(sign if sign.isascii() or sign.isalnum() else " " for sign in sql).encode()
    starts = [start for start, _ in duckdb.tokenize(source.decode())]
    return [source[start:end].decode() for start, end in pairwise([*starts, len(source)])]


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
