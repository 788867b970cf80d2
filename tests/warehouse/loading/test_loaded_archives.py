"""The account of archive files: which are wanted, which are adopted, and whose rows have moved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import duckdb
import pytest

from pipeline.streams import STREAMS
from tests.lakes import new_lake
from warehouse import ArchiveKey, Lake, adopt_monthly_files, archives_to_load, note_archive
from warehouse.lake import clock
from warehouse.loading.loaded_archives import note_moved_rows

RUNS = STREAMS["runs"].table


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with Lake.create(new_lake(tmp_path_factory.mktemp("account") / "lake")) as made:
        yield made


@pytest.fixture
def connection(lake: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty lake, in a transaction that is undone."""
    with lake.connection() as connection:
        connection.begin()
        clock.tell(connection)
        yield connection
        connection.rollback()


def list_file(
    connection: duckdb.DuckDBPyConnection, period: str, day: str, *, records: int = 10, kind: str = "run",
    digest: str | None = "new", gone: bool = False,
) -> None:  # fmt: skip
    """Put a file on the server's list."""
    connection.execute(
        "INSERT INTO archives (archive_type, period, start_date, record_count, hash, size, deleted_on) "
        "VALUES (?, ?, ?, ?, ?, 99, CASE WHEN ? THEN now() END)",
        [kind, period, day, records, digest, gone],
    )


def note(
    connection: duckdb.DuckDBPyConnection, period: str, day: str, *, records: int = 10, rows: int = 10,
    unreadable: int = 0, kind: str = "run", digest: str = "new",
) -> None:  # fmt: skip
    """Put a file on the account of what is loaded."""
    connection.execute(
        "INSERT INTO _archives (archive_type, period, start_date, hash, size, record_count, rows, unreadable, origin, "
        "loaded_on) VALUES (?, ?, ?, ?, 99, ?, ?, ?, 'file', now())",
        [kind, period, day, digest, records, rows, unreadable],
    )


def account(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT archive_type, period, start_date::VARCHAR, record_count, rows, unreadable, origin FROM _archives "
        "ORDER BY ALL"
    ).fetchall()


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("daily", date(2026, 2, 28), date(2026, 3, 1)),
        ("monthly", date(2026, 12, 1), date(2027, 1, 1)),
        ("daily", date(9999, 12, 31), date.max),
        ("monthly", date(9999, 12, 1), date.max),
    ],
)
def test_a_file_ends_before_the_day_after_its_last_or_with_all_that_python_knows(
    period: str, start: date, end: date
) -> None:
    assert ArchiveKey("message", period, start).end_date == end


def wanted(connection: duckdb.DuckDBPyConnection, *, again: bool = False) -> list[str]:
    return [str(key) for key in archives_to_load(connection, again=again)]


# -- which are wanted --


