"""The analysts' views: they follow the workspace from sync to sync, whatever it calls its things."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.report import write_report
from pipeline.settings import load_settings
from pipeline.streams import STREAMS
from sandbox import Sandbox, Workspace, generate
from tests import lakes
from tests.lakes import new_lake
from tests.sessions import sync
from warehouse import Lake, refresh_views

HOSTILE = [
    '"; DROP TABLE messages; --',
    "'; DELETE FROM runs; --",
    "</script><script>alert('one')</script>",
    "<img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% endblock %}",
    "long " * 60,
    "مسح صحي للأمهات",
    "\u202eexe.tenalp",
    "Same Name",
    "same name!",
    "SAME-NAME",
    "😀",
    "select",
    "2020",
    "line\nbreak\t\\ `code` | [link](javascript:alert(1))",
]


# What these tests change, and what the views of it also need.
NEEDED = ("workspace", "fields", "flows", "definitions", "groups", "contacts", "messages", "runs")
# One moment for all: the workspace is the same each time that it is generated.
BEGUN = datetime.now(UTC)


@contextmanager
def serving() -> Iterator[Sandbox]:
    with generate(messages=300, contacts=60, archives=False, now=BEGUN) as workspace, Sandbox(workspace) as server:
        yield server


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A server of a workspace of this test."""
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def synced_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with all of that workspace; no test changes it."""
    folder = tmp_path_factory.mktemp("synced")
    with serving() as server:
        run(server, folder)
    return folder / "lake"


@pytest.fixture
def synced(synced_once: Path, tmp_path: Path) -> Path:
    """The folder of a lake into which the workspace was synced before the test."""
    shutil.copytree(synced_once, tmp_path / "lake")
    return tmp_path


def test_a_new_field_and_a_new_result_show_up_after_the_next_sync(sandbox: Sandbox, synced: Path) -> None:
    workspace = sandbox.workspace
    add_field(workspace, "height", "number", {0: "1.75", 1: "1.8", 2: "tall"})
    flow = workspace.rows("flows")[0]
    add_run(workspace, flow, {"mood": "very well"})
    run(sandbox, synced)
    assert rows(
        synced,
        """
        SELECT height, not_parsed['height'] AS other FROM contacts_wide
        WHERE coalesce(other, height::VARCHAR) <> '' ORDER BY ALL
        """,
    ) == [
        (Decimal("1.75"), None),
        (Decimal("1.80"), None),
        (None, "tall"),
    ]
    view = rows(synced, f"SELECT results_view FROM dim_flows WHERE flow_uuid = '{flow['uuid']}'")[0][0]
    assert rows(synced, f"SELECT mood_value, mood_category FROM results.{view} WHERE mood_value IS NOT NULL") == [
        ("very well", "All Responses")
    ]


def test_a_sync_that_finds_nothing_new_leaves_the_views_as_they_are(sandbox: Sandbox, synced: Path) -> None:
    written = "SELECT changes FROM ducklake_snapshots('lake') WHERE changes::VARCHAR LIKE '%views%'"
    before = rows(synced, written)
    run(sandbox, synced)
    assert rows(synced, written) == before


def test_a_renamed_flow_keeps_its_view_and_its_name_is_the_new_one(sandbox: Sandbox, synced: Path) -> None:
    flow = sandbox.workspace.rows("flows")[0]
    view = f"SELECT results_view FROM dim_flows WHERE flow_uuid = '{flow['uuid']}'"
    before = rows(synced, view)
    sandbox.workspace.put("flows", flow | {"name": "A new name", "modified_on": now()})
    run(sandbox, synced)
    assert rows(synced, view) == before
    assert rows(synced, f"SELECT flow_name FROM dim_flows WHERE flow_uuid = '{flow['uuid']}'") == [("A new name",)]


def test_a_deleted_flow_keeps_its_good_name_and_its_results(sandbox: Sandbox, synced: Path) -> None:
    flow = next(row for row in sandbox.workspace.rows("flows") if row["results"])
    before = rows(synced, f"SELECT count(*) FROM run_results WHERE flow_uuid = '{flow['uuid']}'")
    sandbox.workspace.delete("flows", [flow["uuid"]])
    gone = {"uuid": flow["uuid"], "name": f"deleted-{uuid.uuid4()}-{flow['name'][:10]}"}
    for old in [row for row in sandbox.workspace.rows("runs") if row["flow"]["uuid"] == flow["uuid"]][:3]:
        sandbox.workspace.put("runs", old | {"flow": gone, "modified_on": now()})
    run(sandbox, synced)
    named = rows(synced, f"SELECT flow_name, exists_now FROM dim_flows WHERE flow_uuid = '{flow['uuid']}'")
    assert named == [(flow["name"], False)]
    assert rows(synced, f"SELECT DISTINCT flow_name FROM runs WHERE flow_uuid = '{flow['uuid']}'") == [(flow["name"],)]
    assert rows(synced, f"SELECT count(*) FROM run_results WHERE flow_uuid = '{flow['uuid']}'") == before


def test_numbers_keep_every_digit(sandbox: Sandbox, tmp_path: Path) -> None:
    values = ["1199780012345678901", "0.0000001", "-5", "1e3", "12,5"]
    add_field(sandbox.workspace, "national_id", "number", dict(enumerate(values)))
    add_field(sandbox.workspace, "huge", "number", {0: "9" * 30, 1: "0." + "1" * 20})
    run(sandbox, tmp_path)
    found = rows(
        tmp_path,
        """
        SELECT national_id, not_parsed['national_id'] AS other FROM contacts_wide
        WHERE coalesce(other, national_id::VARCHAR) <> ''
        """,
    )
    assert {number for number, _ in found} == {Decimal(value) for value in values[:3]} | {None}
    assert {text for _, text in found} == {"1e3", "12,5", None}
    assert {text for (text,) in rows(tmp_path, "SELECT huge_text FROM contacts_wide WHERE huge IS NOT NULL")} == {
        "9" * 30,
        "0." + "1" * 20,
    }


def test_no_name_that_a_workspace_can_hold_breaks_or_injects_anything(sandbox: Sandbox, tmp_path: Path) -> None:
    workspace = sandbox.workspace
    flow, group, label = (workspace.rows(name)[0] for name in ("flows", "groups", "labels"))
    for name in HOSTILE:
        made = flow | {"uuid": str(uuid.uuid4()), "name": name, "results": [], "created_on": now()}
        workspace.put("flows", made)
        add_run(workspace, made, {key: key for key in HOSTILE})
        workspace.put("groups", group | {"uuid": str(uuid.uuid4()), "name": name, "count": 1_000_000})
        workspace.put("labels", label | {"uuid": str(uuid.uuid4()), "name": name})
        add_field(workspace, name, "number", {0: name})
    broadcast = workspace.rows("broadcasts")[0]
    for number, name in enumerate(HOSTILE[:9]):
        texts = {"text": {"eng": name}, "base_language": "eng"}
        workspace.put("broadcasts", broadcast | texts | {"id": 10**9 + number, "created_on": now()})
    for channel, name in zip(workspace.rows("channels"), HOSTILE, strict=False):
        workspace.put("channels", channel | {"name": name})
    run(sandbox, tmp_path, *STREAMS)
    with Lake.open(tmp_path / "lake") as lake, lake.connection() as connection:
        found = "SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = 'lake' AND NOT internal"
        for schema, view in lake.rows(found):
            assert connection.execute(f"FROM {schema}.{view}").fetchall() is not None  # its name needs no quotes
    assert rows(tmp_path, "SELECT count(*) FROM messages") == [(workspace.count("messages"),)]
    assert rows(tmp_path, "SELECT count(*) FROM runs WHERE deleted_on IS NULL") == [(workspace.count("runs"),)]
    views = dict(rows(tmp_path, "SELECT flow_name, results_view FROM dim_flows"))
    for name in HOSTILE:
        values = rows(tmp_path, f"SELECT * EXCLUDE (run_uuid, contact_uuid, start_uuid) FROM results.{views[name]}")
        assert len(values) == 1
        assert set(HOSTILE) <= set(values[0])
    assert len(rows(tmp_path, "SELECT DISTINCT results_view FROM dim_flows")) == workspace.count("flows")
    with Lake.open(tmp_path / "lake") as lake:
        write_report(lake, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "<script" not in html
    assert "<img src=x" not in html
    assert "&lt;img src=x onerror" in html
    assert "{{ 7 * 7 }}" in html


def test_groups_have_a_size_for_every_day_since_the_first_sync(sandbox: Sandbox, synced: Path) -> None:
    group = sandbox.workspace.rows("groups")[0]
    sandbox.workspace.put("groups", group | {"count": 4711})
    run(sandbox, synced)
    sizes = f"SELECT day, contacts FROM group_sizes WHERE group_uuid = '{group['uuid']}'"
    assert [contacts for _, contacts in rows(synced, sizes)] == [4711]
    with Lake.create(synced / "lake") as lake:
        lake.commit(lambda connection: connection.execute("UPDATE _group_sizes SET day = day - 3, contacts = 4000"))
    sandbox.workspace.put("groups", group | {"count": 4712})
    run(sandbox, synced)
    assert [contacts for _, contacts in sorted(rows(synced, sizes))] == [4000, 4000, 4000, 4712]


def test_a_lake_whose_last_sync_was_killed_before_its_views_were_renewed_gets_them_with_the_next(synced: Path) -> None:
    with Lake.create(synced / "lake") as lake:  # what a killed sync leaves: rows without a look at them
        lake.commit(
            lambda connection: connection.execute(
                "INSERT INTO fields (key, name, type, synced_on, source) VALUES ('late', 'Late', 'text', now(), 'api')"
            )
        )
        assert refresh_views(lake) == 1
    assert rows(synced, "SELECT count(late) FROM contacts_wide") == [(0,)]


def add_field(workspace: Workspace, key: str, kind: str, values: dict[int, str]) -> None:
    """A field, and its values by number of the contact."""
    field = workspace.rows("fields")[0]
    workspace.put("fields", field | {"key": key, "name": key, "label": key, "type": kind, "value_type": kind})
    contacts = sorted(workspace.rows("contacts"), key=lambda row: str(row["uuid"]))
    for number, value in values.items():
        contact = contacts[number]
        workspace.put("contacts", contact | {"fields": contact["fields"] | {key: value}, "modified_on": now()})


def add_run(workspace: Workspace, flow: dict[str, Any], values: dict[str, str]) -> None:
    """A run of the flow with these results."""
    run = workspace.rows("runs")[0]
    node = str(uuid.uuid4())
    results = {
        key: {"value": value, "category": "All Responses", "name": key, "input": value, "node": node, "time": now()}
        for key, value in values.items()
    }
    workspace.put(
        "runs",
        run
        | {"uuid": str(uuid.uuid4()), "id": 10**9 + workspace.count("runs"), "values": results}
        | {"flow": {"uuid": flow["uuid"], "name": flow["name"]}, "modified_on": now()},
    )


def now() -> str:
    """A moment that the next sync reads, as the server writes it."""
    return (datetime.now(UTC) - timedelta(minutes=2)).isoformat().replace("+00:00", "Z")


def run(sandbox: Sandbox, folder: Path, *streams: str) -> None:
    if not (folder / "lake").exists():
        new_lake(folder / "lake")
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=folder / "lake", lag=0)
    result = sync(settings, streams or NEEDED)
    assert not [one.message for one in result.streams if not one.good]


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    return lakes.rows(folder / "lake", query)
