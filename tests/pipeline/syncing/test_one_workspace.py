"""A lake is one workspace's, and follows it where every row changes without a date: anonymity, fields of a used key."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from pipeline.errors import WrongWorkspace
from pipeline.reading.progress import Quiet
from pipeline.settings import Settings, load_settings
from pipeline.syncing.session import open_session
from pipeline.syncing.sync import choose, sync
from sandbox import Sandbox, Workspace, generate
from tests.lakes import assert_holds, new_lake, rows
from warehouse import Lake

Row = dict[str, Any]

SHOWING_ADDRESSES = ("contacts", "messages", "runs", "broadcasts")
ANOTHER_UUID = "0f3c9a6e-5b7d-4812-a9c0-ffee0f3c9a6e"


def test_of_two_workspaces_that_claim_a_new_lake_at_once_one_gets_it(sandbox: Sandbox, tmp_path: Path) -> None:
    path = new_lake(tmp_path / "lake")
    with generate(messages=0, archives=False) as workspace:
        workspace.put("workspace", workspace.rows("workspace")[0] | {"uuid": ANOTHER_UUID})
        with Sandbox(workspace, requests_per_hour=0) as other, ThreadPoolExecutor(2) as pool:
            with Lake.create(path) as lake, lake.writing("_lake"):  # both find it nobody's, and wait
                claims = [pool.submit(_claim, _settings(server, path)) for server in (sandbox, other)]
                assert not wait(claims, timeout=2).done
            owners = [claim.result() for claim in claims]
    [got] = [owner for owner in owners if owner]
    assert rows(path, "SELECT workspace_uuid::VARCHAR FROM _lake") == [(str(got),)]


def _claim(settings: Settings) -> UUID | None:
    """UUID of the workspace whose the lake is now, if it is that of these settings."""
    try:
        with open_session(settings) as session:
            return session.workspace.uuid
    except WrongWorkspace:
        return None


@pytest.mark.long
def test_a_workspace_that_becomes_anonymous_or_stops_being_so_is_read_again_as_far_as_the_api_lists_it(
    tmp_path: Path,
) -> None:
    path = new_lake(tmp_path / "lake")
    with generate(messages=300, contacts=60, archives=False) as workspace:
        shown = {stream: workspace.rows(stream) for stream in ("workspace", *SHOWING_ADDRESSES)}
        with Sandbox(workspace, requests_per_hour=0) as served:

            def synced() -> set[str]:
                """Sync; the streams that were asked for from the beginning of time."""
                served.requests.clear()
                sync(_settings(served, path), choose(["workspace", "fields", *SHOWING_ADDRESSES]), Quiet())
                assert_holds(path, workspace, *SHOWING_ADDRESSES)
                whole = [one for one in served.requests if "before" in one.params and "deleted" not in one.params]
                return {one.endpoint for one in whole if "after" not in one.params}

            assert synced() == set(SHOWING_ADDRESSES)
            assert synced() == set()
            for anonymous in (True, False):
                for stream, hide in HIDE.items():
                    _replace(workspace, stream, [hide(row) if anonymous else row for row in shown[stream]])
                assert synced() == set(SHOWING_ADDRESSES)
                assert synced() == set()


HIDE: dict[str, Callable[[Row], Row]] = {
    "workspace": lambda row: row | {"anon": True},
    "contacts": lambda row: row | {"urns": [_hidden(urn) for urn in row["urns"]], "anon_display": row["uuid"][:6]},
    "messages": lambda row: row | {"urn": None},
    "runs": lambda row: row | {
        "contact": row["contact"]
        | {"urn": row["contact"]["urn"] and _hidden(row["contact"]["urn"]), "urn_display": None, "anon_display": "0012"}
    },
    "broadcasts": lambda row: row | {"urns": None},
}  # fmt: skip


def _hidden(urn: str) -> str:
    return f"{urn.partition(':')[0]}:********"


def test_values_of_a_field_go_where_another_one_takes_its_key(tmp_path: Path) -> None:
    path = new_lake(tmp_path / "lake")
    with generate(messages=0, contacts=60, archives=False) as workspace, Sandbox(workspace) as served:
        key = "gender"
        [field] = [row for row in workspace.rows("fields") if row["key"] == key]
        for name in (field["name"], "Gender of the child"):
            workspace.put("fields", field | {"name": name})
            changes = {} if name == field["name"] else {key: None}
            contacts = workspace.rows("contacts")
            _replace(workspace, "contacts", [row | {"fields": row["fields"] | changes} for row in contacts])
            sync(_settings(served, path), choose(["fields", "contacts"]), Quiet())
            assert_holds(path, workspace, "contacts", "fields")


def _replace(workspace: Workspace, stream: str, changed: list[Row]) -> None:
    """Let rows be others, without a new date."""
    for row in changed:
        workspace.put(stream, row)


def _settings(served: Sandbox, lake: Path) -> Settings:
    return load_settings(url=served.url, token=served.token, lake=lake, requests_per_hour=0, lag=0)


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    return generate(messages=0, archives=False)
