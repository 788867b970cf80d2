"""Brings streams up to date: one door for the command line and for Dagster."""

from __future__ import annotations

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import duckdb
import msgspec
from filelock import FileLock, Timeout

from pipeline.archives import ArchivesReader
from pipeline.batches import Batches
from pipeline.budget import Budget
from pipeline.client import Client
from pipeline.documents import DailyReader, PerFlowReader
from pipeline.errors import NotOffered, SettingsError, Stopped, WrongWorkspace
from pipeline.listings import ListReader, NewestReader, SingleReader
from pipeline.progress import Progress
from pipeline.reader import Options, Reader
from pipeline.results import Outcome, StreamResult, SyncResult, Tally
from pipeline.settings import Settings
from pipeline.spool import Spool
from pipeline.streams import (
    STREAMS,
    Archives,
    Daily,
    Newest,
    PerFlow,
    Single,
    Snapshot,
    Strategy,
    Stream,
    Window,
    parse_revisits,
)
from pipeline.windows import WindowReader
from warehouse import Lake, RapidlakeError, note_drift
from warehouse.literal import Value, literal, text_list

# A wrong address should be told in seconds, not after the whole patience.
FIRST_ANSWER_SECONDS = 15.0

READERS: dict[type[Strategy], type[Reader]] = {
    Window: WindowReader,
    Newest: NewestReader,
    Snapshot: ListReader,
    Archives: ArchivesReader,
    Single: SingleReader,
    PerFlow: PerFlowReader,
    Daily: DailyReader,
}


class Workspace(msgspec.Struct):
    """Whose data a token gives."""

    uuid: str
    name: str = ""
    languages: list[str] = []


def choose(names: Sequence[str]) -> list[Stream]:
    """The streams of these names; all of them for none.

    Raises:
        SettingsError: there is no stream of a name.
    """
    unknown = [name for name in names if name not in STREAMS]
    if unknown:
        raise SettingsError(f"There is no stream {', '.join(unknown)}; there are: {', '.join(sorted(STREAMS))}.")
    return [STREAMS[name] for name in names] if names else list(STREAMS.values())


def sync(
    settings: Settings,
    streams: Sequence[Stream],
    progress: Progress,
    *,
    options: Options | None = None,
    stop: threading.Event | None = None,
    another_workspace: bool = False,
) -> SyncResult:
    """Bring `streams` up to date, those of different throttle scopes side by side.

    Each stream ends for itself: one that fails does not stop the others. `stop` ends all of them after a commit.

    Raises:
        RapidlakeError: nothing could be begun: server, token, workspace or lake.
    """
    begun = time.monotonic()
    with open_client(settings, stop=stop) as client:
        body, workspace = identify(client)
        client.patience = settings.patience
        client.budget = Budget(f"{settings.url} {workspace.uuid}", _budget(settings))
        with Lake.create(settings.lake) as lake:
            _claim(lake, workspace, settings.url, another_workspace=another_workspace)
            chosen = replace(
                options or Options(),
                overlap=timedelta(seconds=settings.overlap),
                revisits=parse_revisits(settings.revisits),
            )
            run = _Run(client, lake, progress, chosen, body, batch_pages=settings.batch_pages)
            run.before = client.now() - timedelta(seconds=settings.lag)
            results = run.all(streams)
            record(lake, run.uuid, results)
    return SyncResult(run.uuid, workspace.name, str(settings.lake), results, time.monotonic() - begun)


def _budget(settings: Settings) -> int:
    """Requests per hour and scope that are ours; 0 for no limit."""
    return max(1, int(settings.requests_per_hour * settings.share)) if settings.requests_per_hour else 0


def open_client(settings: Settings, *, stop: threading.Event | None = None) -> Client:
    """A client for the settings' server, with little patience and no budget until the workspace is known."""
    return Client(
        settings.url,
        settings.token.get_secret_value(),
        patience=min(settings.patience, FIRST_ANSWER_SECONDS),
        stop=stop,
    )


def identify(client: Client) -> tuple[bytes, Workspace]:
    """Ask whose token it is; return the answer as it came, and what it says.

    Raises:
        RapidlakeError: the server cannot be reached, refuses, or is none of RapidPro's.
    """
    try:
        body = client.document("workspace.json", {}, scope="v2")
        return body, msgspec.json.decode(body, type=Workspace)
    except NotOffered:
        raise SettingsError(
            f"{client.url} has no RapidPro API (404): is RAPIDPRO_URL right? Write it like https://textit.com."
        ) from None
    except msgspec.ValidationError:
        raise SettingsError(
            f"{client.url} answers, but not as a RapidPro workspace does: is RAPIDPRO_URL right?"
        ) from None


