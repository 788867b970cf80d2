"""The lake as a place: made, opened, refused, moved, upgraded, shared by readers and writers."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from filelock import FileLock

from pipeline.streams import STREAMS
from tests import processes
from tests.lakes import new_lake
from warehouse import (
    Cursor,
    Lake,
    LakeBusy,
    LakeError,
    LakeIsNewer,
    LakeNotFound,
    LakeRefused,
    LakeStopped,
    LakeUnwritable,
    OpenWalk,
    RapidlakeError,
    merge,
    read_cursors,
    save_cursor,
    stage,
)
from warehouse.errors import LocksRefused
from warehouse.lake.failures import explain


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with 300 contacts, to be copied."""
    path = tmp_path_factory.mktemp("pattern") / "lake"
    with Lake.create(path) as lake:
        add_contacts(lake, 300)
    return path


@pytest.fixture
def path(pattern: Path, tmp_path: Path) -> Path:
    """A lake with 300 contacts."""
    shutil.copytree(pattern, tmp_path / "lake")
    return tmp_path / "lake"


@pytest.fixture(scope="module")
def shared(pattern: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("shared") / "lake"
    shutil.copytree(pattern, folder)
    with Lake.create(folder) as lake:
        yield lake


@pytest.fixture
def lake(shared: Lake) -> Iterator[Lake]:
    """A lake with 300 contacts, which stay, and no cursor."""
    yield shared
    shared.commit(lambda connection: connection.execute("DELETE FROM _cursor"))
    assert contacts(shared) == 300


def add_contacts(lake: Lake, count: int, first: int = 0) -> None:
    common = {"language": "eng", "modified_on": "2026-03-01T00:00:00Z"}
    rows = [{"uuid": f"{number:08}-0000-4000-8000-000000000000", **common} for number in range(count)]
    file = lake.spool / "test.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows[first:]), encoding="utf-8")
    lake.commit(lambda connection: merge(connection, stage(connection, STREAMS["contacts"].table, [file])))
    file.unlink()


def contacts(lake: Lake) -> int:
    return int(lake.rows("SELECT count(*) FROM contacts")[0][0])


def cursor(year: int) -> Cursor:
    return Cursor(datetime(year, 1, 1, tzinfo=UTC))


def cursors(lake: Lake, stream: str = "contacts") -> dict[str, Cursor]:
    with lake.connection() as connection:
        return read_cursors(connection, stream)


# -- where a lake may be --


def test_a_lake_may_be_in_a_folder_of_any_name(tmp_path: Path) -> None:
    place = tmp_path / "it's new" / "données 😀 a%20b#c?d&e=f [old]*"
    with Lake.create(place) as lake:
        add_contacts(lake, 150)
    with Lake.open(place) as lake:
        assert contacts(lake) == 150
    assert list((place / "data").rglob("*.parquet"))


def test_a_lake_may_be_named_relative_to_the_working_directory(pattern: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pattern.parent)
    with Lake.open(Path("lake")) as lake:
        monkeypatch.chdir("/")
        assert contacts(lake) == 300


def test_a_lake_that_is_moved_or_copied_opens_with_all_its_rows(path: Path, tmp_path: Path) -> None:
    assert list((path / "data").rglob("*.parquet"))
    path.rename(tmp_path / "moved")
    with Lake.open(tmp_path / "moved") as lake:
        assert contacts(lake) == 300
    with Lake.create(tmp_path / "moved") as lake:
        add_contacts(lake, 500)
        assert contacts(lake) == 500


def test_where_no_lake_is_none_is_opened_nor_made(tmp_path: Path) -> None:
    with pytest.raises(LakeNotFound, match=r"^There is no lake at .*nowhere\.$") as caught:
        Lake.open(tmp_path / "nowhere")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "nowhere").exists()


