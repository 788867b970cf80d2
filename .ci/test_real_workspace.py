"""Holds a sync of a real workspace against an independent reading of its dump and archives, value by value."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.progress import Quiet
from pipeline.results import SyncResult
from pipeline.sandbox import Sandbox, Workspace
from pipeline.settings import load_settings
from pipeline.sync import choose, sync
from tests.truth import assert_same, expected_rows, expected_union, stored_rows
from warehouse import Lake

DUMP = Path(__file__).parents[2] / "shared" / "workspace-a"
COUNTS = {
    "messages": 28144, "contacts": 5200, "runs": 12100, "tickets": 800, "broadcasts": 700, "channel_events": 700,
    "resthook_events": 600, "flow_starts": 500, "flows": 262, "groups": 261, "fields": 260, "archives": 278,
    "definitions": 262, "campaigns": 3, "campaign_events": 40, "channels": 7, "classifiers": 2, "globals": 20,
    "labels": 26, "optins": 3, "resthooks": 3, "resthook_subscribers": 6, "templates": 3, "topics": 4, "users": 6,
    "workspace": 1, "statistics": 0,
}  # fmt: skip
LARGE = {"contacts", "messages", "runs"}
ARCHIVED = {"messages": "message", "runs": "run"}
LANGUAGES = ["eng", "fra", "kin"]


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, SyncResult, Path]]:
    """The dump, served and synced once."""
    folder = tmp_path_factory.mktemp("real")
    with Workspace.load(DUMP) as workspace, Sandbox(workspace) as sandbox:
        yield sandbox, _sync(sandbox, folder / "lake"), folder / "lake"


def test_every_table_has_exactly_the_rows_of_the_dump(synced: tuple[Sandbox, SyncResult, Path]) -> None:
    _, result, path = synced
    assert not result.failed
    assert all(stream.message is None or stream.outcome == "not offered" for stream in result.streams)
    with Lake.open(path) as lake:
        counts = {
            stream: lake.rows(f'SELECT count(*) FROM "{stream}" WHERE deleted_on IS NULL')[0][0] for stream in COUNTS
        }
        assert counts == COUNTS
        assert lake.rows("SELECT count(*) FROM contacts WHERE deleted_on IS NOT NULL") == [(700,)]
        assert lake.rows("SELECT count(*) FROM _quarantine") == [(0,)]
        assert lake.rows("SELECT count(*) FROM _drift WHERE kind = 'unknown'") == [(0,)]


@pytest.mark.parametrize("stream", [stream for stream in COUNTS if stream not in ("definitions", "statistics")])
def test_every_value_of_every_row_is_the_dumps(synced: tuple[Sandbox, SyncResult, Path], stream: str) -> None:
    _, _, path = synced
    with Lake.open(path) as lake, lake.connection() as connection:
        assert_same(stream, stored_rows(connection, stream), _expected(stream))


def test_archives_bring_what_the_api_no_longer_has(synced: tuple[Sandbox, SyncResult, Path]) -> None:
    _, _, path = synced
    with Lake.open(path) as lake:
        for stream, kind in ARCHIVED.items():
            key = "id" if stream == "messages" else "uuid"
            archived = {str(record[key]) for record in _records(kind)}
            assert archived - {str(row[key]) for row in _dump(stream)}
            named = lake.rows(
                f"SELECT {key}::VARCHAR FROM {stream} WHERE archived_in IS NOT NULL AND source = 'archive'"
            )
            assert {found for (found,) in named} == archived
            assert lake.rows(f"SELECT sum(rows)::BIGINT FROM _archives WHERE archive_type = '{kind}'") == [
                (len(archived),)
            ]
        files = sum(1 for row in _dump("archives") if row["record_count"])
        assert lake.rows("SELECT count(*), sum(unreadable)::BIGINT FROM _archives WHERE origin = 'file'") == [
            (files, 0)
        ]


@pytest.mark.parametrize("first", ["archives", "messages runs"], ids=["archives first", "API first"])
def test_the_order_in_which_api_and_archives_come_makes_no_difference(
    synced: tuple[Sandbox, SyncResult, Path], tmp_path: Path, first: str
) -> None:
    sandbox, _, path = synced
    for streams in (first.split(), ["archives", "messages", "runs"]):
        assert not _sync(sandbox, tmp_path / "lake", *streams).failed
    for stream in ARCHIVED:
        query = f"SELECT * EXCLUDE synced_on FROM {stream} ORDER BY ALL"
        with Lake.open(path) as one, Lake.open(tmp_path / "lake") as other:
            assert one.rows(query) == other.rows(query)


def test_deleted_contacts_are_tombstones(synced: tuple[Sandbox, SyncResult, Path]) -> None:
    _, _, path = synced
    expected = {row["uuid"]: row["modified_on"] for row in _dump("contacts_deleted")}
    with Lake.open(path) as lake:
        found = dict(lake.rows("SELECT uuid::VARCHAR, epoch_us(deleted_on) FROM contacts WHERE deleted_on IS NOT NULL"))
    assert found == {key: _microseconds(at) for key, at in expected.items()}


def test_a_second_sync_asks_for_next_to_nothing_and_writes_no_row(synced: tuple[Sandbox, SyncResult, Path]) -> None:
    sandbox, _, path = synced
    sandbox.requests.clear()
    again = {stream.stream: stream for stream in _sync(sandbox, path).streams}
    assert {
        name: one.tally.rows_new + one.tally.rows_changed + one.tally.rows_deleted for name, one in again.items()
    } == dict.fromkeys(again, 0)
    assert not [seen for seen in sandbox.requests if seen.endpoint == "files"]
    pages = {"flows": 2, "groups": 2, "fields": 2, "archives": 1, "workspace": 0, "definitions": 0}
    for name, one in again.items():
        assert one.tally.counters.requests <= (3 if name in LARGE else pages.get(name, 1)), name


def _sync(sandbox: Sandbox, lake: Path, *streams: str) -> SyncResult:
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake)
    return sync(settings, choose(streams), Quiet())


def _expected(stream: str) -> dict[Any, dict[str, Any]]:
    """The rows of the dump; of messages and runs also those of its archives."""
    if stream in ARCHIVED:
        return expected_union(stream, _dump(stream), _records(ARCHIVED[stream]), LANGUAGES)
    return expected_rows(stream, _dump(stream), LANGUAGES)


def _records(archive_type: str) -> list[dict[str, Any]]:
    """What all archive files of a type hold."""
    files = (DUMP / "archives").glob(f"{archive_type}_*.jsonl.gz")
    return [json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]


def _dump(stream: str) -> list[dict[str, Any]]:
    with gzip.open(DUMP / f"{stream}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _microseconds(at: str) -> int:
    return int(duckdb.execute("SELECT epoch_us(?::TIMESTAMPTZ)", [at]).fetchall()[0][0])
