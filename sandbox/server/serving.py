"""Runs the sandbox: two origins on free ports of this machine, in a thread beside the caller."""

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Self

import uvicorn
from starlette.applications import Starlette

from sandbox.server.application import Api, SeenRequest
from sandbox.server.faults import Dice, Faults
from sandbox.server.file_store import FileStore
from sandbox.server.responses import TrackedProtocol
from sandbox.server.throttle import Throttle
from sandbox.workspace.contents import Workspace

TOKEN = "sandbox0token0of0an0administrator0000000"
SURVEYOR_TOKEN = "sandbox0token0of0a0surveyor0000000000000"


class Sandbox:
    """A server like a real workspace's; a context manager that serves between entry and exit.

    On exit the workspace's data is deleted, unless `keep` says that the caller goes on with it.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        faults: Faults | None = None,
        requests_per_hour: int | None = 2500,
        throttle: Throttle | None = None,
        token: str = TOKEN,
        surveyor_token: str = SURVEYOR_TOKEN,
        port: int = 0,
        archive_url_seconds: float = 86_400.0,
        keep: bool = False,
    ) -> None:
        self.workspace = workspace
        self.files = FileStore(seconds=archive_url_seconds)
        self.api = Api(
            workspace,
            throttle or Throttle.hourly(requests_per_hour),
            self.files,
            Dice(faults or Faults()),
            token,
            surveyor_token,
        )
        self.url = ""
        self._port = port
        self._keep = keep
        self._thread: threading.Thread | None = None
        self._running = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._servers: list[_Server] = []

    @property
    def token(self) -> str:
        """The token of an administrator; assigning another one withdraws it."""
        return self.api.token

    @token.setter
    def token(self, token: str) -> None:
        self.api.token = token

    @property
    def surveyor_token(self) -> str:
        """A token whose role may read contacts, fields, groups, flows, boundaries and definitions only."""
        return self.api.surveyor_token

    @property
    def files_url(self) -> str:
        """The origin that archive files come from."""
        return self.files.origin

    @property
    def requests(self) -> list[SeenRequest]:
        """Every request so far, downloads included."""
        return self.api.requests

    @property
    def faults(self) -> Faults:
        """The faults in force; assigning others starts their scripts and their dice anew."""
        return self.api.dice.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self.api.dice = Dice(faults)

    @property
    def throttle(self) -> Throttle:
        """The rate limits in force."""
        return self.api.throttle

    @throttle.setter
    def throttle(self, throttle: Throttle) -> None:
        self.api.throttle = throttle

    @property
    def after_page(self) -> Callable[[str], None] | None:
        """Called with the endpoint's name after each page was read and before it is sent."""
        return self.api.after_page

    @after_page.setter
    def after_page(self, hook: Callable[[str], None] | None) -> None:
        self.api.after_page = hook

    @property
    def before_file(self) -> Callable[[str], None] | None:
        """Called with the file's name before a download is answered."""
        return self.api.before_file

    @before_file.setter
    def before_file(self, hook: Callable[[str], None] | None) -> None:
        self.api.before_file = hook

    @property
    def date_of(self) -> Callable[[str, datetime], datetime | str | None] | None:
        """Called with an endpoint and the server's time: what the answer's `Date` says; None for no such header."""
        return self.api.date_of

    @date_of.setter
    def date_of(self, hook: Callable[[str, datetime], datetime | str | None] | None) -> None:
        self.api.date_of = hook

    def start(self) -> Self:
        """Serve, on the port asked for, until `stop`."""
        api_socket, file_socket = _listen(self._port), _listen(0)
        self.url = f"http://127.0.0.1:{api_socket.getsockname()[1]}"
        self.files.origin = f"http://127.0.0.1:{file_socket.getsockname()[1]}"
        origins = ((self.api.application(), api_socket), (self.api.file_application(), file_socket))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(origins)), name="sandbox", daemon=True)
        self._thread.start()
        self._running.wait()
        return self

    async def _serve(self, origins: Iterable[tuple[Starlette, socket.socket]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._servers = [_Server(application) for application, _ in origins]
        self._running.set()
        listening = [each for _, each in origins]
        await asyncio.gather(
            *(server.serve(sockets=[each]) for server, each in zip(self._servers, listening, strict=True))
        )

    def stop(self) -> None:
        """End all connections and delete the data."""
        if self._thread is not None:
            for server in self._servers:
                self._loop.call_soon_threadsafe(server.end)
            self._thread.join()
            self._thread = None
        if not self._keep:
            self.workspace.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def serve(
    workspace: Workspace,
    *,
    port: int = 0,
    faults: Faults | None = None,
    requests_per_hour: int | None = 2500,
    token: str = TOKEN,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until Ctrl-C or a polite end signal; `ready` is called with the address once it listens."""
    ended = threading.Event()
    on_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set()) if on_main else None
    try:
        with (
            Sandbox(workspace, faults=faults, requests_per_hour=requests_per_hour, token=token, port=port) as sandbox,
            contextlib.suppress(KeyboardInterrupt),
        ):
            if ready is not None:
                ready(sandbox.url)
            ended.wait()
    finally:
        if on_main:
            signal.signal(signal.SIGTERM, before)


def _listen(port: int) -> socket.socket:
    # asyncio sends small answers at once only on sockets that name their protocol; on others each waits for 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen(256)
    except OSError:
        listening.close()
        raise
    return listening


class _Server(uvicorn.Server):
    """One origin. It ends at once and cuts what is open; uvicorn's own tidy end takes 0.2 s, felt by every test."""

    def __init__(self, application: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http=TrackedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=100,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,  # the application says it, by its own clock
                timeout_keep_alive=75,
            )
        )
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Stop serving."""
        self.should_exit = True
        self._ended.set()

    async def main_loop(self) -> None:
        """Wait for the end."""
        await self._ended.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything."""
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        for connection in self.server_state.connections:
            connection.transport.abort()
        await asyncio.sleep(0)  # lets the connections hear of it
        if tasks:
            await asyncio.wait(tasks, timeout=1)  # lets downloads close their files
