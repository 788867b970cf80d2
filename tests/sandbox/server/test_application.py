"""The sandbox answers like the server that was recorded: listings, filters, pages, errors, limits, archive files."""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from sandbox import Sandbox, Throttle, Workspace, generate, read_archive
from sandbox.workspace.dates import from_micros, iso, read_iso, read_parameter

RECORDINGS = Path(__file__).parent.parent / "recordings"
ERRORS = json.loads((RECORDINGS / "sandbox_errors.json").read_text())


@pytest.fixture(scope="module")
def quiet() -> Iterator[Sandbox]:
    """A sandbox that no test changes."""
    with Sandbox(generate(messages=1500, contacts=800), requests_per_hour=None) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox to be changed by one test."""
    with Sandbox(generate(messages=600, contacts=1100, archives=False), requests_per_hour=None) as sandbox:
        yield sandbox


def get(client: httpx.Client, sandbox: Sandbox, path: str, **headers: str) -> httpx.Response:
    """Ask the API as an administrator."""
    url = path if path.startswith("http") else f"{sandbox.url}/api/v2/{path}"
    return client.get(url, headers={"Authorization": f"Token {sandbox.token}", **headers})


def follow(client: httpx.Client, sandbox: Sandbox, path: str | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Read a listing to its end by its `next` links; return the rows and the cursors met."""
    rows: list[dict[str, Any]] = []
    cursors: list[str] = []
    while path:
        response = get(client, sandbox, path)
        assert response.status_code == 200, response.text
        body = response.json()
        rows += body["results"]
        path = body["next"]
        if path:
            [cursor] = parse_qs(urlsplit(path).query)["cursor"]
            cursors.append(base64.b64decode(cursor).decode())
    return rows, cursors


def tie_contacts(sandbox: Sandbox) -> str:
    """Give one timestamp to 660 contacts, with newer and older ones around; return it."""
    moment = read_iso(sandbox.workspace.rows("contacts")[100]["modified_on"])
    sandbox.workspace.edit("contacts", 660, at=moment, same_timestamp=True)
    assert moment is not None
    return iso(moment)


# -- errors --


@pytest.mark.parametrize("recorded", ERRORS, ids=[error["name"] for error in ERRORS])
def test_an_error_is_answered_as_it_was_recorded(
    recorded: dict[str, Any], quiet: Sandbox, client: httpx.Client, request: pytest.FixtureRequest
) -> None:
    sandbox = quiet
    if recorded["name"] == "urn_anon":
        sandbox = request.getfixturevalue("sandbox")
        [workspace] = sandbox.workspace.rows("workspace")
        sandbox.workspace.put("workspace", {**workspace, "anon": True})
    tokens = {"no_token": None, "bad_token": "0" * 40, "surveyor_token_messages": sandbox.surveyor_token}
    token = tokens.get(recorded["name"], sandbox.token)
    method, target = recorded["request"].split(" ", 1)
    headers = {"Authorization": f"Token {token}"} if token else {}
    response = client.request(method, sandbox.url + target, headers=headers)

    body = response.text if isinstance(recorded["body"], str) else response.json()
    assert (response.status_code, body) == (recorded["status"], recorded["body"])
    expected = {**recorded["headers"]}
    if expected["X-Temba-Org"]:
        expected["X-Temba-Org"] = "1"  # some were recorded in a second workspace
    assert {name: response.headers.get(name) for name in expected} == expected


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT", "DELETE"])
def test_only_get_is_answered(method: str, quiet: Sandbox, client: httpx.Client) -> None:
    headers = {"Authorization": f"Token {quiet.token}"}
    assert client.request(method, f"{quiet.url}/api/v2/runs.json", headers=headers).status_code == 405


@pytest.mark.parametrize("word", ["Token", "token", "TOKEN"])
def test_the_word_before_the_token_may_be_written_in_any_case(word: str, quiet: Sandbox, client: httpx.Client) -> None:
    assert get(client, quiet, "groups.json", Authorization=f"{word} {quiet.token}").status_code == 200


