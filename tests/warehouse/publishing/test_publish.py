"""Publishing: what the copy holds, what is copied again, who may read it, and where it is refused."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rapidlake import open_lake
from tests.lakes import new_lake, rows
from warehouse import Lake, LakeDamaged, maintain
from warehouse.errors import (
    CopyRefused,
    LakeIsPublished,
    LakeNotFound,
    LakeUnfinished,
    PublishBusy,
    PublishError,
)
from warehouse.lake.catalog import MARK
from warehouse.publishing.publish import publish
from warehouse.scratch import PREFIX, make_scratch

TOTAL = "SELECT count(*), sum(id) FROM messages"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with two files of messages, and a row that is in the catalog."""
    path = new_lake(tmp_path_factory.mktemp("made") / "lake")
    for first, number in ((0, 200), (1000, 200), (5000, 1)):
        add(path, first, number)
    return path


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Path:
    """That lake, for one test."""
    return Path(shutil.copytree(made, tmp_path / "lake"))


def add(path: Path, first: int, number: int) -> None:
    """Add messages, in a commit."""
    made = f"SELECT {first} + id, TIMESTAMPTZ '2026-03-01 00:00:00Z', now() FROM range({number}) AS ids(id)"
    with Lake.create(path) as lake:
        lake.commit(lambda connection: connection.execute(f"INSERT INTO messages (id, created_on, synced_on) {made}"))


def data(folder: Path) -> dict[str, os.stat_result]:
    """The Parquet files of a lake or a copy."""
    return {str(file.relative_to(folder / "data")): file.lstat() for file in (folder / "data").rglob("*.parquet")}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- what it holds --


