"""What is told of a sync adds up: every row that was read is new, changed, equal, double or unreadable."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from pipeline.results import SyncResult
from pipeline.settings import load_settings
from sandbox import Sandbox, Workspace, archive_old_rows, generate
from tests.lakes import rows
from tests.sessions import sync

NOW = datetime(2025, 6, 15, 12, tzinfo=UTC)
ENDS = ("rows_new", "rows_changed", "rows_equal", "rows_double", "rows_unreadable")
# One of each way of reading, and those with most rows.
STREAMS = [
    "workspace",
    "contacts",
    "messages",
    "runs",
    "tickets",
    "archives",
    "labels",
    "fields",
    "flows",
    "definitions",
]


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """More rows than a page has, some days in archives, and 300 runs and contacts of one timestamp."""
    with generate(messages=600, contacts=320, runs=320, seed=3, archives=False, now=NOW) as generated:
        generated.offer("archives")
        archive_old_rows(generated, date(2025, 3, 20), purge=False)
        for stream in ("runs", "contacts"):
            generated.edit(stream, 300, at=NOW, same_timestamp=True)
        yield generated


def test_rows_read_are_what_became_of_them_in_every_stream_and_every_sync(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, lag=0, requests_per_hour=0)

    def synced() -> SyncResult:
        result = sync(settings, STREAMS)
        for one in result.streams:
            assert one.outcome in ("done", "not offered"), (one.stream, one.message)
            tally = one.tally
            assert tally.rows_read == sum(getattr(tally, end) for end in ENDS), (one.stream, one.facts())
        return result

    first = {one.stream: one.tally for one in synced().streams}
    assert first["archives"].files
    assert {stream for stream in ("messages", "runs", "contacts") if first[stream].rows_double} == {
        "messages", "runs", "contacts",
    }  # fmt: skip
    workspace.edit("messages", 5, changes={"text": "edited"})
    workspace.edit("contacts", 20)
    workspace.edit("runs", 270, same_timestamp=True)
    workspace.edit("contacts", 1, changes={"groups": "none"})
    workspace.put("labels", {"uuid": "odd", "name": "Odd", "count": 0})
    second = {one.stream: one.tally for one in synced().streams}
    assert [second[stream].rows_unreadable for stream in ("contacts", "labels", "messages")] == [1, 1, 0]
    assert second["runs"].rows_changed == 270
    noted = rows(
        lake, f"SELECT stream, rows_read, {', '.join(ENDS)}, rows_quarantined FROM _sync WHERE outcome = 'done'"
    )
    assert len(noted) == 2 * len(STREAMS)
    assert [row for row in noted if row[1] != sum(row[2:7])] == []
    assert sum(row[7] for row in noted) == len(rows(lake, "FROM _quarantine")) == 2
