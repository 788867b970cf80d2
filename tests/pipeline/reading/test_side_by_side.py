"""Readings of one table beside each other: whatever the other does between two requests, nothing alive is deleted.

A reading is stopped after each of its requests in turn, and another one runs from its beginning to its end meanwhile.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.months import Month
from pipeline.proof.comparing import Verification
from pipeline.proof.verify import choose_verifiable, verify_in
from pipeline.reading.progress import Progress, Quiet
from pipeline.reading.reader import Options
from pipeline.results import Tally
from pipeline.syncing.backfill import backfill_in
from pipeline.syncing.sync import choose, sync_in
from sandbox import Workspace, archive_old_rows, generate, read_archive
from tests import processes
from tests.cases import cases
from tests.pipeline.scene import LANGUAGES, Scene, differences
from tests.truth import assert_same, expected_union, stored_rows

Row = dict[str, Any]

DAY = timedelta(days=1)
MONTH = Month.of(datetime.now(UTC)).plus(-1)

Reading = Callable[[Scene, Progress], object]


def walk(scene: Scene, progress: Progress) -> object:
    return sync_in(scene.session, scene.settings(), choose(["messages"]), progress, Options(revisit_now=True))


def month(scene: Scene, progress: Progress) -> object:
    return backfill_in(scene.session, scene.settings(), choose(["messages"]), [MONTH], progress)


def archives(scene: Scene, progress: Progress) -> object:
    return sync_in(scene.session, scene.settings(), choose(["archives"]), progress, Options())


def verification(scene: Scene, progress: Progress) -> object:
    asked = Verification(repair=True)
    return verify_in(scene.session, scene.settings(), choose_verifiable(["messages"]), progress, Options(), asked)


READINGS: dict[str, Reading] = {"walk": walk, "month": month, "archives": archives, "verify": verification}
COMMANDS = {
    "walk": ("sync", "messages"),
    "month": ("backfill", str(MONTH), "--stream", "messages"),
    "archives": ("sync", "archives"),
    "verify": ("verify", "messages", "--repair"),
}
# A walk and a verification of one stream take turns, and so do two that load archives.
BESIDE = [
    ("walk", "month"), ("walk", "archives"), ("month", "walk"), ("month", "verify"),
    ("archives", "verify"), ("verify", "month"), ("verify", "archives"),
]  # fmt: skip


@pytest.fixture
def scene(scene_of: Callable[[Workspace], Scene]) -> Scene:
    """Messages of 90 days in the lake, of which none is archived yet."""
    workspace = generate(messages=180, contacts=10, seed=7, archives=False)
    workspace.offer("archives")
    scene = scene_of(workspace)
    scene.sync("archives", "messages")
    return scene


@pytest.mark.parametrize(("one", "other"), cases(("archives", "walk"), long=BESIDE))
def test_whenever_another_reading_runs_beside_one_no_message_is_lost_nor_wrongly_deleted(
    one: str, other: str, scene: Scene
) -> None:
    gone: set[str] = set()
    request = 0
    while beside(scene, gone, one, lambda: READINGS[other](scene, Quiet()), request):
        request += 1
        assert_nothing_wrongly_deleted(scene, gone)
    assert request, "the reading was stopped after no request"
    settle(scene, gone)


@pytest.mark.parametrize(
    ("one", "other"),
    cases(("archives", "verify"), long=[("walk", "archives"), ("verify", "month")]),
)
def test_another_process_that_reads_beside_one_does_no_harm(one: str, other: str, scene: Scene) -> None:
    gone: set[str] = set()
    environment = {
        "RAPIDPRO_URL": scene.sandbox.url, "RAPIDPRO_TOKEN": scene.sandbox.token, "RAPIDLAKE_REQUESTS_PER_HOUR": "0",
        "RAPIDLAKE_LAKE": str(scene.session.lake.path), "RAPIDLAKE_LAG": "0",
    }  # fmt: skip
    command = [sys.executable, "-c", "from pipeline.cli.app import main; main()", *COMMANDS[other]]
    assert beside(scene, gone, one, lambda: processes.run(command, env=os.environ | environment), 0)
    assert_nothing_wrongly_deleted(scene, gone)
    settle(scene, gone)


# -- helpers --


class Interrupting(Quiet):
    """Runs `other` once, when a reading has got so many answers."""

    def __init__(self, request: int, other: Callable[[], object]) -> None:
        self.left = request
        self.other: Callable[[], object] | None = other

    def page(self, stream: str, tally: Tally) -> None:
        self.left -= 1
        if self.left < 0 and self.other:
            other, self.other = self.other, None
            other()


def beside(scene: Scene, gone: set[str], one: str, other: Callable[[], object], request: int) -> bool:
    """Let things happen, then run a reading with another one after its `request`; whether it made so many."""
    happen(scene, gone)
    progress = Interrupting(request, other)
    READINGS[one](scene, progress)
    return progress.other is None


def happen(scene: Scene, gone: set[str]) -> None:
    """Messages come, late ones too, and go; the oldest ones are archived, and the API forgets them."""
    workspace = scene.workspace
    oldest = min(datetime.fromisoformat(row["created_on"]) for row in workspace.rows("messages"))
    archive_old_rows(workspace, (oldest + 2 * DAY).date())
    rows = workspace.rows("messages")
    doomed = [rows[len(rows) // 8]["id"], rows[len(rows) // 3]["id"]]
    gone.update(map(str, doomed))
    workspace.delete("messages", doomed)
    workspace.add("messages", 1)
    workspace.add("messages", 1, at=datetime.now(UTC) - 30 * DAY)
    workspace.add("messages", 1, at=oldest + DAY)  # in no archive file, though that of its day is written


def assert_nothing_wrongly_deleted(scene: Scene, gone: set[str]) -> None:
    marked = scene.column("SELECT id::VARCHAR FROM messages WHERE deleted_on IS NOT NULL")
    assert marked <= gone, f"{len(marked - gone)} messages are alive on the server and deleted in the lake"


def settle(scene: Scene, gone: set[str]) -> None:
    """After an ordinary sync and a verification the lake is the truth."""
    scene.sync("archives", "messages", options=Options(revisit_now=True))
    assert scene.verify("messages", repair=True).complete
    assert_nothing_wrongly_deleted(scene, gone)
    workspace = scene.workspace
    records = [
        json.loads(line)
        for row in workspace.rows("archives")
        if row["archive_type"] == "message"
        for line in read_archive(workspace, row)
    ]
    expected = expected_union("messages", workspace.rows("messages"), records, LANGUAGES)
    with scene.session.lake.connection() as connection:
        assert_same("messages", stored_rows(connection, "messages", live=True), expected)
    assert differences(scene.verify("messages")) == {}