def test_a_file_is_no_place_for_a_lake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a letter")
    with pytest.raises(LakeUnwritable, match=r"^The lake path .*file is a file\.$"):
        Lake.create(tmp_path / "file")
    with pytest.raises(LakeNotFound):
        Lake.open(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "a letter"


@pytest.mark.parametrize("place", ["/proc/lake", "/dev/null/lake"])
def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(place: str) -> None:
    with pytest.raises(LakeUnwritable, match=rf"^The lake folder {place} cannot be written \(.*\)\.$"):
        Lake.create(Path(place))


def test_a_file_where_a_folder_of_the_lake_should_be_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "data").write_text("in the way")
    with pytest.raises(LakeUnwritable, match="cannot be written"):
        Lake.create(tmp_path / "lake")


def test_a_catalog_that_is_none_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_text("a letter" * 1000)
    for opening in (Lake.create, Lake.open):
        with pytest.raises(LakeError):
            opening(tmp_path)
    assert (tmp_path / "catalog.sqlite").read_text() == "a letter" * 1000


def test_a_lost_data_file_is_told_as_what_it_is(path: Path) -> None:
    [file] = (path / "data").rglob("*.parquet")
    file.unlink()
    with Lake.open(path) as lake, pytest.raises(LakeError, match=file.name) as caught:
        lake.rows("FROM contacts")
    assert "cannot be written" not in str(caught.value)


# -- versions --


def test_a_lake_of_a_later_version_is_refused(path: Path) -> None:
    with Lake.create(path) as lake:
        lake.commit(lambda connection: connection.execute("UPDATE _lake SET format = format + 1"))
    for opening in (Lake.create, Lake.open):
        with pytest.raises(LakeIsNewer, match="has format 3, this version knows 2: upgrade rapidlake") as caught:
            opening(path)
    assert caught.value.exit_code == 2


def test_a_lake_of_an_earlier_version_gets_what_is_new_and_keeps_its_rows(path: Path) -> None:
    named = "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'contacts' AND comment <> ''"
    with Lake.create(path) as lake:
        before = dict(lake.rows(named))
        for change in (
            "ALTER TABLE contacts DROP COLUMN language",
            "COMMENT ON COLUMN contacts.name IS NULL",
            "COMMENT ON TABLE contacts IS 'People.'",
            "DROP TABLE messages",
            "UPDATE _lake SET schema_fingerprint = 'older'",
        ):
            lake.commit(lambda connection, change=change: connection.execute(change))
    with Lake.create(path) as lake:
        assert dict(lake.rows(named)) == before
        assert lake.rows("SELECT comment FROM duckdb_tables() WHERE table_name = 'contacts'") != [("People.",)]
        assert lake.rows("SELECT count(*), count(language) FROM contacts") == [(300, 0)]
        add_contacts(lake, 1)  # the first one is read again
        assert lake.rows("SELECT count(*), count(language) FROM contacts") == [(300, 1)]
        add_messages_of_two_months(lake)
        assert months(lake) >= {"year=2026", "month=1", "month=2"}


def test_opening_a_lake_that_is_up_to_date_writes_nothing(lake: Lake) -> None:
    before = lake.rows("SELECT count(*) FROM lake.snapshots()")
    Lake.create(lake.path).close()
    assert lake.rows("SELECT count(*) FROM lake.snapshots()") == before


def test_rows_of_large_tables_lie_in_one_folder_for_each_month(lake: Lake) -> None:
    add_messages_of_two_months(lake)
    assert months(lake) >= {"year=2026", "month=1", "month=2"}


def add_messages_of_two_months(lake: Lake) -> None:
    rows = [{"id": number, "created_on": f"2026-{1 + number % 2:02}-01T00:00:00Z"} for number in range(300)]
    file = lake.spool / "test.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    lake.commit(lambda connection: merge(connection, stage(connection, STREAMS["messages"].table, [file])))
    file.unlink()


def months(lake: Lake) -> set[str]:
    """Names of the folders with Parquet files, and of those above them."""
    return {parent.name for path in (lake.path / "data").rglob("*.parquet") for parent in path.parents}


def test_small_changes_make_no_files(path: Path) -> None:
    before = set((path / "data").rglob("*.parquet"))
    with Lake.create(path) as lake:
        add_contacts(lake, 320, first=300)
        assert contacts(lake) == 320
    assert set((path / "data").rglob("*.parquet")) == before


