"""What is inside rows as rows of their own: held against what plain Python takes from what the server sent."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any

from tests.analysts import Analysed, whose
from tests.happenings import NODES, UNKNOWN_GROUP, ZONE, Row, moment


def test_texts_of_broadcasts_by_language(facts: Analysed) -> None:
    expected = [
        (row["id"], language, text, None if text is None else text == best(row["text"], row["base_language"], facts))
        for row in facts.now["broadcasts"]
        for language, text in row["text"].items()
    ]
    same(facts, "SELECT broadcast_id, language, text, is_default FROM broadcast_translations", expected)


def test_texts_of_campaign_events_by_language(facts: Analysed) -> None:
    expected = [
        (row["uuid"], row["campaign"]["uuid"], row["campaign"]["name"], language, text,
         text == best(row["message"], None, facts))
        for row in facts.now["campaign_events"]
        for language, text in (row["message"] or {}).items()
    ]  # fmt: skip
    assert expected
    same(
        facts,
        "SELECT event_uuid, campaign_uuid, campaign_name, language, text, is_default FROM campaign_event_translations",
        expected,
    )


def test_values_of_contacts_fields_of_every_type(facts: Analysed) -> None:
    fields = {row["key"]: row for row in facts.now["fields"]}
    assert "children" in facts.deleted["fields"] and "age" in fields
    expected = []
    for row in facts.now["contacts"]:
        for key, value in row["fields"].items():
            kind = fields.get(key, {}).get("type")
            if value is not None:
                expected.append(
                    (row["uuid"], row["name"], key, fields.get(key, {}).get("name"), kind, value,
                     number_of(value) if kind == "number" else None, time_of(value) if kind == "datetime" else None,
                     value.split(" > ") if kind in ("state", "district", "ward") else None)
                )  # fmt: skip
    same(
        facts,
        'SELECT contact_uuid, contact_name, field_key, field_name, field_type, value, number, "time", place '
        "FROM contact_fields",
        expected,
    )


def test_groups_of_contacts_by_their_best_known_name(facts: Analysed) -> None:
    expected = [
        (row["uuid"], row["name"], group["uuid"], group["name"])
        for row in facts.now["contacts"]
        for group in row["groups"]
    ]
    assert UNKNOWN_GROUP["uuid"] in {row[2] for row in expected}
    same(facts, "SELECT contact_uuid, contact_name, group_uuid, group_name FROM contact_groups", expected)


def test_addresses_of_contacts_in_their_order(facts: Analysed) -> None:
    expected = []
    for row in facts.now["contacts"]:
        for number, urn in enumerate(row["urns"], start=1):
            scheme, _, rest = urn.partition(":")
            path, _, display = rest.partition("#")
            expected.append(
                (row["uuid"], row["name"], number, urn, scheme, unescaped(path), unescaped(display) or None)
            )
    same(
        facts,
        "SELECT contact_uuid, contact_name, number, urn, scheme, path, display FROM contact_urns",
        expected,
    )


def test_categories_of_results_in_their_order(facts: Analysed) -> None:
    expected = [
        (row["uuid"], row["name"], result["key"], result["name"], number, category)
        for row in facts.now["flows"]
        for result in row["results"]
        for number, category in enumerate(result["categories"], start=1)
    ]
    same(facts, "SELECT flow_uuid, flow_name, key, result_name, number, category FROM flow_categories", expected)


def test_nodes_of_flows_with_what_they_say_set_and_wait_for(facts: Analysed) -> None:
    [losing] = {row["uuid"] for row in facts.before["definitions"] if row.get("nodes")}
    expected = [
        (number, str(uuid.UUID(int=number)), says(node), sets_result(node), "wait" in node.get("router", {}))
        for number, node in enumerate(NODES, start=1)
    ]
    select = "SELECT number, node_uuid, says, sets_result, waits FROM flow_nodes"
    same(facts, f"{select} WHERE flow_uuid = '{losing}'", expected)
    asking = {row["uuid"] for row in facts.before["flows"] if row["results"]} - {losing}
    [empty] = {row["uuid"] for row in facts.before["definitions"] if not row.get("nodes")}
    found = facts.lake.rows(f"SELECT DISTINCT flow_uuid::VARCHAR FROM flow_nodes WHERE flow_uuid <> '{losing}'")
    assert {flow for (flow,) in found} == asking - {empty} - facts.deleted["definitions"].keys()


def test_results_of_flows_also_those_that_they_once_had(facts: Analysed) -> None:
    names: dict[tuple[str, str], str] = {}
    for row in facts.before["runs"]:
        for key, result in row["values"].items():
            names[row["flow"]["uuid"], key] = min(result["name"], names.get((row["flow"]["uuid"], key), result["name"]))
    for row in facts.before["flows"]:
        names |= {(row["uuid"], result["key"]): result["name"] for result in row["results"]}
    now = {(row["uuid"], result["key"]) for row in facts.now["flows"] for result in row["results"]}
    flows = {row["flow"]["uuid"]: row["flow"]["name"] for row in facts.before["runs"]}
    flows |= {row["uuid"]: row["name"] for row in facts.before["flows"]}
    expected = [(flow, flows[flow], key, name, (flow, key) in now) for (flow, key), name in names.items()]
    assert {row[4] for row in expected} == {True, False}
    same(facts, "SELECT flow_uuid, flow_name, key, result_name, in_flow_now FROM flow_results", expected)


def test_attachments_and_labels_of_messages(facts: Analysed) -> None:
    files = [
        (row["id"], whose(row), row["direction"], moment(row["created_on"]), number, file["content_type"], file["url"])
        for row in facts.now["messages"]
        for number, file in enumerate(row["attachments"], start=1)
    ]
    same(
        facts,
        "SELECT message_id, contact_uuid, direction, created_on, number, content_type, url FROM message_attachments",
        files,
    )
    labels = [
        (row["id"], whose(row), moment(row["created_on"]), label["uuid"], label["name"])
        for row in facts.now["messages"]
        for label in row["labels"]
    ]
    same(facts, "SELECT message_id, contact_uuid, created_on, label_uuid, label_name FROM message_labels", labels)


def test_steps_of_runs_in_their_order(facts: Analysed) -> None:
    expected = [
        (row["uuid"], row["flow"]["uuid"], whose(row), moment(row["created_on"]), number, len(row["path"]),
         step["node"], moment(step["time"]), number == len(row["path"]))
        for row in facts.now["runs"]
        for number, step in enumerate(row["path"] or [], start=1)
    ]  # fmt: skip
    same(
        facts,
        "SELECT run_uuid, flow_uuid, contact_uuid, run_created_on, step, steps, node_uuid, arrived_on, is_last "
        "FROM run_path",
        expected,
    )


def test_results_of_runs_and_the_last_of_each_contact(facts: Analysed) -> None:
    results = [
        (row["uuid"], row["flow"]["uuid"], row["flow"]["name"], whose(row), key, result["name"], result["value"],
         result["category"], result.get("input"), moment(result["time"]) if result["time"] else None, result["node"],
         moment(row["created_on"]))
        for row in facts.now["runs"]
        for key, result in row["values"].items()
    ]  # fmt: skip
    same(
        facts,
        "SELECT run_uuid, flow_uuid, flow_name, contact_uuid, key, result_name, value, category, input, time, "
        "node_uuid, run_created_on FROM run_results",
        results,
    )
    first = datetime.min.replace(tzinfo=UTC)
    by_age = sorted(results, key=lambda row: row[0], reverse=True)
    by_age.sort(key=lambda row: (row[9] or first, row[11]))
    latest = {(row[3], row[1], row[4]): (*row[1:5], *row[5:10], row[0]) for row in by_age}
    same(
        facts,
        "SELECT flow_uuid, flow_name, contact_uuid, key, result_name, value, category, input, time, run_uuid "
        "FROM latest_results",
        [*latest.values()],
    )


def test_calls_of_resthooks_key_by_key(facts: Analysed) -> None:
    expected = []
    for row in facts.now["resthook_events"]:
        data = row["data"] if isinstance(row["data"], dict) else {}
        about = [uuid_of(data.get(what)) for what in ("contact", "flow", "run")]
        expected += [(row["resthook"], moment(row["created_on"]), *about, key, value) for key, value in data.items()]
    found = facts.lake.rows(
        "SELECT resthook, created_on, contact_uuid::VARCHAR, flow_uuid::VARCHAR, run_uuid::VARCHAR, key, value "
        "FROM resthook_payloads"
    )
    assert {"a/b", "a~b", "~1"} <= {row[5] for row in found}
    assert in_order((*row[:6], json.loads(row[6])) for row in found) == in_order(expected)


def same(facts: Analysed, query: str, expected: list[tuple[Any, ...]]) -> None:
    """The query has exactly these rows, in any order."""
    assert expected
    found = [tuple(str(one) if isinstance(one, uuid.UUID) else one for one in row) for row in facts.lake.rows(query)]
    assert in_order(found) == in_order(expected)


def in_order(rows: Any) -> list[str]:
    return sorted(
        repr(tuple(one.astimezone(UTC).isoformat() if isinstance(one, datetime) else one for one in row))
        for row in rows
    )


def best(texts: dict[str, str | None], base: str | None, facts: Analysed) -> str | None:
    """The text in the base language, else in the first of the workspace's languages that has one, else any."""
    [workspace] = facts.now["workspace"]
    order = [base, *workspace["languages"], *texts]
    return next((texts[one] for one in order if one in texts and texts[one] is not None), None)


def number_of(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", text) else None


def time_of(text: str) -> datetime | None:
    """A time as written; one without a zone is the workspace's."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=ZONE)


def unescaped(part: str) -> str:
    return part.replace("%23", "#").replace("%3F", "?").replace("%25", "%")


def says(node: Row) -> str | None:
    """The first text that a node sends or says."""
    return next((one["text"] for one in node.get("actions", []) if one["type"] in ("send_msg", "say_msg")), None)


def sets_result(node: Row) -> str | None:
    """The name of the result that a node sets by its question, else by its first action that does."""
    named = [one["name"] for one in node.get("actions", []) if one["type"] == "set_run_result"]
    return next(iter([*filter(None, [node.get("router", {}).get("result_name")]), *named]), None)


def uuid_of(value: Any) -> str | None:
    """The UUID of a reference, unless it is none."""
    written = value.get("uuid", "") if isinstance(value, dict) else ""
    return written if re.fullmatch("[0-9a-f-]{36}", written) else None
