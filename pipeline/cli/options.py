"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LakeOption = Annotated[
    Path | None, typer.Option("--lake", help="Folder of the lake (RAPIDLAKE_LAKE).", show_default="lake")
]
UrlOption = Annotated[str | None, typer.Option("--url", help="Address of the server (RAPIDPRO_URL).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON, for machines.")]
