"""The SQL behind checks and statistics, each question at both sides of what it tells apart."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from statistics import median

import duckdb
import pytest

from pipeline.streams import STREAMS
from tests.lakes import new_lake
from warehouse import Lake
from warehouse.proof.counted import Uncounted, compare_statistics
from warehouse.proof.trust import (
    count_double_keys,
    count_orphans,
    count_quarantined,
    find_drift,
    last_verification,
    volume_of,
)

ONE, TWO = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
DAY = date(2026, 6, 17)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake in which each test fills tables that no other uses."""
    with Lake.create(new_lake(tmp_path_factory.mktemp("answers") / "lake")) as lake:
        yield lake


def test_days_with_more_messages_by_the_servers_count_than_in_the_lake(lake: Lake) -> None:
    messages = [  # (day, channel, direction, deleted)
        ("2026-03-01T23:59:59Z", ONE, "in", False),
        ("2026-03-02T00:00:00Z", ONE, "in", False), ("2026-03-02T23:59:59Z", ONE, "in", True),
        ("2026-03-02T12:00:00Z", ONE, "out", False), ("2026-03-02T12:00:00Z", TWO, "out", False),
        ("2026-03-03T12:00:00Z", ONE, "in", False),
    ]  # fmt: skip
    counts = {  # day → channel → text in, text out, voice in, voice out
        "2026-03-01": {ONE: (9, 9, 9, 9)},
        "2026-03-02": {ONE: (2, 1, 1, 1), TWO: (0, 1, 0, 0)},
        "2026-03-03": {ONE: (0, 0, 1, 0), TWO: (0, 1, 0, 2)},
        "2026-03-04": {ONE: (1, 0, 0, 0)},
        "2026-03-05": {ONE: (9, 9, 9, 9)},
    }
    channels = {day: f"MAP {{{', '.join(map(counted, of_day.items()))}}}" for day, of_day in counts.items()}
    insert(lake, "channels (uuid, name, synced_on, source)", f"('{ONE}', 'One', now(), 'api')")
    insert(
        lake,
        "messages (id, created_on, channel_uuid, direction, deleted_on, synced_on, source)",
        *(
            f"({number}, '{at}', '{channel}', '{way}', {'now()' if gone else 'NULL'}, now(), 'api')"
            for number, (at, channel, way, gone) in enumerate(messages)
        ),
    )
    insert(
        lake,
        "statistics (date, channels, synced_on, source)",
        *(f"('{day}', {each}, now(), 'api')" for day, each in channels.items()),
    )
    watermark(lake, "messages", "2026-03-06T10:00:00Z")
    with lake.connection() as connection:
        found = compare_statistics(connection)
    assert found == [
        Uncounted(date(2026, 3, 2), ONE, "in", 3, 2),
        Uncounted(date(2026, 3, 2), ONE, "out", 2, 1),
        Uncounted(date(2026, 3, 3), TWO, "out", 3, 0),
        Uncounted(date(2026, 3, 4), ONE, "in", 1, 0),
    ]


