"""Streams as Dagster assets: what is shown of them, what runs bring, and how runs end that cannot go on."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from filelock import FileLock

from pipeline.months import Month, month_range
from pipeline.streams import STREAMS
from sandbox import Faults, Sandbox, generate
from tests.assets.conftest import LOCATION, Deployment, Ran, quiet_instance, records
from tests.lakes import LANGUAGES, new_lake
from tests.truth import assert_same, expected_union, stored_rows
from tests.workspaces import keep_days
from warehouse import Lake

# Dagster calls it deprecated, and the location uses it.
pytestmark = pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id is deprecated:DeprecationWarning")

THIS = Month.of(datetime.now(UTC))
LAST = THIS.plus(-1)
MONTHLY = {"messages", "runs"}
WHOLE = [name for name in STREAMS if name not in MONTHLY]
GRAPH = LOCATION.asset_graph


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Ran]]:
    """A lake after one run of all streams without months; no test changes it."""
    with (
        pytest.MonkeyPatch.context() as patch,
        generate(messages=300, seed=5) as workspace,
        Sandbox(keep_days(workspace, 3), requests_per_hour=0) as sandbox,
        quiet_instance() as instance,
    ):
        patch.chdir(tmp_path_factory.mktemp("synced"))
        patch.setenv("RAPIDLAKE_LAG", "0")
        deployment = Deployment(sandbox, Path("lake").resolve(), instance)
        yield deployment, deployment.run(*WHOLE)


# -- what is shown --


def test_every_stream_is_an_asset_that_says_what_it_is(tmp_path: Path) -> None:
    with Lake.open(new_lake(tmp_path / "lake")) as lake:
        for name, stream in STREAMS.items():
            node = GRAPH.get(dg.AssetKey(name))
            assert node.description and len(node.description) > 40
            assert node.group_name in ("messages_and_runs", "contacts", "analytics", "setup")
            assert node.owners == ["team:data"]
            assert node.kinds == {"rapidpro", "ducklake"}
            assert node.pools == {f"main/{stream.scope}"}
            assert node.metadata["dagster/table_name"] == name
            shown = [(one.name, one.type) for one in node.metadata["dagster/column_schema"].columns]
            assert shown == [(row[0], row[1]) for row in lake.rows(f'DESCRIBE "{name}"')]
            assert (node.partitions_def is not None) == (name in MONTHLY)


# -- what runs bring --


def test_all_streams_without_months_arrive_value_by_value(synced: tuple[Deployment, Ran]) -> None:
    deployment, ran = synced
    assert ran.success
    deployment.assert_true(*(name for name in WHOLE if name not in ("statistics", "definitions")))
    flows = {flow["uuid"] for flow in deployment.workspace.rows("flows")}
    assert {found for (found,) in deployment.rows("SELECT uuid::VARCHAR FROM definitions")} == flows


def test_metadata_tell_the_true_numbers_of_rows_requests_and_bytes(synced: tuple[Deployment, Ran]) -> None:
    deployment, ran = synced
    asked = Counter(seen.endpoint for seen in deployment.sandbox.requests)
    live = dict(deployment.rows(" UNION ALL ".join(
        f"SELECT '{name}', count(*) FROM \"{name}\" WHERE deleted_on IS NULL" for name in WHOLE)))  # fmt: skip
    for name in WHOLE:
        ((partition, facts),) = ran.materialised(name)
        listed = deployment.workspace.rows(name) if name not in ("statistics", "definitions") else []
        stored = live[name]
        assert (partition, facts["dagster/row_count"]) == (None, stored)
        assert stored == len(listed) or not listed
        deleted = deployment.workspace.count("contacts_deleted") if name == "contacts" else 0
        assert facts["rows new"] == stored + deleted, name
        assert (facts["rows changed"], facts["rows deleted"], facts["rows quarantined"]) == (0, 0, 0)
        # The question whose token it is stands at the workspace, which it answers.
        assert facts["requests"] == asked[name] or name == "statistics", name
    for name in ("labels", "groups"):
        page = httpx.get(
            f"{deployment.sandbox.url}/api/v2/{name}.json",
            headers={"Authorization": f"Token {deployment.sandbox.token}", "Accept-Encoding": "identity"},
            trust_env=False,
        )
        assert ran.materialised(name)[0][1]["bytes"] == len(page.content)


def test_metadata_hold_nothing_of_any_row(synced: tuple[Deployment, Ran]) -> None:
    deployment, ran = synced
    written = {text for name in WHOLE if name not in ("statistics", "definitions")
               for row in deployment.workspace.rows(name) for text in texts(row)}  # fmt: skip
    uuids = {str(row["uuid"]) for name in ("contacts", "groups", "flows") for row in deployment.workspace.rows(name)}
    assert len(written) > 200
    for name in WHOLE:
        facts = ran.materialised(name)[0][1]
        assert {str(value) for value in facts.values()} & (written | uuids) == set(), name
        assert not any(found in str(facts) for found in uuids), name


def texts(value: Any, name: str = "") -> Iterator[str]:
    """All texts of a row but identifiers, dates and words of the server's own."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from texts(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part, name)
    elif isinstance(value, str) and value.strip() and name not in SERVERS_WORDS:
        plain = re.sub(r"[-:TZ.+ \d]", "", value)
        if plain and not _is_uuid(value):
            yield value


