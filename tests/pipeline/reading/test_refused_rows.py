"""Rows that the lake will not store: told at once as what they are, and no loss to those around them.

SQLite itself refuses them: triggers in the catalog, made by another process, for two SQLites in one lose their locks.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import duckdb
import pytest

from pipeline.reading.refused import MOST_REFUSED
from pipeline.streams import STREAMS
from sandbox import Workspace, generate
from tests import processes
from tests.pipeline.scene import Scene, now
from warehouse import Lake, LakeRefused, merge, stage
from warehouse.loading.parts import REFUSED

# The last of all texts, so that it is the largest of any file that it is in.
POISON = "\U0010fffd poison"
MAKE = """
import sqlite3, sys
_, catalog, table, column, where, poison = sys.argv
with sqlite3.connect(catalog, timeout=60) as db:
    made = ("SELECT i.table_name FROM ducklake_inlined_data_tables i JOIN ducklake_table t USING (table_id) "
            "WHERE t.table_name = ? AND t.end_snapshot IS NULL")
    places = [(name, column) for (name,) in db.execute(made, [table])] if "inlined" in where else []
    places += [("ducklake_file_column_stats", "max_value")] if "files" in where else []
    for number, (name, value) in enumerate(places):
        db.execute(f"CREATE TRIGGER poison_{number} BEFORE INSERT ON {name} "
                   f"WHEN NEW.{value} = '{poison}' BEGIN SELECT RAISE(ABORT, 'too bad'); END")
"""
DROP = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=60) as db:
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
"""


@pytest.fixture
def scene(scene_of: Callable[[Workspace], Scene]) -> Scene:
    return scene_of(generate(messages=20, contacts=10, seed=7, archives=False))


@contextmanager
def refusing(lake: Lake, stream: str, column: str, where: str = "inlined files") -> Iterator[None]:
    """While the block runs, the catalog takes no row with the poison in that column, `inlined` or in `files`."""
    catalog = lake.path / "catalog.sqlite"
    done = processes.run([sys.executable, "-c", MAKE, catalog, stream, column, where, POISON])
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        done = processes.run([sys.executable, "-c", DROP, catalog])
        assert done.returncode == 0, done.stderr


def test_a_commit_that_is_refused_is_told_at_once_and_leaves_nothing(scene: Scene) -> None:
    lake, attempts = scene.session.lake, 0
    scene.used.add("labels")
    file = lake.spool / "rows.jsonl"
    file.write_text(json.dumps({"uuid": "1" * 32, "name": POISON, "count": 1}), encoding="utf-8")

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        nonlocal attempts
        attempts += 1
        merge(connection, stage(connection, STREAMS["labels"].table, [file]))

    with refusing(lake, "labels", "name"), pytest.raises(LakeRefused, match="refused what was asked of it") as caught:
        lake.commit(work)
    file.unlink()
    assert attempts == 2  # once more without keeping anything in the catalog
    assert POISON not in str(caught.value)
    assert scene.rows("FROM labels") == []


def test_a_row_that_the_catalog_refuses_lands_in_a_file(scene: Scene) -> None:
    scene.workspace.add("messages", 1, at=now() - timedelta(minutes=9), changes={"text": POISON})
    with refusing(scene.session.lake, "messages", "text", "inlined"):
        result = scene.sync("messages")["messages"]
    assert (result.outcome, result.tally.rows_unreadable, result.message) == ("done", 0, None)
    assert scene.rows("FROM _quarantine") == []
    scene.assert_true("messages")


def test_rows_that_the_lake_refuses_wait_while_all_others_land(scene: Scene) -> None:
    workspace = scene.workspace
    keys = workspace.add("messages", 300 - workspace.count("messages"), at=now() - timedelta(minutes=9))
    workspace.edit("messages", [keys[7], keys[-1]], changes={"text": POISON})
    with refusing(scene.session.lake, "messages", "text"):
        result = scene.sync("messages")["messages"]
    tally = result.tally
    assert result.outcome == "done", result.message
    assert (tally.rows_new, tally.rows_unreadable, tally.rows_quarantined) == (298, 2, 2)
    assert tally.rows_read == tally.rows_new + tally.rows_equal + tally.rows_double + tally.rows_unreadable
    assert REFUSED in (result.message or "")
    assert POISON not in (result.message or "")
    assert scene.column("SELECT id::VARCHAR FROM messages") == {
        str(row["id"]) for row in workspace.rows("messages") if row["text"] != POISON
    }
    assert scene.read_up_to("messages") == scene.windows("messages")[0][1]
    waiting = scene.rows("SELECT key, reason, record::JSON ->> 'text' FROM _quarantine ORDER BY ALL")
    assert waiting == sorted((key, REFUSED, POISON) for key in (keys[7], keys[-1]))

    again = scene.sync("messages")["messages"]  # the server lists them again: their time is revisited
    assert (again.outcome, again.tally.rows_new, again.tally.rows_unreadable) == ("done", 2, 0)
    assert scene.rows("FROM _quarantine") == []
    scene.assert_true("messages")


@pytest.mark.long
def test_where_the_lake_refuses_many_rows_the_fault_is_not_theirs(scene: Scene) -> None:
    scene.workspace.store.execute("DELETE FROM labels")
    for number in range(MOST_REFUSED + 1):
        scene.workspace.put("labels", {"uuid": str(uuid.UUID(int=number)), "name": POISON, "count": 1})
    with refusing(scene.session.lake, "labels", "name"):
        result = scene.sync("labels")["labels"]
    assert result.outcome == "failed"
    assert "too bad" in (result.message or "")
    assert POISON not in (result.message or "")
    assert scene.rows("SELECT (SELECT count(*) FROM labels), (SELECT count(*) FROM _quarantine)") == [(0, 0)]
    assert scene.sync("labels")["labels"].outcome == "done"
    scene.assert_true("labels")


@pytest.mark.long
def test_a_row_that_waits_and_is_refused_again_waits_on_while_others_leave(scene: Scene) -> None:
    first, second = scene.workspace.add("labels", 2, changes={"name": "odd"})
    scene.workspace.edit("labels", [first], changes={"name": POISON})
    with refusing(scene.session.lake, "labels", "name"):
        scene.sync("labels")
        scene.write(f"DELETE FROM labels WHERE uuid = '{second}'")
        scene.write(
            "INSERT INTO _quarantine BY NAME SELECT * REPLACE (replace(record, key, "
            f"'{second}').replace('{POISON}', 'odd') AS record, 'other' AS digest, '{second}' AS key) FROM _quarantine"
        )
        scene.write("UPDATE _quarantine SET tried_with = 'an earlier version'")
        scene.write(f"UPDATE _quarantine SET seen_on = seen_on - INTERVAL 1 HOUR WHERE key = '{first}'")  # tried first
        scene.workspace.delete("labels", [second])  # so that only the quarantine can bring it
        result = scene.sync("labels")["labels"]
        assert (result.outcome, result.tally.rows_unreadable) == ("done", 1)
        assert scene.column("SELECT key FROM _quarantine") == {first}
        assert scene.rows(f"SELECT name FROM labels WHERE uuid = '{second}'") == [("odd",)]
        assert scene.sync("labels")["labels"].outcome == "done"
    scene.sync("labels")
    assert scene.rows("FROM _quarantine") == []
    scene.assert_true("labels")
