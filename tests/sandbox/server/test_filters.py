"""The sandbox filters like the server that was recorded: by date, key, folder and what rows belong to."""

import httpx
import pytest

from sandbox import Sandbox
from sandbox.workspace.dates import iso, read_iso, read_parameter
from tests.sandbox.server.asking import follow, get


def test_after_and_before_include_their_ends(sandbox: Sandbox, client: httpx.Client) -> None:
    tied = set(sandbox.workspace.edit("contacts", 40, same_timestamp=True))
    moment = sandbox.workspace.rows("contacts")[0]["modified_on"]
    rows, _ = follow(client, sandbox, f"contacts.json?after={moment}&before={moment}")
    assert {row["uuid"] for row in rows} == tied
    micros = read_iso(moment)
    assert micros is not None
    assert get(client, sandbox, f"contacts.json?after={iso(micros + 1)}").json()["results"] == []
    assert len(follow(client, sandbox, f"contacts.json?before={iso(micros - 1)}")[0]) + 40 == sandbox.workspace.count(
        "contacts"
    )


@pytest.mark.parametrize("value", ["garbage", "2026-13-01", "20-11-2026", "1795524936", "2026-11-20T24:00:00", "%20"])
def test_a_date_that_cannot_be_read_finds_nothing(value: str, quiet: Sandbox, client: httpx.Client) -> None:
    response = get(client, quiet, f"messages.json?after={value}")
    assert (response.status_code, response.json()["results"]) == (200, [])


def test_a_plus_that_is_not_escaped_finds_nothing(quiet: Sandbox, client: httpx.Client) -> None:
    assert get(client, quiet, "messages.json?after=2020-01-01T00:00:00+02:00").json()["results"] == []
    assert get(client, quiet, "messages.json?after=2020-01-01T00:00:00%2B02:00").json()["results"]


def test_an_empty_date_is_ignored_and_the_last_of_several_counts(quiet: Sandbox, client: httpx.Client) -> None:
    everything = get(client, quiet, "messages.json").json()["results"]
    assert get(client, quiet, "messages.json?after=").json()["results"] == everything
    assert get(client, quiet, "messages.json?after=2999&after=2020").json()["results"] == everything


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026", "2026-01-01T00:00:00Z"),
        ("2026-11", "2026-11-01T00:00:00Z"),
        ("20261120", "2026-11-20T00:00:00Z"),
        ("2026-324", "2026-03-24T00:00:00Z"),
        ("2026-11-20T01:02", "2026-11-20T01:02:00Z"),
        ("2026-11-20 01:02:03", "2026-11-20T01:02:03Z"),
        ("20261120T010203Z", "2026-11-20T01:02:03Z"),
        ("2026-11-20T01:02:03.1234569Z", "2026-11-20T01:02:03.123456Z"),
        ("2026-11-20T01:02:03+0200", "2026-11-19T23:02:03Z"),
        ("2026-11-20T01:02:03-00:00", "2026-11-20T01:02:03Z"),
        ("2026-11-20T01:02:03z", None),
        ("2026-11-20T01:02:03 UTC", None),
    ],
)
def test_a_date_parameter_is_read_as_the_server_reads_it(text: str, expected: str | None) -> None:
    micros = read_parameter(text)
    assert (None if micros is None else iso(micros)) == expected


@pytest.mark.parametrize(
    "endpoint", ["campaigns", "channels", "fields", "groups", "labels", "resthook_events", "tickets", "topics", "users"]
)
def test_these_endpoints_ignore_dates(endpoint: str, quiet: Sandbox, client: httpx.Client) -> None:
    plain = get(client, quiet, f"{endpoint}.json").json()["results"]
    assert plain
    assert get(client, quiet, f"{endpoint}.json?after=2999&before=garbage").json()["results"] == plain


@pytest.mark.parametrize(
    "endpoint", ["contacts", "runs", "flow_starts", "tickets", "globals", "resthooks", "templates"]
)
def test_reverse_turns_lists_sorted_by_modification(endpoint: str, quiet: Sandbox, client: httpx.Client) -> None:
    rows, _ = follow(client, quiet, f"{endpoint}.json?reverse=true")
    assert rows == quiet.workspace.rows(endpoint)[::-1]


@pytest.mark.parametrize("endpoint", ["messages", "flows", "broadcasts", "channel_events"])
def test_reverse_is_ignored_elsewhere(endpoint: str, quiet: Sandbox, client: httpx.Client) -> None:
    rows, _ = follow(client, quiet, f"{endpoint}.json?reverse=true")
    assert rows == quiet.workspace.rows(endpoint)


def test_flows_are_filtered_by_modification_though_sorted_by_creation(quiet: Sandbox, client: httpx.Client) -> None:
    flows = quiet.workspace.rows("flows")
    middle = sorted(flow["modified_on"] for flow in flows)[4]
    rows = get(client, quiet, f"flows.json?after={middle}").json()["results"]
    assert rows == [flow for flow in flows if flow["modified_on"] >= middle]


