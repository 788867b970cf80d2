"""The server's answers: headers, error bodies, and answers that never arrive whole."""

import asyncio
import socket
from email.utils import formatdate
from typing import Any, ClassVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.workspace.rows import encode

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as HttpProtocol
except ImportError:  # httptools is optional; h11 always comes with uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol as HttpProtocol  # type: ignore[assignment]

NOT_FOUND = (
    '\n<!doctype html>\n<html lang="en">\n<head>\n  <title>Not Found</title>\n</head>\n<body>\n  <h1>Not Found</h1>'
    "<p>The requested resource was not found on this server.</p>\n</body>\n</html>\n"
)
SERVER_ERROR = "Server Error. Site administrators have been notified."
BAD_GATEWAY = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1></body>\r\n</html>\r\n"
)
PROXY_PAGE = "<!doctype html>\n<html><head><title>Sign in</title></head><body><p>Please sign in.</p></body></html>\n"

_ALWAYS = {
    "Server": "rapidlake-sandbox",
    "Content-Language": "en-us",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_HTML = "text/html; charset=utf-8"


def answer(
    body: bytes | str, *, status: int = 200, allow: str = "", org: str = "", kind: str = "application/json"
) -> Response:
    """Build a response with the headers of the server."""
    headers = {**_ALWAYS, "Content-Type": kind, "Vary": "Accept, Cookie" if allow else "Cookie"}
    if allow:
        headers["Allow"] = allow
    if org:
        headers["X-Temba-Org"] = org
    return Response(body, status, headers)


def detail(status: int, text: str, *, allow: str, org: str = "") -> Response:
    """Build an error with the API's usual body."""
    return answer(encode({"detail": text}), status=status, allow=allow, org=org)


def not_found() -> Response:
    """Build the HTML page for URLs that lead nowhere."""
    return answer(NOT_FOUND, status=404, kind=_HTML)


def server_error(*, allow: str = "", org: str = "") -> Response:
    """Build the plain text that stands for an unhandled exception."""
    return answer(SERVER_ERROR, status=500, allow=allow, org=org, kind=_HTML)


def throttled(text: str, retry_after: str | None, *, allow: str, org: str) -> Response:
    """Build a 429."""
    response = detail(429, text, allow=allow, org=org)
    if retry_after is not None:
        response.headers["Retry-After"] = retry_after
    return response


def http_date(seconds: float) -> str:
    """Write a time as HTTP does."""
    return formatdate(seconds, usegmt=True)


class CutAnswer(Response):
    """Announces the whole body, sends half of it and closes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what is sent; returning early makes the server close the connection."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body[: len(self.body) // 2])
        await send({"type": "http.response.body", "body": half, "more_body": True})


class NoAnswer(Response):
    """Resets the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Drop the connection so that the client meets a reset, not a tidy end."""
        TrackedProtocol.reset(scope["client"])
        await asyncio.sleep(0)


class TrackedProtocol(HttpProtocol):
    """An HTTP connection that can be found again by its client's address, to be cut."""

    _connections: ClassVar[dict[tuple[str, int], asyncio.Transport]] = {}

    def connection_made(self, transport: Any) -> None:
        """Remember the connection."""
        super().connection_made(transport)
        self._peer: tuple[str, int] = tuple(transport.get_extra_info("peername")[:2])
        self._connections[self._peer] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._connections.pop(self._peer, None)
        super().connection_lost(exc)

    @classmethod
    def reset(cls, peer: tuple[str, int]) -> None:
        """Close a connection with a TCP reset."""
        transport = cls._connections.pop(tuple(peer), None)  # type: ignore[arg-type]
        if transport is not None:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
