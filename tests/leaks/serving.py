"""A server between a client and a sandbox, byte by byte: it can say what no framework lets one say.

It is honest about nothing but what it was told to serve: each answer has something planted in its status line and its
headers, and a `Conversation` may break it in one more way.
"""

from __future__ import annotations

import http.client
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import urlsplit

from sandbox import Sandbox
from tests.leaks.planting import SIGNATURE, TOKEN, everything, sentence

Headers = tuple[tuple[bytes, bytes], ...]
FILES = "files"
# Of what the sandbox says of the connection between it and us.
OURS = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass(frozen=True)
class Asked:
    """A request: its endpoint, `files` for one to the store; its path with the query."""

    endpoint: str
    target: str


@dataclass(frozen=True)
class Said:
    """An answer before it is written."""

    status: int
    headers: Headers
    body: bytes
    reason: bytes = b"OK"

    def having(self, *headers: tuple[bytes, bytes], status: int | None = None, body: bytes | None = None) -> Said:
        """The same with these headers too, instead of those of their names."""
        names = {name.lower() for name, _ in headers}
        kept = tuple(one for one in self.headers if one[0].lower() not in names)
        return replace(
            self,
            headers=kept + headers,
            status=self.status if status is None else status,
            body=self.body if body is None else body,
        )

    def head(self, *more: bytes) -> bytes:
        """Status line and headers, `more` whole lines of them, and the empty line."""
        lines = [b"HTTP/1.1 %d %s" % (self.status, self.reason)]
        lines += [b"%s: %s" % one for one in self.headers]
        return b"\r\n".join([*lines, *more, b"", b""])

    def written(self, length: int | None = None) -> bytes:
        """All of it, with the length of its body, or another."""
        return self.head(b"Content-Length: %d" % (len(self.body) if length is None else length)) + self.body


# What is sent instead of an answer: bytes, after which the connection is closed; or another answer.
Break = Callable[[Asked, Said], bytes | Said]


@dataclass(frozen=True)
class Conversation:
    """A way in which answers are broken: `name` says which, `where` of which requests, `reset` how it ends."""

    name: str
    said: Break
    where: Callable[[Asked], bool] = lambda asked: True
    reset: bool = False


HEALTHY = Conversation("healthy", lambda asked, said: said)


@dataclass
class Liar(AbstractContextManager["Liar"]):
    """Two origins, of the API and of the store of files, before those of a sandbox."""

    sandbox: Sandbox
    conversation: Conversation = HEALTHY
    requests: list[Asked] = field(default_factory=list)
    url: str = ""
    store: str = ""
    _servers: list[socketserver.ThreadingTCPServer] = field(default_factory=list)

    def __enter__(self) -> Self:
        upstream_api, upstream_files = self.sandbox.url, self.sandbox.files_url
        self.url = self._listen(upstream_api, files=False)
        self.store = self.sandbox.files.origin = self._listen(upstream_files, files=True)
        return self

    def __exit__(self, *ended: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _listen(self, upstream: str, *, files: bool) -> str:
        liar = self

        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self) -> None:
                with suppress(ConnectionError), _Upstream(upstream) as sandbox:
                    while (asked := self._asked()) and self._answer(asked, sandbox):
                        pass

            def _asked(self) -> Asked | None:
                line = self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                words = line.decode("latin-1").split(" ")
                if len(words) != 3:
                    return None
                name = urlsplit(words[1]).path.rpartition("/")[2].removesuffix(".json")
                return Asked(FILES if files else name, words[1])

            def _answer(self, asked: Asked, sandbox: _Upstream) -> bool:
                """Send what is to be said; True if the connection goes on."""
                liar.requests.append(asked)
                conversation = liar.conversation
                said = sandbox.says(asked, files=files)
                broken = conversation.said(asked, said) if conversation.where(asked) else said
                if isinstance(broken, Said):
                    self.wfile.write(broken.written())
                    return True
                self.wfile.write(broken)
                if conversation.reset:
                    self.wfile.flush()
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                return False

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True).start()
        self._servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"


class _Upstream(AbstractContextManager["_Upstream"]):
    """One connection to a sandbox's origin."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._http = http.client.HTTPConnection(parts.hostname or "", parts.port)

    def __exit__(self, *ended: object) -> None:
        self._http.close()

    def says(self, asked: Asked, *, files: bool) -> Said:
        """The sandbox's answer, with what is planted in its head."""
        headers = {"Accept": "application/json"} | ({} if files else {"Authorization": f"Token {TOKEN}"})
        self._http.request("GET", asked.target, headers=headers)
        answer = self._http.getresponse()
        body = answer.read().replace(b"&Signature=", f"&{SIGNATURE}&Signature=".encode())
        kept = tuple(
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in answer.getheaders()
            if name.lower() not in OURS
        )
        place = f"header of {asked.endpoint}"
        planted = (
            (b"X-Echo", everything(place).encode()),
            (b"Set-Cookie", f"session={TOKEN}; Path=/; Domain=mukamana.example".encode()),
            (b"Server", sentence(place).encode()),
            (b"WWW-Authenticate", f'Token realm="{everything(place)}"'.encode()),
        )
        reason = everything(f"status line of {asked.endpoint}").encode()
        return Said(answer.status, kept + planted, body, reason)
