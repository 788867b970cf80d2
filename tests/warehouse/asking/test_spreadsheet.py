"""CSV that a spreadsheet opens: nothing that somebody wrote is run there, and numbers stay numbers."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import run
from tests.lakes import new_lake
from warehouse import Lake
from warehouse.asking.export import export
from warehouse.asking.query import write_rows

RUN = ["=1+1", "+1-2", "-1+1", "@SUM(A1)", "\tx", "\rx", "\nx", "  =1", "\u00a0=1", "\u3000=1", "\ufeff=1", "\x01=1"]
WIDE = ["\uff1d1", "\uff0b1", "\uff0d1", "\uff20a", "-", "=", "+250 788", "-5\n"]
LEFT = ["-5", "+250788123456", "-1.5", "-1,5", "+.5", "-1e5", "a=1", "'=1", "", "é", "5-3", "[=1]"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_lake(tmp_path_factory.mktemp("spreadsheet") / "lake")


@pytest.fixture
def lake(path: Path) -> Iterator[Lake]:
    with Lake.open(path) as lake:
        yield lake


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def rows(file: Path) -> list[list[str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.reader(lines))


def test_text_that_would_be_run_becomes_text_and_numbers_stay(lake: Lake, tmp_path: Path) -> None:
    values = [*RUN, *WIDE, *LEFT]
    query = f"SELECT unnest([{', '.join(map(quoted, values))}]) AS text"
    write_rows(lake, query, "csv", tmp_path / "a.csv")
    assert rows(tmp_path / "a.csv") == [["text"], *([f"'{one}"] for one in RUN + WIDE), *([one] for one in LEFT)]
    write_rows(lake, query, "csv", tmp_path / "raw.csv", raw=True)
    assert rows(tmp_path / "raw.csv") == [["text"], *([one] for one in values)]


def test_so_do_headings_of_which_several_may_be_the_same_and_text_of_other_types(lake: Lake, tmp_path: Path) -> None:
    query = """
        SELECT '=a'::ENUM('=a') AS "=x", '=b'::BLOB AS a, 2 AS a, -5 AS n, DATE '2026-10-01' AS day,
            union_value(text := '=c') AS either, ['=d'] AS list, NULL::VARCHAR AS none
    """
    write_rows(lake, query, "csv", tmp_path / "a.csv")
    assert rows(tmp_path / "a.csv") == [
        ["'=x", "a", "a_1", "n", "day", "either", "list", "none"],
        ["'=a", "'=b", "2", "-5", "2026-10-01", "'=c", "['=d']", ""],
    ]
    write_rows(lake, "PIVOT (SELECT '=1' AS a, 1 AS b) ON a USING sum(b)", "csv", tmp_path / "b.csv")
    assert rows(tmp_path / "b.csv")[0] == ["'=1"]


def test_an_export_does_it_too_unless_it_shall_not(path: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(path, tmp_path / "lake"))
    with Lake.create(own) as writing:
        writing.commit(
            lambda connection: connection.execute(
                "INSERT INTO labels (uuid, name, synced_on) VALUES (uuid(), '=1+1', now())"
            )
        )
    with Lake.open(own, guarded=False) as lake:
        for raw, name in ((False, "'=1+1"), (True, "=1+1")):
            export(lake, tmp_path / "out", kind="csv", names=["labels"], raw=raw)
            heading, row = rows(tmp_path / "out" / "labels" / "labels.csv")
            assert row[heading.index("name")] == name


def test_the_commands_take_the_option(path: Path) -> None:
    assert run("sql", "SELECT '=1' AS a", "--format", "csv", "--lake", path).out == "a\n'=1\n"
    assert run("sql", "SELECT '=1' AS a", "--format", "csv", "--raw", "--lake", path).out == "a\n=1\n"
