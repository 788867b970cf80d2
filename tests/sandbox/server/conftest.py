"""Sandboxes of their own workspaces, for all tests of what they answer."""

from collections.abc import Iterator

import pytest

from sandbox import Sandbox, generate


@pytest.fixture(scope="module")
def quiet() -> Iterator[Sandbox]:
    """A sandbox that no test changes."""
    with Sandbox(generate(messages=1500, contacts=800), requests_per_hour=None) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox to be changed by one test."""
    with Sandbox(generate(messages=600, contacts=1100, archives=False), requests_per_hour=None) as sandbox:
        yield sandbox
