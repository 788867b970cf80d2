"""The command line. Parses and prints; what it does lives in the modules that each command imports when needed."""

from __future__ import annotations

import io
import sys

import typer

from pipeline.cli.analyst_commands import dictionary, export, report, shell, sql
from pipeline.cli.loading_commands import archives, backfill, sync
from pipeline.cli.proof_commands import doctor, status, verify
from pipeline.cli.trial_commands import demo, sandbox
from pipeline.cli.upkeep_commands import maintain

app = typer.Typer(
    name="rapidlake",
    help="Copies a RapidPro or TextIt workspace into a lake that you query with SQL, completely, and keeps it true.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Settings: RAPIDPRO_URL, RAPIDPRO_TOKEN, RAPIDLAKE_LAKE, or rapidlake.toml. "
    "Try `rapidlake demo` first: it needs none.",
)

# In the order of `--help`.
for command in (
    sync,
    status,
    archives,
    backfill,
    verify,
    maintain,
    sql,
    shell,
    export,
    report,
    dictionary,
    doctor,
    sandbox,
    demo,
):
    app.command()(command)


def main() -> None:
    """Run the command line; errors that a user or the server caused become one sentence and an exit code."""
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):  # no sign that a terminal does not know ends a command
            output.reconfigure(errors="replace")
    try:
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
