"""Opens a lake in DuckDB's own command line, which brings history, completion and paging."""

from __future__ import annotations

import os
import sys
from importlib import resources
from pathlib import Path
from typing import NoReturn

from pipeline.errors import SettingsError
from warehouse import Lake
from warehouse.lake.engine import EXTENSIONS, extension_file
from warehouse.lake.literal import literal


def run_shell(path: Path) -> NoReturn:
    """Become the prompt: it gets all signals, as it must, for Ctrl-C ends a question there and not the prompt.

    Raises:
        LakeNotFound: there is no lake at `path`.
        SettingsError: DuckDB's command line is not installed beside Python.
    """
    Lake.open(path).close()
    sys.stdout.flush()
    try:
        # Not the package's command, a Python program that waits for this one: it would end by Ctrl-C.
        program = str(resources.files("duckdb_cli") / "duckdb")
        os.execv(program, [program, *_preparation(path)])
    except (ModuleNotFoundError, FileNotFoundError):
        raise SettingsError("DuckDB's command line is missing: install it with `pip install duckdb-cli`.") from None


def _preparation(path: Path) -> list[str]:
    """Arguments that make the prompt begin inside the lake, where it can only read."""
    catalog = literal(f"ducklake:sqlite:{path.resolve() / 'catalog.sqlite'}")
    data = literal(str(path.resolve() / "data"))
    statements = [
        *(f"LOAD {literal(str(extension_file(name)))}" for name in EXTENSIONS),
        "SET TimeZone = 'UTC'",
        f"ATTACH {catalog} AS lake (READ_ONLY, DATA_PATH {data}, OVERRIDE_DATA_PATH true)",
        "USE lake",
    ]
    return [argument for statement in statements for argument in ("-cmd", f"{statement};")]
