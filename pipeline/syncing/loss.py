"""Notices that the server has turned away in the middle of a run, so that one stream says it and the others stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pipeline.errors import MustWait, ServerError, Stopped, TokenRefused, told
from warehouse import RapidlakeError

# An answer says of so many seconds afterwards that the server is still there.
TRUSTED_SECONDS = 60.0


class Loss:
    """Whether the server of a session is lost to it: it takes the token no more, or answers nothing.

    `ask` asks whose token it is, and raises what hinders that; a refusal of one endpoint alone is no loss.
    """

    def __init__(self, ask: Callable[[], object] = lambda: None) -> None:
        self._ask = ask
        self._turn = threading.Lock()
        self._answered: float | None = None
        self.why: str | None = None

    def forget(self) -> None:
        """Let the next run see for itself whether the server is back."""
        with self._turn:
            self.why = self._answered = None

    def told_of(self, error: ServerError) -> str | None:
        """What the stream that met `error` says, if the server is lost and it is the first to notice; else None."""
        with self._turn:
            if self.why or (self._answered is not None and time.monotonic() - self._answered < TRUSTED_SECONDS):
                return None
            try:
                self._ask()
            except (MustWait, Stopped):  # it is there
                return None
            except TokenRefused:
                self.why = "the token is refused"
                return (
                    "The token worked until a minute ago, and is refused now (403): was it revoked, or its user "
                    "removed? What was read is committed; set RAPIDPRO_TOKEN to another, and sync again."
                )
            except RapidlakeError:
                self.why = "the server does not answer"
                return told(error)
            self._answered = time.monotonic()
            return None