def test_files_are_wanted_newest_first_that_are_new_or_have_another_hash(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    list_file(connection, "daily", "2025-03-01")
    list_file(connection, "daily", "2025-03-03")
    list_file(connection, "daily", "2025-03-03", kind="message")
    list_file(connection, "monthly", "2025-01-01")
    list_file(connection, "daily", "2025-03-02")
    note(connection, "daily", "2025-03-02")
    note(connection, "daily", "2025-03-01", digest="old")
    note(connection, "daily", "2025-03-03", kind="run", digest="new")
    assert wanted(connection) == ["message 2025-03-03", "run 2025-03-01", "run 2025-01"]
    assert wanted(connection, again=True) == [
        "message 2025-03-03", "run 2025-03-03", "run 2025-03-02", "run 2025-03-01", "run 2025-01",
    ]  # fmt: skip


def test_files_without_records_or_content_and_those_off_the_list_are_not_wanted(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    list_file(connection, "daily", "2025-03-01", records=0)
    list_file(connection, "daily", "2025-03-02", digest=None)
    list_file(connection, "daily", "2025-03-03", gone=True)
    assert wanted(connection) == wanted(connection, again=True) == []


def test_days_that_are_listed_beside_their_month_are_wanted_as_others_are(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    for day in ("2025-02-28", "2025-03-01", "2025-03-31", "2025-04-01"):
        list_file(connection, "daily", day)
    list_file(connection, "daily", "2025-03-05", kind="message")
    note(connection, "monthly", "2025-03-01")
    note(connection, "daily", "2025-03-31")
    assert wanted(connection) == ["run 2025-04-01", "message 2025-03-05", "run 2025-03-01", "run 2025-02-28"]


# -- which are adopted --


def test_a_month_of_as_many_records_as_its_days_is_adopted_with_what_they_had(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    for day, unreadable in (("2025-03-01", 0), ("2025-03-09", 2), ("2025-03-31", 1)):
        note(connection, "daily", day, records=10, rows=10 - unreadable, unreadable=unreadable)
    note(connection, "daily", "2025-04-01")
    note(connection, "daily", "2025-03-01", kind="message")
    list_file(connection, "monthly", "2025-03-01", records=30)
    list_file(connection, "monthly", "2025-04-01", records=9)
    assert adopt_monthly_files(connection) == 1
    assert account(connection) == [
        ("message", "daily", "2025-03-01", 10, 10, 0, "file"),
        ("run", "daily", "2025-04-01", 10, 10, 0, "file"),
        ("run", "monthly", "2025-03-01", 30, 27, 3, "daily files"),
    ]
    assert wanted(connection) == ["run 2025-04"]
    assert adopt_monthly_files(connection) == 0


@pytest.mark.parametrize(("records", "gone"), [(31, False), (29, False), (30, True)])
def test_a_month_of_other_records_or_off_the_list_is_not_adopted(
    records: int, gone: bool, connection: duckdb.DuckDBPyConnection
) -> None:
    for day in ("2025-03-01", "2025-03-09", "2025-03-31"):
        note(connection, "daily", day)
    list_file(connection, "monthly", "2025-03-01", records=records, gone=gone)
    before = account(connection)
    assert adopt_monthly_files(connection) == 0
    assert account(connection) == before


def test_a_month_that_was_loaded_is_not_adopted_over_it(connection: duckdb.DuckDBPyConnection) -> None:
    note(connection, "monthly", "2025-03-01", records=10, digest="old")
    note(connection, "daily", "2025-03-02", records=10)
    list_file(connection, "monthly", "2025-03-01", records=10)
    assert adopt_monthly_files(connection) == 0
    assert wanted(connection) == ["run 2025-03"]


# -- what is noted --


def add_runs(connection: duckdb.DuckDBPyConnection, *days: str) -> None:
    for day in days:
        connection.execute(
            "INSERT INTO runs (uuid, created_on, archived_in, source, synced_on) "
            f"VALUES (uuid(), '{day} 08:00:00Z', '{day}', 'archive', now())"
        )


def test_a_month_takes_the_place_of_its_own_days_and_counts_the_rows_of_all_of_them(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    add_runs(connection, "2025-02-28", "2025-03-01", "2025-03-31", "2025-04-01")
    for day in ("2025-02-28", "2025-03-01", "2025-03-31", "2025-04-01"):
        note(connection, "daily", day, rows=1)
    note(connection, "daily", "2025-03-01", kind="message")
    key = ArchiveKey("run", "monthly", date(2025, 3, 1))
    note_archive(connection, RUNS, key, digest="h", size=9, record_count=3, unreadable=1)
    assert account(connection) == [
        ("message", "daily", "2025-03-01", 10, 10, 0, "file"),
        ("run", "daily", "2025-02-28", 10, 1, 0, "file"),
        ("run", "daily", "2025-04-01", 10, 1, 0, "file"),
        ("run", "monthly", "2025-03-01", 3, 2, 1, "file"),
    ]


def test_a_day_that_is_loaded_again_takes_only_its_own_place(connection: duckdb.DuckDBPyConnection) -> None:
    add_runs(connection, "2025-12-31", "2026-01-01")
    for day in ("2025-12-31", "2026-01-01"):
        note(connection, "daily", day, rows=7)
    key = ArchiveKey("run", "daily", date(2025, 12, 31))
    note_archive(connection, RUNS, key, digest="h", size=9, record_count=4, unreadable=0)
    assert account(connection) == [
        ("run", "daily", "2025-12-31", 4, 1, 0, "file"),
        ("run", "daily", "2026-01-01", 10, 7, 0, "file"),
    ]


@pytest.mark.parametrize(
    ("day", "after"),
    [("2025-01-31", date(2025, 2, 1)), ("2025-12-31", date(2026, 1, 1)), ("2024-02-28", date(2024, 2, 29))],
)
def test_a_day_ends_with_the_next_one_and_a_month_with_the_next_month(day: str, after: date) -> None:
    start = date.fromisoformat(day)
    assert ArchiveKey("run", "daily", start).end_date == after
    month = ArchiveKey("run", "monthly", start.replace(day=1))
    assert month.end_date == date(start.year + start.month // 12, start.month % 12 + 1, 1)


def test_rows_that_moved_to_another_file_are_taken_off_the_account_of_the_day_or_the_month_that_had_them(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    note(connection, "monthly", "2025-02-01", rows=10)
    note(connection, "daily", "2025-03-05", rows=10)
    note(connection, "daily", "2025-03-06", rows=10)
    note(connection, "daily", "2025-03-05", rows=10, kind="message")
    moves = [("2025-02-14", "2025-03-06"), ("2025-02-20", "2025-03-06"), ("2025-03-05", "2025-03-06"),
             ("2025-03-06", "2025-03-06"), (None, "2025-03-06")]  # fmt: skip
    for name, columns in (("known", 0), ("changed", 1)):
        values = ", ".join(
            f"('00000000-0000-4000-8000-00000000000{number}'::UUID, {literal(move[columns])}::DATE)"
            for number, move in enumerate(moves)
        )
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM (VALUES {values}) AS moved(uuid, archived_in)"
        )
    note_moved_rows(connection, RUNS)
    assert [(kind, period, day, rows) for kind, period, day, _, rows, *_ in account(connection)] == [
        ("message", "daily", "2025-03-05", 10),
        ("run", "daily", "2025-03-05", 9),
        ("run", "daily", "2025-03-06", 10),
        ("run", "monthly", "2025-02-01", 8),
    ]


def literal(day: str | None) -> str:
    return f"'{day}'" if day else "NULL"
