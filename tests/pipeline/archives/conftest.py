"""Workspaces that tests of archive files begin with."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sandbox import Workspace, generate
from tests.pipeline.scene import Scene


@pytest.fixture
def scene(scene_of: Callable[[Workspace], Scene]) -> Scene:
    """Two contacts, no message, and an empty list of archive files."""
    return scene_of(with_list_of_archives(generate(messages=0, contacts=2, archives=False)))


@pytest.fixture
def scene_with_runs(scene_of: Callable[[Workspace], Scene]) -> Scene:
    """A small workspace with messages and runs, and an empty list of archive files."""
    return scene_of(with_list_of_archives(generate(messages=200, seed=7, archives=False)))


def with_list_of_archives(workspace: Workspace) -> Workspace:
    workspace.offer("archives")
    return workspace
