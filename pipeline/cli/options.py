"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LakeOption = Annotated[
    Path | None,
    # `readable`: who may not read it gets our sentence, which says what to do.
    typer.Option("--lake", help="Folder of the lake (RAPIDLAKE_LAKE).", show_default="lake", readable=False),
]
UrlOption = Annotated[str | None, typer.Option("--url", help="Address of the server (RAPIDPRO_URL).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON, for machines.")]
