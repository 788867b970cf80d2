"""Measures what copying messages from the API into the lake costs: CPU-seconds and memory of `rapidlake sync`.

    python bench/api_to_lake.py                      200,000 messages of about 700 bytes
    python bench/api_to_lake.py --messages 2000000   memory must not grow with the workspace

The server runs in a process of its own and is not counted. Figures are the operating system's for the whole sync
process: start, imports and all requests included.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from measure import RAPIDLAKE, measure, print_heading, sandbox


def main() -> None:
    """Serve, sync, measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--messages", type=int, default=200_000)
    arguments.add_argument("--streams", nargs="*", default=["messages"])
    arguments.add_argument("--again", type=int, default=1, help="syncs after the first, with nothing changed")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name, sandbox(given.messages, archives=False) as url:
        folder = Path(name)
        print_heading(f"sync of {given.messages} messages")
        for number in range(1 + given.again):
            title = "first" if number == 0 else "again, nothing changed"
            measure(title, [*RAPIDLAKE, "sync", *given.streams], url, folder)
        parquet = sum(file.stat().st_size for file in Path(folder, "lake").rglob("*.parquet"))
        print(f"{'Parquet in the lake, MB':<36} {parquet / 1e6:>8.1f}")


if __name__ == "__main__":
    main()
