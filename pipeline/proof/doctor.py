"""Examines what a sync needs, one check after another, and says what to do about what is wrong."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial

from pipeline.access import exposed_tokens
from pipeline.errors import NotOffered, ServerError, TokenRefused, told
from pipeline.reading.progress import Progress, Quiet
from pipeline.server.client import Client, Listener
from pipeline.settings import Settings
from pipeline.streams import STREAMS, Daily, PerFlow, Single, Stream, Window
from pipeline.syncing.session import Workspace, identify, open_client
from warehouse import Lake, RapidlakeError
from warehouse.declared import kind_of
from warehouse.lake import clock
from warehouse.lake.catalog import has_catalog
from warehouse.private import open_to
from warehouse.proof.mangled import count_mangled

LARGEST_SKEW_SECONDS = 30.0
# Beyond that, what is new arrives so much later, or nothing does; and a verification compares less than it says.
HARMFUL_SKEW_SECONDS = 300.0
LEAST_FREE_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, whether it is good, what was found, and what to do if it is not."""

    check: str
    good: bool
    found: str
    advice: str = ""


def examine(settings: Settings, progress: Progress | None = None) -> list[Finding]:
    """Every check that can be made; later ones are left out when an earlier one makes them pointless.

    `progress` hears of a server that does not answer.
    """
    progress = progress or Quiet()
    findings = [_address(settings), _access(settings), *(Finding("token", False, one) for one in exposed_tokens())]
    with open_client(settings) as client:
        try:
            _, workspace = identify(client, progress)
        except RapidlakeError as error:
            return [*findings, Finding("server", False, told(error)), *_lake(settings, None)]
        findings.append(Finding("token", True, f"it is of the workspace {workspace.uuid}"))
        findings.append(_clock(client))
        findings.extend(_endpoints(client, progress, settings.left_out))
    return [*findings, *_lake(settings, workspace)]


def _address(settings: Settings) -> Finding:
    if settings.url.startswith("https://"):
        return Finding("address", True, f"{settings.url}, encrypted")
    return Finding("address", True, f"{settings.url}, on this machine")


def _access(settings: Settings) -> Finding:
    own = f"; certificates are also proven with {settings.ca_file}" if settings.ca_file else ""
    return Finding("settings", True, f"the token is from {settings.token_from}{own}")


def _clock(client: Client) -> Finding:
    there = client.server_now()
    if there is None:
        return Finding(
            "clock", True, "cannot be compared: the server's answers tell no time; syncs follow this machine's"
        )
    skew = (clock.now() - there).total_seconds()
    if abs(skew) <= LARGEST_SKEW_SECONDS:
        return Finding("clock", True, "agrees with the server's")
    way = "ahead of" if skew > 0 else "behind"
    return Finding(
        "clock",
        abs(skew) <= HARMFUL_SKEW_SECONDS,
        f"{abs(skew):,.0f} s {way} the server's; syncs end at the earlier of the two",
        "set this machine's clock (NTP), or let the server's be set",
    )


def _endpoints(client: Client, progress: Progress, left_out: Collection[str]) -> Iterator[Finding]:
    refused: list[str] = []
    missing: list[str] = []
    absent: list[str] = []
    wanted = [stream for stream in STREAMS.values() if stream.name not in left_out]
    for stream in wanted:
        try:
            _probe(client, stream, Listener(failing=partial(progress.retrying, stream.name)))
        except TokenRefused:
            refused.append(stream.name)
        except NotOffered:
            (missing if stream.always_offered else absent).append(stream.name)
        except ServerError as error:
            yield Finding(stream.name, False, told(error), "if it stays so, tell whoever runs the server")
    if refused:
        yield Finding(
            "role", False, f"the token may not read {', '.join(refused)}", "use a token of an Administrator or Editor"
        )
    else:
        yield Finding("role", True, "may read every endpoint")
    if missing:
        yield Finding(
            "endpoints", False, f"the server lacks {', '.join(missing)}", "is it a RapidPro or TextIt of 2024 or later?"
        )
    offered = len(wanted) - len(refused) - len(missing) - len(absent)
    yield Finding(
        "endpoints",
        True,
        f"{offered} offered"
        + (f"; not by this server: {', '.join(absent)}" if absent else "")
        + (f"; not asked for, because they are left out: {', '.join(left_out)}" if left_out else ""),
    )


def _probe(client: Client, stream: Stream, listener: Listener) -> None:
    if isinstance(stream.strategy, Single | PerFlow):
        client.document(stream.path, {}, scope=stream.scope, listener=listener)
    elif isinstance(stream.strategy, Daily):
        client.page(stream.path, {"since": client.now().date().isoformat()}, scope=stream.scope, listener=listener)
    elif isinstance(stream.strategy, Window):
        client.page(stream.path, {"after": "2200-01-01T00:00:00.000000Z"}, scope=stream.scope, listener=listener)
    else:
        client.page(stream.path, {}, scope=stream.scope, listener=listener)


def _lake(settings: Settings, workspace: Workspace | None) -> Iterator[Finding]:
    path = settings.lake
    try:
        there = has_catalog(path)
    except RapidlakeError as error:
        yield Finding("lake", False, told(error))
        return
    if not there:
        parent = next(folder for folder in (path.resolve(), *path.resolve().parents) if folder.exists())
        if not parent.is_dir():
            yield Finding("lake", False, f"{parent} is a file", "name a folder with --lake or RAPIDLAKE_LAKE")
            return
        try:
            tempfile.TemporaryDirectory(dir=parent).cleanup()
        except OSError as error:
            yield Finding("lake", False, f"{parent} cannot be written ({kind_of(error)})", "choose another with --lake")
            return
        yield from _disk(shutil.disk_usage(parent).free)
        yield Finding("lake", True, f"{path} does not exist yet; the first sync makes it")
        return
    try:
        with Lake.create(path) as lake:
            owner = lake.rows("SELECT workspace_uuid::VARCHAR FROM _lake")[0][0]
            mangled = count_mangled(lake)
    except RapidlakeError as error:
        yield Finding("lake", False, told(error))
        return
    yield from _disk(shutil.disk_usage(path).free)
    if workspace and owner and owner != str(workspace.uuid):
        yield Finding("lake", False, f"{path} holds another workspace", "use another --lake, or the other token")
    else:
        yield Finding("lake", True, f"{path} can be written")
    yield _rows(mangled)
    if who := open_to(path):
        yield Finding("lake", False, f"{path} is open to {who} on this machine", f"type `chmod -R go-rwx {path}`")


def _rows(mangled: dict[str, int]) -> Finding:
    if not mangled:
        return Finding("rows", True, "those in the catalog can be read back")
    which = ", ".join(f"{rows:,} of {table}" for table, rows in mangled.items())
    return Finding(
        "rows", False, f"some in the catalog cannot be read back: {which}", "run `rapidlake verify --repair`"
    )


def _disk(free: int) -> Iterator[Finding]:
    good = free >= LEAST_FREE_BYTES
    yield Finding("disk", good, f"{free / 1e9:,.1f} GB free", "" if good else "make room before the next sync")
