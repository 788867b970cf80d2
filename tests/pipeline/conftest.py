"""What tests of reading share: one lake that is open, and servers to sync into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from pipeline.reading.progress import Quiet
from pipeline.reading.reader import Options
from pipeline.settings import load_settings
from pipeline.syncing.session import Session, identify, open_client, open_session
from pipeline.syncing.sync import choose, sync_in
from sandbox import Sandbox, Workspace
from tests.lakes import new_lake
from tests.pipeline.scene import ASIDE, Scene
from warehouse import Lake

Serving = Callable[[Workspace], Scene]


@pytest.fixture(scope="session")
def open_lake(small_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake with all its tables and views and nothing in them; `scene_of` empties it after each test."""
    path = new_lake(tmp_path_factory.mktemp("open") / "lake")
    with Sandbox(small_workspace, requests_per_hour=0, keep=True) as sandbox:
        settings = load_settings(url=sandbox.url, token=sandbox.token, lake=path, requests_per_hour=0)
        with open_session(settings) as session:
            sync_in(session, settings, choose(["workspace"]), Quiet(), Options())
            empty(session.lake, {"workspace", *ASIDE})
            yield session.lake


@pytest.fixture
def scene_of(open_lake: Lake) -> Iterator[Serving]:
    """Serve a workspace, which is deleted in the end, and sync it into a lake that is empty."""
    with ExitStack() as stack:

        def serving(workspace: Workspace) -> Scene:
            sandbox = stack.enter_context(Sandbox(workspace, requests_per_hour=0))
            settings = load_settings(url=sandbox.url, token=sandbox.token, lake=open_lake.path, requests_per_hour=0)
            client = stack.enter_context(open_client(settings))
            body, owner = identify(client)
            scene = Scene(sandbox, Session(client, open_lake, owner, body))
            stack.callback(empty, open_lake, scene.used)
            return scene

        yield serving


def empty(lake: Lake, tables: set[str]) -> None:
    lake.commit(lambda connection: [connection.execute(f'DELETE FROM "{table}"') for table in sorted(tables)])
