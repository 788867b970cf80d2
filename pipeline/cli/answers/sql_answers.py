"""Answers `rapidlake sql`: as a table on the terminal, as CSV or JSON, or in a file, also of Parquet or Excel."""

from __future__ import annotations

import io
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path

from pipeline.cli.answers.saying import say, warn
from warehouse import Lake
from warehouse.asking.excel import MOST_CHARACTERS
from warehouse.asking.query import KINDS, ask, write_rows
from warehouse.declared import kind_of
from warehouse.errors import QueryError
from warehouse.scratch import scratch, written_whole

FOR_FILES = {"parquet": "Parquet", "xlsx": "Excel"}
SHOWN_ROWS = 200
# Where nobody says how wide the output is, as in a file.
USUAL_SIZE = (160, 24)


def answer(lake: Lake, query: str, *, kind: str | None = None, output: Path | None = None, raw: bool = False) -> None:
    """Run one question and write its rows; `raw` CSV keeps what a spreadsheet would run.

    Raises:
        QueryError: the SQL is wrong, is not one query, or the file cannot be written.
    """
    kind = kind or (output.suffix.lstrip(".").lower() if output else "table")
    if kind not in ("table", *KINDS):
        raise QueryError(f"{output} names no format: end it with .csv, .json, .parquet or .xlsx, or give --format.")
    if kind in FOR_FILES and output is None:
        raise QueryError(f"{FOR_FILES[kind]} is for files, not for the terminal: name one with -o FILE.")
    try:
        if kind == "table":
            show(lake, query, output)
        elif output:
            _tell_of_cuts(write_rows(lake, query, kind, output, raw=raw))
        else:
            with scratch() as folder:
                file = folder / "answer"
                write_rows(lake, query, kind, file, raw=raw)
                with file.open("rb") as rows:
                    shutil.copyfileobj(rows, sys.stdout.buffer)
                sys.stdout.buffer.flush()
    except OSError as error:
        raise QueryError(
            f"{output or 'standard output'} cannot be written ({kind_of(error)}): choose another place."
        ) from None


def _tell_of_cuts(cells: int) -> None:
    if cells:
        warn(
            f"Cut at {MOST_CHARACTERS:,} characters, all that a cell of Excel holds: {cells:,} "
            f"{'cell' if cells == 1 else 'cells'}. Write .csv or .parquet for the whole text."
        )


def show(lake: Lake, query: str, output: Path | None = None) -> None:
    """Show the rows of a question as a table, on standard output or in a file.

    Raises:
        QueryError: the SQL is wrong, or is not one query.
    """
    with ask(lake, query) as rows:
        if rows is None:
            say("Done.")
        elif output:
            with written_whole(output) as partial:
                partial.write_text(str(rows) + "\n", encoding="utf-8")
        else:
            shown = io.StringIO()
            with redirect_stdout(shown):
                rows.show(max_width=shutil.get_terminal_size(USUAL_SIZE).columns, max_rows=SHOWN_ROWS)
            say(shown.getvalue().removesuffix("\n"))
