"""What a row has that its stream's record type does not say: in each object of each stream, in all ways of reading."""

from __future__ import annotations

import copy
import json
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from duckdb.sqltypes import DuckDBPyType

from pipeline.streams import STREAMS
from tests.lakes import new_lake
from tests.warehouse.loading.odd import pattern_of
from warehouse import Batch, Lake, forget_batch, stage
from warehouse.parsing.parse import statements
from warehouse.parsing.strict import strict_records

Row = dict[str, Any]
Put = Callable[[Any], None]

NEW: Row = {"new": {"b": [1.5, None, "é"], "a": 12345678901234567890123}, "a/b~c": None, 'it\'s "so"': "[x"}
PLAIN_NEW: Row = {"new": {"b": [1.5, None, "é"], "a": 12345678901234567890123}, "text:new": None}
TWICE = "a key stands twice in one object"
MISPLACED = "is an object or a list where a single value belongs"
# More rows than the first ones that are looked at.
MANY = 101


class Twin(str):
    """The text of a key that a dictionary can have beside the same one."""

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


def literal_of(number: str) -> str:
    """What is written as it is, no text."""
    return f"literal {number}"


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Lake.create(new_lake(tmp_path_factory.mktemp("depth") / "lake")) as lake, lake.raw_connection() as connection:
        yield connection


