"""Lakes in whose catalog an earlier version left rows that cannot be read back: found, told, and mended."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.errors import told
from pipeline.proof.doctor import Finding, examine
from pipeline.settings import load_settings
from sandbox import Sandbox
from tests.lakes import new_lake, stored
from tests.pipeline.proof.verifying import (
    LARGE,
    assert_true,
    bring,
    differences,
    examples,
    first_day,
    look,
    make_workspace,
    noon,
    opened,
    rows,
    write,
)
from warehouse import Lake, maintain
from warehouse.asking.query import ask
from warehouse.errors import LakeMangled
from warehouse.proof.mangled import count_mangled

# Texts that DuckDB writes and cannot read, or reads as another.
UNREADABLE, READ_AS_ANOTHER = "Urgent}", "''}\"', b"
REFERENCES = "[{{'uuid': uuid(), 'name': '{text}'}}]"


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    with Sandbox(make_workspace(), requests_per_hour=0) as served:
        yield served


@pytest.fixture(scope="module")
def synced(server: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = new_lake(tmp_path_factory.mktemp("synced") / "lake")
    bring(server, path, "archives", *LARGE, "labels")
    return path


@pytest.fixture
def lake(synced: Path, tmp_path: Path) -> Path:
    """A lake with the large streams of `server`, a test's own."""
    return Path(shutil.copytree(synced, tmp_path / "lake"))


def mangle(lake: Path, table: str, column: str, text: str, where: str) -> int:
    """Write a value as versions did that did not look whether it could be read back; return to how many rows."""
    (changed,) = opened(lake).commit(
        lambda connection: connection.execute(
            f"UPDATE {table} SET {column} = {REFERENCES.format(text=text.replace(chr(39), chr(39) * 2))} WHERE {where}"
        ).fetchall()[0]
    )
    return int(changed)


def newest(table: str, number: int, where: str = "deleted_on IS NULL AND archived_in IS NULL") -> str:
    return f"id IN (SELECT id FROM {table} WHERE {where} ORDER BY created_on DESC LIMIT {number})"


def finding(sandbox: Sandbox, lake: Path) -> Finding:
    """What the doctor says of the rows in the catalog."""
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0)
    (found,) = [one for one in examine(settings) if one.check == "rows"]
    return found


def test_rows_that_are_not_read_back_as_written_are_found_and_read_again(server: Sandbox, lake: Path) -> None:
    assert finding(server, lake) == Finding("rows", True, "those in the catalog can be read back")
    assert mangle(lake, "messages", "labels", READ_AS_ANOTHER, newest("messages", 1)) == 1
    found = finding(server, lake)
    assert (found.good, found.found) == (False, "some in the catalog cannot be read back: 1 of messages")
    assert mangle(lake, "contacts", "groups", UNREADABLE, "uuid IN (SELECT uuid FROM contacts LIMIT 2)") == 2
    result = look(server, lake, *LARGE, "labels")
    assert result.failed
    told = {one.stream: (one.outcome, (one.message or "")[:45]) for one in result.results if one.message}
    assert told == {
        "messages": ("failed", "1 row in the catalog cannot be read back: run"),
        "contacts": ("failed", "2 rows in the catalog cannot be read back: ru"),
    }
    assert {one.stream for one in result.findings} == {"runs", "labels"}
    look(server, lake, *LARGE, "labels", repair=True)
    assert finding(server, lake).good
    assert_true(server.workspace, lake, *LARGE)
    maintain(opened(lake), keep=timedelta(0))
    assert not look(server, lake, *LARGE, "labels").failed


@pytest.mark.long
def test_an_archived_row_that_cannot_be_read_back_comes_from_its_file_again(server: Sandbox, lake: Path) -> None:
    archived = "deleted_on IS NULL AND archived_in IS NOT NULL"
    mangle(lake, "messages", "labels", UNREADABLE, newest("messages", 2, archived))
    with pytest.raises(LakeMangled):
        opened(lake).rows("FROM messages")
    with Lake.open(lake) as opened_lake, pytest.raises(LakeMangled), ask(opened_lake, "FROM messages") as answer:
        answer.fetchall()
    look(server, lake, "messages", repair=True)
    assert_true(server.workspace, lake, *LARGE)
    assert differences(look(server, lake, *LARGE)) == {}


def test_what_is_dropped_is_read_again_from_the_beginning_whatever_was_to_be_verified(
    server: Sandbox, lake: Path
) -> None:
    shown = "deleted_on IS NULL AND archived_in IS NULL"
    oldest = f"id IN (SELECT id FROM messages WHERE {shown} ORDER BY created_on LIMIT 2)"
    mangle(lake, "messages", "labels", UNREADABLE, oldest)
    look(server, lake, "messages", repair=True, since=noon(first_day(server.workspace)) + timedelta(days=60))
    assert_true(server.workspace, lake, *LARGE)


def test_a_rotation_beside_which_rows_are_read_again_stays_one(server: Sandbox, lake: Path) -> None:
    """It says nothing of the days that were not due."""
    mangle(lake, "contacts", "groups", UNREADABLE, "uuid IN (SELECT uuid FROM contacts LIMIT 2)")
    result = look(server, lake, "contacts", "messages", repair=True, rotate=True)
    assert (result.rotated, result.failed) == (True, False)
    assert_true(server.workspace, lake, "contacts")


def test_a_sync_meets_rows_that_cannot_be_read_back_and_says_what_to_do(server: Sandbox, lake: Path) -> None:
    mangle(lake, "messages", "labels", UNREADABLE, newest("messages", 1))
    with pytest.raises(LakeMangled) as met:
        bring(server, lake, "messages")
    assert told(met.value).endswith(
        "holds rows that cannot be read back: run `rapidlake verify --repair`, which drops them and reads them again."
    )


@pytest.mark.long
def test_earlier_states_of_a_row_that_cannot_be_read_back_do_not_stop_upkeep(server: Sandbox, lake: Path) -> None:
    before = stored(lake, "messages")
    mangle(lake, "messages", "labels", UNREADABLE, newest("messages", 1))
    number = rows(lake, f"SELECT id FROM messages WHERE {newest('messages', 1)}")[0][0]
    write(lake, f"DELETE FROM messages WHERE id = {number}")
    assert count_mangled(opened(lake)) == {"messages": 1}
    look(server, lake, "messages", repair=True)
    assert count_mangled(opened(lake)) == {}
    maintain(opened(lake), keep=timedelta(0))
    assert stored(lake, "messages") == before
    assert examples(look(server, lake, "messages")) == set()
