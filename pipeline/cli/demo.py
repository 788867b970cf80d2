"""The demo and the sandbox command: everything on this machine, no token needed."""

from __future__ import annotations

import re
import shutil
import sys
import zlib
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from pipeline.cli.answers.bars import for_output
from pipeline.cli.answers.sql_answers import answer
from pipeline.cli.stopping import StopAsked, committing_first
from pipeline.errors import SettingsError
from pipeline.proof.comparing import Verification
from pipeline.proof.verify import choose_verifiable, verify
from pipeline.settings import Settings, load_settings
from pipeline.streams import STREAMS
from pipeline.syncing.session import identify, open_client
from pipeline.syncing.sync import sync
from sandbox import Faults, Sandbox, Workspace, generate, serve
from warehouse import Lake, LakeError, LakeNotFound
from warehouse.declared import kind_of
from warehouse.lake.catalog import READERS, WRITERS, knows_no_table
from warehouse.scratch import others_live

# What a lake without rows is made of; where something else lies beside it, all stays.
PARTS_OF_A_BEGUN_LAKE = re.compile(
    rf"catalog\.sqlite(-wal|-shm|-journal)?|data/(.+/)?|(locks|spool)/|locks/[^/]+\.lock|spool/({WRITERS}|{READERS}).+"
)

QUESTIONS = (
    (
        "Messages of the last weeks",
        """
        SELECT date_trunc('week', created_on)::DATE AS week, count(*) FILTER (direction = 'in') AS received,
               count(*) FILTER (direction = 'out') AS sent, count(*) FILTER (status IN ('failed', 'errored')) AS failed
        FROM messages WHERE deleted_on IS NULL GROUP BY week ORDER BY week DESC LIMIT 6
        """,
    ),
    (
        "Runs by flow",
        """
        SELECT flow_name AS flow, count(*) AS runs, count(DISTINCT contact_uuid) AS contacts,
               round(100.0 * count(*) FILTER (responded) / count(*), 1) AS responded_percent,
               round(100.0 * count(*) FILTER (exit_type = 'completed') / count(*), 1) AS completed_percent
        FROM runs WHERE deleted_on IS NULL GROUP BY flow ORDER BY runs DESC
        """,
    ),
    (
        "Contacts by language and channel scheme",
        """
        SELECT language, urns[1].scheme AS scheme, count(*) AS contacts
        FROM contacts WHERE deleted_on IS NULL GROUP BY ALL ORDER BY contacts DESC LIMIT 8
        """,
    ),
)


def run_demo(lake: Path, *, messages: int) -> bool:
    """Generate a workspace, serve it, sync it twice, verify the lake, and ask it a few questions; False if one failed.

    Raises:
        SettingsError: the lake's folder holds something else than a demo.
    """
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"Making up a workspace with {messages:,} messages, and a server for it on this machine ...")
    with generate(messages=messages, seed=1) as workspace, Sandbox(workspace) as sandbox:
        settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0)
        _clear_demo(settings)
        console.print(f"\n[bold]First sync[/]: everything arrives in {lake}/")
        if not _sync(settings, console):
            return False
        console.print("\n[bold]Second sync[/]: nothing has changed, so one request for most endpoints is enough")
        if not _sync(settings, console):
            return False
        console.print("\n[bold]Verification[/]: the server is read again, and every row held against the lake")
        if not _verify(settings, console):
            return False
    with Lake.open(lake, threads=None) as opened:
        for title, query in QUESTIONS:
            console.print(f"\n[bold]{title}[/]")
            sys.stdout.flush()
            answer(opened, query)
    command = "rapidlake" if shutil.which("rapidlake") else sys.argv[0]
    console.print(
        "\nThe lake stays. Ask it yourself:\n"
        f'  {command} sql --lake {lake} "SELECT status, count(*) AS messages FROM messages GROUP BY status"\n'
        f"  {command} report --lake {lake}\n"
        f"  {command} status --lake {lake}\n"
        f"  {command} archives --lake {lake}\n"
        "Your own workspace:\n"
        "  export RAPIDPRO_URL=https://textit.com RAPIDPRO_TOKEN=...\n"
        f"  {command} doctor && {command} sync"
    )
    return True


