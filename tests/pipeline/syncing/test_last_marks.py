"""Rows that were on their way when their contact was deleted are marked last of all, by the next sync if need be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.reading.progress import Quiet
from pipeline.reading.reader import Options
from pipeline.results import StreamResult
from pipeline.settings import load_settings
from pipeline.syncing.session import open_session
from pipeline.syncing.sync import choose, sync_in
from sandbox import Sandbox, generate
from tests.lakes import new_lake


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(generate(messages=100, archives=False), requests_per_hour=0) as served:
        yield served


class Ending(Quiet):
    """Does something when a stream has been read."""

    def __init__(self, stream: str, then: Callable[[], object]) -> None:
        self._stream = stream
        self._then = then

    def ended(self, result: StreamResult) -> None:
        if result.stream == self._stream:
            self._then()


def test_a_sync_that_is_stopped_before_its_last_marks_is_on_record_and_the_next_one_makes_them(
    sandbox: Sandbox, stop: threading.Event, tmp_path: Path
) -> None:
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=new_lake(tmp_path / "lake"), overlap=0, lag=0)
    with ExitStack() as others, open_session(settings, stop=stop) as session:
        lake, streams = session.lake, choose(["contacts"])
        sync_in(session, settings, choose(["contacts", "messages"]), Quiet(), Options())
        contact = sandbox.workspace.rows("messages")[0]["contact"]["uuid"]
        sandbox.workspace.delete_contacts([contact])
        alive = f"SELECT count(*) > 0 FROM messages WHERE contact_uuid = '{contact}' AND deleted_on IS NULL"

        def come_between() -> None:
            """A row that was on its way, another process that writes runs, and Ctrl-C."""
            on_its_way = f"UPDATE messages SET deleted_on = NULL WHERE contact_uuid = '{contact}'"
            lake.commit(lambda connection: connection.execute(on_its_way))
            others.enter_context(FileLock(lake.locks / "runs.write.lock", thread_local=False))
            stop.set()

        result = sync_in(session, settings, streams, Ending("contacts", come_between), Options())
        assert (result.failed, result.streams[0].outcome) == (True, "stopped")
        assert lake.rows(f"SELECT outcome FROM _sync WHERE run = '{result.run}'") == [("stopped",)]
        assert lake.rows(alive) == [(True,)]

        others.close()
        stop.clear()
        assert not sync_in(session, settings, streams, Quiet(), Options()).failed
        assert lake.rows(alive) == [(False,)]
