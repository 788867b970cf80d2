"""Tells of files of the working directory that hold the token, and that others on this machine can read."""

from __future__ import annotations

import re
from pathlib import Path

from warehouse.private import open_to

# Where people keep it, and how it stands there.
FILES = {
    "rapidlake.toml": re.compile(r"^\s*(token|RAPIDPRO_TOKEN)\s*=\s*\S", re.MULTILINE),
    ".env": re.compile(r"^\s*(export\s+)?RAPIDPRO_TOKEN\s*=\s*\S", re.MULTILINE),
}


def exposed_tokens() -> list[str]:
    """A sentence for each file with a token in it that others can read, with what to type."""
    return [
        f"{name} holds the token, and {who} on this machine may read it: type `chmod 600 {name}`."
        for name, holds in FILES.items()
        if (who := open_to(Path(name))) and holds.search(_text(Path(name)))
    ]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
