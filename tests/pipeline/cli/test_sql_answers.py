"""Questions in SQL: answered as a table, CSV, JSON or Parquet; wrong ones in one message; nothing is ever written."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.cli.answers.sql_answers import answer
from tests.lakes import new_lake
from warehouse import Lake
from warehouse.errors import QueryError
from warehouse.lake.schema import FORMAT

ROWS = """
    SELECT * FROM (VALUES (1, 'plain', NULL), (2, 'with "quotes", commas', TIMESTAMPTZ '2026-03-01 00:00:00Z'),
                          (3, 'é 😀' || chr(10) || 'line', NULL)) AS rows (id, text, seen)
    ORDER BY id DESC
"""
TEXTS = ["é 😀\nline", 'with "quotes", commas', "plain"]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with Lake.open(new_lake(tmp_path_factory.mktemp("query") / "lake")) as lake:
        yield lake


@pytest.fixture
def out(capfd: pytest.CaptureFixture[str]) -> Any:
    """What was printed."""
    return lambda: capfd.readouterr().out


def test_an_answer_is_a_table_unless_asked_otherwise(lake: Lake, out: Any) -> None:
    answer(lake, "SELECT 42 AS answer, 'hello' AS word")
    printed = out()
    assert "answer" in printed
    assert "42" in printed
    assert "hello" in printed


def test_csv_goes_to_standard_output_with_a_heading(lake: Lake, out: Any) -> None:
    answer(lake, ROWS, kind="csv")
    rows = list(csv.DictReader(out().splitlines(keepends=True)))
    assert [row["text"] for row in rows] == TEXTS
    assert [(row["id"], row["seen"]) for row in rows] == [("3", ""), ("2", "2026-03-01 00:00:00+00"), ("1", "")]


def test_json_goes_to_standard_output_one_row_to_a_line(lake: Lake, out: Any) -> None:
    answer(lake, ROWS, kind="json")
    assert [json.loads(line) for line in out().splitlines()] == [
        {"id": 3, "text": TEXTS[0], "seen": None},
        {"id": 2, "text": TEXTS[1], "seen": "2026-03-01 00:00:00+00"},
        {"id": 1, "text": TEXTS[2], "seen": None},
    ]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_an_empty_answer_is_valid_too(kind: str, lake: Lake, out: Any) -> None:
    answer(lake, "SELECT uuid, name FROM contacts", kind=kind)
    assert out() == {"csv": "uuid,name\n", "json": ""}[kind]


@pytest.mark.parametrize("name", ["a.csv", "A.CSV", "it's a.json", "données.parquet"])
def test_the_name_of_a_file_says_its_format(name: str, lake: Lake, tmp_path: Path, out: Any) -> None:
    answer(lake, ROWS, output=tmp_path / name)
    file = str(tmp_path / name).replace("'", "''")
    assert [text for (text,) in duckdb.sql(f"SELECT text FROM '{file}'").fetchall()] == TEXTS
    assert out() == ""


def test_the_format_asked_for_beats_the_name(lake: Lake, tmp_path: Path) -> None:
    answer(lake, "SELECT 1 AS a", kind="json", output=tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == '{"a":1}\n'


def test_a_table_goes_into_a_file_too(lake: Lake, tmp_path: Path, out: Any) -> None:
    answer(lake, "SELECT 42 AS answer", kind="table", output=tmp_path / "answer.txt")
    assert "42" in (tmp_path / "answer.txt").read_text(encoding="utf-8")
    assert out() == ""


def test_a_file_that_is_there_is_replaced(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("older\n" * 100)
    answer(lake, "SELECT 1 AS a", output=tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "a\n1\n"


@pytest.mark.parametrize("kind", [None, "csv", "json"])
@pytest.mark.parametrize(
    "query",
    [
        "SELECT 7 AS a;",
        "-- a question\nSELECT 7 AS a",
        "SELECT 7 AS a -- an answer",
        "SELECT 7 AS a; -- an answer",
        "/* a */ WITH x AS (SELECT 7 AS a) FROM x",
        "VALUES (7)",
        "SELECT 7 AS a WHERE 'a;b' <> '--'",
    ],
)
def test_any_way_to_write_one_query_will_do(query: str, kind: str | None, lake: Lake, out: Any) -> None:
    answer(lake, query, kind=kind)
    assert "7" in out()


@pytest.mark.parametrize("query", ["DESCRIBE contacts", "SHOW TABLES", "SUMMARIZE groups", "FROM groups"])
def test_the_lake_can_be_asked_about_itself(query: str, lake: Lake, out: Any) -> None:
    answer(lake, query, kind="csv")
    assert out()


def test_a_terminal_shows_control_characters_and_does_not_obey_them(lake: Lake, out: Any) -> None:
    answer(lake, "SELECT chr(27) || '[31mred' AS a, chr(155) || '31mred' AS b, '[bold]é[/]' AS \"c\x1b[2J\"")
    printed = out()
    assert "[31mred" in printed and "\ufffd31mred" in printed and "[bold]é[/]" in printed
    assert "\x1b" not in printed and "\x9b" not in printed


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_machines_get_control_characters_as_they_are(kind: str, lake: Lake, tmp_path: Path) -> None:
    answer(lake, "SELECT chr(27) || chr(11) AS a", kind=kind, output=tmp_path / "a")
    held = (tmp_path / "a").read_text("utf-8")
    assert held == "a\n\x1b\x0b\n" if kind == "csv" else json.loads(held) == {"a": "\x1b\x0b"}


# -- what is refused --


@pytest.mark.parametrize("kind", [None, "csv"])
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELCT 1", 'syntax error at or near "SELCT"'),
        ("SELECT * FROM contcts", 'contcts does not exist![^"]*Did you mean "contacts"'),
        ("SELECT nam FROM contacts", 'column "nam" not found'),
        ("SELECT error('boom')", "boom"),
        ("SELECT 'open", "unterminated"),
        ("", "Give one SQL query: there is none"),
        (" ; ", "Give one SQL query: there is none"),
        ("SELECT 1; SELECT 2", r"Give one SQL query: there is more than one \(2\)"),
        ("SELECT 1; DROP TABLE contacts", "Give one SQL query"),
    ],
)
def test_a_wrong_query_is_told_in_one_message(query: str, words: str, kind: str | None, lake: Lake, out: Any) -> None:
    with pytest.raises(QueryError, match=words) as caught:
        answer(lake, query, kind=kind)
    assert "COPY" not in str(caught.value)  # that is ours, not the user's
    assert out() == ""


@pytest.mark.parametrize("kind", [None, "csv"])
def test_queries_that_would_write_are_refused(kind: str | None, lake: Lake) -> None:
    before = lake.rows("SELECT max(snapshot_id) FROM lake.snapshots()")
    for query in (
        "DELETE FROM contacts",
        "INSERT INTO _drift VALUES ('a', 'b', 'c', now())",
        "UPDATE _lake SET format = 9",
        "DROP TABLE contacts",
        "CREATE TABLE mine AS SELECT 1",
        "ALTER TABLE contacts DROP COLUMN name",
        "COMMENT ON TABLE contacts IS 'mine'",
        "TRUNCATE contacts",
    ):
        with pytest.raises(QueryError):
            answer(lake, query, kind=kind)
    with Lake.open(lake.path) as anew:
        assert anew.rows("SELECT max(snapshot_id) FROM lake.snapshots()") == before
        assert anew.rows("SELECT format FROM _lake") == [(FORMAT,)]


def test_parquet_is_not_for_the_terminal(lake: Lake, out: Any) -> None:
    with pytest.raises(QueryError, match="name one with -o FILE"):
        answer(lake, "SELECT 1", kind="parquet")
    assert out() == ""


@pytest.mark.parametrize("name", ["answer", "answer.txt", "answer.docx", ".csv"])
def test_a_name_without_a_known_format_is_refused_and_nothing_written(name: str, lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"names no format: end it with \.csv, \.json, \.parquet or \.xlsx"):
        answer(lake, "SELECT 1", output=tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["table", "csv", "json", "parquet", "xlsx"])
def test_a_place_that_cannot_be_written_is_told_in_one_message(kind: str, lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"nowhere.*No such file or directory"):
        answer(lake, "SELECT 1", kind=kind, output=tmp_path / "nowhere" / "a")


def test_a_query_that_fails_halfway_leaves_the_old_file(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("older\n")
    with pytest.raises(QueryError):
        answer(lake, "SELECT * FROM nowhere", output=tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "older\n"
