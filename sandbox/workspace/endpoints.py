"""The endpoints of API v2, declared: how each is sorted, filtered, throttled and guarded.

Seen on a running RapidPro 9.0 and in its source. An endpoint that lacks a date filter here ignores `after` and `before`
and answers with the whole list, exactly as the server does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Order = Literal["created", "modified", "sent", "key"]
Kind = Literal["text", "integer", "integer or 500", "uuid or 400", "uuid or 500", "boolean", "when true", "many"]


@dataclass(frozen=True)
class Filter:
    """One query parameter that narrows a listing, and the SQL condition it stands for."""

    param: str
    where: str
    kind: Kind = "text"
    choices: tuple[str, ...] = ()  # any other value is ignored


@dataclass(frozen=True)
class Endpoint:
    """What is particular about one endpoint."""

    name: str
    key: str = "uuid"
    order: Order = "created"
    dates: Order | None = None  # the column that `after` and `before` filter on; None: both are ignored
    reversible: bool = False  # does `reverse=true` turn the order round?
    filters: tuple[Filter, ...] = ()
    exclusive: tuple[str, ...] = ()  # at most one of these parameters, else 400
    scope: str = "v2"  # the throttle bucket
    allow: str = "GET, HEAD, OPTIONS"
    surveyor: bool = False  # may the Surveyor role read it?
    # Rows of a generated workspace, where nothing else brings any: a uuid is invented, dates are given as days ago.
    examples: tuple[Mapping[str, Any], ...] = ()

    @property
    def descending(self) -> bool:
        """True when the newest row comes first, as everywhere but in boundaries."""
        return self.order != "key"


_READ_WRITE = "GET, POST, HEAD, OPTIONS"
_READ_WRITE_DELETE = "GET, POST, DELETE, HEAD, OPTIONS"
_TEXT_UUID = Filter("uuid", "key = ?")
_NATIVE_UUID = Filter("uuid", "key = ?", "uuid or 500")
_CHECKED_UUID = Filter("uuid", "key = ?", "uuid or 400")
_ID = Filter("id", "id = ?", "integer")
_CONTACT = Filter("contact", "contact = ?")


def _json(path: str) -> str:
    return f"json_extract(body, '$.{path}') = ?"


def _extract(source: str, *paths: str) -> str:
    return "(" + ", ".join(f"json_extract({source}, '$.{path}')" for path in paths) + ")"


def _any_ref(path: str) -> str:
    return f"EXISTS (SELECT 1 FROM json_each(body, '$.{path}') WHERE ?1 IN {_extract('value', 'uuid', 'name')})"


_ALL = (
    Endpoint(
        "archives",
        key="",
        dates="created",
        filters=(
            Filter("archive_type", _json("archive_type")),
            Filter("period", _json("period"), choices=("daily", "monthly")),
        ),
    ),
    Endpoint("boundaries", key="osm_id", order="key", surveyor=True),
    Endpoint("broadcasts", key="id", dates="created", filters=(_ID,), scope="v2.broadcasts", allow=_READ_WRITE),
    Endpoint("campaigns", filters=(_NATIVE_UUID,), allow=_READ_WRITE),
    Endpoint(
        "campaign_events",
        filters=(
            _NATIVE_UUID,
            Filter("campaign", f"?1 IN {_extract('body', 'campaign.uuid', 'campaign.name')}"),
        ),
        allow=_READ_WRITE_DELETE,
    ),
    Endpoint("channels", filters=(_TEXT_UUID, Filter("address", _json("address")))),
    Endpoint("channel_events", key="id", dates="created", filters=(_ID, _CONTACT)),
    Endpoint(
        "classifiers",
        dates="created",
        filters=(_NATIVE_UUID,),
        examples=({"name": "Intents", "type": "wit", "intents": ["price", "danger_sign"], "created_on": 90},),
    ),
    Endpoint(
        "contacts",
        order="modified",
        dates="modified",
        reversible=True,
        filters=(
            _TEXT_UUID,
            Filter("urn", "EXISTS (SELECT 1 FROM json_each(body, '$.urns') WHERE value = ?1)"),
            Filter("group", _any_ref("groups")),
        ),
        scope="v2.contacts",
        allow=_READ_WRITE_DELETE,
        surveyor=True,
    ),
    Endpoint("fields", key="key", filters=(Filter("key", "key = ?"),), allow=_READ_WRITE, surveyor=True),
    Endpoint(
        "flow_starts",
        order="modified",
        dates="modified",
        reversible=True,
        filters=(_CHECKED_UUID, _ID),
        allow=_READ_WRITE,
    ),
    Endpoint(
        "flows",
        dates="modified",
        filters=(_TEXT_UUID, Filter("type", _json("type")), Filter("archived", _json("archived"), "boolean")),
        surveyor=True,
    ),
    Endpoint(
        "globals",
        key="key",
        order="modified",
        dates="modified",
        reversible=True,
        filters=(Filter("key", "key = ?"),),
        allow=_READ_WRITE,
    ),
    Endpoint(
        "groups",
        filters=(_TEXT_UUID, Filter("name", "lower(json_extract(body, '$.name')) = lower(?)")),
        exclusive=("uuid", "name"),
        allow=_READ_WRITE_DELETE,
        surveyor=True,
    ),
    Endpoint(
        "labels",
        filters=(_NATIVE_UUID, Filter("name", "lower(json_extract(body, '$.name')) = lower(?)")),
        exclusive=("uuid", "name"),
        allow=_READ_WRITE_DELETE,
    ),
    Endpoint(
        "messages",
        key="id",
        dates="created",
        filters=(
            _ID,
            _CONTACT,
            Filter("label", _any_ref("labels")),
            Filter("broadcast", _json("broadcast"), "integer or 500"),
        ),
        exclusive=("contact", "folder", "label", "broadcast"),
        scope="v2.messages",
        allow=_READ_WRITE,
    ),
    Endpoint("optins", allow=_READ_WRITE, examples=({"name": "News, weekly", "created_on": 80},)),
    Endpoint("resthooks", key="resthook", order="modified", reversible=True),
    Endpoint("resthook_events", key="", filters=(Filter("resthook", _json("resthook")),)),
    Endpoint(
        "resthook_subscribers",
        key="id",
        filters=(_ID, Filter("resthook", _json("resthook"))),
        allow=_READ_WRITE_DELETE,
    ),
    Endpoint(
        "runs",
        order="modified",
        dates="modified",
        reversible=True,
        filters=(
            _CHECKED_UUID,
            _ID,
            Filter("flow", "flow = ?1 AND ?1 IN (SELECT key FROM flows)"),
            _CONTACT,
            Filter("responded", "json_extract(body, '$.responded')", "when true"),
        ),
        exclusive=("contact", "flow"),
        scope="v2.runs",
    ),
    Endpoint("templates", order="modified", dates="modified", reversible=True),
    Endpoint(
        "tickets",
        order="modified",
        reversible=True,
        filters=(_NATIVE_UUID, Filter("ticket", "key = ?", "uuid or 500"), _CONTACT),
    ),
    Endpoint("topics", allow=_READ_WRITE),
    Endpoint("users", key="email", filters=(Filter("role", "json_extract(body, '$.role')", "many"),)),
    Endpoint("workspace"),
    Endpoint("statistics", key="date"),
    Endpoint("definitions", surveyor=True),
)

ENDPOINTS = {endpoint.name: endpoint for endpoint in _ALL}
UNLISTED = ("workspace", "statistics", "definitions")  # answer with an object of their own, without pages

# What the root of the API names, in its order; the actions exist for writing only.
# fmt: off
ROOT = (
    "archives", "boundaries", "broadcasts", "campaigns", "campaign_events", "channels", "channel_events",
    "classifiers", "contacts", "contact_actions", "fields", "flow_starts", "flows", "globals", "groups", "labels",
    "media", "messages", "message_actions", "resthooks", "resthook_events", "resthook_subscribers", "runs",
    "templates", "tickets", "ticket_actions", "topics", "users", "workspace",
)
# fmt: on
