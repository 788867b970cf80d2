"""Publishing that is killed: the copy is what it was, or what it was to become, and the next leaves nothing over."""

from __future__ import annotations

import shutil
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests import processes
from tests.lakes import new_lake, rows
from warehouse import Lake, maintain
from warehouse.publishing.publish import publish
from warehouse.scratch import PREFIX

TOTAL = "SELECT count(*), sum(id) FROM messages"
# Publishes, and is killed at its n-th step that changes something on the disk; says so if there are not so many.
KILLED_AT = """
import os, signal, sys
from pathlib import Path
from warehouse.publishing.publish import publish

lake, folder, moment, place = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[2]
steps = 0

def count(event, given):
    global steps
    changes = ("os.rename", "os.link", "os.mkdir", "os.remove", "os.chmod", "shutil.copyfile", "subprocess.Popen")
    if event in changes or (event == "open" and str(given[0]).startswith(place) and given[2] & os.O_ACCMODE):
        steps += 1
        if steps == moment:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
publish(lake, folder)
"""


def killed_at(lake: Path, copy: Path, moment: int) -> bool:
    """Whether a publishing was killed at this step of it, and not done before."""
    ended = processes.run([sys.executable, "-c", KILLED_AT, lake, copy, moment])
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended.returncode != 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A lake, an earlier state of it, and a copy of that."""
    place = tmp_path_factory.mktemp("made")
    lake = new_lake(place / "lake")
    with Lake.create(lake) as opened:
        for number in range(3):
            sql = f"SELECT {number} * 1000 + id, now(), now() FROM range(150) AS ids(id)"
            opened.commit(
                lambda connection, sql=sql: connection.execute(
                    f"INSERT INTO messages (id, created_on, synced_on) {sql}"
                )
            )
    earlier = Path(shutil.copytree(lake, place / "earlier"))
    publish(lake, place / "copy")
    with Lake.create(lake) as opened:
        maintain(opened, keep=timedelta(0), grace=timedelta(0))
        sql = "SELECT 50000 + id, now(), now() FROM range(150) AS ids(id)"
        opened.commit(lambda connection: connection.execute(f"INSERT INTO messages (id, created_on, synced_on) {sql}"))
    return lake, earlier, place / "copy"


def publish_killed(made: tuple[Path, Path, Path], place: Path, moment: int) -> bool:
    """Kill a publishing at a moment, look at the copy, and publish again; False if there is no such moment."""
    lake, earlier, published = made
    copy = Path(shutil.copytree(published, place / f"copy-{moment}"))
    was_killed = killed_at(lake, copy, moment)
    assert rows(copy, TOTAL) in (rows(earlier, TOTAL), rows(lake, TOTAL))
    publish(lake, copy)
    assert rows(copy, TOTAL) == rows(lake, TOTAL)
    assert not list(copy.rglob(f"{PREFIX}*"))
    return was_killed


def first_killed(made: tuple[Path, Path, Path], place: Path, moment: int) -> bool:
    """As `publish_killed`, of the first publishing into a folder."""
    lake, _, _ = made
    copy = place / f"first-{moment}"
    was_killed = killed_at(lake, copy, moment)
    publish(lake, copy)
    assert rows(copy, TOTAL) == rows(lake, TOTAL)
    assert not list(copy.rglob(f"{PREFIX}*"))
    return was_killed


@pytest.mark.parametrize("moment", [3, 9])
def test_a_killed_publishing_leaves_one_state_or_the_other(
    made: tuple[Path, Path, Path], tmp_path: Path, moment: int
) -> None:
    assert publish_killed(made, tmp_path, moment)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_whenever_a_publishing_is_killed_it_leaves_one_state_or_the_other(
    made: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    for kill in (publish_killed, first_killed):
        moment = 1
        while kill(made, tmp_path, moment):
            moment += 1
        assert moment > 10
