"""Commands that keep the lake small, and copy it for readers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import JsonOption, LakeOption, UrlOption


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

    from pipeline.cli.answers.endings import print_upkeep
    from pipeline.settings import local_settings
    from warehouse import Lake
    from warehouse import maintain as run

    settings = local_settings(lake=lake, keep_days=keep_days)
    Lake.open(settings.lake).close()  # upkeep makes no lake
    with Lake.create(settings.lake) as opened:
        print_upkeep(run(opened, keep=timedelta(days=settings.keep_days)), json=json)


def publish(
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Folder of the copy (RAPIDLAKE_PUBLISH); who may read the folder may read the copy."),
    ] = None,
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Make or renew a copy of the lake for those who may only read, with all that is new; safe while a sync runs."""
    from pipeline.cli.answers.endings import print_published
    from pipeline.errors import SettingsError
    from pipeline.settings import local_settings
    from warehouse.publishing.publish import publish as run

    settings = local_settings(lake=lake, publish=to)
    if not settings.publish:
        raise SettingsError("No folder is named for the copy: name one with --to or RAPIDLAKE_PUBLISH.")
    print_published(run(settings.lake, settings.publish), json=json)
