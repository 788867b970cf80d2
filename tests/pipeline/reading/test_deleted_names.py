"""Topics and opt-ins that are deleted on the server: 9.0 lists them for ever under another name, 26.3 hides them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pipeline.reading.reader import Options
from sandbox import Generation, Workspace, generate
from tests.pipeline.scene import Scene, differences

LISTED = ("topics", "optins")


def stored(scene: Scene, stream: str) -> dict[str, tuple[str, datetime | None]]:
    return {key: tuple(of) for key, *of in scene.rows(f"SELECT uuid::VARCHAR, name, deleted_on FROM {stream}")}


def test_a_topic_deleted_on_the_server_is_deleted_in_the_lake_whichever_generation_the_server_is_of(
    scene_of: Callable[[Workspace], Scene],
) -> None:
    """And stays so, as it was called, when the server is upgraded."""
    scene = scene_of(generate(messages=60, contacts=40, seed=7, archives=False))
    workspace = scene.workspace
    for stream in LISTED:
        workspace.add(stream, 5)
        workspace.add(stream, 1, changes={"name": "deleted-by mistake"})
    tickets = {row["topic"]["uuid"] for row in workspace.rows("tickets")}
    scene.sync(*LISTED, "tickets")
    expected: dict[str, dict[str, str]] = {stream: {} for stream in LISTED}
    for place, generation in enumerate(Generation):
        workspace.generation = generation
        for stream in LISTED:
            chosen = workspace.rows(stream)[place if stream == "optins" else -1]
            expected[stream][chosen["uuid"]] = chosen["name"]
            workspace.delete(stream, [chosen["uuid"]])
        assert differences(scene.verify(*LISTED)) == {(stream, "alive"): 1 for stream in LISTED}
        if place == 1:
            scene.verify(*LISTED, repair=True)
        else:
            synced = scene.sync(*LISTED)
            assert [synced[stream].tally.rows_deleted for stream in LISTED] == [1, 1]
        for stream in LISTED:
            found = stored(scene, stream)
            assert {key: name for key, (name, deleted_on) in found.items() if deleted_on} == expected[stream]
            assert sum(name == "deleted-by mistake" for name, _ in found.values()) == 1
    before = {stream: stored(scene, stream) for stream in LISTED}
    workspace.generation = Generation.NINE
    scene.sync(*LISTED, "tickets", options=Options(full=True))
    assert {stream: stored(scene, stream) for stream in LISTED} == before
    assert differences(scene.verify(*LISTED)) == {}

    gone = tickets & expected["topics"].keys()
    shown = scene.rows("SELECT topic_uuid::VARCHAR, topic_name FROM dim_topics WHERE NOT exists_now")
    known = {key: name for key, name in shown if key in before["topics"]}  # names outlive the lake of another test
    assert known == expected["topics"]
    assert gone
    named = scene.rows(
        "SELECT DISTINCT topic_uuid::VARCHAR, topics.name FROM tickets JOIN topics ON topics.uuid = topic_uuid"
    )
    assert dict(named).items() >= {(key, expected["topics"][key]) for key in gone}
    assert not scene.rows("SELECT * FROM tickets WHERE topic_name LIKE 'deleted-________-%'")
