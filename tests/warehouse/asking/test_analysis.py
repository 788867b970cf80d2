"""A lake in a notebook and as files: frames, Arrow, time travel, and folders that other tools read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pytest

from tests.lakes import new_lake
from warehouse import Lake, OpenLake, open_lake, refresh_views
from warehouse.asking.export import MARK, export
from warehouse.errors import ExportError, LakeError, QueryError

ONE = "550e8400-e29b-41d4-a716-446655440000"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of two messages in two months and one contact."""
    path = new_lake(tmp_path_factory.mktemp("filled") / "lake")
    with Lake.create(path) as lake:

        def fill(connection: duckdb.DuckDBPyConnection) -> None:
            connection.execute(
                f"""
                INSERT INTO messages (id, contact_uuid, text, labels, created_on, synced_on, source)
                VALUES
                    (1, '{ONE}', '=1+1', [{{'uuid': '{ONE}', 'name': 'é'}}], '2026-07-31 23:30:00Z', now(), 'api'),
                    (2, NULL, NULL, [], '2026-08-01 00:30:00Z', now(), 'api')
                """
            )
            connection.execute(
                f"""
                INSERT INTO contacts (uuid, name, fields, created_on, synced_on, source)
                VALUES ('{ONE}', 'Ana', MAP {{'age': '34'}}, '2026-07-01 10:00:00Z', now(), 'api')
                """
            )
            connection.execute(
                "INSERT INTO workspace (uuid, name, timezone, synced_on) VALUES (uuid(), 'W', 'Africa/Kigali', now())"
            )

        lake.commit(fill)
        refresh_views(lake)
    return path


@pytest.fixture
def path(filled: Path, tmp_path: Path) -> Path:
    """A copy of that lake."""
    return Path(shutil.copytree(filled, tmp_path / "lake"))


@pytest.fixture
def lake(path: Path) -> Iterator[OpenLake]:
    with open_lake(path) as opened:
        yield opened


def test_frames_have_the_types_of_the_columns(lake: OpenLake) -> None:
    frame = lake.df("SELECT id, created_on, created_on::DATE AS day, text FROM messages ORDER BY id")
    assert isinstance(frame["created_on"].dtype, pd.DatetimeTZDtype)
    assert frame["id"].dtype == "int64"
    assert str(frame["day"].dtype).startswith("datetime64")
    assert frame["created_on"][0] == pd.Timestamp("2026-07-31 23:30", tz="UTC")
    assert frame["text"].isna().tolist() == [False, True]


def test_arrow_tables_keep_lists_and_times(lake: OpenLake) -> None:
    table = lake.arrow("SELECT labels, created_on FROM messages ORDER BY id")
    assert pa.types.is_list(table.schema.field("labels").type)
    assert str(table.schema.field("created_on").type) == "timestamp[us, tz=UTC]"


def test_a_long_query_draws_no_bar_between_what_a_script_prints(lake: OpenLake) -> None:
    assert lake.df("SELECT current_setting('enable_progress_bar') AS bar").bar.tolist() == [False]


def test_an_earlier_state_of_the_lake_can_be_read(path: Path, lake: OpenLake) -> None:
    before = str(lake.df("SELECT max(snapshot_time)::VARCHAR AS at FROM ducklake_snapshots('lake')")["at"][0])
    with Lake.create(path) as writing:
        writing.commit(lambda connection: connection.execute("DELETE FROM messages"))
    counting = "SELECT count(*) AS messages FROM messages"
    assert lake.df(counting)["messages"][0] == 0
    with lake.as_of(before) as earlier:
        assert earlier.df(counting)["messages"][0] == 2


@pytest.mark.parametrize("moment", ["2020-01-01", "2020-01-01T00:00:00Z"])
def test_a_time_before_the_lake_is_refused_in_one_sentence(lake: OpenLake, moment: str) -> None:
    with pytest.raises(LakeError, match="keeps no version of 2020-01-01"):
        lake.as_of(moment)


def test_what_is_no_date_and_what_is_no_query_is_refused(lake: OpenLake) -> None:
    with pytest.raises(QueryError, match="'yesterday' is no date: write it like"):
        lake.as_of("yesterday")
    with pytest.raises(QueryError, match="nowhere"):
        lake.df("FROM nowhere")
    with pytest.raises(QueryError):
        lake.df("DELETE FROM messages")


