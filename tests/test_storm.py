"""A small storm with one seed, and the eyes that look at the lake after it; `make storm` makes larger ones."""

from __future__ import annotations

from pathlib import Path

from pipeline.settings import load_settings
from sandbox import Sandbox, generate
from tests.lakes import new_lake
from tests.sessions import sync
from tests.storm.comparing import compare
from tests.storm.storm import Size, Storm
from warehouse import Lake

STREAMS = ["workspace", "messages", "groups"]


def test_after_a_storm_and_one_quiet_sync_every_table_is_the_workspace(tmp_path: Path) -> None:
    ended = Storm(7, tmp_path, Size(messages=200, rounds=3, files=3, verify=False)).run()
    assert ended.good, "\n".join([ended.told(), *ended.log, *ended.comparison.examples])
    assert ended.comparison.rows > 300
    assert ended.kills.total() > 0


def test_whatever_is_wrong_with_a_table_is_seen(tmp_path: Path) -> None:
    with Sandbox(generate(messages=60, contacts=20, archives=False), requests_per_hour=None) as sandbox:
        workspace, lake = sandbox.workspace, new_lake(tmp_path / "lake")
        workspace.offered = {*STREAMS}
        settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0)
        sync(settings, STREAMS)
        assert compare(lake, workspace, generations=False).found == {}
        first, second, third, fourth = (row["id"] for row in workspace.rows("messages")[:4])
        with Lake.create(lake) as opened:
            opened.commit(
                lambda connection: [
                    connection.execute(statement)
                    for statement in (
                        f"INSERT INTO messages FROM messages WHERE id = {first}",
                        f"UPDATE messages SET text = 'other' WHERE id = {second}",
                        f"DELETE FROM messages WHERE id = {third}",
                        f"UPDATE messages SET deleted_on = now() WHERE id = {fourth}",
                        "INSERT INTO groups SELECT * REPLACE (uuid() AS uuid) FROM groups LIMIT 1",
                    )
                ]
            )
        found = compare(lake, workspace, generations=False).found
    assert found == {
        "double": {"messages": 1},
        "stale": {"messages": 1},
        "lost": {"messages": 1},
        "wrongly deleted": {"messages": 1},
        "wrongly alive": {"groups": 1},
    }
