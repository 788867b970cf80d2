"""The command line. Parses and prints; what it does lives in the modules it imports when needed."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="rapidlake",
    help="Copies a RapidPro or TextIt workspace into a lake that you query with SQL, completely, and keeps it true.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Settings: RAPIDPRO_URL, RAPIDPRO_TOKEN, RAPIDLAKE_LAKE, or rapidlake.toml. "
    "Try `rapidlake demo` first: it needs none.",
)

LakeOption = Annotated[
    Path | None, typer.Option("--lake", help="Folder of the lake (RAPIDLAKE_LAKE).", show_default="lake")
]
UrlOption = Annotated[str | None, typer.Option("--url", help="Address of the server (RAPIDPRO_URL).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON, for machines.")]


@app.command()
def sync(
    streams: Annotated[list[str] | None, typer.Argument(metavar="STREAM", help="Only these; all by default.")] = None,
    since: Annotated[str | None, typer.Option(help="Read at least from this date on, e.g. 2026-01-31 (UTC).")] = None,
    full: Annotated[bool, typer.Option("--full", help="Read everything again, not only what changed.")] = False,
    lag: Annotated[float | None, typer.Option(help="Seconds before now where reading ends.", show_default="60")] = None,
    accept_deletions: Annotated[
        bool, typer.Option("--accept-deletions", help="Mark rows that are gone from the server, however many.")
    ] = False,
    another_workspace: Annotated[
        bool, typer.Option("--another-workspace", help="Accept a token of another workspace than the lake's.")
    ] = False,
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Copy what is new or changed on the server into the lake."""
    from pipeline.cli.answers import print_sync
    from pipeline.reading.progress import for_output
    from pipeline.reading.reader import Options
    from pipeline.settings import load_settings, parse_date
    from pipeline.syncing.sync import choose
    from pipeline.syncing.sync import sync as run

    chosen = choose(streams or [])
    earliest = parse_date(since) if since is not None else None
    settings = load_settings(lake=lake, url=url, lag=lag)
    options = Options(earliest, full, accept_deletions=accept_deletions)
    with for_output(json=json) as progress:
        result = run(
            settings, chosen, progress, options=options, stop=_stop_on_signal(), another_workspace=another_workspace
        )
    print_sync(result, json=json)
    raise typer.Exit(1 if result.failed else 0)


