"""The facts to chart, held against what plain Python counts from the rows that the server has."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from tests.analysts import Analysed, Change, day, named, whose
from tests.happenings import EXITS, STATUSES, ZONE, Row, moment, monday

DAY = timedelta(days=1)
ARRIVAL = {"delivered": "delivered", "read": "delivered"} | dict.fromkeys(("wired", "sent", "resent"), "sent")
ARRIVAL |= dict.fromkeys(("failed", "errored"), "failed")


def test_the_workspace_has_everything_that_facts_could_trip_over(facts: Analysed) -> None:
    messages, runs = facts.now["messages"], facts.now["runs"]
    assert {row["status"] for row in messages if row["direction"] == "out"} >= set(STATUSES)
    assert {row["exit_type"] for row in runs} == set(EXITS)
    assert {row["status"] for row in facts.now["contacts"]} == {"active", "blocked", "stopped", "archived"}
    assert {row["direction"] for row in facts.gone("messages")} == {"in", "out"}
    deleted = ("runs", "broadcasts", "contacts", "channels", "flows", "groups", "labels", "topics", "tickets", "fields")
    assert [stream for stream in deleted if not facts.gone(stream)] == []
    # Days by UTC, and quarters of an hour in any other zone, would be others.
    assert any(moment(row["created_on"]).date() != day(row) for row in messages)


def test_messages_per_day_channel_direction_and_status(facts: Analysed) -> None:
    expected = Counter(
        (day(row), named(row, "channel"), row["direction"], row["status"]) for row in facts.now["messages"]
    )
    found = facts.lake.rows("SELECT day, channel_name, direction, status, messages FROM messages_daily")
    assert sorted(map(str, found)) == sorted(str((*one, number)) for one, number in expected.items())


def test_delivery_per_day_and_channel(facts: Analysed) -> None:
    expected: dict[Any, Counter[str]] = defaultdict(Counter)
    for row in facts.now["messages"]:
        if row["direction"] == "out":
            channel = row["channel"] or {"uuid": None, "name": None}
            expected[day(row), channel["uuid"], channel["name"]].update(["all", ARRIVAL.get(row["status"], "waiting")])
    found = facts.lake.rows(
        "SELECT day, channel_uuid::VARCHAR, channel_name, messages, delivered, sent, failed, delivered_percent, "
        "failed_percent FROM delivery_daily"
    )
    assert {tuple(row[:3]): row[3:] for row in found} == {
        one: (
            *(counts[what] for what in ("all", "delivered", "sent", "failed")),
            percent(counts["delivered"], counts["all"] - counts["waiting"]),
            percent(counts["failed"], counts["all"] - counts["waiting"]),
        )
        for one, counts in expected.items()
    }


def test_how_flows_were_gone_through_day_by_day_and_over_all_time(facts: Analysed) -> None:
    names = ("started", "responded", "completed", "expired", "interrupted", "failed", "ongoing")
    by_day: dict[Any, Counter[str]] = defaultdict(Counter)
    for row in facts.now["runs"]:
        ended = [row["exit_type"] or "ongoing"] + (["responded"] if row["responded"] else [])
        by_day[day(row), row["flow"]["uuid"], row["flow"]["name"]].update(["started", *ended])
    found = facts.lake.rows(f"SELECT day, flow_uuid::VARCHAR, flow_name, {', '.join(names)} FROM flow_runs_daily")
    assert {tuple(row[:3]): row[3:] for row in found} == {
        one: tuple(counts[name] for name in names) for one, counts in by_day.items()
    }
    ever: dict[Any, Counter[str]] = defaultdict(Counter)
    for (_, *flow), counts in by_day.items():
        ever[tuple(flow)].update(counts)
    found = facts.lake.rows(
        f"SELECT flow_uuid::VARCHAR, flow_name, {', '.join(names)}, responded_percent, completed_percent "
        "FROM flow_funnel"
    )
    assert {tuple(row[:2]): row[2:] for row in found} == {
        flow: (
            *(counts[name] for name in names),
            *(percent(counts[name], counts["started"]) for name in ("responded", "completed")),
        )
        for flow, counts in ever.items()
    }


def test_how_far_runs_came(facts: Analysed) -> None:
    found = facts.lake.rows(
        "SELECT flow_uuid::VARCHAR, flow_name, node_uuid::VARCHAR, first_step, runs, ended_here, given_up_here "
        "FROM flow_steps"
    )
    assert {(flow, name, node): tuple(counts) for flow, name, node, *counts in found} == steps(facts.now["runs"])


def test_how_long_contacts_took_to_answer(facts: Analysed) -> None:
    expected = {
        answer["id"]: (
            whose(answer), answer["flow"]["uuid"] if answer["flow"] else None,
            moment(asked["created_on"]), moment(answer["created_on"]),
        )
        for asked, answer in answers(facts.now["messages"])
    }  # fmt: skip
    found = facts.lake.rows(
        "SELECT message_id, contact_uuid::VARCHAR, flow_uuid::VARCHAR, asked_on, answered_on, seconds "
        "FROM response_times"
    )
    assert {row[0]: tuple(row[1:5]) for row in found} == expected
    for _, _, _, asked_on, answered_on, seconds in found:
        assert seconds == pytest.approx((answered_on - asked_on).total_seconds(), abs=1e-3)


def test_contacts_per_week(facts: Analysed) -> None:
    weeks: dict[str, dict[date, set[str]]] = {what: defaultdict(set) for what in ("active", "new", "lost")}
    for row in facts.now["messages"]:
        if row["direction"] == "in" and row["contact"]:
            weeks["active"][monday(day(row))].add(row["contact"]["uuid"])
    for row in [*facts.before["contacts"], *facts.before["contacts_deleted"]]:  # contacts that are deleted came too
        weeks["new"][monday(day(row))].add(row["uuid"])
    weeks["lost"] = lost(facts)
    expected = {
        week: tuple(len(weeks[what][week]) for what in ("active", "new", "lost"))
        for week in {week for found in weeks.values() for week in found}
    }
    found = {
        week: tuple(counts) for week, *counts in facts.lake.rows("SELECT week, active, new, lost FROM contacts_weekly")
    }
    assert {week: counts for week, counts in found.items() if any(counts)} == expected


def test_reach_of_broadcasts(facts: Analysed) -> None:
    expected = {}
    for row in facts.now["broadcasts"]:
        mine = [one for one in facts.now["messages"] if one["broadcast"] == row["id"]]
        kinds = Counter(ARRIVAL.get(one["status"]) for one in mine)
        expected[row["id"]] = (
            moment(row["created_on"]), CURRENT_STATUS.get(row["status"], row["status"]), text_of(row), meant_for(row),
            [one["name"] for one in row["groups"]], len(mine), len({whose(one) for one in mine} - {None}),
            kinds["delivered"], kinds["sent"], kinds["failed"],
        )  # fmt: skip
    found = facts.lake.rows(
        "SELECT broadcast_id, created_on, status, text, meant_for, string_split(group_names, ', '), messages, reached, "
        "delivered, sent, failed FROM broadcast_reach"
    )
    assert {row[0]: (*row[1:5], row[5] or [], *row[6:]) for row in found} == expected


def test_states_of_flow_starts_have_one_word_each_whatever_server_wrote_them(facts: Analysed) -> None:
    written = Counter(row["status"] for row in facts.now["flow_starts"])
    assert "complete" in written
    expected: Counter[str] = Counter()
    for status, number in written.items():
        expected[CURRENT_STATUS.get(status, status)] += number
    found = facts.lake.rows("SELECT current_status(status), count(*) FROM flow_starts GROUP BY ALL")
    assert dict(found) == expected


def test_opt_outs_are_those_who_are_stopped_and_those_whose_stop_was_noted(facts: Analysed) -> None:
    found = facts.lake.rows(
        "SELECT contact_uuid::VARCHAR, local_time(opted_out_on)::DATE, is_exact, is_out_now FROM opt_outs"
    )
    assert sorted(map(str, found)) == sorted(map(str, opted_out(facts)))


def test_how_long_messages_took_to_be_delivered(facts: Analysed) -> None:
    found = facts.lake.rows(
        "SELECT message_id, channel_name, created_on, sent_on, at_least_seconds, at_most_seconds FROM delivery_times"
    )
    expected = {
        row["id"]: (
            named(row, "channel"),
            moment(row["created_on"]),
            moment(row["sent_on"]) if row["sent_on"] else None,
            pytest.approx(least, abs=1e-3),
            pytest.approx(most, abs=1e-3),
        )
        for row, least, most in delivered(facts)
    }
    assert {row[0]: row[1:] for row in found} == expected


def test_groups_have_a_size_on_every_day_between_two_that_were_noted(facts: Analysed) -> None:
    until = datetime.now(ZONE).date()
    names = {row["uuid"]: row["name"] for row in facts.before["groups"]}
    expected = set()
    for group in dict.fromkeys(group for group, *_ in facts.sizes):
        noted = [(on, contacts) for one, on, contacts in facts.sizes if one == group]
        for (on, contacts), (following, _) in itertools.pairwise([*noted, (until + DAY, 0)]):
            expected |= {
                (on + number * DAY, group, names.get(group), contacts) for number in range((following - on).days)
            }
    found = facts.lake.rows(
        f"SELECT day, group_uuid::VARCHAR, group_name, contacts FROM group_sizes WHERE day <= DATE '{until}'"
    )
    assert set(found) == expected
    assert len(found) == len(expected)


def delivered(facts: Analysed) -> list[tuple[Row, float, float]]:
    """Messages of the API that were seen to be delivered: not yet after so many seconds, but after so many."""
    seen: dict[int, list[Change]] = defaultdict(list)
    for one in facts.changes:
        if (
            one.what == "status"
            and one.after in ("delivered", "read")
            and one.before not in ("delivered", "read", None)
        ):
            seen[one.id].append(one)
    return [
        (
            row,
            max(0.0, min((one.still_on - at).total_seconds() for one in found if one.still_on) if still else 0.0),
            min((one.changed_by - at).total_seconds() for one in found),
        )
        for row in facts.now["messages"]
        if (found := seen[row["id"]]) and row["id"] not in facts.archived
        for at, still in [(moment(row["created_on"]), any(one.still_on for one in found))]
    ]


def lost(facts: Analysed) -> dict[date, set[str]]:
    """Week → contacts who were deleted, or opted out and have not come back."""
    weeks: dict[date, set[str]] = defaultdict(set)
    for row in facts.before["contacts_deleted"]:
        weeks[monday(day(row, "modified_on"))].add(row["uuid"])
    for contact, at in facts.deleted["contacts"].items():
        weeks[monday(at.astimezone(ZONE).date())].add(contact)
    for who, on, _, is_out in opted_out(facts):
        if is_out and who:
            weeks[monday(on)].add(who)
    return weeks


def opted_out(facts: Analysed) -> list[tuple[str | None, date, bool, bool]]:
    """(contact, day, whether the day is known exactly, whether the contact is still out) of each opt-out."""
    out = {row["uuid"] for row in facts.before["contacts"] if row["status"] == "stopped"}
    noted = [row for row in facts.before["channel_events"] if row["type"] == "stop-contact"]
    exact = [
        (whose(row), day(row, "occurred_on" if row["occurred_on"] else "created_on"), True, whose(row) in out)
        for row in noted
    ]
    known = {whose(row) for row in noted}
    return exact + [
        (row["uuid"], day(row, "modified_on"), False, True)
        for row in facts.now["contacts"]
        if row["status"] == "stopped" and row["uuid"] not in known
    ]


# What newer servers call states of broadcasts and flow starts.
CURRENT_STATUS = {"sent": "completed", "complete": "completed", "starting": "started"}


def text_of(broadcast: Row) -> str | None:
    """What was sent in the base language, else in the only other one."""
    texts = broadcast["text"]
    return texts.get(broadcast["base_language"]) or next(iter(texts.values()))


def meant_for(broadcast: Row) -> int | None:
    """For how many contacts a broadcast was; -1 stands for nobody knows."""
    total = broadcast.get("progress", {}).get("total", -1)
    return None if total == -1 else total


def answers(messages: list[Row]) -> list[tuple[Row, Row]]:
    """(message out, first message in after it) of each contact."""
    talks: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(messages, key=lambda row: (moment(row["created_on"]), row["id"])):
        if row["contact"]:
            talks[row["contact"]["uuid"]].append(row)
    return [
        (asked, answer)
        for talk in talks.values()
        for asked, answer in itertools.pairwise(talk)
        if (asked["direction"], answer["direction"]) == ("out", "in")
    ]


def steps(runs: list[Row]) -> dict[tuple[str, str, str], tuple[int, int, int, int]]:
    """(flow, its name, node) → first step, runs that came there, runs that ended there, runs given up there."""
    places: dict[Any, list[tuple[int, str, bool, bool]]] = defaultdict(list)
    for row in runs:
        for number, step in enumerate(row["path"] or [], start=1):
            is_last = number == len(row["path"])
            given_up = is_last and row["exit_type"] in ("expired", "interrupted")
            place = (row["flow"]["uuid"], row["flow"]["name"], step["node"])
            places[place].append((number, row["uuid"], is_last, given_up))
    return {
        place: (
            min(number for number, *_ in seen),
            len({run for _, run, *_ in seen}),
            sum(is_last for *_, is_last, _ in seen),
            sum(given_up for *_, given_up in seen),
        )
        for place, seen in places.items()
    }


def percent(part: int, whole: int) -> float | None:
    return pytest.approx(100 * part / whole, abs=0.0501) if whole else None
