"""Flow and campaign definitions: from the dump where it has them, else small valid ones made from the listed rows."""

import json
import uuid
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from sandbox.workspace.contents import Workspace
from sandbox.workspace.generations import Generation

SPEC_VERSION = "13.2.0"
DEPENDENCIES = ("none", "flows", "all")
_UNITS = {"minutes": "M", "hours": "H", "days": "D", "weeks": "W"}
_TYPES = {"message": "messaging", "voice": "voice", "background": "messaging_background", "survey": "messaging_offline"}


def export(workspace: Workspace, flows: Iterable[str], campaigns: Iterable[str], dependencies: str) -> dict[str, Any]:
    """Return what the definitions endpoint answers for the uuids asked for; unknown ones are left out."""
    stored = dict(_stored(workspace))
    campaign_rows = [row for key in dict.fromkeys(campaigns) if (row := workspace.row("campaigns", key))]
    events = {row["uuid"]: _events(workspace, row["uuid"]) for row in campaign_rows}
    wanted = list(flows)
    if dependencies != "none":
        wanted += [event["flow"]["uuid"] for each in events.values() for event in each if event["flow"]]
    stored |= {key: _migrated(workspace, stored[key]) for key in stored.keys() & wanted if workspace.row("flows", key)}
    found = [definition for key in dict.fromkeys(wanted) if (definition := stored.get(key) or _flow(workspace, key))]
    fields: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    if dependencies == "all" and campaign_rows:
        used = {event["relative_to"]["key"] for each in events.values() for event in each}
        fields = [_pick(row, "key", "name", "type") for row in workspace.rows("fields") if row["key"] in used]
        named = {row["group"]["uuid"] for row in campaign_rows}
        groups = [_pick(row, "uuid", "name", "query") for row in workspace.rows("groups") if row["uuid"] in named]
    return {
        "version": "13",
        "site": "https://app.rapidpro.io",
        "flows": found,
        "campaigns": [_campaign(row, events[row["uuid"]]) for row in campaign_rows],
        "triggers": [],
        "fields": fields,
        "groups": groups,
    }


def _stored(workspace: Workspace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the definitions of a dump: each line is one flow, or a whole answer of the endpoint."""
    for served in workspace.served("definitions"):
        line = json.loads(served.body)
        for flow in line.get("flows", [line]):
            yield flow["uuid"], flow


def _migrated(workspace: Workspace, definition: dict[str, Any]) -> dict[str, Any]:
    """Return a definition in the language of today; 9.0 writes it so as a new revision, which modifies the flow."""
    version = str(definition.get("spec_version", SPEC_VERSION))
    if workspace.generation is not Generation.NINE or version >= SPEC_VERSION:
        return definition
    migrated = {**definition, "spec_version": SPEC_VERSION, "revision": definition.get("revision", 1) + 1}
    workspace.put("definitions", migrated)
    workspace.edit("flows", [definition["uuid"]], changes={})
    return migrated


def _pick(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row.get(name) for name in names}


def _events(workspace: Workspace, campaign: str) -> list[dict[str, Any]]:
    return [row for row in workspace.rows("campaign_events") if row["campaign"]["uuid"] == campaign]


def _campaign(row: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "uuid": row["uuid"],
        "name": row["name"],
        "group": row["group"],
        "events": [_event(event) for event in events],
    }


def _event(row: dict[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = {
        "uuid": row["uuid"],
        "offset": row["offset"],
        "unit": _UNITS[row["unit"]],
        "event_type": "F" if row["flow"] else "M",
        "delivery_hour": row["delivery_hour"],
        "message": row["message"],
        "relative_to": {"label": row["relative_to"]["label"], "key": row["relative_to"]["key"]},
        "start_mode": "I",
    }
    return event | ({"flow": row["flow"]} if row["flow"] else {"base_language": "und"})


def _flow(workspace: Workspace, key: str) -> dict[str, Any] | None:
    """Make a definition: one question for each result, each with its categories and a French translation."""
    row = workspace.row("flows", key)
    if row is None:
        return None
    nodes = [node for result in row["results"] for node in _question(key, result)]
    for node, following in pairwise(nodes):
        for way_out in node["exits"]:
            way_out["destination_uuid"] = following["uuid"]
    return {
        "uuid": key,
        "name": row["name"],
        "spec_version": SPEC_VERSION,
        "language": "eng",
        "type": _TYPES.get(row["type"], "messaging"),
        "revision": 1,
        "expire_after_minutes": row["expires"],
        "localization": {
            "fra": {
                action["uuid"]: {"text": [f"Question : {result['name']} ?"]}
                for result, node in zip(row["results"], nodes, strict=False)
                for action in node["actions"]
            }
        },
        "nodes": nodes,
        "_ui": {},
    }


def _question(flow: str, result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for node in result["node_uuids"][:1]:
        names = result["categories"] or ["All Responses"]
        categories = [
            {"uuid": _derived(node, name), "name": name, "exit_uuid": _derived(node, name, "exit")} for name in names
        ]
        yield {
            "uuid": node,
            "actions": [{"uuid": _derived(flow, node), "type": "send_msg", "text": f"Question: {result['name']}?"}],
            "router": {
                "type": "switch",
                "wait": {"type": "msg"},
                "operand": "@input.text",
                "result_name": result["name"],
                "cases": [
                    {
                        "uuid": _derived(node, category["name"], "case"),
                        "type": "has_any_word",
                        "arguments": [category["name"]],
                        "category_uuid": category["uuid"],
                    }
                    for category in categories[:-1]
                ],
                "categories": categories,
                "default_category_uuid": categories[-1]["uuid"],
            },
            "exits": [{"uuid": category["exit_uuid"], "destination_uuid": None} for category in categories],
        }


def _derived(*parts: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(parts)))
