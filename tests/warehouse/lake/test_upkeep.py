"""Upkeep of a lake: fewer files and versions, the same answers, beside others, and killed at any moment."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from filelock import FileLock

from tests.lakes import new_lake
from tests.processes import Process, start
from warehouse import Lake, maintain
from warehouse.lake.upkeep import size_of

KEEP, NOTHING = timedelta(days=30), timedelta(0)
MAINTAIN = """
import signal, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from warehouse import Lake, maintain
with Lake.create(Path(sys.argv[1])) as lake:
    print("begun", flush=True)
    signal.setitimer(signal.ITIMER_PROF, float(sys.argv[3]))
    for _ in range(int(sys.argv[2])):
        maintain(lake, keep=timedelta(0), grace=timedelta(0))
"""


@pytest.fixture(scope="module")
def untidy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of many small commits: three months of messages in twelve files, half of one deleted, and small tables."""
    path = new_lake(tmp_path_factory.mktemp("untidy") / "lake")
    with Lake.create(path) as lake:
        for number in range(12):
            write(lake, number * 1000, month=number % 3 + 1)
        lake.commit(lambda connection: connection.execute("DELETE FROM messages WHERE id < 100"))
        for number in range(20):
            sql = f"INSERT INTO _drift VALUES ('flows', 'key {number}', 'unknown', now())"
            lake.commit(lambda connection, sql=sql: connection.execute(sql))
    return path


@pytest.fixture
def path(untidy: Path, tmp_path: Path) -> Path:
    """A copy of that lake."""
    return Path(shutil.copytree(untidy, tmp_path / "lake"))


def write(lake: Lake, first: int, *, month: int, rows: int = 200) -> None:
    """Add messages as a sync would, in one commit."""
    lake.commit(
        lambda connection: connection.execute(
            f"""
            INSERT INTO messages (id, text, created_on, synced_on)
            SELECT id, 'text ' || id, TIMESTAMPTZ '2026-0{month}-03' + to_hours(id % 500), now()
            FROM range({first}, {first + rows}) AS ids(id)
            """
        )
    )


def tidying(path: Path, *, times: int, killed_after: float = 0) -> Process:
    """A process that has opened the lake and begins to tidy it up so many times, or for so many seconds of a CPU."""
    program = path.with_name("maintain.py")  # with `-c` DuckDB draws a progress bar where opening takes long
    program.write_text(MAINTAIN, encoding="utf-8")
    process = start([sys.executable, program, path, times, killed_after])
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    return process


def contents(lake: Lake) -> list[list[tuple[object, ...]]]:
    """All rows of the tables that have some."""
    return [lake.rows(f"SELECT * FROM {table} ORDER BY ALL") for table in ("messages", "_drift", "_lake")]


def parquet_files(path: Path) -> set[Path]:
    return set((path / "data").rglob("*.parquet"))


def test_small_files_become_one_per_month_and_every_row_stays(path: Path) -> None:
    with Lake.create(path) as lake:
        before = contents(lake)
        done = maintain(lake, keep=KEEP)
        assert contents(lake) == before
        assert done.before.files == 12
        files = lake.rows("SELECT parse_dirpath(data_file) FROM ducklake_list_files('lake', 'messages')")
        assert len(files) == len(set(files)) == 3
        assert done.after.deletion_files == 0


@pytest.mark.long
def test_upkeep_with_nothing_to_do_makes_no_version(path: Path) -> None:
    with Lake.create(path) as lake:
        maintain(lake, keep=KEEP)
        maintain(lake, keep=KEEP)
        before = size_of(lake)
        assert maintain(lake, keep=KEEP).after == before


def test_versions_within_the_kept_days_stay_readable(path: Path) -> None:
    with Lake.create(path) as lake:
        version = lake.rows("SELECT max(snapshot_id) FROM ducklake_snapshots('lake')")[0][0]
        query = f"SELECT * FROM messages AT (VERSION => {version}) ORDER BY id"
        before = lake.rows(query)
        lake.commit(lambda connection: connection.execute("DELETE FROM messages WHERE id > 5000"))
        maintain(lake, keep=KEEP, grace=NOTHING)
        assert lake.rows(query) == before


