"""Measures what archived messages cost on their way into the lake, against only unzipping the same files, in one run.

    python bench/archives_to_lake.py                     about 1,000,000 messages of about 700 bytes, in monthly files
    python bench/archives_to_lake.py --messages 200000

The server runs in a process of its own and is not counted. Figures are the operating system's for the whole process:
start, imports, download, proof, unpacking and loading included.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tempfile
from pathlib import Path

import httpx
from measure import RAPIDLAKE, measure, print_heading, sandbox

from sandbox import TOKEN

UNZIP = [
    sys.executable,
    "-c",
    "import gzip, sys\n"
    "for name in sys.argv[1:]:\n"
    "    with gzip.open(name) as packed:\n"
    "        while packed.read(1 << 20): pass",
]
# The generated workspace has three archived messages for each one in the API.
ARCHIVED = 3


def main() -> None:
    """Serve, unzip, load, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--messages", type=int, default=1_000_000, help="about so many are in the archives")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name, sandbox(given.messages // ARCHIVED, archives=True) as url:
        folder = Path(name)
        files, records, unpacked = _download(url, folder)
        print(f"{records:,} archived messages in {len(files)} files, {unpacked / records:.0f} bytes each when unpacked")
        print_heading("")
        unzip = measure("only unzipping", [*UNZIP, *map(str, files)], url, folder)
        load = measure("loading them", [*RAPIDLAKE, "archives", "--load", "--type", "message"], url, folder)
        measure("again, nothing new", [*RAPIDLAKE, "archives", "--load", "--type", "message"], url, folder)
        print(f"{'loading / unzipping':<36} {load / unzip:>8.1f}")
        print(f"{'loading, CPU s per 1,000,000':<36} {load / records * 1e6:>8.1f}")


def _download(url: str, folder: Path) -> tuple[list[Path], int, int]:
    """The message archives as files; how many records they have, and how many bytes when they are unpacked."""
    listed = httpx.get(
        f"{url}/api/v2/archives.json?limit=10000&archive_type=message", headers={"Authorization": f"Token {TOKEN}"}
    ).json()["results"]
    files, unpacked = [], 0
    for row in listed:
        if row["record_count"]:
            file = folder / f"{row['period']}-{row['start_date']}.gz"
            file.write_bytes(httpx.get(row["download_url"]).content)
            unpacked += len(gzip.decompress(file.read_bytes()))
            files.append(file)
    return files, sum(row["record_count"] for row in listed), unpacked


if __name__ == "__main__":
    main()