def test_exported_parquet_is_read_by_others_as_it_is(path: Path, tmp_path: Path) -> None:
    with Lake.open(path, guarded=False) as lake:
        done = {one.name: one.rows for one in export(lake, tmp_path / "out", kind="parquet")}
    assert done["messages"] == 2
    assert not [name for name in done if name.startswith("_")]
    assert done["contacts_wide"] == 1
    messages = pyarrow.dataset.dataset(tmp_path / "out" / "messages", partitioning="hive").to_table().sort_by("id")
    assert messages["month"].to_pylist() == [7, 8]
    assert messages["contact_uuid"].to_pylist() == [ONE, None]
    assert messages["labels"].to_pylist() == [[{"uuid": ONE, "name": "é"}], []]
    assert str(messages.schema.field("created_on").type) == "timestamp[us, tz=UTC]"


def test_exported_csv_has_nested_values_as_json(path: Path, tmp_path: Path) -> None:
    with Lake.open(path, guarded=False) as lake:
        export(lake, tmp_path / "out", kind="csv", names=["contacts", "messages"])
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == [MARK, "contacts", "messages"]
    frame = pd.read_csv(tmp_path / "out" / "contacts" / "contacts.csv")
    assert frame["fields"][0] == '{"age":"34"}'


def test_an_export_replaces_an_earlier_one_and_nothing_else(path: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("ten years")
    with Lake.open(path, guarded=False) as lake:
        with pytest.raises(ExportError, match="is there and holds no export"):
            export(lake, tmp_path / "mine", kind="csv")
        with pytest.raises(ExportError, match="has no table or view mesages"):
            export(lake, tmp_path / "out", kind="csv", names=["mesages"])
        export(lake, tmp_path / "out", kind="csv", names=["messages"])
        export(lake, tmp_path / "out", kind="csv", names=["contacts"])
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "ten years"
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == [MARK, "contacts"]
    assert not list(tmp_path.glob(".*.partial"))


def test_all_tables_of_an_export_are_of_one_state_though_others_commit_meanwhile(path: Path, tmp_path: Path) -> None:
    def add_rows() -> int:
        with Lake.create(path) as writing:
            writing.commit(
                lambda connection: connection.execute(
                    "INSERT INTO labels (uuid, name, synced_on) VALUES (uuid(), 'late', now()); DELETE FROM contacts"
                )
            )
        return 1

    with Lake.create(path) as lake, lake.connection() as connection:
        connection.create_function("meanwhile", add_rows, [], "INTEGER", side_effects=True)  # type: ignore[arg-type]
        connection.execute("CREATE VIEW between AS SELECT meanwhile() AS committed")
    with Lake.open(path, guarded=False) as lake:
        with lake.connection() as connection:
            connection.create_function("meanwhile", add_rows, [], "INTEGER", side_effects=True)  # type: ignore[arg-type]
        done = export(lake, tmp_path / "out", kind="csv", names=["messages", "between", "labels", "contacts"])
        assert [(one.name, one.rows) for one in done] == [
            ("messages", 2),
            ("between", 1),
            ("labels", 0),
            ("contacts", 1),
        ]
        assert lake.rows("SELECT (SELECT count(*) FROM labels), (SELECT count(*) FROM contacts)") == [(1, 0)]


def test_an_export_that_fails_leaves_the_earlier_one_as_it_was(path: Path, tmp_path: Path) -> None:
    with Lake.open(path, guarded=False) as lake:
        export(lake, tmp_path / "out", kind="csv", names=["messages"])
        before = {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()}
        for names in (["contacts", "nowhere"], ["contacts", "_sync"]):
            with pytest.raises(ExportError, match="has no table or view"):
                export(lake, tmp_path / "out", kind="csv", names=names)
        (tmp_path / "file").write_text("mine")
        with pytest.raises(ExportError, match="is there and holds no export"):
            export(lake, tmp_path / "file", kind="csv", names=["contacts"])
    assert {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()} == before
    assert (tmp_path / "file").read_text() == "mine"
    assert not list(tmp_path.glob(".*.partial"))
