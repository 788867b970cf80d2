"""Commands that show how complete the lake is, and what is in the way."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import JsonOption, LakeOption, UrlOption
from pipeline.cli.stopping import committing_first


def status(
    months: Annotated[bool, typer.Option("--months", help="Show when each month was last proven.")] = False,
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Show what is in the lake, how far each stream is read, how its last sync went, and when it was last proven."""
    from pipeline.cli.answers.status_answers import print_status
    from pipeline.settings import local_settings
    from warehouse import Lake

    settings = local_settings(lake=lake)
    with Lake.open(settings.lake, at_one_moment=True) as opened:
        print_status(opened, settings.left_out, months=months, json=json)


def verify(
    streams: Annotated[list[str] | None, typer.Argument(metavar="STREAM", help="Only these; all by default.")] = None,
    since: Annotated[str | None, typer.Option(help="Only rows from this date on, e.g. 2026-01-31 (UTC).")] = None,
    sample: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=100, help="Percent of the days to read, of streams that are read by date.", show_default="100"
        ),
    ] = None,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Read what was proven longest ago: in ten nights all that the API shows.")
    ] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Fetch, mark or remove what differs.")] = False,
    accept_deletions: Annotated[
        bool, typer.Option("--accept-deletions", help="With --repair: mark rows that are gone, however many.")
    ] = False,
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Read the server again and tell every row that the lake does not have as the server has it."""
    from pipeline.cli.answers.bars import for_output
    from pipeline.cli.answers.proof_answers import print_verification
    from pipeline.cli.asked_server import settings_of_server
    from pipeline.cli.left_out import less_left_out
    from pipeline.errors import SettingsError
    from pipeline.proof.comparing import Verification
    from pipeline.proof.verify import choose_verifiable
    from pipeline.proof.verify import verify as run
    from pipeline.settings import parse_date

    if rotate and (since is not None or sample is not None):
        raise SettingsError("--rotate chooses the days itself: leave --since and --sample out, or --rotate.")
    chosen = choose_verifiable(streams or [])
    earliest = parse_date(since) if since is not None else None
    settings = settings_of_server(lake=lake, url=url)
    chosen = less_left_out(chosen, settings, named=bool(streams))
    with for_output(json=json, verifying=True) as progress, committing_first() as stop:
        result = run(
            settings,
            chosen,
            progress,
            since=earliest,
            asked=Verification(100.0 if sample is None else sample, repair, rotate),
            accept_deletions=accept_deletions,
            stop=stop,
        )
    print_verification(result, json=json)
    raise typer.Exit(1 if result.failed else 0)


def doctor(lake: LakeOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Check address, token, role, endpoints, clock and lake, and say what to do about what is wrong."""
    from pipeline.cli.answers.bars import for_output
    from pipeline.cli.answers.status_answers import print_findings
    from pipeline.proof.doctor import examine
    from pipeline.settings import load_settings

    settings = load_settings(lake=lake, url=url)
    with for_output(json=json) as progress:
        findings = examine(settings, progress)
    print_findings(findings, json=json)
    raise typer.Exit(0 if all(finding.good for finding in findings) else 1)
