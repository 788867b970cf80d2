"""What tests of walks share: a workspace in which many rows share a timestamp."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox import Sandbox, generate
from sandbox.workspace.dates import read_iso
from tests.pipeline.reading.walking import CLIENTS, ON, middle


@pytest.fixture(scope="module")
def tied() -> Iterator[Sandbox]:
    """A workspace where 660 rows of each large stream share one timestamp, with one a tick before and one after them.

    No test changes it.
    """
    with generate(messages=400, contacts=900, archives=False) as workspace:
        for stream in ON:
            moment = read_iso(middle(workspace, stream)[ON[stream]])
            if stream == "contacts":
                tied = workspace.edit(stream, 660, at=moment, same_timestamp=True)
                others = [row["uuid"] for row in workspace.rows(stream) if row["uuid"] not in tied]
                for tick, key in zip((-1, 1), others, strict=False):
                    workspace.edit(stream, [key], at=moment + tick)
            else:
                workspace.add(stream, 660, at=moment, same_timestamp=True)
                for tick in (-1, 1):
                    workspace.add(stream, 1, at=moment + tick)
        with Sandbox(workspace, requests_per_hour=None) as sandbox:
            yield sandbox


@pytest.fixture(autouse=True, scope="module")
def closed_clients() -> Iterator[None]:
    yield
    while CLIENTS:
        CLIENTS.popitem()[1].close()
