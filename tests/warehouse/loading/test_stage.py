"""Staging: whatever the lines are, good rows are read whole, and the others are put aside with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.streams import STREAMS
from warehouse import Batch, Lake, stage

Row = dict[str, Any]

ONE, TWO = (f"{number}0000000-0000-4000-8000-000000000000" for number in (1, 2))


@dataclass(frozen=True)
class Stager:
    """Stages lines inside a transaction, as a sync does, and keeps the batch until the test ends."""

    connection: duckdb.DuckDBPyConnection
    folder: Path

    def __call__(self, stream: str, *files: bytes) -> Batch:
        paths = [self.folder / f"{number}.jsonl" for number in range(len(files))]
        for path, lines in zip(paths, files, strict=True):
            path.write_bytes(lines)
        return stage(self.connection, STREAMS[stream].table, paths)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def refused(self) -> list[tuple[str, str]]:
        """Text and reason of what could not be read, in its order."""
        return self.rows("SELECT unreadable, reason FROM parsed_row WHERE unreadable IS NOT NULL ORDER BY line")


@pytest.fixture
def stager(loaded_lake: Lake, tmp_path: Path) -> Iterator[Stager]:
    with loaded_lake.raw_connection() as connection:
        connection.begin()
        yield Stager(connection, tmp_path)
        connection.rollback()


def message(number: int, **changes: Any) -> Row:
    return {"id": number, "text": "hello", "created_on": "2026-03-01T00:00:00Z", **changes}


def line(number: int, **changes: Any) -> bytes:
    return json.dumps(message(number, **changes)).encode() + b"\n"


# -- lines that are not JSON --

BROKEN: dict[str, tuple[bytes, str]] = {
    "cut short": (b'{"id":2,"text":"cu', "Unterminated string"),
    "no JSON at all": (b"<html>502</html>", "Expecting value"),
    "not UTF-8": (b'{"id":2,"text":"a\xff\xfeb"}', "byte 17 is not UTF-8"),
    "a NUL in a text": (b'{"id":2,"text":"a\x00b"}', "Invalid control character"),
    "only a NUL": (b"\x00", "Expecting value"),
    "a NUL after the row": (b'{"id":2}\x00', "Extra data"),
    "two rows": (b'{"id":2}{"id":3}', "Extra data"),
    "rows parted by a carriage return": (b'{"id":2}\r{"id":3}', "Extra data"),
    "a byte order mark": (b'5 \xef\xbb\xbf{"id":2}', "Extra data"),
    "half a character": (b'{"id":2,"text":"\\ud800"}', "no other half"),
    "an open list": (b"[", "Expecting value"),
    "a quote": (b"'it''s'", "Expecting value"),
}


@pytest.mark.parametrize(("broken", "reason"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_that_is_not_json_is_put_aside_and_those_around_it_load(
    broken: bytes, reason: str, place: int, stager: Stager
) -> None:
    lines = [line(1), line(9)]
    lines.insert(place, broken + b"\n")
    batch = stager("messages", b"".join(lines))
    assert (batch.rows, batch.unreadable) == (3, 1)
    assert stager.rows("SELECT id, text FROM batch ORDER BY id") == [(1, "hello"), (9, "hello")]
    [(text, why)] = stager.refused()
    assert text == broken.decode("utf-8", errors="backslashreplace")
    assert reason in why
    assert why.startswith("not JSON: ")
    assert batch.reason == why


def test_a_last_line_without_its_end_is_put_aside_alone(stager: Stager) -> None:
    batch = stager("messages", line(1) + line(2)[:30], line(3).rstrip(), line(4))
    assert (batch.rows, batch.unreadable) == (4, 1)
    assert stager.rows("SELECT id FROM batch ORDER BY id") == [(1,), (3,), (4,)]
    assert [text for text, _ in stager.refused()] == [line(2)[:30].decode()]


@pytest.mark.parametrize("blank", [b"", b"\n"])
def test_a_byte_order_mark_at_the_start_of_a_file_is_skipped(blank: bytes, stager: Stager) -> None:
    batch = stager("messages", b"\xef\xbb\xbf" + blank + line(1) + b"oops\n", line(2))
    assert (batch.rows, [text for text, _ in stager.refused()]) == (3, ["oops"])


def test_blank_lines_are_no_rows(stager: Stager) -> None:
    blank = b"\n \n\t\r\n\x0b\n\x0c\n"
    batch = stager("messages", blank + line(1) + blank + b"broken\n" + blank + line(2) + blank + b"  ", blank)
    assert (batch.rows, batch.unreadable) == (3, 1)
    assert [text for text, _ in stager.refused()] == ["broken"]


def test_each_unreadable_row_has_its_own_reason(stager: Stager) -> None:
    stager("messages", b'oops\n{"id":1}\n[1]\n5\n' + line(2, uuid="abc") + line(3) + b"{}\nnull\n")
    reasons = dict(stager.refused())
    assert reasons["oops"].startswith("not JSON: ")
    assert reasons['{"id":1}'] == "created_on does not fit TIMESTAMP WITH TIME ZONE"
    assert {reasons[text] for text in ("[1]", "5", "null")} == {"not a JSON object"}
    assert reasons[line(2, uuid="abc").decode().strip()] == "uuid does not fit UUID"
    assert stager.rows("SELECT id FROM batch") == [(3,)]


def test_thousands_of_broken_lines_are_all_kept(stager: Stager) -> None:
    lines = [line(number) if number % 2 else f"broken {number}\n".encode() for number in range(6000)]
    batch = stager("messages", b"".join(lines[:2500]), b"".join(lines[2500:]))
    assert (batch.rows, batch.unreadable) == (6000, 3000)
    assert {text for text, _ in stager.refused()} == {f"broken {number}" for number in range(0, 6000, 2)}
    assert stager.rows("SELECT count(*) FROM batch") == [(3000,)]


def test_rows_that_are_all_alike_wrong_have_all_a_reason(stager: Stager) -> None:
    batch = stager("messages", b"".join(line(number, labels="Spam") for number in range(100)))
    assert batch.unreadable == 100
    assert {reason for _, reason in stager.refused()} == {'labels does not fit STRUCT(uuid UUID, "name" VARCHAR)[]'}


def test_a_long_broken_line_is_kept_whole(stager: Stager) -> None:
    long = b'{"id":1,"text":"' + b"x" * 3_000_000
    stager("messages", long + b"\n" + line(2))
    assert [text for text, _ in stager.refused()] == [long.decode()]


# -- odd JSON --


def test_deep_nesting_is_read_where_anything_may_stand(stager: Stager) -> None:
    deep = b"[" * 20_000 + b"]" * 20_000
    lines = [b'{"id":%d,"created_on":"2026-03-01T00:00:00Z","%s":%s}\n' % (n, key, deep)
             for n, key in enumerate((b"text", b"quick_replies", b"unknown"))]  # fmt: skip
    batch = stager("messages", line(7) + b"".join(lines))
    assert (batch.unreadable, batch.unknown_keys) == (1, ["unknown"])
    assert batch.reason == "text is an object or a list where a single value belongs"
    assert stager.rows("SELECT len(text), len(quick_replies), len(extra) FROM batch ORDER BY id") == [
        (None, 40_000, None),
        (None, None, 40_012),
        (5, None, None),
    ]


@pytest.mark.parametrize(
    "twice", [b'"id":1,"id":2', b'"id":1,"new":1,"new":2', b'"id":1,"contact":{"uuid":1,"uuid":1}']
)
def test_a_key_that_stands_twice_puts_its_row_alone_aside(twice: bytes, stager: Stager) -> None:
    odd = b'{%s,"created_on":"2026-03-01T00:00:00Z"}' % twice
    batch = stager("messages", line(7) + odd + b"\n" + line(8))
    assert (batch.unreadable, batch.unknown_keys) == (1, [])
    assert stager.refused() == [(odd.decode(), "a key stands twice in one object")]
    assert stager.rows("SELECT id FROM batch ORDER BY id") == [(7,), (8,)]


@pytest.mark.parametrize("place", [0, 1, 2, 150])
def test_a_key_that_stands_twice_in_a_map_puts_its_row_alone_aside(place: int, stager: Stager) -> None:
    row = '{{"uuid":"{}0000000-0000-4000-8000-00000000000{}","fields":{}}}'
    rows = [row.format(n % 10, n % 7, '{"age":"5","sex":"f"}') for n in range(200)]
    rows[place] = f'{{"uuid":"{TWO}","fields":{{"age":"5","age":"6"}}}}'
    batch = stager("contacts", "\n".join(rows).encode())
    assert batch.unreadable == 1
    assert stager.refused() == [(rows[place], "a key stands twice in one object")]
    assert stager.rows("SELECT DISTINCT fields FROM batch") == [({"age": "5", "sex": "f"},)]


def test_a_key_that_only_one_row_has_is_never_lost(stager: Stager) -> None:
    lines = [line(number, **({"new": "x"} if number == 4321 else {})) for number in range(5000)]
    lines[1000:2000] = [
        json.dumps({"id": n, "created_on": "2026-03-01T00:00:00Z"}).encode() + b"\n" for n in range(1000, 2000)
    ]
    batch = stager("messages", b"".join(lines))
    assert batch.unknown_keys == ["new"]
    assert stager.rows("SELECT id, extra FROM batch WHERE extra IS NOT NULL") == [(4321, '{"new":"x"}')]


def test_keys_in_any_order_and_number_are_read_the_same(stager: Stager) -> None:
    whole = message(1, direction="in", urn="tel:1", labels=[], attachments=[], modified_on=None)
    orders = [dict(list(whole.items())[place:] + list(whole.items())[:place]) for place in range(len(whole))]
    rows = [{**row, "id": number} for number, row in enumerate(orders)]
    rows += [
        {"id": 100 + n, "created_on": whole["created_on"], key: whole[key]}
        for n, key in enumerate(whole)
        if key != "id"
    ]
    batch = stager("messages", b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    assert (batch.unreadable, batch.unknown_keys) == (0, [])
    assert stager.rows("SELECT DISTINCT text, direction, urn, urn_path, labels FROM batch WHERE id < 100") == [
        ("hello", "in", "tel:1", "1", [])
    ]


# -- one row per key --


def test_a_row_that_is_unreadable_does_not_win_over_a_good_one(stager: Stager) -> None:
    batch = stager("messages", line(1, text="good") + line(1, uuid="abc") + line(2))
    assert (batch.rows, batch.unreadable) == (3, 1)
    assert stager.rows("SELECT id, text FROM batch ORDER BY id") == [(1, "good"), (2, "hello")]


def test_a_contact_with_a_field_twice_does_not_win_over_the_good_one(stager: Stager) -> None:
    row = '{{"uuid":"{}","name":"{}","modified_on":"2026-03-01T00:00:00Z","fields":{}}}'
    rows = [(ONE, "good", '{"age":"5"}'), (ONE, "odd", '{"age":"5","age":"6"}'), (TWO, "a", "{}"), (TWO, "b", "{}")]
    batch = stager("contacts", "\n".join(row.format(*one) for one in rows).encode())
    assert (batch.rows, batch.unreadable) == (4, 1)
    assert stager.rows("SELECT name FROM batch ORDER BY name") == [("b",), ("good",)]


def test_a_batch_after_one_with_doubled_keys_is_its_own(stager: Stager) -> None:
    stager("messages", line(1) + line(1, text="later"))
    assert stager.rows("SELECT text FROM batch") == [("later",)]
    stager("messages", line(3) + line(4) + line(5))
    assert stager.rows("SELECT count(*) FROM batch") == [(3,)]


def test_an_empty_file_is_an_empty_batch(stager: Stager) -> None:
    batch = stager("messages", b"", b"\n")
    assert (batch.rows, batch.unreadable, batch.reason, batch.missing_keys) == (0, 0, None, [])
    assert stager.rows("SELECT * FROM batch") == []
