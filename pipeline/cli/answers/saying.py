"""Says words of others on a terminal: names, messages of the server and values are shown there, and never obeyed."""

from __future__ import annotations

import sys

from rich.markup import escape

from warehouse.text import for_terminal


def say(text: str) -> None:
    """Print a sentence on standard output."""
    print(for_terminal(text))


def warn(text: str) -> None:
    """Print a sentence on standard error."""
    print(for_terminal(text), file=sys.stderr, flush=True)


def for_people(name: str, after: str) -> str:
    """A name that people gave, and what stands after it, where a person reads along.

    Nothing in output that is kept, such as a log or a mail: what the server says is in the lake, and nowhere else.
    """
    return f"{name}{after}" if name and sys.stdout.isatty() else ""


def quoted(text: str) -> str:
    """Text as a part of what Rich prints."""
    return escape(for_terminal(text))
