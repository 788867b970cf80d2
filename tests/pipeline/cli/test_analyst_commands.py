"""`rapidlake report`, `export`, `shell` and Excel files as people use them: processes, exit codes, words, files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import openpyxl
import pytest

from pipeline.reading.progress import Quiet
from pipeline.settings import load_settings
from pipeline.syncing.sync import choose, sync
from sandbox import Sandbox, Workspace
from tests.commands import run, run_apart
from tests.lakes import new_lake
from warehouse import Lake


@pytest.fixture(scope="module")
def lake(small_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lake of the small workspace, which no test changes."""
    path = new_lake(tmp_path_factory.mktemp("analysts") / "lake")
    with Sandbox(small_workspace, keep=True) as sandbox:
        sync(load_settings(url=sandbox.url, token=sandbox.token, lake=path), choose([]), Quiet())
    yield path


def test_a_report_is_one_file_that_says_where_it_is(lake: Path, tmp_path: Path) -> None:
    ended = run("report", "--lake", lake, "-o", tmp_path / "new" / "report.html")
    assert (ended.code, ended.out) == (0, f"Written: {tmp_path / 'new' / 'report.html'}\n"), ended.said
    html = (tmp_path / "new" / "report.html").read_text("utf-8")
    assert "http://" not in html.replace("http://www.w3.org", "") and "https://" not in html
    assert html.count("data:image/svg+xml") == 18  # nine charts, each for a screen and for a phone
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["report.html"]


def test_a_report_of_an_empty_lake_or_to_nowhere_is_refused_in_one_sentence(lake: Path, tmp_path: Path) -> None:
    Lake.create(tmp_path / "empty").close()
    assert run("report", "--lake", tmp_path / "empty").err == (
        f"rapidlake: The lake {tmp_path / 'empty'} has no views yet: run `rapidlake sync` once.\n"
    )
    (tmp_path / "file").touch()
    refused = run("report", "--lake", lake, "-o", tmp_path / "file" / "report.html")
    assert refused.code == 1 and "cannot be written" in refused.err and "choose another place" in refused.err


def test_an_export_says_what_it_wrote(lake: Path, tmp_path: Path) -> None:
    people = run("export", "messages", "contacts_wide", "--lake", lake, "--to", tmp_path / "out")
    assert people.code == 0 and people.out.startswith("2 tables and views, "), people.said
    machines = run("export", "messages", "--format", "csv", "--lake", lake, "--to", tmp_path / "out", "--json")
    assert machines.facts == [{"name": "messages", "folder": "messages", "rows": 600}]
    assert list((tmp_path / "out" / "messages").rglob("*.csv"))
    unknown = run("export", "mesages", "--lake", lake, "--to", tmp_path / "out")
    assert unknown.code == 1 and "has no table or view mesages" in unknown.err


def test_the_shell_begins_inside_the_lake_and_only_reads(lake: Path) -> None:
    typed = (
        "SELECT count(*) AS n FROM messages;\nSELECT count(*) > 0 FROM results.registration;\nDELETE FROM messages;\n"
    )
    ended = run_apart("shell", "--lake", lake, typed=typed)
    assert "600" in ended.out and "true" in ended.out
    assert "This SQL is a DELETE" in ended.err
    missing = run("shell", "--lake", "nowhere")
    assert missing.code == 2 and "There is no lake at nowhere" in missing.err


def test_the_prompt_of_duckdb_which_sql_may_ask_for_its_environment_has_no_token(lake: Path) -> None:
    told = {
        "RAPIDPRO_TOKEN": "planted-token",
        "RAPIDPRO_TOKEN_FILE": "planted-file",
        "RAPIDPRO_URL": "https://a.example",
    }
    typed = f"SELECT {', '.join(f'getenv({name!r}) AS v{number}' for number, name in enumerate(told))};\n"
    ended = run_apart("shell", "--unguarded", "--lake", lake, typed=typed, **told)
    assert "a.example" in ended.out and "planted" not in ended.said, ended.said


@pytest.mark.parametrize(
    "words",
    [("sql", "FROM contacts"), ("export", "contacts"), ("report",), ("dictionary",), ("shell",), ("status",)],
    ids=lambda words: words[0],
)
def test_what_reads_keeps_a_moment_of_the_catalog_and_leaves_the_lakes_alone(
    words: tuple[str, ...], lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads the catalog itself leaves the files of its log beside it."""
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "lake"
    shutil.copytree(lake, copy)
    Lake.create(copy).close()
    for log in copy.glob("catalog.sqlite-*"):
        assert log.name.endswith("-shm") or not log.stat().st_size
        log.unlink()
    assert run_apart(*words, "--lake", copy, typed="FROM contacts;\n").code == 0
    assert [file.name for file in copy.glob("catalog.sqlite*")] == ["catalog.sqlite"]


def test_an_answer_in_excel_needs_a_file(lake: Path, tmp_path: Path) -> None:
    assert "Excel is for files" in run("sql", "FROM contacts_wide", "--format", "xlsx", "--lake", lake).err
    assert run("sql", "FROM contacts_wide", "--lake", lake, "-o", tmp_path / "contacts.xlsx").code == 0
    assert (tmp_path / "contacts.xlsx").stat().st_size > 10_000


def test_an_excel_file_holds_what_the_lake_holds(lake: Path, tmp_path: Path) -> None:
    query = "SELECT id, contact_name, direction, archived, text, sent_on::TIMESTAMP FROM messages ORDER BY id"
    assert run("sql", query, "--lake", lake, "-o", tmp_path / "messages.xlsx").code == 0
    with Lake.open(lake) as opened:
        expected = opened.rows(query)
    sheet = openpyxl.load_workbook(tmp_path / "messages.xlsx").active
    found = list(sheet.iter_rows(min_row=2, values_only=True))
    assert [row[:-1] for row in found] == [row[:-1] for row in expected]
    for (*_, shown), (*_, sent) in zip(found, expected, strict=True):  # a cell holds milliseconds
        assert shown == sent or abs(shown - sent) <= timedelta(milliseconds=1)


def test_text_that_is_too_long_for_excel_is_cut_and_that_is_told(lake: Path, tmp_path: Path) -> None:
    long = "SELECT repeat('x', 40000) AS text FROM range(2)"
    ended = run("sql", long, "--lake", lake, "-o", tmp_path / "a.xlsx")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == (
        "Cut at 32,767 characters, all that a cell of Excel holds: 2 cells. "
        "Write .csv or .parquet for the whole text.\n"
    )
    assert run("sql", long, "--lake", lake, "-o", tmp_path / "a.csv").err == ""
