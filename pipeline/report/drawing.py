"""Draws charts in a process of its own, so that one that ends or hangs the renderer costs that one only."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.access import environment_without_token

RENDERER = Path(__file__).with_name("renderer.py")
# For all charts of a report, which take two seconds.
PATIENCE_SECONDS = 60.0

Spec = dict[str, Any]


def draw(specs: Sequence[Spec], *, patience: float = PATIENCE_SECONDS) -> list[str | None]:
    """An SVG for each specification of Vega-Lite, in their order; None for one that cannot be drawn."""
    drawn: list[str | None] = []
    while len(drawn) < len(specs):
        drawn += _answers(specs[len(drawn) :], patience)
        if len(drawn) < len(specs):
            drawn.append(None)  # the process ended at this one; another draws what follows
    return drawn


def _answers(specs: Sequence[Spec], patience: float) -> list[str | None]:
    """The answers of one process, up to the specification that ended it."""
    try:
        said = subprocess.run(
            [sys.executable, "-P", str(RENDERER)],
            input="".join(json.dumps(spec) + "\n" for spec in specs).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # it repeats names of the workspace
            timeout=patience,
            env=environment_without_token(),
            check=False,
        ).stdout
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
    return [json.loads(line) for line in said.split(b"\n")[:-1]]