# -- readers and writers --


def test_a_reader_sees_all_of_a_commit_or_nothing(lake: Lake) -> None:
    with Lake.open(lake.path) as reader:

        def work(connection: duckdb.DuckDBPyConnection) -> None:
            save_cursor(connection, "contacts", "rows", cursor(2026))
            save_cursor(connection, "messages", "rows", cursor(2026))
            assert (cursors(reader), cursors(reader, "messages")) == ({}, {})

        lake.commit(work)
        assert cursors(reader) == cursors(reader, "messages") == {"rows": cursor(2026)}


def test_a_transaction_that_fails_leaves_nothing(lake: Lake) -> None:
    def work(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("DELETE FROM contacts")
        raise KeyboardInterrupt

    before = lake.rows("SELECT max(snapshot_id) FROM lake.snapshots()")
    with pytest.raises(KeyboardInterrupt):
        lake.commit(work)
    assert contacts(lake) == 300
    assert lake.rows("SELECT max(snapshot_id) FROM lake.snapshots()") == before


def test_a_lake_that_is_open_for_reading_cannot_be_written(lake: Lake) -> None:
    with Lake.open(lake.path) as reader, pytest.raises(LakeError):
        reader.commit(lambda connection: connection.execute("DELETE FROM contacts"))
    assert contacts(lake) == 300


def test_a_commit_that_loses_a_race_is_made_again(lake: Lake) -> None:
    lake.commit(lambda connection: save_cursor(connection, "contacts", "rows", cursor(2001)))
    attempts = 0
    with Lake.create(lake.path) as other:

        def work(connection: duckdb.DuckDBPyConnection) -> None:
            nonlocal attempts
            attempts += 1
            save_cursor(connection, "contacts", "rows", cursor(2003))
            if attempts == 1:
                other.commit(lambda elsewhere: save_cursor(elsewhere, "contacts", "rows", cursor(2002)))

        lake.commit(work)
    assert attempts == 2
    assert cursors(lake) == {"rows": cursor(2003)}


def test_writers_of_different_streams_do_not_disturb_each_other(path: Path) -> None:
    def write(stream: str) -> None:
        try:
            with Lake.create(path) as lake:
                for year in range(2001, 2004):
                    lake.commit(lambda connection, year=year: save_cursor(connection, stream, "rows", cursor(year)))
        except RapidlakeError as error:
            failures.append(error)

    failures: list[RapidlakeError] = []
    run([threading.Thread(target=write, args=[stream]) for stream in ("contacts", "messages")])
    assert failures == []
    with Lake.open(path) as lake:
        assert [cursors(lake, stream) for stream in ("contacts", "messages")] == [{"rows": cursor(2003)}] * 2


def test_threads_may_share_one_lake(lake: Lake) -> None:
    def write(stream: str) -> None:
        for year in range(2001, 2004):
            lake.commit(lambda connection, year=year: save_cursor(connection, stream, "rows", cursor(year)))
            found.append(contacts(lake))

    found: list[int] = []
    streams = ["contacts", "messages", "runs"]
    run([threading.Thread(target=write, args=[stream]) for stream in streams])
    assert found == [300] * 9
    assert [cursors(lake, stream) for stream in streams] == [{"rows": cursor(2003)}] * 3


def run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# -- cursors --


@pytest.mark.parametrize(
    "saved",
    [
        Cursor(),
        Cursor(datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)),
        Cursor(datetime(2026, 3, 1, tzinfo=UTC), complete_from=datetime(2020, 1, 1, tzinfo=UTC)),
        Cursor(
            datetime(2026, 3, 1, tzinfo=UTC),
            walk=OpenWalk(
                datetime(2026, 2, 1, tzinfo=UTC),
                datetime(2026, 3, 2, 0, 0, 0, 999_999, tzinfo=UTC),
                datetime(2026, 2, 9, tzinfo=UTC),
            ),
        ),
        Cursor(walk=OpenWalk(None, datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 2, 9, tzinfo=UTC))),
    ],
)
def test_a_cursor_is_read_as_it_was_saved(saved: Cursor, lake: Lake) -> None:
    for other in (cursor(2001), saved, saved):
        lake.commit(lambda connection, other=other: save_cursor(connection, "contacts", "rows", other))
    assert cursors(lake) == {"rows": saved}