def test_a_copy_answers_as_its_lake_and_can_be_read_where_nothing_can_be_written(lake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    done = publish(lake, copy)
    assert (done.files_new, done.files_kept, done.files_removed) == (2, 0, 0)
    assert rows(copy, TOTAL) == rows(lake, TOTAL) == [(401, sum(range(200)) * 2 + 200 * 1000 + 5000)]
    with Lake.open(copy) as opened:
        assert opened.rows("SELECT count(*) FROM contacts_wide") == [(0,)]
    assert sorted(file.name for file in copy.iterdir()) == [MARK, "catalog.sqlite", "data"]
    with closing(sqlite3.connect(f"file:{copy}/catalog.sqlite?immutable=1", uri=True)) as catalog:
        assert catalog.execute("PRAGMA journal_mode").fetchall() == [("delete",)]
        found = catalog.execute("SELECT value FROM ducklake_metadata WHERE key = 'data_path'").fetchall()
    assert found == [(f"{copy}/data/",)]


def test_all_versions_of_the_lake_are_in_the_copy(lake: Path, tmp_path: Path) -> None:
    with Lake.open(lake) as opened:
        ((version,),) = opened.rows("SELECT max(snapshot_id) FROM ducklake_snapshots('lake')")
    with Lake.create(lake) as opened:
        opened.commit(lambda connection: connection.execute("DELETE FROM messages WHERE id % 2 = 0"))
        maintain(opened, keep=timedelta(days=30))
    publish(lake, tmp_path / "copy")
    for table in ("messages", f"messages AT (VERSION => {version})"):
        assert rows(tmp_path / "copy", f"SELECT count(*) FROM {table}") == rows(lake, f"SELECT count(*) FROM {table}")


def test_what_is_there_is_not_copied_again(lake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    first = publish(lake, copy)
    before = data(copy)
    add(lake, 9000, 300)
    again = publish(lake, copy)
    assert (again.files_new, again.files_kept) == (1, 2)
    assert {name: data(copy)[name].st_mtime_ns for name in before} == {n: one.st_mtime_ns for n, one in before.items()}
    nothing = publish(lake, copy)
    assert (nothing.files_new, nothing.files_kept, nothing.bytes_copied) == (
        0,
        3,
        (copy / "catalog.sqlite").stat().st_size,
    )
    assert first.bytes_copied > nothing.bytes_copied
    assert rows(copy, TOTAL) == rows(lake, TOTAL)


def test_a_file_that_is_not_whole_is_put_anew(lake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    publish(lake, copy)
    broken = next((copy / "data").rglob("*.parquet"))
    broken.write_bytes(b"half")
    assert publish(lake, copy).files_new == 1
    assert rows(copy, TOTAL) == rows(lake, TOTAL)


def test_files_that_a_copy_has_dropped_stay_for_its_readers_for_a_day(lake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    publish(lake, copy)
    before = set(data(copy))
    with Lake.create(lake) as opened:
        maintain(opened, keep=timedelta(0), grace=timedelta(0))
    assert publish(lake, copy).files_removed == 0
    dropped = before - set(data(lake))
    assert len(dropped) == 2 and dropped < set(data(copy))
    mark = json.loads((copy / MARK).read_text())
    assert set(mark["dropped"]) == dropped
    since = datetime.now(UTC) - timedelta(hours=23)
    (copy / MARK).write_text(json.dumps(mark | {"dropped": dict.fromkeys(dropped, since.isoformat())}))
    assert publish(lake, copy).files_removed == 0
    since = datetime.now(UTC) - timedelta(hours=25)
    (copy / MARK).write_text(json.dumps(mark | {"dropped": dict.fromkeys(dropped, since.isoformat())}))
    assert publish(lake, copy).files_removed == 2
    assert set(data(copy)) == set(data(lake))
    assert json.loads((copy / MARK).read_text())["dropped"] == {}
    assert rows(copy, TOTAL) == rows(lake, TOTAL)


def test_the_process_that_copies_the_catalog_does_not_get_the_token(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noting = tmp_path / "python"
    noting.write_text(f'#!/bin/sh\nenv > {tmp_path}/noted\nexec {sys.executable} "$@"\n', encoding="utf-8")
    noting.chmod(0o700)
    monkeypatch.setenv("RAPIDPRO_TOKEN", "planted")
    monkeypatch.setattr(sys, "executable", str(noting))
    publish(lake, tmp_path / "copy")
    noted = (tmp_path / "noted").read_text(encoding="utf-8")
    assert "PATH=" in noted and "planted" not in noted


# -- readers --


def test_who_has_a_copy_open_meets_one_state_of_it_while_it_is_published_anew(lake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    publish(lake, copy)
    before = rows(lake, TOTAL)
    with Lake.open(copy) as opened, open_lake(copy) as notebook:
        assert notebook.df(TOTAL).values.tolist() == [list(before[0])]
        with Lake.create(lake) as writer:  # what was in the catalog goes to files
            maintain(writer, keep=timedelta(0), grace=timedelta(0))
        add(lake, 20_000, 200)
        publish(lake, copy)
        assert opened.rows(TOTAL) == before
        assert notebook.df(TOTAL).values.tolist() == [list(rows(lake, TOTAL)[0])] != [list(before[0])]


def test_a_reader_leaves_nothing_in_a_copy_nor_where_the_system_has_temporary_files(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, temporary = tmp_path / "copy", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    publish(lake, copy)
    (before,) = {one.stat().st_mtime_ns for one in [copy]}
    with Lake.open(copy) as opened:
        assert [stat.S_IMODE(one.stat().st_mode) for one in temporary.iterdir()] == [0o700]
        opened.rows("SELECT count(*) FROM messages")
    assert list(temporary.iterdir()) == []
    assert copy.stat().st_mtime_ns == before


def test_a_copy_is_for_reading_only(lake: Path, tmp_path: Path) -> None:
    publish(lake, tmp_path / "copy")
    with pytest.raises(LakeIsPublished, match="is a published copy, for reading only"):
        Lake.create(tmp_path / "copy")


def test_a_copy_that_was_never_whole_is_no_damaged_lake(lake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    publish(lake, copy)
    (copy / "catalog.sqlite").unlink()
    with pytest.raises(LakeUnfinished, match="is not whole yet"):
        Lake.open(copy)


# -- rights --


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o077, 0o000])
@pytest.mark.parametrize(
    ("given", "folders", "files"), [(0o750, 0o750, 0o640), (0o777, 0o755, 0o644), (0o700, 0o700, 0o600)]
)
def test_who_may_read_the_folder_may_read_the_copy(
    lake: Path, tmp_path: Path, given: int, folders: int, files: int, mask: int
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    copy.chmod(given)
    with umask(mask):
        publish(lake, copy)
    assert mode(copy) == given
    assert {mode(path) for path in copy.rglob("*") if path.is_dir()} == {folders}
    assert {mode(path) for path in copy.rglob("*") if path.is_file()} == {files}


def test_a_folder_that_was_not_there_is_for_its_owner_alone(lake: Path, tmp_path: Path) -> None:
    publish(lake, tmp_path / "deep" / "copy")
    assert mode(tmp_path / "deep" / "copy") == 0o700


def test_files_are_shared_with_the_lake_where_the_same_people_may_read_them(lake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir(mode=0o755)
    for file in (lake / "data").rglob("*.parquet"):
        file.chmod(0o644)
    publish(lake, copy)
    assert {n: one.st_ino for n, one in data(copy).items()} == {n: one.st_ino for n, one in data(lake).items()}
    copy.chmod(0o750)  # and only of the copy
    assert publish(lake, copy).files_new == 2
    assert {stat.S_IMODE(one.st_mode) for one in data(copy).values()} == {0o640}
    assert {stat.S_IMODE(one.st_mode) for one in data(lake).values()} == {0o644}
    copy.chmod(0o700)  # nobody else has them now
    assert publish(lake, copy).files_new == 0
    assert {stat.S_IMODE(one.st_mode) for one in data(copy).values()} == {0o600}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_group_of_the_folder_is_that_of_the_copy(lake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    os.chown(copy, -1, 12345)
    copy.chmod(0o2750)
    publish(lake, copy)
    assert {path.stat().st_gid for path in copy.rglob("*")} == {12345}
    os.chown(copy, -1, 54321)
    publish(lake, copy)
    assert {path.stat().st_gid for path in copy.rglob("*")} == {54321}
    assert {stat.S_IMODE(one.st_mode) for one in data(copy).values()} == {0o640}


# -- refusals --


def test_a_folder_that_holds_something_else_is_refused_and_stays(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-mother.txt").write_text("Dear mother")
    with pytest.raises(CopyRefused, match="holds something else"):
        publish(lake, tmp_path / "letters")
    assert [file.name for file in (tmp_path / "letters").iterdir()] == ["to-mother.txt"]
    with pytest.raises(CopyRefused, match="is a file"):
        publish(lake, tmp_path / "letters" / "to-mother.txt")


@pytest.mark.parametrize("where", ["", ".", "data", "data/main", "copy"])
def test_a_folder_that_is_the_lake_or_in_it_or_around_it_is_refused(lake: Path, where: str) -> None:
    with pytest.raises(CopyRefused, match=r"is the lake .*, lies in it, or has it inside"):
        publish(lake, lake / where if where else lake.parent)


def test_a_link_does_not_hide_that_a_folder_is_the_lake(lake: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(lake)
    with pytest.raises(CopyRefused, match="lies in it"):
        publish(lake, tmp_path / "link" / "copy")


def test_a_copy_of_another_lake_is_refused_and_stays(lake: Path, tmp_path: Path) -> None:
    copy, other = tmp_path / "copy", tmp_path / "other"
    publish(lake, copy)
    Lake.create(other).close()
    with pytest.raises(CopyRefused, match="is a published copy of another lake, made from "):
        publish(other, copy)
    assert rows(copy, TOTAL) == rows(lake, TOTAL)


def test_nothing_is_written_through_a_link_in_the_copy(lake: Path, tmp_path: Path) -> None:
    copy, elsewhere = tmp_path / "copy", tmp_path / "elsewhere"
    publish(lake, copy)
    elsewhere.mkdir()
    (copy / "data").rename(tmp_path / "away")
    (copy / "data").symlink_to(elsewhere)
    with pytest.raises(CopyRefused, match="is no folder"):
        publish(lake, copy)
    assert list(elsewhere.iterdir()) == []


def test_two_publishings_do_not_meet(lake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    taken = make_scratch(tmp_path, prefix="lock-")
    taken.path.rename(copy)  # a folder that is locked
    with pytest.raises(PublishBusy, match=r"Another process is publishing into .* now"):
        publish(lake, copy)
    os.close(taken.lock)
    publish(lake, copy)


def test_without_a_lake_there_is_no_copy(tmp_path: Path) -> None:
    with pytest.raises(LakeNotFound):
        publish(tmp_path / "nowhere", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_lake_that_lacks_a_file_is_told_and_the_copy_before_stays(lake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    publish(lake, copy)
    before = rows(copy, TOTAL)
    add(lake, 9000, 300)
    (new,) = set(data(lake)) - set(data(copy))
    (lake / "data" / new).rename(tmp_path / "lost")
    with pytest.raises(LakeDamaged, match=r"is damaged, its file .* is missing"):
        publish(lake, copy)
    assert rows(copy, TOTAL) == before
    (lake / "data" / new).write_bytes(b"half")
    with pytest.raises(LakeDamaged, match="has 4 bytes and not"):
        publish(lake, copy)
    assert rows(copy, TOTAL) == before
    assert not list(copy.glob(f"{PREFIX}*"))


def test_a_file_outside_the_lake_is_told(lake: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(lake / "catalog.sqlite")) as catalog:
        catalog.execute("UPDATE ducklake_data_file SET path = '../../../../etc/x.parquet'")
        catalog.commit()
    with pytest.raises(PublishError, match="has a file outside its folder"):
        publish(lake, tmp_path / "copy")
