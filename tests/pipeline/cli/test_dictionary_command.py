"""`rapidlake dictionary`: whole, right, and with nothing in it that anybody wrote or is called."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.dictionary import render
from pipeline.reading.progress import Quiet
from pipeline.settings import load_settings
from pipeline.syncing.sync import choose, sync
from sandbox import Sandbox, Workspace, generate
from tests.commands import run
from tests.lakes import new_lake
from warehouse import Lake
from warehouse.asking.dictionary import Dictionary, read_dictionary

ATTACK = "</script><script>alert(1)</script> a|b `x` [l](javascript:1) *y*"
ODD = "two\x0blines\r\nand\x08 a \x1b bell\ufffe"


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    """A workspace with a flow and a field whose names are attacks, and with two whose names are odd."""
    with generate(messages=600, contacts=300, archives=False) as workspace:
        for table in ("flows", "fields"):
            workspace.put(table, workspace.rows(table)[0] | {"name": ATTACK})
            workspace.put(table, workspace.rows(table)[1] | {"name": ODD})
        yield workspace


@pytest.fixture(scope="module")
def path(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = new_lake(tmp_path_factory.mktemp("dictionary") / "lake")
    with Sandbox(workspace, keep=True) as sandbox:
        sync(load_settings(url=sandbox.url, token=sandbox.token, lake=lake), choose([]), Quiet())
    return lake


@pytest.fixture(scope="module")
def dictionary(path: Path) -> Dictionary:
    with Lake.open(path) as lake:
        return read_dictionary(lake)


def test_every_table_and_view_is_there_with_every_column_and_its_meaning(dictionary: Dictionary, path: Path) -> None:
    with Lake.open(path) as lake:
        expected = lake.rows(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_catalog = 'lake'"
        )
    found = {(entry.schema, entry.name, column.name) for entry in dictionary.entries for column in entry.columns}
    assert found == set(expected)
    assert [entry.name for entry in dictionary.entries if not entry.meaning] == []
    told = [f"{entry.name}.{one.name}" for entry in dictionary.entries for one in entry.columns if not one.meaning]
    assert [
        name for name in told if not name.startswith(tuple(flow.view.split(".")[1] for flow in dictionary.flows))
    ] == []


def test_fill_rates_are_those_that_the_rows_have(dictionary: Dictionary, workspace: Workspace) -> None:
    columns = {
        (entry.name, column.name): column.filled
        for entry in dictionary.entries
        if entry.schema == "main"
        for column in entry.columns
    }
    messages, contacts = workspace.rows("messages"), workspace.rows("contacts")
    for column in ("text", "broadcast", "labels", "sent_on"):
        assert columns["messages", column] == share(sum(bool(row[column]) for row in messages), len(messages)), column
    fields = {field.key: field.filled for field in dictionary.fields}
    for key, filled in fields.items():
        assert filled == share(sum(bool(row["fields"].get(key)) for row in contacts), len(contacts)), key


def test_no_name_address_text_or_answer_of_anybody_is_in_it(dictionary: Dictionary, workspace: Workspace) -> None:
    text = html.unescape(render(dictionary, ".html"))
    people = workspace.rows("contacts")
    secrets = {row["name"] for row in people} | {urn.split(":")[1] for row in people for urn in row["urns"]}
    secrets |= {row["text"] for row in workspace.rows("messages")}
    assert [secret for secret in secrets if secret and len(secret) > 11 and secret in text] == []


def test_names_of_the_workspace_are_shown_as_they_are_and_inject_nothing(dictionary: Dictionary) -> None:
    page = render(dictionary, ".html")
    assert "<script" not in page and html.escape(ATTACK, quote=False) in page.replace("&#34;", '"')
    markdown = render(dictionary, ".md")
    assert "<script" not in markdown and "[l](" not in markdown
    rows = [line for line in markdown.splitlines() if "alert" in line and line.startswith("|")]
    assert rows and all(len(re.split(r"(?<!\\)\|", line)) in (7, 8) for line in rows)


def test_control_characters_in_names_are_replaced_and_break_no_table(dictionary: Dictionary) -> None:
    assert not re.search("[\x00-\x08\x0b-\x1f\ufffe]", render(dictionary, ".html").replace("\r\n", "\n"))
    markdown = render(dictionary, ".md")
    assert not re.search("[\x00-\x08\x0b-\x1f\ufffe]", markdown)
    assert (
        len([line for line in markdown.splitlines() if line.startswith("| two lines and\ufffd a \ufffd bell\ufffd |")])
        == 2
    )


@pytest.mark.long
def test_both_files_are_written_unless_one_is_named(path: Path, tmp_path: Path) -> None:
    both = run("dictionary", "--lake", path)
    assert (both.code, both.out) == (0, "Written: dictionary.md, dictionary.html\n")
    assert run("dictionary", "--lake", path, "-o", tmp_path / "d.html").code == 0
    assert (tmp_path / "d.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert run("dictionary", "--lake", path, "--json").facts["workspace"]
    wrong = run("dictionary", "--lake", path, "-o", tmp_path / "d.docx")
    assert wrong.code == 1 and "names no format: end it with .md or .html" in wrong.err


def share(part: int, whole: int) -> float:
    return round(100 * part / whole, 1)
