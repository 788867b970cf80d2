"""Verifying by turns: ten nights hold everything that the API shows against the lake, and mend what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import count

import pytest

from pipeline.proof.rotation import NIGHTS, parts_of_days, parts_of_streams, tonight, windows_of
from pipeline.proof.verify import VerifyResult
from pipeline.streams import STREAMS, Window
from sandbox import Faults, Workspace, generate
from tests.pipeline.conftest import Serving
from tests.pipeline.scene import Scene, differences
from warehouse.proof.proven import DAY, Span, day_of

BY_DATE = [name for name, stream in STREAMS.items() if isinstance(stream.strategy, Window)]
NOW = datetime(2026, 3, 20, 2, 35, tzinfo=UTC)
LARGE = ["contacts", "messages", "runs"]


# -- what a night takes --


class Nights:
    """The proofs of one stream, and the nights that make them; `rows` are those that the lake has of each day."""

    def __init__(self, rows: dict[date, int]) -> None:
        self.rows = rows
        self.spans: list[Span] = []
        self.weights: list[int] = []

    def night(self, now: datetime, *, done: float = 1.0) -> set[date | None]:
        """Let a night prove what is due, or a part of it; None stands for what is before the first day with rows."""
        parts = parts_of_days(self.spans, self.rows, now)
        taken = tonight(parts, now)
        self.weights.append(sum(part.weight for part in taken))
        taken = taken[: round(len(taken) * done)]
        self.spans = [one for one in self.spans if (one.first, one.last) not in {(p.first, p.last) for p in taken}]
        self.spans += [Span(part.first, part.last, now, part.weight - 1) for part in taken]
        return {day for part in taken for day in _days(part.first, part.last)}


@pytest.mark.parametrize("every", [1, 13, 70])
def test_every_day_is_proven_once_in_ten_nights_and_each_night_reads_about_as_much(every: int) -> None:
    first = day_of(NOW) - 60 * DAY
    nights = Nights({first + number * DAY: 100 + number % 7 for number in range(0, 61, every)})
    last: dict[date | None, int] = {None: 0}
    for number in range(45):
        now = NOW + number * DAY + timedelta(hours=(number % 3) - 1)  # not to the minute
        if number % every == 0:
            nights.rows |= {day_of(now): 30, day_of(now) - DAY: 100}
        last |= dict.fromkeys(nights.night(now), number)
        over = [first + back * DAY for back in range((day_of(now) - first).days)]
        last |= {day: number for day in over if day not in last and number and day >= day_of(NOW)}
        if number >= 9:
            assert max(number - last[day] for day in [None, *over]) <= 9
    if every == 1:
        assert max(nights.weights) < 1.3 * sum(nights.weights) / len(nights.weights)


@pytest.mark.parametrize("skipped", [{4}, {9}, {0 + 9, 19}, {1, 11, 21}, {13, 24}])
def test_a_night_that_is_skipped_or_interrupted_does_not_break_the_bound(skipped: set[int]) -> None:
    rows = {day_of(NOW) - number * DAY: 50 for number in range(1, 40)}
    nights, last = Nights(rows), dict.fromkeys([None, *rows], -1)
    for number in range(40):
        if number in skipped:
            proven = nights.night(NOW + number * DAY, done=0.4 if number % 2 else 0)
        else:
            proven = nights.night(NOW + number * DAY)
        last |= {day: number for day in proven if day in last}
        assert max(number - at for at in last.values()) <= 10


def test_ten_runs_cover_everything_even_if_the_clock_stands_still() -> None:
    rows = {day_of(NOW) - number * DAY: number % 5 * 40 for number in range(0, 90, 3)}
    nights = Nights(rows)
    proven = set().union(*(nights.night(NOW) for _ in range(NIGHTS)))
    assert proven >= {None, *rows}


def test_after_weeks_without_a_night_the_first_one_takes_everything() -> None:
    nights = Nights({day_of(NOW) - number * DAY: 50 for number in range(1, 40)})
    for number in range(12):
        nights.night(NOW + number * DAY)
    assert nights.night(NOW + 40 * DAY) >= {None, *nights.rows}


def test_a_proof_from_the_future_is_none() -> None:
    rows = {day_of(NOW) - number * DAY: 50 for number in range(1, 20)}
    nights = Nights(rows)
    for _ in range(NIGHTS):
        nights.night(NOW + 400 * DAY)
    assert nights.night(NOW) >= {None, *rows}


def test_a_night_that_goes_on_takes_what_is_left_of_its_share() -> None:
    rows = {day_of(NOW) - number * DAY: 50 for number in range(1, 91)}
    nights = Nights(rows)
    whole = tonight(parts_of_days([], rows, NOW), NOW)
    nights.night(NOW, done=0.5)
    later = NOW + timedelta(hours=1)
    rest = tonight(parts_of_days(nights.spans, rows, later), later, goes_on=True)
    assert {part.last for part in rest} == {part.last for part in whole[round(len(whole) * 0.5) :]}


def test_neighbouring_days_are_one_window_and_the_earliest_has_no_beginning() -> None:
    rows = {day_of(NOW) - number * 30 * DAY: 5 for number in range(1, 120)}  # ten years of a few rows
    parts = parts_of_days([], rows, NOW)
    [(start, end)] = windows_of(tonight(parts, NOW), parts, NOW)
    assert start is None and end.time().microsecond == 999_999
    [(start, end)] = windows_of(parts, parts, NOW)
    assert (start, end) == (None, NOW)


def test_streams_that_are_read_whole_take_turns() -> None:
    rows = {f"stream {number}": number * 10 for number in range(20)}
    proofs: dict[str, datetime] = {}
    for number in range(NIGHTS):
        taken = tonight(parts_of_streams(proofs, rows, NOW + number * DAY), NOW + number * DAY)
        assert 1 <= len(taken) <= 4
        proofs |= {part.stream: NOW + number * DAY for part in taken}
    assert proofs.keys() == rows.keys()


# -- what it finds and mends --


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with generate(messages=300, contacts=60, runs=120, seed=7, archives=False) as generated:
        yield generated


@pytest.fixture
def scene(workspace: Workspace, scene_of: Serving) -> Scene:
    return scene_of(workspace)


def test_ten_nights_bring_what_appeared_changed_and_vanished_at_any_age(scene: Scene) -> None:
    streams = [*LARGE, "broadcasts", "labels"]
    scene.sync(*streams)
    for hurt in DAMAGES:
        hurt(scene)
    scene.sync("messages")  # which sees none of it
    found: set[tuple[str, str]] = set()
    for number in range(10):
        of_tonight = streams if number in (0, 9) else ["messages"]  # the others would only take longer
        result = night(scene, *of_tonight, days=9 if number == 9 else 1)
        assert not result.failed, [one.message for one in result.results]
        found |= differences(result).keys()
    scene.assert_true(*streams)
    assert found >= {
        *(("messages", kind) for kind in ("missing", "stale", "alive")),
        *(("contacts", kind) for kind in ("missing", "alive")),
        *((stream, "missing") for stream in ("runs", "broadcasts")),
        ("labels", "stale"),
    }
    assert differences(scene.verify(*streams)) == {}


def late_messages(scene: Scene) -> None:
    for days in (20, 75, 400):
        scene.workspace.add("messages", 1, at=present() - days * DAY)


def changed_messages(scene: Scene) -> None:
    scene.workspace.edit("messages", old_messages(scene)[::40], changes={"status": "failed"})


def vanished_messages(scene: Scene) -> None:
    scene.workspace.delete("messages", old_messages(scene)[7::60])


def old_messages(scene: Scene) -> list[int]:
    """Those that no sync reads again."""
    before = (present() - 9 * DAY).isoformat()
    return [row["id"] for row in scene.workspace.rows("messages") if row["created_on"] < before]


def late_contacts_and_runs(scene: Scene) -> None:
    for stream in ("contacts", "runs", "broadcasts"):
        scene.workspace.add(stream, 1, at=present() - 40 * DAY)


def a_deletion_that_was_told_late(scene: Scene) -> None:
    contact = scene.workspace.rows("contacts")[-1]
    scene.workspace.delete_contacts([contact["uuid"]], at=present() - 30 * DAY)


def a_label_that_is_wrong(scene: Scene) -> None:
    scene.write("UPDATE labels SET name = 'Wrong' WHERE uuid = (SELECT min(uuid) FROM labels)")


DAMAGES: Sequence[Callable[[Scene], None]] = (
    late_messages,
    changed_messages,
    vanished_messages,
    late_contacts_and_runs,
    a_deletion_that_was_told_late,
    a_label_that_is_wrong,
)


@pytest.mark.long
def test_a_night_without_repair_tells_only_and_comes_back_to_the_days_that_differ(scene: Scene) -> None:
    scene.sync("messages")
    gone = scene.workspace.rows("messages")[-1]["id"]
    scene.write("UPDATE messages SET text = 'wrong' WHERE id = " + str(gone))
    first = scene.verify("messages", rotate=True)
    assert differences(first) == {("messages", "stale"): 1} and first.failed
    assert scene.rows(f"SELECT text FROM messages WHERE id = {gone}") == [("wrong",)]
    assert differences(scene.verify("messages", rotate=True)) == {("messages", "stale"): 1}
    assert not night(scene, "messages").failed
    scene.assert_true("messages")


def test_an_interrupted_night_keeps_the_days_that_were_done(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.proof.window_verifier.SLICE_ROWS", 250)
    scene.workspace.add("messages", 900, at=present() - 3 * DAY)
    scene.workspace.add("messages", 900, at=present() - 9 * DAY)
    scene.sync("messages")
    scene.sandbox.faults = Faults(script={"messages": ["ok"] * 5 + ["forbidden"]})
    result = scene.verify("messages")
    assert result.failed and result.results[0].outcome == "failed"
    [(low, high, rows)] = scene.rows(
        "SELECT min(first_day), max(last_day), sum(rows)::INT FROM _proven WHERE stream = 'messages'"
    )
    assert high == day_of(present()) and low is not None and 900 <= rows < 1900
    scene.sandbox.faults = Faults()
    assert not night(scene, "messages", days=9).failed
    assert scene.rows("SELECT count(*) FROM _proven WHERE stream = 'messages' AND first_day IS NULL") == [(1,)]


def test_no_day_is_begun_that_a_part_of_the_verification_would_not_end(
    scene_of: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two thirds more is asked of a workspace with thousands of messages a day."""
    monkeypatch.setattr("pipeline.proof.window_verifier.SLICE_ROWS", 1500)
    scene = scene_of(generate(messages=20, contacts=10, archives=False))
    for days in range(3, 7):
        scene.workspace.add("messages", 900, at=present() - days * DAY)
    scene.sync("messages")
    assert differences(scene.verify("messages")) == {}
    pages = sum(seen.endpoint == "messages" for seen in scene.sandbox.requests)
    assert pages <= 3600 // 250 + 3
    assert scene.rows("SELECT sum(rows)::INT FROM _proven WHERE stream = 'messages'") == [(3620,)]


