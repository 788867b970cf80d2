"""The command line's door: it can be stopped from here on, so it loads nothing before that which takes time."""

from __future__ import annotations

import io
import sys

from pipeline.cli.stopping import STOPPED, heeded, say_stopped


def main() -> None:
    """Run the command line; errors that a user or the server caused become one sentence and an exit code."""
    with heeded() as stopping:
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
        from warehouse.errors import RapidlakeError

        if not isinstance(error, RapidlakeError):
            raise
        warn(f"rapidlake: {told(error)}")
        sys.exit(error.exit_code)
