"""The command line's door: it can be stopped from here on, so it loads nothing before that which takes time."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.cli.stopping import STOPPED, heeded, say_stopped
from warehouse.private import keep_private


def main() -> None:
    """Run the command line; errors become one sentence and an exit code, whoever caused them."""
    keep_private()
    with _told_in_threads(), heeded() as stopping:
        try:
            _run()
        except BaseException as error:
            stopping.rest()
            # DuckDB makes another error of what is raised while it works.
            if isinstance(error, SystemExit) or not stopping.stopped:
                raise
            say_stopped()
            sys.exit(STOPPED)


def _run() -> None:
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):  # no sign that a terminal does not know ends a command
            output.reconfigure(errors="replace")
    try:
        from pipeline.cli.commands import app

        app()
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        from pipeline.cli.answers.saying import warn
        from pipeline.errors import told
        from warehouse.declared import fault
        from warehouse.errors import RapidlakeError

        warn(f"rapidlake: {told(error) if isinstance(error, RapidlakeError) else fault(error)}")
        sys.exit(error.exit_code if isinstance(error, RapidlakeError) else 1)


@contextmanager
def _told_in_threads() -> Iterator[None]:
    """What goes wrong where nobody waits for it is told as everything else is, not by Python, which shows its text."""

    def tell(what: threading.ExceptHookArgs | sys.UnraisableHookArgs) -> None:
        from pipeline.cli.answers.saying import warn
        from warehouse.declared import fault

        if what.exc_value:
            warn(f"rapidlake: {fault(what.exc_value)}")

    before = threading.excepthook, sys.unraisablehook
    threading.excepthook = sys.unraisablehook = tell
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook = before
