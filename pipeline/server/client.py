"""Talks to the server: GET only, one page at a time, retried as the API asks.

The token goes to the configured origin and nowhere else; nothing that is raised or shown contains it.
"""

from __future__ import annotations

import email.utils
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

import httpx
import msgspec
import tenacity

from pipeline import __version__
from pipeline.errors import (
    MustWait,
    NotOffered,
    RequestRefused,
    ServerError,
    ServerUnavailable,
    Stopped,
    TokenRefused,
    UnexpectedAnswer,
)
from pipeline.results import Counters
from pipeline.server.budget import Budget
from pipeline.settings import is_loopback

TIMEOUT = httpx.Timeout(60.0, connect=10.0)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
# A 429 without Retry-After: the server's limit was lowered below what it already counted.
THROTTLED_PAUSE, LONGEST_THROTTLED_PAUSE = 60.0, 900.0

AGREEING_CLOCKS = timedelta(seconds=10)

Params = Mapping[str, str | Sequence[str]]
T = TypeVar("T")


class Page(msgspec.Struct):
    """One page of a listing; rows stay the bytes they came as, checked to be JSON.

    {"next": "https://.../contacts.json?cursor=..." or null, "previous": ..., "results": [{...}, ...]}
    """

    results: list[msgspec.Raw]
    next: str | None = None

    @property
    def following(self) -> dict[str, str] | None:
        """Query parameters of the next page; the address before them is the server's idea of itself and is not used."""
        return dict(parse_qsl(urlsplit(self.next).query, keep_blank_values=True)) if self.next else None


@dataclass(frozen=True)
class Listener:
    """Who wants to know: `before_wait` is called with the seconds of a wait for the rate limit, before it begins."""

    counters: Counters = field(default_factory=Counters)
    before_wait: Callable[[float], None] = lambda seconds: None


class _Transient(Exception):
    """A failure that the same request may not meet again."""


class _Throttled(Exception):
    """The server said 429; `seconds` is what it asked for, None if it did not say."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__("throttled")
        self.seconds = seconds


class Client(AbstractContextManager["Client"]):
    """One workspace's API.

    `patience` bounds the seconds that a failing request is retried; waiting for the rate limit does not count.
    `longest_wait` bounds the seconds of one wait for it. `sleep` is called with seconds; `stop` ends waits and
    requests when it is set.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        patience: float = 300.0,
        longest_wait: float = math.inf,
        budget: Budget | None = None,
        sleep: Callable[[float], None] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.url = url
        self.budget = budget
        self.stop = stop or threading.Event()
        self.patience = patience
        self.longest_wait = longest_wait
        self._sleep = sleep or self._interruptible_sleep
        self._server_clock: tuple[datetime, float] | None = None
        self._http = httpx.Client(
            base_url=f"{url}/api/v2/",
            headers={
                "Authorization": f"Token {token}",
                "Accept": "application/json",
                "User-Agent": f"rapidlake/{__version__} (+https://pypi.org/project/rapidlake/)",
            },
            timeout=TIMEOUT,
            follow_redirects=False,
            trust_env=not is_loopback(urlsplit(url).hostname or ""),
            limits=httpx.Limits(max_connections=16, keepalive_expiry=30),
        )
        self._decoder = msgspec.json.Decoder(Page)

    def page(self, path: str, params: Params, *, scope: str, listener: Listener | None = None) -> Page:
        """One page of a listing.

        Raises:
            NotOffered, TokenRefused, RequestRefused, ServerUnavailable, UnexpectedAnswer: see `pipeline.errors`.
            Stopped: `stop` was set.
            MustWait: the rate limit asks for more than `longest_wait`.
        """
        return self._get(path, params, scope, listener or Listener(), self._as_page)

    def document(self, path: str, params: Params, *, scope: str, listener: Listener | None = None) -> bytes:
        """The one object that an endpoint answers, as bytes checked to be JSON. Raises as `page`."""
        return self._get(path, params, scope, listener or Listener(), self._as_document)

    def now(self) -> datetime:
        """The server's clock (UTC). It tells whole seconds only, so this machine's is used where the two agree."""
        here = datetime.now(UTC)
        if self._server_clock is None:
            return here
        at, seen = self._server_clock
        there = at + timedelta(seconds=time.monotonic() - seen)
        return here if abs(here - there) <= AGREEING_CLOCKS else there

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

    def _get(self, path: str, params: Params, scope: str, listener: Listener, read: Callable[[str, bytes], T]) -> T:
        failing = _Failing(self.patience)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((_Transient, _Throttled)),
            wait=failing.pause,
            stop=failing.give_up,
            sleep=lambda seconds: self._wait(seconds, listener, throttled=failing.throttled),
            reraise=True,
        )
        try:
            return retrying(lambda: read(path, self._send(path, params, scope, listener)))
        except _Transient as error:
            raise ServerUnavailable(
                f"{path}: {self.url} kept failing for {self.patience:.0f} s ({error}); "
                "nothing committed is lost, sync again later."
            ) from None

    def _send(self, path: str, params: Params, scope: str, listener: Listener) -> bytes:
        self._take_turn(scope, listener)
        listener.counters.requests += 1
        try:
            response = self._http.get(path, params=_query(params))
        except httpx.TransportError as error:
            raise _Transient(f"{type(error).__name__}: {error or 'no answer'}") from None
        except httpx.DecodingError as error:
            raise _Transient(f"broken compression: {error}") from None
        self._note_clock(response)
        _check_status(path, response, self.url)
        listener.counters.bytes += len(response.content)
        return response.content

    def _take_turn(self, scope: str, listener: Listener) -> None:
        if self.stop.is_set():
            raise Stopped("Stopped: all that was read is committed; run the same command again to go on.")
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
            raise Stopped("Stopped: all that was read is committed; run the same command again to go on.")

    def _interruptible_sleep(self, seconds: float) -> None:
        self.stop.wait(seconds)

    def _note_clock(self, response: httpx.Response) -> None:
        sent = _http_date(response.headers.get("Date", ""))
        if sent is not None:
            self._server_clock = (sent, time.monotonic())

    def _as_page(self, path: str, body: bytes) -> Page:
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError:
            raise UnexpectedAnswer(
                f"{path}: the answer of {self.url} is JSON but no page of rows: "
                "is RAPIDPRO_URL a RapidPro or TextIt server?"
            ) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _Transient(f"the answer is not JSON: {_kind(body)}") from None

    def _as_document(self, path: str, body: bytes) -> bytes:
        try:
            msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        except msgspec.ValidationError:
            raise UnexpectedAnswer(
                f"{path}: the answer of {self.url} is JSON but no object: is RAPIDPRO_URL a RapidPro or TextIt server?"
            ) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _Transient(f"the answer is not JSON: {_kind(body)}") from None
        return body


