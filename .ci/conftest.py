"""What the tests of a real workspace share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox, Workspace
from tests.real import Real

DUMP = Path(__file__).parents[2] / "shared" / "workspace-a"
SECONDS = 1800


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """The dump, served and synced once without a complaint."""
    with Workspace.load(DUMP) as workspace, Sandbox(workspace) as sandbox:
        synced = Real(DUMP, sandbox, tmp_path_factory.mktemp("real") / "lake")
        result = synced.sync(synced.lake)
        assert not result.failed
        assert all(stream.message is None or stream.outcome == "not offered" for stream in result.streams)
        yield synced


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is set up here may take minutes on a busy machine."""
    for item in items:
        item.add_marker(pytest.mark.timeout(SECONDS))
