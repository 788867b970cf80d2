"""A catalog that is lost, cut short or garbled: told as what it is to whoever opens the lake, and never overwritten."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests import processes
from warehouse import Lake, LakeDamaged, OpenLake, open_lake
from warehouse.errors import LakeAbandoned, LakeUnfinished
from warehouse.lake.catalog import WRITERS
from warehouse.lake.engine import EXTENSIONS, load_extension
from warehouse.scratch import make_scratch

PAGE = 4096
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with more labels than its catalog keeps to itself, and few enough groups for that."""
    path = tmp_path_factory.mktemp("pattern") / "lake"
    with Lake.create(path) as lake:
        for table, number in (("labels", 300), ("groups", 30)):
            lake.rows(f"INSERT INTO {table} (uuid, name) SELECT uuid(), 'Name ' || range FROM range({number})")
    assert list((path / "data").rglob("*.parquet"))
    return path


@pytest.fixture
def path(pattern: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pattern, tmp_path / "lake"))


def cut(part: float) -> Damage:
    """Only so much of the file is left."""
    return lambda catalog: catalog.write_bytes(catalog.read_bytes()[: int(catalog.stat().st_size * part)])


def garble(begin: int, end: int) -> Damage:
    """The bytes from here to there are others."""

    def work(catalog: Path) -> None:
        was = catalog.read_bytes()
        catalog.write_bytes(was[:begin] + random.Random(1).randbytes(end - begin) + was[end:])

    return work


def sql(statement: str) -> Damage:
    """Another process changes the catalog."""
    program = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute(sys.argv[2]); db.commit(); db.close()"

    def work(catalog: Path) -> None:
        done = processes.run([sys.executable, "-c", program, catalog, statement])
        assert done.returncode == 0, done.stderr

    return work


LOST: dict[str, Damage] = {
    "deleted": Path.unlink,
    "empty": lambda catalog: catalog.write_bytes(b""),
    "begun anew": lambda catalog: (catalog.unlink(), sql("PRAGMA journal_mode = WAL")(catalog)),
    "cut after its first page": lambda catalog: catalog.write_bytes(catalog.read_bytes()[:PAGE]),
}
DAMAGED: dict[str, Damage] = {
    "cut within its header": cut(0.0001),
    "cut in its middle": cut(0.5),
    "without its last page": lambda catalog: catalog.write_bytes(catalog.read_bytes()[:-PAGE]),
    "with another header": garble(0, 100),
    "with a header of no known format": garble(40, 100),
    "with another first page": garble(100, PAGE),
    "all zeros": lambda catalog: catalog.write_bytes(bytes(catalog.stat().st_size)),
    "a text": lambda catalog: catalog.write_text("a letter" * 1000),
    "a short text": lambda catalog: catalog.write_text("a letter"),
    "without snapshots": sql("DELETE FROM ducklake_snapshot"),
    "without the table of snapshots": sql("DROP TABLE ducklake_snapshot"),
    "without the table of options": sql("DROP TABLE ducklake_metadata"),
    "without the table of columns": sql("DROP TABLE ducklake_column"),
    "without the table of files": sql("DROP TABLE ducklake_data_file"),
    "with text for numbers": sql("UPDATE ducklake_column SET column_order = 'x'"),
    "with names that are no text": sql("UPDATE ducklake_table SET table_name = CAST(x'ff99' AS TEXT)"),
}


@pytest.mark.parametrize("damage", [*LOST, *DAMAGED])
def test_a_lake_whose_catalog_is_lost_or_damaged_is_refused_and_left_as_it_is(path: Path, damage: str) -> None:
    (LOST | DAMAGED)[damage](path / "catalog.sqlite")
    before = contents(path)
    for opening in (Lake.open, Lake.create, open_lake):
        with pytest.raises(LakeDamaged) as caught, opening(path) as lake:
            read_all(lake)
        what = "no catalog.sqlite that says what they are" if damage in LOST else "catalog.sqlite, is damaged"
        assert what in str(caught.value)
        assert "from a backup, or sync into a new lake" in str(caught.value)
        assert str(caught.value).count("\n") == 0
        assert contents(path) == before


def read_all(lake: Lake | OpenLake) -> None:
    for query in ("FROM labels", "FROM groups"):
        lake.df(query) if isinstance(lake, OpenLake) else lake.rows(query)


def contents(path: Path) -> dict[str, bytes]:
    """The files of rows and the catalog, without the index of its log, which readers make."""
    files = [*(path / "data").rglob("*.parquet"), *path.glob("catalog.sqlite")]
    return {str(file.relative_to(path)): file.read_bytes() for file in files if file.is_file()}


def test_damage_that_only_a_query_meets_is_told_as_damage(path: Path) -> None:
    """Not as a fault of the query."""
    with open_lake(path) as lake:
        lake.df("FROM groups")
        for file in (path / "data").rglob("*.parquet"):
            file.unlink()
        with pytest.raises(LakeDamaged, match="is missing: restore it from a backup, or sync into a new lake"):
            lake.df("FROM labels")


# -- not damaged --


def nothing_yet(catalog: Path) -> None:
    catalog.write_bytes(b"")


def no_table_yet(catalog: Path) -> None:
    sql("PRAGMA journal_mode = WAL")(catalog)
    assert catalog.stat().st_size == PAGE


def no_table_of_ours_yet(catalog: Path) -> None:
    with duckdb.connect() as connection:
        for extension in EXTENSIONS:
            load_extension(connection, extension)
        connection.execute(f"ATTACH 'ducklake:sqlite:{catalog}' AS lake (DATA_PATH '{catalog.parent / 'data'}')")


@pytest.mark.parametrize("state", [nothing_yet, no_table_yet, no_table_of_ours_yet])
def test_a_lake_whose_making_was_killed_is_unfinished_to_readers_and_made_by_the_next_writer(
    tmp_path: Path, state: Damage
) -> None:
    path = tmp_path / "lake"
    path.mkdir()
    state(path / "catalog.sqlite")
    with pytest.raises(LakeAbandoned, match="was ended before it had made it"):
        Lake.open(path)
    (path / "spool").mkdir()
    living = make_scratch(path / "spool", WRITERS)
    with pytest.raises(LakeUnfinished, match="still being made by its first sync"):
        Lake.open(path)
    living.remove()
    with Lake.create(path) as lake:
        assert lake.rows("SELECT count(*) FROM labels") == [(0,)]
