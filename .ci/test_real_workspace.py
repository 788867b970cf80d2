"""Holds a sync of a real workspace against an independent reading of its dump and archives: every value, every view."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.report import write_report
from tests.lakes import LANGUAGES, stored
from tests.real import Real
from tests.truth import archived_records, assert_same, dumped_rows, expected_rows, expected_union
from warehouse import Lake, refresh_views

COUNTS = {
    "messages": 28144, "contacts": 5200, "runs": 12100, "tickets": 800, "broadcasts": 700, "channel_events": 700,
    "resthook_events": 600, "flow_starts": 500, "flows": 262, "groups": 261, "fields": 260, "archives": 278,
    "definitions": 262, "campaigns": 3, "campaign_events": 40, "channels": 7, "classifiers": 2, "globals": 20,
    "labels": 26, "optins": 3, "resthooks": 3, "resthook_subscribers": 6, "templates": 3, "topics": 4, "users": 6,
    "workspace": 1, "statistics": 0,
}  # fmt: skip
LARGE = {"contacts", "messages", "runs"}
ARCHIVED = {"messages": "message", "runs": "run"}
PLACES = {"state": ("country", "state"), "district": ("country", "state", "district"),
          "ward": ("country", "state", "district", "ward")}  # fmt: skip
FLOWS = ("feedback", "long_survey", "sondage_ete")


@pytest.fixture(scope="module")
def lake(real: Real) -> Iterator[Lake]:
    """The lake of the dump, open for reading."""
    with Lake.open(real.lake) as opened:
        yield opened


# -- rows --


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


def test_archives_that_come_before_the_api_make_no_difference(real: Real, tmp_path: Path) -> None:
    for streams in (["archives"], ["messages", "runs"]):
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
    pages = {"flows": 2, "groups": 2, "fields": 2, "archives": 1, "definitions": 0}
    for name, one in again.items():
        assert one.tally.counters.requests <= (3 if name in LARGE else pages.get(name, 1)), name


# -- views, computed without the product's SQL --


def test_every_view_can_be_selected_whole(lake: Lake) -> None:
    views = lake.rows("SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = 'lake' AND NOT internal")
    assert len(views) > 290
    with lake.connection() as connection:
        for schema, view in views:
            connection.execute(f"""CREATE OR REPLACE TEMP TABLE whole AS FROM {schema}."{view}" """)


def test_contacts_wide_has_every_value_of_every_field_in_its_type(lake: Lake, real: Real) -> None:
    fields = {row["key"]: row["type"] for row in dumped_rows(real.dump, "fields")}
    found = {row["contact_uuid"]: row for row in _rows(lake, "SELECT * FROM contacts_wide")}
    contacts = dumped_rows(real.dump, "contacts")
    assert set(found) == {row["uuid"] for row in contacts}
    for contact in contacts:
        row = found[contact["uuid"]]
        assert row["contact_name"] == contact["name"]
        assert row["group_names"] == ", ".join(group["name"] for group in contact["groups"])
        not_parsed = {}
        for key, kind in fields.items():
            written = contact["fields"][key]
            for column, value in _typed(key, kind, written).items():
                assert row[column] == value, (contact["uuid"], column, written)
            if written is not None and row[key] is None:
                not_parsed[key] = written
        assert row["not_parsed"] == not_parsed


@pytest.mark.parametrize("view", FLOWS)
def test_the_view_of_a_flow_has_every_run_and_every_result_it_ever_had(lake: Lake, real: Real, view: str) -> None:
    flow = lake.rows(f"SELECT flow_uuid::VARCHAR FROM dim_flows WHERE results_view = '{view}'")[0][0]
    runs = expected_union(
        "runs", dumped_rows(real.dump, "runs"), archived_records(real.dump, "run"), ["eng", "fra", "kin"]
    )
    expected = {str(key): run for key, run in runs.items() if str(run["flow_uuid"]) == flow}
    gone = {row["uuid"] for row in dumped_rows(real.dump, "contacts_deleted")}
    expected = {key: run for key, run in expected.items() if str(run["contact_uuid"]) not in gone}
    keys = {key for run in expected.values() for key in run["results"] or {}}
    assert keys
    found = {row["run_uuid"]: row for row in _rows(lake, f"SELECT * FROM results.{view}")}
    assert set(found) == set(expected)
    for uuid, run in expected.items():
        for key in keys:
            result = (run["results"] or {}).get(key) or {}
            for part in ("value", "category", "input"):
                assert found[uuid][f"{key}_{part}"] == result.get(part), (uuid, key)
            assert found[uuid][f"{key}_time"] == (_utc(result["time"]) if result else None)


def test_flows_of_one_name_have_views_of_their_own_and_every_view_is_one_flow(lake: Lake) -> None:
    views = lake.rows("SELECT count(*), count(DISTINCT results_view), count(DISTINCT flow_uuid) FROM dim_flows")
    assert views == [(263, 263, 263)]  # those listed, and a deleted one that has runs


def test_a_look_after_nothing_changed_writes_nothing(lake: Lake) -> None:
    before = lake.rows("SELECT max(snapshot_id) FROM ducklake_snapshots('lake')")
    with Lake.create(lake.path) as writing:
        assert refresh_views(writing) == 0
        assert writing.rows("SELECT max(snapshot_id) FROM ducklake_snapshots('lake')") == before


def test_the_report_can_be_made(lake: Lake, tmp_path: Path) -> None:
    write_report(lake, tmp_path / "report.html")
    assert "«Test» Workspace</h1>" in (tmp_path / "report.html").read_text("utf-8")


# -- helpers --


def _expected(dump: Path, stream: str) -> dict[Any, dict[str, Any]]:
    """The rows of the dump; of messages and runs also those of its archives."""
    if stream in ARCHIVED:
        return expected_union(stream, dumped_rows(dump, stream), archived_records(dump, ARCHIVED[stream]), LANGUAGES)
    return expected_rows(stream, dumped_rows(dump, stream), LANGUAGES)


def _microseconds(at: str) -> int:
    return int(duckdb.execute("SELECT epoch_us(?::TIMESTAMPTZ)", [at]).fetchall()[0][0])


def _typed(key: str, kind: str, written: str | None) -> dict[str, Any]:
    """The columns of a field, and their values as Python reads the text."""
    if kind == "number":
        return {key: None if written is None else Decimal(written)}
    if kind == "datetime":
        return {key: None if written is None else _utc(written)}
    if kind in PLACES:
        levels = written.split(" > ") if written else []
        names = [key if level == kind else f"{key}_{level}" for level in PLACES[kind]]
        return dict(zip(names, levels if len(levels) == len(names) else [None] * len(names), strict=True))
    return {key: written}


def _utc(written: Any) -> datetime:
    return (written if isinstance(written, datetime) else datetime.fromisoformat(str(written))).astimezone(UTC)


def _rows(lake: Lake, query: str) -> list[dict[str, Any]]:
    with lake.connection() as connection:
        cursor = connection.execute(query)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, map(_plain, row), strict=True)) for row in cursor.fetchall()]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return str(value) if type(value).__name__ == "UUID" else value