class _Failing:
    """How one request fares: how long to pause, and whether to give up. Throttling is never a failure."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._first_failure: float | None = None
        self._refusals = 0
        self._backoff = tenacity.wait_exponential_jitter(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE, jitter=FIRST_PAUSE)
        self.throttled = False

    def pause(self, state: tenacity.RetryCallState) -> float:
        """Seconds until the next attempt."""
        error = state.outcome.exception() if state.outcome else None
        self.throttled = isinstance(error, _Throttled)
        if isinstance(error, _Throttled):
            self._refusals += 1
            if error.seconds is not None:
                return error.seconds
            return float(min(THROTTLED_PAUSE * 2 ** (self._refusals - 1), LONGEST_THROTTLED_PAUSE))
        return float(min(self._backoff(state), self._patience))

    def give_up(self, state: tenacity.RetryCallState) -> bool:
        """True once a request has kept failing for `patience` seconds."""
        if state.outcome and isinstance(state.outcome.exception(), _Throttled):
            self._first_failure = None
            return False
        now = time.monotonic()
        self._first_failure = self._first_failure or now
        return now - self._first_failure + state.upcoming_sleep > self._patience


def _query(params: Params) -> httpx.QueryParams:
    """Query parameters in order; a sequence repeats its name."""
    return httpx.QueryParams({name: value if isinstance(value, str) else list(value) for name, value in params.items()})


def _check_status(path: str, response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status == 200:
        return
    if status == 429:
        raise _Throttled(_retry_after(response))
    if status >= 500 or status == 408:
        raise _Transient(f"the server answered {status}")
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
            f"{path}: {url} redirects ({status}) to {_host(response.headers.get('Location', ''))}: "
            "the token is not sent there; set RAPIDPRO_URL to the address that answers."
        )
    raise RequestRefused(f"{path}: {url} refuses the request ({status}); asking again would not help.")


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds the server asks to wait (whole seconds or an HTTP date); None if it does not say."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    at, sent = _http_date(value), _http_date(response.headers.get("Date", ""))
    return float(max(0, math.ceil((at - sent).total_seconds()))) if at and sent else None


def _http_date(text: str) -> datetime | None:
    """A date of a header as UTC; None if it is none."""
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _kind(body: bytes) -> str:
    """What an answer is, without a word of it: it may hold contacts, or echo the token."""
    if not body.strip():
        return "nothing"
    return "an HTML page" if body.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")) else f"{len(body):,} bytes"


def _host(location: str) -> str:
    try:
        parts = urlsplit(location)
    except ValueError:
        return "an address that is none"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.hostname else "another page"
