"""Holds a sync of a real workspace against an independent reading of its dump and archives, value by value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.lakes import LANGUAGES, stored
from tests.real import Real
from tests.truth import archived_records, assert_same, dumped_rows, expected_rows, expected_union
from warehouse import Lake

COUNTS = {
    "messages": 28144, "contacts": 5200, "runs": 12100, "tickets": 800, "broadcasts": 700, "channel_events": 700,
    "resthook_events": 600, "flow_starts": 500, "flows": 262, "groups": 261, "fields": 260, "archives": 278,
    "definitions": 262, "campaigns": 3, "campaign_events": 40, "channels": 7, "classifiers": 2, "globals": 20,
    "labels": 26, "optins": 3, "resthooks": 3, "resthook_subscribers": 6, "templates": 3, "topics": 4, "users": 6,
    "workspace": 1, "statistics": 0,
}  # fmt: skip
LARGE = {"contacts", "messages", "runs"}
ARCHIVED = {"messages": "message", "runs": "run"}


def test_every_table_has_exactly_the_rows_of_the_dump(real: Real) -> None:
    with Lake.open(real.lake) as lake:
        counts = {
            stream: lake.rows(f'SELECT count(*) FROM "{stream}" WHERE deleted_on IS NULL')[0][0] for stream in COUNTS
        }
        assert counts == COUNTS
        assert lake.rows("SELECT count(*) FROM contacts WHERE deleted_on IS NOT NULL") == [(700,)]
        assert lake.rows("SELECT count(*) FROM _quarantine") == [(0,)]
        assert lake.rows("SELECT count(*) FROM _drift WHERE kind = 'unknown'") == [(0,)]


@pytest.mark.parametrize("stream", [stream for stream in COUNTS if stream not in ("definitions", "statistics")])
def test_every_value_of_every_row_is_the_dumps(real: Real, stream: str) -> None:
    assert_same(stream, stored(real.lake, stream), _expected(real.dump, stream))


def test_archives_bring_what_the_api_no_longer_has(real: Real) -> None:
    with Lake.open(real.lake) as lake:
        for stream, kind in ARCHIVED.items():
            key = "id" if stream == "messages" else "uuid"
            archived = {str(record[key]) for record in archived_records(real.dump, kind)}
            assert archived - {str(row[key]) for row in dumped_rows(real.dump, stream)}
            named = lake.rows(
                f"SELECT {key}::VARCHAR FROM {stream} WHERE archived_in IS NOT NULL AND source = 'archive'"
            )
            assert {found for (found,) in named} == archived
            assert lake.rows(f"SELECT sum(rows)::BIGINT FROM _archives WHERE archive_type = '{kind}'") == [
                (len(archived),)
            ]
        files = sum(1 for row in dumped_rows(real.dump, "archives") if row["record_count"])
        assert lake.rows("SELECT count(*), sum(unreadable)::BIGINT FROM _archives WHERE origin = 'file'") == [
            (files, 0)
        ]


@pytest.mark.parametrize("first", ["archives", "messages runs"], ids=["archives first", "API first"])
def test_the_order_in_which_api_and_archives_come_makes_no_difference(real: Real, tmp_path: Path, first: str) -> None:
    for streams in (first.split(), ["archives", "messages", "runs"]):
        assert not real.sync(tmp_path / "lake", *streams).failed
    for stream in ARCHIVED:
        query = f"SELECT * EXCLUDE synced_on FROM {stream} ORDER BY ALL"
        with Lake.open(real.lake) as one, Lake.open(tmp_path / "lake") as other:
            assert one.rows(query) == other.rows(query)


def test_deleted_contacts_are_tombstones(real: Real) -> None:
    expected = {row["uuid"]: row["modified_on"] for row in dumped_rows(real.dump, "contacts_deleted")}
    with Lake.open(real.lake) as lake:
        found = dict(lake.rows("SELECT uuid::VARCHAR, epoch_us(deleted_on) FROM contacts WHERE deleted_on IS NOT NULL"))
    assert found == {key: _microseconds(at) for key, at in expected.items()}


def test_a_second_sync_asks_for_next_to_nothing_and_writes_no_row(real: Real) -> None:
    real.sandbox.requests.clear()
    again = {stream.stream: stream for stream in real.sync(real.lake).streams}
    assert {
        name: one.tally.rows_new + one.tally.rows_changed + one.tally.rows_deleted for name, one in again.items()
    } == dict.fromkeys(again, 0)
    assert not [seen for seen in real.sandbox.requests if seen.endpoint == "files"]
    pages = {"flows": 2, "groups": 2, "fields": 2, "archives": 1, "workspace": 0, "definitions": 0}
    for name, one in again.items():
        assert one.tally.counters.requests <= (3 if name in LARGE else pages.get(name, 1)), name


def _expected(dump: Path, stream: str) -> dict[Any, dict[str, Any]]:
    """The rows of the dump; of messages and runs also those of its archives."""
    if stream in ARCHIVED:
        return expected_union(stream, dumped_rows(dump, stream), archived_records(dump, ARCHIVED[stream]), LANGUAGES)
    return expected_rows(stream, dumped_rows(dump, stream), LANGUAGES)


def _microseconds(at: str) -> int:
    return int(duckdb.execute("SELECT epoch_us(?::TIMESTAMPTZ)", [at]).fetchall()[0][0])
