"""What tests of verify share: a server and a lake of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.lakes import new_lake
from tests.pipeline.proof.verifying import OPENED, make_workspace


@pytest.fixture
def changing() -> Iterator[Sandbox]:
    """A workspace of a test's own; its archives are of single days."""
    with Sandbox(make_workspace(), requests_per_hour=0) as served:
        yield served


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Where the lake of `changing` will be."""
    return new_lake(tmp_path / "new")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """A lake that a test looks into is opened once, and closed in the end."""
    yield
    while OPENED:
        OPENED.popitem()[1].close()
