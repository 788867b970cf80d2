"""Answers of one moment: who reads a lake beside a sync and upkeep meets one state of its catalog in each question."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.commands import run_apart
from tests.lakes import new_lake
from warehouse import Lake, open_lake
from warehouse.asking.query import ask
from warehouse.lake.upkeep import maintain
from warehouse.publishing.publish import publish

COUNTED = "SELECT count(*) AS labels FROM labels"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A lake with one label."""
    path = new_lake(tmp_path / "lake")
    add(path)
    return path


def add(path: Path) -> None:
    """Add a label."""
    with Lake.create(path) as lake:
        lake.commit(
            lambda connection: connection.execute(
                "INSERT INTO labels (uuid, name, synced_on) VALUES (uuid(), 'l', now())"
            )
        )


def tidy(path: Path) -> None:
    """What is in the catalog goes to files, and earlier versions are forgotten."""
    with Lake.create(path) as lake:
        maintain(lake, keep=timedelta(0))


@contextmanager
def written_without_a_pause(path: Path) -> Iterator[None]:
    """A catalog whose time of writing never stands still."""
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(0.001):
            os.utime(path / "catalog.sqlite")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


def test_a_question_meets_one_state_of_the_lake_whatever_is_written_and_tidied(path: Path) -> None:
    with Lake.open(path, at_one_moment=True) as reader:
        assert reader.rows(COUNTED) == [(1,)]
        add(path)
        tidy(path)
        assert reader.rows(COUNTED) == [(1,)]
        with ask(reader, COUNTED) as answer:
            assert answer
            assert answer.fetchall() == [(2,)]
        assert [file.name for file in reader.spool.rglob("*.sqlite")] == ["catalog.sqlite"]
    assert not list((path / "spool").iterdir())


def test_a_notebook_meets_with_each_question_what_was_written_before_it(path: Path) -> None:
    with open_lake(path) as notebook:
        for labels in (1, 2, 3):
            assert notebook.df(COUNTED).labels.tolist() == [labels]
            add(path)
            tidy(path)


def test_rows_that_were_deleted_from_a_file_are_not_met(path: Path) -> None:
    with Lake.create(path) as lake, open_lake(path) as notebook:
        made = "SELECT uuid(), number::VARCHAR, now() FROM range(300) numbers (number)"
        lake.commit(lambda connection: connection.execute(f"INSERT INTO labels (uuid, name, synced_on) {made}"))
        assert notebook.df(COUNTED).labels.tolist() == [301]
        lake.commit(lambda connection: connection.execute("DELETE FROM labels WHERE name <> '7'"))
        assert list((path / "data").rglob("*-delete.parquet"))
        assert notebook.df("SELECT name FROM labels").name.tolist() == ["7"]


def test_a_lake_that_is_written_without_a_pause_is_read_as_it_is(path: Path) -> None:
    with open_lake(path) as calm:
        with written_without_a_pause(path):
            assert calm.df(COUNTED).labels.tolist() == [1]
            with open_lake(path) as notebook:
                assert notebook.df(COUNTED).labels.tolist() == [1]
                add(path)
                assert notebook.df(COUNTED).labels.tolist() == [2]
        add(path)
        assert calm.df(COUNTED).labels.tolist() == [3]


def test_a_lake_on_a_full_disk_is_read_as_it_is(path: Path) -> None:
    """No file may have more bytes here than this, and the catalog has."""
    full = ["prlimit", "--fsize=65536"]
    assert (path / "catalog.sqlite").stat().st_size > 65536
    assert run_apart("sql", COUNTED, "--json", "--lake", path, first=full).facts == {"labels": 1}


def test_nobody_else_may_read_what_is_kept_of_a_moment(path: Path) -> None:
    umask = os.umask(0)
    try:
        with open_lake(path) as notebook:
            notebook.df(COUNTED)
            kept = [one for one in (path / "spool").rglob("*")]
            assert kept and not [one for one in kept if one.stat().st_mode & 0o077]
    finally:
        os.umask(umask)


@pytest.mark.parametrize("published", [False, True])
def test_who_may_do_all_keeps_what_they_made_for_themselves(published: bool, path: Path, tmp_path: Path) -> None:
    read = tmp_path / "copy" if published else path
    publish(path, tmp_path / "copy")
    with pytest.warns(match="destroys the lake"), open_lake(read, unguarded=True) as notebook:
        assert notebook.df("CREATE TEMP VIEW mine AS FROM range(3)").empty
        add(path)
        publish(path, tmp_path / "copy")
        assert notebook.df("SELECT count(*) AS mine FROM mine").mine.tolist() == [3]
        assert notebook.df(COUNTED).labels.tolist() == [1 if published else 2]
