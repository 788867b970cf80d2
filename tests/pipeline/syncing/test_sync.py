"""A sync of a whole workspace, against the sandbox over real HTTP: complete, once, and cheap the second time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.reading.reader import Options
from pipeline.results import StreamResult, SyncResult
from pipeline.settings import load_settings
from pipeline.streams import STREAMS
from sandbox import Faults, Sandbox, Workspace, generate
from tests.cases import cases
from tests.lakes import LANGUAGES, assert_holds, column, new_lake, rows, stored
from tests.sessions import sync
from tests.truth import assert_same, expected_rows

# When each stream's rows were last written, and how many there are.
WRITES = " UNION ALL ".join(f"SELECT '{name}', count(*), max(synced_on)::VARCHAR FROM \"{name}\"" for name in STREAMS)
SERVED = [name for name in STREAMS if name not in ("statistics", "definitions")]


# One moment for all: the workspace is the same each time that it is generated.
NOW = datetime.now(UTC)


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """A workspace of a few pages per large stream."""
    with generate(messages=2500, seed=7, archives=False, now=NOW) as generated:
        yield generated


@pytest.fixture(scope="module")
def synced_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with all of that workspace; no test changes it."""
    lake = new_lake(tmp_path_factory.mktemp("synced") / "lake")
    with (
        generate(messages=2500, seed=7, archives=False, now=NOW) as workspace,
        Sandbox(workspace, requests_per_hour=0) as sandbox,
    ):
        assert not run(sandbox, lake).failed
    return lake


@pytest.fixture
def synced(synced_once: Path, tmp_path: Path) -> Path:
    """A lake into which the workspace was synced before the test."""
    return Path(shutil.copytree(synced_once, tmp_path / "synced"))


def test_every_value_of_every_stream_arrives(workspace: Workspace, synced_once: Path) -> None:
    assert_lake_is_true(workspace, synced_once)


def test_deleted_contacts_arrive_as_tombstones(sandbox: Sandbox, lake: Path) -> None:
    run(sandbox, lake, "contacts")
    expected = {row["uuid"] for row in sandbox.workspace.rows("contacts_deleted")}
    assert expected
    assert column(lake, "SELECT uuid::VARCHAR FROM contacts WHERE deleted_on IS NOT NULL") == expected


def test_a_second_sync_writes_nothing_and_asks_once_per_stream(sandbox: Sandbox, synced: Path) -> None:
    written = rows(synced, WRITES)
    again = by_stream(run(sandbox, synced))
    assert all(one.tally.rows_new + one.tally.rows_changed + one.tally.rows_deleted == 0 for one in again.values())
    assert {name: one.tally.counters.requests for name, one in again.items() if one.tally.counters.requests > 1} == {
        "contacts": 2
    }
    assert rows(synced, WRITES) == written


def test_rows_that_change_between_syncs_are_brought_up_to_date(sandbox: Sandbox, synced: Path) -> None:
    workspace = sandbox.workspace
    workspace.edit("contacts", 40)
    workspace.edit("contacts", 300, same_timestamp=True)
    workspace.edit("runs", 300, same_timestamp=True)
    workspace.edit("tickets", 5)
    workspace.edit("flow_starts", 3)
    workspace.add("messages", 20)
    workspace.add("runs", 300, same_timestamp=True)
    workspace.add("contacts", 2)
    workspace.edit("messages", recent_messages(workspace, timedelta(hours=1)))
    run(sandbox, synced)
    assert_lake_is_true(workspace, synced)


@pytest.mark.parametrize("seed", cases(0, long=[1]))
def test_rows_that_change_while_they_are_read_are_right_after_the_next_sync(lake: Path, seed: int) -> None:
    with generate(messages=2500, seed=seed, archives=False) as workspace:
        workspace.edit("contacts", 260, same_timestamp=True)
        workspace.edit("contacts", 20)
        workspace.edit("runs", 400, same_timestamp=True)
        workspace.edit("runs", 30)
        workspace.edit("tickets", 30, same_timestamp=True)
        with Sandbox(workspace, requests_per_hour=0, faults=Faults(edits=18, seed=seed)) as sandbox:
            streams = ("contacts", "runs", "tickets", "flow_starts")
            for name in streams:
                run(sandbox, lake, name)
            sandbox.faults = Faults()
            run(sandbox, lake, *streams)
            assert_holds(lake, workspace, *streams)


