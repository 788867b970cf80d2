"""Connects DuckDB to a lake: extensions, settings, and the catalog, made or migrated where needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib import resources
from pathlib import Path

import duckdb

from warehouse.errors import LakeError, LakeIsOlder, LakeUnfinished
from warehouse.lake.catalog import catalog_of, damaged, has_catalog, holds_rows
from warehouse.lake.engine import EXTENSIONS, keep_catalog, load_extension
from warehouse.lake.failures import RACING, explain
from warehouse.lake.inlining import inline_small_batches
from warehouse.lake.literal import literal
from warehouse.lake.locks import locked

# The files of macros, each after those whose macros it uses.
MACROS = ("shapes", "unknown", "references", "translations", "urns")
CATALOG_BUSY_MILLISECONDS = 60_000


def connect(
    path: Path,
    *,
    read_only: bool,
    guarded: bool = False,
    overflow: Path | None,
    memory: str | None = None,
    threads: int | None,
    as_of: datetime | None = None,
    catalog: Path | None = None,
    stop: threading.Event | None = None,
) -> duckdb.DuckDBPyConnection:
    """A connection to the lake at `path`, which reads it, or makes it where there is none.

    If `guarded`, no SQL on it reaches files but those of `data/`, nor changes that.
    `overflow` is a folder for what does not fit into `memory`, `catalog` a file that is read as its catalog. Once
    `stop` is set, nothing waits for another process.

    Raises:
        LakeError: there is none, or it cannot be opened.
    """
    config: dict[str, str | bool | int | float | list[str]] = {}
    if memory:
        config["memory_limit"] = memory
    if overflow:  # else it is in the working directory
        config["temp_directory"] = str(overflow)
    if threads:
        config["threads"] = threads
    connection = duckdb.connect(config=config)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        # Ours tell how a sync goes; DuckDB's own would be written between other lines, and into logs.
        connection.execute("SET enable_progress_bar = false")
        for extension in EXTENSIONS:
            load_extension(connection, extension)
        inline_small_batches(connection)
        if guarded:
            _shut_in(connection, path)
        if read_only:
            attach(connection, path, read_only=True, as_of=as_of, catalog=catalog)
        else:
            _attach_for_writing(connection, path, stop)
        if guarded:
            connection.execute("SET lock_configuration = true")
    except (duckdb.Error, UnicodeDecodeError) as error:
        connection.close()
        if isinstance(error, UnicodeDecodeError) or "Invalid unicode" in str(error):  # only the catalog was read so far
            raise damaged(path) from None
        raise explain(error, path) from None
    except LakeError:
        connection.close()
        raise
    return connection


def _shut_in(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Let the connection reach no files but those of the lake's rows and of what does not fit into memory.

    Before the catalog is attached: DuckDB would count it among the files that any SQL may read and write. What the
    folders named here hold, SQL could write too, if `warehouse.asking.guard` let it.
    """
    connection.execute(f"SET allowed_directories = [{literal(str(path.resolve() / 'data'))}]")
    connection.execute("SET enable_external_access = false")


def _attach_for_writing(connection: duckdb.DuckDBPyConnection, path: Path, stop: threading.Event | None) -> None:
    """Attach the lake at `path`; make its catalog where there is none yet, or bring an earlier DuckLake's up."""
    if has_catalog(path):
        try:
            return attach(connection, path, read_only=False)
        except duckdb.Error as error:
            if not isinstance(explain(error, path), LakeUnfinished | LakeIsOlder):
                raise
    with locked(path / "locks" / "schema.lock", stop):  # another process may be making it, and write rows at once
        has_catalog(path)
        try:
            attach(connection, path, read_only=False, make=not holds_rows(path))
        except duckdb.Error as error:
            if not isinstance(explain(error, path), LakeIsOlder):
                raise
            keep_catalog(path)
            attach(connection, path, read_only=False, migrate=True)


def attach(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    *,
    read_only: bool,
    as_of: datetime | None = None,
    catalog: Path | None = None,
    make: bool = False,
    migrate: bool = False,
) -> None:
    """Attach the lake at `path`, and make it the default.

    `catalog` is a file that is read as its catalog. `make` makes the catalog's tables where it has none, `migrate`
    brings those of an earlier DuckLake up.
    """
    options = [
        f"DATA_PATH {literal(str(path.resolve() / 'data'))}",
        "OVERRIDE_DATA_PATH true",
        f"CREATE_IF_NOT_EXISTS {make}",
        f"META_BUSY_TIMEOUT {CATALOG_BUSY_MILLISECONDS}",
        "READ_ONLY" if read_only else "META_JOURNAL_MODE 'WAL'",
    ]
    if as_of:
        options.append(f"SNAPSHOT_TIME {literal(as_of)}")
    if migrate:
        options.append("AUTOMATIC_MIGRATION true")
    address = literal(f"ducklake:sqlite:{catalog or catalog_of(path.resolve())}")
    RACING.copy()(connection.execute, f"ATTACH {address} AS lake ({', '.join(options)})")
    connection.execute("USE lake")


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Make what the streams' SELECTs and loading use; once per connection that loads rows."""
    for name in MACROS:
        connection.execute((resources.files("warehouse.lake") / "macros" / f"{name}.sql").read_text(encoding="utf-8"))
    connection.execute("CREATE TEMP TABLE dead (dead_uuid UUID, died_on TIMESTAMPTZ)")


@contextmanager
def outside_the_lake(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Look for names among temporary things and DuckDB's own only.

    Outside a transaction, each statement that names a function asks the catalog too whether the lake has it: 1.3 ms.
    """
    connection.execute("USE memory")
    try:
        yield
    finally:
        RACING.copy()(connection.execute, "USE lake")
