"""What several commands share: their options, and how they are stopped."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

LakeOption = Annotated[
    Path | None, typer.Option("--lake", help="Folder of the lake (RAPIDLAKE_LAKE).", show_default="lake")
]
UrlOption = Annotated[str | None, typer.Option("--url", help="Address of the server (RAPIDPRO_URL).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON, for machines.")]


def stop_on_signal() -> threading.Event:
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
