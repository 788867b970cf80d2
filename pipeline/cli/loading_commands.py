"""Commands that bring rows into the lake."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from pipeline.cli.options import JsonOption, LakeOption, UrlOption
from pipeline.cli.stopping import committing_first


def sync(
    streams: Annotated[list[str] | None, typer.Argument(metavar="STREAM", help="Only these; all by default.")] = None,
    since: Annotated[str | None, typer.Option(help="Read at least from this date on, e.g. 2026-01-31 (UTC).")] = None,
    full: Annotated[bool, typer.Option("--full", help="Read everything again, not only what changed.")] = False,
    lag: Annotated[float | None, typer.Option(help="Seconds before now where reading ends.", show_default="60")] = None,
    accept_deletions: Annotated[
        bool, typer.Option("--accept-deletions", help="Mark rows that are gone from the server, however many.")
    ] = False,
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Copy what is new or changed on the server into the lake."""
    from pipeline.cli.answers.bars import for_output
    from pipeline.cli.answers.endings import print_sync
    from pipeline.cli.asked_server import settings_of_server
    from pipeline.cli.left_out import less_left_out
    from pipeline.reading.reader import Options
    from pipeline.settings import parse_date
    from pipeline.syncing.sync import choose
    from pipeline.syncing.sync import sync as run

    chosen = choose(streams or [])
    earliest = parse_date(since) if since is not None else None
    settings = settings_of_server(lake=lake, url=url, lag=lag)
    chosen = less_left_out(chosen, settings, named=bool(streams))
    options = Options(earliest, full, accept_deletions=accept_deletions)
    with for_output(json=json) as progress, committing_first() as stop:
        result = run(settings, chosen, progress, options=options, stop=stop)
    print_sync(result, json=json)
    raise typer.Exit(1 if result.failed else 0)


def archives(
    months: Annotated[
        list[str] | None, typer.Argument(metavar="MONTH", help="Only these, e.g. 2026-07; all by default.")
    ] = None,
    archive_type: Annotated[
        Literal["message", "run"] | None, typer.Option("--type", help="Only these; both by default.")
    ] = None,
    load: Annotated[bool, typer.Option("--load", help="Load the files that are new or changed.")] = False,
    again: Annotated[bool, typer.Option("--again", help="With --load: load also files that are in the lake.")] = False,
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Show which archive files the server had at the last sync, and which are in the lake; load them."""
    from pipeline.cli.answers.bars import for_output
    from pipeline.cli.answers.endings import print_sync
    from pipeline.cli.answers.proof_answers import print_archives
    from pipeline.cli.asked_server import settings_of_server
    from pipeline.cli.left_out import less_left_out
    from pipeline.errors import SettingsError
    from pipeline.months import Month
    from pipeline.reading.reader import ArchiveChoice, Options
    from pipeline.settings import lake_path
    from pipeline.streams import ARCHIVE_LIST, ARCHIVED
    from pipeline.syncing.sync import sync as run
    from warehouse import Lake

    if again and not load:
        raise SettingsError("--again says what to load: give --load too.")
    wanted = frozenset(str(Month.parse(month)) for month in months or [])
    chosen = ArchiveChoice(frozenset([archive_type] if archive_type else []), wanted, again)
    if not load:
        with Lake.open(lake_path(lake), at_one_moment=True) as opened:
            print_archives(opened, chosen, json=json)
        return
    settings = settings_of_server(lake=lake, url=url)
    of = [stream for kind, stream in ARCHIVED.items() if archive_type in (None, kind)]
    less_left_out(of, settings, named=archive_type is not None, option="--type")
    with for_output(json=json) as progress, committing_first() as stop:
        result = run(settings, [ARCHIVE_LIST], progress, options=Options(archives=chosen), stop=stop)
    print_sync(result, json=json)
    raise typer.Exit(1 if result.failed else 0)


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
    from pipeline.cli.answers.bars import for_output
    from pipeline.cli.answers.endings import print_sync
    from pipeline.cli.asked_server import settings_of_server
    from pipeline.cli.left_out import less_left_out
    from pipeline.streams import ARCHIVED
    from pipeline.syncing.backfill import backfill as run
    from pipeline.syncing.backfill import closed_months

    chosen = closed_months(months or [], to)
    settings = settings_of_server(lake=lake, url=url)
    streams = [one for one in ARCHIVED.values() if stream in (None, one.name)]
    streams = less_left_out(streams, settings, named=stream is not None)
    with for_output(json=json) as progress, committing_first() as stop:
        result = run(settings, streams, chosen, progress, accept_deletions=accept_deletions, stop=stop)
    print_sync(result, json=json)
    raise typer.Exit(1 if result.failed else 0)
