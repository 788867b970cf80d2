"""A lake whose tables, or whose DuckLake, are of another version: brought to this one, or refused and left alone."""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from pipeline.errors import told
from tests import processes
from tests.lakes import new_lake
from warehouse import EngineIsOther, Lake, LakeIsNewer, LakeIsOlder, LakeIsOther, LakeUnwritable
from warehouse.lake.engine import check_extension

LABEL = "{'uuid': '10000000-0000-4000-8000-000000000000', 'name': 'Urgent'}"
UNSEEN = "UPDATE _lake SET schema_fingerprint = 'older'"


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with 150 messages, in a file, and two contacts, in the catalog; to be copied."""
    path = new_lake(tmp_path_factory.mktemp("pattern") / "lake")
    with Lake.create(path) as lake:
        write(
            lake,
            f"INSERT INTO messages (id, broadcast, text, labels, created_on) "
            f"SELECT n, n % 7, 'hello', [{LABEL}], '2026-03-01'::TIMESTAMPTZ FROM range(150) AS numbers (n)",
            "INSERT INTO contacts (uuid, name) SELECT uuid(), 'Ann' FROM range(2)",
        )
    return path


@pytest.fixture
def path(pattern: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pattern, tmp_path / "lake"))


def write(lake: Lake, *statements: str) -> None:
    """What no part of Rapidlake does: change the lake by hand; DuckDB falls over several such changes in one commit."""
    for statement in statements:
        lake.commit(lambda connection, statement=statement: connection.execute(statement) and None)


def other_type(table: str, column: str, kind: str, value: str) -> list[str]:
    """Statements that give a column another type, and all rows this value."""
    return [
        f"ALTER TABLE {table} DROP COLUMN {column}",
        f"ALTER TABLE {table} ADD COLUMN {column} {kind}",
        f"UPDATE {table} SET {column} = {value}",
    ]


def types(lake: Lake) -> dict[tuple[str, str], tuple[str, bool]]:
    """Table and column → type, and whether it may be null."""
    query = "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() WHERE database_name = 'lake'"
    return {(table, column): (kind, null) for table, column, kind, null in lake.rows(query)}


# -- columns whose type changed --


def test_a_column_that_has_a_wider_type_now_is_widened_with_its_values(path: Path) -> None:
    uuid = "{'uuid': '10000000-0000-4000-8000-000000000000'}"
    with Lake.create(path) as lake:
        now = types(lake)
        write(
            lake,
            *other_type("messages", "broadcast", "SMALLINT", "id % 7"),
            *other_type("messages", "labels", "STRUCT (uuid UUID)[]", f"[{uuid}]"),
            *other_type("contacts", "groups", "STRUCT (uuid UUID)[]", f"[{uuid}]"),
            *other_type("contacts", "fields", "MAP(VARCHAR, VARCHAR)", "MAP {'age': '7'}"),
            "ALTER TABLE messages ALTER COLUMN text SET NOT NULL",
            UNSEEN,
        )
    with Lake.create(path) as lake:
        assert types(lake) == now
        first = "left(labels[1].uuid::VARCHAR, 1), labels[1].name"
        assert lake.rows(f"SELECT DISTINCT broadcast = id % 7, {first} FROM messages") == [(True, "1", None)]
        first = "left(groups[1].uuid::VARCHAR, 1), groups[1].name"
        assert lake.rows(f"SELECT DISTINCT {first}, fields['age'] FROM contacts") == [("1", None, "7")]
        write(lake, f"INSERT INTO messages (id, labels, created_on) VALUES (999, [{LABEL}], now())")
        assert lake.rows("SELECT text, labels[1].name FROM messages WHERE id = 999") == [(None, "Urgent")]


def test_a_column_whose_values_do_not_fit_its_type_now_is_refused_and_nothing_changes(path: Path) -> None:
    with Lake.create(path) as writer:
        write(writer, "ALTER TABLE broadcasts DROP COLUMN status", UNSEEN)  # which is mended first, and not kept
        for column, kind, value in (  # the last column first: the first that does not fit is told
            ("blocked", "STRUCT (a INTEGER)", "{'a': 1}"),  # DuckDB has no such cast
            ("last_seen_on", "VARCHAR", "'yesterday'"),  # DuckLake refuses
            ("groups", "STRUCT (uuid UUID, color VARCHAR)[]", "[{'color': 'red'}]"),  # a part would go
        ):
            write(writer, *other_type("contacts", column, kind, value))
            before = types(writer), writer.rows("FROM contacts ORDER BY uuid")
            said = rf"has contacts\.{column} as {kind[:6]}.*: nothing was changed; go on"
            with pytest.raises(LakeIsOther, match=said) as caught:
                Lake.create(path)
            assert caught.value.exit_code == 2
            assert (types(writer), writer.rows("FROM contacts ORDER BY uuid")) == before


# -- other versions of DuckLake and DuckDB --


def ducklake(catalog: Path, version: str | None = None) -> str:
    """The version of DuckLake that a catalog says it is of, after it was made to say another one.

    In a process of its own: in one that has a lake attached, Python's SQLite would undo the locks of DuckDB's.
    """
    program = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as catalog:
    if sys.argv[2:]:
        catalog.execute("UPDATE ducklake_metadata SET value = ? WHERE key = 'version'", sys.argv[2:])
    print(*catalog.execute("SELECT value FROM ducklake_metadata WHERE key = 'version'").fetchone())
"""
    done = processes.run([sys.executable, "-c", program, catalog, *([version] if version else [])])
    return done.stdout.strip()


