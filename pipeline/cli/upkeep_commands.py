"""Commands that keep the lake small."""

from __future__ import annotations

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
