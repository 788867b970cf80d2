"""Copies the catalog of a lake, as it is at one moment, so that it can be read without a right to write.

Runs in a process of its own, and imports only what comes with Python. The system's locks of a file belong to a process:
one that has the catalog attached through DuckDB would lose them all when another SQLite in it closes the same file.

    python -I -S catalog_copy.py SOURCE TARGET DATA_PATH
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

BUSY_SECONDS = 60.0


def copy_apart(source: Path, target: Path, data: Path) -> str:
    """Copy a catalog in a process of its own, and say what went wrong; nothing if all is well.

    The copy looks for its files in the folder `data`, and has no log beside it.
    """
    words = [sys.executable, "-I", "-S", __file__, str(source), str(target), str(data)]
    secretless = {name: value for name, value in os.environ.items() if name != "RAPIDPRO_TOKEN"}
    # Ctrl-C is for this process, which ends the other one then.
    ended = subprocess.run(words, env=secretless, capture_output=True, text=True, start_new_session=True)
    if ended.returncode:
        return ended.stderr.strip().rpartition("\n")[2] or f"ended with {ended.returncode}"
    return ""


def copy_catalog(source: Path, target: Path, data: Path) -> None:
    """Copy a catalog in this process.

    Raises:
        sqlite3.Error: it cannot be read, or the copy not be written.
    """
    with (
        closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as lake,
        closing(sqlite3.connect(target)) as copy,
    ):
        lake.backup(copy)
        # A catalog with a log can be read only where the log's index can be written.
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.execute("UPDATE ducklake_metadata SET value = ? WHERE key = 'data_path'", [f"{data}/"])
        copy.commit()


if __name__ == "__main__":
    try:
        copy_catalog(*(Path(word) for word in sys.argv[1:]))
    except sqlite3.Error as failure:
        sys.exit(str(failure))