def serve_sandbox(
    *, port: int, data: Path | None, messages: int, seed: int, text_bytes: int, archives: bool, faults: str, rate: int
) -> None:
    """Serve a workspace until Ctrl-C.

    Raises:
        SettingsError: the folder, the faults or the port cannot be used.
    """
    if data is not None and not data.is_dir():
        raise SettingsError(f"--data {data} is no folder: name one with <endpoint>.jsonl.gz files, or leave it out.")
    try:
        chosen = Faults.parse(faults)
    except ValueError as error:
        raise SettingsError(f"--faults: {error}.") from None
    workspace = (
        _load(data) if data else generate(messages=messages, seed=seed, text_bytes=text_bytes, archives=archives)
    )

    def ready(url: str) -> None:
        print(f"Serving on {url}. In another terminal:", file=sys.stderr)
        print(f"  export RAPIDPRO_URL={url} RAPIDPRO_TOKEN={Sandbox(workspace).token}", file=sys.stderr)
        print("  rapidlake sync", file=sys.stderr, flush=True)

    try:
        with workspace, suppress(StopAsked):
            serve(workspace, port=port, faults=chosen, requests_per_hour=rate, ready=ready)
    except OSError as error:
        raise SettingsError(f"Port {port} cannot be used ({kind_of(error)}): choose another with --port.") from None


def _load(data: Path) -> Workspace:
    try:
        return Workspace.load(data)
    except (OSError, EOFError, zlib.error, AttributeError, ValueError) as error:
        raise SettingsError(
            f"--data {data} cannot be read ({kind_of(error)}): "
            "it takes <endpoint>.jsonl.gz files of one row as JSON a line."
        ) from None


def _sync(settings: Settings, console: Console) -> bool:
    with for_output(json=False) as progress, committing_first() as stop:
        result = sync(settings, list(STREAMS.values()), progress, stop=stop)
    tallies = [stream.tally for stream in result.streams]
    console.print(
        f"{sum(tally.rows_new for tally in tallies):,} rows new, "
        f"{sum(tally.rows_changed for tally in tallies):,} changed, "
        f"{sum(tally.counters.requests for tally in tallies):,} requests, {result.seconds:.1f} s"
    )
    return not result.failed


def _verify(settings: Settings, console: Console) -> bool:
    with for_output(json=False, verifying=True) as progress, committing_first() as stop:
        result = verify(settings, choose_verifiable([]), progress, asked=Verification(), stop=stop)
    console.print(result.conclusion)
    return not result.failed


def _clear_demo(settings: Settings) -> None:
    """Remove the lake of an earlier demo, whose made-up dates have grown old; refuse to remove anything else."""
    lake = settings.lake
    if not lake.exists() or (lake.is_dir() and not any(lake.iterdir())):
        return
    with open_client(settings) as client:
        _, workspace = identify(client)
    if not is_only_begun(lake) and _owner(lake) != str(workspace.uuid):
        raise SettingsError(f"{lake} is there and holds no demo: move it away, or choose another folder with --lake.")
    shutil.rmtree(lake)


def _owner(lake: Path) -> str | None:
    """Whose workspace the lake holds; None if nobody's, or if it is no lake."""
    try:
        with Lake.open(lake) as opened:
            found: str | None = opened.rows("SELECT workspace_uuid::VARCHAR FROM _lake")[0][0]
            return found
    except LakeError:
        return None


def is_only_begun(lake: Path) -> bool:
    """Whether nothing is there but a lake that nothing was written to, as a demo leaves it that is killed early."""
    if not lake.is_dir() or others_live(lake / "spool", WRITERS):
        return False
    parts = [f"{path.relative_to(lake)}{'/' if path.is_dir() else ''}" for path in lake.rglob("*")]
    if not all(map(PARTS_OF_A_BEGUN_LAKE.fullmatch, parts)):
        return False
    try:
        with Lake.open(lake) as opened:
            tables = ["_lake WHERE workspace_uuid IS NOT NULL", *STREAMS]
            return not any(opened.rows(f"SELECT 1 FROM {table} LIMIT 1") for table in tables)
    except LakeNotFound:
        return knows_no_table(lake)
    except LakeError:
        return False
