"""What several commands share: their options, and how they are stopped."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from pipeline.streams import Stream

LakeOption = Annotated[
    Path | None, typer.Option("--lake", help="Folder of the lake (RAPIDLAKE_LAKE).", show_default="lake")
]
UrlOption = Annotated[str | None, typer.Option("--url", help="Address of the server (RAPIDPRO_URL).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON, for machines.")]


def less_left_out(streams: list[Stream], settings: Settings, *, named: bool) -> list[Stream]:
    """`streams` less those that the settings leave out, unless they were `named`; which it is, is said."""
    left = [stream.name for stream in streams if stream.name in settings.left_out]
    if left:
        which = "left out, but for now, because you named" if named else "left out; to read"
        it = "it" if len(left) == 1 else "them"
        tail = it if named else f"{it} once, name {it}"
        print(f"{', '.join(left)}: {which} {tail} (RAPIDLAKE_LEAVE_OUT).", file=sys.stderr)
    return streams if named else [stream for stream in streams if stream.name not in left]


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
