"""A walk refuses a server that ignores the filter or the order, or lists in a circle; nothing is read that way."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import msgspec
import pytest

from pipeline.errors import UnexpectedAnswer
from pipeline.reading.walk import TICK, counts_through_a_tie, drain, follow, seek, timestamp
from pipeline.server.pages import Page
from sandbox import Sandbox
from tests.conftest import Answer, Asked, Serve
from tests.pipeline.reading.walking import DAY, LATER, PAGE_ROWS, Row, fetching, rows_of, walk


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


def test_a_circle_inside_a_tie_is_left_for_what_lies_behind_it(serve: Serve) -> None:
    fifth = timestamp(datetime(2026, 1, 5, tzinfo=UTC))

    def answer(asked: Asked) -> Answer:
        if asked.params.get("after", fifth) > fifth:
            return listing(days(6, 7))
        return listing(days(*[5] * PAGE_ROWS), f"http://x/?after={fifth}&before={fifth}&cursor=bz0xMDAwMDA%3D")

    pieces = list(walk(serve(answer), "contacts"))
    assert [piece.cut_off for piece in pieces if piece.cut_off] == [datetime(2026, 1, 5, tzinfo=UTC)]
    assert rows_of(pieces)[-2:] == days(6, 7)


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


@pytest.mark.parametrize(
    ("cursor", "skips"),
    [("p=2026-01-01 00:00:00+00:00", False), ("o=3&p=2026-01-01 00:00:00+00:00", True), ("q=5", True), (None, True)],
    ids=["of a timestamp", "of an offset in a timestamp", "of something else", "of nothing that can be read"],
)
def test_a_next_page_may_skip_rows_that_change_unless_its_cursor_is_a_timestamp(
    cursor: str | None, skips: bool
) -> None:
    written = "%" if cursor is None else base64.b64encode(cursor.encode()).decode()
    page = Page([], next=f"https://textit.com/api/v2/labels.json?{urlencode({'cursor': written})}")
    assert counts_through_a_tie(page) is skips


def test_rows_of_a_tie_whose_keys_cannot_be_read_are_told_apart() -> None:
    tie = datetime(2026, 1, 1, tzinfo=UTC)
    readings = iter(("ab", "ac", "ac"))
    pages = (page for reading in readings for page in two_pages(reading))
    pieces = list(drain(lambda params: next(pages), "contacts", tie, ("uuid",)))
    assert len(pieces) == 3 * 2  # the second reading was not the first


def two_pages(keys: str) -> list[Page]:
    """A listing of a row each, whose key is no text."""
    first, second = (msgspec.Raw(json.dumps({"uuid": {"is": key}}).encode()) for key in keys)
    return [Page([first], next="https://textit.com/api/v2/contacts.json?cursor=2"), Page([second])]
