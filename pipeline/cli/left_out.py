"""Says which streams the settings leave out."""

from __future__ import annotations

import sys

from pipeline.settings import Settings
from pipeline.streams import Stream


def less_left_out(streams: list[Stream], settings: Settings, *, named: bool, option: str = "") -> list[Stream]:
    """`streams` less those that the settings leave out, unless they were `named`; which it is, is said.

    `option` is what names them, where it is no argument.
    """
    left = [stream.name for stream in streams if stream.name in settings.left_out]
    if left:
        which = "left out, but for now, because you named" if named else "left out; to read"
        it = "it" if len(left) == 1 else "them"
        tail = it if named else f"{it} once, name {it}{option and f' with {option}'}"
        print(f"{', '.join(left)}: {which} {tail} (RAPIDLAKE_LEAVE_OUT).", file=sys.stderr)
    return streams if named else [stream for stream in streams if stream.name not in left]