SERVERS_WORDS = {"status", "direction", "type", "visibility", "exit_type", "language", "period", "archive_type"} | {
    "languages",
    "primary_language",
    "base_language",
    "value_type",
}


def _is_uuid(text: str) -> bool:
    try:
        return bool(uuid.UUID(text))
    except ValueError:
        return False


def test_a_run_of_the_open_month_syncs_from_where_the_last_one_ended(deployment: Deployment) -> None:
    first = deployment.run("messages", months=[THIS])
    assert first.success
    deployment.assert_true("messages")
    deployment.workspace.add("messages", 12, at=datetime.now(UTC) - timedelta(minutes=20))
    deployment.sandbox.requests.clear()
    second = deployment.run("messages", months=[THIS])
    deployment.assert_true("messages")
    (asked,) = [seen for seen in deployment.sandbox.requests if seen.endpoint == "messages"]
    assert datetime.fromisoformat(asked.params["after"]) > datetime.now(UTC) - timedelta(hours=2, minutes=10)
    (told,) = [facts for partition, facts in second.materialised("messages") if partition == str(THIS)]
    assert (told["rows new"], told["requests"]) == (12, 1)


def test_a_run_of_the_open_month_tells_how_many_rows_other_months_have_now(deployment: Deployment) -> None:
    truth = {str(THIS): 0} | per_month(deployment, "messages")
    assert len(truth) >= 3
    ran = deployment.run("messages", months=[THIS])
    assert counts(ran, "messages") == truth
    late = LAST.start.replace(day=9)
    deployment.workspace.add("messages", 5, at=late)
    ran = deployment.run("messages", months=[THIS], config={"full": True})
    assert counts(ran, "messages") == {str(THIS): truth[str(THIS)], str(LAST): truth[str(LAST)] + 5}


def test_a_range_of_months_is_one_run_with_a_true_number_of_rows_for_each(deployment: Deployment) -> None:
    months = [THIS.plus(-6), THIS.plus(-5), THIS.plus(-4)]
    ran = deployment.run("messages", months=months)
    assert ran.success
    truth = expected_union("messages", [], records(deployment.workspace, "message", months), LANGUAGES)
    assert counts(ran, "messages") == Counter(str(row["created_on"])[:7] for row in truth.values())
    with Lake.open(deployment.lake) as lake, lake.connection() as connection:
        assert_same("messages", stored_rows(connection, "messages"), truth)
    assert list(counts(ran, "messages")) == [str(month) for month in months]


