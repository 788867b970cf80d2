"""Downloads archive files: resumed where it broke off, without the token, and proven before anything reads them.

The address of a file is signed, short-lived and as good as a password: it is held in memory only and never shown.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import tenacity

from pipeline import __version__
from pipeline.errors import AddressExpired, ServerUnavailable, Stopped, UnexpectedAnswer
from pipeline.results import Counters
from pipeline.server.client import FIRST_PAUSE, LONGEST_PAUSE, TIMEOUT
from pipeline.settings import is_loopback

# What stores answer for an address that has expired, or whose file is gone.
EXPIRED = {400, 401, 403, 404, 410}


class _BrokenOff(Exception):
    """The download ended before the file did; what is there is kept."""


class Downloads(AbstractContextManager["Downloads"]):
    """Fetches files from signed addresses; safe to use from several threads.

    `patience` is how many seconds an attempt may go on without bringing a byte; `stop` ends all of them.
    """

    def __init__(self, *, patience: float, stop: threading.Event) -> None:
        self._patience = patience
        self._stop = stop
        self._http = httpx.Client(
            headers={
                "User-Agent": f"rapidlake/{__version__} (+https://pypi.org/project/rapidlake/)",
                "Accept-Encoding": "identity",
            },
            timeout=TIMEOUT,
            follow_redirects=True,
            mounts={"all://127.0.0.1": None, "all://localhost": None},
            event_hooks={"request": [_refuse_unencrypted]},
        )

    def fetch(self, url: str, into: Path, counters: Counters) -> None:
        """Append to `into` until the file is complete.

        Raises:
            AddressExpired: the store knows the address, or the file, no longer.
            ServerUnavailable: it kept failing for `patience` seconds without bringing a byte.
            Stopped: `stop` was set.
        """
        try:
            while True:  # each attempt that brings something is followed by another
                before = _size(into)
                try:
                    self._patiently(lambda: self._go_on(url, into, counters))
                except _BrokenOff as error:
                    if _size(into) == before:
                        raise ServerUnavailable(
                            f"the file store kept failing for {self._patience:.0f} s: {error}"
                        ) from None
                else:
                    return
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise UnexpectedAnswer("the server lists an address that is none") from None
        except httpx.TooManyRedirects:
            raise UnexpectedAnswer("the file store redirects in a circle") from None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __exit__(self, *ended: object) -> None:
        self.close()

    def _patiently(self, attempt: Callable[[], None]) -> None:
        tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_BrokenOff),
            wait=tenacity.wait_exponential_jitter(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE, jitter=FIRST_PAUSE),
            stop=tenacity.stop_before_delay(self._patience),
            sleep=self._sleep,
            reraise=True,
        )(attempt)

    def _sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def _go_on(self, url: str, into: Path, counters: Counters) -> None:
        """Ask for what is missing and append it."""
        if self._stop.is_set():
            raise Stopped("Stopped: what is downloaded is kept; run the same command again to go on.")
        have = _size(into)
        try:
            with self._http.stream("GET", url, headers={"Range": f"bytes={have}-"} if have else {}) as answer:
                if answer.status_code == 416:  # nothing is left to send: what is there is the file, or none at all
                    if answer.headers.get("Content-Range") != f"bytes */{have}":
                        into.unlink()
                        raise _BrokenOff("its size has changed")
                    return
                _check_status(answer)
                resumed = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(
                    f"bytes {have}-"
                )
                with into.open("ab" if resumed else "wb") as file:
                    # Raw, because stores may call a .gz file "gzip-encoded", and httpx would unpack it.
                    for chunk in answer.iter_raw():
                        file.write(chunk)
                        counters.bytes += len(chunk)
                        if self._stop.is_set():
                            raise Stopped("Stopped: what is downloaded is kept; run the same command again to go on.")
        except httpx.TransportError as error:
            raise _BrokenOff(type(error).__name__) from None  # its text may hold the address


def _check_status(answer: httpx.Response) -> None:
    status = answer.status_code
    if status in (200, 206):
        return
    if status in EXPIRED:
        raise AddressExpired(f"the file store no longer knows the address ({status})")
    if status >= 500 or status in (408, 429):
        raise _BrokenOff(f"it answered {status}")
    raise UnexpectedAnswer(f"the file store answered {status}")


def _refuse_unencrypted(request: httpx.Request) -> None:
    if request.url.scheme != "https" and not is_loopback(request.url.host):
        raise UnexpectedAnswer(
            f"it would come unencrypted from http://{request.url.host}: let the server's archive store use https"
        )


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
