"""Waits for the network only as long as nobody asks to stop: no signal, and no other thread, ends a read that hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from pipeline.errors import Stopped

LOOK_SECONDS = 0.2

T = TypeVar("T")


def unless_stopped(stop: threading.Event, work: Callable[[], T], *, kept: str) -> T:
    """Do `work` in a thread of its own and return what it does, or leave it behind as soon as `stop` is set.

    What is left behind hangs until its connection is closed, or with the process; it must change nothing then.

    Raises:
        Stopped: `stop` was set; `kept` says what is kept.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    if not stop.is_set():
        threading.Thread(target=run, name="request", daemon=True).start()
        while not wait([done], LOOK_SECONDS).done:
            if stop.is_set():
                break
        else:
            return done.result()
    raise stopped(kept)


def stopped(kept: str) -> Stopped:
    """What is raised once `stop` is set; `kept` says what is kept."""
    return Stopped(f"Stopped: {kept}; run the same command again to go on.")
