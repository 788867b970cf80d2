"""Proves that a downloaded archive file is the one that the server lists."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.errors import Unproven


def prove(file: Path, *, size: int | None, digest: str) -> None:
    """Make sure that a file is the one that was listed.

    Raises:
        Unproven: its size or MD5 is another.
    """
    have = file.stat().st_size
    if size and have != size:
        raise Unproven(f"it has {have:,} bytes where the list says {size:,}")
    with file.open("rb") as content:
        if hashlib.file_digest(content, "md5").hexdigest() != digest.lower():
            raise Unproven("its MD5 is not the one in the list")
