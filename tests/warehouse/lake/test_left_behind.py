"""What a killed process leaves is gone after the next command of its kind, and nothing of a living one is."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lakes import new_lake
from tests.processes import Process, start
from warehouse import Lake
from warehouse.lake.upkeep import size_of
from warehouse.scratch import written_whole

# Writes a file of rows that no commit will name, and rows on their way in; then waits.
WRITER = """
import sys
from pathlib import Path
from warehouse import Lake
lake = Lake.create(Path(sys.argv[1]))
(lake.spool / "labels.0.jsonl").write_text("{}")
with lake.connection() as connection:
    connection.begin()
    connection.execute("INSERT INTO labels (uuid, name) SELECT uuid(), 'Name ' || range FROM range(1000)")
    print("written", flush=True)
    sys.stdin.read()
"""
REPORTER = """
import sys
from pathlib import Path
from warehouse.scratch import written_whole
with written_whole(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print("written", flush=True)
    sys.stdin.read()
"""


def begun(program: str, path: Path) -> Process:
    process = start([sys.executable, "-c", program, path], stdin=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == "written\n"
    return process


def kill(process: Process) -> None:
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = new_lake(tmp_path / "lake")
    with Lake.create(path) as lake:
        lake.rows("INSERT INTO labels (uuid, name) SELECT uuid(), 'Kept ' || range FROM range(300)")
    return path


def test_the_rows_of_a_killed_writer_are_gone_once_the_next_begins_and_those_of_a_living_one_stay(path: Path) -> None:
    kept = files(path / "data")
    killed, living = begun(WRITER, path), begun(WRITER, path)
    kill(killed)
    written = files(path / "data"), files(path / "spool")
    assert len(written[0]) == len(kept) + 2 and len(written[1]) == 2
    Lake.create(path).close()
    assert (files(path / "data"), files(path / "spool")) == written  # nobody knows whose they are
    kill(living)
    with Lake.create(path) as lake:
        assert files(path / "data") == kept
        assert size_of(lake).files == len(kept)
        assert lake.rows("SELECT count(*) FROM labels") == [(300,)]
    assert list((path / "spool").iterdir()) == []


def test_a_file_that_was_half_written_when_its_process_was_killed_is_gone_after_the_next_one(tmp_path: Path) -> None:
    killed, living = begun(REPORTER, tmp_path / "killed.html"), begun(REPORTER, tmp_path / "living.html")
    kill(killed)
    with written_whole(tmp_path / "report.html") as partial:
        partial.write_text("whole")
    assert len(files(tmp_path)) == 2
    living.communicate("")
    assert {file.name: file.read_text() for file in files(tmp_path)} == {"living.html": "half", "report.html": "whole"}
    assert len(list(tmp_path.iterdir())) == 2
