"""The one place where words of others become words of ours: libraries quote what they choke on, and log what they get.

A text made here has declared parts only: the class of an error, its number at the system, where in the code it came up,
the name of an event. Nothing of a row, an answer, a header or an address is among them.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

# The folders of the code: frames of others are told by their file's name alone.
HOUSES = ("assets", "pipeline", "rapidlake", "sandbox", "warehouse")
SHOWN_FRAMES = 6


def kind_of(error: BaseException) -> str:
    """What somebody else's error is: the system's words for its number, or the name of its class."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    if isinstance(error, sqlite3.Error) and (name := getattr(error, "sqlite_errorname", None)):
        return str(name)
    return type(error).__name__


def fault(error: BaseException) -> str:
    """What is said of an error that nobody foresaw: what it is, and where in the code; never its own text."""
    return (
        f"A fault of Rapidlake's own, {kind_of(error)} in {places(error)}: nothing committed is lost; "
        "tell the developers this sentence, and what was run."
    )


def places(error: BaseException) -> str:
    """Where an error came up, and the places of ours that lead there, the innermost first; no line of any of them."""
    found: list[tuple[str, bool]] = []
    trace: TracebackType | None = error.__traceback__
    while trace:
        file = Path(trace.tb_frame.f_code.co_filename)
        house = next((part for part in reversed(file.parts[:-1]) if part in HOUSES), None)
        name = "/".join(file.parts[file.parts.index(house) :]) if house else file.name
        found.append((f"{name}:{trace.tb_lineno}", house is not None))
        trace = trace.tb_next
    shown = [place for number, (place, ours) in enumerate(found, 1) if ours or number == len(found)]
    return " < ".join(reversed(shown[-SHOWN_FRAMES:])) or "no place that is known"


class DeclaredEvents(logging.Filter):
    """Leaves of a library's log records the names of its events, which `events` (a pattern) finds in their texts."""

    def __init__(self, events: str) -> None:
        super().__init__()
        self._events = re.compile(events)

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite a record; none is held back."""
        found = self._events.match(str(record.msg))
        record.msg, record.args = (found[0] if found else "an event"), None
        record.exc_info = record.exc_text = record.stack_info = None
        return True


def log_declared_events(libraries: Mapping[str, str]) -> None:
    """Let loggers of libraries tell their events only: name of the library → pattern of what an event is called.

    A filter hears nothing of what loggers below its own are told, so each of them has one; call it once all are made.
    """
    known = logging.getLogger().manager.loggerDict
    for library, events in libraries.items():
        for name in (library, *(name for name in known if name.startswith(f"{library}."))):
            logger = logging.getLogger(name)
            if not any(isinstance(one, DeclaredEvents) for one in logger.filters):
                logger.addFilter(DeclaredEvents(events))
