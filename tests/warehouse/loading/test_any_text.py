"""Whatever people write is in the lake as they wrote it, from small batches and large, and for another process too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pipeline.reading.batches import Batches
from pipeline.reading.spool import Spool
from pipeline.results import Tally
from pipeline.streams import STREAMS
from tests.cases import cases
from tests.lakes import new_lake
from tests.readers import Reader, another_process
from tests.truth import assert_same
from tests.warehouse.loading.odd import ALL, CHANCES, Chance, Row, expected_extra, expected_of, typed_of
from warehouse import Lake, describe_tables, maintain, merge, stage
from warehouse.lake.inlining import INLINED_ROWS, is_nested, lost_in_text

SIZES = (1, INLINED_ROWS - 1, INLINED_ROWS, INLINED_ROWS + 1)
NESTED = [name for name in ALL if any(is_nested(column.type) for column in describe_tables()[name].columns)]
# Their key is made of the whole row: another text is another row.
NEVER_UPDATED = {"resthook_events"}
# An example loads thousands of rows, each with texts of its own: one is enough, and not worth making smaller.
examples = settings(
    max_examples=1,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with another_process() as reader:
        yield reader


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


@pytest.mark.parametrize("turn", cases(0, long=range(1, len(SIZES))))
@examples
@given(chance=CHANCES)
def test_any_text_anywhere_is_read_back(turn: int, chance: Chance, folder: Path, reader: Reader) -> None:
    """Every stream in batches of each size."""
    chance = chance.without_zero() if turn % 2 else chance
    rows = {stream: chance.rows(stream, SIZES[(turn + place) % len(SIZES)]) for place, stream in enumerate(ALL)}
    with Lake.create(new_lake(folder / "lake")) as lake:
        for stream in ALL:
            load(lake, stream, rows[stream])
        assert_holds(reader, lake, rows)
        changed = {stream: before for stream, before in rows.items() if stream not in NEVER_UPDATED}
        for stream, before in changed.items():
            after = chance.rows(stream, len(before))
            rows[stream] = changed[stream] = [keyed(stream, *pair) for pair in zip(before, after, strict=True)]
        lake.commit(lambda connection: update(lake, connection, changed))
        assert_holds(reader, lake, rows)
        if turn == 0:
            maintain(lake, keep=timedelta(0))
            assert_holds(reader, lake, rows)


@examples
@given(chance=CHANCES)
@pytest.mark.long
def test_what_stays_in_the_catalog_is_read_back_from_there(chance: Chance, folder: Path, reader: Reader) -> None:
    """As much of it as a batch can have, so that no row goes to a file for the sake of another."""
    rows: dict[str, list[Row]] = {}
    with Lake.create(new_lake(folder / "lake")) as lake:
        for stream in NESTED:
            made = chance.rows(stream, 4 * INLINED_ROWS, often=0.2)
            lost = lost_rows(lake, stream, made)
            rows[stream] = [row for number, row in enumerate(made) if number not in lost][:INLINED_ROWS]
            assert lost, stream
            assert len(rows[stream]) > 20, stream
            load(lake, stream, rows[stream])
        assert not list(lake.path.rglob("*.parquet"))
        assert_holds(reader, lake, rows)
        maintain(lake, keep=timedelta(0))
        assert_holds(reader, lake, rows)


def lost_rows(lake: Lake, stream: str, rows: list[Row]) -> set[int]:
    """Numbers of the rows, from 0, of which Rapidlake thinks that they must not stay in the catalog."""
    with lake.connection() as connection:
        stage(connection, STREAMS[stream].table, [written(lake, rows)])
        lost = lost_in_text(connection, "batch")
        found = connection.execute(f"SELECT line - 1 FROM parsed_row WHERE {lost}").fetchall()
    return {number for (number,) in found}


@examples
@given(chance=CHANCES)
def test_what_does_not_fit_waits_with_its_text(chance: Chance, folder: Path, reader: Reader) -> None:
    streams = [stream for stream in NESTED if typed_of(stream)]
    good = {stream: chance.rows(stream, 30) for stream in streams}
    bad = {stream: [chance.misfit(stream, row) for row in chance.rows(stream, 5, first=30)] for stream in streams}
    with Lake.create(new_lake(folder / "lake")) as lake:
        for stream in streams:
            mixed = [*good[stream], *bad[stream]]
            chance.dice.shuffle(mixed)
            tally = load(lake, stream, mixed)
            assert (tally.rows_new, tally.rows_unreadable, tally.rows_quarantined) == (30, 5, 5)
        found = reader.read(lake.path, streams, ["SELECT stream, record, reason, key FROM _quarantine"])
    for stream in streams:
        assert_same(stream, found.rows[stream], expected_of(stream, good[stream]))
    waiting = sorted((stream, json.dumps(json.loads(record))) for stream, record, *_ in found.answers[0])
    assert waiting == sorted((stream, json.dumps(row)) for stream in streams for row in bad[stream])
    assert all(" does not fit " in reason and key for _, _, reason, key in found.answers[0])


def keyed(stream: str, row: Row, other: Row) -> Row:
    """The other row, with the key of the first."""
    keys = {"id", "uuid", *STREAMS[stream].table.key}
    return other | {name: value for name, value in row.items() if name in keys}


def load(lake: Lake, stream: str, rows: list[Row], *, tombstones: bool = False) -> Tally:
    """Load rows as a sync does."""
    tally = Tally()
    batches = Batches(lake, STREAMS[stream].table, Spool(lake.spool, stream), tally)
    batches.add([msgspec.Raw(json.dumps(row).encode()) for row in rows])
    batches.commit(tombstones=tombstones)
    return tally


def update(lake: Lake, connection: duckdb.DuckDBPyConnection, rows: dict[str, list[Row]]) -> None:
    """Load rows whose keys the lake has, in the caller's transaction."""
    for stream, several in rows.items():
        loaded = merge(connection, stage(connection, STREAMS[stream].table, [written(lake, several)]))
        assert (loaded.new, loaded.quarantined) == (0, 0)


def written(lake: Lake, rows: list[Row]) -> Path:
    """A file of JSON lines."""
    file = lake.spool / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def assert_holds(reader: Reader, lake: Lake, rows: dict[str, list[Row]]) -> None:
    """Another process finds these rows in the lake, and nothing else."""
    extras = [f'SELECT extra FROM "{stream}" WHERE extra IS NOT NULL' for stream in rows]
    found = reader.read(lake.path, list(rows), ["SELECT stream, reason FROM _quarantine", *extras])
    assert found.answers[0] == []
    for stream, extra in zip(rows, found.answers[1:], strict=True):
        assert_same(stream, found.rows[stream], expected_of(stream, rows[stream]))
        said = sorted(json.dumps(json.loads(one), sort_keys=True) for (one,) in extra)
        assert said == expected_extra(stream, rows[stream]), stream
