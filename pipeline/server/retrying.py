"""How requests and downloads are asked again: what failed, how long to pause, when to give up, and when to say so."""

from __future__ import annotations

import email.utils
import math
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import tenacity

from pipeline.errors import ServerUnavailable

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
# A 429 without Retry-After: the server's limit was lowered below what it already counted.
THROTTLED_PAUSE, LONGEST_THROTTLED_PAUSE = 60.0, 900.0
# A 429 that asks for no pause: without one of ours, the refusals would never end.
LEAST_PAUSE = 1.0
# RapidPro counts the requests of an hour: nobody has to wait longer.
LONGEST_ASKED = 3600.0
# Of so many attempts in a row that each bring less than this, no file comes.
MEAGRE_BYTES, MOST_MEAGRE = 4096, 100
# A request that fails for longer is told of.
SILENT_SECONDS = 3.0


class Transient(Exception):
    """A failure that the same request may not meet again; `seconds` is the pause the server asked for, if it did."""

    def __init__(self, why: str, seconds: float | None = None) -> None:
        super().__init__(why)
        self.seconds = seconds


class Throttled(Exception):
    """The server said 429; `seconds` is what it asked for, None if it did not say."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__("throttled")
        self.seconds = seconds


class Failing:
    """How one request fares: how long to pause, and whether to give up. Throttling is never a failure.

    `tell` is called with the reason once a request has failed for some seconds, and with None when it no longer does.
    """

    def __init__(self, patience: float, tell: Callable[[str | None], None]) -> None:
        self._patience = patience
        self._tell = tell
        self._begun = time.monotonic()
        self._first_failure: float | None = None
        self._refusals = 0
        self._paused = 0.0
        self._why = ""
        self._told = False
        self._backoff = tenacity.wait_exponential_jitter(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE, jitter=FIRST_PAUSE)
        self.throttled = False

    def pause(self, state: tenacity.RetryCallState) -> float:
        """Seconds until the next attempt."""
        error = state.outcome.exception() if state.outcome else None
        self.throttled = isinstance(error, Throttled)
        self._why = str(error)
        if isinstance(error, Throttled):
            self._refusals += 1
            return self._pause_of_refusal(error.seconds)
        asked = error.seconds if isinstance(error, Transient) else None
        return float(min(max(self._backoff(state), asked or 0.0), self._patience))

    def _pause_of_refusal(self, asked: float | None) -> float:
        doubled = 2.0 ** min(self._refusals - 1, 60)
        if asked is None:
            return min(THROTTLED_PAUSE * doubled, LONGEST_THROTTLED_PAUSE)
        return max(asked, min(LEAST_PAUSE * doubled, LONGEST_PAUSE))

    def give_up(self, state: tenacity.RetryCallState) -> bool:
        """True once a request has kept failing for `patience` seconds."""
        now = time.monotonic()
        if self.throttled:
            self.over()
            self._first_failure, self._begun, self._paused = None, now, 0.0
            return False
        self._first_failure = self._first_failure or now
        return now - self._first_failure + state.upcoming_sleep > self._patience

    def before_pause(self, seconds: float) -> None:
        """Say that the request is asked again, and why, if it has failed for long enough and was not told of."""
        self._paused += seconds
        lasted = max(time.monotonic() - self._begun + seconds, self._paused)
        if not self._told and lasted >= SILENT_SECONDS:
            self._told = True
            self._tell(self._why)

    def over(self) -> None:
        """Take back what was told: the server answers."""
        if self._told:
            self._told = False
            self._tell(None)


class Advance:
    """How one download fares: only what lies beyond all that ever arrived counts as getting further.

    `have` is how many bytes are there; `tell` is called as that of `Failing`.
    """

    def __init__(
        self, have: int, patience: float, clock: Callable[[], float], tell: Callable[[str | None], None]
    ) -> None:
        self._furthest = have
        self._patience = patience
        self._clock = clock
        self._tell = tell
        self._told = False
        self._since = clock()
        self._paused = 0.0
        self._failures = self._meagre = 0

    def pause(self, have: int, why: str) -> float:
        """Seconds until the next attempt, after one that broke off.

        Raises:
            ServerUnavailable: another would not help.
        """
        brought = have - self._furthest
        if brought > 0:
            self._furthest = have
            self._meagre = self._meagre + 1 if brought < MEAGRE_BYTES else 0
            if self._meagre > MOST_MEAGRE:
                raise ServerUnavailable(f"the file store sends next to nothing each time: {why}")
            self.over()
            self._since, self._paused, self._failures = self._clock(), 0.0, 0
            return 0.0
        seconds = min(FIRST_PAUSE * 2.0**self._failures + random.uniform(0, FIRST_PAUSE), LONGEST_PAUSE)
        lasted = max(self._clock() - self._since, self._paused) + seconds
        if lasted > self._patience:
            raise ServerUnavailable(f"the file store kept failing for {self._patience:.0f} s: {why}")
        self._failures = min(self._failures + 1, 20)
        self._paused += seconds
        if lasted >= SILENT_SECONDS and not self._told:
            self._told = True
            self._tell(f"the file store fails ({why}); trying again for up to {self._patience:.0f} s")
        return seconds

    def over(self) -> None:
        """Take back what was told: the download goes on."""
        if self._told:
            self._told = False
            self._tell(None)


def retry_after(response: httpx.Response) -> float | None:
    """Seconds the server asks to wait, an hour at most; None if it does not say.

    Of several headers, as a proxy may add one, the longest counts.
    """
    said = [_seconds(value, response) for value in response.headers.get_list("Retry-After")]
    return max((min(seconds, LONGEST_ASKED) for seconds in said if seconds is not None), default=None)


def _seconds(value: str, response: httpx.Response) -> float | None:
    """The seconds of a number or an HTTP date; of a date that is past, none."""
    if re.fullmatch(r"[0-9]+", value.strip()):  # str.isdigit takes more than float does
        return float(value)
    at, sent = http_date(value), http_date(response.headers.get("Date", ""))
    return float(max(0, math.ceil((at - sent).total_seconds()))) if at and sent else None


def http_date(text: str) -> datetime | None:
    """A date of a header as UTC; None if it is none."""
    try:
        at = email.utils.parsedate_to_datetime(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):  # the parser's, not only its own
        return None
