"""Names in the spool can be foreseen: a link may wait under one of them where others can write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.results import StreamResult
from pipeline.settings import load_settings
from sandbox import Sandbox, Workspace, generate
from tests.lakes import new_lake
from tests.sessions import sync

KEPT = b"of the one who runs the sync\n"
BEHIND = pytest.mark.parametrize("behind", ["", ".0.jsonl"])


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with generate(messages=40, contacts=4) as workspace:
        yield workspace


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return new_lake(tmp_path / "lake")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file that is not the sync's."""
    file = tmp_path / "victim"
    file.write_bytes(KEPT)
    return file


def link(sandbox: Sandbox, lake: Path, victim: Path, behind: str) -> None:
    """Put links to the victim where archive files of messages are downloaded to, or unpacked."""
    (lake / "spool").mkdir(exist_ok=True)
    for row in sandbox.workspace.rows("archives"):
        name = f"archives.message-{row['period']}-{row['start_date']}-{row['hash']}.gz{behind}"
        if row["archive_type"] == "message" and not (lake / "spool" / name).exists():
            (lake / "spool" / name).symlink_to(victim)


def run(sandbox: Sandbox, lake: Path) -> StreamResult:
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, patience=0)
    return sync(settings, ["archives"]).streams[0]


@BEHIND
def test_a_link_that_waits_where_a_file_will_be_is_removed_first(
    behind: str, sandbox: Sandbox, lake: Path, victim: Path
) -> None:
    link(sandbox, lake, victim, behind)
    assert run(sandbox, lake).outcome == "done"
    assert victim.read_bytes() == KEPT


@BEHIND
def test_nothing_is_written_through_a_link_that_is_put_there_meanwhile(
    behind: str, sandbox: Sandbox, lake: Path, victim: Path
) -> None:
    sandbox.before_file = lambda name: link(sandbox, lake, victim, behind)
    result = run(sandbox, lake)
    assert victim.read_bytes() == KEPT
    assert result.outcome == "failed"
    assert result.message and "cannot be used (Too many levels of symbolic links)" in result.message
