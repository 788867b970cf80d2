"""The sandbox answers like the server that was recorded: listings, pages, errors, limits, archive files."""

import base64
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from sandbox import Sandbox, Throttle, Workspace, generate, read_archive
from sandbox.workspace.dates import from_micros, iso, read_iso
from tests.sandbox.server.asking import follow, get, tie_contacts

RECORDINGS = Path(__file__).parent.parent / "recordings"
ERRORS = json.loads((RECORDINGS / "sandbox_errors.json").read_text())


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
