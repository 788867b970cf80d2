"""The command line as people and machines use it: real processes, their exit codes, and what they print."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import chdir, closing
from functools import partial
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipeline.cli.commands import app
from pipeline.cli.demo import is_only_begun
from pipeline.streams import STREAMS
from sandbox import Faults, Sandbox, generate
from tests.commands import access, run, run_apart, start
from tests.lakes import new_lake
from tests.processes import run as run_process
from warehouse import Lake

SYNCED = ["messages", "contacts", "labels", "statistics"]
LABELS_BY_NAME = "SELECT name, count FROM labels ORDER BY name"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A small workspace; a test that changes its faults puts them back."""
    with Sandbox(generate(messages=300, seed=1, archives=False), requests_per_hour=0) as served:
        yield served


@pytest.fixture(scope="module")
def lake(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with some streams of it, made by `rapidlake sync`; no test writes to it."""
    path = new_lake(tmp_path_factory.mktemp("synced") / "lake")
    with chdir(path.parent):
        ended = run("sync", *SYNCED, "--lake", path, "--json", **access(sandbox))
    assert ended.code == 0
    path.with_name("said.json").write_text(ended.out, encoding="utf-8")
    return path


# -- help --


def test_help_says_what_to_try_first_and_names_every_command() -> None:
    ended = run_apart("--help")
    assert ended.code == 0
    assert "rapidlake demo" in ended.said
    for name in ("sync", "status", "sql", "doctor", "sandbox", "demo"):
        assert f" {name} " in ended.said
    bare = run_apart()
    assert bare.code == 2
    assert bare.said == ended.said


def test_the_help_of_a_command_names_every_option_of_it() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert commands
    for name, command in commands.items():
        shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else []:
                assert re.search(rf"(?<![\w-]){option}(?![\w-])", shown), f"{name}: {option}"
            assert parameter.param_type_name == "argument" or parameter.help, f"{name}: {parameter.name} has no help"


def test_help_does_not_load_what_only_the_work_needs() -> None:
    heavy = ("dagster", "duckdb", "httpx", "pandas", "pipeline.syncing.sync", "pyarrow", "pydantic", "uvicorn")
    code = f"import pipeline.cli.app, sys; print([name for name in {heavy} if name in sys.modules])"
    assert run_process([sys.executable, "-c", code]).stdout == "[]\n"


# -- sync and status --


def test_sync_tells_machines_how_every_stream_ended(lake: Path, sandbox: Sandbox) -> None:
    facts = json.loads(lake.with_name("said.json").read_text(encoding="utf-8"))
    assert facts["workspace"] == sandbox.workspace.rows("workspace")[0]["uuid"]
    assert (facts["lake"], facts["failed"]) == (str(lake), False)
    streams = {stream["stream"]: stream for stream in facts["streams"]}
    assert list(streams) == SYNCED
    assert (streams["messages"]["rows_new"], streams["messages"]["outcome"]) == (300, "done")
    assert streams["statistics"]["outcome"] == "not offered"


def test_sync_tells_people_what_came_and_where_it_went(sandbox: Sandbox, tmp_path: Path) -> None:
    ended = run_apart("sync", "labels", "--lake", tmp_path / "lake", **access(sandbox))
    assert ended.code == 0
    assert "labels: 5 new, 0 changed, 1 request" in ended.err
    assert re.search(r"^/.*/lake: 5 new, 0 changed, 0 deleted, 1 request, [\d.]+ s\.$", ended.out.strip())


def test_status_shows_what_is_in_the_lake(lake: Path, sandbox: Sandbox) -> None:
    people, machines = run("status", "--lake", lake), run("status", "--lake", lake, "--json")
    assert (people.code, machines.code) == (0, 0)
    facts = machines.facts
    assert (facts["lake"], facts["workspace"]) == (str(lake), sandbox.workspace.rows("workspace")[0]["uuid"])
    streams = {stream["stream"]: stream for stream in facts["streams"]}
    assert (streams["messages"]["rows"], streams["messages"]["outcome"]) == (300, "done")
    assert (streams["contacts"]["rows"], streams["contacts"]["deleted"]) == (39, 1)
    assert (streams["runs"]["rows"], streams["runs"]["outcome"]) == (0, None)
    assert list(streams) == list(STREAMS)
    assert streams["messages"]["read_up_to"]
    lines = {line.split()[0]: line.split()[1:] for line in people.out.splitlines() if line}
    assert lines["messages"][0] == "300"
    assert lines["contacts"][:2] == ["39", "1"]
    assert "…" not in people.out


def test_an_interrupted_sync_asks_for_no_more_says_so_and_goes_on_next_time(sandbox: Sandbox, tmp_path: Path) -> None:
    settings = {**access(sandbox), "RAPIDLAKE_LAKE": str(tmp_path / "lake")}
    streams = ("messages", "campaigns", "channels", "flows", "globals", "groups", "labels", "topics", "users")
    asked: list[str] = []
    told: list[str] = []

    def interrupt(endpoint: str) -> None:
        asked.append(endpoint)
        if len(asked) == 5:
            process.send_signal(signal.SIGINT)
            while told[-1:] != [""] and "Stopping" not in "".join(told):
                told.append(process.stderr.readline())

    sandbox.after_page = interrupt
    try:
        process = start("sync", *streams, **settings)
        code = process.wait()
    finally:
        sandbox.after_page = None
    out, err = process.stdout.read(), "".join(told) + process.stderr.read()
    assert len(asked) < len(streams)
    assert code == 1
    assert "Stopping after a last commit; Ctrl-C again to stop at once" in err
    assert "run the same command again to go on" in err
    assert "Traceback" not in out + err
    assert not list((tmp_path / "lake/spool").glob("*.jsonl"))
    again = run("sync", *streams, "--json", **settings)
    assert (again.code, again.facts["failed"]) == (0, False)
    with Lake.open(tmp_path / "lake") as opened:
        assert opened.rows("SELECT count(*), count(DISTINCT id) FROM messages") == [(300, 300)]


# -- sql --


def test_sql_answers_in_the_form_asked_for(lake: Path, sandbox: Sandbox) -> None:
    expected = sorted((row["name"], row["count"]) for row in sandbox.workspace.rows("labels"))
    ask = partial(run, "sql", RAPIDLAKE_LAKE=str(lake))
    table, csv = ask(LABELS_BY_NAME), ask(f"{LABELS_BY_NAME};", "--format", "csv")
    lines, written = ask(LABELS_BY_NAME, "--json"), ask(LABELS_BY_NAME, "-o", "labels.parquet")
    assert [ended.code for ended in (table, csv, lines, written)] == [0, 0, 0, 0]
    assert all(f" {name} " in table.said for name, _ in expected)
    assert csv.out.splitlines()[0] == "name,count"
    assert len(csv.out.splitlines()) == 1 + len(expected)
    rows = [json.loads(line) for line in lines.out.splitlines()]
    assert [(row["name"], row["count"]) for row in rows] == expected
    assert (written.out, Path("labels.parquet").read_bytes()[:4]) == ("", b"PAR1")


def test_sql_that_cannot_be_answered_is_told_with_the_reason(lake: Path) -> None:
    expected = {
        ("SELEC 1",): (1, 'syntax error at or near "SELEC"'),
        ("SELECT 1; SELECT 2",): (1, "Give one SQL query: there is more than one"),
        ("SELECT nam FROM labels",): (1, 'Candidate bindings: "name"'),
        ("DELETE FROM labels",): (1, "This SQL is a DELETE, and only SQL that reads the lake is run"),
        ("SELECT 1", "-o", "missing/file.csv"): (1, "missing/file.csv cannot be written (No such file or directory)"),
        ("SELECT 1", "-o", "file.docx"): (1, "file.docx names no format: end it with .csv, .json, .parquet"),
        ("SELECT 1", "--format", "parquet"): (1, "name one with -o FILE"),
        ("SELECT 1", "--format", "xlsx"): (1, "Excel is for files, not for the terminal: name one with -o FILE"),
        ("SELECT 1", "--format", "xml"): (2, "'xml' is not one of 'table', 'csv', 'json', 'parquet'"),
        (): (2, "Missing argument 'SQL'"),
    }
    ended = [run("sql", *arguments, RAPIDLAKE_LAKE=str(lake)) for arguments in expected]
    for one, (code, words) in zip(ended, expected.values(), strict=True):
        assert (one.code, one.out) == (code, ""), words
        assert words in one.said
    assert not Path("file.xlsx").exists()


# -- doctor --


def test_the_doctor_finds_nothing_wrong_where_nothing_is(lake: Path, sandbox: Sandbox) -> None:
    people = run("doctor", "--lake", lake, **access(sandbox))
    machines = run("doctor", "--json", "--lake", "new/lake", **access(sandbox))
    assert (people.code, machines.code) == (0, 0)
    assert "✗" not in people.out
    assert f"the workspace {sandbox.workspace.rows('workspace')[0]['uuid']}" in people.out
    findings = {finding["check"]: finding for finding in machines.facts}
    assert findings.keys() == {"address", "settings", "token", "clock", "role", "endpoints", "disk", "lake"}
    assert findings["settings"]["found"] == "the token is from RAPIDPRO_TOKEN"
    assert "the first sync makes it" in findings["lake"]["found"]
    assert not Path("new").exists()


def test_the_doctor_names_a_role_that_may_not_read_and_a_lake_that_cannot_be(sandbox: Sandbox) -> None:
    Path("file").write_text("not a lake", encoding="utf-8")
    sandbox.faults = Faults(script={"runs": ["forbidden"], "labels": ["forbidden"]})
    try:
        ended = run("doctor", "--json", "--lake", "file/lake", **access(sandbox))
    finally:
        sandbox.faults = Faults()
    assert ended.code == 1
    wrong = {finding["check"]: (finding["found"], finding["advice"]) for finding in ended.facts if not finding["good"]}
    assert wrong.keys() == {"role", "lake"}
    assert wrong["role"] == ("the token may not read runs, labels", "use a token of an Administrator or Editor")
    assert "is a file" in wrong["lake"][0]


def test_the_doctor_tells_a_wrong_token_and_a_lake_of_another_workspace(lake: Path, sandbox: Sandbox) -> None:
    wrong_token = run("doctor", "--lake", lake, **{**access(sandbox), "RAPIDPRO_TOKEN": "0f3c9a6e5b7d4812a9c0ffee"})
    assert wrong_token.code == 1
    assert "✗ server" in wrong_token.out
    assert "Check RAPIDPRO_TOKEN" in wrong_token.out
    assert "✓ lake" in wrong_token.out
    with generate(messages=0, seed=2, archives=False) as workspace:
        workspace.edit("workspace", 1, changes={"name": "Another", "uuid": "0f3c9a6e-5b7d-4812-a9c0-ffee0f3c9a6e"})
        with Sandbox(workspace, requests_per_hour=0) as other:
            ended = run("doctor", "--lake", lake, **access(other))
    assert ended.code == 1
    assert "✗ lake" in ended.out
    assert "use another --lake, or the other token" in ended.said


# -- sandbox and demo --


def test_the_sandbox_serves_and_prints_what_to_type() -> None:
    process = start("sandbox", "--messages", "0", "--no-archives", "--port", "0")
    assert process.stderr
    try:
        lines = [process.stderr.readline().strip() for _ in range(3)]
        url, token = re.fullmatch(r"export RAPIDPRO_URL=(\S+) RAPIDPRO_TOKEN=(\S+)", lines[1]).groups()  # type: ignore[union-attr]
        assert run("sync", "workspace", RAPIDPRO_URL=url, RAPIDPRO_TOKEN=token).code == 0
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 0


def test_a_sandbox_that_cannot_be_served_is_told_with_what_to_do() -> None:
    for folder in ("empty", "broken"):
        Path(folder).mkdir()
    Path("broken/contacts.jsonl").write_text("{", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        expected = {
            ("--data", "missing"): "--data missing is no folder",
            ("--data", "empty"): "--data empty cannot be read",
            ("--data", "broken"): "--data broken cannot be read",
            ("--faults", "typo=1"): "no fault is called 'typo'; there are error, ",
            ("--messages", 0, "--no-archives", "--port", port): f"Port {port} cannot be used (Address already in use)",
            ("--port", 99999): "Invalid value for '--port'",
        }
        ended = [run("sandbox", *arguments) for arguments in expected]
    for one, words in zip(ended, expected.values(), strict=True):
        assert words in one.said
        assert one.code == 2


@pytest.mark.long
def test_the_demo_replaces_an_older_demo_and_refuses_a_folder_that_holds_something_else(lake: Path) -> None:
    with generate(messages=0, seed=1, archives=False) as workspace:
        demo = workspace.rows("workspace")[0]["uuid"]
    for folder, owner in (("demo-lake", demo), ("mine", "0f3c9a6e-5b7d-4812-a9c0-ffee0f3c9a6e")):
        shutil.copytree(lake, folder)
        with Lake.create(Path(folder)) as stored:
            own = f"UPDATE _lake SET workspace_uuid = '{owner}'"
            stored.commit(lambda connection, own=own: connection.execute(own))
    Path("thesis").mkdir()
    for file in ("demo-lake/old", "thesis/chapter"):
        Path(file).write_text("much work", encoding="utf-8")

    ended = run("demo", "--messages", 100)
    refused = [run("demo", "--messages", 100, "--lake", folder) for folder in ("mine", "thesis")]

    assert ended.code == 0
    assert not Path("demo-lake/old").exists()
    assert "0 rows new, 0 changed" in ended.out
    assert re.search(r"Weekly Farm Report, North +│ +\d+ │", ended.out)
    assert "sql --lake demo-lake" in ended.out
    for one, folder in zip(refused, ("mine", "thesis"), strict=True):
        assert one.code == 2
        assert f"{folder} is there and holds no demo: move it away, or choose another folder with --lake" in one.said
    assert Path("thesis/chapter").read_text(encoding="utf-8") == "much work"
    for folder, messages in (("demo-lake", 100), ("mine", 300)):
        with Lake.open(Path(folder)) as stored:
            assert stored.rows("SELECT count(*) FROM messages WHERE source = 'api'") == [(messages,)]


def test_a_lake_that_was_only_begun_is_replaced_by_a_demo_unless_something_else_is_there() -> None:
    Path("begun/spool/writer-12345678").mkdir(parents=True)
    Path("begun/catalog.sqlite").touch()
    new_lake(Path("made"))
    for folder, file in (("notes", "chapter"), ("data", "data/mine.csv")):
        new_lake(Path(folder))
        Path(folder, file).write_text("much work", encoding="utf-8")
    with Lake.create(new_lake(Path("rows"))) as stored:
        stored.rows("INSERT INTO labels (uuid, name) VALUES (uuid(), 'Kept')")
    Path("others").mkdir()
    Path("drafts/first").mkdir(parents=True)
    with closing(sqlite3.connect("others/catalog.sqlite")) as connection:
        connection.execute("PRAGMA page_size = 1024")
        connection.execute("CREATE TABLE recipes (name TEXT)")

    for folder in ("notes", "data", "rows", "others", "drafts"):
        assert not is_only_begun(Path(folder)), folder
    assert is_only_begun(Path("made"))
    with Lake.create(Path("made")):  # another process is making it
        assert not is_only_begun(Path("made"))
    assert run("demo", "--messages", 100, "--lake", "begun").code == 0


def test_words_of_the_workspace_and_the_server_are_shown_on_a_terminal_and_not_obeyed(tmp_path: Path) -> None:
    odd = "chr(27) || '[2J[bold]W[/]' || chr(155)"
    with Lake.create(new_lake(tmp_path / "lake")) as lake:
        lake.commit(lambda connection: connection.execute(f"UPDATE _lake SET workspace_name = {odd}"))
        lake.commit(
            lambda connection: connection.execute(
                "INSERT INTO _sync BY NAME SELECT uuid() AS run, 'messages' AS stream, now() AS started_on, "
                "1 AS seconds, 0 AS requests, 0 AS pages, 0 AS bytes, 0 AS rows_read, 0 AS rows_new, "
                "0 AS rows_changed, 0 AS rows_deleted, 0 AS rows_quarantined, 0 AS waited_seconds, "
                "'failed' AS outcome, "
                f"'server: ' || {odd} AS message"
            )
        )
    shown = run("status", "--lake", tmp_path / "lake")
    assert shown.code == 0
    assert "messages: server: \ufffd[2J[bold]W[/]\ufffd" in shown.said
    assert "W" not in shown.said.replace("server: \ufffd[2J[bold]W[/]\ufffd", "")  # of the name, in what may be kept
    asked = run("sql", f"SELECT {odd}", "--lake", tmp_path / "lake")
    assert asked.code == 0 and "[2J[bold]W[/]\ufffd" in asked.out
    assert not set("\x1b\x9b") & set(shown.out + shown.err + asked.out)
