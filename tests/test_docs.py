"""The documentation says what the code does: streams, commands, settings, answers, paths, and queries that run."""

from __future__ import annotations

import json
import re
import shlex
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer
import typer.main
from typer.testing import CliRunner

from pipeline.cli.commands import app
from pipeline.settings import Settings
from pipeline.streams import STREAMS, Newest, Snapshot, Window
from sandbox import Faults, Sandbox, generate, remove_archive
from tests.commands import run
from warehouse import Lake, Size, Upkeep
from warehouse.publishing.publish import Published

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README, REFERENCE, API, LAKE, HOW = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/reference.md", "docs/api.md", "docs/lake.md", "docs/how-it-works.md")
)
PAGES = [page for folder in ("", "docs", "deploy", "examples") for page in sorted((ROOT / folder).glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
# What the queries need to run.
SYNCED = ("archives", "definitions", "fields", "flows", "labels", "workspace")
HOUSES = ("pipeline", "warehouse", "sandbox")
A_PATH = re.compile(
    r"(?<![\w/.-])((?:pipeline|warehouse|assets|sandbox|rapidlake|tests|docs|deploy|bench|examples)/[\w./*<>-]*)"
)
# A name of Dagster's, and files of settings and of the token.
NO_PATHS = {"rapidlake/held", "deploy/.env", "deploy/token"}


def section(text: str, heading: str) -> str:
    """What stands below a heading, down to the next of its level."""
    level = "###" if f"\n### {heading}\n" in text else "##"
    below = text.split(f"\n{level} {heading}\n", 1)[1]
    return re.split(rf"\n#{{2,{len(level)}}} ", below, maxsplit=1)[0]


def table(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose first heading is `first`, without its headings."""
    lines = text.split(f"| {first} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def blocks(language: str) -> list[str]:
    """The code blocks of a language, of all pages."""
    return [
        block for page in PAGES for block in re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    ]


COMMANDS: dict[str, Any] = vars(typer.main.get_command(app))["commands"]
ENDPOINTS = {code(row[0])[0]: row for row in table(API, "Endpoint")}
VARIABLES = {
    f"{'RAPIDPRO' if name in ('url', 'token', 'token_file') else 'RAPIDLAKE'}_{name.upper()}": name
    for name in Settings.model_fields
}


def typed(texts: list[str]) -> list[list[str]]:
    """The words after `rapidlake` of each text that begins with it."""
    parts = [part for text in texts for part in text.split(" && ") if re.match(r"(\.venv/bin/)?rapidlake [a-z]", part)]
    return [shlex.split(part, comments=True)[1:] for part in parts]


PROSE = [re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL) for page in PAGES]
IN_BLOCKS = typed([line for block in blocks("sh") for line in block.splitlines()])
IN_SENTENCES = typed([text for prose in PROSE for text in code(prose)])


def test_the_front_page_is_read_to_its_end() -> None:
    assert len(README.splitlines()) <= 150
    assert {"make demo", "make test"} <= {
        line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()
    }
    assert "make demo" in README and "make test" in README


def test_the_api_page_names_every_stream_and_no_other() -> None:
    assert sorted(ENDPOINTS) == sorted(STREAMS)


def test_the_reference_says_how_each_stream_is_read_that_is_not_read_whole() -> None:
    named = [name for row in table(section(REFERENCE, "How streams are read"), "Stream") for name in code(row[0])]
    assert sorted(named) == sorted(
        name for name, stream in STREAMS.items() if not isinstance(stream.strategy, Snapshot)
    )


@pytest.mark.parametrize("name", STREAMS)
def test_the_api_page_says_of_an_endpoint_what_its_stream_declares(name: str) -> None:
    stream, (_, key, sort, filtered, reverse, scope, _) = STREAMS[name], ENDPOINTS[name]
    if key != "none":
        assert key.removesuffix(" of the flow") == ", ".join(stream.table.key)
    assert scope.split(";")[0] == stream.scope
    if isinstance(stream.strategy, Window):
        assert (filtered, reverse == "yes") == (stream.strategy.on, stream.strategy.oldest_first)
    if isinstance(stream.strategy, Newest):
        assert (sort, filtered) == (stream.strategy.on, "none")


def test_the_reference_lists_every_setting_with_its_default() -> None:
    rows = {code(row[0])[0]: row for row in table(section(REFERENCE, "Settings"), "Environment")}
    assert rows.keys() == {*VARIABLES, "RAPIDLAKE_CACHE"}
    for variable, name in VARIABLES.items():
        _, in_toml, default, _ = rows[variable]
        assert code(in_toml) == [name]
        declared = Settings.model_fields[name]
        assert default.strip("`") == (
            "" if declared.is_required() or declared.default is None else str(declared.default)
        )


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_page_names_no_setting_that_is_gone(page: Path) -> None:
    assert set(re.findall(r"RAPID(?:PRO|LAKE)_[A-Z_]+", page.read_text("utf-8"))) <= {*VARIABLES, "RAPIDLAKE_CACHE"}


def test_the_example_of_a_settings_file_has_no_unknown_key() -> None:
    [example] = blocks("toml")
    assert set(re.findall(r"^(\w+) =", example, re.MULTILINE)) <= Settings.model_fields.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_lists_every_command_with_its_options(command: str) -> None:
    described = section(REFERENCE, "Commands")
    assert f"`rapidlake {command}" in described
    own = described.split(f"| `rapidlake {command}", 1)[1].split("| `rapidlake ", 1)[0]
    for option in COMMANDS[command].params:
        if option.param_type_name == "option":
            for spelling in {*option.opts, *option.secondary_opts} - {"--help"}:
                shared = spelling in ("--lake", "--url", "--json")
                assert re.search(rf"`[^`]*{re.escape(spelling)}\b", described if shared else own), spelling


def test_the_reference_lists_no_option_that_is_gone() -> None:
    offered = {
        spelling
        for command in COMMANDS.values()
        for option in command.params
        for spelling in (*option.opts, *option.secondary_opts)
    }
    named = {option for text in code(section(REFERENCE, "Commands")) for option in re.findall(r"--[a-z-]+", text)}
    assert named <= offered | {"--help"}


def test_the_reference_lists_every_fault_of_the_sandbox() -> None:
    described = code(section(REFERENCE, "Commands"))
    assert [fault.name for fault in fields(Faults) if fault.name != "script" and fault.name not in described] == []
    for words in IN_BLOCKS:
        if "--faults" in words:
            Faults.parse(words[words.index("--faults") + 1])


@pytest.mark.parametrize("words", IN_BLOCKS, ids=" ".join)
def test_a_command_of_a_page_can_be_typed(words: list[str]) -> None:
    COMMANDS[words[0]].make_context(words[0], words[1:]).close()


@pytest.mark.parametrize("words", IN_SENTENCES, ids=" ".join)
def test_a_command_within_a_sentence_has_no_option_that_is_gone(words: list[str]) -> None:
    with suppress(typer.BadParameter):  # it need not be whole
        COMMANDS[words[0]].make_context(words[0], words[1:]).close()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_page_names_only_targets_that_make_knows(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make (?:[A-Z]+=\S+ )?([a-z-]+)", page.read_text("utf-8"), re.MULTILINE)) <= targets


def test_the_page_about_the_lake_lists_every_table_of_our_own(tmp_path: Path) -> None:
    with Lake.create(tmp_path / "lake") as lake:
        own = {name for (name,) in lake.rows("SELECT table_name FROM duckdb_tables()") if str(name).startswith("_")}
    described = {name for row in table(section(LAKE, "Tables of Rapidlake's own"), "Table") for name in code(row[0])}
    assert described == own


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each command answers in JSON about a lake of a small workspace, and as `folder`, where that `lake` is."""
    folder = tmp_path_factory.mktemp("docs")
    lake = folder / "lake"
    with generate(messages=100) as workspace, Sandbox(workspace) as server:
        for row in workspace.rows("archives")[:-1]:  # files cost most of the time
            remove_archive(workspace, row)
        settings = {
            "RAPIDPRO_URL": server.url,
            "RAPIDPRO_TOKEN": server.token,
            "RAPIDLAKE_LAKE": str(lake),
            "RAPIDLAKE_REQUESTS_PER_HOUR": "0",
        }
        found = {
            "sync": run("sync", "--json", *SYNCED, **settings).facts,
            "verify": run("verify", "--json", "labels", **settings).facts,
            "maintain": dict.fromkeys((field.name for field in (*fields(Upkeep), *fields(Size))), 0),
            "publish": dict.fromkeys((field.name for field in fields(Published)), 0),
        }
        for name, arguments in {
            "doctor": (),
            "status": (),
            "archives": (),
            "export": ("labels", "--to", str(folder / "export")),
        }.items():
            ended = CliRunner().invoke(app, [name, "--json", *arguments], env=settings)
            assert ended.exit_code == 0, ended.output
            found[name] = json.loads(ended.stdout)
    return found | {"folder": folder}


def keys(answer: object) -> set[str]:
    """Every key of an answer, at any depth."""
    if isinstance(answer, dict):
        return set(answer).union(*map(keys, answer.values()))
    return set().union(*map(keys, answer)) if isinstance(answer, list) else set()


@pytest.mark.parametrize("command", ["sync", "status", "archives", "verify", "maintain", "publish", "export", "doctor"])
def test_the_reference_lists_the_keys_of_every_answer(command: str, answers: dict[str, Any]) -> None:
    described = section(REFERENCE, "Answers in JSON")
    [row] = [row for row in table(described, "Command") if command in code(row[0])]
    listed = set(code(row[1])) - {"loaded", "not loaded", "changed", "left out", "empty"}
    elsewhere = {row[0] for row in table(REFERENCE, "Word")}
    below = set(code(described.split("\n\n", 2)[2])) if command in ("sync", "verify") else set()
    assert listed <= keys(answers[command])
    assert keys(answers[command]) <= listed | below | elsewhere


def test_every_query_of_the_documentation_runs(answers: dict[str, Any]) -> None:
    queries = [statement.query for block in blocks("sql") for statement in duckdb.extract_statements(block)]
    queries = [query for query in queries if re.match(r"\s*(SELECT|FROM|WITH)", query)]
    words_of_sql = [words[1:] for words in IN_BLOCKS if words[0] == "sql"]
    asked = [str(COMMANDS["sql"].make_context("sql", words).params["query"]) for words in words_of_sql]
    asked = [query for query in asked if not query.startswith("$(")]
    assert len(queries) > 8 and len(asked) > 8
    with Lake.open(answers["folder"] / "lake") as lake, lake.connection() as connection:
        for query in [*queries, *asked]:
            query = re.sub(r"VERSION => \d+", "VERSION => 1", query)
            query = re.sub(r"TIMESTAMP => '[^']*'", "TIMESTAMP => now()", query)
            query = re.sub(r"(table_changes\('\w+'), \d+, \d+", r"\1, 1, 1", query)
            connection.execute(query).fetchall()


@pytest.mark.parametrize("block", blocks("python"))
def test_python_of_the_documentation_runs(block: str, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(answers["folder"])
    exec(re.sub(r'as_of\("[^"]*"\)', f'as_of("{datetime.now(UTC):%Y-%m-%d}")', block), {})


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"(?:\]\(|src=\")([^)\s\"]+)", page.read_text("utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            prose = re.sub(r"^```.*?^```", "", file.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
            headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
            anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchors.count(anchor) == 1, f"{page.name} links to {target}"


def test_the_index_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "README.md").read_text("utf-8")))
    assert linked == {page.name for page in DOCS.glob("*.md")} - {"README.md"}


def test_every_picture_is_shown() -> None:
    shown = {name for page in PAGES for name in re.findall(r"images/([\w-]+\.\w+)[)\"]", page.read_text("utf-8"))}
    assert shown == {picture.name for picture in (DOCS / "images").iterdir()}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    named = {path.rstrip(".") for path in A_PATH.findall(page.read_text("utf-8"))} - NO_PATHS
    gone = [path for path in sorted(named) if not any(ROOT.glob(re.sub(r"<\w+>", "*", path).rstrip("/")))]
    assert gone == []


def rooms(house: str) -> set[str]:
    """The folders of a house."""
    return {folder.name for folder in (ROOT / house).iterdir() if folder.is_dir() and folder.name != "__pycache__"}


def test_the_page_about_the_code_lists_every_room() -> None:
    described = {name for row in table(HOW, "Room") for name in code(row[0])} - {"pipeline/", "tests/"}
    assert described == {f"{house}/{room}/" for house in HOUSES for room in rooms(house)}


def test_the_drawing_has_every_room() -> None:
    drawn = set(re.findall(r'class="name"[^>]*>([^<]*)<', (DOCS / "images" / "rooms.svg").read_text("utf-8")))
    nouns = {file.stem for file in (ROOT / "pipeline").glob("*.py")} - {"__init__"}
    houses = {"assets", "rapidlake", "sandbox", "pipeline", "warehouse"}
    folders = {name.split("/")[0] for name in drawn if "/" in name}
    assert folders == houses | rooms("pipeline") | rooms("warehouse")
    assert set(", ".join(name for name in drawn if "/" not in name).split(", ")) == nouns


def test_every_test_that_shows_a_promise_is_there() -> None:
    page = (DOCS / "promises.md").read_text(encoding="utf-8")
    named = [text.split("::") for text in code(page) if "::" in text]
    assert named
    assert [test for file, test in named if f"def {test}(" not in (ROOT / file).read_text(encoding="utf-8")] == []
