"""What every test may use: a place of its own, a small workspace, and a server that answers what a test wants."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from sandbox import Sandbox, Workspace, generate
from tests.analysts import Analysed, analysed
from tests.lakes import new_lake
from tests.sessions import close_sessions


@dataclass(frozen=True)
class Answer:
    """What a server sends back; with a `Connection` header its length is not announced."""

    body: bytes = b'{"next":null,"previous":null,"results":[]}'
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """One request as a server met it."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    query: str = ""


@dataclass(frozen=True)
class Origin:
    """A server of this machine, and what it was asked."""

    url: str
    asked: list[Asked]


class Serve(Protocol):
    """Starts a server that answers each request with what a function says; over TLS with what `tls` has to show."""

    def __call__(self, answering: Callable[[Asked], Answer], tls: ssl.SSLContext | None = None) -> Origin: ...


@pytest.fixture(autouse=True)
def own_place(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a working directory and a cache of its own, and begins as most accounts do, with open files."""
    os.umask(0o022)
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))
    monkeypatch.setenv("RAPIDLAKE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def sessions_end_with_their_test() -> Iterator[None]:
    """What `tests.sessions` keeps open is closed, also before a test's folder goes."""
    yield
    close_sessions()


@pytest.fixture(scope="session")
def small_workspace() -> Iterator[Workspace]:
    """A workspace that no test changes; serve it with `Sandbox(small_workspace, keep=True)`."""
    with generate(messages=600, contacts=300, archives=False) as workspace:
        yield workspace


@pytest.fixture
def sandbox(workspace: Workspace) -> Iterator[Sandbox]:
    """The `workspace` of a file, served without limits."""
    with Sandbox(workspace, requests_per_hour=0) as served:
        yield served


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake that has no rows yet."""
    return new_lake(tmp_path / "lake")


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client that knows nothing of the API."""
    with httpx.Client(timeout=None) as client:
        yield client


def ask(client: httpx.Client, sandbox: Sandbox, path: str) -> list[dict[str, Any]]:
    """The rows of a listing's only page."""
    answer = client.get(f"{sandbox.url}/api/v2/{path}", headers={"Authorization": f"Token {sandbox.token}"})
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["results"]
    return rows


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that answer each request with what a function says."""
    servers: list[ThreadingHTTPServer] = []

    def start(answering: Callable[[Asked], Answer], tls: ssl.SSLContext | None = None) -> Origin:
        asked: list[Asked] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline()
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                parts = urlsplit(self.path)
                asked.append(
                    Asked(self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers), parts.query)
                )
                answer = answering(asked[-1])
                length = {} if "Connection" in answer.headers else {"Content-Length": str(len(answer.body))}
                self.send_response_only(answer.status)
                for name, value in (length | answer.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                with suppress(ConnectionError):  # of a client that has enough
                    self.wfile.write(answer.body)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True).start()
        servers.append(server)
        return Origin(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}", asked)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Analysed]:
    """A lake of a workspace in which much was deleted after it had been read; no test changes it."""
    yield from analysed(tmp_path_factory.mktemp("facts"))
