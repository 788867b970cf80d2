"""Archive files of several batches: whole after a death or a stop between two, and judged as a whole."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.archives.files import BATCH_BYTES
from pipeline.reading.progress import Quiet
from pipeline.results import StreamResult, Tally
from pipeline.settings import load_settings
from pipeline.syncing.sync import choose, sync
from sandbox import Sandbox, generate, put_archive
from tests import processes
from tests.lakes import new_lake
from tests.truth import assert_same, expected_union, stored_rows
from warehouse import Lake

Row = dict[str, Any]

LARGE, SMALL = "2025-03-01", "2025-02-01"
# Long texts, because a batch is that many bytes: the large file is two batches.
CHARACTERS = 200_000
LINES = BATCH_BYTES * 3 // 2 // CHARACTERS
PERSON = "5e0a3b1c-0000-4000-8000-000000000000"
# Dies, as by `kill -9`, as soon as so many batches of archives are committed.
DYING = """
import os, signal, sys
from pathlib import Path
from pipeline.reading.progress import Quiet
from pipeline.settings import load_settings
from pipeline.syncing.sync import choose, sync

class Dying(Quiet):
    told = 0

    def page(self, stream, tally):
        self.told += 1
        if self.told == 1 + int(sys.argv[1]):  # the first page is that of the list
            os.kill(os.getpid(), signal.SIGKILL)

sync(load_settings(), choose(["archives"]), Dying())
"""


class Counting(Quiet):
    """Counts the batches of archives, and asks to stop after the first."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self.told = 0
        self.stop = stop

    def page(self, stream: str, tally: Tally) -> None:
        self.told += 1
        if self.told == 2 and self.stop:  # the first page is that of the list
            self.stop.set()


@pytest.fixture(scope="module")
def records() -> list[Row]:
    """The records of a file of two batches."""
    return [record(number, text=f"{number} " * (CHARACTERS // (len(str(number)) + 1))) for number in range(LINES)]


@pytest.fixture
def sandbox(records: list[Row]) -> Iterator[Sandbox]:
    """A file of two batches, whose first line cannot be read, and an older one of one row; no message in the API."""
    with generate(messages=0, contacts=2, archives=False) as workspace:
        workspace.offer("archives")
        put_archive(workspace, "message", "monthly", LARGE, [b"<html>", *encode(records)])
        put_archive(workspace, "message", "monthly", SMALL, encode([record(9_999, day=SMALL)]))
        with Sandbox(workspace, requests_per_hour=0, keep=True) as served:
            yield served


@pytest.mark.long
def test_a_sync_that_dies_between_two_batches_of_a_file_loses_nothing_of_it(
    sandbox: Sandbox, records: list[Row], tmp_path: Path
) -> None:
    lake = new_lake(tmp_path / "lake")
    environment = {
        "RAPIDPRO_URL": sandbox.url,
        "RAPIDPRO_TOKEN": sandbox.token,
        "RAPIDLAKE_LAKE": str(lake),
        "RAPIDLAKE_REQUESTS_PER_HOUR": "0",
    }
    died = processes.run([sys.executable, "-c", DYING, "1"], env=os.environ | environment)
    assert died.returncode == -signal.SIGKILL
    assert 0 < len(texts(lake)) < LINES
    assert rows(lake, "SELECT * FROM _archives") == []

    progress = Counting()
    assert run(sandbox, lake, progress).outcome == "done"
    assert progress.told == 1 + 2 + 1
    assert_true(lake, [*records, record(9_999, day=SMALL)])
    counted = "SELECT start_date::VARCHAR, record_count, rows, unreadable FROM _archives ORDER BY ALL"
    assert rows(lake, counted) == [(SMALL, 1, 1, 0), (LARGE, LINES + 1, LINES, 1)]
    assert not [file for file in (lake / "spool").iterdir() if file.is_file()]


@pytest.mark.long
def test_a_sync_that_is_stopped_between_two_batches_ends_there_and_the_next_one_loads_the_whole_file(
    sandbox: Sandbox, records: list[Row], tmp_path: Path
) -> None:
    lake, stop = new_lake(tmp_path / "lake"), threading.Event()
    assert run(sandbox, lake, Counting(stop), stop=stop).outcome == "stopped"
    assert 0 < len(texts(lake)) < LINES
    assert rows(lake, "SELECT * FROM _archives") == []
    assert run(sandbox, lake).outcome == "done"
    assert_true(lake, [*records, record(9_999, day=SMALL)])


def test_a_file_written_anew_lacks_only_what_no_batch_of_it_has(
    sandbox: Sandbox, records: list[Row], tmp_path: Path
) -> None:
    lake = new_lake(tmp_path / "lake")
    assert run(sandbox, lake).outcome == "done"
    gone = {0, LINES - 1}
    broken = {**records[1], "id": None}  # of the first batch: it counts, though the last one has none
    left = [one for number, one in enumerate(records) if number not in gone]
    put_archive(sandbox.workspace, "message", "monthly", LARGE, encode([broken, *left[1:]]))
    result = run(sandbox, lake)
    assert result.outcome == "done"
    assert result.tally.rows_deleted == 0
    counted = f"SELECT record_count, unreadable FROM _archives WHERE start_date = DATE '{LARGE}'"
    assert rows(lake, counted) == [(len(left), 1)]
    assert_true(lake, [*records, record(9_999, day=SMALL)])  # what cannot be read may be what seems to be gone

    put_archive(sandbox.workspace, "message", "monthly", LARGE, encode(left))
    assert run(sandbox, lake).tally.rows_deleted == len(gone)
    assert_true(lake, [*left, record(9_999, day=SMALL)])


# -- helpers --


def record(number: int, *, day: str = LARGE, text: str = "Hello") -> Row:
    """A message as an archive has it."""
    return {
        "id": 5_000_000 + number, "uuid": None, "broadcast": None, "contact": {"uuid": PERSON, "name": "Ana"},
        "urn": "tel:+250788000001", "channel": None, "flow": None, "direction": "in", "type": "text",
        "status": "handled", "visibility": "visible", "attachments": [], "labels": [], "text": text, "sent_on": None,
        "created_on": f"{day}T08:00:00.{number:06}+00:00", "modified_on": f"{day}T09:00:00+00:00",
    }  # fmt: skip


def encode(records: list[Row]) -> Iterator[bytes]:
    return (json.dumps(one).encode() for one in records)


def run(
    sandbox: Sandbox, lake: Path, progress: Quiet | None = None, *, stop: threading.Event | None = None
) -> StreamResult:
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0)
    return sync(settings, choose(["archives"]), progress or Quiet(), stop=stop).streams[0]


def rows(lake: Path, query: str) -> list[tuple[Any, ...]]:
    with Lake.open(lake) as opened:
        return opened.rows(query)


def texts(lake: Path) -> list[tuple[Any, ...]]:
    """The rows of the large file that are in the lake."""
    return rows(lake, f"SELECT id FROM messages WHERE archived_in = DATE '{LARGE}'")


def assert_true(lake: Path, records: list[Row]) -> None:
    """The live messages are these records, value by value."""
    with Lake.open(lake) as opened, opened.connection() as connection:
        assert_same("messages", stored_rows(connection, "messages"), expected_union("messages", [], records, []))