@pytest.mark.long
def test_rows_that_move_to_another_day_while_they_are_read_are_no_differences(scene: Scene) -> None:
    scene.sync(*LARGE)
    moving = {stream: [row["uuid"] for row in scene.workspace.rows(stream)][-8:] for stream in ("contacts", "runs")}
    scene.sandbox.after_page = lambda endpoint: (
        moving.get(endpoint) and scene.workspace.edit(endpoint, moving[endpoint].pop()) and None
    )
    for _ in range(3):
        assert differences(night(scene, *LARGE)) == {}
    scene.sandbox.after_page = None
    scene.sync(*LARGE)
    scene.assert_true(*LARGE)


def test_a_server_that_lists_nothing_deletes_nothing_and_proves_nothing(scene: Scene) -> None:
    scene.sync("messages")
    scene.workspace.store.execute("DELETE FROM messages")
    for _ in range(2):
        result = night(scene, "messages")
        assert result.failed
        assert "the server lists no rows where the lake has" in (result.results[0].message or "")
    assert scene.rows("SELECT count(deleted_on) FROM messages") == [(0,)]
    assert scene.rows("SELECT count(*) FROM _proven WHERE rows > 0") == [(0,)]


def night(scene: Scene, *streams: str, days: int = 1) -> VerifyResult:
    """Let days pass for what was proven, and verify by turns, with repair."""
    scene.write(f"UPDATE _proven SET proven_on = proven_on - INTERVAL {days} DAY")
    return scene.verify(*streams, rotate=True, repair=True)


def present() -> datetime:
    return datetime.now(UTC)


def _days(first: date | None, last: date) -> Iterator[date | None]:
    if first is None:
        yield None
        first = last
    for number in count():
        if first + number * DAY > last:
            return
        yield first + number * DAY
