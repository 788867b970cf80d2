"""Syncs as processes of their own: killed at random moments, two at once, read by others meanwhile."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox import Sandbox, Workspace, generate
from tests.commands import killed
from tests.lakes import assert_holds, new_lake
from tests.processes import Process, start
from warehouse import Cursor, Lake, read_cursors

RAPIDLAKE = [sys.executable, "-c", "from pipeline.cli.app import main; main()"]
STREAMS = ["messages", "runs", "contacts", "tickets", "groups", "labels", "broadcasts"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Enough pages for many commits."""
    with generate(messages=6_000, seed=11, archives=False) as workspace:
        workspace.edit("contacts", 300, same_timestamp=True)
        with Sandbox(workspace, requests_per_hour=0) as served:
            yield served


def test_a_sync_killed_at_random_moments_goes_on_from_its_last_commit(sandbox: Sandbox, tmp_path: Path) -> None:
    lake, dice, kills = new_lake(tmp_path / "lake"), random.Random(5), 0
    while kills < 4:
        sandbox.requests.clear()
        place = _place(lake)
        code = killed(sandbox, lambda lake=lake: _start(sandbox, lake), page=dice.randrange(2, 14))
        assert code in (0, -signal.SIGKILL)
        if place is not None:
            assert all(before <= place for before in _asked(sandbox, "messages") if before < _newest(sandbox))
        if code == 0:  # it was done before it could be killed: begin anew with an empty lake
            lake = new_lake(tmp_path / f"lake-{kills}")
        else:
            kills += 1
    last = _start(sandbox, lake)
    _, said = last.communicate()
    assert last.returncode == 0, said
    _assert_true(sandbox.workspace, lake)


def test_two_syncs_at_once_end_well_and_bring_every_row_once(sandbox: Sandbox, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    processes = [_start(sandbox, lake) for _ in range(2)]
    said = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    assert any("another process is syncing it now" in one for one in said)
    _assert_true(sandbox.workspace, lake)


def test_a_reader_sees_whole_transactions_only_and_never_an_error(sandbox: Sandbox, tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "lake")
    truth = sorted(
        (datetime.fromisoformat(row["created_on"]) for row in sandbox.workspace.rows("messages")), reverse=True
    )
    process = _start(sandbox, lake)
    looks = 0
    while process.poll() is None:
        with Lake.open(lake) as opened, opened.connection() as connection:
            connection.begin()
            walk = read_cursors(connection, "messages").get("rows", Cursor()).walk
            stored = connection.execute("SELECT count(*), count(DISTINCT id) FROM messages").fetchone()
            connection.commit()
            if walk and walk.place:
                looks += 1
                assert stored and stored[0] == stored[1]
                # Rows of the very moment of the place may be read in part: the walk asks for them again.
                assert stored[0] >= sum(at > walk.place for at in truth)
    assert process.returncode == 0
    assert looks > 0


def _start(sandbox: Sandbox, lake: Path) -> Process:
    environment = {
        "RAPIDPRO_URL": sandbox.url,
        "RAPIDPRO_TOKEN": sandbox.token,
        "RAPIDLAKE_LAKE": str(lake),
        "RAPIDLAKE_REQUESTS_PER_HOUR": "0",
        "RAPIDLAKE_BATCH_PAGES": "2",
        "RAPIDLAKE_LAG": "0",
    }
    return start([*RAPIDLAKE, "sync", *STREAMS], env=os.environ | environment)


def _place(lake: Path) -> datetime | None:
    """Where the open walk over messages goes on; None if there is none."""
    with Lake.open(lake) as opened, opened.connection() as connection:
        walk = read_cursors(connection, "messages").get("rows", Cursor()).walk
        return walk.place if walk else None


def _asked(sandbox: Sandbox, endpoint: str) -> list[datetime]:
    return [
        datetime.fromisoformat(request.params["before"]) for request in sandbox.requests if request.endpoint == endpoint
    ]


def _newest(sandbox: Sandbox) -> datetime:
    """No message of the workspace is newer; windows that end later are those of rows to come."""
    return datetime.now(UTC) - timedelta(minutes=9)


def _assert_true(workspace: Workspace, lake: Path) -> None:
    assert not list((lake / "spool").glob("*.jsonl")), "spool files are left behind"
    assert_holds(lake, workspace, *STREAMS)
