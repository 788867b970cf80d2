"""Talks to the server: GET only, one page at a time, retried as the API asks.

The token goes to the configured origin and nowhere else; nothing that is raised or shown contains it.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import httpx
import tenacity

from pipeline.errors import (
    MustWait,
    NotOffered,
    NotTrusted,
    RequestRefused,
    ServerError,
    ServerUnavailable,
    SettingsError,
    TokenRefused,
    TooLarge,
    UnexpectedAnswer,
)
from pipeline.results import Counters
from pipeline.server.abandoning import stopped, unless_stopped
from pipeline.server.bodies import BrokenPacking, TooMuch, UnknownPacking, read_body, read_off
from pipeline.server.budget import Budget
from pipeline.server.connections import LOCATION, distrust, open_http, proxy_for
from pipeline.server.pages import NoPage, NotJson, Page, read_object, read_page
from pipeline.server.retrying import Failing, Throttled, Transient, http_date, retry_after
from pipeline.settings import EARLIEST_YEAR, MEGABYTE
from warehouse.lake import clock

AGREEING_CLOCKS = timedelta(seconds=10)
# A date of another time is nobody's clock.
YEARS = range(EARLIEST_YEAR, 2200)
KEPT = "all that was read is committed"

Params = Mapping[str, str | Sequence[str]]
T = TypeVar("T")


@dataclass(frozen=True)
class Listener:
    """Who wants to know.

    `before_wait` is called with the seconds of a wait for the rate limit, before it begins. `failing` is called with
    what keeps failing, once for a request that does so for some seconds, and with None when it is answered.
    """

    counters: Counters = field(default_factory=Counters)
    before_wait: Callable[[float], None] = lambda seconds: None
    failing: Callable[[str | None], None] = lambda why: None


class Client(AbstractContextManager["Client"]):
    """One workspace's API.

    `patience` bounds the seconds that a failing request is retried; waiting for the rate limit does not count.
    `longest_wait` bounds the seconds of one wait for it, `largest_page` the bytes of one answer when it is unpacked.
    `ca_file` names certificates to trust besides the usual ones.
    `sleep` is called with seconds; `stop` ends waits and requests when it is set.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        patience: float = 300.0,
        longest_wait: float = math.inf,
        largest_page: int = 64 * MEGABYTE,
        ca_file: Path | None = None,
        budget: Budget | None = None,
        sleep: Callable[[float], None] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.url = url
        self.budget = budget
        self.stop = stop or threading.Event()
        self.patience = patience
        self.longest_wait = longest_wait
        self._largest_page = largest_page
        self._sleep = sleep or self._interruptible_sleep
        self._server_clock: tuple[datetime, float] | None = None
        # What a single answer told that neither this machine nor the answers before it say.
        self._odd_clock: tuple[datetime, float] | None = None
        headers = {"Authorization": f"Token {token}", "Accept": "application/json", "Accept-Encoding": "gzip"}
        try:
            base = httpx.URL(f"{url}/api/v2/")
        except httpx.InvalidURL:
            raise SettingsError("RAPIDPRO_URL is no address of a server: write it like https://textit.com.") from None
        limits = httpx.Limits(max_connections=16, keepalive_expiry=30)
        self._http = open_http(headers, ca_file=ca_file, proxy=proxy_for(base), base_url=base, limits=limits)

    def page(
        self, path: str, params: Params, *, scope: str, listener: Listener | None = None, rows: str = "results"
    ) -> Page:
        """One page of a listing; `rows` names the list of its rows. A row that no reader takes is a JSON string.

        Raises:
            NotOffered, TokenRefused, RequestRefused, ServerUnavailable, UnexpectedAnswer, TooLarge: see
                `pipeline.errors`.
            Stopped: `stop` was set.
            MustWait: the rate limit asks for more than `longest_wait`.
        """
        return self._get(
            path, params, scope, listener or Listener(), lambda body: read_page(body, rows), "page of rows"
        )

    def document(self, path: str, params: Params, *, scope: str, listener: Listener | None = None) -> bytes:
        """The one object that an endpoint answers, as bytes checked to be JSON. Raises as `page`."""

        def read(body: bytes) -> bytes:
            read_object(body)
            return body

        return self._get(path, params, scope, listener or Listener(), read, "object")

    def now(self) -> datetime:
        """The earlier of two clocks (UTC), this machine's and the server's: one that is ahead decides nothing.

        The server's tells whole seconds only, so this machine's is used where the two agree.
        """
        return self._present(min)

    def latest(self) -> datetime:
        """The later of the two clocks (UTC): nothing is older than it seems by this one."""
        return self._present(max)

    def server_now(self) -> datetime | None:
        """What the server's clock shows (UTC); None if no answer has told."""
        return _going_on(self._server_clock, time.monotonic())

    def clocks_agree(self) -> bool:
        """True if this machine's clock and the server's, where it has told, show about the same."""
        there = self.server_now()
        return there is None or abs(clock.now() - there) <= AGREEING_CLOCKS

    def _present(self, choose: Callable[[datetime, datetime], datetime]) -> datetime:
        here, there = clock.now(), self.server_now()
        return here if there is None or self.clocks_agree() else choose(here, there)

    def requests_left(self, scope: str) -> int | None:
        """Requests of a scope that may go out now; None without a limit."""
        return self.budget.left(scope) if self.budget else None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        if self.budget:
            self.budget.close()

    def __exit__(self, *ended: object) -> None:
        self.close()

    def _get(
        self, path: str, params: Params, scope: str, listener: Listener, read: Callable[[bytes], T], expected: str
    ) -> T:
        failing = Failing(self.patience, lambda why: listener.failing(why and self._told(why)))
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((Transient, Throttled)),
            wait=failing.pause,
            stop=failing.give_up,
            sleep=lambda seconds: self._pause(seconds, listener, failing),
            reraise=True,
        )
        try:
            found = retrying(lambda: self._read(path, self._send(path, params, scope, listener), read, expected))
        except Transient as error:
            raise ServerUnavailable(
                f"{path}: {self.url} kept failing for {self.patience:.0f} s ({error}); "
                "nothing committed is lost, sync again later."
            ) from None
        failing.over()
        return found

    def _send(self, path: str, params: Params, scope: str, listener: Listener) -> bytes:
        self._take_turn(scope, listener)
        listener.counters.requests += 1
        try:
            body = unless_stopped(self.stop, lambda: self._exchange(path, params), kept=KEPT)
        except httpx.TransportError as error:
            raise self._no_answer(path, error) from None
        except BrokenPacking:
            raise Transient("broken compression") from None
        except UnknownPacking:
            raise UnexpectedAnswer(
                f"{path}: the answer of {self.url} is compressed in a way that was not asked for: "
                "let the server, or the proxy before it, send gzip or nothing of the kind."
            ) from None
        except TooMuch:
            raise TooLarge(
                f"{path}: an answer of {self.url} has more than {self._largest_page / MEGABYTE:,.0f} MB: "
                "if it should, and there is memory for it, set RAPIDLAKE_LARGEST_PAGE higher."
            ) from None
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, ValueError):  # the last also of odd characters
            raise UnexpectedAnswer(
                f"{path}: {self.url} names a next page that cannot be asked for, or sends what is no answer: "
                "if it stays so, tell whoever runs the server."
            ) from None
        listener.counters.bytes += len(body)
        return body

    def _no_answer(self, path: str, error: httpx.TransportError) -> Exception:
        """What is raised where no answer came: a failure that may pass, or a certificate that does not."""
        certificate = distrust(error)
        if certificate is None:
            return Transient(_reason(error))
        wrong, passes = certificate
        if passes:
            return Transient(f"its certificate {wrong}")
        return NotTrusted(f"{path}: the certificate of {self.url} {wrong}.")

    def _exchange(self, path: str, params: Params) -> bytes:
        """Ask, and read the answer."""
        with self._http.stream("GET", path, params=_query(params)) as response:
            self._note_clock(response)
            if response.status_code != 200:
                read_off(response)
            _check_status(path, response, self.url)
            return read_body(response, self._largest_page)

    def _read(self, path: str, body: bytes, read: Callable[[bytes], T], expected: str) -> T:
        try:
            return read(body)
        except NoPage:
            raise UnexpectedAnswer(
                f"{path}: the answer of {self.url} is JSON but no {expected}: "
                "is RAPIDPRO_URL a RapidPro or TextIt server?"
            ) from None
        except NotJson:
            raise Transient(f"the answer is not JSON: {_kind(body)}") from None

    def _take_turn(self, scope: str, listener: Listener) -> None:
        if self.stop.is_set():
            raise stopped(KEPT)
        while self.budget and (seconds := self.budget.seconds_until_free(scope)):
            self._wait(seconds, listener, throttled=True)

    def _wait(self, seconds: float, listener: Listener, *, throttled: bool) -> None:
        if throttled:
            listener.before_wait(seconds)
            if seconds > self.longest_wait:
                raise MustWait(seconds)
            listener.counters.waited_seconds += seconds
        self._sleep(seconds)
        if self.stop.is_set():
            raise stopped(KEPT)

    def _pause(self, seconds: float, listener: Listener, failing: Failing) -> None:
        if not failing.throttled:
            failing.before_pause(seconds)
        self._wait(seconds, listener, throttled=failing.throttled)

    def _told(self, why: str) -> str:
        return f"{self.url} fails ({why}); trying again for up to {self.patience:.0f} s"

    def _interruptible_sleep(self, seconds: float) -> None:
        self.stop.wait(seconds)

    def _note_clock(self, response: httpx.Response) -> None:
        """Believe what an answer says of the time, unless it is the only one to say so."""
        sent = http_date(response.headers.get("Date", ""))
        if sent is None or sent.year not in YEARS:
            return
        told, now = sent + _age(response), time.monotonic()
        others = (clock.now(), _going_on(self._server_clock, now), _going_on(self._odd_clock, now))
        if self._server_clock is None or any(one and abs(told - one) <= AGREEING_CLOCKS for one in others):
            self._server_clock, self._odd_clock = (told, now), None
        else:
            self._odd_clock = (told, now)


