"""The documentation says what the code does: every stream, command, option, setting and fault, and queries that run."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import click
import duckdb
import pytest
import typer.main

from pipeline.cli.app import app
from pipeline.settings import Settings
from pipeline.streams import STREAMS, Newest, Window
from sandbox import Faults
from tests.lakes import new_lake
from warehouse import Lake

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
LAKE = (ROOT / "docs" / "lake.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def section(text: str, heading: str) -> str:
    """What stands below a heading, down to the next."""
    return text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]


def table(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose first heading is `first`, without its headings."""
    lines = text.split(f"| {first} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


COMMANDS: dict[str, click.Command] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
ENDPOINTS = {code(row[0])[0]: row for row in table(API, "Endpoint")}


def test_readme_and_api_page_name_every_stream_and_no_other() -> None:
    named = [name for row in table(section(README, "How streams are read"), "Stream") for name in code(row[0])]
    assert sorted(named) == sorted(STREAMS)
    assert sorted(ENDPOINTS) == sorted(STREAMS)


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


def test_the_readme_lists_every_setting_with_its_default() -> None:
    rows = {code(row[0])[0]: row for row in table(section(README, "Settings"), "Environment")}
    settings = {
        f"{'RAPIDPRO' if name in ('url', 'token') else 'RAPIDLAKE'}_{name.upper()}": name
        for name in Settings.model_fields
    }
    assert rows.keys() == {*settings, "RAPIDLAKE_CACHE"}
    for variable, name in settings.items():
        _, in_toml, default, _ = rows[variable]
        assert code(in_toml) == [name]
        declared = Settings.model_fields[name]
        assert default.strip("`") == (
            "" if declared.is_required() or declared.default is None else str(declared.default)
        )


def test_the_example_of_a_settings_file_has_no_unknown_key() -> None:
    [example] = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    assert set(re.findall(r"^(\w+) =", example, re.MULTILINE)) <= Settings.model_fields.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_lists_every_command_with_its_options(command: str) -> None:
    described = section(README, "Commands")
    assert f"`rapidlake {command}" in described
    for option in COMMANDS[command].params:
        if isinstance(option, click.Option):
            for spelling in {*option.opts, *option.secondary_opts} - {"--help"}:
                assert re.search(rf"`[^`]*{re.escape(spelling)}\b", described), f"{command} {spelling}"


def test_the_readme_lists_no_option_that_is_gone() -> None:
    offered = {
        spelling
        for command in COMMANDS.values()
        for option in command.params
        for spelling in (*option.opts, *option.secondary_opts)
    }
    named = {option for text in code(section(README, "Commands")) for option in re.findall(r"--[a-z-]+", text)}
    assert named <= offered


def test_the_readme_lists_every_fault_of_the_sandbox() -> None:
    described = code(section(README, "Commands"))
    assert [fault.name for fault in fields(Faults) if fault.name != "script" and fault.name not in described] == []


def test_the_page_about_the_lake_lists_every_table_of_our_own(tmp_path: Path) -> None:
    with Lake.open(new_lake(tmp_path / "lake")) as lake:
        own = {name for (name,) in lake.rows("SELECT table_name FROM duckdb_tables()") if str(name).startswith("_")}
    described = {name for row in table(section(LAKE, "Tables of Rapidlake's own"), "Table") for name in code(row[0])}
    assert described == own


def test_every_query_of_the_documentation_runs(tmp_path: Path) -> None:
    blocks = [block for page in PAGES for block in re.findall(r"```sql\n(.*?)```", page.read_text("utf-8"), re.DOTALL)]
    queries = [statement.query for block in blocks for statement in duckdb.extract_statements(block)]
    queries = [query for query in queries if re.match(r"\s*(SELECT|FROM|WITH)", query)]
    assert len(queries) > 8
    with Lake.open(new_lake(tmp_path / "lake")) as lake, lake.connection() as connection:
        for query in queries:
            query = re.sub(r"VERSION => \d+", "VERSION => 1", query)
            query = re.sub(r"TIMESTAMP => '[^']*'", "TIMESTAMP => now()", query)
            query = re.sub(r"(table_changes\('\w+'), \d+, \d+", r"\1, 1, 1", query)
            connection.execute(query).fetchall()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in anchors, f"{page.name} links to {target}"
