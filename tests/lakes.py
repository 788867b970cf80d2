"""Lakes to begin a test with, and what is in them.

Making a lake, and loading the extensions that read one, cost more than most tests: both are done once.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from sandbox import Workspace
from tests.truth import Row, assert_same, expected_rows, stored_rows
from warehouse import Lake, refresh_views
from warehouse.lake.connection import EXTENSIONS, load_extension
from warehouse.lake.literal import literal

# Of the workspaces that the sandbox makes up.
LANGUAGES = ["eng", "fra", "kin"]

_turn = threading.Lock()


def new_lake(path: Path) -> Path:
    """Put a lake at `path` that has its tables and views, and no rows; what was there is gone."""
    shutil.rmtree(path, ignore_errors=True)
    return Path(shutil.copytree(_made_once(), path))


@cache
def _made_once() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="lake-of-tests-")
    atexit.register(folder.cleanup)
    with Lake.create(Path(folder.name, "lake")) as lake:
        refresh_views(lake)
    return Path(folder.name, "lake")


@contextmanager
def reading(lake: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that reads a lake."""
    catalog = literal(f"ducklake:sqlite:{lake.resolve() / 'catalog.sqlite'}")
    data = literal(str(lake.resolve() / "data"))
    with _turn:
        connection = _reader()
        connection.execute(
            f"ATTACH {catalog} AS lake (DATA_PATH {data}, OVERRIDE_DATA_PATH true, META_BUSY_TIMEOUT 60000, READ_ONLY)"
        )
        try:
            connection.execute("USE lake")
            connection.execute("BEGIN")  # the catalog is read once, not for each statement
            yield connection
        finally:
            connection.execute("ROLLBACK")
            connection.execute("USE memory")
            connection.execute("DETACH lake")


@cache
def _reader() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    atexit.register(connection.close)
    connection.execute("SET TimeZone = 'UTC'")
    for extension in EXTENSIONS:
        load_extension(connection, extension)
    return connection


def rows(lake: Path, query: str) -> list[tuple[Any, ...]]:
    """What the lake answers."""
    with reading(lake) as connection:
        return connection.execute(query).fetchall()


def column(lake: Path, query: str) -> set[Any]:
    """The values of the first column of an answer."""
    return {row[0] for row in rows(lake, query)}


def stored(lake: Path, stream: str) -> dict[Any, Row]:
    """Key → the live row that the lake holds."""
    with reading(lake) as connection:
        return stored_rows(connection, stream)


def assert_holds(lake: Path, workspace: Workspace, *streams: str) -> None:
    """The live rows of a lake are those that the API of the workspace lists, value by value."""
    with reading(lake) as connection:
        for stream in streams:
            expected = expected_rows(stream, workspace.rows(stream), LANGUAGES)
            assert_same(stream, stored_rows(connection, stream), expected)