def test_runs_that_a_later_month_brings_are_counted_in_the_month_that_they_were_created_in(
    deployment: Deployment,
) -> None:
    before = LAST.plus(-1)
    moved = [row for row in deployment.workspace.rows("runs") if row["created_on"][:7] == str(before)][:4]
    assert len(moved) == 4
    for row in moved:
        deployment.workspace.put("runs", {**row, "modified_on": f"{LAST}-15T09:00:00.000000Z"})
    ran = deployment.run("runs", months=[before, LAST])
    assert ran.success
    stored = deployment.rows("SELECT strftime(created_on, '%Y-%m'), count(*) FROM runs GROUP BY ALL")
    assert counts(ran, "runs") == {month: number for month, number in stored}
    assert counts(ran, "runs")[str(before)] >= 4


def test_months_before_the_workspace_are_told_to_hold_nothing_and_cost_one_request_together(
    deployment: Deployment,
) -> None:
    assert deployment.run("archives").success
    oldest = Month.parse(min(row["start_date"] for row in deployment.workspace.rows("archives"))[:7])
    earlier = [str(month) for month in month_range(Month(2025, 1), oldest.plus(-1))]
    assert len(earlier) > 5
    deployment.sandbox.requests.clear()
    ran = deployment.run("messages", months=earlier)
    assert ran.success
    assert counts(ran, "messages") == dict.fromkeys(earlier, 0)
    assert Counter(seen.endpoint for seen in deployment.sandbox.requests) == {
        "workspace": 1, "archives": 1, "messages": 1
    }  # fmt: skip
    said = "the server has no messages that are so old, and no archive file of them."
    assert f"messages {earlier[0]} to {earlier[-1]}: {said}" in ran.said

    # A sync of the open month tells it without being asked, once.
    ran = deployment.run("runs", months=[THIS])
    files = {row["start_date"][:7] for row in deployment.workspace.rows("archives") if row["archive_type"] == "run"}
    told = {month for month, rows in counts(ran, "runs").items() if not rows and month != str(THIS)}
    assert {*earlier} <= told
    assert not told & files
    assert not [rows for rows in counts(deployment.run("runs", months=[THIS]), "runs").values() if not rows]


# -- how runs end --


def test_a_stream_that_another_process_reads_is_left_to_it_and_the_log_says_so(deployment: Deployment) -> None:
    assert deployment.run("labels").success
    with FileLock(deployment.lake / "locks/labels.lock"), FileLock(deployment.lake / "locks/messages.lock"):
        ran = deployment.run("labels", "topics")
        monthly = deployment.run("messages", months=[THIS])
    assert (ran.success, monthly.success) == (True, True)
    assert (len(ran.materialised("labels")), len(ran.materialised("topics"))) == (0, 1)
    assert "labels: another process is syncing it now; left to that one" in ran.said
    assert monthly.materialised("messages") == []
    assert "messages: another process is syncing it now; left to that one" in monthly.said
    assert not [tag for tag in (*ran.tags, *monthly.tags) if tag.startswith("rapidlake")]


def test_a_closed_month_that_another_process_reads_is_noted_for_a_later_run(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.syncing.backfill.PATIENCE_SECONDS", 0.0)
    (deployment.lake / "locks").mkdir(parents=True)
    with FileLock(deployment.lake / f"locks/messages-{LAST}.lock"):
        ran = deployment.run("messages", months=[THIS.plus(-2), LAST])
    assert ran.success
    assert list(counts(ran, "messages")) == [str(THIS.plus(-2))]
    assert ran.tags["rapidlake/unfinished"] == "yes"
    after, span = ran.tags["rapidlake_go_on/messages"].split()
    assert span == f"{LAST}...{LAST}"
    assert timedelta(0) < datetime.fromisoformat(after) - datetime.now(UTC) <= timedelta(seconds=60)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("forbidden", r"labels: labels.json: http://127.0.0.1:\d+ refuses the token \(403\): [^\n]+"),
        ("error", r"labels: labels.json: http://127.0.0.1:\d+ kept failing for 0 s [^\n]+"),
    ],
)
def test_a_stream_that_fails_ends_red_with_one_sentence_and_the_others_go_on(
    deployment: Deployment, fault: str, sentence: str
) -> None:
    deployment.sandbox.faults = Faults(script={"labels": [fault] * 9})
    ran = deployment.run("groups", "labels", "topics")
    assert not ran.success
    assert re.fullmatch(sentence, ran.reason)
    assert [len(ran.materialised(name)) for name in ("groups", "labels", "topics")] == [1, 0, 1]