def test_older_versions_are_forgotten_and_their_files_removed_after_the_grace(path: Path) -> None:
    with Lake.create(path) as lake:
        before = contents(lake)
        maintain(lake, keep=NOTHING)
        kept = parquet_files(path)
        done = maintain(lake, keep=NOTHING, grace=NOTHING)
        assert done.files_removed > 0 and done.after.snapshots == 1
        assert len(parquet_files(path)) == done.after.files < len(kept)
        assert contents(lake) == before


def test_files_that_a_dead_process_left_are_removed_when_they_are_old(path: Path) -> None:
    orphan, spooled, young = (path / "data" / "main" / "messages" / "orphan.parquet", path / "spool" / "a.jsonl",
                              path / "spool" / "b.jsonl")  # fmt: skip
    with Lake.create(path) as lake:
        lake.rows(f"COPY (SELECT 1 AS one) TO '{orphan}'")
        spooled.write_text("{}")
        young.write_text("{}")
        os.utime(spooled, (time.time() - 90_000,) * 2)
        os.utime(orphan, (time.time() - 90_000,) * 2)
        maintain(lake, keep=KEEP)
    assert [file.exists() for file in (orphan, spooled, young)] == [False, False, True]


def test_a_file_that_another_writer_has_not_committed_stays_however_old_it_seems(path: Path) -> None:
    file = path / "data" / "main" / "messages" / "on-its-way.parquet"
    with Lake.create(path) as lake:
        with Lake.create(path):
            lake.rows(f"COPY (SELECT 1 AS one) TO '{file}'")
            maintain(lake, keep=KEEP, grace=NOTHING)
            assert file.exists()
        maintain(lake, keep=KEEP, grace=NOTHING)
    assert not file.exists()


def test_a_clock_that_is_ahead_makes_no_version_old(path: Path) -> None:
    with Lake.create(path) as lake:
        versions = size_of(lake).snapshots
        with time_machine.travel(datetime.now(UTC) + 2 * KEEP):
            maintain(lake, keep=KEEP)
        assert size_of(lake).snapshots >= versions > 1


def test_a_second_upkeep_leaves_it_to_the_first(path: Path) -> None:
    with FileLock(path / "locks" / "maintain.lock"), Lake.create(path) as lake:
        done = maintain(lake, keep=NOTHING)
    assert done.busy and done.after == done.before


def test_upkeep_that_is_killed_at_any_moment_loses_nothing(path: Path) -> None:
    with Lake.open(path) as lake:
        before = contents(lake)
    dice = random.Random(5)
    for _ in range(6):
        process = tidying(path, times=50, killed_after=dice.uniform(0.02, 0.6))
        process.communicate()
        assert process.returncode == -signal.SIGPROF
    with Lake.create(path) as lake:
        assert contents(lake) == before
        for _ in range(2):  # the first makes files unused that the second removes
            maintain(lake, keep=NOTHING, grace=NOTHING)
        assert contents(lake) == before
        assert len(parquet_files(path)) == size_of(lake).files


def test_rows_written_beside_upkeep_all_arrive_and_a_reader_sees_whole_commits(path: Path) -> None:
    beside = tidying(path, times=3)
    with Lake.create(path) as lake, Lake.open(path) as reader:
        start = lake.rows("SELECT count(*) FROM messages")[0][0]
        for number in range(10):
            write(lake, 100_000 + number * 1000, month=number % 3 + 1)
            assert (reader.rows("SELECT count(*) FROM messages")[0][0] - start) % 200 == 0
        _, said = beside.communicate()
        assert beside.returncode == 0, said
        assert lake.rows("SELECT count(*), count(DISTINCT id) FROM messages") == [(start + 2000, start + 2000)]
