"""A walk reads every row of its window, whatever happens meanwhile."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from pipeline.errors import UnexpectedAnswer
from pipeline.reading.walk import TICK, date_of, drain, follow, timestamp
from sandbox import Faults, Sandbox, Workspace, generate
from sandbox.workspace.dates import from_micros, read_iso
from tests.conftest import Answer, Serve
from tests.pipeline.reading.walking import (
    DAY,
    KEYS,
    LATER,
    PAGE_ROWS,
    READINGS,
    WAYS,
    Row,
    at,
    by_key,
    fetching,
    middle,
    rows_of,
    tie_of,
    walk,
)


@pytest.fixture
def busy() -> Iterator[Sandbox]:
    """A workspace where 300 of 2,600 contacts share one timestamp, to be changed by one test."""
    with generate(messages=100, contacts=2600, archives=False) as workspace:
        workspace.edit("contacts", 300, at=read_iso(middle(workspace, "contacts")["modified_on"]), same_timestamp=True)
        with Sandbox(workspace, requests_per_hour=None) as sandbox:
            yield sandbox


# -- a quiet server --


@pytest.mark.parametrize(("stream", "oldest_first"), READINGS)
def test_every_row_comes_even_where_many_share_a_timestamp(stream: str, oldest_first: bool, tied: Sandbox) -> None:
    rows = rows_of(walk(tied, stream, oldest_first=oldest_first))
    assert by_key(stream, rows) == by_key(stream, tied.workspace.rows(stream))


@pytest.mark.parametrize(("stream", "oldest_first"), READINGS)
def test_rows_at_both_ends_of_a_window_belong_to_it(stream: str, oldest_first: bool, tied: Sandbox) -> None:
    truth = tied.workspace.rows(stream)
    after, before = at(truth[-3], stream), at(truth[2], stream)
    rows = rows_of(walk(tied, stream, after=after, before=before, oldest_first=oldest_first))
    expected = by_key(stream, (row for row in truth if after <= at(row, stream) <= before))
    assert by_key(stream, rows) == expected
    assert {truth[-3][KEYS[stream]], truth[2][KEYS[stream]]} <= expected.keys()


@pytest.mark.parametrize(("stream", "oldest_first"), WAYS)
def test_a_window_that_begins_or_ends_in_a_tie_or_a_tick_beside_it_has_the_whole_tie(
    stream: str, oldest_first: bool, tied: Sandbox
) -> None:
    truth, tie = tied.workspace.rows(stream), tie_of(tied.workspace, stream)
    ends = [(tie, LATER), (None, tie), (tie, tie), (tie - TICK, tie + TICK), (None, tie + TICK), (tie - TICK, LATER)]
    for after, before in ends:
        rows = rows_of(walk(tied, stream, after=after, before=before, oldest_first=oldest_first))
        expected = [row for row in truth if (after is None or after <= at(row, stream)) and at(row, stream) <= before]
        assert by_key(stream, rows) == by_key(stream, expected)


@pytest.mark.parametrize("gap", [TICK, 2 * TICK])
@pytest.mark.parametrize(("stream", "oldest_first"), WAYS)
def test_a_window_beside_a_tie_has_every_row_beside_it_and_none_of_it(
    stream: str, oldest_first: bool, gap: timedelta, tied: Sandbox
) -> None:
    truth, tie = tied.workspace.rows(stream), tie_of(tied.workspace, stream)
    later = [row for row in truth if at(row, stream) >= tie + gap]
    earlier = [row for row in truth if at(row, stream) <= tie - gap]
    assert {min(at(row, stream) for row in later), max(at(row, stream) for row in earlier)} >= (
        {tie + TICK, tie - TICK} if gap == TICK else set()
    )
    for window, expected in (({"after": tie + gap}, later), ({"before": tie - gap}, earlier)):
        assert expected
        rows = rows_of(walk(tied, stream, oldest_first=oldest_first, **window))
        assert by_key(stream, rows) == by_key(stream, expected)


def test_a_tie_of_one_page_is_read_once(tied: Sandbox) -> None:
    asked = len(tied.requests)
    [row] = rows_of(drain(fetching(tied, "contacts"), "contacts", tie_of(tied.workspace, "contacts") + TICK, ("uuid",)))
    assert at(row, "contacts") == tie_of(tied.workspace, "contacts") + TICK
    assert len(tied.requests) == asked + 1


def test_an_empty_window_ends_with_one_request(tied: Sandbox) -> None:
    asked = len(tied.requests)
    assert rows_of(walk(tied, "contacts", after=LATER - TICK)) == []
    assert len(tied.requests) == asked + 1


def test_a_walk_without_ties_costs_one_repeated_row_a_page() -> None:
    with generate(messages=20, contacts=40, archives=False) as workspace:
        workspace.add("messages", 580, at=from_micros(workspace.clock()) - DAY / 24)
        with Sandbox(workspace, requests_per_hour=None, keep=True) as sandbox:
            rows = rows_of(walk(sandbox, "messages", oldest_first=False))
            assert len(sandbox.requests) == 3
            assert len(rows) == workspace.count("messages") + 2


@pytest.mark.parametrize("oldest_first", [True, False])
def test_times_are_sent_with_microseconds_and_z(oldest_first: bool, tied: Sandbox) -> None:
    asked = len(tied.requests)
    paris = datetime.fromisoformat("2020-01-01T01:00:00+01:00")
    rows_of(walk(tied, "contacts", after=paris, oldest_first=oldest_first))
    sent = [seen.params[end] for seen in tied.requests[asked:] for end in ("after", "before") if end in seen.params]
    assert len(sent) > 8
    assert "2020-01-01T00:00:00.000000Z" in sent
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", time) for time in sent)


def test_a_time_of_any_year_is_one_the_server_reads() -> None:
    assert timestamp(datetime(26, 1, 31, tzinfo=UTC)) == "0026-01-31T00:00:00.000000Z"


@pytest.mark.parametrize("at", ["2026-01-31T08:00:00.000001Z", "2026-01-31T10:00:00.000001+02:00"])
def test_times_lose_no_microsecond_on_the_way(at: str) -> None:
    assert timestamp(datetime.fromisoformat(at)) == "2026-01-31T08:00:00.000001Z"


@pytest.mark.parametrize(
    ("row", "date"),
    [
        (b'{"modified_on":"2026-01-31T08:00:00Z"}', datetime(2026, 1, 31, 8, tzinfo=UTC)),
        (b'{"modified_on":"2026-01-31T10:00:00.5+02:00","x":{}}', datetime(2026, 1, 31, 8, 0, 0, 500_000, tzinfo=UTC)),
        (b'{"modified_on":null}', None),
        (b'{"modified_on":"yesterday"}', None),
        (b'{"modified_on":5}', None),
        (b'{"modified_on":{"a":1}}', None),
        (b"{}", None),
        (b"[1]", None),
        (b"null", None),
    ],
)
def test_the_date_of_a_row_is_read_or_there_is_none(row: bytes, date: datetime | None, serve: Serve) -> None:
    origin = serve(lambda asked: Answer(b'{"results":[' + row + b'],"next":null}'))
    [raw] = fetching(origin, "contacts")({}).results
    assert date_of(raw, "modified_on") == date


@pytest.mark.parametrize("zone", ["America/New_York", "Africa/Kigali", "UTC"])
@pytest.mark.parametrize("month", [1, 7])
def test_a_date_without_a_zone_is_of_utc_wherever_this_machine_is(
    zone: str, month: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        row = msgspec.Raw(f'{{"modified_on":"2026-{month:02}-31T08:00:00"}}'.encode())
        assert date_of(row, "modified_on") == datetime(2026, month, 31, 8, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


# -- resuming --


@pytest.mark.parametrize(("stream", "oldest_first"), WAYS)
def test_going_on_from_any_place_reads_the_rest_and_nothing_before_it(
    stream: str, oldest_first: bool, tied: Sandbox
) -> None:
    truth, tie = tied.workspace.rows(stream), tie_of(tied.workspace, stream)
    first: list[Row] = []
    places: list[datetime] = []
    for piece in walk(tied, stream, oldest_first=oldest_first):
        first += rows_of([piece])
        if piece.place is None:
            continue
        places.append(piece.place)
        left = [
            row for row in truth if (at(row, stream) >= piece.place) == oldest_first or at(row, stream) == piece.place
        ]
        assert left
        rest = rows_of(walk(tied, stream, place=piece.place, oldest_first=oldest_first))
        assert by_key(stream, rest) == by_key(stream, left)
        assert by_key(stream, [*first, *rest]) == by_key(stream, truth)
    assert places == sorted(set(places), reverse=not oldest_first)
    assert {tie, tie + TICK if oldest_first else tie - TICK} <= set(places)


# -- a busy server --


@pytest.mark.parametrize("oldest_first", [True, False])
def test_rows_that_change_during_a_walk_are_all_there_after_the_next(oldest_first: bool, busy: Sandbox) -> None:
    def read(after: datetime | None, before: datetime) -> list[Row]:
        rows, place = [], None
        try:
            for piece in walk(busy, "contacts", after=after, before=before, oldest_first=oldest_first):
                rows += rows_of([piece])
                place = piece.place or place
        except UnexpectedAnswer:  # rows of one timestamp did not settle: the next sync goes on from there
            busy.faults = Faults()
            rest = walk(busy, "contacts", after=after, before=before, place=place, oldest_first=oldest_first)
            rows += rows_of(rest)
        return rows

    assert lost_rows(busy, read) == []


def test_following_next_does_lose_rows_so_these_tests_are_real(busy: Sandbox) -> None:
    def read(after: datetime | None, before: datetime) -> list[Row]:
        window = {"reverse": "true", "before": timestamp(before)} | ({"after": timestamp(after)} if after else {})
        pages = follow(fetching(busy, "contacts"), "contacts", window)
        return [msgspec.json.decode(row) for page in pages for row in page.results]

    assert lost_rows(busy, read)


def lost_rows(sandbox: Sandbox, read: Callable[[datetime | None, datetime], list[Row]]) -> list[Row]:
    """Rows that are not in their latest state after a reading under edits and a quiet one of what changed since."""
    sandbox.faults = Faults(edits=18)
    begun = now(sandbox)
    first = read(None, begun)
    sandbox.faults = Faults()
    second = read(begun, now(sandbox))
    found = by_key("contacts", [*first, *second])
    truth = sandbox.workspace.rows("contacts")
    assert len(second) > 50  # the edits did happen
    return [row for row in truth if found.get(row["uuid"]) != row]


def now(sandbox: Sandbox) -> datetime:
    return from_micros(sandbox.workspace.clock())


@pytest.mark.parametrize("stream", ["messages", "broadcasts"])
def test_rows_added_during_a_walk_do_not_push_others_out(stream: str, small_workspace: Workspace) -> None:
    with generate(messages=700, contacts=40, archives=False) as workspace:
        workspace.add(stream, 300, at=from_micros(workspace.clock()) - timedelta(days=2))
        before = by_key(stream, workspace.rows(stream))
        with Sandbox(workspace, requests_per_hour=None) as sandbox:
            sandbox.after_page = lambda name: workspace.add(stream, 30) and None
            found = by_key(stream, rows_of(walk(sandbox, stream, oldest_first=False)))
    assert found.items() >= before.items()


def test_a_tie_whose_rows_keep_changing_is_given_up_with_a_clear_error(busy: Sandbox) -> None:
    tie = tie_of(busy.workspace, "contacts")
    tied = [row["uuid"] for row in busy.workspace.rows("contacts") if at(row, "contacts") == tie]
    busy.after_page = lambda name: busy.workspace.edit("contacts", [tied.pop()]) and None
    with pytest.raises(UnexpectedAnswer, match=r"contacts: the rows of .*Z changed during 20 readings; sync again"):
        rows_of(drain(fetching(busy, "contacts"), "contacts", tie, ("uuid",)))


def test_a_tie_is_read_again_until_two_readings_agree(busy: Sandbox) -> None:
    tie = tie_of(busy.workspace, "contacts")
    tied = [row["uuid"] for row in busy.workspace.rows("contacts") if at(row, "contacts") == tie]
    edits = iter(tied[:1])
    busy.after_page = lambda name: (
        [busy.workspace.edit("contacts", [key]) for key in [next(edits, None)] if key] and None
    )
    rows = rows_of(drain(fetching(busy, "contacts"), "contacts", tie, ("uuid",)))
    pages = -(-len(tied) // PAGE_ROWS)
    assert len(busy.requests) == 3 * pages  # an edit during the first reading; the second and the third agree
    assert {row["uuid"] for row in rows} == set(tied)
