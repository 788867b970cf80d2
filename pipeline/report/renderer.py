"""Draws Vega-Lite specifications as SVG, one JSON document per line each: from standard input, to standard output.

Run as a file, by `drawing`: its native code aborts at texts that it cannot write, which no `except` catches, and other
texts keep it busy for hours. It imports nothing else of Rapidlake, so that it begins in no time.
"""

from __future__ import annotations

import json
import resource
import sys
from contextlib import suppress

import vl_convert

# More than `drawing` waits for: whoever asked has been killed, and nobody else would end it.
MOST_CPU_SECONDS = 180


def main() -> None:
    """Answer each line, with null where a specification cannot be drawn."""
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_SECONDS, MOST_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # an image of its memory would hold what it draws
    for line in sys.stdin.buffer:
        svg: str | None = None
        with suppress(ValueError):  # so it refuses a specification
            svg = vl_convert.vegalite_to_svg(json.loads(line), allowed_base_urls=[])
        sys.stdout.write(json.dumps(svg) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
