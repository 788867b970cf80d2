"""Lakes in whose catalog an earlier version left rows that cannot be read back: found, told, and mended."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.errors import told
from pipeline.proof.doctor import Finding, examine
from pipeline.settings import load_settings
from sandbox import Sandbox
from tests.lakes import stored
from tests.pipeline.proof.verifying import (
    LARGE,
    assert_true,
    bring,
    differences,
    examples,
    first_day,
    look,
    noon,
    opened,
    rows,
    write,
)
from warehouse import Lake, maintain
from warehouse.asking.query import ask
from warehouse.errors import LakeMangled
from warehouse.proof.mangled import count_mangled

# A text that DuckDB writes and cannot read, and one that it reads as another.
TEXTS = {"unreadable": "Urgent}", "read as another": "''}\"', b"}
REFERENCES = "[{{'uuid': uuid(), 'name': '{text}'}}]"


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


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_row_that_is_not_read_back_as_written_is_found_and_read_again(
    text: str, changing: Sandbox, new: Path
) -> None:
    bring(changing, new, "archives", *LARGE, "labels")
    assert finding(changing, new) == Finding("rows", True, "those in the catalog can be read back")
    assert mangle(new, "messages", "labels", text, newest("messages", 3)) == 3
    found = finding(changing, new)
    assert (found.good, found.found) == (False, "some in the catalog cannot be read back: 3 of messages")
    result = look(changing, new, *LARGE, "labels")
    assert result.failed
    (told,) = [one for one in result.results if one.stream == "messages"]
    assert (told.outcome, (told.message or "")[:45]) == ("failed", "3 rows in the catalog cannot be read back: ru")
    assert {one.stream for one in result.findings} == {"contacts", "runs", "labels"}
    look(changing, new, *LARGE, "labels", repair=True)
    assert finding(changing, new).good
    assert_true(changing.workspace, new, *LARGE)
    assert not look(changing, new, *LARGE, "labels").failed
    maintain(opened(new), keep=timedelta(0))
    assert_true(changing.workspace, new, *LARGE)


def test_an_archived_row_that_cannot_be_read_back_comes_from_its_file_again(changing: Sandbox, new: Path) -> None:
    bring(changing, new, "archives", *LARGE)
    archived = "deleted_on IS NULL AND archived_in IS NOT NULL"
    mangle(new, "messages", "labels", "Urgent}", newest("messages", 2, archived))
    with pytest.raises(LakeMangled):
        opened(new).rows("FROM messages")
    with Lake.open(new) as lake, pytest.raises(LakeMangled), ask(lake, "FROM messages") as answer:
        answer.fetchall()
    look(changing, new, "messages", repair=True)
    assert_true(changing.workspace, new, *LARGE)
    assert differences(look(changing, new, *LARGE)) == {}


def test_what_is_dropped_is_read_again_from_the_beginning_whatever_was_to_be_verified(
    changing: Sandbox, new: Path
) -> None:
    bring(changing, new, "archives", *LARGE)
    shown = "deleted_on IS NULL AND archived_in IS NULL"
    oldest = f"id IN (SELECT id FROM messages WHERE {shown} ORDER BY created_on LIMIT 2)"
    mangle(new, "messages", "labels", "Urgent}", oldest)
    look(changing, new, "messages", repair=True, since=noon(first_day(changing.workspace)) + timedelta(days=60))
    assert_true(changing.workspace, new, *LARGE)


def test_a_sync_meets_rows_that_cannot_be_read_back_and_says_what_to_do(changing: Sandbox, new: Path) -> None:
    bring(changing, new, "messages")
    mangle(new, "messages", "labels", "Urgent}", newest("messages", 1))
    changing.workspace.edit("messages", 3)
    with pytest.raises(LakeMangled) as met:
        bring(changing, new, "messages")
    assert told(met.value).endswith(
        "holds rows that cannot be read back: run `rapidlake verify --repair`, which drops them and reads them again."
    )


def test_earlier_states_of_a_row_that_cannot_be_read_back_do_not_stop_upkeep(changing: Sandbox, new: Path) -> None:
    bring(changing, new, "labels", "messages")
    before = stored(new, "messages")
    mangle(new, "messages", "labels", "Urgent}", newest("messages", 1))
    number = rows(new, f"SELECT id FROM messages WHERE {newest('messages', 1)}")[0][0]
    write(new, f"DELETE FROM messages WHERE id = {number}")
    assert count_mangled(opened(new)) == {"messages": 1}
    look(changing, new, "messages", repair=True)
    assert count_mangled(opened(new)) == {}
    maintain(opened(new), keep=timedelta(0))
    assert stored(new, "messages") == before
    assert examples(look(changing, new, "messages")) == set()
