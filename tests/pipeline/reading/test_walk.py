"""A walk reads every row of its window, whatever happens meanwhile, and refuses a server that it cannot trust."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from pipeline.errors import UnexpectedAnswer
from pipeline.reading.walk import TICK, Fetch, Piece, date_of, drain, follow, seek, timestamp
from pipeline.server.client import Client
from sandbox import Faults, Sandbox, Workspace, generate
from sandbox.workspace.dates import from_micros, read_iso
from tests.conftest import Answer, Asked, Origin, Serve

Row = dict[str, Any]

PAGE_ROWS = 250
DAY = timedelta(days=1)
ON = {"contacts": "modified_on", "runs": "modified_on", "messages": "created_on", "broadcasts": "created_on"}
KEYS = {"contacts": "uuid", "runs": "uuid", "messages": "id", "broadcasts": "id"}
READINGS = [("contacts", True), ("contacts", False), ("runs", True), ("runs", False)]
READINGS += [("messages", False), ("broadcasts", False)]
WAYS = [("contacts", True), ("contacts", False), ("messages", False)]
LATER = datetime(2100, 1, 1, tzinfo=UTC)
CLIENTS: dict[str, Client] = {}


@pytest.fixture(scope="module")
def tied() -> Iterator[Sandbox]:
    """A workspace where 660 rows of each large stream share one timestamp, with one a tick before and one after them.

    No test changes it.
    """
    with generate(messages=400, contacts=900, archives=False) as workspace:
        for stream in ON:
            moment = read_iso(middle(workspace, stream)[ON[stream]])
            if stream == "contacts":
                tied = workspace.edit(stream, 660, at=moment, same_timestamp=True)
                others = [row["uuid"] for row in workspace.rows(stream) if row["uuid"] not in tied]
                for tick, key in zip((-1, 1), others, strict=False):
                    workspace.edit(stream, [key], at=moment + tick)
            else:
                workspace.add(stream, 660, at=moment, same_timestamp=True)
                for tick in (-1, 1):
                    workspace.add(stream, 1, at=moment + tick)
        with Sandbox(workspace, requests_per_hour=None) as sandbox:
            yield sandbox


@pytest.fixture
def busy() -> Iterator[Sandbox]:
    """A workspace where 300 of 2,600 contacts share one timestamp, to be changed by one test."""
    with generate(messages=100, contacts=2600, archives=False) as workspace:
        workspace.edit("contacts", 300, at=read_iso(middle(workspace, "contacts")["modified_on"]), same_timestamp=True)
        with Sandbox(workspace, requests_per_hour=None) as sandbox:
            yield sandbox


def middle(workspace: Workspace, stream: str) -> Row:
    rows = workspace.rows(stream)
    return rows[len(rows) // 2]


@pytest.fixture(autouse=True, scope="module")
def closed_clients() -> Iterator[None]:
    yield
    while CLIENTS:
        CLIENTS.popitem()[1].close()


def fetching(server: Sandbox | Origin, stream: str) -> Fetch:
    if server.url not in CLIENTS:
        token = server.token if isinstance(server, Sandbox) else "none"
        CLIENTS[server.url] = Client(server.url, token, sleep=lambda seconds: None, patience=0.01)
    client = CLIENTS[server.url]
    return lambda params: client.page(f"{stream}.json", params, scope="v2")


def walk(
    sandbox: Sandbox | Origin,
    stream: str,
    *,
    after: datetime | None = None,
    before: datetime = LATER,
    place: datetime | None = None,
    oldest_first: bool = True,
) -> Iterator[Piece]:
    return seek(
        fetching(sandbox, stream),
        stream,
        ON[stream],
        (KEYS[stream],),
        after=after,
        before=before,
        place=place,
        oldest_first=oldest_first,
    )


def rows_of(pieces: Iterable[Piece]) -> list[Row]:
    return [msgspec.json.decode(row) for piece in pieces for row in piece.rows]


def by_key(stream: str, rows: Iterable[Row]) -> dict[object, Row]:
    """Key → row; of rows that came twice the last."""
    return {row[KEYS[stream]]: row for row in rows}


def at(row: Row, stream: str) -> datetime:
    return datetime.fromisoformat(row[ON[stream]])


def tie_of(workspace: Workspace, stream: str) -> datetime:
    """The timestamp that most rows share."""
    moments = [row[ON[stream]] for row in workspace.rows(stream)]
    return datetime.fromisoformat(max(set(moments), key=moments.count))


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


# -- servers not to be trusted --


def listing(rows: list[Row], following: str | None = None) -> Answer:
    return Answer(json.dumps({"next": following, "previous": None, "results": rows}).encode())


def days(*numbers: int) -> list[Row]:
    return [{"uuid": f"c{number}", "modified_on": f"2026-01-{number:02}T00:00:00Z"} for number in numbers]


def test_a_server_that_ignores_the_filter_is_refused(tied: Sandbox) -> None:
    tickets = seek(
        fetching(tied, "tickets"),
        "tickets",
        "modified_on",
        ("uuid",),
        after=datetime(2099, 1, 1, tzinfo=UTC),
        before=LATER,
        place=None,
        oldest_first=True,
    )
    with pytest.raises(UnexpectedAnswer, match="tickets: the server ignores the filter on modified_on"):
        rows_of(tickets)


def test_a_server_that_ignores_the_end_of_the_window_is_refused(serve: Serve) -> None:
    origin = serve(lambda asked: listing(days(3, 4, 9)))
    with pytest.raises(UnexpectedAnswer, match="ignores the filter"):
        rows_of(walk(origin, "contacts", before=datetime(2026, 1, 5, tzinfo=UTC)))


@pytest.mark.parametrize(("after", "before"), [(TICK, DAY), (-DAY, -TICK)])
def test_a_row_a_tick_outside_of_the_window_shows_that_the_filter_is_ignored(
    after: timedelta, before: timedelta, serve: Serve
) -> None:
    origin, at = serve(lambda asked: listing(days(3))), datetime(2026, 1, 3, tzinfo=UTC)
    with pytest.raises(UnexpectedAnswer, match="ignores the filter"):
        rows_of(walk(origin, "contacts", after=at + after, before=at + before))


def test_a_last_page_without_a_readable_date_is_passed_on(serve: Serve) -> None:
    origin = serve(lambda asked: listing([{"uuid": "c1", "modified_on": None}]))
    assert len(rows_of(walk(origin, "contacts"))) == 1


def test_a_server_that_ignores_the_order_is_refused(tied: Sandbox) -> None:
    with pytest.raises(UnexpectedAnswer, match="messages: the server does not sort by created_on"):
        rows_of(walk(tied, "messages", oldest_first=True))


def test_a_page_without_a_readable_date_is_no_reason_to_believe_that_all_was_read(serve: Serve) -> None:
    origin = serve(lambda asked: listing([{"uuid": "c1", "modified_on": None}], "http://x/?cursor=2"))
    with pytest.raises(UnexpectedAnswer, match="contacts: no row of a page has a readable modified_on"):
        rows_of(walk(origin, "contacts"))


def test_a_row_without_a_date_among_others_is_passed_on(serve: Serve) -> None:
    undated = {"uuid": "c0", "modified_on": None}
    origin = serve(lambda asked: listing([undated, *days(1, 2), undated]))
    assert len(rows_of(walk(origin, "contacts"))) == 4


def test_a_walk_goes_on_from_the_last_date_that_can_be_read(serve: Serve) -> None:
    undated = {"uuid": "c0", "modified_on": "soon"}

    def answer(asked: Asked) -> Answer:
        if "after" not in asked.params:
            return listing([undated, *days(1, 2), undated], "http://x/?cursor=2")
        assert asked.params["after"] == timestamp(datetime(2026, 1, 2, tzinfo=UTC))
        return listing([undated, *days(2, 3)])

    rows = rows_of(walk(serve(answer), "contacts"))
    assert [row["uuid"] for row in rows] == ["c0", "c1", "c2", "c0", "c0", "c2", "c3"]


def test_a_listing_whose_next_page_is_itself_ends_with_an_error(serve: Serve) -> None:
    origin = serve(lambda asked: listing(days(1), "http://x/api/v2/tickets.json?cursor=abc"))
    with pytest.raises(UnexpectedAnswer, match="tickets: the server's next page is one that was read already"):
        list(follow(fetching(origin, "tickets"), "tickets", {}))
    assert len(origin.asked) == 2


def test_a_circle_of_pages_ends_with_an_error(serve: Serve) -> None:
    places = {"": "1", "1": "2", "2": "1"}
    origin = serve(lambda asked: listing(days(1), f"http://x/?cursor={places[asked.params.get('cursor', '')]}"))
    with pytest.raises(UnexpectedAnswer):
        list(follow(fetching(origin, "tickets"), "tickets", {}))
    assert len(origin.asked) == 3


def test_a_circle_inside_a_tie_ends_with_an_error(serve: Serve) -> None:
    def answer(asked: Asked) -> Answer:
        return listing(days(*[5] * PAGE_ROWS), "http://x/?after=a&before=b&cursor=bz0xMDAwMDA%3D")

    with pytest.raises(UnexpectedAnswer, match="share a timestamp"):
        rows_of(walk(serve(answer), "contacts"))


def test_a_next_page_on_another_host_is_asked_of_the_configured_one(serve: Serve) -> None:
    evil = serve(lambda asked: listing(days(1)))
    pages = {None: listing(days(1), f"{evil.url}/steal/tickets.json?cursor=a%2Bb%3D&x="), "a+b=": listing(days(2))}
    origin = serve(lambda asked: pages[asked.params.get("cursor")])
    rows = [
        msgspec.json.decode(row) for page in follow(fetching(origin, "tickets"), "tickets", {}) for row in page.results
    ]
    assert rows == days(1, 2)
    assert evil.asked == []
    assert [asked.path for asked in origin.asked] == ["/api/v2/tickets.json"] * 2
