"""Whatever the clocks of both sides do: once they are right again nothing is lost, and what was wrong is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine

from pipeline.months import Month
from pipeline.reading.reader import Options
from pipeline.results import StreamResult
from pipeline.streams import STREAMS as ALL
from pipeline.syncing.session import identify, open_client
from sandbox import Faults, Workspace, generate
from sandbox.workspace.dates import from_micros
from tests.cases import cases
from tests.pipeline.scene import Scene

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
RIGHT = timedelta(0)
# A stream of each strategy that goes by a clock: windows on what changes and on what is made, lists newest first.
FEW = ("contacts", "messages", "tickets")
# Every stream that does.
MANY = (*FEW, "runs", "flow_starts", "broadcasts", "channel_events", "resthook_events", "statistics")
NOON = datetime(2026, 7, 15, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@dataclass
class World:
    """A server and a lake, each with a clock that can be wrong; `here` and `there` say by how much."""

    scene: Scene
    machine: time_machine.Traveller
    here: timedelta = RIGHT
    there: timedelta = RIGHT
    streams: Sequence[str] = FEW
    told: list[str] = field(default_factory=list)

    def set(self, here: timedelta | None = None, there: timedelta | None = None) -> None:
        """Let the clocks be wrong by so much."""
        now = datetime.now(UTC) - self.here
        self.here = self.here if here is None else here
        self.there = self.there if there is None else there
        self.machine.move_to(now + self.here)
        self.scene.workspace.ahead = self.there - self.here

    def wait(self, passed: timedelta) -> None:
        self.machine.shift(passed)

    def happen(self) -> None:
        """Rows are made, changed and deleted, and some become visible that were dated ten minutes ago."""
        workspace = self.scene.workspace
        for stream in self.streams:
            if stream != "statistics":
                workspace.add(stream, 2)
            if stream in ("contacts", "runs", "flow_starts", "tickets"):
                workspace.edit(stream, 3)
            if stream in ("contacts", "runs", "flow_starts", "tickets", "messages", "channel_events"):
                workspace.add(stream, 1, at=from_micros(workspace.clock()) - 10 * MINUTE)
        named = {row["contact"]["uuid"] for stream in ("tickets", "channel_events") for row in workspace.rows(stream)}
        workspace.delete_contacts(
            [next(row["uuid"] for row in workspace.rows("contacts")[::-1] if row["uuid"] not in named)]
        )

    def sync(self, **settings: Any) -> dict[str, StreamResult]:
        """Sync as a process does that has just begun."""
        with open_client(self.scene.settings()) as client:
            body, _ = identify(client)
            self.scene = replace(self.scene, session=replace(self.scene.session, client=client, body=body))
            results = self.scene.sync(*self.streams, **settings)
        assert {one.outcome for one in results.values()} == {"done"}
        self.told += [one.message for one in results.values() if one.message and "clock" in one.message]
        return results

    def assert_true(self) -> None:
        self.scene.assert_true(*(stream for stream in self.streams if stream != "statistics"))
        late = "SELECT stream, feed FROM _cursor WHERE watermark > updated_on OR walk_before > updated_on"
        assert self.scene.rows(late) == []


@pytest.fixture
def world(scene_of: Callable[[Workspace], Scene]) -> Iterator[World]:
    with time_machine.travel(NOON, tick=True) as machine:
        yield World(scene_of(made(NOON)), machine)


def made(now: datetime) -> Workspace:
    return generate(messages=300, contacts=60, runs=60, seed=7, archives=False, statistics=True, now=now)


@dataclass(frozen=True)
class Then:
    """What comes next: so much time passes, clocks are set, rows change, and a sync reads them, or none does."""

    passed: timedelta = 20 * MINUTE
    here: timedelta | None = None
    there: timedelta | None = None
    synced: bool = True


def wrong_then_right(**wrong: timedelta) -> list[Then]:
    return [Then(**wrong), Then(), Then(**dict.fromkeys(wrong, RIGHT))]


CASES = {
    "nothing is wrong": [Then(), Then()],
    **{f"the server's by {jump}": wrong_then_right(there=jump) for jump in (3 * HOUR, -3 * HOUR, 4 * DAY, -4 * DAY)},
    **{f"ours by {jump}": wrong_then_right(here=jump) for jump in (5 * MINUTE, 3 * HOUR, -3 * HOUR, 4 * DAY, -4 * DAY)},
    **{f"both by {jump}": wrong_then_right(here=jump, there=jump) for jump in (3 * HOUR, -3 * HOUR)},
    "one is ahead, one behind": [Then(here=2 * HOUR, there=-HOUR), Then(here=-HOUR, there=2 * HOUR)],
}


# Of the table these run each time.
SHORT = ("ours by -4 days, 0:00:00",)


@pytest.mark.parametrize("case", cases(*SHORT, long=[case for case in CASES if case not in SHORT]))
def test_nothing_is_lost_by_clocks_that_jump(world: World, case: str) -> None:
    world.sync()
    for then in CASES[case]:
        world.wait(then.passed)
        world.set(then.here, then.there)
        world.happen()
        if then.synced:
            world.sync()
    world.set(RIGHT, RIGHT)
    world.wait(max(abs(offset or RIGHT) for then in CASES[case] for offset in (then.here, then.there)))
    for _ in range(2):
        world.wait(20 * MINUTE)
        world.happen()
        world.sync()
    world.assert_true()
    assert not world.told or case != "nothing is wrong"


def test_one_answer_with_a_wild_date_moves_no_watermark_past_the_present_nor_far_back(world: World) -> None:
    world.sync()
    before = world.scene.read_up_to("messages")
    for wild in (3 * HOUR, -3 * HOUR, -5000 * DAY, None):
        for which in (0, 4):  # the answer with which a session is opened, and one within a walk
            world.wait(20 * MINUTE)
            world.happen()
            give_date(world, which, wild)
            world.sync()
            [(ahead,)] = world.scene.rows("SELECT count(*) FROM _cursor WHERE watermark > updated_on")
            assert ahead == 0, (wild, which)
            assert world.scene.read_up_to("messages") >= before, (wild, which)
            assert world.told == [], (wild, which)
    for _ in range(2):
        world.sync()
    world.assert_true()


def give_date(world: World, which: int, wild: timedelta | str | None) -> None:
    """Let the answer of this number, counted from now, have another date: so much later, none, or no date at all."""
    left = [which]

    def date_of(endpoint: str, now: datetime) -> datetime | str | None:
        left[0] -= 1
        return now if left[0] != -1 else now + wild if isinstance(wild, timedelta) else wild

    world.scene.sandbox.date_of = date_of


@pytest.mark.parametrize(
    ("jump", "dated"),
    [
        pytest.param(3 * HOUR, True, id="forwards", marks=pytest.mark.long),
        pytest.param(-3 * HOUR, True, id="back", marks=pytest.mark.long),
        pytest.param(3 * HOUR, False, id="forwards without Date", marks=pytest.mark.long),
        pytest.param(-3 * HOUR, False, id="back without Date", marks=pytest.mark.long),
    ],
)
def test_a_clock_that_jumps_while_a_sync_goes_on_loses_nothing(world: World, jump: timedelta, dated: bool) -> None:
    if not dated:
        world.scene.sandbox.date_of = lambda endpoint, now: None
    world.sync()
    for wrong in (jump, RIGHT):
        world.wait(20 * MINUTE)
        world.happen()
        asked: list[str] = []

        def jumping(endpoint: str, wrong: timedelta = wrong, asked: list[str] = asked) -> None:
            asked.append(endpoint)
            if len(asked) == 4:
                world.set(here=wrong)

        world.scene.sandbox.after_page = jumping
        world.sync()
        world.scene.sandbox.after_page = None
    world.wait(abs(jump))
    for _ in range(2):
        world.wait(20 * MINUTE)
        world.happen()
        world.sync()
    world.assert_true()


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(datetime(2026, 3, 29, 1, 30, tzinfo=BERLIN), id="summer time begins", marks=pytest.mark.long),
        pytest.param(datetime(2026, 10, 25, 1, 30, tzinfo=BERLIN), id="summer time ends"),
        pytest.param(datetime(2028, 2, 28, 23, 30, tzinfo=BERLIN), id="a leap day", marks=pytest.mark.long),
        pytest.param(datetime(2026, 12, 31, 23, 30, tzinfo=BERLIN), id="a new year", marks=pytest.mark.long),
    ],
)
@pytest.mark.long
def test_days_that_are_longer_shorter_or_rare_lose_nothing(
    scene_of: Callable[[Workspace], Scene], start: datetime
) -> None:
    with time_machine.travel(start, tick=True) as machine:  # which sets the machine's time zone too
        world = World(scene_of(made(start.astimezone(UTC))), machine)
        world.sync()
        for _ in range(2):
            world.wait(40 * MINUTE)
            world.happen()
            world.sync()
        world.wait(DAY)
        world.happen()
        world.sync()
        world.assert_true()
        assert world.told == []


# -- watermarks that earlier versions, or clocks, have left in the future --


@pytest.mark.parametrize("waited", cases(4 * HOUR, long=[RIGHT]), ids=["passed", "not reached"])
def test_a_watermark_of_a_time_that_had_not_come_is_told_once_and_read_from_before_it(
    world: World, waited: timedelta
) -> None:
    world.streams = MANY
    world.sync()
    world.wait(20 * MINUTE)
    world.happen()
    world.scene.write("UPDATE _cursor SET watermark = watermark + INTERVAL 3 HOUR")
    world.wait(5 * MINUTE + waited)
    results = world.sync()
    world.assert_true()
    told = {
        one.stream: str(one.message) for one in results.values() if one.message and "clock was wrong" in one.message
    }
    assert told.keys() == set(MANY)
    assert all(message.count("a clock was wrong") == 1 for message in told.values())
    words = "a clock was wrong: this was noted as read up to 2026-07-15 15:.. UTC before that had come; "
    assert re.fullmatch(words + "it counts as read up to 2026-07-15 12:.. UTC", told["contacts"])
    world.told.clear()
    world.wait(20 * MINUTE)
    world.happen()
    world.sync()
    world.assert_true()
    assert world.told == []


@pytest.mark.parametrize("since", cases(10 * DAY, long=[None]), ids=["from a date on", "all"])
def test_where_nothing_can_be_believed_all_that_was_wanted_is_read_again(world: World, since: timedelta | None) -> None:
    options = Options(since=NOON - since if since else None)
    world.scene.sync("contacts", options=options)
    for table, times in {"_cursor": ("watermark", "updated_on"), "_sync": ("started_on",)}.items():
        world.scene.write(f"UPDATE {table} SET {', '.join(f'{time} = {time} + INTERVAL 3 HOUR' for time in times)}")
    result = world.scene.sync("contacts")["contacts"]
    assert result.message and result.message.endswith("it counts as not read")
    assert {after for after, _ in world.scene.windows("contacts")} == {options.since}
    assert world.scene.cursors()["contacts", "rows"][1] == options.since
    assert world.scene.sync("contacts")["contacts"].message is None


def test_a_walk_whose_end_lies_in_the_future_ends_before_it(world: World) -> None:
    workspace = world.scene.workspace
    workspace.add("messages", 700, at=NOON - DAY)
    world.scene.sandbox.faults = Faults(script={"messages": ["ok", "ok", "forbidden"]})
    assert world.scene.sync("messages")["messages"].outcome == "failed"
    world.scene.sandbox.faults = Faults()
    world.scene.write("UPDATE _cursor SET walk_before = walk_before + INTERVAL 3 HOUR")
    world.wait(20 * MINUTE)
    workspace.add("messages", 5)
    world.streams = ("messages",)
    result = world.sync(revisits="")["messages"]
    assert "a clock was wrong" in str(result.message)
    world.scene.assert_true("messages")
    assert world.scene.read_up_to("messages") <= datetime.now(UTC)


# -- done --


def test_no_stream_is_done_without_a_request_unless_it_says_why(scene_of: Callable[[Workspace], Scene]) -> None:
    scene = scene_of(made(datetime.now(UTC)))
    for settings in ({}, {}, {"lag": 30 * 86_400.0}):
        results = scene.sync(**settings)
        assert results.keys() == ALL.keys()
        for one in results.values():
            assert one.tally.counters.requests or one.message, one.stream
        asked = sum(one.tally.counters.requests for one in results.values())
        assert asked == len(scene.sandbox.requests)


def test_a_month_that_is_over_by_our_clock_only_is_read_as_far_as_it_goes_and_says_so(world: World) -> None:
    world.set(there=-20 * DAY)
    with open_client(world.scene.settings()) as client:
        identify(client)
        scene = replace(world.scene, session=replace(world.scene.session, client=client))
        result = scene.fill("messages", Month(2026, 6))
    assert result.outcome == "done"
    assert result.message and re.match(
        r"2026-06 was not over at 2026-06-25 12:.. UTC, where this reading ends", result.message
    )
    assert {before.date() for _, before in scene.windows("messages")} == {date(2026, 6, 25)}
