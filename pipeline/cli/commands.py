"""All commands. They parse and print; what they do lives in the modules that each imports when needed."""

from __future__ import annotations

import typer

from pipeline.cli.analyst_commands import dictionary, export, report, shell, sql
from pipeline.cli.loading_commands import archives, backfill, sync
from pipeline.cli.proof_commands import doctor, status, verify
from pipeline.cli.trial_commands import demo, sandbox
from pipeline.cli.upkeep_commands import maintain, publish

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
    publish,
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
