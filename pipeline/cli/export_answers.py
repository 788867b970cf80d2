"""Prints what an export wrote."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from warehouse.asking.export import Exported


def print_export(done: Sequence[Exported], folder: Path, *, json: bool) -> None:
    """What an export wrote, on standard output."""
    if json:
        print(jsonlib.dumps([asdict(one) for one in done], indent=2))
        return
    print(f"{len(done):,} tables and views, {sum(one.rows for one in done):,} rows → {folder}/")