def test_a_lake_of_a_later_ducklake_is_refused_and_left_alone(path: Path) -> None:
    assert ducklake(path / "catalog.sqlite", "1.1") == "1.1"
    for opening in (Lake.create, Lake.open):
        with pytest.raises(LakeIsNewer, match=r"with DuckLake 1\.1, this version knows 1\.0: upgrade") as caught:
            opening(path)
        assert caught.value.exit_code == 2
    assert ducklake(path / "catalog.sqlite") == "1.1"


def test_a_lake_of_an_earlier_ducklake_is_brought_up_by_who_writes_it_and_its_catalog_is_kept(
    path: Path,
) -> None:
    with Lake.open(path) as lake:
        before = lake.rows("FROM messages ORDER BY id"), lake.rows("FROM contacts ORDER BY uuid")
    assert ducklake(path / "catalog.sqlite", "0.4") == "0.4"
    with pytest.raises(LakeIsOlder, match=r"written with DuckLake 0\.4, this version reads 1\.0") as caught:
        Lake.open(path)
    assert caught.value.exit_code == 2
    assert told(caught.value).endswith(": run `rapidlake sync`, which brings it up, and keeps a copy of its catalog.")
    with ThreadPoolExecutor(2) as pool:  # two syncs that begin at once
        for lake in pool.map(Lake.create, [path, path]):
            lake.close()
    with Lake.open(path) as lake:
        assert (lake.rows("FROM messages ORDER BY id"), lake.rows("FROM contacts ORDER BY uuid")) == before
    assert ducklake(path / "catalog.sqlite") == "1.0"
    assert ducklake(path / "catalog.before-upgrade.sqlite") == "0.4"


def test_where_there_is_no_room_for_the_copy_a_lake_of_an_earlier_ducklake_is_left_alone(path: Path) -> None:
    ducklake(path / "catalog.sqlite", "0.4")
    (path / "catalog.before-upgrade.sqlite").mkdir()
    with pytest.raises(LakeUnwritable, match=r"cannot be copied \(.*\).*: nothing was changed; make room"):
        Lake.create(path)
    assert ducklake(path / "catalog.sqlite") == "0.4"


def test_duckdb_without_the_extensions_for_its_version_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EngineIsOther, match=rf"^DuckDB {duckdb.__version__} is installed, .*: install rapidlake again"):
        check_extension("ducklake", tmp_path / "ducklake.duckdb_extension")