def test_feeds_have_cursors_of_their_own(lake: Lake) -> None:
    def work(connection: duckdb.DuckDBPyConnection) -> None:
        save_cursor(connection, "contacts", "rows", cursor(2001))
        save_cursor(connection, "contacts", "it's", cursor(2002))
        save_cursor(connection, "runs", "rows", cursor(2003))

    lake.commit(work)
    assert cursors(lake) == {"rows": cursor(2001), "it's": cursor(2002)}
    assert cursors(lake, "messages") == {}


# -- what is said --


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("IO Error: Could not write file: No space left on device", LakeUnwritable, "disk .* is full"),
        ("Failed to flush changes: database or disk is full", LakeUnwritable, "disk .* is full"),
        ("attempt to write a readonly database", LocksRefused, "cannot be written"),
        ('IO Error: Cannot open file "x": Permission denied', LocksRefused, "cannot be written"),
        ("Failed to commit: database is locked", LakeBusy, "busy with other writers"),
        ("Transaction conflict - attempting to delete from table 5", LakeBusy, "busy with other writers"),
        ("UNIQUE constraint failed: ducklake_snapshot.snapshot_id", LakeBusy, "busy with other writers"),
        ("Failed to read: Table with name ducklake_inlined_data_5_12 does not exist!", LakeBusy, "busy with other"),
        ("Catalog Error: no such table", LakeRefused, "refused: Catalog Error: no such table"),
        ("TransactionContext Error: Failed to commit: unterminated quoted string", LakeRefused, "unterminated"),
        ("Could not convert string 'database is locked' to INT64", LakeRefused, 'string "…" to INT64'),
        ("unterminated quoted string at or near \"'[Transaction conflict - ", LakeRefused, "quoted string"),
        (
            "Parser Error: x\n\nLINE 1: VALUES (disk is full, database is locked",
            LakeRefused,
            "refused: Parser Error: x",
        ),
    ],
)
def test_each_kind_of_failure_is_told_as_what_it_is(said: str, kind: type[LakeError], words: str) -> None:
    error = explain(duckdb.Error(said), Path("lake"))
    assert type(error) is kind
    assert "\n" not in str(error)
    with pytest.raises(kind, match=words):
        raise error


def test_only_extensions_whose_signature_is_verified_are_loaded(path: Path, tmp_path: Path) -> None:
    """In a process of its own: the tests load them without."""
    # In a file, for with `-c` DuckDB draws a progress bar where opening takes long.
    program = tmp_path / "setting.py"
    program.write_text(
        f"""
from pathlib import Path
from warehouse import Lake
with Lake.open(Path({str(path)!r})) as lake:
    print(lake.rows("SELECT current_setting('allow_unsigned_extensions')"))
""",
        encoding="utf-8",
    )
    done = processes.run([sys.executable, program])
    assert (done.stdout, done.stderr) == ("[(False,)]\n", "")


def test_nobody_who_is_asked_to_stop_waits_for_another_process(tmp_path: Path) -> None:
    path, stop = new_lake(tmp_path / "lake"), threading.Event()
    with Lake.create(path, stop=stop) as lake, FileLock(path / "locks" / "contacts.write.lock"):
        threading.Timer(0.2, stop.set).start()
        begun = time.monotonic()
        with pytest.raises(LakeStopped), lake.writing("messages", "contacts"):
            pass
        assert time.monotonic() - begun < 2
        with lake.writing("messages"):  # as the one who writes last before it ends
            pass
    with FileLock(path / "locks" / "schema.lock"), pytest.raises(LakeStopped):
        Lake.create(path, stop=stop)
