"""A server that is upgraded, and back: messages and broadcasts stay the rows they were, whichever keys they have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from pipeline.proof.verify import VerifyResult
from pipeline.reading.reader import Options
from sandbox import Generation, Workspace, archive_old_rows, generate
from sandbox.workspace.generations import id_of
from tests.cases import cases
from tests.pipeline.scene import Scene, differences, now

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FULL = Options(full=True)
NINE, TWENTY_SIX, WITHOUT_IDS = Generation


# The way of an upgrade, and every step from one generation to another.
UPGRADE = (NINE, TWENTY_SIX, WITHOUT_IDS)
STEPS = (NINE, TWENTY_SIX, WITHOUT_IDS, NINE, WITHOUT_IDS, TWENTY_SIX, NINE)


@pytest.mark.parametrize("steps", cases(UPGRADE, long=[pytest.param(STEPS)]), ids=["an upgrade", "every step"])
@pytest.mark.long
def test_no_message_or_broadcast_is_lost_double_or_another_when_the_server_changes_its_keys(
    scene_of: Callable[[Workspace], Scene], steps: Sequence[Generation]
) -> None:
    scene = scene_of(generate(messages=200, contacts=40, seed=7, archives=False))
    workspace = scene.workspace
    recent = workspace.add("messages", 30, at=now() - HOUR)
    dead: set[str] = set()
    for place, generation in enumerate(steps):
        workspace.generation = generation
        edited = [key for key in recent[place::4] if key not in dead]
        workspace.edit("messages", edited, changes={"status": f"as of {place}"})
        if place:
            dead.add(recent[2 * place])
            workspace.delete("messages", [recent[2 * place]])
        if place == 2:
            archive_old_rows(workspace, (now() - 60 * DAY).date())
            scene.sync("archives")
        scene.sync("messages", "broadcasts")
        assert_same_rows(scene, dead)
    scene.sync("messages", "broadcasts", options=FULL)  # which brings older rows what this generation adds
    assert differences(scene.verify("messages", "broadcasts")) == {}
    workspace.generation = WITHOUT_IDS
    assert_no_row_is_another(scene.verify("messages", "broadcasts"))
    history = scene.rows("SELECT id, uuid::VARCHAR, to_value FROM message_history WHERE what = 'status'")
    noted = [(number_of(number, uuid), value) for number, uuid, value in history]
    assert len(set(noted)) == len(noted) > 0
    assert {number for number, _ in noted} <= set(recent)


def assert_same_rows(scene: Scene, dead: set[str]) -> None:
    """Each message and broadcast that ever was is one row, with what the server says of it, and none but these."""
    for stream in ("messages", "broadcasts"):
        found = scene.rows(f"SELECT id, uuid::VARCHAR, status, text::VARCHAR, deleted_on IS NOT NULL FROM {stream}")
        stored = {number_of(row[0], row[1]): row[2:] for row in found}
        assert len(stored) == len(found)
        served = {number_of(row.get("id"), row.get("uuid")): row["status"] for row in scene.workspace.listed(stream)}
        gone = dead if stream == "messages" else set()
        assert {key: row[0] for key, row in stored.items() if key in served} == served
        assert {key for key, row in stored.items() if row[2]} == gone


def assert_no_row_is_another(found: VerifyResult) -> None:
    """None is missing or alive; they may differ in what this generation alone tells."""
    assert found.complete
    assert {kind for _, kind in differences(found)} <= {"stale"}


def number_of(number: int | None, uuid: str | None) -> str:
    """The sandbox's own number of a row."""
    return str(number if number is not None else id_of(uuid or "")[0])


def test_messages_without_ids_that_vanish_are_marked_few_or_many(scene_of: Callable[[Workspace], Scene]) -> None:
    scene = scene_of(generate(messages=200, contacts=40, seed=7, archives=False))
    workspace = scene.workspace
    workspace.generation = WITHOUT_IDS
    recent = workspace.add("messages", 60, at=now() - HOUR)
    scene.sync("messages")
    gone: set[str] = set()
    for number in (1, 25):
        more = recent[len(gone) : len(gone) + number]
        gone |= {*more}
        workspace.delete("messages", more)
        assert scene.sync("messages")["messages"].tally.rows_deleted == number
        assert_same_rows(scene, gone)
    workspace.generation = TWENTY_SIX
    assert_no_row_is_another(scene.verify("messages"))


@pytest.mark.parametrize("later", cases(WITHOUT_IDS, long=[NINE]), ids=["to the next", "back to 9.0"])
def test_a_message_that_only_one_listing_lacks_is_alive_though_the_server_knows_it_by_another_key(
    scene_of: Callable[[Workspace], Scene], later: Generation
) -> None:
    scene = scene_of(generate(messages=200, contacts=40, seed=7, archives=False))
    workspace = scene.workspace
    workspace.generation = NINE if later is WITHOUT_IDS else WITHOUT_IDS
    [one, *_] = workspace.add("messages", 30, at=now() - HOUR)
    scene.sync("messages")
    workspace.generation = later
    row = workspace.row("messages", one)
    workspace.delete("messages", [one])
    scene.sandbox.after_page = lambda endpoint: workspace.row("messages", one) or workspace.put("messages", row or {})
    assert scene.sync("messages")["messages"].tally.rows_deleted == 0
    assert_same_rows(scene, set())