def test_a_run_that_cannot_begin_ends_red_with_one_sentence(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.sandbox.token = "another0token0of0an0administrator0000000"
    refused = Deployment(deployment.sandbox, deployment.lake, deployment.instance)
    deployment.sandbox.faults = Faults(script={"workspace": ["forbidden"]})
    assert re.fullmatch(r"workspace.json: http://127.0.0.1:\d+ refuses the token [^\n]+", refused.run("labels").reason)
    monkeypatch.setenv("RAPIDLAKE_BATCH_PAGES", "0")
    assert re.fullmatch(r"RAPIDLAKE_BATCH_PAGES: [^\n]+", deployment.run("labels").reason)


def test_a_run_that_must_wait_for_long_ends_green_with_the_months_that_are_done(deployment: Deployment) -> None:
    months = [THIS.plus(-6), THIS.plus(-5), THIS.plus(-4)]
    deployment.sandbox.faults = Faults(script={"messages": ["ok", "throttle"]}, throttle_seconds=600)
    ran = deployment.run("messages", months=months)
    assert ran.success
    assert list(counts(ran, "messages")) == [str(months[0])]
    after, span = ran.tags["rapidlake_go_on/messages"].split()
    assert (ran.tags["rapidlake/unfinished"], span) == ("yes", f"{months[1]}...{months[2]}")
    assert abs(datetime.fromisoformat(after) - datetime.now(UTC) - timedelta(seconds=600)) < timedelta(seconds=30)
    (said,) = [line for line in ran.said if "Goes on after" in line]
    assert re.match(r"messages: The rate limit is used up for 10 minutes: .* Goes on after \d{4}-.* UTC\.$", said)
    assert deployment.rows("SELECT DISTINCT strftime(created_on, '%Y-%m') FROM messages ORDER BY 1") == [
        (str(month),) for month in months[:2]
    ]  # the files of the second month were loaded before


def test_a_run_of_a_schedule_that_must_wait_leaves_no_note_because_the_next_comes_by_itself(
    deployment: Deployment,
) -> None:
    deployment.sandbox.faults = Faults(script={"labels": ["throttle"]}, throttle_seconds=600)
    ran = deployment.run("labels", tags={"rapidlake/pace": "hourly_sync"})
    assert ran.success
    assert ran.materialised("labels") == []
    assert not [tag for tag in ran.tags if tag.startswith(("rapidlake/unfinished", "rapidlake_go_on"))]


def test_the_token_is_in_nothing_that_dagster_keeps(deployment: Deployment, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        kept = Deployment(deployment.sandbox, deployment.lake, instance)
        assert kept.run("labels", "topics").success
        assert kept.run("messages", months=[THIS]).success
        # Refused in the middle, and then from the beginning.
        deployment.sandbox.faults = Faults(script={"labels": ["forbidden"], "workspace": ["ok"] + ["forbidden"] * 2})
        assert not kept.run("labels").success
        assert not kept.run("labels").success
        everything = b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
    assert b"refuses the token" in everything
    assert deployment.sandbox.token.encode() not in everything


# -- helpers --


def per_month(deployment: Deployment, stream: str) -> dict[str, int]:
    return dict(Counter(row["created_on"][:7] for row in deployment.workspace.rows(stream)))


def counts(ran: Ran, stream: str) -> dict[str | None, int]:
    """Month → the number of rows that it was last told to have."""
    told = ran.materialised(stream)
    return {month: facts["dagster/partition_row_count"] for month, facts in told if month}
