"""SQL of users reads the lake and nothing else: it writes no file, opens none, and its errors show no value."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.commands import run_apart
from tests.lakes import new_lake
from warehouse import Lake, OpenLake, QueryError, open_lake, refresh_views
from warehouse.asking.query import ask
from warehouse.errors import QueryRefused

SECRET = "I am HIV positive"
CATALOG, ELSEWHERE = "{lake}/catalog.sqlite", "{elsewhere}/notes"
# Each would read or write outside the lake, or change it.
REFUSED = [
    f"COPY (SELECT 1) TO '{CATALOG}' (USE_TMP_FILE false)",
    f"COPY (SELECT 1) TO '{ELSEWHERE}.csv'",
    "COPY (SELECT 1) TO '{lake}/data/new.parquet'",
    f"COPY (SELECT 1) TO '{ELSEWHERE}.csv'; SELECT 1",
    f"ATTACH '{CATALOG}' AS mine (TYPE sqlite)",
    f"ATTACH '{ELSEWHERE}.duckdb'",
    "EXPORT DATABASE '{elsewhere}/export'",
    "IMPORT DATABASE '{elsewhere}'",
    "DROP TABLE labels",
    "CREATE TABLE memory.main.mine AS SELECT 1",
    "CREATE TEMP MACRO mine() AS 1",
    "DELETE FROM __ducklake_metadata_lake.ducklake_snapshot",
    "EXPLAIN ANALYZE DELETE FROM labels",
    f"EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{ELSEWHERE}.csv'",
    f"CREATE TABLE mine AS PIVOT labels ON name USING count(*); COPY labels TO '{ELSEWHERE}.csv'",
    "CALL ducklake_delete_orphaned_files('lake', cleanup_all => true)",
    "FROM ducklake_delete_orphaned_files('lake', cleanup_all => true)",
    "SELECT (SELECT count(*) FROM /* a */ \"DuckLake_Cleanup_Old_Files\" ('lake', cleanup_all => true))",
    "FROM lake.merge_adjacent_files()",
    'FROM "lake".main.EXPIRE_snapshots(versions => [1])',
    "WITH a AS (FROM lake.flush_inlined_data()) FROM a",
    f"FROM sqlite_scan('{ELSEWHERE}.sqlite', 'notes')",
    f"PIVOT (FROM sqlite_scan\u00a0('{ELSEWHERE}.sqlite', 'notes')) ON note USING count(*)",
    "FROM sqlite_query('__ducklake_metadata_lake', 'DELETE FROM ducklake_snapshot RETURNING 1')",
    f"FROM query('FROM read_csv(''{ELSEWHERE}.csv'')')",
    f"FROM read_csv('{ELSEWHERE}.csv')",
    f"FROM read_text('{ELSEWHERE}.csv')",
    f"FROM read_blob('{CATALOG}')",
    f"FROM '{ELSEWHERE}.csv'",
    f"DESCRIBE '{ELSEWHERE}.csv'",
    "FROM glob('{elsewhere}/*')",
    "SET temp_directory = '{elsewhere}'",
    "CALL enable_logging(storage = 'file', storage_path = '{elsewhere}')",
    "INSTALL httpfs",
    "CREATE SECRET (TYPE s3)",
    "CHECKPOINT",
    "VACUUM",
    "PREPARE mine AS SELECT 1",
    "USE memory",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with a message, and a folder beside it with somebody's notes."""
    folder = tmp_path_factory.mktemp("guard")
    with Lake.create(new_lake(folder / "lake")) as lake:
        lake.commit(
            lambda connection: connection.execute(
                f"INSERT INTO messages (id, text, created_on, synced_on, source) "
                f"SELECT n, '{SECRET}', '2026-07-31 23:30:00Z', now(), 'api' FROM range(200) numbers (n)"
            )
        )
        refresh_views(lake)
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "notes.csv").write_text("note\nSTOLEN\n")
    with duckdb.connect() as connection:
        for name in ("sqlite_scanner",):
            from warehouse.lake.engine import load_extension

            load_extension(connection, name)
        connection.execute(f"ATTACH '{folder}/elsewhere/notes.sqlite' AS notes (TYPE sqlite)")
        connection.execute("CREATE TABLE notes.notes AS SELECT 'STOLEN' AS note")
    return folder


@pytest.fixture
def lake(folder: Path) -> Iterator[OpenLake]:
    with open_lake(folder / "lake") as opened:
        yield opened


def filled(sql: str, folder: Path) -> str:
    return sql.replace("{lake}", str(folder / "lake")).replace("{elsewhere}", str(folder / "elsewhere"))


def files(folder: Path) -> dict[str, str]:
    """What is there, but for what SQLite and readers keep beside it."""
    return {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.endswith(("-shm", "-wal")) and "spool" not in file.parts
    }


@pytest.mark.parametrize("sql", REFUSED)
def test_sql_that_does_more_than_read_the_lake_is_refused_and_leaves_everything_as_it_was(
    sql: str, lake: OpenLake, folder: Path
) -> None:
    before = files(folder)
    with pytest.raises(QueryError) as caught:
        lake.arrow(filled(sql, folder))
    with Lake.open(folder / "lake") as opened, pytest.raises(QueryError), ask(opened, filled(sql, folder)) as rows:
        assert not rows or not rows.fetchall()
    assert "STOLEN" not in str(caught.value)
    assert files(folder) == before