@app.command()
def status(lake: LakeOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Show what is in the lake, how far each stream is read, and how its last sync went."""
    from pipeline.cli.answers import print_status
    from pipeline.settings import lake_path
    from warehouse import Lake

    with Lake.open(lake_path(lake)) as opened:
        print_status(opened, json=json)


@app.command()
def archives(
    months: Annotated[
        list[str] | None, typer.Argument(metavar="MONTH", help="Only these, e.g. 2026-07; all by default.")
    ] = None,
    type: Annotated[Literal["message", "run"] | None, typer.Option(help="Only these; both by default.")] = None,
    load: Annotated[bool, typer.Option("--load", help="Load the files that are new or changed.")] = False,
    again: Annotated[bool, typer.Option("--again", help="With --load: load also files that are in the lake.")] = False,
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Show which archive files the server had at the last sync, and which are in the lake; load them."""
    from pipeline.cli.answers import print_sync
    from pipeline.cli.proof_answers import print_archives
    from pipeline.errors import SettingsError
    from pipeline.months import Month
    from pipeline.reading.progress import for_output
    from pipeline.reading.reader import ArchiveChoice, Options
    from pipeline.settings import lake_path, load_settings
    from pipeline.syncing.sync import choose
    from pipeline.syncing.sync import sync as run
    from warehouse import Lake

    if again and not load:
        raise SettingsError("--again says what to load: give --load too.")
    wanted = frozenset(str(Month.parse(month)) for month in months or [])
    chosen = ArchiveChoice(frozenset([type] if type else []), wanted, again)
    if not load:
        with Lake.open(lake_path(lake)) as opened:
            print_archives(opened, chosen, json=json)
        return
    settings = load_settings(lake=lake, url=url)
    with for_output(json=json) as progress:
        result = run(settings, choose(["archives"]), progress, options=Options(archives=chosen), stop=_stop_on_signal())
    print_sync(result, json=json)
    raise typer.Exit(1 if result.failed else 0)


@app.command()
def backfill(
    months: Annotated[
        list[str] | None, typer.Argument(metavar="MONTH...", help="Months, e.g. 2026-05 2026-06; or the first one.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="The last month, where MONTH is the first.")] = None,
    stream: Annotated[Literal["messages", "runs"] | None, typer.Option(help="Only these; both by default.")] = None,
    accept_deletions: Annotated[
        bool, typer.Option("--accept-deletions", help="Mark rows that are gone from the server, however many.")
    ] = False,
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Read past months of messages and runs whole: archive files, what the API shows, and what has vanished."""
    from pipeline.cli.answers import print_sync
    from pipeline.reading.progress import for_output
    from pipeline.settings import load_settings
    from pipeline.streams import ARCHIVED
    from pipeline.syncing.backfill import backfill as run
    from pipeline.syncing.backfill import closed_months

    chosen = closed_months(months or [], to)
    settings = load_settings(lake=lake, url=url)
    streams = [one for one in ARCHIVED.values() if stream in (None, one.name)]
    with for_output(json=json) as progress:
        result = run(settings, streams, chosen, progress, accept_deletions=accept_deletions, stop=_stop_on_signal())
    print_sync(result, json=json)
    raise typer.Exit(1 if result.failed else 0)


@app.command()
def verify(
    streams: Annotated[list[str] | None, typer.Argument(metavar="STREAM", help="Only these; all by default.")] = None,
    since: Annotated[str | None, typer.Option(help="Only rows from this date on, e.g. 2026-01-31 (UTC).")] = None,
    sample: Annotated[
        float, typer.Option(min=0.1, max=100, help="Percent of the days to read, of streams that are read by date.")
    ] = 100.0,
    repair: Annotated[bool, typer.Option("--repair", help="Fetch, mark or remove what differs.")] = False,
    accept_deletions: Annotated[
        bool, typer.Option("--accept-deletions", help="With --repair: mark rows that are gone, however many.")
    ] = False,
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Read the server again and tell every row that the lake does not have as the server has it."""
    from pipeline.cli.proof_answers import print_verification
    from pipeline.proof.comparing import Verification
    from pipeline.proof.verify import choose_verifiable
    from pipeline.proof.verify import verify as run
    from pipeline.reading.progress import for_output
    from pipeline.settings import load_settings, parse_date

    chosen = choose_verifiable(streams or [])
    earliest = parse_date(since) if since is not None else None
    settings = load_settings(lake=lake, url=url)
    with for_output(json=json, verifying=True) as progress:
        result = run(
            settings,
            chosen,
            progress,
            since=earliest,
            asked=Verification(sample, repair),
            accept_deletions=accept_deletions,
            stop=_stop_on_signal(),
        )
    print_verification(result, json=json)
    raise typer.Exit(1 if result.failed else 0)


@app.command()
def maintain(
    keep_days: Annotated[
        float | None,
        typer.Option(help="Days that old versions stay readable (RAPIDLAKE_KEEP_DAYS).", show_default="30"),
    ] = None,
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Tidy the lake up: join small files, forget old versions, remove unused files; safe while a sync runs."""
    from datetime import timedelta

    from pipeline.cli.upkeep_answers import print_upkeep
    from pipeline.settings import local_settings
    from warehouse import Lake
    from warehouse import maintain as run

    settings = local_settings(lake=lake, keep_days=keep_days)
    Lake.open(settings.lake).close()  # upkeep makes no lake
    with Lake.create(settings.lake) as opened:
        print_upkeep(run(opened, keep=timedelta(days=settings.keep_days)), json=json)


@app.command()
def sql(
    query: Annotated[
        str, typer.Argument(metavar="SQL", help='For example "SELECT status, count(*) FROM messages GROUP BY ALL".')
    ],
    format: Annotated[
        Literal["table", "csv", "json", "parquet", "xlsx"] | None,
        typer.Option(help="Default: table, or what the name of the file says."),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write to this file.")] = None,
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Ask the lake a question in SQL (DuckDB's); safe while a sync runs."""
    from pipeline.settings import lake_path
    from warehouse import Lake
    from warehouse.asking.query import answer

    with Lake.open(lake_path(lake)) as opened:
        answer(opened, query, format="json" if json else format, output=output)


@app.command()
def shell(lake: LakeOption = None, url: UrlOption = None) -> None:
    """Ask the lake in DuckDB's own prompt, with history, completion and paging; safe while a sync runs."""
    from pipeline.cli.shell import run_shell
    from pipeline.settings import lake_path

    raise typer.Exit(run_shell(lake_path(lake)))


@app.command()
def export(
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="TABLE", help="Only these tables and views; all by default.")
    ] = None,
    to: Annotated[Path, typer.Option("--to", help="Folder to write into; an earlier export there is replaced.")] = Path(
        "export"
    ),
    format: Annotated[Literal["parquet", "csv"], typer.Option(help="What to write.")] = "parquet",
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Write tables and views into a folder, for Spark, Athena, BigQuery, R or a spreadsheet; safe while a sync runs."""
    from pipeline.cli.export_answers import print_export
    from pipeline.settings import lake_path
    from warehouse import Lake
    from warehouse.asking.export import export as run

    with Lake.open(lake_path(lake)) as opened:
        print_export(run(opened, to, format=format, names=tables or []), to, json=json)


@app.command()
def report(
    output: Annotated[Path, typer.Option("-o", "--output", help="Write to this file.")] = Path("report.html"),
    lake: LakeOption = None,
    url: UrlOption = None,
) -> None:
    """Make one page that shows how the workspace is doing, and whether the data is whole; it needs no network."""
    from pipeline.report import write_report
    from pipeline.settings import lake_path
    from warehouse import Lake

    with Lake.open(lake_path(lake)) as opened:
        write_report(opened, output)
    print(f"Written: {output}")


@app.command()
def dictionary(
    output: Annotated[
        list[Path] | None,
        typer.Option("-o", "--output", help="Write to this file, .md or .html; may be repeated.", show_default="both"),
    ] = None,
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Describe every table, column, flow and field of the lake, with meaning, fill rate and made-up examples."""
    from dataclasses import asdict
    from json import dumps

    from pipeline.dictionary import write_dictionary
    from pipeline.settings import lake_path
    from warehouse import Lake
    from warehouse.asking.dictionary import read_dictionary

    outputs = output or [Path("dictionary.md"), Path("dictionary.html")]
    with Lake.open(lake_path(lake)) as opened:
        found = read_dictionary(opened)
    if json:
        print(dumps(asdict(found), indent=2))
        return
    write_dictionary(found, outputs)
    print("Written: " + ", ".join(map(str, outputs)))


@app.command()
def doctor(lake: LakeOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Check address, token, role, endpoints, clock and lake, and say what to do about what is wrong."""
    from pipeline.cli.answers import print_findings
    from pipeline.proof.doctor import examine
    from pipeline.settings import load_settings

    findings = examine(load_settings(lake=lake, url=url))
    print_findings(findings, json=json)
    raise typer.Exit(0 if all(finding.good for finding in findings) else 1)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")] = 8000,
    data: Annotated[
        Path | None, typer.Option(help="Folder with <endpoint>.jsonl.gz files; generated if not given.")
    ] = None,
    messages: Annotated[int, typer.Option(min=0, help="Messages of the generated workspace.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Another number generates another workspace.")] = 1,
    text_bytes: Annotated[int, typer.Option(min=0, help="Length of the generated texts; 0 for natural ones.")] = 0,
    archives: Annotated[bool, typer.Option(help="Generate archives of older rows too.")] = True,
    faults: Annotated[str, typer.Option(help='Misbehave, e.g. "error=0.02,throttle=0.01,edits=18".')] = "",
    rate: Annotated[int, typer.Option(min=0, help="Requests per hour and scope; 0 for no limit.")] = 2500,
) -> None:
    """Serve a workspace on this machine that behaves like a real server, to try things on."""
    from pipeline.cli.demo import serve_sandbox

    serve_sandbox(
        port=port,
        data=data,
        messages=messages,
        seed=seed,
        text_bytes=text_bytes,
        archives=archives,
        faults=faults,
        rate=rate,
    )


@app.command()
def demo(
    messages: Annotated[int, typer.Option(min=100, help="Messages of the generated workspace.")] = 20_000,
    lake: Annotated[Path, typer.Option("--lake", help="Folder of the demo's lake.")] = Path("demo-lake"),
) -> None:
    """Copy a generated workspace into a lake, and ask it a few questions; needs no server and no token."""
    from pipeline.cli.demo import run_demo

    raise typer.Exit(0 if run_demo(lake, messages=messages, stop=_stop_on_signal()) else 1)


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
        from warehouse.errors import RapidlakeError

        if not isinstance(error, RapidlakeError):
            raise
        print(f"rapidlake: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _stop_on_signal() -> threading.Event:
    """An event that Ctrl-C or a polite end signal sets; a second Ctrl-C ends at once."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"Stopping after a last commit; Ctrl-C again to stop at once (that loses nothing either).\n")

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    return stop