def test_the_volume_of_a_day_and_its_week_against_what_is_usual(lake: Lake) -> None:
    table = STREAMS["runs"].table
    assert (volume_of(lake, table, DAY).rows, volume_of(lake, table, DAY).weeks) == (0, 0)
    counts = {back: (back * back + 5) % 23 + back // 14 for back in range(60) if back % 11}  # some days have none
    counts[0] = 17
    rows = [
        f"(uuid(), '{at.isoformat()}', now(), 'api')"
        for back, number in {-1: 5, **counts, 63: 40}.items()
        for each in range(number)
        for at in [
            datetime.combine(DAY - timedelta(days=back), datetime.min.time(), UTC)
            + (timedelta(days=1, microseconds=-1) if each % 2 else timedelta(0))
        ]
    ]
    insert(lake, "runs (uuid, created_on, synced_on, source)", *rows)
    found = volume_of(lake, table, DAY)
    daily = [counts.get(back, 0) for back in range(63)]
    weeks = [sum(daily[week * 7 : week * 7 + 7]) for week in range(9)]
    assert (found.day, found.rows, found.usual) == (DAY, daily[0], median(daily[7::7]))
    assert (found.week, found.usual_week) == (weeks[0], median(weeks[1:5]))
    assert found.weeks == max(back for back, number in counts.items() if number) // 7


def test_orphans_are_live_rows_of_the_api_read_before_contacts_that_were_read_from_their_beginning(lake: Lake) -> None:
    table = STREAMS["tickets"].table
    insert(lake, "contacts (uuid, deleted_on, synced_on, source)", f"('{ONE}', now(), now(), 'api')")
    rows = [
        (ONE, "NULL", "api", "2026-05-01T00:00:00Z"),
        (TWO, "NULL", "api", "2026-05-01T00:00:00Z"),
        (TWO, "NULL", "api", "2026-05-01T23:59:59Z"),
        (TWO, "NULL", "api", "2026-05-02T00:00:00Z"),
        (TWO, "now()", "api", "2026-05-01T00:00:00Z"),
        (TWO, "NULL", "archive", "2026-05-01T00:00:00Z"),
    ]
    insert(
        lake,
        "tickets (uuid, contact_uuid, deleted_on, source, synced_on)",
        *(f"(uuid(), '{who}', {gone}, '{source}', '{at}')" for who, gone, source, at in rows),
    )
    assert count_orphans(lake, table) == 0  # contacts were never read
    watermark(lake, "contacts", "2026-05-02T00:00:00Z", complete_from="'2026-01-01T00:00:00Z'")
    assert count_orphans(lake, table) == 0  # not all of them
    watermark(lake, "contacts", "2026-05-02T00:00:00Z")
    assert count_orphans(lake, table) == 2


def test_keys_that_stand_more_than_once_and_rows_that_could_not_be_read_are_counted_by_stream(lake: Lake) -> None:
    table = STREAMS["labels"].table
    insert(
        lake, "labels (uuid, name, synced_on, source)", f"('{ONE}', 'a', now(), 'api')", f"('{TWO}', 'a', now(), 'api')"
    )
    assert count_double_keys(lake, table) == 0
    insert(lake, "labels (uuid, name, synced_on, source)", f"('{ONE}', 'b', now(), 'api')")
    assert count_double_keys(lake, table) == 1
    insert(
        lake,
        "_quarantine",
        *(f"('{stream}', '{n}', 'r', '{{}}', 'api', now(), NULL, NULL, NULL, NULL)" for n, stream in enumerate("aab")),
    )
    assert [count_quarantined(lake, stream) for stream in "abc"] == [2, 1, 0]


def test_drift_is_what_was_first_seen_since_a_time_and_missing_only_after_the_lakes_first_day(lake: Lake) -> None:
    lake.commit(lambda connection: connection.execute("UPDATE _lake SET created_on = '2026-04-01T12:00:00Z'"))
    seen = [
        ("flows", "old", "unknown", "2026-04-09T23:59:59Z"), ("flows", "new", "unknown", "2026-04-10T00:00:00Z"),
        ("flows", "b", "unknown", "2026-04-11T00:00:00Z"), ("flows", "never", "missing", "2026-04-02T12:00:00Z"),
        ("flows", "gone", "missing", "2026-04-02T12:00:01Z"), ("groups", "other", "unknown", "2026-04-12T00:00:00Z"),
        ("flows", "at once", "unknown", "2026-04-01T12:00:01Z"),
    ]  # fmt: skip
    insert(lake, "_drift", *map(str, seen))
    drift = find_drift(lake, "flows", datetime(2026, 4, 10, tzinfo=UTC))
    assert (drift.unknown, drift.missing) == (("b", "new"), ())
    drift = find_drift(lake, "flows", datetime(2026, 4, 1, tzinfo=UTC))
    assert (drift.unknown, drift.missing) == (("at once", "b", "new", "old"), ("gone",))


def test_the_last_verification_is_summed_over_its_streams_and_kinds(lake: Lake) -> None:
    assert last_verification(lake) is None
    rows = [
        (ONE, "2026-07-02T10:00:00Z", "messages", 10, 1, 2, 4, 8, 16, 100),
        (ONE, "2026-07-02T10:05:00Z", "runs", 20, 0, 0, 0, 0, 32, 0),
        (TWO, "2026-07-01T10:00:00Z", "messages", 99, 9, 9, 9, 9, 9, 9),
    ]
    insert(
        lake,
        "_verification",
        *(
            f"('{run}', '{at}', '{stream}', NULL, {', '.join(map(str, numbers))}, [], NULL, NULL)"
            for run, at, stream, *numbers in rows
        ),
    )
    last = last_verification(lake)
    assert last is not None
    assert (last.at, last.compared, last.differences) == (datetime(2026, 7, 2, 10, 5, tzinfo=UTC), 30, 63)


def counted(entry: tuple[str, tuple[int, ...]]) -> str:
    channel, numbers = entry
    parts = zip(("text_in", "text_out", "voice_in", "voice_out"), numbers, strict=True)
    return f"'{channel}'::UUID: {{type: 'T', {', '.join(f'{name}: {number}' for name, number in parts)}}}"


def insert(lake: Lake, table: str, *rows: str) -> None:
    lake.commit(lambda connection: connection.execute(f"INSERT INTO {table} VALUES {', '.join(rows)}"))


def watermark(lake: Lake, stream: str, at: str, *, complete_from: str = "NULL") -> None:
    def write(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(f"DELETE FROM _cursor WHERE stream = '{stream}'")
        connection.execute(
            "INSERT INTO _cursor (stream, feed, watermark, complete_from, updated_on) "
            f"VALUES ('{stream}', 'rows', '{at}', {complete_from}, now())"
        )

    lake.commit(write)
