"""A row of each stream with every key that a server sends, each with a value of its own: all arrive in their place."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.streams import STREAMS
from sandbox.workspace.endpoints import ENDPOINTS
from tests.lakes import new_lake
from tests.truth import OWN_COLUMNS, assert_same, expected_rows
from warehouse import Lake, forget_batch, stage

Row = dict[str, Any]


def uid(number: int) -> str:
    return str(uuid.UUID(int=number))


def at(minute: int) -> str:
    return f"2026-03-28T12:{minute:02}:26.494481Z"


def ref(number: int) -> Row:
    return {"uuid": uid(number), "name": f"Name {number}"}


def person(name: str) -> Row:
    return {"email": f"{name}@example.org", "name": name.title()}


RESULT = {"value": "v", "category": "c", "name": "n", "input": "i", "node": uid(91), "time": at(41)}
ROWS: dict[str, Row] = {
    "archives": {"archive_type": "message", "period": "daily", "start_date": "2026-03-01", "record_count": 7, "size": 8,
                 "hash": "abc", "download_url": "https://example.org", "type": "message"},
    "broadcasts": {"id": 1, "uuid": uid(2), "status": "sent", "progress": {"total": 3, "started": 4},
                   "urns": ["tel:+1#x"], "contacts": [ref(5)], "groups": [ref(6)], "base_language": "fra",
                   "text": {"eng": "Hello", "fra": "Salut"}, "attachments": {"eng": ["image:a"]},
                   "quick_replies": None, "created_on": at(1)},
    "campaign_events": {"uuid": uid(1), "campaign": ref(2), "relative_to": {"key": "k", "name": "K", "label": "K"},
                        "offset": 3, "unit": "weeks", "delivery_hour": 4, "flow": ref(5),
                        "message": {"fra": "Salut", "eng": "Hello"}, "created_on": at(1)},
    "campaigns": {"uuid": uid(1), "name": "C", "archived": True, "group": ref(2), "created_on": at(1)},
    "channel_events": {"id": 1, "type": "call-in", "contact": ref(2), "channel": ref(3), "extra": {"duration": 4},
                       "occurred_on": at(1), "created_on": at(2)},
    "channels": {"uuid": uid(1), "name": "C", "address": "+1", "type": "A", "country": "RW", "last_seen": at(1),
                 "device": {"name": "Phone", "power_level": 87, "power_status": "CHA", "power_source": "AC",
                            "network_type": "LTE"}, "created_on": at(2)},
    "contacts": {"uuid": uid(1), "name": "Ana", "ref": "REF", "anon_display": "ANON", "status": "active",
                 "language": "kin", "urns": ["tel:+2", "telegram:3#a%23b"], "groups": [ref(2)],
                 "notes": [{"text": "t", "created_on": at(3), "created_by": person("eva")}], "fields": {"age": "4"},
                 "flow": ref(5), "created_on": at(1), "modified_on": at(2), "last_seen_on": at(4), "blocked": True,
                 "stopped": False},
    "fields": {"key": "k", "name": "N", "type": "text", "featured": True, "priority": 1, "label": "N",
               "usages": {"flows": 2, "groups": 3, "campaign_events": 4}, "agent_access": "view", "value_type": "text"},
    "flow_starts": {"id": 1, "uuid": uid(2), "flow": ref(3), "status": "complete",
                    "progress": {"total": 4, "started": 5}, "groups": [ref(6)],
                    "contacts": [ref(7)], "params": {"a": 1}, "extra": {"a": 1},
                    "restart_participants": True, "exclude_active": False, "created_on": at(1), "modified_on": at(2)},
    "flows": {"uuid": uid(1), "name": "F", "type": "message", "archived": True, "labels": [ref(2)], "expires": 3,
              "runs": {"active": 4, "waiting": 5, "completed": 6, "expired": 7, "interrupted": 8, "failed": 9},
              "results": [{"key": "k", "name": "N", "categories": ["b", "a"], "node_uuids": [uid(10)]}],
              "parent_refs": ["p"], "created_on": at(1), "modified_on": at(2)},
    "globals": {"key": "k", "name": "N", "value": "V", "modified_on": at(1)},
    "groups": {"uuid": uid(1), "name": "G", "query": "age > 1", "status": "ready", "system": True, "count": 2},
    "labels": {"uuid": uid(1), "name": "L", "count": 2},
    "messages": {"id": 1, "uuid": uid(2), "broadcast": 3, "contact": ref(4), "urn": "telegram:5#a%23b",
                 "channel": ref(6), "direction": "in", "type": "text", "status": "handled", "visibility": "visible",
                 "archived": True, "text": "Hi", "labels": [ref(7)], "flow": ref(8), "ticket_uuid": uid(9),
                 "attachments": [{"content_type": "image/png", "url": "https://example.org"}],
                 "quick_replies": None, "media": "m", "created_on": at(1), "sent_on": at(2), "modified_on": at(3)},
    "resthook_events": {"resthook": "r", "data": {"a": [1]}, "created_on": at(1)},
    "resthook_subscribers": {"id": 1, "resthook": "r", "target_url": "https://example.org", "created_on": at(1)},
    "resthooks": {"resthook": "r", "modified_on": at(1), "created_on": at(2)},
    "runs": {"id": 1, "uuid": uid(2), "flow": ref(3), "responded": True,
             "contact": ref(4) | {"urn": "tel:+5", "urn_display": "05", "anon_display": "ANON", "ref": "REF"},
             "start": {"uuid": uid(6)}, "path": [{"node": uid(7), "time": at(4)}], "values": {"k": RESULT},
             "events": None, "submitted_by": "eva", "created_on": at(1), "modified_on": at(2), "exited_on": at(3),
             "exit_type": "completed"},
    "templates": {"uuid": uid(1), "name": "T", "created_on": at(1), "modified_on": at(2), "translations": [
        {"language": "eng", "locale": "eng-US", "content": "C", "namespace": "n", "variable_count": 3,
         "status": "approved", "channel": ref(4)}]},
    "tickets": {"uuid": uid(1), "contact": ref(2), "status": "open", "topic": ref(3), "body": "B",
                "assignee": person("eva"), "opened_on": at(1), "opened_by": person("ida"), "opened_in": ref(4),
                "modified_on": at(2), "closed_on": at(3)},
    "topics": {"uuid": uid(1), "name": "T", "counts": {"open": 2, "closed": 3}, "system": True, "created_on": at(1)},
    "users": {"uuid": uid(1), "email": "eva@example.org", "name": "Eva E", "first_name": "Eva", "last_name": "E",
              "role": "agent", "team": ref(2), "avatar": "https://example.org/eva", "created_on": at(1)},
    "workspace": {"uuid": uid(1), "name": "W", "country": "RW", "languages": ["fra", "eng"],
                  "timezone": "Africa/Kigali", "date_style": "day_first",
                  "anon": True, "credits": {"used": -1}, "primary_language": "kin"},
}  # fmt: skip
# Of the others, what the sandbox serves.
ROWS |= {
    name: {"uuid": uid(1)}
    | {key: at(1) if key.endswith("_on") else value for key, value in endpoint.examples[0].items()}
    for name, endpoint in ENDPOINTS.items()
    if endpoint.examples
}
# Of newer servers only, or made of the whole row; tested elsewhere.
ELSEWHERE = {"definitions", "statistics"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with Lake.create(new_lake(tmp_path_factory.mktemp("rows") / "lake")) as lake:
        yield lake


def test_every_stream_has_its_row() -> None:
    assert ROWS.keys() | ELSEWHERE == STREAMS.keys()


@pytest.mark.parametrize("stream", ROWS)
def test_every_key_that_a_server_sends_arrives_in_its_column(stream: str, lake: Lake, tmp_path: Path) -> None:
    languages = ["fra", "eng"]
    [row] = staged(lake, stream, [ROWS[stream]], tmp_path, languages)
    [(key, expected)] = expected_rows(stream, [ROWS[stream]], languages).items()
    assert_same(stream, {key: row}, {key: expected})
    assert {name for name, value in row.items() if value is not None} - OWN_COLUMNS - {"key"} == {
        name for name, value in expected.items() if value is not None
    } - {"key"}


def test_counts_of_a_day_stand_by_channel_and_way(lake: Lake, tmp_path: Path) -> None:
    full = {"type": "T", "text:in": 1, "text:out": 2, "voice:in": 3, "voice:out": 4}
    sent = {"date": "2026-03-28", "channels": {uid(1): full, uid(2): {"type": "V"}}}
    [row] = staged(lake, "statistics", [sent], tmp_path)
    assert row["channels"] == {
        uuid.UUID(int=1): {"type": "T", "text_in": 1, "text_out": 2, "voice_in": 3, "voice_out": 4},
        uuid.UUID(int=2): {"type": "V", "text_in": 0, "text_out": 0, "voice_in": 0, "voice_out": 0},
    }


def test_a_definition_is_kept_whole_beside_what_is_known_of_it(lake: Lake, tmp_path: Path) -> None:
    sent = {"uuid": uid(1), "name": "F", "type": "voice", "spec_version": "13.2", "language": "eng", "revision": 7,
            "expire_after_minutes": 8, "nodes": [{"uuid": uid(2)}], "_ui": {"a": None}}  # fmt: skip
    [row] = staged(lake, "definitions", [sent], tmp_path)
    assert [row[name] for name in ("name", "type", "spec_version", "language", "revision")] == [
        "F", "voice", "13.2", "eng", 7,
    ]  # fmt: skip
    assert row["definition"] == sent


@pytest.mark.parametrize("stream", ["broadcasts", "flow_starts"])
def test_a_progress_of_minus_one_is_not_known(stream: str, lake: Lake, tmp_path: Path) -> None:
    totals = [-1, 0, 1]
    sent = [ROWS[stream] | {"id": n, "uuid": uid(n), "progress": {"total": n, "started": 9}} for n in (1, 2, 3)]
    for row, total in zip(sent, totals, strict=True):
        row["progress"]["total"] = total
    found = staged(lake, stream, sent, tmp_path)
    assert [(row["progress_total"], row["progress_started"]) for row in found] == [(None, 9), (0, 9), (1, 9)]


def test_a_start_that_says_nothing_of_active_contacts_excludes_none(lake: Lake, tmp_path: Path) -> None:
    said = [True, False, None, {}]
    sent = [ROWS["flow_starts"] | {"id": n, "uuid": uid(n), "exclude_active": one} for n, one in enumerate(said)]
    assert [row["exclude_active"] for row in staged(lake, "flow_starts", sent, tmp_path)] == [True, False, False, False]


def test_a_run_without_a_uuid_has_its_id_in_place_of_it(lake: Lake, tmp_path: Path) -> None:
    sent = {name: value for name, value in ROWS["runs"].items() if name != "uuid"} | {"id": 0xABC}
    assert staged(lake, "runs", [sent], tmp_path)[0]["uuid"] == uuid.UUID(int=0xABC)


def test_archives_of_older_servers_call_their_type_otherwise_and_no_hash_is_none(lake: Lake, tmp_path: Path) -> None:
    older = {name: value for name, value in ROWS["archives"].items() if name != "archive_type"}
    [row] = staged(lake, "archives", [older | {"type": "run", "hash": ""}], tmp_path)
    assert (row["archive_type"], row["hash"]) == ("run", None)
    [row] = staged(lake, "archives", [ROWS["archives"] | {"type": "other"}], tmp_path)
    assert row["archive_type"] == "message"


def test_calls_of_a_resthook_differ_by_hook_moment_and_content(lake: Lake, tmp_path: Path) -> None:
    one = ROWS["resthook_events"]
    sent = [one, one | {"resthook": "s"}, one | {"data": {"a": [2]}}, one | {"created_on": at(2)}, one | {"data": None}]
    found = staged(lake, "resthook_events", sent, tmp_path)
    assert len({row["key"] for row in found}) == len(sent)
    again = staged(lake, "resthook_events", [one | {"created_on": at(1).replace("Z", "+00:00")}], tmp_path)
    assert again[0]["key"] in {row["key"] for row in found}


def staged(lake: Lake, stream: str, rows: list[Row], folder: Path, languages: list[str] | None = None) -> list[Row]:
    """The rows as they would be merged into the stream's table, by key."""
    table, file = STREAMS[stream].table, folder / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    with lake.connection() as connection:
        connection.execute("SET VARIABLE languages = string_split(?, ',')", [",".join(languages or [])])
        batch = stage(connection, table, [file])
        answer = connection.execute(f'SELECT * FROM batch ORDER BY "{table.key[0]}"')
        columns = [(column[0], str(column[1]) == "JSON") for column in answer.description or []]
        found = [
            {
                name: json.loads(value) if is_json and value is not None else value
                for (name, is_json), value in zip(columns, values, strict=True)
            }
            for values in answer.fetchall()
        ]
        forget_batch(connection)
    assert (batch.unreadable, batch.unknown_keys) == (0, [])
    return found