def _query(params: Params) -> httpx.QueryParams:
    """Query parameters in order; a sequence repeats its name."""
    return httpx.QueryParams({name: value if isinstance(value, str) else list(value) for name, value in params.items()})


def _going_on(told: tuple[datetime, float] | None, now: float) -> datetime | None:
    """What a clock shows at `now` (seconds that nobody sets) that told a time (UTC) some of them ago."""
    return None if told is None else told[0] + timedelta(seconds=now - told[1])


def _age(response: httpx.Response) -> timedelta:
    """How long a cache between the server and us has kept an answer, as far as it says so."""
    said = response.headers.get("Age", "")
    return timedelta(seconds=int(said)) if re.fullmatch(r"[0-9]{1,8}", said) else timedelta(0)


def _check_status(path: str, response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status == 200:
        return
    if status == 429:
        raise Throttled(retry_after(response))
    if status >= 500 or status == 408:
        raise Transient(f"the server answered {status}", retry_after(response))
    if status == 403:
        raise TokenRefused(
            f"{path}: {url} refuses the token (403): is it right, of this workspace, "
            "and its user an Administrator or Editor? "
            "Check RAPIDPRO_TOKEN, and that RAPIDPRO_URL starts with https://."
        )
    if status == 404:
        raise NotOffered(f"{path}: {url} does not have it (404).")
    if 300 <= status < 400:
        raise ServerError(
            f"{path}: {url} redirects ({status}) {_direction(response)}: the token is not sent there; "
            f"set RAPIDPRO_URL to the address that answers (`curl -sI {url}/api/v2/{path}` shows it)."
        )
    raise RequestRefused(f"{path}: {url} refuses the request ({status}); asking again would not help.")


def _reason(error: httpx.TransportError) -> str:
    """Why no answer came, in words of this machine: those about an answer may hold a piece of it."""
    name = type(error).__name__
    own = isinstance(error, httpx.NetworkError | httpx.TimeoutException)
    return f"{name}: {error}" if own and str(error) else name


def _kind(body: bytes) -> str:
    """What an answer is, without a word of it: it may hold contacts, or echo the token."""
    if not body.strip():
        return "nothing"
    return "an HTML page" if body.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")) else f"{len(body):,} bytes"


def _direction(response: httpx.Response) -> str:
    """Where a redirect leads, without a word of it: it may hold anything."""
    asked, said = response.request.url, response.extensions.get(LOCATION)
    if said is None:
        return "without saying where"
    try:
        there = asked.join(said)
        elsewhere = there.host != asked.host
    except (httpx.InvalidURL, ValueError, TypeError):
        return "to an address that is none"
    if elsewhere:
        return "to another server"
    if there.scheme != asked.scheme:
        return "to itself with https" if there.scheme == "https" else "to itself without https"
    return "to another path of itself" if there.port == asked.port else "to another port of itself"
