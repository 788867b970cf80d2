"""What the report asks, on a day of our choice, held against what plain Python counts."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from importlib import resources
from statistics import median
from typing import Any

import pytest

from tests.analysts import Analysed, day, named
from tests.happenings import LIMITS, NODES, TODAY, Row, moment, monday, start_of
from tests.warehouse.views.test_elements import says, sets_result
from tests.warehouse.views.test_facts import ARRIVAL, answers, delivered, lost, opted_out, steps, text_of, whose

WEEKS = [monday(TODAY) - timedelta(days=7 * back) for back in range(26, 0, -1)]
WAY = {"in": "received", "out": "sent"}


def test_messages_of_whole_weeks_of_half_a_year(facts: Analysed) -> None:
    expected = Counter((monday(day(row)), WAY[row["direction"]]) for row in facts.now["messages"])
    assert ask(facts, "messages") == sorted((*one, number) for one, number in expected.items() if one[0] in WEEKS)


def test_the_twelve_channels_that_carried_most_in_thirty_days(facts: Analysed) -> None:
    counted = Counter((channel(row), WAY[row["direction"]]) for row in within(facts.now["messages"], 30))
    whole: Counter[str] = Counter()
    for (name, _), number in counted.items():
        whole[name] += number
    largest = sorted(whole, key=lambda name: (-whole[name], name))[:12]
    assert len(whole) > 12
    assert ask(facts, "channels") == [
        (name, way, counted[name, way]) for name in largest for way in ("received", "sent") if counted[name, way]
    ]


def test_failed_messages_of_the_five_channels_that_sent_most(facts: Analysed) -> None:
    weeks: dict[tuple[date, str], Counter[str]] = defaultdict(Counter)
    for row in facts.now["messages"]:
        if row["direction"] == "out" and monday(day(row)) in WEEKS and row["status"] in ARRIVAL:
            weeks[monday(day(row)), channel(row)].update(["ended", ARRIVAL[row["status"]]])
    sent: Counter[str] = Counter()
    for (_, name), counts in weeks.items():
        sent[name] += counts["ended"]
    largest = sorted(sent, key=lambda name: (-sent[name], name))[:5]
    assert len(sent) > 5
    assert ask(facts, "failures") == [
        (*one, pytest.approx(100 * counts["failed"] / counts["ended"], abs=0.00501))
        for one, counts in sorted(weeks.items())
        if one[1] in largest
    ]


def test_the_eight_flows_that_began_most_often_in_ninety_days(facts: Analysed) -> None:
    flows: dict[str, Counter[str]] = defaultdict(Counter)
    for row in within(facts.now["runs"], 90):
        flows[row["flow"]["name"]].update(["started", str(row["exit_type"])] + ["responded"] * row["responded"])
    ranked = sorted(flows.items(), key=lambda flow: (-flow[1]["started"], flow[0]))
    assert len(ranked) > 8
    names = ("started", "responded", "completed", "expired")
    assert ask(facts, "flows") == [(flow, *(counts[name] for name in names)) for flow, counts in ranked[:8]]


def test_the_steps_of_the_flow_that_lost_most(facts: Analysed) -> None:
    given_up: Counter[str] = Counter()
    for row in within(facts.now["runs"], 90):
        given_up[row["flow"]["uuid"]] += row["exit_type"] in ("expired", "interrupted")
    worst = min(given_up, key=lambda flow: (-given_up[flow], flow))
    places = steps([row for row in facts.now["runs"] if created(row) >= start_of(90)])
    expected = [
        (name, first, what_it_does(node), runs, given_up)
        for (flow, name, node), (first, runs, _, given_up) in places.items()
        if flow == worst
    ]
    expected.sort(key=lambda row: (row[1], -row[3]))
    assert len(expected) > 14
    assert {row[2] for row in expected} > {"Hi", "Pick", "Kept"}
    assert ask(facts, "steps") == expected[:14]


def what_it_does(node: str) -> str:
    """What a node of the flow that loses most sets, else what it says."""
    known = dict(zip((str(uuid.UUID(int=number + 1)) for number in range(len(NODES))), NODES, strict=True))
    return sets_result(known.get(node, {})) or says(known.get(node, {})) or "(no longer in the flow)"


def test_how_fast_contacts_answered_in_thirty_days(facts: Analysed) -> None:
    limits = (60, 300, 900, 3600, 21600, 86400, float("inf"))
    classes = ("1 min", "5 min", "15 min", "1 h", "6 h", "1 day", "later")
    seconds = [
        (created(answer) - created(asked)).total_seconds()
        for asked, answer in answers([row for row in facts.now["messages"] if created(row) >= start_of(30)])
    ]
    found = Counter(next(name for name, limit in zip(classes, limits, strict=True) if one <= limit) for one in seconds)
    assert ask(facts, "responses") == [(name, found[name]) for name in classes]
    assert set(LIMITS) <= set(seconds)


def test_how_long_messages_of_thirty_days_took_to_arrive(facts: Analysed) -> None:
    times: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row, least, most in delivered(facts):
        if created(row) > start_of(30):
            times[channel(row)].append((least, most))
    expected = [
        (name, len(found), *(pytest.approx(median(each) / 60, abs=0.0501) for each in zip(*found, strict=True)))
        for name, found in sorted(times.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    ]
    assert len(expected) > 4
    assert ask(facts, "delivery_times") == expected[:8]


def test_contacts_who_wrote_came_or_left_in_whole_weeks(facts: Analysed) -> None:
    weeks: dict[tuple[date, str], set[Any]] = defaultdict(set)
    for row in facts.now["messages"]:
        if row["direction"] == "in" and row["contact"]:
            weeks[monday(day(row)), "active"].add(whose(row))
    for row in [*facts.before["contacts"], *facts.before["contacts_deleted"]]:
        weeks[monday(day(row)), "new"].add(row["uuid"])
    for week, contacts in lost(facts).items():
        weeks[week, "lost"] = contacts
    asked = ask(facts, "contacts")
    assert [row for row in asked if row[2]] == sorted((*one, len(who)) for one, who in weeks.items() if one[0] in WEEKS)
    assert [row[:2] for row in asked] == sorted(row[:2] for row in asked)


def test_opt_outs_of_every_whole_week_of_half_a_year(facts: Analysed) -> None:
    counted = Counter(monday(on) for who, on, *_ in opted_out(facts) if who)
    assert ask(facts, "opt_outs") == [(week, counted[week]) for week in WEEKS]
    assert 0 in [counted[week] for week in WEEKS] and counted[WEEKS[0]] and counted[WEEKS[-1]]


def test_the_eight_largest_groups_day_by_day(facts: Analysed) -> None:
    names = {row["uuid"]: row["name"] for row in facts.before["groups"]}
    last = {group: contacts for group, _, contacts in facts.sizes}
    largest = sorted((group for group in last if last[group]), key=lambda group: (-last[group], group))[:8]
    asked = ask(facts, "groups")
    assert {name for _, name, _ in asked} == {names.get(group) for group in largest}
    assert min(row[0] for row in asked) == TODAY - timedelta(days=181)
    for back, size in ((181, 12), (180, 12), (101, 12), (100, 5), (2, 5), (1, 20), (0, 20)):
        that_day = [row for row in asked if row[0] == TODAY - timedelta(days=back)]
        order = {group: size + number // 2 for number, group in enumerate(last)}
        assert sorted((row[2] for row in that_day), reverse=True) == [row[2] for row in that_day]
        assert Counter((row[1], row[2]) for row in that_day) == Counter((names.get(one), order[one]) for one in largest)


def test_the_figures_of_thirty_days_and_of_the_thirty_before(facts: Analysed) -> None:
    figures = {}
    for period, messages, runs in (
        ("now", within(facts.now["messages"], 30), within(facts.now["runs"], 30)),
        ("before", within(facts.now["messages"], 60, 30), within(facts.now["runs"], 60, 30)),
    ):
        figures[f"received_{period}"] = sum(row["direction"] == "in" for row in messages)
        figures[f"sent_{period}"] = sum(row["direction"] == "out" for row in messages)
        figures[f"failed_{period}"] = sum(row["status"] in ("failed", "errored") for row in messages)
        figures[f"runs_{period}"] = len(runs)
        figures[f"completed_{period}"] = sum(row["exit_type"] == "completed" for row in runs)
    figures["contacts"] = len(facts.now["contacts"])
    figures["open_tickets"] = sum(row["status"] == "open" for row in facts.now["tickets"])
    del figures["failed_before"], figures["completed_before"]
    assert dict(zip(headings(facts, "headline"), ask(facts, "headline")[0], strict=True)) == figures


def test_the_last_ten_broadcasts(facts: Analysed) -> None:
    last = sorted(facts.now["broadcasts"], key=created, reverse=True)
    assert len(last) > 10
    expected = []
    for row in last[:10]:
        mine = [one for one in facts.now["messages"] if one["broadcast"] == row["id"]]
        kinds = Counter(ARRIVAL.get(one["status"]) for one in mine)
        groups = ", ".join(one["name"] for one in row["groups"]) or None
        reached = len({whose(one) for one in mine} - {None})
        numbers = (reached, kinds["delivered"], kinds["sent"], kinds["failed"])
        expected.append((day(row), text_of(row), groups, *numbers))
    assert ask(facts, "broadcasts") == expected


def test_months_in_which_nothing_happened_have_zeros(facts: Analysed) -> None:
    later = TODAY + timedelta(days=80)
    assert [answers for _, answers in ask(facts, "responses", later)] == [0] * 7
    figures = dict(zip(headings(facts, "headline"), ask(facts, "headline", later)[0], strict=True))
    standing = {"contacts", "open_tickets"}
    assert {figures[name] for name in figures.keys() - standing} == {0}
    assert all(figures[name] for name in standing)
    assert ask(facts, "messages", TODAY + timedelta(days=400)) == []


def ask(facts: Analysed, query: str, today: date = TODAY) -> list[tuple[Any, ...]]:
    """The answer to a question of the report, as if it were asked on that day."""
    return _answer(facts, query, today)[1]


def headings(facts: Analysed, query: str) -> list[str]:
    return _answer(facts, query, TODAY)[0]


def _answer(facts: Analysed, query: str, today: date) -> tuple[list[str], list[Any]]:
    sql = sql_of(query)
    with facts.lake.connection() as connection:
        connection.execute(f"SET VARIABLE today = DATE '{today}'")
        answer = connection.execute(sql)
        return [column[0] for column in answer.description or []], answer.fetchall()


def within(rows: Iterable[Row], days: int, until: int = 0) -> list[Row]:
    """Rows of the last `days` days of the workspace, without the last `until`."""
    first, last = TODAY - timedelta(days=days - 1), TODAY - timedelta(days=until)
    return [row for row in rows if first <= day(row) <= last]


def created(row: Row) -> datetime:
    return moment(row["created_on"])


def channel(row: Row) -> str:
    return named(row, "channel") or "No channel"


def sql_of(query: str) -> str:
    """The SQL of a question of the report."""
    return (resources.files("pipeline.report") / "queries" / f"{query}.sql").read_text("utf-8").rstrip().rstrip(";")
