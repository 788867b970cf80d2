"""More rows of one timestamp than the server can list: what it lists is read from both ends, and the rest is said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.reading.walk import timestamp
from sandbox import Workspace, generate
from sandbox.server import paging
from tests.pipeline.scene import Scene

# Young enough that a row which is not listed would be taken for gone.
TIE = datetime.now(UTC).replace(microsecond=1) - timedelta(days=30)
# A server that counts so far lists 750 rows of one timestamp, 250 a page, from either end.
COUNTED, LISTED = 500, 750


@pytest.fixture
def scene(scene_of: Callable[[Workspace], Scene]) -> Scene:
    return scene_of(generate(messages=200, contacts=60, seed=7, archives=False))


@pytest.fixture(autouse=True)
def server_that_counts_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "OFFSET_CUTOFF", COUNTED)


def tie(scene: Scene, stream: str, number: int) -> set[str]:
    """Add as many rows of one timestamp, and some of other ones; return the keys of the tie."""
    tied = scene.workspace.add(stream, number, at=TIE, same_timestamp=True)
    scene.workspace.add(stream, 5, at=TIE + timedelta(days=1))
    scene.workspace.add(stream, 5, at=TIE - timedelta(days=1))
    return set(map(str, tied))


@pytest.mark.parametrize("stream", ["contacts", "runs"])
def test_a_tie_that_is_listed_from_both_ends_is_read_whole(scene: Scene, stream: str) -> None:
    tie(scene, stream, LISTED + 400)
    result = scene.sync(stream)[stream]
    assert (result.outcome, result.message) == ("done", None)
    scene.assert_true(stream)


def test_of_a_longer_tie_what_is_listed_is_read_and_all_that_lies_behind_it(scene: Scene) -> None:
    tied = tie(scene, "contacts", 2 * LISTED + 200)
    gone = scene.workspace.rows("contacts")[0]["uuid"]
    scene.workspace.delete_contacts([gone])
    result = scene.sync("contacts")["contacts"]
    assert result.outcome == "suspicious"
    assert f"more rows share the timestamp {timestamp(TIE)} than the server can list" in str(result.message)
    stored = scene.column("SELECT uuid::VARCHAR FROM contacts WHERE deleted_on IS NULL")
    listed = {row["uuid"] for row in scene.workspace.rows("contacts")}
    assert listed - stored <= tied
    assert len(listed - stored) == 200
    assert gone in scene.column("SELECT uuid::VARCHAR FROM contacts WHERE deleted_on IS NOT NULL")
    assert scene.sync("contacts")["contacts"].outcome == "done"


def test_rows_that_could_not_be_listed_are_never_taken_for_gone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    tied = tie(scene, "messages", LISTED + 200)
    monkeypatch.setattr(paging, "OFFSET_CUTOFF", 100_000)
    assert scene.sync("messages")["messages"].outcome == "done"
    scene.assert_true("messages")
    monkeypatch.setattr(paging, "OFFSET_CUTOFF", COUNTED)
    found = scene.verify("messages", repair=True)
    assert found.failed
    assert not any(one.differences for one in found.findings)
    alive = scene.column("SELECT id::VARCHAR FROM messages WHERE deleted_on IS NULL")
    assert tied <= alive


def test_a_verification_that_could_not_read_all_is_not_true(scene: Scene) -> None:
    tie(scene, "contacts", 2 * LISTED + 200)
    scene.sync("contacts")
    result = scene.verify("contacts")
    assert result.failed
    assert result.conclusion.startswith("No differences in what was read, but not everything was;")


def test_a_list_that_runs_in_a_circle_is_read_as_far_as_it_goes(scene: Scene) -> None:
    scene.workspace.add("labels", LISTED + 200, at=TIE, same_timestamp=True)
    result = scene.sync("labels")["labels"]
    assert result.outcome == "suspicious"
    assert "more rows share one timestamp than the server can list" in str(result.message)
    assert scene.rows("SELECT count(*) FROM labels WHERE deleted_on IS NULL")[0][0] >= LISTED
