"""Downloads archive files: resumed where it broke off, without the token, and proven before anything reads them.

The address of a file is signed, short-lived and as good as a password: it is held in memory only and never shown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import httpx

from pipeline import __version__
from pipeline.errors import AddressExpired, UnexpectedAnswer, Unproven
from pipeline.results import Counters
from pipeline.server.abandoning import stopped, unless_stopped
from pipeline.server.client import TIMEOUT
from pipeline.server.retrying import MEAGRE_BYTES, Advance
from pipeline.settings import is_loopback

# An answer that brings next to nothing in so long is broken off.
TRICKLE_SECONDS = 60.0
# What stores answer for an address that has expired, or whose file is gone.
EXPIRED = {400, 401, 403, 404, 410}
KEPT = "what is downloaded is kept"


class _BrokenOff(Exception):
    """The download ended before the file did; what is there is kept."""


class Downloads(AbstractContextManager["Downloads"]):
    """Fetches files from signed addresses; safe to use from several threads.

    `patience` is how many seconds a download may go on without bringing a byte that it never had; `stop` ends all of
    them. `sleep` is called with seconds, `clock` tells them.
    """

    def __init__(
        self,
        *,
        patience: float,
        stop: threading.Event,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience = patience
        self._stop = stop
        self._sleep = sleep or stop.wait
        self._clock = clock
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

    def fetch(
        self,
        url: str,
        into: Path,
        counters: Counters,
        *,
        most: int | None = None,
        failing: Callable[[str | None], None] = lambda why: None,
    ) -> None:
        """Append to `into` until the file is complete; it may have `most` bytes.

        `failing` is called with what keeps failing, once each time that it does so for some seconds, and with None when
        the download goes on.

        Raises:
            AddressExpired: the store knows the address, or the file, no longer.
            ServerUnavailable: it kept failing for `patience` seconds without getting further, or hardly gets any.
            Unproven: it has more bytes than it may.
            Stopped: `stop` was set.
        """
        if most is not None and _size(into) > most:
            into.unlink()
        advance = Advance(_size(into), self._patience, self._clock, failing)
        try:
            while True:
                try:
                    unless_stopped(self._stop, lambda: self._go_on(url, into, counters, most), kept=KEPT)
                except _BrokenOff as error:
                    self._sleep(advance.pause(_size(into), str(error)))
                else:
                    advance.over()
                    return
        except (httpx.InvalidURL, UnicodeError):  # the last is of a host that cannot be one
            raise UnexpectedAnswer("the server lists an address that is none") from None
        except httpx.TooManyRedirects:
            raise UnexpectedAnswer("the file store redirects in a circle") from None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __exit__(self, *ended: object) -> None:
        self.close()

    def _go_on(self, url: str, into: Path, counters: Counters, most: int | None) -> None:
        """Ask for what is missing and append it."""
        have = _size(into)
        try:
            with self._http.stream("GET", url, headers={"Range": f"bytes={have}-"} if have else {}) as answer:
                self._heed_stop()
                if answer.status_code == 416:  # nothing is left to send: what is there is the file, or none at all
                    if answer.headers.get("Content-Range") != f"bytes */{have}":
                        into.unlink(missing_ok=True)
                        raise _BrokenOff("its size has changed")
                    return
                _check_status(answer)
                with into.open("ab" if _goes_on(answer, have) else "wb") as file:
                    self._write(answer, file, counters, most)
        except httpx.TransportError as error:
            raise _BrokenOff(type(error).__name__) from None  # its text may hold the address

    def _write(self, answer: httpx.Response, file: BinaryIO, counters: Counters, most: int | None) -> None:
        since, brought = self._clock(), 0
        # Raw, because stores may call a .gz file "gzip-encoded", and httpx would unpack it.
        for chunk in answer.iter_raw():
            self._heed_stop()
            file.write(chunk)
            file.flush()  # one who was left behind here may find the file another's when it goes on
            counters.bytes += len(chunk)
            brought += len(chunk)
            if most is not None and file.tell() > most:
                raise Unproven(f"it has more than the {most:,} bytes expected")
            if self._clock() - since > TRICKLE_SECONDS:
                if brought < MEAGRE_BYTES:
                    raise _BrokenOff("it sends next to nothing")
                since, brought = self._clock(), 0

    def _heed_stop(self) -> None:
        """Change nothing once nobody waits for it any longer."""
        if self._stop.is_set():
            raise stopped(KEPT)


def _goes_on(answer: httpx.Response, have: int) -> bool:
    """True if an answer goes on where the file ends, False if it is the file from its beginning."""
    if answer.status_code != 206:
        return False
    sent = answer.headers.get("Content-Range", "")
    if sent.startswith(f"bytes {have}-"):
        return have > 0
    if have and not sent.startswith("bytes 0-"):
        raise _BrokenOff("it sends another part than was asked for")
    return False


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
    if request.url.scheme not in ("http", "https") or not request.url.host:
        raise UnexpectedAnswer("the server lists an address that is none")
    if request.url.scheme != "https" and not is_loopback(request.url.host):
        raise UnexpectedAnswer(
            f"it would come unencrypted from http://{request.url.host}: let the server's archive store use https"
        )


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
