"""Waits for locks that other processes hold, only as long as nobody asks to stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from warehouse.errors import LakeStopped

LOOK_SECONDS = 0.5


@contextmanager
def locked(file: Path, stop: threading.Event | None = None) -> Iterator[None]:
    """Hold the lock of this file while the block runs; the system takes it back if this process dies.

    Raises:
        LakeStopped: `stop` was set while another process held it.
    """
    lock = FileLock(file)
    while not lock.is_locked:
        try:
            lock.acquire(timeout=LOOK_SECONDS)
        except Timeout:
            if stop and stop.is_set():
                raise LakeStopped("Stopped: another process had the lake, and what was committed is kept.") from None
    try:
        yield
    finally:
        lock.release()