def test_unknown_parameters_and_page_sizes_are_ignored(quiet: Sandbox, client: httpx.Client) -> None:
    assert len(get(client, quiet, "messages.json?limit=3&page_size=2&foo=bar").json()["results"]) == 250


def test_single_rows_are_found_by_their_keys(quiet: Sandbox, client: httpx.Client) -> None:
    message, run = quiet.workspace.rows("messages")[7], quiet.workspace.rows("runs")[7]
    assert get(client, quiet, f"messages.json?id={message['id']}").json()["results"] == [message]
    assert get(client, quiet, f"runs.json?uuid={run['uuid']}").json()["results"] == [run]
    assert get(client, quiet, f"runs.json?id={run['id']}").json()["results"] == [run]


def test_messages_and_runs_are_found_by_what_they_belong_to(quiet: Sandbox, client: httpx.Client) -> None:
    messages, runs = quiet.workspace.rows("messages"), quiet.workspace.rows("runs")
    contact, flow = messages[0]["contact"]["uuid"], runs[0]["flow"]["uuid"]
    assert follow(client, quiet, f"messages.json?contact={contact}")[0] == [
        row for row in messages if row["contact"]["uuid"] == contact
    ]
    assert follow(client, quiet, f"runs.json?flow={flow}")[0] == [row for row in runs if row["flow"]["uuid"] == flow]
    broadcast = next(row["broadcast"] for row in messages if row["broadcast"])
    assert follow(client, quiet, f"messages.json?broadcast={broadcast}")[0] == [
        row for row in messages if row["broadcast"] == broadcast
    ]
    assert follow(client, quiet, "messages.json?label=Spam")[0] == [
        row for row in messages if "Spam" in [label["name"] for label in row["labels"]]
    ]


def test_runs_of_a_flow_that_is_gone_are_listed_but_not_found_by_it(sandbox: Sandbox, client: httpx.Client) -> None:
    flow = sandbox.workspace.rows("runs")[0]["flow"]["uuid"]
    sandbox.workspace.delete("flows", [flow])
    assert get(client, sandbox, f"runs.json?flow={flow}").json()["results"] == []
    assert follow(client, sandbox, "runs.json")[0][0]["flow"]["uuid"] == flow


def test_paths_can_be_left_out_of_runs(quiet: Sandbox, client: httpx.Client) -> None:
    rows, _ = follow(client, quiet, "runs.json?paths=false")
    assert rows == [{**row, "path": None} for row in quiet.workspace.rows("runs")]


def test_contacts_are_found_by_urn_and_by_group(quiet: Sandbox, client: httpx.Client) -> None:
    contact = next(row for row in quiet.workspace.rows("contacts") if row["groups"])
    found = get(client, quiet, "contacts.json?urn=" + contact["urns"][0].replace("+", "%2B")).json()["results"]
    assert found == [contact]
    for name in ("uuid", "name"):
        rows, _ = follow(client, quiet, str(httpx.URL("contacts.json", params={"group": contact["groups"][0][name]})))
        assert contact in rows


def test_users_are_found_by_several_roles(quiet: Sandbox, client: httpx.Client) -> None:
    rows = get(client, quiet, "users.json?role=agent&role=viewer").json()["results"]
    assert {row["role"] for row in rows} == {"agent", "viewer"}


def test_folders_divide_the_messages(quiet: Sandbox, client: httpx.Client) -> None:
    folders = {
        name: follow(client, quiet, f"messages.json?folder={name}")[0]
        for name in ("inbox", "flows", "archived", "outbox", "SENT", "failed")
    }
    assert sorted(row["id"] for rows in folders.values() for row in rows) == sorted(
        row["id"] for row in quiet.workspace.rows("messages")
    )
    sent = [read_iso(row["sent_on"]) or 0 for row in folders["SENT"]]
    assert sent == sorted(sent, reverse=True)
    assert get(client, quiet, "messages.json?folder=Incoming").json()["results"] == []


def test_the_incoming_folder_is_sorted_by_modification_and_shows_deleted_ones(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    incoming, _ = follow(client, sandbox, "messages.json?folder=incoming")
    moments = [read_iso(row["modified_on"]) or 0 for row in incoming]
    assert moments == sorted(moments, reverse=True)
    gone = incoming[3]
    sandbox.workspace.delete("messages", [gone["id"]], soft=True)
    again, _ = follow(client, sandbox, "messages.json?folder=incoming")
    assert again[3] == {**gone, "visibility": None, "text": "", "labels": [], "attachments": [], "media": None}
    assert get(client, sandbox, f"messages.json?id={gone['id']}").json()["results"] == []


def test_deleted_globals_come_back_when_a_date_is_given(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.workspace.delete("globals", ["greeting"])
    assert "greeting" not in [row["key"] for row in get(client, sandbox, "globals.json").json()["results"]]
    found = get(client, sandbox, "globals.json?after=2020").json()["results"]
    assert next(row for row in found if row["key"] == "greeting")["name"].startswith("deleted-")