def record(lake: Lake, run: uuid.UUID, results: Iterable[StreamResult]) -> None:
    """Write one row per stream into `_sync`, and the keys that differ from this version's into `_drift`."""
    results = list(results)
    rows: list[dict[str, Value]] = [{"run": str(run), **result.facts()} for result in results]
    drift = set().union(*(result.tally.drift for result in results))

    def write(connection: duckdb.DuckDBPyConnection) -> None:
        for row in rows:
            values = ", ".join(map(literal, row.values()))
            connection.execute(f"INSERT INTO _sync ({', '.join(row)}) VALUES ({values})")
        note_drift(connection, drift)

    lake.commit(write)


def _claim(lake: Lake, workspace: Workspace, url: str, *, another_workspace: bool) -> None:
    """Make sure that the lake is this workspace's, or nobody's yet.

    Raises:
        WrongWorkspace: it is another's.
    """
    owner, name = lake.rows("SELECT workspace_uuid::VARCHAR, workspace_name FROM _lake")[0]
    if owner and owner != workspace.uuid and not another_workspace:
        raise WrongWorkspace(
            f"The lake {lake.path} holds the workspace {name!r} ({owner}), the token is of {workspace.name!r} "
            f"({workspace.uuid}): "
            "use another --lake, or the other token; --another-workspace mixes them on purpose."
        )
    with lake.connection() as connection:
        connection.execute(f"SET VARIABLE languages = {text_list(workspace.languages)}")
    if (owner, name) != (workspace.uuid, workspace.name):
        lake.commit(
            lambda connection: connection.execute(
                f"UPDATE _lake SET workspace_uuid = {literal(workspace.uuid)}, "
                f"workspace_name = {literal(workspace.name)}, url = {literal(url)}"
            )
        )


class _Run:
    """One call of `sync`."""

    def __init__(
        self, client: Client, lake: Lake, progress: Progress, options: Options, workspace: bytes, *, batch_pages: int
    ) -> None:
        self.uuid = uuid.uuid4()
        self.before = datetime.now(UTC)
        self._client = client
        self._lake = lake
        self._progress = progress
        self._options = options
        self._workspace = workspace
        self._batch_pages = batch_pages

    def all(self, streams: Sequence[Stream]) -> list[StreamResult]:
        """Sync each stream; contacts' fields first, because a change of theirs changes every contact."""
        first = [self.one(stream) for stream in streams if stream.name == "fields"]
        lanes: dict[str, list[Stream]] = defaultdict(list)
        for stream in streams:
            if stream.name != "fields":
                lanes["files" if isinstance(stream.strategy, Archives) else stream.scope].append(stream)
        with ThreadPoolExecutor(max_workers=max(len(lanes), 1), thread_name_prefix="sync") as pool:
            running = [pool.submit(self._lane, lane) for lane in lanes.values()]
            done = [future.result() for future in running]
        order = {stream.name: place for place, stream in enumerate(streams)}
        return sorted((first + [result for lane in done for result in lane]), key=lambda result: order[result.stream])

    def _lane(self, streams: Sequence[Stream]) -> list[StreamResult]:
        return [self.one(stream) for stream in streams]

    def one(self, stream: Stream) -> StreamResult:
        """Sync one stream and say how it ended; only errors that nobody can cause come out as exceptions."""
        started_on, begun, tally = datetime.now(UTC), time.monotonic(), Tally()
        self._progress.begun(stream.name)
        outcome, message = self._outcome(stream, tally)
        result = StreamResult(stream.name, outcome, started_on, time.monotonic() - begun, tally, message)
        self._progress.ended(result)
        return result

    def _outcome(self, stream: Stream, tally: Tally) -> tuple[Outcome, str | None]:
        try:
            with _alone(self._lake, stream):
                self._read(stream, tally)
        except Timeout:
            return "skipped", "another process is syncing it now; left to that one"
        except NotOffered as error:
            if stream.always_offered:
                return "failed", str(error)
            return "not offered", "this server does not have it"
        except Stopped as error:
            return "stopped", str(error)
        except RapidlakeError as error:
            return "failed", str(error)
        except OSError as error:
            place = error.filename or self._lake.path
            return (
                "failed",
                f"{place} cannot be used ({error.strerror}): nothing committed is lost; mend it and sync again",
            )
        return ("suspicious" if tally.suspicious else "done"), "; ".join(tally.notes) or None

    def _read(self, stream: Stream, tally: Tally) -> None:
        spool = Spool(self._lake.spool, stream.name, full_pages=self._batch_pages)
        try:
            READERS[type(stream.strategy)](
                client=self._client,
                lake=self._lake,
                stream=stream,
                batches=Batches(
                    self._lake, stream.table, spool, tally, accept_deletions=self._options.accept_deletions
                ),
                tally=tally,
                progress=self._progress,
                options=self._options,
                before=self.before,
                workspace=self._workspace,
            ).read()
        finally:
            spool.clear()


@contextmanager
def _alone(lake: Lake, stream: Stream) -> Iterator[None]:
    """Hold the stream's lock, which the system takes back if this process dies.

    Raises:
        filelock.Timeout: another process holds it.
    """
    with FileLock(lake.locks / f"{stream.name}.lock", timeout=0):
        yield
