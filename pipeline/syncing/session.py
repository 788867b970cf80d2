"""Opens what every run needs: a client of the workspace, and the lake that holds it."""

from __future__ import annotations

import math
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import duckdb
import msgspec

from pipeline.errors import NotOffered, SettingsError, WrongWorkspace
from pipeline.reading.progress import Progress, Quiet
from pipeline.results import Counters
from pipeline.server.budget import Budget
from pipeline.server.client import Client, Listener
from pipeline.settings import MEGABYTE, Settings
from pipeline.streams import STREAMS
from pipeline.syncing.loss import Loss
from warehouse import Lake, harvest
from warehouse.lake.literal import literal, text_list

# A wrong address should be told in seconds, not after the whole patience.
FIRST_ANSWER_SECONDS = 15.0
OWNER = "SELECT workspace_uuid::VARCHAR, workspace_name FROM _lake"


class Workspace(msgspec.Struct):
    """Whose data a token gives; in an anonymous one the addresses of contacts are hidden."""

    uuid: uuid.UUID
    name: str = ""
    languages: list[str] = []
    anon: bool | None = None


@dataclass(frozen=True)
class Session:
    """A workspace's server and its lake.

    `body` is what the server said of the workspace, `opened` what that has cost, `loss` whether it says no more.
    """

    client: Client
    lake: Lake
    workspace: Workspace
    body: bytes
    opened: Counters = field(default_factory=Counters)
    loss: Loss = field(default_factory=Loss)


@contextmanager
def open_session(
    settings: Settings, *, progress: Progress | None = None, stop: threading.Event | None = None
) -> Iterator[Session]:
    """Ask whose token it is, and open the lake for writing, once it is sure that the two belong together.

    `progress` hears of a server that does not answer that.

    Raises:
        RapidlakeError: server, token, workspace or lake do not let anything begin.
    """
    with open_client(settings, stop=stop) as client:
        opened = Counters()
        body, workspace = identify(client, progress, opened)
        client.patience = settings.patience
        client.budget = Budget(f"{settings.url} {workspace.uuid}", _budget(settings))
        with Lake.create(settings.lake, stop=client.stop) as lake:
            _claim(lake, workspace, settings.url)
            harvest(lake, [stream.table for stream in STREAMS.values()])
            yield Session(client, lake, workspace, body, opened, Loss(partial(_ask_again, settings, client.stop)))


def _ask_again(settings: Settings, stop: threading.Event) -> None:
    """Ask whose token it is, in seconds. Raises as `identify`."""
    with open_client(settings, stop=stop) as client:
        client.longest_wait = 0.0
        identify(client)


def _budget(settings: Settings) -> int:
    """Requests per hour and scope that are ours; 0 for no limit."""
    return max(1, int(settings.requests_per_hour * settings.share)) if settings.requests_per_hour else 0


def open_client(settings: Settings, *, stop: threading.Event | None = None) -> Client:
    """A client for the settings' server, with little patience and no budget until the workspace is known."""
    return Client(
        settings.url,
        settings.token.get_secret_value(),
        patience=min(settings.patience, FIRST_ANSWER_SECONDS),
        largest_page=settings.largest_page * MEGABYTE,
        ca_file=settings.ca_file,
        longest_wait=math.inf if settings.longest_wait is None else settings.longest_wait,
        stop=stop,
    )


def identify(
    client: Client, progress: Progress | None = None, counters: Counters | None = None
) -> tuple[bytes, Workspace]:
    """Ask whose token it is; return the answer as it came, and what it says; `counters` count what that costs.

    Raises:
        RapidlakeError: the server cannot be reached, refuses, or is none of RapidPro's.
    """
    failing = partial((progress or Quiet()).retrying, "workspace")
    listener = Listener(counters or Counters(), failing=failing)
    try:
        body = client.document("workspace.json", {}, scope="v2", listener=listener)
        if not client.clocks_agree():  # the answer may be the only one to say so
            body = client.document("workspace.json", {}, scope="v2", listener=listener)
        return body, msgspec.json.decode(body, type=Workspace)
    except NotOffered:
        raise SettingsError(
            f"{client.url} has no RapidPro API (404): is RAPIDPRO_URL right? Write it like https://textit.com."
        ) from None
    except msgspec.ValidationError:
        raise SettingsError(
            f"{client.url} answers, but not as a RapidPro workspace does: is RAPIDPRO_URL right?"
        ) from None


def _claim(lake: Lake, workspace: Workspace, url: str) -> None:
    """Make sure that the lake is this workspace's, or nobody's yet; tell it what loading must know of the workspace.

    Raises:
        WrongWorkspace: it is another's.
    """
    known = _owned(lake, workspace, lake.rows(OWNER))
    with lake.connection() as connection:
        connection.execute(f"SET VARIABLE languages = {text_list(workspace.languages)}")
        connection.execute(f"SET VARIABLE anonymous = {literal(bool(workspace.anon))}")
    if not known:
        with lake.writing("_lake"):  # the first syncs of two workspaces may both have found it nobody's
            lake.commit(lambda connection: _own(connection, lake, workspace, url))


def _owned(lake: Lake, workspace: Workspace, found: list[tuple[str | None, str | None]]) -> bool:
    """Whether the lake knows that it is this workspace's, by this name; `found` is what `OWNER` brings.

    Raises:
        WrongWorkspace: it is another's.
    """
    [(owner, name)] = found
    ours = str(workspace.uuid)
    if owner and owner != ours:
        raise WrongWorkspace(
            f"The lake {lake.path} holds another workspace ({owner}) than the token's ({ours}): "
            "use another --lake, or the other token."
        )
    return (owner, name) == (ours, workspace.name)


def _own(connection: duckdb.DuckDBPyConnection, lake: Lake, workspace: Workspace, url: str) -> None:
    """Write whose lake it is, inside the caller's transaction, unless another was faster."""
    _owned(lake, workspace, connection.execute(OWNER).fetchall())
    connection.execute(
        f"UPDATE _lake SET workspace_uuid = {literal(str(workspace.uuid))}, "
        f"workspace_name = {literal(workspace.name)}, url = {literal(url)}"
    )
