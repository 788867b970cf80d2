"""Lakes to begin a test with: one is made and then copied, because making one costs more than most tests do."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from warehouse import Lake, refresh_views


@cache
def _made_once() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="lake-of-tests-")
    atexit.register(folder.cleanup)
    with Lake.create(Path(folder.name, "lake")) as lake:
        refresh_views(lake)
    return Path(folder.name, "lake")


def new_lake(path: Path) -> Path:
    """Put a lake at `path` that has its tables and views, and no rows."""
    return Path(shutil.copytree(_made_once(), path, dirs_exist_ok=True))
