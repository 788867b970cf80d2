"""A workspace in which people use braces and quotation marks: every command works, and every value is right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox, Workspace, generate
from tests.commands import access, run
from tests.lakes import assert_holds, rows

Row = dict[str, Any]

NAME = 'Mothers\'} "of" {all}'
STREAMS = ("messages", "contacts", "runs", "groups", "labels")


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """Few rows, so that each table is one small batch."""
    with generate(messages=30, contacts=20, runs=20, seed=7, archives=False) as generated:
        yield generated


def test_odd_names_are_synced_verified_kept_exported_and_reported(sandbox: Sandbox, lake: Path, tmp_path: Path) -> None:
    workspace, here = sandbox.workspace, access(sandbox) | {"RAPIDLAKE_LAKE": str(lake), "RAPIDLAKE_LAG": "0"}
    [group, label] = (workspace.rows(stream)[0] | {"name": NAME} for stream in ("groups", "labels"))
    for stream, row in (("groups", group), ("labels", label)):
        workspace.put(stream, row)
    [message, *_], [contact, *_] = workspace.rows("messages"), workspace.rows("contacts")
    run_of = next(row for row in workspace.rows("runs") if row["values"])
    [result, *_] = run_of["values"]
    put(workspace, "messages", message, labels=[{"uuid": label["uuid"], "name": NAME}])
    put(workspace, "contacts", contact, groups=[{"uuid": group["uuid"], "name": NAME}])
    answer = run_of["values"][result] | {"value": NAME, "input": NAME}
    put(workspace, "runs", run_of, values=run_of["values"] | {result: answer})

    for command in (["sync", *STREAMS], ["sync", *STREAMS], ["verify", *STREAMS], ["maintain"]):
        assert run(*command, **here).code == 0, command
        assert_holds(lake, workspace, *STREAMS)
    assert run("export", *STREAMS, "--to", tmp_path / "export", **here).code == 0
    assert run("report", "-o", tmp_path / "report.html", **here).code == 0
    assert (tmp_path / "report.html").stat().st_size
    assert rows(lake, f"SELECT labels[1].name FROM messages WHERE id = {message['id']}") == [(NAME,)]
    assert rows(lake, f"SELECT groups[1].name FROM contacts WHERE uuid = '{contact['uuid']}'") == [(NAME,)]
    [(found,)] = rows(lake, f"SELECT results FROM runs WHERE uuid = '{run_of['uuid']}'")
    assert (found[result]["value"], found[result]["input"]) == (NAME, NAME)


def put(workspace: Workspace, stream: str, row: Row, **changes: Any) -> None:
    workspace.put(stream, row | changes)
