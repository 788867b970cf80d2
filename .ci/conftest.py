"""What the tests of a real workspace share, and which tests run in one process."""

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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of the dump share one sync of it; those of other files share what theirs sets up: it is much."""
    for item in items:
        item.add_marker(pytest.mark.timeout(SECONDS))
        fixtures = getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("real" if "real" in fixtures else item.path.stem))
