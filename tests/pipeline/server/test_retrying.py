"""What headers may say of pauses and clocks, and when somebody hears that a request is being retried."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.errors import ServerUnavailable, TokenRefused
from pipeline.results import Counters
from pipeline.server.client import Client, Listener
from pipeline.server.retrying import http_date
from tests.conftest import Answer, Serve
from tests.pipeline.server.asking import PAGE, TOKEN, ask, scripted

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
EARLIER, LATER = "Wed, 21 Oct 2026 07:27:00 GMT", "Wed, 21 Oct 2026 07:29:30 GMT"
NEVER = "Fri, 31 Dec 9999 23:59:59 GMT"


@pytest.fixture
def naps() -> list[float]:
    """The seconds of every wait, none of which was waited."""
    return []


def refused(*values: str, status: int = 429) -> Answer:
    """A refusal with these values in headers of their own."""
    spelling = ("Retry-After", "retry-after", "RETRY-AFTER")
    return Answer(b"{}", status, {"Date": DATE} | dict(zip(spelling, values, strict=False)))


# -- pauses that the server asks for --


@pytest.mark.parametrize(
    ("values", "seconds"),
    [(("17",), 17.0), ((" 17 ",), 17.0), ((LATER,), 90.0), (("5", "17"), 17.0), (("soon", "17"), 17.0),
     (("3600",), 3600.0)],
)  # fmt: skip
def test_a_pause_lasts_as_long_as_the_server_asks(
    values: tuple[str, ...], seconds: float, serve: Serve, naps: list[float]
) -> None:
    ask(scripted(serve, refused(*values), PAGE), naps)
    assert naps == [seconds]


@pytest.mark.parametrize("value", ["3601", "9" * 30, "9" * 400, NEVER])
def test_no_pause_is_longer_than_the_hour_that_requests_are_counted_over(
    value: str, serve: Serve, naps: list[float]
) -> None:
    ask(scripted(serve, refused(value), PAGE), naps)
    assert naps == [3600.0]


@pytest.mark.parametrize("value", ["0", "000", DATE, EARLIER, "1"])
def test_a_server_that_asks_for_no_pause_is_asked_less_and_less_often(
    value: str, serve: Serve, naps: list[float]
) -> None:
    ask(scripted(serve, *[refused(value)] * 9, PAGE), naps)
    assert naps == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


@pytest.mark.parametrize(
    "values",
    [(), ("soon",), ("",), ("-5",), ("²",), ("٣",), ("1e9",), ("5 5",), ("5, 10",), ("NaN",), ("Mon, 99 Foo 2026",)],
)
def test_without_a_readable_pause_it_is_a_minute_and_grows(
    values: tuple[str, ...], serve: Serve, naps: list[float]
) -> None:
    latin = tuple(value.encode().decode("latin-1") for value in values)  # as a server would send these bytes
    ask(scripted(serve, *[refused(*latin)] * 6, PAGE), naps)
    assert naps == [60.0, 120.0, 240.0, 480.0, 900.0, 900.0]


def test_a_date_without_the_servers_own_is_no_pause_that_can_be_read(serve: Serve, naps: list[float]) -> None:
    ask(scripted(serve, Answer(b"{}", 429, {"Retry-After": LATER}), PAGE), naps)
    assert naps == [60.0]


def test_a_server_that_is_down_for_a_while_and_says_how_long_is_asked_then(serve: Serve, naps: list[float]) -> None:
    ask(scripted(serve, refused("40", status=503), refused(LATER, status=502), PAGE), naps, patience=300)
    assert naps == [40.0, 90.0]


def test_a_server_that_is_down_for_longer_than_the_patience_is_asked_once_more_at_its_end(
    serve: Serve, naps: list[float]
) -> None:
    with pytest.raises(ServerUnavailable):
        ask(scripted(serve, refused("86400", status=503)), naps, patience=300)
    assert naps == [300.0]


# -- clocks --


@pytest.mark.parametrize(
    "date", ["yesterday", "", DATE.replace("GMT", "-0000"), NEVER, "Mon, 01 Jan 0001 00:00:00 +1400", "1 1 1 1 1"]
)
def test_a_strange_date_in_the_headers_ends_no_sync_and_is_nobodys_clock(
    date: str, serve: Serve, naps: list[float]
) -> None:
    origin = scripted(serve, Answer(b"{}", 429, {"Date": date, "Retry-After": DATE}), Answer(headers={"Date": date}))
    with Client(origin.url, TOKEN, sleep=naps.append) as client:
        client.page("contacts.json", {}, scope="v2.contacts")
        assert client.now().year in (datetime.now(UTC).year, 2026)


PIECES = st.sampled_from(
    ["Wed", ",", "21", "Oct", "2026", "07:28:00", "GMT", "+9999", "-0000", "0", "9" * 20, "9999", ":", ".", "²", "Foo"]
)


@given(st.text(max_size=30) | st.lists(PIECES, max_size=9).map(" ".join))
@example("Wed, 21 Oct 2026 07:28:00 +999999999999")
@example("1 Jan 1 00:00:00 +1400")
@example("31 Dec 9999 23:59:59 -1400")
@example(" ")
@example("0 0 0")
def test_whatever_a_header_says_it_is_a_date_in_utc_or_none(text: str) -> None:
    at = http_date(text)
    assert at is None or at.tzinfo is UTC


# -- who hears of it --


def listening(told: list[str | None]) -> Listener:
    return Listener(Counters(), failing=told.append)


def test_one_who_listens_hears_once_why_a_request_is_retried_and_that_it_is_answered(serve: Serve) -> None:
    told: list[str | None] = []
    origin = scripted(serve, *[Answer(b"<p>Adaeze", 503)] * 5, PAGE)
    naps: list[float] = []
    with Client(origin.url, TOKEN, sleep=naps.append, patience=300) as client:
        client.page("contacts.json", {}, scope="v2.contacts", listener=listening(told))
    assert len(naps) == 5
    assert told == [f"{origin.url} fails (the server answered 503); trying again for up to 300 s", None]


def test_a_failure_that_passes_within_seconds_is_not_worth_a_word(serve: Serve) -> None:
    told: list[str | None] = []
    origin = scripted(serve, Answer(b"", 503), PAGE)
    with Client(origin.url, TOKEN, sleep=lambda seconds: None, patience=300) as client:
        client.page("contacts.json", {}, scope="v2.contacts", listener=listening(told))
    assert told == []


def test_of_two_outages_with_a_refusal_between_them_both_are_told(serve: Serve) -> None:
    told: list[str | None] = []
    down = [Answer(b"", 503)] * 5
    origin = scripted(serve, *down, refused("7"), *down, PAGE)
    with Client(origin.url, TOKEN, sleep=lambda seconds: None, patience=300) as client:
        client.page("contacts.json", {}, scope="v2.contacts", listener=listening(told))
    assert [bool(one) for one in told] == [True, False, True, False]


def test_a_server_that_refuses_is_not_told_of_as_one_that_is_down(serve: Serve) -> None:
    told: list[str | None] = []
    origin = scripted(serve, *[refused("7")] * 5, Answer(b"", 403))
    client = Client(origin.url, TOKEN, sleep=lambda seconds: None)
    with client, pytest.raises(TokenRefused):
        client.page("contacts.json", {}, scope="v2.contacts", listener=listening(told))
    assert told == []


def test_why_no_answer_came_holds_no_word_of_what_the_server_sent(serve: Serve) -> None:
    told: list[str | None] = []
    origin = scripted(serve, Answer(b"", headers={"Bad header Adaeze": "1"}))
    client = Client(origin.url, TOKEN, sleep=lambda seconds: None, patience=0.01)
    with client, pytest.raises(ServerUnavailable, match="RemoteProtocolError") as caught:
        client.page("contacts.json", {}, scope="v2.contacts", listener=listening(told))
    assert "Adaeze" not in f"{caught.value} {told}"
