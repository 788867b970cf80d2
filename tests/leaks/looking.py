"""Looks for what was planted in all that a run leaves: words, records of logs, files, the lake's own tables."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from tests.lakes import reading
from tests.leaks.planting import found

# Columns of the lake's own tables that hold words of the workspace by design, and why.
BY_DESIGN = {
    ("_lake", "workspace_name"): "whose lake it is",
    ("_quarantine", "record"): "the row as it came, until it can be read",
    ("_quarantine", "key"): "the key by which a row leaves quarantine once it can be read",
    ("_drift", "key"): "the unknown key, so that somebody can look for it in extra",
    ("_known_names", "name"): "names of what the server deleted",
    ("_result_keys", "key"): "what views of results are made of",
    ("_result_keys", "name"): "what views of results are made of",
    ("_number_digits", "key"): "fields of which columns are made",
    ("_given_names", "key"): "what views and columns are made of",
    ("_given_names", "name"): "names of views and columns",
    ("_views", "name"): "names of views",
}
# Of a lake, these are its data: rows that are small stand in the catalog. Dagster puts the report there.
DATA = {"data", "report.html", "catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "catalog.sqlite-journal"}
BEGUN_DOWNLOAD = re.compile(r"spool/archives\.[^/]*\.gz")


@dataclass
class Looked:
    """What was found, a line each: what had been done, where it stood, and an excerpt."""

    leaks: list[str] = field(default_factory=list)
    doing: str = ""

    def at(self, where: str, text: str | bytes) -> None:
        """Look at a text."""
        for excerpt in found(text):
            self.leaks.append(f"{self.doing}: {where}: {excerpt}")

    def at_error(self, where: str, error: BaseException) -> None:
        """Look at an error as Python prints it, with all that it came from."""
        self.at(where, "".join(traceback.format_exception(error)))

    def at_folder(self, folder: Path, *, but: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        """Look at the names and bytes of all files, but of these names directly in the folder."""
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if inside.parts[0] in but:
                continue
            self.at(f"name of a file in {folder.name}", str(inside))
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                # The beginning of an archive file is kept until its download goes on: rows on their way, still packed.
                packed = BEGUN_DOWNLOAD.fullmatch(str(inside))
                self.at(f"file {folder.name}/{inside}", content.decode("latin-1") if packed else content)

    def at_lake(self, lake: Path) -> None:
        """Look at what a lake has beside its data, and at its own tables but for what stands there by design."""
        if not (lake / "catalog.sqlite").exists():
            return
        self.at_folder(lake, but=DATA)
        with reading(lake) as connection:
            for table, column in own_columns(connection):
                for (text,) in connection.execute(f'SELECT DISTINCT "{column}"::VARCHAR FROM "{table}"').fetchall():
                    self.at(f"{table}.{column}", text or "")


def own_columns(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """The columns of the lake's own tables that may hold text, less those that hold it by design."""
    rows = connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() "
        "WHERE database_name = 'lake' AND starts_with(table_name, '_') AND contains(data_type, 'VARCHAR')"
    ).fetchall()
    return [(table, column) for table, column in rows if (table, column) not in BY_DESIGN]


class _Remembering(logging.Handler):
    """Keeps each record as any handler might write it: its message, arguments, error and stack."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[tuple[str, str]] = []
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append((record.name, f"{self.format(record)} {record.args!r}"))


@contextmanager
def at_debug_level() -> Iterator[list[tuple[str, str]]]:
    """Let the root logger and all others that were not told otherwise log everything; give what they said, by name."""
    root = logging.getLogger()
    handler, before = _Remembering(), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler.said
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
