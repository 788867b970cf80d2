"""The fast way of reading rows: it gives what the lenient way gives, also where a row is odd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.streams import STREAMS
from sandbox import Workspace
from tests.lakes import new_lake
from tests.warehouse.loading.loader import ONE, TWO, message
from tests.warehouse.loading.test_unreadable_rows import UNREADABLE
from warehouse import Batch, Lake, forget_batch, stage
from warehouse.parsing.parse import statements
from warehouse.parsing.strict import parse_strictly

TABLE = STREAMS["messages"].table
READABLE = {
    "an unknown key": [json.dumps(message(5, brand_new={"b": [1.5, None]}))],
    "an unknown key in an object": [json.dumps(message(5, contact={"uuid": ONE, "ref": "R"}))],
    "an unknown key in a list": [json.dumps(message(5, labels=[{"uuid": ONE}, {"uuid": TWO, "color": {"r": 2.5}}]))],
    "a text like an object": [json.dumps(message(5, text='{"a":1}'))],
    "a text like a list": [json.dumps(message(5, text="[1]", attachments=[{"url": "[]"}]))],
    "a text that only begins like one": [json.dumps(message(5, text="[Reminder] {")), json.dumps(message(6))],
    "a text about no number": [json.dumps(message(5, text='"NaN" is not, "a": Infinity'))],
    "a number as text": ['{"id":"5","created_on":"2026-03-01T00:00:00Z","text":7,"broadcast":"8"}'],
    "a text as flag": [json.dumps(message(5, archived="true"))],
    "few keys": ['{"id":5,"created_on":"2026-03-01T00:00:00Z"}'],
    "blank lines": ["", "  ", json.dumps(message(5)), ""],
    "a key again, later": [json.dumps(message(1, text="later")), json.dumps(message(5))],
    "lists": [json.dumps(message(5, labels=[], attachments=[], quick_replies=[{"text": "Yes"}], media=""))],
    "nulls": [json.dumps(dict.fromkeys(message(5), None) | {"id": 5, "created_on": "2026-03-01T00:00:00Z"})],
    "numbers of the oddest size": [json.dumps(message(2**62, broadcast=2**40))],
    "other letters": [json.dumps(message(5, text="é \u0000 😀 \u2028"))],
    "a date of another zone": [json.dumps(message(5, created_on="2026-03-01T02:00:00.000001+02:00"))],
}
UNUSUAL = {
    **READABLE,
    "no JSON": ["<html>"],
    "cut short": ['{"id":5,"te'],
    "a key twice": ['{"id":5,"created_on":"2026-03-01T00:00:00Z","text":"a","text":"a"}'],
    "a key twice in an object": ['{"id":5,"created_on":"2026-03-01T00:00:00Z","contact":{"uuid":null,"uuid":null}}'],
    "an object for a text": [json.dumps(message(5, urn={"scheme": "tel", "path": "1"}))],
    "a list for a text": [json.dumps(message(5, labels=[{"uuid": ONE, "name": []}]))],
    "no number for a text": ['{"id":5,"created_on":"2026-03-01T00:00:00Z","text":NaN}'],
    "no number among JSON": ['{"id":5,"created_on":"2026-03-01T00:00:00Z","quick_replies":[-Infinity]}'],
    "no number for a number": ['{"id":5,"created_on":"2026-03-01T00:00:00Z","broadcast":NaN}'],
    "no number in an unknown key": ['{"id":5,"created_on":"2026-03-01T00:00:00Z","new":[NaN]}'],
    "a number that does not fit": ['{"id":5,"created_on":"2026-03-01T00:00:00Z","broadcast":1E+400}'],
}
UNUSUAL |= {str(row): [row if isinstance(row, str) else json.dumps(row)] for row in UNREADABLE["messages"]}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Lake.create(new_lake(tmp_path_factory.mktemp("fast") / "lake")) as lake, lake.raw_connection() as connection:
        yield connection


def staged(
    connection: duckdb.DuckDBPyConnection, files: list[Path], *, fast: bool
) -> tuple[Batch, list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """What staging says, the rows that it makes, and those that it puts aside."""
    batch = stage(connection, TABLE, files, strictly_first=fast)
    rows = connection.execute("SELECT * EXCLUDE (synced_on) FROM batch ORDER BY id").fetchall()
    aside = connection.execute(
        "SELECT line, unreadable, reason FROM parsed_row WHERE unreadable IS NOT NULL ORDER BY line"
    ).fetchall()
    forget_batch(connection)
    return batch, rows, aside


@pytest.mark.parametrize("lines", UNUSUAL.values(), ids=UNUSUAL)
def test_an_odd_row_is_read_or_put_aside_as_the_lenient_way_does(
    lines: list[str], connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("0.jsonl", "1.jsonl")]
    files[0].write_text("".join(f"{line}\n" for line in (json.dumps(message(1)), *lines)), encoding="utf-8")
    files[1].write_text(json.dumps(message(9, text="after it")) + "\n", encoding="utf-8")
    fast, lenient = (staged(connection, files, fast=fast) for fast in (True, False))
    assert fast == lenient
    batch, rows, aside = fast
    assert {row[0] for row in rows} >= {1, 9}
    assert batch.unreadable == len(aside) == (0 if lines in READABLE.values() else 1)


def test_a_workspaces_messages_are_read_the_same_in_both_ways(
    small_workspace: Workspace, connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    messages = small_workspace.rows("messages")
    again = [{**row, "status": "changed"} for row in messages[::7]]
    files = [tmp_path / "0.jsonl", tmp_path / "1.jsonl"]
    for file, rows in zip(files, (messages, again), strict=True):
        file.write_text("\n \n" + "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    fast, lenient = (staged(connection, files, fast=fast) for fast in (True, False))
    assert fast == lenient
    batch, rows, _ = fast
    assert (batch.rows, batch.unreadable, len(rows)) == (len(messages) + len(again), 0, len(messages))
    _, select = statements("messages")
    known = parse_strictly(connection, TABLE, files, select.replace("TRY(", "(", 1), maximum_size=10**6)
    assert set(messages[0]) <= set(known), "the fast way is not fit for the usual rows"