def test_the_prompt_refuses_the_same_and_goes_on(folder: Path) -> None:
    before = files(folder)
    typed = ";\n".join([*(filled(sql, folder) for sql in REFUSED), "SELECT 4000 + 42", ".shell touch mine", ""])
    ended = run_apart("shell", "--lake", folder / "lake", typed=typed, RAPIDPRO_TOKEN="secret")
    assert "STOLEN" not in ended.said and "4042" in ended.out
    assert ended.code == 1
    assert len(ended.err.splitlines()) >= len(REFUSED)
    assert files(folder) == before


def test_a_command_says_what_to_do_instead(folder: Path) -> None:
    sql = filled(f"COPY (SELECT 1) TO '{CATALOG}'", folder)
    ended = run_apart("sql", sql, "--lake", folder / "lake")
    assert ended.code == 1
    assert ended.err == (
        "rapidlake: This SQL is a COPY, and only SQL that reads the lake is run: "
        "write an answer to a file with -o FILE, or run trusted SQL with --unguarded.\n"
    )


def test_who_asks_for_it_gets_all_that_duckdb_can_and_is_told_what_that_means(folder: Path, tmp_path: Path) -> None:
    ended = run_apart("sql", "--unguarded", f"COPY (SELECT 7) TO '{tmp_path}/a.csv'", "--lake", folder / "lake")
    assert (tmp_path / "a.csv").read_text().endswith("7\n")
    assert "may read and write every file" in ended.err
    with (
        pytest.warns(UserWarning, match="may read and write every file"),
        open_lake(folder / "lake", unguarded=True) as lake,
    ):
        assert lake.arrow(f"FROM '{tmp_path}/a.csv'")["column0"].to_pylist()[-1] == 7
        with pytest.raises(QueryError, match="open for reading only"):
            lake.arrow("DELETE FROM messages")


@pytest.mark.parametrize(
    "sql",
    [
        "FROM messages ORDER BY hash(id) LIMIT 3",
        "PIVOT messages ON source USING count(*)",
        "SELECT api::DECIMAL(10,2) FROM (PIVOT (SELECT id, source FROM messages) ON source USING count(*))",
        "EXPLAIN ANALYZE SELECT count(*) FROM messages",
        "EXPLAIN (FORMAT json) SELECT 1",
        "EXPLAIN (SELECT 1)",
        "DESCRIBE messages",
        "SUMMARIZE groups",
        "SHOW ALL TABLES",
        "SELECT count(*) FROM range(3), unnest([1]), generate_series(1, 2)",
        "FROM lake.snapshots()",
        "FROM lake.table_changes('messages', 1, 2)",
        "FROM messages AT (VERSION => 2)",
        "SELECT query FROM (VALUES (1)) AS asked (query)",
    ],
)
def test_what_only_reads_is_answered(sql: str, lake: OpenLake) -> None:
    assert lake.arrow(sql) is not None


def test_all_views_are_answered(lake: OpenLake) -> None:
    views = lake.df(
        "SELECT format('{}.\"{}\"', table_schema, table_name) AS name FROM information_schema.tables "
        "WHERE table_catalog = 'lake' AND table_type = 'VIEW'"
    )["name"]
    assert len(views) > 20
    for view in views:
        lake.arrow(f"FROM {view} LIMIT 1")


@pytest.mark.parametrize(
    "value",
    [
        "text::INT", "text::DATE", "text::TIMESTAMP", "text::TIME", "text::UUID", "text::JSON", "text::BOOLEAN",
        "text::DECIMAL(5,2)", "text::INTERVAL", "text::BIT", "text::ENUM('a')", "text::INT[]", "text::STRUCT(a INT)",
        "error(text)", "strptime(text, '%Y')", "text->'$.a'", "json_extract('{}', '$' || text)", "from_base64(text)",
        "regexp_matches('a', '(' || text)", "date_part(text, created_on)", "created_on AT TIME ZONE text",
        "text::VARIANT::INT", "text = 1", "histogram(id, [text])",
    ],
)  # fmt: skip
def test_an_error_about_a_value_does_not_show_it(value: str, lake: OpenLake) -> None:
    with pytest.raises(QueryError, match=r"Error: [a-z]") as caught:
        lake.arrow(f"SELECT {value} FROM messages")
    error = caught.value
    assert "HIV" not in str(error) and "positive" not in str(error)
    assert error.__cause__ is None and error.__context__ is None


def test_names_that_a_pivot_makes_of_values_are_not_shown_either(lake: OpenLake) -> None:
    with pytest.raises(QueryError) as caught:
        lake.arrow("SELECT nam FROM (PIVOT messages ON text USING count(*))")
    assert "HIV" not in str(caught.value)


def test_an_error_about_names_helps(lake: OpenLake) -> None:
    with pytest.raises(QueryError, match=r'"txt" not found(.|\n)*text'):
        lake.arrow("SELECT txt FROM messages")
    with pytest.raises(QueryError, match=r"a string to INT32 \(column text\); TRY_CAST gives NULL"):
        lake.arrow("SELECT text::INT FROM messages")


@pytest.mark.parametrize(
    ("sql", "said"), [("SELECT 1; SELECT 2", r"more than one \(2\)"), ("", "none"), ("-- later", "none"), (";", "none")]
)
def test_what_is_not_one_question_is_told(sql: str, said: str, lake: OpenLake) -> None:
    with pytest.raises(QueryError, match=f"^Give one SQL query: there is {said}"):
        lake.df(sql)


def test_what_python_holds_is_no_table(lake: OpenLake) -> None:
    mine = lake.df("FROM labels")
    assert mine is not None
    with pytest.raises(QueryError, match="mine does not exist"):
        lake.df("FROM mine")


def test_a_refusal_is_an_error_of_its_own(lake: OpenLake) -> None:
    with pytest.raises(QueryRefused, match="calls merge_adjacent_files"):
        lake.arrow("FROM lake.merge_adjacent_files()")
