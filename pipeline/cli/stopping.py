"""How every command is stopped: by Ctrl-C, SIGTERM or SIGHUP, from its first moment on, whatever it is doing then.

Most commands end at once. One that loads rows commits first what it has read. One that does neither within
`GRACE_SECONDS`, because it waits for another process or works at something long, is ended: as by `kill -9`, which loses
nothing that is committed. Imports nothing that takes time.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import filterfalse
from types import FrameType

GRACE_SECONDS = 7.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPED = 1
# What a shell calls the end by Ctrl-C.
ENDED_AT_ONCE = 128 + signal.SIGINT
COMMITTING = "Stopping after a last commit; Ctrl-C again to stop at once (that loses nothing either)."
KEPT = (
    "rapidlake: Stopped: what was committed is kept, and no file is left by half; run the same command again to go on."
)
SHOW_CURSOR = "\x1b[?25h"


class StopAsked(BaseException):
    """A signal asks to end; raised where the main thread is. No `except Exception` may take it for a failure."""


class Stopping:
    """What became of this process's signals; `asked` is set by the first, and `commits` while there is work to save.

    The system tells a thread of each signal, because the main thread may be busy outside Python, and hears nothing.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.commits = False
        self._raised = self._rests = False

    def raise_it(self, number: int, frame: FrameType | None) -> None:
        """End what the main thread does, once, unless that looks at `asked` by itself."""
        if not (self.commits or self._raised or self._rests):
            self._raised = True
            raise StopAsked

    @property
    def stopped(self) -> bool:
        """Whether a signal has come that ends the work."""
        return self._raised or self.asked.is_set()

    def rest(self) -> None:
        """Raise nothing from here on: the work is done, or given up."""
        self._rests = True

    def watch(self, signals: int) -> None:
        """Note the signals whose numbers come out of this pipe, until it is closed; end the process if it is late."""
        deadline: float | None = None
        while True:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            if not select.select([signals], [], [], left)[0]:
                _end(KEPT, STOPPED)
            numbers = os.read(signals, 64)
            if not numbers:
                return
            for number in filter(SIGNALS.__contains__, numbers):
                if deadline is None:
                    deadline = time.monotonic() + GRACE_SECONDS
                    if self.commits:
                        _say(COMMITTING)
                    self.asked.set()
                elif number == signal.SIGINT:  # a second one: other signals come in pairs by themselves
                    _end(KEPT, ENDED_AT_ONCE)


_of_process = Stopping()


@contextmanager
def heeded() -> Iterator[Stopping]:
    """Heed signals while the block runs; afterwards they end the process as the system does, in silence."""
    global _of_process
    stopping = _of_process = Stopping()
    if threading.current_thread() is not threading.main_thread():  # which alone hears of signals
        yield stopping
        return
    signals, told = os.pipe()
    os.set_blocking(told, False)
    before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    heard = [number for number in SIGNALS if not _left_alone(number)]
    watcher = threading.Thread(target=stopping.watch, args=[signals], name="signals", daemon=True)
    watcher.start()
    for number in heard:
        signal.signal(number, stopping.raise_it)
    # One that comes where nothing can be raised, such as while memory is given back, would be shown with a traceback.
    hook = sys.unraisablehook
    sys.unraisablehook = lambda what: None if what.exc_type is StopAsked else hook(what)
    try:
        yield stopping
    finally:
        stopping.rest()
        for number in heard:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(before)
        os.close(told)
        watcher.join()
        os.close(signals)
        sys.unraisablehook = hook


@contextmanager
def committing_first() -> Iterator[threading.Event]:
    """What the block does is told by the event that it shall end, and commits what it has."""
    stopping = _of_process
    stopping.commits = True
    try:
        yield stopping.asked
    finally:
        stopping.commits = False


def leave_to_prompt() -> None:
    """Let Ctrl-C end what is being asked, and any other signal the process, as it does that of any prompt."""
    signal.set_wakeup_fd(-1)
    for number in filterfalse(_left_alone, SIGNALS):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def say_stopped() -> None:
    """Say that the command has ended before its work was done, and what is kept."""
    _say(KEPT)


def _left_alone(number: int) -> bool:
    """True for the end of a terminal that whoever started this process told it not to mind, as `nohup` does."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def _end(sentence: str, code: int) -> None:
    _say(sentence)
    os._exit(code)


def _say(sentence: str) -> None:
    """Not print: the signal may have come in the middle of one."""
    with suppress(OSError):  # of a terminal that is gone
        os.write(2, f"{SHOW_CURSOR if os.isatty(2) else ''}{sentence}\n".encode())
