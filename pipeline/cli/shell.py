"""Prompts inside a lake: ours, whose SQL only reads the lake, and DuckDB's own, which can do all that DuckDB can.

DuckDB's own cannot be kept to the lake: with all of its locks on, it still writes any file of SQLite's, such as the
lake's catalog.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import NoReturn

from pipeline.access import FILE_VARIABLE, VARIABLE
from pipeline.cli.answers.saying import say, warn
from pipeline.cli.answers.sql_answers import show
from pipeline.cli.stopping import leave_to_prompt
from pipeline.errors import SettingsError, told
from warehouse import Lake
from warehouse.asking.analysis import UNGUARDED
from warehouse.asking.guard import ends
from warehouse.errors import RapidlakeError
from warehouse.lake.engine import EXTENSIONS, extension_file
from warehouse.lake.literal import literal

HISTORY = Path(".rapidlake_history")
HISTORY_LINES = 1000
FIRST, FURTHER = "lake> ", " ...> "
HELP = """SQL ends with ; and reads the lake, nothing else. Tab completes names.
.tables  what there is to ask about
.quit    end, as Ctrl-D does
`rapidlake shell --unguarded` is DuckDB's own prompt."""
TABLES = """
    SELECT if(table_schema = 'main', table_name, table_schema || '.' || table_name) AS name, table_type AS type
    FROM information_schema.tables WHERE table_catalog = 'lake' ORDER BY ALL
"""
WORDS = """
    SELECT DISTINCT unnest([table_schema, table_name, column_name]) AS word FROM information_schema.columns
    WHERE table_catalog = 'lake'
    UNION SELECT upper(keyword_name) FROM duckdb_keywords() WHERE keyword_category = 'reserved'
    ORDER BY word
"""


def run_prompt(path: Path) -> None:
    """Answer what is typed until there is no more, on a terminal or not; SystemExit with 1 if something was refused.

    Raises:
        LakeNotFound: there is no lake at `path`.
    """
    _keep_secrets()
    typing = sys.stdin.isatty()
    with Lake.open(path, threads=None, at_one_moment=True) as lake:
        leave_to_prompt()
        if typing:
            _prepare_keyboard(lake)
            say(HELP)
        failed = _converse(lake, typing)
    if failed and not typing:
        sys.exit(1)


def _converse(lake: Lake, typing: bool) -> bool:
    """Read lines and answer questions; True if one could not be answered."""
    failed, typed = False, ""
    while True:
        try:
            line = _read((FURTHER if typed else FIRST) if typing else "")
            if line is None:
                break
            typed = f"{typed}\n{line}" if typed else line
            if typed.lstrip().startswith(".") or ends(typed):
                question, typed = typed.strip(), ""
                failed |= not _answered(lake, question)
        except KeyboardInterrupt:
            typed = ""
            with suppress(KeyboardInterrupt):  # of somebody impatient
                print()
    if typed.strip():
        failed |= not _answered(lake, typed)
    elif typing:
        print()
    return failed


def _read(prompt: str) -> str | None:
    try:
        return input(prompt)
    except EOFError:
        return None


def _answered(lake: Lake, question: str) -> bool:
    """Answer, or say why not."""
    try:
        match question.lower().rstrip("; \t"):
            case ".quit" | ".exit":
                raise SystemExit
            case ".help":
                say(HELP)
            case ".tables":
                show(lake, TABLES)
            case command if command.startswith("."):
                warn(f"{question.split()[0]} is not known here: .help says what is.")
                return False
            case _:
                show(lake, question)
    except RapidlakeError as error:
        warn(told(error))
        return False
    except (RuntimeError, KeyboardInterrupt) as error:
        if isinstance(error, RuntimeError) and str(error) != "Query interrupted":  # as DuckDB calls it in Python
            raise
        with lake.raw_connection() as connection:
            connection.interrupt()  # its threads go on, and the next question would wait for them
        raise KeyboardInterrupt from None
    sys.stdout.flush()
    return True


def _prepare_keyboard(lake: Lake) -> None:
    """Give lines their history, which only their user may read, and names that Tab completes."""
    try:
        import readline
    except ModuleNotFoundError:  # a Python without it
        return
    import atexit

    history = Path.home() / HISTORY
    words = [str(word) for (word,) in lake.rows(WORDS)]

    def complete(begin: str, number: int) -> str | None:
        fitting = [word for word in words if word.lower().startswith(begin.lower())] if begin else []
        return fitting[number] if number < len(fitting) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n()[]{},;=<>+-*/'\"")
    readline.parse_and_bind("tab: complete")
    with suppress(OSError):
        readline.read_history_file(history)
    readline.set_history_length(HISTORY_LINES)
    atexit.register(_keep_history, history)


def _keep_history(file: Path) -> None:
    import readline

    with suppress(OSError):
        readline.write_history_file(file)
        file.chmod(0o600)  # it may have been there


def run_shell(path: Path) -> NoReturn:
    """Become DuckDB's prompt: it gets all signals, as it must, for Ctrl-C ends a question there and not the prompt.

    Raises:
        LakeNotFound: there is no lake at `path`.
        SettingsError: DuckDB's command line is not installed beside Python.
    """
    Lake.open(path).close()
    warn(UNGUARDED)
    _keep_secrets()
    sys.stdout.flush()
    try:
        # Not the package's command, a Python program that waits for this one: it would end by Ctrl-C.
        program = str(resources.files("duckdb_cli") / "duckdb")
        os.execv(program, [program, *_preparation(path)])
    except (ModuleNotFoundError, FileNotFoundError):
        raise SettingsError("DuckDB's command line is missing: install it with `pip install duckdb-cli`.") from None


def _keep_secrets() -> None:
    """Leave nothing to SQL or to other users: no token in the environment, and a history that only its user reads."""
    for name in (VARIABLE, FILE_VARIABLE):
        os.environ.pop(name, None)
    os.umask(0o077)


def _preparation(path: Path) -> list[str]:
    """Arguments that make the prompt begin inside the lake, which it attaches for reading only."""
    catalog = literal(f"ducklake:sqlite:{path.resolve() / 'catalog.sqlite'}")
    data = literal(str(path.resolve() / "data"))
    statements = [
        *(f"LOAD {literal(str(extension_file(name)))}" for name in EXTENSIONS),
        "SET TimeZone = 'UTC'",
        f"ATTACH {catalog} AS lake (READ_ONLY, DATA_PATH {data}, OVERRIDE_DATA_PATH true)",
        "USE lake",
    ]
    return [argument for statement in statements for argument in ("-cmd", f"{statement};")]
