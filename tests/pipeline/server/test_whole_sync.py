"""What a whole sync sends, logs and leaves: nothing but GET, and the token nowhere but in the header of requests."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.reading.progress import Quiet
from pipeline.settings import load_settings
from pipeline.syncing.sync import choose, sync
from sandbox import Sandbox, SeenRequest, Workspace
from tests.lakes import new_lake


@dataclass(frozen=True)
class Evidence:
    """What one sync of a whole workspace left behind."""

    requests: list[SeenRequest]
    records: list[logging.LogRecord]
    url: str
    token: str
    folder: Path


@pytest.fixture(scope="module")
def evidence(small_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    records: list[logging.LogRecord] = []
    folder = tmp_path_factory.mktemp("whole")
    with (
        pytest.MonkeyPatch.context() as patch,
        logged(records),
        Sandbox(small_workspace, requests_per_hour=None, keep=True) as sandbox,
    ):
        patch.setenv("RAPIDLAKE_CACHE", str(folder / "cache"))
        settings = load_settings(url=sandbox.url, token=sandbox.token, lake=new_lake(folder / "lake"))
        assert not sync(settings, choose([]), Quiet()).failed
        return Evidence(list(sandbox.requests), records, sandbox.url, sandbox.token, folder)


@contextmanager
def logged(records: list[logging.LogRecord]) -> Iterator[None]:
    """Note every record that anything logs."""
    handler, root = logging.Handler(logging.DEBUG), logging.getLogger()
    handler.emit = records.append  # type: ignore[method-assign]
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


def test_a_whole_sync_sends_nothing_but_get(evidence: Evidence) -> None:
    assert len(evidence.requests) > 25
    assert {seen.method for seen in evidence.requests} == {"GET"}
    assert {seen.host for seen in evidence.requests} == {evidence.url.removeprefix("http://")}
    assert all(seen.authorization for seen in evidence.requests)


def test_no_log_record_of_a_whole_sync_has_the_token(evidence: Evidence) -> None:
    assert evidence.records
    assert not [record for record in evidence.records if evidence.token in f"{record.getMessage()} {record.__dict__}"]


def test_the_log_tells_no_address_that_was_asked(evidence: Evidence) -> None:
    told = [record.getMessage() for record in evidence.records if record.name.startswith(("httpx", "httpcore"))]
    assert "HTTP Request" in told
    assert not [words for words in told if "/" in words or "127.0.0.1" in words]


def test_no_file_of_a_whole_sync_has_the_token(evidence: Evidence) -> None:
    files = [path for path in evidence.folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".sqlite" for path in files)
    assert not [path for path in files if evidence.token.encode() in path.read_bytes()]