def test_a_row_committed_late_with_an_old_timestamp_is_found_within_the_overlap(sandbox: Sandbox, synced: Path) -> None:
    late = datetime.now(UTC) - timedelta(minutes=10)
    sandbox.workspace.add("runs", 3, at=late)
    sandbox.workspace.edit("contacts", 3, at=late)
    sandbox.workspace.add("messages", 3, at=late)
    run(sandbox, synced, "runs", "contacts", "messages")
    assert_holds(synced, sandbox.workspace, "runs", "contacts", "messages")


def test_a_contact_deleted_on_the_server_is_marked_and_keeps_its_last_values(sandbox: Sandbox, synced: Path) -> None:
    victim = sandbox.workspace.rows("contacts")[0]
    sandbox.workspace.delete_contacts([victim["uuid"]])
    run(sandbox, synced, "contacts")
    assert rows(synced, f"SELECT name, deleted_on IS NOT NULL FROM contacts WHERE uuid = '{victim['uuid']}'") == [
        (victim["name"], True)
    ]
    run(sandbox, synced, "contacts", full=True)
    assert rows(synced, f"SELECT name, deleted_on IS NOT NULL FROM contacts WHERE uuid = '{victim['uuid']}'") == [
        (victim["name"], True)
    ]


def test_a_row_gone_from_a_small_stream_is_marked_after_a_second_look(sandbox: Sandbox, synced: Path) -> None:
    gone = sandbox.workspace.rows("labels")[0]["uuid"]
    sandbox.workspace.delete("labels", [gone])
    sandbox.requests.clear()
    result = by_stream(run(sandbox, synced, "labels"))["labels"]
    assert (result.tally.rows_deleted, result.tally.counters.requests) == (1, 2)
    assert column(synced, "SELECT uuid::VARCHAR FROM labels WHERE deleted_on IS NOT NULL") == {gone}


def test_a_row_that_comes_back_is_alive_again(sandbox: Sandbox, lake: Path) -> None:
    run(sandbox, lake, "labels")
    label = sandbox.workspace.rows("labels")[0]
    sandbox.workspace.delete("labels", [label["uuid"]])
    run(sandbox, lake, "labels")
    sandbox.workspace.put("labels", label)
    run(sandbox, lake, "labels")
    assert_holds(lake, sandbox.workspace, "labels")


@pytest.mark.parametrize("stream", cases("tickets", long=["groups", "users"]))
def test_an_empty_listing_where_rows_were_is_said_and_never_taken_for_deletions(
    sandbox: Sandbox, synced: Path, stream: str
) -> None:
    keys = [row.get("uuid") or row["email"] for row in sandbox.workspace.rows(stream)]
    sandbox.workspace.delete(stream, keys)
    result = by_stream(run(sandbox, synced, stream, full=True))[stream]
    assert result.outcome == "suspicious"
    assert result.message and "nothing was marked deleted" in result.message
    assert rows(synced, f"SELECT count(*) FROM {stream} WHERE deleted_on IS NULL") == [(len(keys),)]


def test_a_full_listing_of_a_large_stream_that_is_empty_changes_nothing(sandbox: Sandbox, lake: Path) -> None:
    run(sandbox, lake, "runs")
    keys = [row["uuid"] for row in sandbox.workspace.rows("runs")]
    sandbox.workspace.delete("runs", keys)
    assert by_stream(run(sandbox, lake, "runs", full=True))["runs"].outcome == "suspicious"
    assert rows(lake, "SELECT count(*) FROM runs WHERE deleted_on IS NULL") == [(len(keys),)]


