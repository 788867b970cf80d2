"""A file that is written anew, or listed without records: what it had may be in others, which are read again."""

from __future__ import annotations

import json
from datetime import timedelta

from pipeline.reading.reader import ArchiveChoice, Options
from sandbox import Faults, put_archive, put_empty_archive
from sandbox.workspace.dates import iso, to_micros
from tests.pipeline.archives.records import JUNE, MAY, Row, broken, put, record
from tests.pipeline.scene import Scene, differences, now


def test_a_run_that_went_on_is_alive_when_a_file_of_runs_is_listed_without_records(
    scene_with_runs: Scene,
) -> None:
    """More runs than are asked for one by one began in the file's month, and one of them is of another day by now."""
    scene, workspace = scene_with_runs, scene_with_runs.workspace
    begun = now() - timedelta(days=40)
    first, template = f"{begun:%Y-%m}-01", workspace.rows("runs")[0]
    for number in range(30):
        workspace.put("runs", run(template, number, f"{begun:%Y-%m}-{number % 25 + 1:02}T08:00:00.{number:06}Z"))
    archived = run(template, 99, f"{begun:%Y-%m}-03T08:00:00Z")
    put_archive(workspace, "run", "monthly", first, [json.dumps(archived).encode()])
    scene.sync("contacts", "archives", "runs")
    put_empty_archive(workspace, "run", "monthly", first)
    going_on = next(row for row in workspace.rows("runs") if row["uuid"].endswith("07"))
    workspace.put("runs", going_on | {"modified_on": iso(to_micros(now()))})
    scene.sync("archives")
    assert scene.column("SELECT uuid FROM runs WHERE deleted_on IS NOT NULL") == set()
    scene.sync("runs")
    assert differences(scene.verify("runs", repair=True)) == {("runs", "alive"): 1}
    assert scene.column("SELECT uuid::VARCHAR FROM runs WHERE deleted_on IS NOT NULL") == {archived["uuid"]}


def test_files_that_are_to_be_read_again_are_in_the_lake_meanwhile(scene: Scene) -> None:
    scene.session.client.patience = 0
    starts = ["2026-02-01", "2026-03-01", "2026-04-01"]
    for number, start in enumerate(starts):
        put(scene, start, [record(10 * number + one, f"{start[:7]}-10") for one in range(1, 4)])
    scene.sync("archives", "messages")
    put(scene, starts[2], [record(20 + one, "2026-04-10") for one in range(1, 3)])
    scene.sandbox.before_file = lambda name: broken(scene, "202603" in name)
    result = scene.sync("archives")["archives"]
    assert (result.outcome, result.tally.files) == ("failed", 2)
    assert differences(scene.verify("messages")) == {}
    assert scene.column("SELECT id FROM messages WHERE deleted_on IS NOT NULL") == set()
    scene.sandbox.before_file = None
    scene.sandbox.faults = Faults()
    for files in (1, 0):
        result = scene.sync("archives")["archives"]
        assert (result.outcome, result.tally.files) == ("done", files)
    assert scene.column("SELECT id FROM messages WHERE deleted_on IS NOT NULL") == {23}


def test_asking_for_the_list_alone_takes_nothing_off_the_account(scene: Scene) -> None:
    put(scene, MAY, [record(number, "2026-05-10") for number in range(1, 8)])
    put(scene, JUNE, [record(9, "2026-06-10")])
    scene.sync("archives", "messages")
    put_empty_archive(scene.workspace, "message", "monthly", JUNE)
    account = scene.rows("FROM _archives ORDER BY ALL")
    scene.sync("archives", options=Options(archives=ArchiveChoice(load=False)))
    assert scene.rows("FROM _archives ORDER BY ALL") == account
    scene.sync("archives", "messages")
    assert scene.column("SELECT id FROM messages WHERE deleted_on IS NOT NULL") == {9}


def run(template: Row, number: int, at: str) -> Row:
    """A run that began, and ended, at a time."""
    uuid = f"11111111-0000-4000-8000-{number:012}"
    return template | {"uuid": uuid, "id": 10_000 + number, "created_on": at, "modified_on": at, "exited_on": at}