@pytest.fixture(scope="module")
def records(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Stream → its record type."""
    for stream in STREAMS:
        connection.execute(statements(stream)[0])
    return {stream: connection.sql(f'SELECT NULL::"{stream}_record"').types[0] for stream in STREAMS}


def row_of(stream: str) -> Row:
    """A row of a stream in which nothing is odd."""
    return pattern_of(stream) | ({"uuid": str(uuid.UUID(int=1))} if stream == "definitions" else {})


def parts(kind: Any, value: Any, place: str = "") -> Iterator[tuple[str, str, Any, Put]]:
    """The parts of a row: what each is, its place, its value, and a function that puts another one there."""
    inner: list[tuple[Any, Any, str]] = []
    if kind.id == "struct":
        inner = [(name, part, f"{place}.{name}".lstrip(".")) for name, part in kind.children if name in value]
    elif kind.id == "list":
        inner = [(0, kind.children[0][1], f"{place}[]")]
    elif kind.id == "map":
        inner = [(next(iter(value)), kind.children[1][1], f"{place}.*")]
    for name, part, under in inner:
        what = "JSON" if str(part) == "JSON" else {"struct": "object"}.get(part.id, part.id)
        yield what, under, value[name], lambda other, name=name: value.__setitem__(name, other)
        yield from parts(part, value[name], under)


def variants(kind: Any, row: Row, *whats: str) -> Iterator[tuple[str, Any, Put, Row]]:
    """For each such part of a row a copy of the row: the part's place, its value, how another gets there, the copy."""
    for number, (what, *_) in enumerate(parts(kind, row)):
        if what in whats:
            changed = copy.deepcopy(row)
            _, place, value, put = list(parts(kind, changed))[number]
            yield place, value, put, changed


def beside(kind: Any, value: Any) -> Any:
    """What a value has beside its type, where it stands; None if nothing."""
    if kind.id == "struct" and isinstance(value, dict):
        known = dict(kind.children)
        found = {key: part for key, part in value.items() if key not in known}
        inner = {key: beside(known[key], part) for key, part in value.items() if key in known}
        return (found | {key: part for key, part in inner.items() if part is not None}) or None
    if kind.id == "map" and isinstance(value, dict):
        inner = {key: beside(kind.children[1][1], part) for key, part in value.items()}
        return {key: part for key, part in inner.items() if part is not None} or None
    if isinstance(value, list):
        element = kind if kind.id == "map" else kind.children[0][1] if kind.id == "list" else None
        found = [beside(element, part) for part in value] if element else []
        return found if any(part is not None for part in found) else None
    return None


def grown(kind: Any, row: Row, new: Row) -> tuple[Row, list[str]]:
    """The row with new keys in each of its objects, and their places."""
    row = copy.deepcopy(row)
    objects = [("", row), *((place, value) for what, place, value, _ in parts(kind, row) if what == "object")]
    for _, value in objects:
        value |= copy.deepcopy(new)
    return row, sorted(f"{place}.{key}".removeprefix(".") for place, _ in objects for key in new)


def staged(
    connection: duckdb.DuckDBPyConnection, stream: str, folder: Path, rows: list[Row], *, fast: bool
) -> tuple[Batch, list[tuple[Any, ...]]]:
    """What staging says, and of each row its JSON in `extra`, whether it is unreadable, the reason, and all columns."""
    file = folder / "rows.jsonl"
    file.write_text("".join(f"{written(row)}\n" for row in rows), encoding="utf-8")
    batch = stage(connection, STREAMS[stream].table, [file], strictly_first=fast)
    seen = connection.execute(
        """
        SELECT extra, unreadable, reason, row_key, COLUMNS(* EXCLUDE (line, extra, unreadable, reason, row_key))
        FROM parsed_row ORDER BY line
        """
        if not batch.unreadable
        else "SELECT extra, unreadable, reason, row_key FROM parsed_row ORDER BY line"
    ).fetchall()
    forget_batch(connection)
    return batch, seen


def test_new_keys_in_each_object_of_each_stream_are_in_extra_at_their_place(
    connection: duckdb.DuckDBPyConnection, records: dict[str, DuckDBPyType], tmp_path: Path
) -> None:
    for stream, kind in records.items():
        row = row_of(stream)
        more, places = grown(kind, row, NEW)
        plain, plain_places = grown(kind, row, PLAIN_NEW)
        mixed = [row, more, plain, row]
        batch, seen = staged(connection, stream, tmp_path, mixed, fast=False)
        assert (batch.unreadable, batch.unknown_keys) == (0, sorted({*places, *plain_places})), stream
        assert [extra and json.loads(extra) for extra, *_ in seen] == [beside(kind, one) for one in mixed], stream
        assert beside(kind, more)
        if stream != "definitions":  # it has a column with all of it
            assert [one[1:] for one in seen] == [seen[0][1:]] * 4, stream
        alike = [plain] * 3
        assert staged(connection, stream, tmp_path, alike, fast=True)[1] == [seen[2]] * 3, stream


def test_rows_that_all_have_the_same_new_keys_are_read_without_being_taken_apart(
    connection: duckdb.DuckDBPyConnection, records: dict[str, DuckDBPyType], tmp_path: Path
) -> None:
    for stream, kind in records.items():
        row, places = grown(kind, row_of(stream), PLAIN_NEW)
        file = tmp_path / "row.jsonl"
        file.write_text(json.dumps(row), encoding="utf-8")
        usual = {place: list(value) for what, place, value, _ in parts(kind, row) if what == "object"}
        lines = f"read_json_objects('{file}', format = 'newline_delimited')"
        sql = strict_records(STREAMS[stream].table, kind, usual | {"": list(row)}, lines)
        ((extra, unusual),) = connection.execute(f"SELECT extra, unusual FROM ({sql})").fetchall()
        assert (json.loads(extra), unusual) == (beside(kind, row), None), stream
        assert len(places) == 2 * len(usual) + 2


def test_a_key_that_stands_twice_in_any_object_puts_its_row_aside(
    connection: duckdb.DuckDBPyConnection, records: dict[str, DuckDBPyType], tmp_path: Path
) -> None:
    for stream, kind in records.items():
        row = row_of(stream)
        key = next(iter(row))
        odd: list[Row] = [row | {Twin(key): row[key]}, row | {"new": 1, Twin("new"): 2}]
        for _, value, put, changed in variants(kind, row, "object", "map"):
            key = next(iter(value))
            put(value | {Twin(key): value[key]})
            odd.append(changed)
        assert_aside(connection, stream, tmp_path, row, odd, [TWICE] * len(odd))


def test_a_key_that_stands_twice_in_translations_puts_its_row_aside_and_one_in_json_is_kept(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    twice = {"eng": "a", Twin("eng"): "b"}
    cases = {"broadcasts": ["text", "attachments"], "campaign_events": ["message"]}
    for stream, names in cases.items():
        row = row_of(stream)
        odd = [row | {name: {key: ["a"] if name == "attachments" else "a" for key in twice}} for name in names]
        assert_aside(connection, stream, tmp_path, row, odd, [TWICE] * len(odd))
    row = row_of("channel_events") | {"extra": twice}
    batch, ((extra, *_, event_extra, _, _),) = staged(connection, "channel_events", tmp_path, [row], fast=True)
    assert (batch.unreadable, extra, event_extra) == (0, None, '{"eng":"a","eng":"b"}')


def test_an_object_or_a_list_in_translations_puts_its_row_aside(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    for stream, name, others in [
        ("broadcasts", "text", [{"eng": {"a": 1}}, {"eng": "a", "fra": ["a"]}]),
        ("campaign_events", "message", [{"eng": {"a": 1}}, {"eng": None, "fra": []}]),
        ("broadcasts", "attachments", [{"eng": ["a", {"a": 1}]}, [["a"]], {"eng": {}}]),
    ]:
        row = row_of(stream)
        odd = [row | {name: other} for other in others]
        kind = "MAP(VARCHAR, VARCHAR[])" if name == "attachments" else "MAP(VARCHAR, VARCHAR)"
        assert_aside(connection, stream, tmp_path, row, odd, [f"{name} does not fit {kind}"] * len(odd))


def test_results_of_the_first_archives_are_looked_into_too(
    connection: duckdb.DuckDBPyConnection, records: dict[str, Any], tmp_path: Path
) -> None:
    row = row_of("runs")
    (result,) = row["values"].values()

    def old(*results: Any) -> Row:
        return row | {"values": [*results]}

    more = old({"a": result}, {"b": result | {"extra": {"x": 1.5}, "intent": None}, "c": result})
    batch, seen = staged(connection, "runs", tmp_path, [old({"a": result}), more], fast=True)
    assert batch.unknown_keys == ["values[].*.extra", "values[].*.intent"]
    assert [extra and json.loads(extra) for extra, *_ in seen] == [None, beside(records["runs"], more)]
    twice = [{"a": result, Twin("a"): result}, {"a": result | {Twin("name"): "n"}}]
    assert_aside(connection, "runs", tmp_path, row, [old(*twice[:1]), old(*twice[1:])], [TWICE] * 2)
    nested = [old({"a": result | {key: {"x": 1}}}) for key in ("value", "category", "name", "input")]
    (kind,) = {reason for _, reason in assert_unreadable(connection, "runs", tmp_path, row, nested)}
    assert kind.startswith("results does not fit MAP")


def test_what_is_no_single_value_or_does_not_fit_puts_its_row_aside_in_every_column(
    connection: duckdb.DuckDBPyConnection, records: dict[str, Any], tmp_path: Path
) -> None:
    for stream, kind in records.items():
        row = row_of(stream)
        odd, reasons = [], []
        free = {place for what, place, *_ in parts(kind, row) if what == "JSON"}
        for place, value, put, changed in variants(kind, row, "varchar", "JSON"):
            misfits: list[tuple[Any, str]] = [(literal_of("NaN"), "not JSON: NaN is no number")]
            if place not in free:
                misfits += [({"a": 1}, f"{place} {MISPLACED}"), ([], f"{place} {MISPLACED}")]
            if type(value) is int:
                misfits += [(literal_of("1E+400"), "does not fit a number")]
            for other, reason in misfits:
                put(other)
                odd.append(copy.deepcopy(changed))
                reasons.append(reason)
        found = assert_unreadable(connection, stream, tmp_path, row, odd)
        said = [re.sub(r".* does not fit .*INT.*", "does not fit a number", reason) for _, reason in found]
        assert said == reasons, stream


def assert_unreadable(
    connection: duckdb.DuckDBPyConnection, stream: str, folder: Path, good: Row, odd: list[Row]
) -> list[tuple[str, str]]:
    """Among good rows the odd ones are unreadable, and the good ones are read: text and reason of each odd one."""
    batch, seen = staged(connection, stream, folder, [good, *odd, good], fast=True)
    assert batch.unreadable == len(odd), stream
    assert [one[:3] for one in (seen[0], seen[-1])] == [(None, None, None)] * 2, stream
    return [(text, reason) for _, text, reason, _ in seen[1:-1]]


def assert_aside(
    connection: duckdb.DuckDBPyConnection, stream: str, folder: Path, good: Row, odd: list[Row], reasons: list[str]
) -> None:
    """Among good rows each of the odd ones is unreadable, with its text, for its reason."""
    found = assert_unreadable(connection, stream, folder, good, odd)
    assert [reason for _, reason in found] == reasons, stream
    assert [compact(text) for text, _ in found] == [compact(written(row)) for row in odd], stream


def written(row: Row) -> str:
    return re.sub(r'"literal (.*?)"', r"\1", json.dumps(row, ensure_ascii=False))


def compact(text: str) -> str:
    """JSON without the space between its parts."""
    return re.sub(r'("(?:\\.|[^"\\])*")|\s', lambda found: found[1] or "", text)
