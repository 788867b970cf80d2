"""Tables on the terminal."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from pipeline.cli.answers.saying import quoted

# Where nobody says how wide the output is, as in a file, no column is cut.
NARROWEST_TABLE = 140


@dataclass(frozen=True)
class Column:
    """A column of a table on the terminal."""

    heading: str
    right: bool = False


def console() -> Console:
    """Standard output; as wide as it is, or so wide that no column is cut."""
    return Console(width=None if sys.stdout.isatty() else NARROWEST_TABLE)


def table(title: str, *columns: Column) -> Table:
    """A table for the terminal."""
    made = Table(title=quoted(title) or None, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column.heading, justify="right" if column.right else "left", no_wrap=True)
    return made
