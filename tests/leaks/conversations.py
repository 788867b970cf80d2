"""The ways in which a conversation with the API is broken, each with something planted in what is broken."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable

from tests.leaks.planting import TOKEN, everything, in_address, phone, sentence
from tests.leaks.serving import FILES, Asked, Break, Conversation, Said

FIRST = "workspace"
CONVERSATIONS: dict[str, Conversation] = {}


def rows_asked(asked: Asked) -> bool:
    """Of all endpoints of the API but the one that says whose token it is."""
    return asked.endpoint not in (FIRST, FILES)


def first_asked(asked: Asked) -> bool:
    """Of the one that says whose token it is, without which nothing begins."""
    return asked.endpoint == FIRST


def conversation(
    name: str, where: Callable[[Asked], bool] = rows_asked, *, reset: bool = False
) -> Callable[[Break], Break]:
    """Add a way to the table."""

    def add(said: Break) -> Break:
        CONVERSATIONS[name] = Conversation(name, said, where, reset)
        return said

    return add


def simply(name: str, said: Break, where: Callable[[Asked], bool] = rows_asked, *, reset: bool = False) -> None:
    """Add a way that is one expression."""
    conversation(name, where, reset=reset)(said)


def _all(place: str) -> bytes:
    return everything(place).encode()


def page(place: str, status: int) -> bytes:
    """What a failing server or a proxy shows, with all that it was asked."""
    said = f"<title>{status}</title><pre>{everything(place)}\nAuthorization: Token {TOKEN}</pre>"
    return f"<!DOCTYPE html><html>{said}".encode()


# The head of an answer.
simply("length-too-small", lambda asked, said: said.written(len(said.body) // 2))
simply("length-too-large", lambda asked, said: said.written(len(said.body) + 100))
simply("length-no-number", lambda asked, said: said.head(b"Content-Length: " + _all("length")) + said.body)
simply(
    "lengths-that-differ",
    lambda asked, said: said.head(b"Content-Length: 7", b"Content-Length: " + _all("second length")) + said.body,
)
simply("header-without-colon", lambda asked, said: said.head(_all("line").replace(b":", b"")) + said.body)
simply("header-name-of-odd-bytes", lambda asked, said: said.head(b"X-\x00\xff " + _all("name") + b": 1") + said.body)
simply("header-value-of-odd-bytes", lambda asked, said: said.head(b"X-Odd: \x00\x01" + _all("value")) + said.body)
simply("header-folded", lambda asked, said: said.head(b"X-Folded: a", b"  " + _all("fold")) + said.body)
simply("header-of-100-kilobytes", lambda asked, said: said.head(b"X-Long: " + _all("long") * 500) + said.body)
simply("headers-without-end", lambda asked, said: said.head()[:-2] + b"X-End: " + _all("end"))
simply("cookie-odd", lambda asked, said: said.having((b"Set-Cookie", b'"\\=;; ' + _all("cookie") + b"; expires=?")))
simply("date-no-date", lambda asked, said: said.having((b"Date", _all("date"))))
simply("age-no-number", lambda asked, said: said.having((b"Age", _all("age"))))
simply("status-no-number", lambda asked, said: b"HTTP/1.1 " + _all("status line") + b"\r\n\r\n" + said.body)
simply("status-of-999", lambda asked, said: said.having(status=999))
simply("version-unknown", lambda asked, said: b"HTTP/9.9 200 " + _all("version") + b"\r\n\r\n" + said.body)
simply("no-head-at-all", lambda asked, said: _all("no head") + b"\r\n\r\n" + said.body)
simply(
    "continue-first", lambda asked, said: b"HTTP/1.1 100 " + _all("continue") + b"\r\nX: " + _all("100") + b"\r\n\r\n"
)
simply("tls-instead", lambda asked, said: b"\x15\x03\x01\x00\x02\x02\x46" + _all("alert"))
simply("nothing", lambda asked, said: b"")


# Redirects.
def _redirect(location: str, status: int = 302) -> Break:
    return lambda asked, said: said.having(
        (b"Location", location.encode("utf-8", "surrogateescape")), status=status, body=page("redirect", status)
    )


simply("redirect-to-planted-host", _redirect(f"https://hiv-positive.{phone('host')[1:]}.{TOKEN}.example/"))
simply("redirect-to-planted-path", _redirect(f"https://other.example/{in_address('path')}"))
simply("redirect-with-password", _redirect(f"https://mukamana:{TOKEN}@other.example/{in_address('user')}", 301))
simply("redirect-within", _redirect(f"/{in_address('relative')}", 307))
simply("redirect-to-file", _redirect(f"file:///etc/{in_address('file')}"))
simply("redirect-to-ftp", _redirect(f"ftp://hiv-positive.example/{in_address('ftp')}", 308))
simply("redirect-to-planted-scheme", _redirect(f"hiv-positive://{TOKEN}/x"))
simply("redirect-to-no-address", _redirect(f"http://[{sentence('bracket')}"))
simply("redirect-to-odd-bytes", _redirect(f"https://\udcff{sentence('bytes')}/", 303))
simply("redirect-nowhere", lambda asked, said: said.having(status=302, body=_all("nowhere")))


# The body.
def _chunked(*parts: bytes) -> Break:
    return lambda asked, said: said.head(b"Transfer-Encoding: chunked") + b"".join(parts)


simply("chunk-size-no-number", _chunked(_all("chunk size"), b"\r\n", _all("chunk"), b"\r\n"))
simply(
    "chunk-with-extension",
    lambda asked, said: (
        said.head(b"Transfer-Encoding: chunked")
        + b'%x;note="%s"\r\n%s\r\n0\r\nX-Trailer: %s\r\n\r\n'
        % (len(said.body), _all("ext"), said.body, _all("trailer"))
    ),
)
simply("chunk-longer-than-said", _chunked(b"5\r\n", _all("longer"), b"\r\n0\r\n\r\n"))
simply(
    "transfer-encoding-unknown", lambda asked, said: said.head(b"Transfer-Encoding: " + _all("transfer")) + said.body
)
simply("content-encoding-unknown", lambda asked, said: said.having((b"Content-Encoding", _all("encoding"))))


def _gzipped(body: bytes) -> Said:
    return Said(200, ((b"Content-Encoding", b"gzip"), (b"Content-Type", b"application/json")), body)


simply("gzip-that-is-none", lambda asked, said: said.having((b"Content-Encoding", b"gzip"), body=_all("no gzip")))
simply(
    "gzip-broken",
    lambda asked, said: _gzipped(gzip.compress(said.body)[:-30] + _all("tail of a gzip")),
)
simply("gzip-bomb", lambda asked, said: _gzipped(gzip.compress(_all("bomb") * 20_000)))
simply("cut-in-the-middle", lambda asked, said: said.written()[: -max(len(said.body) // 2, 1)])
simply("reset-in-the-middle", lambda asked, said: said.written()[: -max(len(said.body) // 2, 1)], reset=True)
for _status in (400, 401, 402, 403, 404, 410, 418, 451, 500, 502, 503, 504):
    simply(
        f"page-of-{_status}",
        lambda asked, said, status=_status: said.having(  # type: ignore[misc]
            (b"Content-Type", b"text/html"), status=status, body=page("page", status)
        ),
    )
simply(
    "throttled-with-a-sentence",
    lambda asked, said: said.having((b"Retry-After", _all("retry")), status=429, body=page("page", 429)),
)
simply(
    "unavailable-with-a-sentence",
    lambda asked, said: said.having((b"Retry-After", _all("retry")), status=503, body=page("page", 503)),
)
simply(
    "detail-of-400", lambda asked, said: said.having(status=400, body=json.dumps({"detail": everything("d")}).encode())
)
simply("html-of-200", lambda asked, said: said.having((b"Content-Type", b"text/html"), body=page("page", 200)))
simply("text-of-200", lambda asked, said: said.having(body=_all("text")))
simply(
    "json-but-no-page", lambda asked, said: said.having(body=json.dumps({sentence("key"): everything("v")}).encode())
)
simply("json-text", lambda asked, said: said.having(body=json.dumps(everything("json text")).encode()))
simply("json-list", lambda asked, said: said.having(body=json.dumps([everything("json list")]).encode()))
simply("rows-no-list", lambda asked, said: said.having(body=json.dumps({"results": everything("rows")}).encode()))
simply("json-broken", lambda asked, said: said.having(body=said.body[: len(said.body) // 2] + _all("broken")))
simply("json-of-zero-bytes", lambda asked, said: said.having(body=b"\0" * 9 + _all("zero") + b"\0"))
simply("json-not-utf-8", lambda asked, said: said.having(body=b'{"results": "\xff\xfe' + _all("utf") + b'"}'))
simply(
    "json-deep", lambda asked, said: said.having(body=b'{"results":' * 5000 + b'"' + _all("deep") + b'"' + b"}" * 5000)
)


def _next(following: object) -> Break:
    text = json.dumps(following).encode()

    def said_next(asked: Asked, said: Said) -> Said:
        if b'"next":' not in said.body[:9]:
            return said.having(body=b'{"next":' + text + b',"results":[]}')
        return said.having(body=re.sub(rb'"next":(null|"[^"]*")', lambda _: b'"next":' + text, said.body, count=1))

    return said_next


simply("next-no-address", _next(f"http://[{sentence('next')}"))
simply("next-that-is-refused", lambda asked, said: _next(f"https://x/?cursor={in_address('next')}")(asked, said)
       if "cursor" not in asked.target else said.having(status=404, body=page("page", 404)))  # fmt: skip
simply("next-of-odd-signs", _next(f"https://x/?cursor=\ud800\0{sentence('cursor')}"))
simply("next-a-list", _next([everything("next list")]))
simply("next-very-long", _next("https://x/?cursor=" + f"{sentence('long')} " * 4000))


# What says whose token it is: nothing begins without.
def _workspace(**changed: object) -> Break:
    return lambda asked, said: said.having(body=json.dumps({**json.loads(said.body or b"{}"), **changed}).encode())


# Whoever looks after a lake is told whose it is, and whose the token is, in an answer: in no message, log or error.
WORKSPACE_NAME = sentence("workspace")
OTHER = "11111111-2222-4333-8444-555555555555"
simply("first-page-of-500", lambda asked, said: said.having(status=500, body=page("page", 500)), first_asked)
simply("first-page-of-403", lambda asked, said: said.having(status=403, body=page("page", 403)), first_asked)
simply("first-page-of-404", lambda asked, said: said.having(status=404, body=page("page", 404)), first_asked)
simply("first-redirected", CONVERSATIONS["redirect-to-planted-host"].said, first_asked)
simply("first-html", lambda asked, said: said.having(body=page("page", 200)), first_asked)
simply("first-broken", lambda asked, said: said.having(body=said.body[:40] + _all("broken")), first_asked)
simply("first-a-text", lambda asked, said: said.having(body=json.dumps(everything("first")).encode()), first_asked)
simply("first-without-uuid", lambda asked, said: said.having(body=b'{"name": "%s"}' % _all("name")), first_asked)
simply("workspace-other", _workspace(uuid=OTHER, name=WORKSPACE_NAME), first_asked)
simply("workspace-of-planted-uuid", _workspace(uuid=everything("uuid")), first_asked)
simply("workspace-of-planted-types", _workspace(languages=[everything("l"), "eng"], anon=None, timezone=everything("z"),
       date_style=everything("d"), country=everything("c"), primary_language=everything("p"),
       credits=everything("credits")), first_asked)  # fmt: skip
simply("workspace-of-wrong-types", _workspace(languages=everything("l"), anon=everything("anon")), first_asked)


def _documents_asked(asked: Asked) -> bool:
    """Of endpoints that answer otherwise than others."""
    return asked.endpoint in ("definitions", "statistics", "archives")


simply(
    "documents-of-others",
    lambda asked, said: said.having(
        body=json.dumps({"flows": [everything("f")], "results": [[everything("r")]]}).encode()
    ),
    _documents_asked,
)