def test_bearer_is_no_word_for_a_token(quiet: Sandbox, client: httpx.Client) -> None:
    assert get(client, quiet, "groups.json", Authorization=f"Bearer {quiet.token}").status_code == 403


def test_a_client_that_takes_only_html_is_refused(quiet: Sandbox, client: httpx.Client) -> None:
    assert get(client, quiet, "groups.json", Accept="text/html").status_code == 406


def test_an_endpoint_that_a_dump_lacks_is_not_offered(tmp_path: Path, client: httpx.Client) -> None:
    (tmp_path / "groups.jsonl").write_text('{"uuid": "7d3aa0ab-0a4c-4c3e-8c62-7c5f0a9f2a0b", "name": "Farmers"}\n')
    with Sandbox(Workspace.load(tmp_path)) as sandbox:
        assert get(client, sandbox, "groups.json").json()["results"] == sandbox.workspace.rows("groups")
        assert get(client, sandbox, "classifiers.json").status_code == 404
        assert get(client, sandbox, "definitions.json").json()["flows"] == []


# -- dumps --


def test_a_dump_is_served_in_its_own_order(tmp_path: Path, client: httpx.Client) -> None:
    same = "2026-11-20T10:00:00Z"
    rows = [{"uuid": f"{number:08}-0000-4000-8000-000000000000", "modified_on": same} for number in (5, 9, 1, 7)]
    with gzip.open(tmp_path / "contacts.jsonl.gz", "wt") as dump:
        dump.writelines(json.dumps(row) + "\n" for row in rows)
    with Sandbox(Workspace.load(tmp_path)) as sandbox:
        assert get(client, sandbox, "contacts.json").json()["results"] == rows
        assert get(client, sandbox, "contacts.json?reverse=true").json()["results"] == rows[::-1]


def test_rows_are_written_as_the_server_writes_them(sandbox: Sandbox, client: httpx.Client) -> None:
    text = 'é 😀 \u2028 \x01 "quoted" \n </script> שלום'
    sandbox.workspace.put(
        "globals", {"key": "odd", "name": "Odd", "value": text, "modified_on": "2026-11-20T10:00:00Z"}
    )
    body = get(client, sandbox, "globals.json?key=odd").content.decode()
    assert body == (
        '{"next":null,"previous":null,"results":[{"key":"odd","name":"Odd",'
        '"value":"é 😀 \\u2028 \\u0001 \\"quoted\\" \\n </script> שלום","modified_on":"2026-11-20T10:00:00Z"}]}'
    )


def test_raw_json_is_served_untouched(sandbox: Sandbox, client: httpx.Client) -> None:
    raw = '{"key":"odd", "value":1e400,"value":NaN}'
    sandbox.workspace.put("globals", {"key": "odd"}, raw=raw)
    assert raw in get(client, sandbox, "globals.json?key=odd").text


# -- pages --


@pytest.mark.parametrize(
    "endpoint", ["messages", "contacts", "runs", "fields", "groups", "users", "boundaries", "tickets"]
)
def test_following_next_reads_every_row_once_in_order(endpoint: str, quiet: Sandbox, client: httpx.Client) -> None:
    rows, _ = follow(client, quiet, f"{endpoint}.json")
    assert rows == quiet.workspace.rows(endpoint)


@pytest.mark.parametrize("reverse", ["false", "true"])
def test_pages_inside_a_tie_go_on_by_offset_and_miss_nothing(
    reverse: str, sandbox: Sandbox, client: httpx.Client
) -> None:
    tie_contacts(sandbox)
    rows, cursors = follow(client, sandbox, f"contacts.json?reverse={reverse}")
    truth = sandbox.workspace.rows("contacts")
    assert rows == (truth[::-1] if reverse == "true" else truth)
    assert len([cursor for cursor in cursors if cursor.startswith("o=") and "p=" in cursor]) >= 2


