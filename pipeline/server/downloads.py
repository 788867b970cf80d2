"""Downloads archive files: resumed where it broke off, without the token, and proven before anything reads them.

The address of a file is signed, short-lived and as good as a password: it is held in memory only and never shown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx

from pipeline.access import IpAddress
from pipeline.errors import AddressExpired, NotTrusted, UnexpectedAnswer, Unproven
from pipeline.results import Counters
from pipeline.server.abandoning import stopped, unless_stopped
from pipeline.server.connections import LOCATION, distrust, open_http, proxy_for
from pipeline.server.hosts import NONE, Hosts, Refused, Unresolved, host_of
from pipeline.server.retrying import MEAGRE_BYTES, Advance
from warehouse.private import no_links

# An answer that brings next to nothing in so long is broken off.
TRICKLE_SECONDS = 60.0
# What stores answer for an address that has expired, or whose file is gone.
EXPIRED = {400, 401, 403, 404, 410}
REDIRECTS = {301, 302, 303, 307, 308}
MOST_REDIRECTS = 5
# Of a name that leads to many addresses, so many are tried.
MOST_ADDRESSES = 4
GZIP = b"\x1f\x8b"
KEPT = "what is downloaded is kept"


class _BrokenOff(Exception):
    """The download ended before the file did; what is there is kept."""


class Downloads(AbstractContextManager["Downloads"]):
    """Fetches files from signed addresses; safe to use from several threads.

    `server` is the address of the API, `stores` are hosts on a private network that files may come from, `ca_file`
    names certificates to trust besides the usual ones. `patience` is how many seconds a download may go on without
    bringing a byte that it never had; `stop` ends all of them. `sleep` is called with seconds, `clock` tells them.
    """

    def __init__(
        self,
        server: str,
        *,
        stores: Collection[str] = (),
        ca_file: Path | None = None,
        patience: float,
        stop: threading.Event,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience = patience
        self._stop = stop
        self._sleep = sleep or stop.wait
        self._clock = clock
        self._hosts = Hosts(server, stores)
        self._ca_file = ca_file
        self._clients: dict[str | None, httpx.Client] = {}
        self._open = ExitStack()
        self._turn = threading.Lock()

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
            UnexpectedAnswer: no file may come from its address, or that answers no file.
            NotTrusted: the store's certificate is none that this machine trusts.
            AddressExpired: the store knows the address, or the file, no longer.
            ServerUnavailable: it kept failing for `patience` seconds without getting further, or hardly gets any.
            Unproven: it has more bytes than it may.
            Stopped: `stop` was set.
        """
        if most is not None and _size(into) > most:
            into.unlink()
        advance = Advance(_size(into), self._patience, self._clock, failing)
        while True:
            try:
                unless_stopped(self._stop, lambda: self._go_on(url, into, counters, most), kept=KEPT)
            except _BrokenOff as error:
                self._sleep(advance.pause(_size(into), str(error)))
            else:
                advance.over()
                return

    def close(self) -> None:
        """Close the connections."""
        self._open.close()

    def __exit__(self, *ended: object) -> None:
        self.close()

    def _go_on(self, url: str, into: Path, counters: Counters, most: int | None) -> None:
        """Ask for what is missing and append it."""
        have = _size(into)
        try:
            with closing(self._ask(url, {"Range": f"bytes={have}-"} if have else {})) as answer:
                self._heed_stop()
                if answer.status_code == 416:  # nothing is left to send: what is there is the file, or none at all
                    if answer.headers.get("Content-Range") != f"bytes */{have}":
                        into.unlink(missing_ok=True)
                        raise _BrokenOff("its size has changed")
                    return
                _check_status(answer)
                with (
                    _unless_cut_page(into),
                    open(into, "ab" if _goes_on(answer, have) else "wb", opener=no_links) as file,
                ):
                    self._write(answer, file, counters, most)
        except httpx.TransportError as error:
            raise _no_answer(error) from None
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, ValueError):  # the last also of odd characters
            raise UnexpectedAnswer("the file store sends what is no answer") from None

    def _ask(self, listed: str, headers: dict[str, str]) -> httpx.Response:
        """The answer that an address leads to, also by redirects; each is looked at before it is asked."""
        who, text, base = "the server lists", listed, None
        for _ in range(MOST_REDIRECTS + 1):
            try:
                base = self._hosts.read(text, base)
                answer = self._send(base, headers)
            except Refused as rule:
                raise UnexpectedAnswer(f"{who} {rule}") from None
            if answer.status_code not in REDIRECTS:
                return answer
            answer.close()
            who, text = "the file store redirects to", answer.extensions.get(LOCATION, "")
            if not text:
                raise UnexpectedAnswer(f"{who} {NONE}")
        raise UnexpectedAnswer(f"the file store redirects more than {MOST_REDIRECTS} times")

    def _send(self, url: httpx.URL, headers: dict[str, str]) -> httpx.Response:
        """The beginning of an answer, from one of the addresses that the host has and that may be."""
        proxy = proxy_for(url)
        client = self._client(proxy)
        if proxy:
            self._hosts.check_name(url)
            return client.send(client.build_request("GET", url, headers=headers), stream=True)
        try:
            *others, last = self._hosts.addresses(url)[:MOST_ADDRESSES]
        except Unresolved:
            raise _BrokenOff("its name cannot be resolved") from None
        for address in others:
            try:
                return client.send(_to(address, client, url, headers), stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if distrust(error):
                    raise
                self._heed_stop()
        return client.send(_to(last, client, url, headers), stream=True)

    def _client(self, proxy: str | None) -> httpx.Client:
        """The client that asks through this proxy, or through none."""
        with self._turn:
            if proxy not in self._clients:
                client = open_http({"Accept-Encoding": "identity"}, ca_file=self._ca_file, proxy=proxy)
                self._clients[proxy] = self._open.enter_context(client)
            return self._clients[proxy]

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


def _to(address: IpAddress, client: httpx.Client, url: httpx.URL, headers: dict[str, str]) -> httpx.Request:
    """A request that goes to one address, for what has another name: that is asked for, and has to be proven by TLS."""
    return client.build_request(
        "GET",
        url.copy_with(host=str(address)),
        headers={**headers, "Host": url.netloc.decode("ascii")},
        extensions={"sni_hostname": host_of(url).rstrip(".")},
    )


def _no_answer(error: httpx.TransportError) -> Exception:
    """What is raised where no answer came; the error's own text may hold the address."""
    certificate = distrust(error)
    if certificate is None:
        return _BrokenOff(type(error).__name__)
    wrong, passes = certificate
    said = f"the certificate of the file store {wrong}"
    return _BrokenOff(said) if passes else NotTrusted(said)


@contextmanager
def _unless_cut_page(file: Path) -> Iterator[None]:
    """Keep no beginning of what is no archive file, such as a page of the store's that repeats what it was asked."""
    try:
        yield
    except BaseException:
        if file.exists():
            with file.open("rb") as begun:
                packed = begun.read(len(GZIP)) == GZIP[: _size(file)]
            if not packed:
                file.unlink()
        raise


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
