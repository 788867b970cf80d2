"""Small batches stay in the catalog unless they hold what it cannot: then they are one file, and nothing is lost."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.streams import STREAMS
from tests import processes
from tests.lakes import new_lake, rows
from warehouse import Lake, Loaded, forget_batch, maintain, merge, stage
from warehouse.lake.inlining import INLINED_ROWS, OPTION

Row = dict[str, Any]

AT = "2026-03-01T00:00:00Z"
ONE = "10000000-0000-4000-8000-000000000000"
# Texts that came back as others, made the table unreadable, or were refused; alone and beside others.
LABELS = [
    "Urgent}", "'}",
    "\"'}", "it's \"so\", '}", "{", "}", "[", "]'", "a\\'b", "NULL", "", " x ", ",", "': ", "\0", "a\0b",
]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return new_lake(tmp_path / "lake")


@pytest.fixture
def lake(path: Path) -> Iterator[Lake]:
    with Lake.create(path) as lake:
        yield lake


def load(lake: Lake, stream: str, *several: Row) -> Loaded:
    file = lake.spool / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in several), encoding="utf-8")

    def work(connection: Any) -> Loaded:
        loaded = merge(connection, stage(connection, STREAMS[stream].table, [file]))
        forget_batch(connection)
        return loaded

    return lake.commit(work)


def labelled(number: int, label: str) -> Row:
    return {"id": number, "text": label, "created_on": AT, "labels": [{"uuid": ONE, "name": label}]}


def files(lake: Lake) -> int:
    return len(list((lake.path / "data").rglob("*.parquet")))


def filed(lake: Lake) -> list[tuple[int]]:
    """Ids of the messages that are in files."""
    return lake.rows(f"SELECT id FROM '{lake.path}/data/**/*.parquet' ORDER BY id")


# -- values --


@pytest.mark.long
def test_a_label_reads_back_as_it_was_written(path: Path) -> None:
    """Each loaded by itself, beside a plain one, and written over one that was plain; then moved by upkeep."""
    with Lake.create(path) as lake:
        for number, label in enumerate(LABELS):
            load(lake, "messages", labelled(2 * number, label), labelled(2 * number + 1, "plain"))
            load(lake, "messages", labelled(2 * number + 1, label))
    read = "SELECT id, labels[1].name, text FROM messages ORDER BY id"
    expected = [(number, LABELS[number // 2], LABELS[number // 2]) for number in range(2 * len(LABELS))]
    assert rows(path, read) == expected
    with Lake.create(path) as lake:
        maintain(lake, keep=timedelta(0))
    assert rows(path, read) == expected


def test_a_zero_byte_in_a_field_of_a_contact_loads(lake: Lake) -> None:
    fields = {"a\0b": "c\0d", "plain": "}"}
    load(lake, "contacts", {"uuid": ONE, "fields": fields, "modified_on": AT})
    assert rows(lake.path, "SELECT fields FROM contacts") == [(fields,)]


def test_a_mark_in_an_answer_of_a_run_leaves_its_table_readable(lake: Lake) -> None:
    result = {"value": "yes}", "category": "Oth'}er", "name": "Q", "input": 'yes} "', "node": ONE, "time": AT}
    load(lake, "runs", {"uuid": ONE, "created_on": AT, "modified_on": AT, "values": {"q}": result}})
    [(found,)] = rows(lake.path, "SELECT results FROM runs")
    assert {name: found["q}"][name] for name in ("value", "category", "input")} == {
        name: result[name] for name in ("value", "category", "input")
    }


# -- files --


def test_small_loads_make_no_files_and_upkeep_makes_one(lake: Lake) -> None:
    for number in range(30):
        load(lake, "messages", labelled(number, 'plain, (as) most: "are"'))
    assert files(lake) == 0
    maintain(lake, keep=timedelta(0), grace=timedelta(0))
    assert len(list((lake.path / "data" / "main" / "messages").rglob("*.parquet"))) == 1
    assert rows(lake.path, "SELECT count(*) FROM messages") == [(30,)]


@pytest.mark.parametrize("odd", [1, 50])
def test_a_batch_in_which_something_is_odd_makes_one_file(odd: int, lake: Lake) -> None:
    load(lake, "messages", *(labelled(number, "}" if number < odd else "plain") for number in range(INLINED_ROWS)))
    assert files(lake) == 1
    assert filed(lake) == [(number,) for number in range(odd)]
    load(lake, "messages", labelled(1000, "plain"))  # the next one stays in the catalog again
    assert files(lake) == 1
    load(lake, "messages", labelled(1000, "'}"))
    assert files(lake) == 2


def test_of_changed_rows_too_only_the_odd_ones_go_to_a_file(lake: Lake) -> None:
    load(lake, "messages", *(labelled(number, "plain") for number in range(INLINED_ROWS)))
    load(lake, "messages", *(labelled(number, "}" if number in (7, 8) else "new") for number in range(INLINED_ROWS)))
    assert filed(lake) == [(7,), (8,)]
    told = "SELECT text, labels[1].name, count(*) FROM messages GROUP BY ALL ORDER BY ALL"
    assert rows(lake.path, told) == [("new", "new", INLINED_ROWS - 2), ("}", "}", 2)]


def test_rows_that_are_odd_and_as_they_were_make_no_file(lake: Lake) -> None:
    for _ in range(3):
        load(lake, "messages", labelled(1, "}"))
    assert files(lake) == 1


# -- lakes of earlier versions --


# As the version before had it.
QUARANTINE = """
CREATE TABLE _quarantine (
    stream VARCHAR NOT NULL, digest VARCHAR NOT NULL, reason VARCHAR NOT NULL, record VARCHAR NOT NULL,
    source VARCHAR NOT NULL, seen_on TIMESTAMPTZ NOT NULL
)
"""


def make_older(path: Path) -> None:
    """Give a lake what versions before had: an option in the catalog itself, and fewer columns of quarantine."""
    with Lake.create(path) as lake:
        for change in (
            *(
                f"ALTER TABLE _quarantine DROP COLUMN {name}"
                for name in ("key", "archived_in", "tombstone", "tried_with")
            ),
            *(f"ALTER TABLE _sync DROP COLUMN {name}" for name in ("rows_equal", "rows_double", "rows_unreadable")),
            "UPDATE _lake SET schema_fingerprint = 'older'",
            "INSERT INTO _quarantine VALUES ('labels', 'd', 'odd', '{\"uuid\": 5}', 'api', now())",
        ):
            lake.rows(change)
    in_catalog(path, f"INSERT INTO ducklake_metadata (key, value) VALUES ('{OPTION}', '{INLINED_ROWS}')")


def in_catalog(path: Path, statement: str) -> str:
    """Let another process ask or change the catalog itself, and say what the answer is."""
    program = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=60) as db:
    print(db.execute(sys.argv[2]).fetchall())
"""
    done = processes.run([sys.executable, "-c", program, path / "catalog.sqlite", statement])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("reading", [False, True], ids=["alone", "beside a reader"])
def test_a_lake_of_an_earlier_version_stores_odd_texts_readably_once_it_is_opened(path: Path, reading: bool) -> None:
    make_older(path)
    asked = f"SELECT value FROM ducklake_metadata WHERE key = '{OPTION}'"
    assert in_catalog(path, asked) == f"[('{INLINED_ROWS}',)]"
    reader = Lake.open(path) if reading else None
    if reader:
        reader.rows("FROM messages")
    with Lake.create(path) as lake:
        load(lake, "messages", labelled(1, "Urgent}"))
        assert files(lake) == 1
        load(lake, "messages", labelled(2, "plain"))
        assert files(lake) == 1
        assert lake.rows("SELECT reason, key, tried_with FROM _quarantine") == [("odd", None, None)]
    if reader:
        assert reader.rows("SELECT labels[1].name FROM messages ORDER BY id") == [("Urgent}",), ("plain",)]
        reader.close()
    assert in_catalog(path, asked) == "[]"
    assert rows(path, "SELECT labels[1].name FROM messages ORDER BY id") == [("Urgent}",), ("plain",)]
