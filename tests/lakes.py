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
from warehouse.lake.engine import EXTENSIONS, load_extension
from warehouse.lake.literal import literal

# Of the workspaces that the sandbox makes up.
LANGUAGES = ["eng", "fra", "kin"]

_turn = threading.RLock()
_attached: list[tuple[Path, int]] = []


def new_lake(path: Path) -> Path:
    """Put a lake at `path` that has its tables and views, and no rows; what was there is gone."""
    detach()  # it may be the one that goes
    shutil.rmtree(path, ignore_errors=True)
    return Path(shutil.copytree(_made_once(), path))


@cache
def _made_once() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="lake-of-tests-")
    atexit.register(folder.cleanup)
    with Lake.create(Path(folder.name, "lake")) as lake:
        refresh_views(lake)
    return Path(folder.name, "lake")


def detach() -> None:
    """Let go of the lake that was read last; before its disk goes, for one."""
    with _turn:
        if _attached:
            _attached.clear()
            _reader().execute("USE memory")
            _reader().execute("DETACH lake")


@contextmanager
def reading(lake: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that reads a lake as it is now."""
    with _turn:
        connection = _reader()
        _attach(connection, lake)
        connection.execute("BEGIN")  # the catalog is read once, not for each statement
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")


def _attach(connection: duckdb.DuckDBPyConnection, lake: Path) -> None:
    """Attach a lake, unless it is the one that was read last: to attach it costs more than most questions."""
    catalog = lake.resolve() / "catalog.sqlite"
    mark = (catalog, catalog.stat().st_ino)
    if _attached == [mark]:
        return
    detach()
    data = literal(str(catalog.with_name("data")))
    connection.execute(
        f"ATTACH {literal(f'ducklake:sqlite:{catalog}')} AS lake "
        f"(DATA_PATH {data}, OVERRIDE_DATA_PATH true, META_BUSY_TIMEOUT 60000, READ_ONLY)"
    )
    _attached.append(mark)
    connection.execute("USE lake")


@cache
def _reader() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})  # a second one doubles the CPU-seconds of small questions
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
