"""The command line's door: it can be stopped from here on, so it loads nothing before that which takes time."""

from __future__ import annotations

import io
import os
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.cli.stopping import STOPPED, heeded, say_stopped


def main() -> None:
    """Run the command line; errors become one sentence and an exit code, whoever caused them."""
    _keep_private()
    with _told_in_threads(), heeded() as stopping:
        try:
            _run()
        except BaseException as error:
            stopping.rest()
            # DuckDB makes another error of what is raised while it works.
            if isinstance(error, SystemExit):
                raise
            if not stopping.stopped:
                _tell_fault(error)
                sys.exit(1)
            say_stopped()
            sys.exit(STOPPED)


def _keep_private() -> None:
    """What is made from here on is the owner's alone: as `warehouse.private`, which takes too long to load here."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


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
        from warehouse.errors import RapidlakeError

        if not isinstance(error, RapidlakeError):
            raise
        warn(f"rapidlake: {told(error)}")
        sys.exit(error.exit_code)


def _tell_fault(error: BaseException) -> None:
    from pipeline.cli.answers.saying import warn
    from warehouse.declared import fault

    warn(f"rapidlake: {fault(error)}")


@contextmanager
def _told_in_threads() -> Iterator[None]:
    """What goes wrong where nobody waits for it is told as everything else is, not by Python, which shows its text."""

    def tell(what: threading.ExceptHookArgs | sys.UnraisableHookArgs) -> None:
        if what.exc_value:
            _tell_fault(what.exc_value)

    before = threading.excepthook, sys.unraisablehook
    threading.excepthook = sys.unraisablehook = tell
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook = before
