"""Excel files: what they hold as another program reads them, and what Excel has no cell for."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.utils.escape import unescape

from tests.lakes import new_lake
from warehouse import Lake, refresh_views
from warehouse.asking.query import write_rows
from warehouse.errors import QueryError

at = datetime.fromisoformat


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake of a workspace in Kigali, two hours before UTC."""
    path = new_lake(tmp_path_factory.mktemp("excel") / "lake")
    with Lake.create(path) as lake:
        lake.commit(
            lambda connection: connection.execute(
                "INSERT INTO workspace (uuid, name, timezone, synced_on) VALUES (uuid(), 'W', 'Africa/Kigali', now())"
            )
        )
        refresh_views(lake)
    with Lake.open(path) as lake:
        yield lake


def sheet(lake: Lake, file: Path, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query as openpyxl reads them from the file, with the heading."""
    write_rows(lake, query, "xlsx", file)
    book = openpyxl.load_workbook(file)
    try:
        return [tuple(cell.value for cell in row) for row in book.active.iter_rows()]
    finally:
        book.close()


@pytest.fixture
def cell(lake: Lake, tmp_path: Path) -> Any:
    """What a cell holds for an expression in SQL."""
    return lambda expression: sheet(lake, tmp_path / "a.xlsx", f"SELECT {expression} AS a, 1 AS b")[1][0]


@pytest.mark.parametrize(
    ("expression", "held"),
    [
        ("42", 42),
        ("-1.25::DECIMAL(38, 20)", -1.25),
        ("1e300", 1e300),
        ("sum(7::BIGINT)", 7),
        ("true", True),
        ("'plain'", "plain"),
        ("' at both ends '", " at both ends "),
        ("E'two\\nlines\\tand a tab'", "two\nlines\tand a tab"),
        ("E'two\\r\\nlines'", "two\nlines"),
        ("'<&>\"é 😀'", "<&>\"é 😀"),
        ("DATE '2026-02-28'", at("2026-02-28")),
        ("DATE '1900-03-01'", at("1900-03-01")),
        ("DATE '9999-12-31'", at("9999-12-31")),
        ("TIMESTAMP '2026-02-28 13:14:15'", at("2026-02-28 13:14:15")),
        ("TIMESTAMPTZ '2026-07-31 23:30:00Z'", at("2026-08-01 01:30:00")),
        ("TIME '10:11:12'", time(10, 11, 12)),
        ("'\ufffd'", "\ufffd"),
        ("NULL::VARCHAR", None),
    ],
)  # fmt: skip
def test_what_excel_has_a_cell_for_is_what_it_is(cell: Any, expression: str, held: object) -> None:
    assert cell(expression) == held


@pytest.mark.parametrize(
    ("expression", "held"),
    [
        ("DATE '0001-01-01'", "0001-01-01"),
        ("DATE '1900-02-28'", "1900-02-28"),
        ("DATE '10000-01-01'", "10000-01-01"),
        ("TIMESTAMP '1899-12-31 10:00:00'", "1899-12-31 10:00:00"),
        ("TIMESTAMP '9999-12-31 23:59:59.999999'", "9999-12-31 23:59:59.999999"),
        ("TIMESTAMPTZ '0001-01-01 00:00:00Z'", "0001-01-01 02:10:18"),
        ("TIMESTAMP '290000-01-01'", "290000-01-01 00:00:00"),
        ("9007199254740993", "9007199254740993"),
        ("-1234567890123456", "-1234567890123456"),
        ("12345678901234567890::HUGEINT", "12345678901234567890"),
        ("'inf'::DOUBLE", "inf"),
        ("'-inf'::DOUBLE", "-inf"),
        ("'nan'::DOUBLE", "nan"),
        ("1.7e308", "1.7e+308"),
        ("[1, 2]", "[1,2]"),
        ("{'name': 'é', 'n': [1]}", '{"name":"é","n":[1]}'),
        ("MAP {'age': '34'}", '{"age":"34"}'),
        ("""'{"a": 1}'::JSON""", '{"a": 1}'),
        ("'550e8400-e29b-41d4-a716-446655440000'::UUID", "550e8400-e29b-41d4-a716-446655440000"),
        ("'word'::ENUM ('word')", "word"),
        ("INTERVAL 3 DAY", "3 days"),
        ("'10:00:00+02'::TIMETZ", "10:00:00+02"),
        (r"'\xAA'::BLOB", r"\xAA"),
    ],
)  # fmt: skip
def test_what_excel_has_no_cell_for_is_text(cell: Any, expression: str, held: str) -> None:
    assert cell(expression) == held


@pytest.mark.parametrize("number", ["999999999999999", "-999999999999999", "1000000000000000", "1e15::DECIMAL(38, 2)"])
def test_numbers_are_numbers_as_long_as_excel_keeps_their_digits(cell: Any, number: str) -> None:
    assert cell(number) == float(number.split("::")[0])


@pytest.mark.parametrize("text", ["=1+1", "+1", "@cmd", "{=1}", "https://example.org", "mailto:a@example.org", "#N/A"])
def test_text_is_text_and_neither_formula_nor_link(lake: Lake, tmp_path: Path, text: str) -> None:
    assert sheet(lake, tmp_path / "a.xlsx", f"SELECT '{text}' AS a")[1] == (text,)
    with zipfile.ZipFile(tmp_path / "a.xlsx") as book:
        marks = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in marks and "<hyperlink" not in marks


def test_an_id_beyond_fifteen_digits_does_not_make_text_of_the_others(lake: Lake, tmp_path: Path) -> None:
    rows = sheet(lake, tmp_path / "a.xlsx", "SELECT unnest([7, 9007199254740993, NULL, 8]) AS a, 'x' AS b")
    assert [row[0] for row in rows] == ["a", 7, "9007199254740993", None, 8]


def test_control_characters_are_replaced_in_cells_and_headings(lake: Lake, tmp_path: Path) -> None:
    odd = "||".join(f"chr({code})" for code in [*range(32), 127, 155, 0x2028, 0xFFFE, 0xFFFF, 0x1FFFF])
    heading, row = sheet(lake, tmp_path / "a.xlsx", f'SELECT {odd} AS "vertical\x0btab", [{odd}] AS list')
    assert heading == ("vertical\ufffdtab", "list")
    assert (
        row[0] == "\ufffd" * 9 + "\t\n" + "\ufffd" * 2 + "\n" + "\ufffd" * 18 + "\x7f\x9b\u2028\ufffd\ufffd\U0001ffff"
    )


def test_text_that_looks_like_an_escape_of_excels_stays_that_text(cell: Any) -> None:
    assert unescape(cell("'a_x000B_b'")) == "a_x000B_b"


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("repeat('x', 32767)", "x" * 32_767),
        ("repeat('x', 32768)", "x" * 32_766 + "…"),
        ("repeat('😀', 16383) || 'x'", "😀" * 16_383 + "x"),
        ("repeat('😀', 16384)", "😀" * 16_383 + "…"),
        ("'x' || repeat('😀', 16384)", "x" + "😀" * 16_382 + "…"),
    ],
)
def test_a_cell_holds_as_many_characters_as_excel_does(cell: Any, text: str, held: str) -> None:
    assert cell(text) == held


def test_cells_that_were_cut_are_counted(lake: Lake, tmp_path: Path) -> None:
    query = "SELECT repeat('x', n) AS a, repeat('y', 40000) AS b FROM range(32766, 32770) AS lengths (n)"
    assert write_rows(lake, query, "xlsx", tmp_path / "a.xlsx") == 6
    assert write_rows(lake, query, "csv", tmp_path / "a.csv") == 0


def test_columns_of_one_name_are_all_there(lake: Lake, tmp_path: Path) -> None:
    assert sheet(lake, tmp_path / "a.xlsx", 'SELECT 1 AS a, 2 AS a, 3 AS "A"') == [("a", "a", "A"), (1, 2, 3)]


def test_rows_keep_their_order_and_number(lake: Lake, tmp_path: Path) -> None:
    rows = sheet(lake, tmp_path / "a.xlsx", "SELECT n FROM range(2500) AS numbers (n) ORDER BY n DESC")
    assert rows == [("n",), *((n,) for n in reversed(range(2500)))]


def test_an_empty_answer_is_a_heading(lake: Lake, tmp_path: Path) -> None:
    assert sheet(lake, tmp_path / "a.xlsx", "SELECT uuid, name FROM contacts") == [("uuid", "name")]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT 1 FROM range(1048576)", "Excel holds 1,048,575 rows, there are at least 1,048,576: write .csv"),
        (f"SELECT {', '.join(['1'] * 16385)}", "Excel holds 16,384 columns, there are 16,385: write .csv"),
        ("SELECT error('boom')", "boom"),
        ("SELECT IF(n = 2000, error('boom'), 'a') FROM range(3000) AS numbers (n)", "boom"),
        ("SELECT nam FROM contacts", 'column "nam" not found'),
    ],
    ids=["rows", "columns", "wrong at once", "wrong halfway", "a wrong name"],
)
def test_what_cannot_be_written_leaves_the_old_file(lake: Lake, tmp_path: Path, query: str, words: str) -> None:
    (tmp_path / "a.xlsx").write_text("older")
    with pytest.raises(QueryError, match=words):
        write_rows(lake, query, "xlsx", tmp_path / "a.xlsx")
    assert (tmp_path / "a.xlsx").read_text() == "older"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_day_is_shown_as_a_day_and_a_time_as_a_time(lake: Lake, tmp_path: Path) -> None:
    write_rows(
        lake, "SELECT DATE '2026-01-02', TIMESTAMP '2026-01-02 03:04:05', TIME '03:04:05'", "xlsx", tmp_path / "a.xlsx"
    )
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    formats = [cell.number_format for cell in book.active[2]]
    assert formats == ["yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss", "hh:mm:ss"]
    assert book.active["A2"].value.date() == date(2026, 1, 2)
