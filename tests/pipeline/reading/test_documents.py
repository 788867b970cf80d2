"""Definitions are as their flows are: each is asked for again until it was read in the flow's present state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from pipeline.proof.statuses import stream_statuses
from pipeline.results import StreamResult
from sandbox import Generation, Workspace, generate
from tests.pipeline.scene import Scene, differences, now

SECOND = timedelta(seconds=1)


@pytest.fixture
def scene(scene_of: Callable[[Workspace], Scene]) -> Scene:
    return scene_of(generate(messages=60, contacts=40, seed=7, archives=False))


def synced(scene: Scene) -> tuple[StreamResult, StreamResult]:
    results = scene.sync("flows", "definitions")
    return results["flows"], results["definitions"]


def names(scene: Scene) -> dict[str, str]:
    return dict(scene.rows("SELECT uuid::VARCHAR, name FROM definitions WHERE deleted_on IS NULL"))


def expected(scene: Scene) -> dict[str, str]:
    return {row["uuid"]: row["name"] for row in scene.workspace.rows("flows")}


def states(scene: Scene, *flows: str) -> list[str]:
    found = dict(scene.rows("SELECT uuid::VARCHAR, modified_on::VARCHAR FROM flows"))
    return [found[uuid] for uuid in flows]


def read_up_to(scene: Scene) -> object:
    """How far definitions are read, as `status` tells it."""
    [row] = [row for row in stream_statuses(scene.session.lake) if row["stream"] == "definitions"]
    return row["read_up_to"]


def test_a_flow_that_is_committed_after_others_that_were_modified_later_gets_its_definition(scene: Scene) -> None:
    workspace = scene.workspace
    synced(scene)
    first, second, third = (row["uuid"] for row in workspace.rows("flows")[:3])
    for place, (flow, age) in enumerate(((first, 1), (second, 3), (third, 100_000))):
        workspace.edit("flows", [flow], at=now() - age * SECOND, changes={"name": f"Saved {place}"})
        assert synced(scene)[1].tally.counters.requests == 1
        assert names(scene) == expected(scene)
    row = next(row for row in workspace.rows("flows") if row["uuid"] == first)
    workspace.delete("flows", [first])
    _, last = synced(scene)
    assert (last.outcome, last.tally.counters.requests) == ("done", 0)
    assert last.message == "none of the flows is new or modified: nothing to ask for"
    assert first not in names(scene)
    workspace.put("flows", row)  # and one that lives again
    synced(scene)
    assert names(scene) == expected(scene)


@pytest.mark.long
def test_a_definition_that_cannot_be_read_or_is_not_answered_is_asked_for_again(scene: Scene) -> None:
    workspace = scene.workspace
    synced(scene)
    was = names(scene)
    odd, silent, good = (row["uuid"] for row in workspace.rows("flows")[:3])
    workspace.edit("flows", [odd, silent, good], changes={"name": "Saved"})
    workspace.put("definitions", {"uuid": odd, "name": "Saved", "spec_version": "13.2.0", "revision": "many"})
    row = next(row for row in workspace.rows("flows") if row["uuid"] == silent)
    scene.sandbox.after_page = lambda endpoint: workspace.delete("flows", [silent]) if endpoint == "flows" else None
    synced(scene)
    scene.sandbox.after_page = None
    workspace.put("flows", row)
    assert names(scene) == {**was, good: "Saved"}
    assert read_up_to(scene) == min(*states(scene, odd, silent))
    for asked in (2, 1):
        _, result = synced(scene)
        assert (result.tally.counters.requests, result.tally.rows_read) == (1, asked)
        assert names(scene) == {**was, good: "Saved", silent: "Saved"}
    assert [read_up_to(scene)] == states(scene, odd)
    workspace.put("definitions", {"uuid": odd, "name": "Saved", "spec_version": "13.2.0", "revision": 2})
    synced(scene)
    assert names(scene) == expected(scene)
    assert read_up_to(scene) == max(states(scene, *expected(scene)))
    assert synced(scene)[1].tally.counters.requests == 0


@pytest.mark.long
def test_asking_for_a_definition_that_an_old_server_rewrites_changes_no_flow_for_the_lake(scene: Scene) -> None:
    workspace = scene.workspace
    workspace.generation = Generation.NINE
    flows = [row["uuid"] for row in workspace.rows("flows")]
    old = flows[:2]
    for uuid in old:
        workspace.put("definitions", {"uuid": uuid, "name": "Old", "spec_version": "13.0.0", "revision": 7})
    before = workspace.rows("flows")
    first = synced(scene)
    moved = [row["uuid"] for row, was in zip(workspace.rows("flows"), before, strict=True) if row != was]
    assert sorted(moved) == sorted(old)
    assert differences(scene.verify("flows", "definitions")) == {}
    second, third = synced(scene), synced(scene)
    asked = [definitions.tally.counters.requests for _, definitions in (first, second, third)]
    assert asked == [1, 1, 0]  # the second time because somebody might have changed them at the same moment
    assert [one.tally.rows_changed for one in (*second, *third)] == [0, 0, 0, 0]
    assert second[0].tally.rows_equal == len(flows)
    found = scene.rows(f"SELECT DISTINCT spec_version, revision FROM definitions WHERE uuid IN {tuple(old)}")
    assert found == [("13.2.0", 8)]
    scene.assert_true("flows")

    workspace.edit("flows", old[:1], at=now() + 60 * SECOND, changes={})  # somebody does
    flows_then, definitions_then = synced(scene)
    assert (flows_then.tally.rows_changed, definitions_then.tally.counters.requests) == (1, 1)


@pytest.mark.long
def test_flows_that_a_verification_makes_an_old_server_rewrite_are_not_told_as_changed(scene: Scene) -> None:
    workspace = scene.workspace
    workspace.generation = Generation.NINE
    synced(scene)
    flow = workspace.rows("flows")[0]["uuid"]
    workspace.put("definitions", {"uuid": flow, "name": "Old", "spec_version": "13.0.0"})  # the server was upgraded
    assert differences(scene.verify("flows", "definitions")) == {}
    flows, definitions = synced(scene)
    assert (flows.tally.rows_changed, definitions.tally.rows_changed) == (0, 1)
    assert differences(scene.verify("flows", "definitions")) == {}


def test_a_lake_that_only_knows_up_to_when_definitions_were_read_has_all_of_them_read_again_once(scene: Scene) -> None:
    workspace = scene.workspace
    synced(scene)
    stale = workspace.rows("flows")[0]["uuid"]
    scene.write("DELETE FROM _documents")
    scene.write(f"UPDATE definitions SET name = 'As it was' WHERE uuid = '{stale}'")
    _, result = synced(scene)
    assert (result.tally.counters.requests, result.tally.rows_changed) == (1, 1)
    assert names(scene) == expected(scene)
    assert synced(scene)[1].tally.counters.requests == 0
