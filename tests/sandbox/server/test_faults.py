"""The sandbox fails as it is told to, and the same way each time."""

import threading
from collections.abc import Iterator
from dataclasses import fields
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from sandbox import TOKEN, Faults, Sandbox, Workspace, generate, serve
from sandbox.server.faults import Dice
from sandbox.workspace.dates import read_iso


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    with generate(messages=1500, contacts=1100) as workspace:
        yield workspace


@pytest.fixture
def sandbox(workspace: Workspace) -> Iterator[Sandbox]:
    with Sandbox(workspace, requests_per_hour=None, keep=True) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    base = f"{sandbox.url}/api/v2/"
    with httpx.Client(base_url=base, headers={"Authorization": f"Token {sandbox.token}"}, timeout=None) as client:
        yield client


def test_a_script_is_followed_step_by_step_for_each_endpoint(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.faults = Faults(script={"messages": ["error", "bad_gateway", "html", "ok"], "runs": ["forbidden"]})
    answers = [client.get("messages.json") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [500, 502, 200, 200, 200]
    assert answers[0].text == "Server Error. Site administrators have been notified."
    assert answers[2].headers["Content-Type"].startswith("text/html")
    assert answers[3].json()["results"]
    assert [client.get("runs.json").status_code for _ in range(2)] == [403, 200]
    assert [seen.fault for seen in sandbox.requests] == ["error", "bad_gateway", "html", "ok", "ok", "forbidden", "ok"]


def test_a_reset_gives_no_answer_at_all(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.faults = Faults(reset=1)
    with pytest.raises(httpx.ReadError):
        client.get("messages.json")
    assert sandbox.requests[-1].status == 0


def test_a_truncated_answer_ends_before_its_announced_length(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.faults = Faults(truncate=1)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        client.get("messages.json")


def test_garbage_is_announced_as_json(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.faults = Faults(garbage=1)
    answer = client.get("messages.json")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    with pytest.raises(ValueError):
        answer.json()


def test_a_timeout_outlasts_the_client_and_does_not_delay_the_end(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.faults = Faults(timeout=1, timeout_seconds=600)
    with pytest.raises(httpx.ReadTimeout):
        client.get("messages.json", timeout=0.05)


def test_refusals_come_with_seconds_a_date_or_nothing(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.faults = Faults(script={"runs": ["throttle", "throttle_date", "throttle_silent"]}, throttle_seconds=3)
    plain, dated, silent = (client.get("runs.json") for _ in range(3))
    assert {answer.status_code for answer in (plain, dated, silent)} == {429}
    assert plain.headers["Retry-After"] == "3"
    assert parsedate_to_datetime(dated.headers["Retry-After"]) > parsedate_to_datetime(plain.headers["Date"])
    assert "Retry-After" not in silent.headers
    assert silent.json() == {"detail": "Request was throttled."}


def test_downloads_fail_too(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.faults = Faults(script={"files": ["garbage", "truncate", "error", "ok"]})
    row = client.get("archives.json?limit=1").json()["results"][0]
    with httpx.Client() as anonymous:
        assert anonymous.get(row["download_url"]).content[-1:] != b""
        with pytest.raises(httpx.RemoteProtocolError):
            anonymous.get(row["download_url"])
        assert anonymous.get(row["download_url"]).status_code == 500
        assert len(anonymous.get(row["download_url"]).content) == row["size"]


def read_all(client: httpx.Client, path: str | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while path:
        body = client.get(path).json()
        rows += body["results"]
        path = body["next"]
    return rows


def test_edits_of_rows_that_share_a_timestamp_lose_as_many_others_to_a_client_that_follows_next(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    middle = sorted(read_iso(row["modified_on"]) for row in sandbox.workspace.rows("contacts"))[-100]
    sandbox.workspace.edit("contacts", 660, at=middle, same_timestamp=True)
    first: list[dict[str, Any]] = []
    path: str | None = "contacts.json?reverse=true"
    edited: list[str] = []
    while path:
        body = client.get(path).json()
        first += body["results"]
        path = body["next"]
        tied = [row["uuid"] for row in body["results"] if read_iso(row["modified_on"]) == middle]
        if not edited and path and len(tied) >= 10 and read_iso(body["results"][-1]["modified_on"]) == middle:
            edited = tied[:10]
            sandbox.workspace.edit("contacts", edited)
    second = read_all(client, f"contacts.json?after={max(row['modified_on'] for row in first)}")

    found = {row["uuid"] for row in [*first, *second]}
    lost = {row["uuid"] for row in sandbox.workspace.rows("contacts")} - found
    assert len(edited) == len(lost) == 10
    assert not lost & set(edited)


def test_late_rows_appear_with_a_timestamp_of_the_past(sandbox: Sandbox, client: httpx.Client) -> None:
    known = {row["id"] for row in sandbox.workspace.rows("messages")}
    sandbox.faults = Faults(late=3, late_seconds=86_400)
    newest = client.get("messages.json").json()["results"][0]
    late = [row for row in sandbox.workspace.rows("messages") if row["id"] not in known]
    assert len(late) == 3
    assert all(row["created_on"] < newest["created_on"] for row in late)


def test_a_hook_runs_after_each_page_and_may_change_the_workspace(sandbox: Sandbox, client: httpx.Client) -> None:
    seen: list[str] = []

    def hook(endpoint: str) -> None:
        seen.append(endpoint)
        sandbox.workspace.edit(endpoint, 1)

    sandbox.after_page = hook
    client.get("runs.json")
    client.get("contacts.json")
    assert seen == ["runs", "contacts"]


def test_the_same_seed_fails_in_the_same_places() -> None:
    faults = Faults.parse("error=0.2, reset=0.1,throttle=0.1,seed=7")
    fates = [[dice.next("runs") for _ in range(200)] for dice in (Dice(faults), Dice(faults))]
    assert fates[0] == fates[1]
    assert 50 < sum(fate != "ok" for fate in fates[0]) < 110
    assert {"error", "bad_gateway", "reset", "throttle", "ok"} == set(fates[0])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("eror=0.1", "no fault is called 'eror'"),
        ("error=often", "'often' is not a number"),
        ("error=2", "not a probability"),
        ("edits=-1", "below 0"),
    ],
)
def test_a_fault_that_makes_no_sense_is_named(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Faults.parse(text)


def test_a_script_knows_only_real_faults() -> None:
    with pytest.raises(ValueError, match="script of runs: no fault is called 'explode'"):
        Faults(script={"runs": ["explode"]})


def test_every_fault_is_explained() -> None:
    help_text = Faults.help
    assert all(f"\n  {name} " in help_text for name in (spec.name for spec in fields(Faults)) if name != "script")


def test_serve_listens_until_it_is_interrupted() -> None:
    urls: list[str] = []

    def ready(url: str) -> None:
        assert httpx.get(f"{url}/api/v2/workspace.json", headers={"Authorization": f"Token {TOKEN}"}).status_code == 200
        urls.append(url)
        raise KeyboardInterrupt

    before = threading.active_count()
    serve(generate(messages=100, archives=False), ready=ready)
    assert urls
    assert threading.active_count() == before