def test_tickets_modified_while_they_are_read_are_read_again_only_if_one_can_have_been_skipped(lake: Path) -> None:
    with (
        generate(messages=2500, seed=4, archives=False) as workspace,
        Sandbox(workspace, requests_per_hour=0) as sandbox,
    ):
        workspace.add("tickets", 600)
        pages = -(-workspace.count("tickets") // 250)
        run(sandbox, lake, "tickets")
        assert len([seen for seen in sandbox.requests if seen.endpoint == "tickets"]) == pages
        workspace.edit("tickets", 400, same_timestamp=True)
        workspace.edit("tickets", 20)
        sandbox.requests.clear()
        run(sandbox, lake, "tickets", full=True)
        assert len([seen for seen in sandbox.requests if seen.endpoint == "tickets"]) == pages + 1
        assert_holds(lake, workspace, "tickets")


def test_rows_the_server_purges_are_kept(sandbox: Sandbox, synced: Path) -> None:
    events = sandbox.workspace.rows("channel_events")
    sandbox.workspace.delete("channel_events", [event["id"] for event in events[:5]])
    run(sandbox, synced, "channel_events", full=True)
    assert rows(synced, "SELECT count(*) FROM channel_events WHERE deleted_on IS NULL") == [(len(events),)]


def test_a_new_contact_field_reaches_every_contact_though_none_was_modified(sandbox: Sandbox, synced: Path) -> None:
    workspace = sandbox.workspace
    field = workspace.rows("fields")[0]
    workspace.put("fields", {**field, "key": "shoe_size", "name": "Shoe size", "label": "Shoe size"})
    for contact in workspace.rows("contacts"):
        workspace.put("contacts", {**contact, "fields": {**contact["fields"], "shoe_size": "42"}})
    run(sandbox, synced, "fields", "contacts")
    assert_holds(synced, workspace, "contacts")
    sandbox.requests.clear()
    run(sandbox, synced, "fields", "contacts")
    assert len([request for request in sandbox.requests if request.endpoint == "contacts"]) == 2


def test_since_reads_only_from_that_date_and_a_later_full_sync_the_rest(sandbox: Sandbox, lake: Path) -> None:
    since = datetime.now(UTC) - timedelta(days=20)
    run(sandbox, lake, "messages", since=since)
    everything = expected_rows("messages", sandbox.workspace.rows("messages"), LANGUAGES)
    recent = {key: row for key, row in everything.items() if datetime.fromisoformat(row["created_on"]) >= since}
    assert 0 < len(recent) < len(everything)
    assert stored(lake, "messages").keys() == recent.keys()
    run(sandbox, lake, "messages")
    assert stored(lake, "messages").keys() == recent.keys()
    run(sandbox, lake, "messages", full=True)
    assert_holds(lake, sandbox.workspace, "messages")


def test_an_earlier_since_fills_in_and_a_later_one_leaves_no_gap(sandbox: Sandbox, lake: Path) -> None:
    now = datetime.now(UTC)
    run(sandbox, lake, "runs", since=now - timedelta(days=30))
    run(sandbox, lake, "runs", since=now - timedelta(days=400))
    assert_holds(lake, sandbox.workspace, "runs")
    sandbox.workspace.add("runs", 2, at=now - timedelta(minutes=5))
    run(sandbox, lake, "runs", since=now)
    assert_holds(lake, sandbox.workspace, "runs")


@pytest.mark.parametrize("stream", cases("runs", long=["messages"]))
def test_lag_leaves_the_newest_rows_to_a_later_sync(sandbox: Sandbox, lake: Path, stream: str) -> None:
    workspace, hour = sandbox.workspace, timedelta(hours=1)
    on = {"messages": "created_on", "runs": "modified_on"}[stream]
    workspace.add(stream, 4, at=datetime.now(UTC) - timedelta(minutes=50))
    begun = datetime.now(UTC)
    run(sandbox, lake, stream, lag=3600)
    end = datetime.fromisoformat(next(seen.params["before"] for seen in sandbox.requests if seen.endpoint == stream))
    assert begun - hour <= end <= datetime.now(UTC) - hour
    older = [row for row in workspace.rows(stream) if datetime.fromisoformat(row[on]) <= end]
    assert_same(stream, stored(lake, stream), expected_rows(stream, older, LANGUAGES))
    run(sandbox, lake, stream, lag=0)
    assert_holds(lake, workspace, stream)


def test_flow_definitions_are_fetched_for_new_and_modified_flows_only(sandbox: Sandbox, synced: Path) -> None:
    flows = sandbox.workspace.rows("flows")
    assert column(synced, "SELECT uuid::VARCHAR FROM definitions") == {flow["uuid"] for flow in flows}
    assert rows(
        synced, "SELECT count(*) FROM definitions WHERE definition ->> 'uuid' <> uuid::VARCHAR OR name IS NULL"
    ) == [(0,)]
    sandbox.workspace.edit("flows", [flows[0]["uuid"]])
    sandbox.requests.clear()
    run(sandbox, synced, "flows", "definitions")
    asked = [request.params for request in sandbox.requests if request.endpoint == "definitions"]
    assert [params["flow"] for params in asked] in ([flows[0]["uuid"]], [[flows[0]["uuid"]]])


def test_an_endpoint_that_the_server_lacks_is_reported_and_not_failed(lake: Path, tmp_path: Path) -> None:
    with (
        generate(messages=0, seed=2, archives=False) as workspace,
        Sandbox(workspace, requests_per_hour=0) as sandbox,
    ):
        result = by_stream(run(sandbox, lake, "labels", "statistics"))
    assert result["statistics"].outcome == "not offered"
    assert rows(lake, "SELECT count(*) FROM statistics") == [(0,)]


def test_statistics_arrive_where_they_are_offered(sandbox: Sandbox, lake: Path) -> None:
    channel = sandbox.workspace.rows("channels")[0]["uuid"]
    today = datetime.now(UTC).date().isoformat()
    sandbox.workspace.offer("statistics")
    sandbox.workspace.put(
        "statistics", {"date": today, "channels": {channel: {"type": "tel", "text:in": 3, "text:out": 5}}}
    )
    run(sandbox, lake, "statistics")
    assert rows(lake, f"SELECT channels['{channel}'].text_in, channels['{channel}'].text_out FROM statistics") == [
        (3, 5)
    ]


def test_faults_of_the_network_and_the_server_change_nothing_in_the_end(lake: Path) -> None:
    faults = Faults.parse("error=0.05,reset=0.05,truncate=0.05,garbage=0.05,html=0.03,throttle=0.02,seed=5")
    with (
        generate(messages=2500, seed=3, archives=False) as workspace,
        Sandbox(workspace, faults=faults, requests_per_hour=0) as sandbox,
    ):
        result = run(sandbox, lake)
        assert not result.failed
        assert_lake_is_true(workspace, lake)


def test_what_a_sync_did_stands_in_the_lake(sandbox: Sandbox, lake: Path) -> None:
    result = run(sandbox, lake, "labels", "runs")
    stored = rows(lake, "SELECT stream, rows_new, requests, outcome FROM _sync ORDER BY stream")
    assert stored == [(one.stream, one.tally.rows_new, one.tally.counters.requests, "done") for one in result.streams]


def run(
    sandbox: Sandbox, lake: Path, *streams: str, since: datetime | None = None, full: bool = False, lag: float = 0
) -> SyncResult:
    """Sync without our own limits."""
    settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=lag)
    return sync(settings, streams, Options(since, full))


def by_stream(result: SyncResult) -> dict[str, StreamResult]:
    return {stream.stream: stream for stream in result.streams}


def assert_lake_is_true(workspace: Workspace, lake: Path) -> None:
    assert_holds(lake, workspace, *SERVED)


def recent_messages(workspace: Workspace, age: timedelta) -> list[int]:
    since = datetime.now(UTC) - age
    return [row["id"] for row in workspace.rows("messages") if datetime.fromisoformat(row["created_on"]) >= since]
