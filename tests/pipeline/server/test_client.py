"""The client, over real HTTP: what it retries and for how long, what it refuses, and where the token goes."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pipeline import __version__
from pipeline.errors import (
    NotOffered,
    RequestRefused,
    ServerError,
    ServerUnavailable,
    Stopped,
    TokenRefused,
    UnexpectedAnswer,
)
from pipeline.results import Counters
from pipeline.server.budget import Budget
from pipeline.server.client import Client, Listener
from pipeline.settings import load_settings
from sandbox import Faults, Sandbox, Workspace
from tests.conftest import Answer, Serve
from tests.pipeline.server.asking import PAGE, TOKEN, ask, scripted
from warehouse import RapidlakeError

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.fixture
def sandbox(small_workspace: Workspace) -> Iterator[Sandbox]:
    with Sandbox(small_workspace, requests_per_hour=None, keep=True) as sandbox:
        yield sandbox


@pytest.fixture
def naps() -> list[float]:
    """The seconds of every wait, none of which was waited."""
    return []


def client_of(sandbox: Sandbox, naps: list[float], *, patience: float = 0.01) -> Client:
    return Client(sandbox.url, sandbox.token, sleep=naps.append, patience=patience)


# -- the rate limit --


def test_a_429_is_waited_out_to_the_second_and_never_counts_as_a_failure(
    sandbox: Sandbox, small_workspace: Workspace, naps: list[float]
) -> None:
    sandbox.faults = Faults(throttle_seconds=3580, script={"contacts": ["throttle"] * 30})
    with client_of(sandbox, naps, patience=0) as client:
        page = client.page("contacts.json", {}, scope="v2.contacts")
    assert len(page.results) == 250
    assert naps == [3580.0] * 30


def test_a_429_between_failures_gives_them_new_patience(sandbox: Sandbox, naps: list[float]) -> None:
    sandbox.faults = Faults(throttle_seconds=7, script={"contacts": ["error", "throttle", "error", "throttle"]})
    with client_of(sandbox, naps, patience=0) as client:
        assert client.page("contacts.json", {}, scope="v2.contacts").results
    assert naps == [0.0, 7.0, 0.0, 7.0]


def test_whoever_listens_hears_of_a_wait_before_it_begins(sandbox: Sandbox) -> None:
    told: list[tuple[str, float]] = []
    listener = Listener(Counters(), lambda seconds: told.append(("listener", seconds)))
    sandbox.faults = Faults(throttle_seconds=40, script={"contacts": ["error", "throttle"]})
    client = Client(sandbox.url, sandbox.token, sleep=lambda seconds: told.append(("sleep", seconds)), patience=0)
    with client:
        client.page("contacts.json", {}, scope="v2.contacts", listener=listener)
    assert told == [("sleep", 0.0), ("listener", 40.0), ("sleep", 40.0)]  # a failure is nobody's rate limit
    assert (listener.counters.requests, listener.counters.waited_seconds) == (3, 40.0)


def test_a_spent_budget_is_waited_for_before_a_request_goes_out(sandbox: Sandbox) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        client.budget = None  # the hour is over

    client = Client(sandbox.url, sandbox.token, sleep=sleep, budget=Budget("test", 1))
    with client:
        client.page("contacts.json", {}, scope="v2.contacts")
        client.page("groups.json", {}, scope="v2")  # another scope, another budget
        assert waits == []
        client.page("contacts.json", {}, scope="v2.contacts")
    assert len(waits) == 1
    assert 3500 < waits[0] <= 3600


# -- failures that pass --


@pytest.mark.parametrize("fault", ["error", "bad_gateway", "reset", "truncate", "garbage", "html"])
def test_a_failure_that_passes_costs_a_retry_and_nothing_else(
    fault: str, sandbox: Sandbox, small_workspace: Workspace, naps: list[float]
) -> None:
    sandbox.faults = Faults(script={"contacts": [fault, fault]})
    with client_of(sandbox, naps, patience=60) as client:
        page = client.page("contacts.json", {}, scope="v2.contacts")
    assert [json.loads(bytes(row)) for row in page.results] == small_workspace.rows("contacts")[:250]
    assert len(sandbox.requests) == 3
    assert 0 < naps[0] < naps[1]


@pytest.mark.parametrize("fault", ["error", "reset", "truncate", "garbage", "html"])
def test_a_failure_that_stays_is_given_up_with_one_sentence(fault: str, sandbox: Sandbox, naps: list[float]) -> None:
    sandbox.faults = Faults(**{fault: 1.0})
    with client_of(sandbox, naps) as client, pytest.raises(ServerUnavailable) as caught:
        client.page("contacts.json", {}, scope="v2.contacts")
    text = str(caught.value)
    assert text.startswith(f"contacts.json: {sandbox.url} kept failing")
    assert text.endswith("sync again later.")
    assert "\n" not in text
    assert sandbox.token not in told(caught.value)


def test_pauses_between_failures_grow_up_to_the_patience(serve: Serve, naps: list[float]) -> None:
    with pytest.raises(ServerUnavailable):
        ask(scripted(serve, Answer(b"", 503)), naps, patience=16)
    assert naps == sorted(naps)
    assert len(naps) > 3
    assert max(naps) <= 16


def test_giving_up_says_how_long_it_was_tried(serve: Serve) -> None:
    with pytest.raises(ServerUnavailable) as caught:
        ask(scripted(serve, Answer(b"", 503)), patience=15)  # what the first request of a sync has
    assert " 0 min" not in str(caught.value)


def test_a_server_that_is_not_there_is_retried_and_given_up(naps: list[float]) -> None:
    with (
        Client("http://127.0.0.1:9", TOKEN, sleep=naps.append, patience=0.01) as client,
        pytest.raises(ServerUnavailable, match="ConnectError"),
    ):
        client.page("contacts.json", {}, scope="v2.contacts")
    assert naps


def test_an_answer_that_ends_early_without_a_length_is_retried(serve: Serve, naps: list[float]) -> None:
    half = Answer(b'{"next":null,"previous":null,"results":[{"uuid":', headers={"Connection": "close"})
    assert ask(scripted(serve, half, PAGE), naps, patience=60) == []
    assert len(naps) == 1


def test_broken_compression_is_retried(serve: Serve, naps: list[float]) -> None:
    broken = Answer(b"no gzip", headers={"Content-Encoding": "gzip"})
    assert ask(scripted(serve, broken, PAGE), naps, patience=60) == []
    assert len(naps) == 1


# -- failures that stay --


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, RequestRefused), (401, RequestRefused), (403, TokenRefused), (404, NotOffered), (405, RequestRefused)],
)
def test_what_asking_again_cannot_mend_is_not_asked_again(
    status: int, kind: type[ServerError], serve: Serve, naps: list[float]
) -> None:
    origin = scripted(serve, Answer(b'{"detail":"no"}', status))
    with pytest.raises(kind, match=str(status)):
        ask(origin, naps, patience=60)
    assert (len(origin.asked), naps) == (1, [])


def test_a_withdrawn_token_is_told_with_what_to_check(sandbox: Sandbox, naps: list[float]) -> None:
    sandbox.faults = Faults(script={"contacts": ["forbidden"]})
    with client_of(sandbox, naps) as client, pytest.raises(TokenRefused, match="RAPIDPRO_TOKEN"):
        client.page("contacts.json", {}, scope="v2.contacts")


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{}", b'{"detail":"hello"}', b'{"results":"x"}', b'{"results":[],"next":5}', b"null", b"5"],
)
def test_json_that_is_no_page_is_never_taken_for_an_empty_one(body: bytes, serve: Serve, naps: list[float]) -> None:
    origin = scripted(serve, Answer(body))
    with pytest.raises(UnexpectedAnswer, match="RAPIDPRO_URL"):
        ask(origin, naps)
    assert len(origin.asked) == 1


@pytest.mark.parametrize("body", [b"[]", b"5", b'"text"', b"null"])
def test_json_that_is_no_object_is_no_document(body: bytes, serve: Serve) -> None:
    origin = scripted(serve, Answer(body))
    with Client(origin.url, TOKEN) as client, pytest.raises(UnexpectedAnswer, match=r"workspace\.json"):
        client.document("workspace.json", {}, scope="v2")


def test_a_document_comes_as_the_bytes_that_were_sent(serve: Serve) -> None:
    origin = scripted(serve, Answer('{"name": "Santé ✅",  "languages": []}'.encode()))
    with Client(origin.url, TOKEN) as client:
        assert client.document("workspace.json", {}, scope="v2") == '{"name": "Santé ✅",  "languages": []}'.encode()


def test_rows_come_as_the_bytes_that_were_sent(serve: Serve) -> None:
    row = '{"id": 1,  "text": "\\ud83d\\ude00 é\\u0000\\n", "big": 12345678901234567890123}'.encode()
    assert ask(scripted(serve, Answer(b'{"results":[' + row + b'],"next":null}'))) == [row]


# -- the token --


def told(error: BaseException) -> str:
    """All that a log could show of an error, its causes included."""
    return "".join([*traceback.format_exception(error), repr(error), repr(error.__context__), repr(error.__cause__)])


@pytest.mark.parametrize(
    ("status", "location"),
    [
        (301, "{other}/api/v2/contacts.json"),
        (302, "/login"),
        (307, "{other}/api/v2/contacts.json"),
        (308, "https://[broken"),
        (302, "https://xn--/"),
    ],
)
def test_a_redirect_is_not_followed(status: int, location: str, serve: Serve, naps: list[float]) -> None:
    other = serve(lambda asked: PAGE)
    there = location.format(other=other.url)
    origin = scripted(serve, Answer(b"", status, {"Location": there}))
    with pytest.raises(ServerError, match=r"redirects .*RAPIDPRO_URL"):
        ask(origin, naps, patience=60)
    assert (len(origin.asked), other.asked, naps) == (1, [], [])


ECHO = f"<p>You sent Authorization: Token {TOKEN}</p>".encode()


@pytest.mark.parametrize("status", [200, 302, 400, 403, 404, 405, 500])
def test_no_error_shows_the_token_even_if_the_server_echoes_it(status: int, serve: Serve) -> None:
    origin = scripted(serve, Answer(ECHO, status, {"Location": f"/login?token={TOKEN}"}))
    with pytest.raises(ServerError) as caught:
        ask(origin)
    assert TOKEN not in told(caught.value)


def test_no_error_shows_a_contact_of_an_answer_that_was_cut(serve: Serve) -> None:
    row = b'{"uuid":"c1","name":"Adaeze Obi","urns":["tel:+250788123456"]}'
    cut = Answer(b'{"next":null,"previous":null,"results":[' + row + b",{", headers={"Connection": "close"})
    with pytest.raises(ServerUnavailable) as caught:
        ask(scripted(serve, cut))
    assert "Adaeze" not in told(caught.value)
    assert "788123456" not in told(caught.value)


def test_the_representation_of_settings_and_client_hides_the_token() -> None:
    settings = load_settings(url="https://textit.example", token=TOKEN)
    with Client(settings.url, TOKEN) as client:
        assert TOKEN not in f"{settings!r} {settings} {settings.model_dump()} {client!r} {client.__dict__}"


def test_each_request_names_the_project_its_version_and_the_token_once(serve: Serve) -> None:
    origin = serve(lambda asked: PAGE)
    ask(origin)
    [asked] = origin.asked
    assert asked.method == "GET"
    assert asked.path == "/api/v2/contacts.json"
    assert asked.headers["User-Agent"].startswith(f"rapidlake/{__version__} ")
    assert asked.headers["Authorization"] == f"Token {TOKEN}"
    assert TOKEN not in str(asked.params)


def test_a_parameter_with_several_values_is_sent_several_times(sandbox: Sandbox, naps: list[float]) -> None:
    flows = [row["uuid"] for row in sandbox.workspace.rows("flows")[:3]]
    with client_of(sandbox, naps) as client:
        body = client.document("definitions.json", {"flow": flows, "dependencies": "none"}, scope="v2")
    assert sorted(flow["uuid"] for flow in json.loads(body)["flows"]) == sorted(flows)


# -- stopping --


def test_stopping_ends_a_wait_of_an_hour_at_once(sandbox: Sandbox) -> None:
    stop = threading.Event()
    sandbox.faults = Faults(throttle_seconds=3600, script={"contacts": ["throttle"]})
    listener = Listener(Counters(), lambda seconds: stop.set())
    with Client(sandbox.url, sandbox.token, stop=stop) as client, pytest.raises(Stopped):
        client.page("contacts.json", {}, scope="v2.contacts", listener=listener)


def test_stopping_ends_the_wait_after_a_failure(sandbox: Sandbox) -> None:
    stop = threading.Event()
    sandbox.faults = Faults(error=1)
    sandbox.after_page = lambda name: stop.set()
    with Client(sandbox.url, sandbox.token, stop=stop) as client, pytest.raises(Stopped):
        client.page("contacts.json", {}, scope="v2.contacts")


def test_no_request_goes_out_once_stopped(sandbox: Sandbox) -> None:
    stop = threading.Event()
    stop.set()
    with Client(sandbox.url, sandbox.token, stop=stop) as client, pytest.raises(Stopped):
        client.page("contacts.json", {}, scope="v2.contacts")
    assert sandbox.requests == []


# -- clocks --

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize("ahead", [3 * HOUR, -3 * HOUR, 4 * DAY, -4 * DAY, timedelta(seconds=9)], ids=str)
def test_the_earlier_clock_says_what_the_present_is(serve: Serve, ahead: timedelta) -> None:
    origin = scripted(serve, Answer(headers={"Date": format_datetime(datetime.now(UTC) + ahead, usegmt=True)}))
    with Client(origin.url, TOKEN) as client:
        assert shown(client) == (0, 0, None)
        client.page("contacts.json", {}, scope="v2.contacts")
        minutes = ahead / timedelta(minutes=1)
        assert shown(client) == (round(min(minutes, 0)), round(max(minutes, 0)), round(minutes))


def shown(client: Client) -> tuple[int, int, int | None]:
    """By how many minutes its clocks differ from this machine's: the earlier, the later, and the server's."""
    here, there = datetime.now(UTC), client.server_now()
    now, latest, server = (
        at and round((at - here) / timedelta(minutes=1)) for at in (client.now(), client.latest(), there)
    )
    assert now is not None and latest is not None
    return now, latest, server


def test_the_last_answers_that_have_a_date_tell_the_servers_clock_and_a_single_odd_one_does_not(serve: Serve) -> None:
    dates = [format_datetime(datetime.now(UTC) - back * HOUR, usegmt=True) for back in (5, 90, 2, 2, 90, 0)]
    odd = [Answer(headers={"Date": "yesterday"}), Answer()]
    origin = scripted(serve, *(Answer(headers={"Date": date}) for date in dates), *odd)
    told = []
    with Client(origin.url, TOKEN) as client:
        for _ in range(8):
            client.page("contacts.json", {}, scope="v2.contacts")
            told.append(shown(client)[0])
    assert told == [-300, -300, -300, -120, -120, 0, 0, 0]


def test_an_answer_that_a_cache_has_kept_is_as_old_as_it_says(serve: Serve) -> None:
    date = format_datetime(datetime.now(UTC) - HOUR, usegmt=True)
    origin = scripted(
        serve, *(Answer(headers={"Date": date, "Age": age}) for age in ("3600", "0", "0", "long", "9" * 30))
    )
    told = []
    with Client(origin.url, TOKEN) as client:
        for _ in range(5):
            client.page("contacts.json", {}, scope="v2.contacts")
            told.append(shown(client)[0])
    assert told == [0, 0, -60, -60, -60]


# -- addresses --


@pytest.mark.parametrize("url", ["https://textit..example", "https://textit.example:port"])
def test_an_address_that_cannot_be_one_is_told_in_a_sentence(url: str, naps: list[float]) -> None:
    with pytest.raises(RapidlakeError):
        settings = load_settings(url=url, token=TOKEN)
        with Client(settings.url, TOKEN, sleep=naps.append, patience=0.01) as client:
            client.page("workspace.json", {}, scope="v2")
