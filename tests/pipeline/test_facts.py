"""The facts to chart, held against what plain Python counts from the rows that the server has."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pipeline.progress import Quiet
from pipeline.sandbox import Sandbox, Workspace, generate
from pipeline.settings import load_settings
from pipeline.sync import choose, sync
from tests.lakes import new_lake
from warehouse import Lake

Row = dict[str, Any]


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    """A workspace that is as large as its API: nothing is archived."""
    with generate(messages=2500, contacts=200, archives=False, seed=3) as workspace:
        yield workspace


@pytest.fixture(scope="module")
def lake(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    path = new_lake(tmp_path_factory.mktemp("facts") / "lake")
    with Sandbox(workspace, keep=True) as sandbox:
        settings = load_settings(url=sandbox.url, token=sandbox.token, lake=path, lag=0)
        assert not sync(settings, choose([]), Quiet()).failed
    with Lake.open(path) as opened:
        yield opened


def test_messages_per_day_channel_direction_and_status(lake: Lake, workspace: Workspace) -> None:
    expected = Counter(
        (day(workspace, row), channel(row), row["direction"], row["status"]) for row in workspace.rows("messages")
    )
    found = lake.rows("SELECT day, channel_name, direction, status, messages FROM messages_daily")
    assert {tuple(row[:4]): row[4] for row in found} == dict(expected)


def test_delivery_per_day_and_channel(lake: Lake, workspace: Workspace) -> None:
    kinds = {"delivered": "delivered", "read": "delivered", "wired": "sent", "sent": "sent"} | dict.fromkeys(
        ("failed", "errored"), "failed"
    )
    expected: dict[Any, Counter[str]] = defaultdict(Counter)
    for row in workspace.rows("messages"):
        if row["direction"] == "out":
            expected[day(workspace, row), channel(row)].update(["all", kinds.get(row["status"], "waiting")])
    found = lake.rows("SELECT day, channel_name, messages, delivered, sent, failed FROM delivery_daily")
    assert {(on, name): counts for on, name, *counts in found} == {
        key: [counts["all"], counts["delivered"], counts["sent"], counts["failed"]] for key, counts in expected.items()
    }


def test_how_flows_were_gone_through(lake: Lake, workspace: Workspace) -> None:
    expected: dict[str, Counter[str]] = defaultdict(Counter)
    for row in workspace.rows("runs"):
        ended = [row["exit_type"] or "ongoing"] + (["responded"] if row["responded"] else [])
        expected[row["flow"]["name"]].update(["started", *ended])
    names = ("started", "responded", "completed", "expired", "interrupted", "failed", "ongoing")
    found = lake.rows(f"SELECT flow_name, {', '.join(names)} FROM flow_funnel")
    assert {name: tuple(counts) for name, *counts in found} == {
        name: tuple(counts[one] for one in names) for name, counts in expected.items()
    }


def test_how_far_runs_came(lake: Lake, workspace: Workspace) -> None:
    reached: dict[Any, set[str]] = defaultdict(set)
    given_up: Counter[Any] = Counter()
    for row in workspace.rows("runs"):
        for step in row["path"]:
            reached[row["flow"]["uuid"], step["node"]].add(row["uuid"])
        if row["path"] and row["exit_type"] in ("expired", "interrupted"):
            given_up[row["flow"]["uuid"], row["path"][-1]["node"]] += 1
    found = lake.rows("SELECT flow_uuid::VARCHAR, node_uuid::VARCHAR, runs, given_up_here FROM flow_steps")
    assert {(flow, node): counts for flow, node, *counts in found} == {
        key: [len(runs), given_up[key]] for key, runs in reached.items()
    }


def test_how_long_contacts_took_to_answer(lake: Lake, workspace: Workspace) -> None:
    talks: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(workspace.rows("messages"), key=lambda row: (moment(row["created_on"]), row["id"])):
        talks[row["contact"]["uuid"]].append(row)
    expected = {
        answer["id"]: (moment(answer["created_on"]) - moment(asked["created_on"])) / timedelta(seconds=1)
        for talk in talks.values()
        for asked, answer in itertools.pairwise(talk)
        if (asked["direction"], answer["direction"]) == ("out", "in")
    }
    found = dict(lake.rows("SELECT message_id, seconds FROM response_times"))
    assert found.keys() == expected.keys()
    assert all(abs(found[key] - seconds) < 1e-3 for key, seconds in expected.items())


def test_contacts_per_week(lake: Lake, workspace: Workspace) -> None:
    active: dict[date, set[str]] = defaultdict(set)
    for row in workspace.rows("messages"):
        if row["direction"] == "in":
            active[monday(day(workspace, row))].add(row["contact"]["uuid"])
    everybody = [*workspace.rows("contacts"), *workspace.rows("contacts_deleted")]
    new = Counter(monday(day(workspace, row)) for row in everybody)
    found = {week: counts for week, *counts in lake.rows("SELECT week, active, new FROM contacts_weekly")}
    assert {week: counts[0] for week, counts in found.items() if counts[0]} == {
        week: len(people) for week, people in active.items()
    }
    # Contacts that are deleted came too.
    assert {week: counts[1] for week, counts in found.items() if counts[1]} == dict(new)


def test_reach_of_broadcasts(lake: Lake, workspace: Workspace) -> None:
    messages = [row for row in workspace.rows("messages") if row["broadcast"]]
    expected = {row["id"]: (0, 0) for row in workspace.rows("broadcasts")}
    for broadcast in expected:
        got = [row["contact"]["uuid"] for row in messages if row["broadcast"] == broadcast]
        expected[broadcast] = (len(got), len(set(got)))
    found = lake.rows("SELECT broadcast_id, messages, reached FROM broadcast_reach")
    assert {broadcast: tuple(counts) for broadcast, *counts in found} == expected


def test_opt_outs_are_those_who_are_stopped_and_those_whose_stop_was_noted(lake: Lake, workspace: Workspace) -> None:
    noted = {row["contact"]["uuid"] for row in workspace.rows("channel_events") if row["type"] == "stop-contact"}
    stopped = {row["uuid"] for row in workspace.rows("contacts") if row["status"] == "stopped"}
    found = lake.rows("SELECT contact_uuid::VARCHAR, is_exact, is_out_now FROM opt_outs")
    assert {contact for contact, *_ in found} == noted | stopped
    assert {contact for contact, is_exact, _ in found if is_exact} == noted
    assert {contact for contact, _, is_out in found if is_out} == stopped


def day(workspace: Workspace, row: Row) -> date:
    """The day on which the row was created, in the workspace's time zone."""
    zone = ZoneInfo(workspace.rows("workspace")[0]["timezone"])
    return moment(row["created_on"]).astimezone(zone).date()


def monday(on: date) -> date:
    return on - timedelta(days=on.weekday())


def moment(written: str) -> datetime:
    return datetime.fromisoformat(written)


def channel(row: Row) -> str | None:
    return row["channel"]["name"] if row["channel"] else None