def test_a_tie_that_fills_the_first_page_goes_on_by_offset_alone(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.workspace.edit("contacts", 660, same_timestamp=True)
    rows, cursors = follow(client, sandbox, "contacts.json")
    assert rows == sandbox.workspace.rows("contacts")
    assert cursors[:2] == ["o=250", "o=500"]


def test_a_change_inside_a_tie_makes_a_client_that_follows_next_lose_other_rows(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    tie = tie_contacts(sandbox)
    first = get(client, sandbox, "contacts.json").json()
    members = [row["uuid"] for row in first["results"] if row["modified_on"] == tie]
    sandbox.workspace.edit("contacts", members[:10])
    rest, _ = follow(client, sandbox, first["next"])

    seen = {row["uuid"] for row in [*first["results"], *rest]}
    lost = [row for row in sandbox.workspace.rows("contacts") if row["uuid"] not in seen]
    assert [row["modified_on"] for row in lost] == [tie] * 10  # no later `after` will ever bring them back


def test_the_last_page_leads_back(quiet: Sandbox, client: httpx.Client) -> None:
    first = get(client, quiet, "messages.json").json()
    second = get(client, quiet, first["next"]).json()
    assert first["previous"] is None
    assert get(client, quiet, second["previous"]).json()["results"] == first["results"]


def test_next_names_the_host_and_scheme_of_the_request_and_keeps_its_parameters(
    quiet: Sandbox, client: httpx.Client
) -> None:
    headers = {"Host": "rp.example.org", "X-Forwarded-Proto": "https"}
    body = get(client, quiet, "messages.json/?foo=b%20r&before=2999", **headers).json()
    assert body["next"].startswith("https://rp.example.org/api/v2/messages.json/?before=2999&cursor=")
    assert body["next"].endswith("&foo=b+r")


def test_an_offset_is_cut_at_a_hundred_thousand(quiet: Sandbox, client: httpx.Client) -> None:
    cursor = base64.b64encode(b"o=100001").decode()
    assert get(client, quiet, f"contacts.json?cursor={cursor}").json()["results"] == []


@pytest.mark.parametrize("content", ["o=-1", "o=x", "r=x"])
def test_a_cursor_with_a_bad_number_is_not_found(content: str, quiet: Sandbox, client: httpx.Client) -> None:
    cursor = base64.b64encode(content.encode()).decode()
    assert get(client, quiet, f"contacts.json?cursor={cursor}").status_code == 404


# -- filters --


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


# -- objects without pages --


def test_the_workspace_is_one_object(quiet: Sandbox, client: httpx.Client) -> None:
    assert [get(client, quiet, "workspace.json").json()] == quiet.workspace.rows("workspace")


def test_the_root_names_the_endpoints_to_anyone(quiet: Sandbox, client: httpx.Client) -> None:
    body = client.get(f"{quiet.url}/api/v2/.json").json()
    assert body["runs"] == f"{quiet.url}/api/v2/runs.json"


def test_definitions_hold_the_flows_and_campaigns_asked_for(quiet: Sandbox, client: httpx.Client) -> None:
    flow = quiet.workspace.rows("flows")[0]
    campaign = quiet.workspace.rows("campaigns")[0]
    body = get(client, quiet, f"definitions.json?flow={flow['uuid']}&campaign={campaign['uuid']}").json()
    assert list(body) == ["version", "site", "flows", "campaigns", "triggers", "fields", "groups"]
    assert body["flows"][0]["name"] == flow["name"]
    assert [node["uuid"] for node in body["flows"][0]["nodes"]] == [
        uuid for result in flow["results"] for uuid in result["node_uuids"]
    ]
    assert {group["uuid"] for group in body["groups"]} == {campaign["group"]["uuid"]}
    alone = get(client, quiet, f"definitions.json?flow={flow['uuid']}&dependencies=none").json()
    assert [each["uuid"] for each in alone["flows"]] == [flow["uuid"]]
    assert get(client, quiet, "definitions.json?dependencies=some").status_code == 400


# -- changes --


def test_an_edit_moves_modified_on_and_nothing_else_that_orders_messages(sandbox: Sandbox) -> None:
    before = {row["id"]: row for row in sandbox.workspace.rows("messages")}
    at = from_micros(1_900_000_000_000_000)
    [key] = sandbox.workspace.edit("messages", 1, at=at)
    after = sandbox.workspace.row("messages", key)
    assert after is not None
    assert after["modified_on"] == iso(1_900_000_000_000_000)
    assert after["created_on"] == before[int(key)]["created_on"]
    assert after != before[int(key)]


def test_added_rows_have_new_keys_and_may_appear_late(sandbox: Sandbox, client: httpx.Client) -> None:
    newest = read_iso(sandbox.workspace.rows("runs")[0]["modified_on"]) or 0
    keys = sandbox.workspace.add("runs", 3, at=from_micros(newest - 5_000_000), same_timestamp=True)
    rows = [row for row in follow(client, sandbox, "runs.json")[0] if row["uuid"] in keys]
    assert [row["modified_on"] for row in rows] == [iso(newest - 5_000_000)] * 3
    assert len({row["id"] for row in rows}) == 3


def test_a_deleted_contact_leaves_a_tombstone_and_takes_its_rows_along(sandbox: Sandbox, client: httpx.Client) -> None:
    workspace = sandbox.workspace
    uuid = workspace.rows("broadcasts")[0]["contacts"][0]["uuid"]
    workspace.delete_contacts([uuid])
    [tombstone] = get(client, sandbox, f"contacts.json?deleted=true&uuid={uuid}").json()["results"]
    assert (tombstone["name"], tombstone["urns"], tombstone["fields"]) == (None, [], {})
    assert workspace.row("contacts", uuid) is None
    for endpoint in ("messages", "runs", "tickets", "broadcasts"):
        assert uuid not in json.dumps(workspace.rows(endpoint))


def test_a_row_that_does_not_exist_cannot_be_edited(sandbox: Sandbox) -> None:
    with pytest.raises(KeyError, match="no 12345678"):
        sandbox.workspace.edit("messages", [12345678])


# -- limits --


def test_each_scope_has_a_window_of_its_own_that_slides(sandbox: Sandbox, client: httpx.Client) -> None:
    clock = [1000.0]
    sandbox.throttle = Throttle(limit=2, seconds=60, clock=lambda: clock[0])
    statuses = [get(client, sandbox, "messages.json").status_code for _ in range(2)]
    clock[0] += 20.5
    refused = get(client, sandbox, "messages.json")
    assert (*statuses, refused.status_code) == (200, 200, 429)
    assert refused.headers["Retry-After"] == "40"
    assert refused.json() == {"detail": "Request was throttled. Expected available in 40 seconds."}
    assert get(client, sandbox, "runs.json").status_code == 200
    clock[0] += 40
    assert [get(client, sandbox, "messages.json").status_code for _ in range(3)] == [200, 200, 429]


def test_a_limit_lowered_below_the_history_gives_no_waiting_time(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.throttle = Throttle(limit=5)
    for _ in range(5):
        get(client, sandbox, "groups.json")
    sandbox.throttle.limit = 2
    refused = get(client, sandbox, "flows.json")
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, False)
    assert refused.json() == {"detail": "Request was throttled."}


def test_bad_tokens_and_unknown_urls_are_not_counted(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.throttle = Throttle(limit=1)
    assert get(client, sandbox, "groups.json", Authorization="Token x").status_code == 403
    assert get(client, sandbox, "nothere.json").status_code == 404
    assert get(client, sandbox, "groups.json").status_code == 200
    assert get(client, sandbox, "groups.json").status_code == 429


def test_requests_are_remembered(sandbox: Sandbox, client: httpx.Client) -> None:
    get(client, sandbox, "runs.json?after=2020&paths=false")
    client.get(f"{sandbox.url}/api/v2/groups.json")
    runs, groups = sandbox.requests
    assert (runs.method, runs.path, runs.params) == ("GET", "/api/v2/runs.json", {"after": "2020", "paths": "false"})
    assert (runs.status, runs.scope, runs.authorization) == (200, "v2.runs", True)
    assert (groups.status, groups.scope, groups.authorization) == (403, None, False)


# -- archives --


def test_archive_files_are_what_the_listing_says(quiet: Sandbox, client: httpx.Client) -> None:
    listing = get(client, quiet, "archives.json?limit=1000").json()
    assert listing["count"] == len(listing["results"]) == quiet.workspace.count("archives")
    for row in listing["results"]:
        response = client.get(row["download_url"])
        assert response.headers["Content-Encoding"] == "none"
        assert response.headers["Content-Type"] == "application/octet"
        assert len(response.content) == row["size"]
        assert hashlib.md5(response.content).hexdigest() == row["hash"]
        lines = gzip.decompress(response.content).splitlines()
        assert len(lines) == row["record_count"]
        assert lines == read_archive(quiet.workspace, row)


def test_archives_are_paged_by_limit_and_offset(quiet: Sandbox, client: httpx.Client) -> None:
    whole = get(client, quiet, "archives.json").json()["results"]
    path: str | None = "archives.json?limit=7"
    starts = []
    while path:
        body = get(client, quiet, path).json()
        starts += [row["hash"] for row in body["results"]]
        path = body["next"]
    assert starts == [row["hash"] for row in whole]
    assert body["previous"].startswith(f"{quiet.url}/api/v2/archives.json?limit=7&offset=")


def test_archives_are_filtered_by_type_period_and_day(quiet: Sandbox, client: httpx.Client) -> None:
    daily = get(client, quiet, "archives.json?archive_type=run&period=daily").json()["results"]
    assert {(row["archive_type"], row["period"]) for row in daily} == {("run", "daily")}
    day = daily[1]["start_date"]
    found = get(client, quiet, f"archives.json?after={day}T12:00:00Z&before={day}T01:00:00Z").json()["results"]
    assert {row["start_date"] for row in found} == {day}


def test_download_addresses_differ_with_each_listing_and_lie_elsewhere(quiet: Sandbox, client: httpx.Client) -> None:
    first, second = (get(client, quiet, "archives.json?limit=1").json()["results"][0] for _ in range(2))
    assert first["download_url"] != second["download_url"]
    assert first["hash"] == second["hash"]
    assert urlsplit(first["download_url"]).netloc != urlsplit(quiet.url).netloc


def test_the_file_store_refuses_tokens_bad_signatures_and_unknown_files(quiet: Sandbox, client: httpx.Client) -> None:
    url = get(client, quiet, "archives.json?limit=1").json()["results"][0]["download_url"]
    assert get(client, quiet, url).status_code == 400
    forged = client.get(url.replace("Signature=", "Signature=0"))
    assert (forged.status_code, forged.headers["Content-Type"]) == (403, "application/xml")
    assert client.get(url.replace(".jsonl.gz", ".jsonl")).status_code == 403
    assert quiet.requests[-1].endpoint == "files"


def test_a_download_may_begin_in_the_middle(quiet: Sandbox, client: httpx.Client) -> None:
    url = get(client, quiet, "archives.json?limit=1").json()["results"][0]["download_url"]
    whole = client.get(url).content
    part = client.get(url, headers={"Range": "bytes=10-"})
    assert (part.status_code, part.content) == (206, whole[10:])


def test_download_addresses_expire(client: httpx.Client) -> None:
    workspace = generate(messages=100)
    with Sandbox(workspace, archive_url_seconds=-1) as sandbox:
        url = get(client, sandbox, "archives.json?limit=1").json()["results"][0]["download_url"]
        assert client.get(url).status_code == 403
    assert not workspace.store.directory.exists()
