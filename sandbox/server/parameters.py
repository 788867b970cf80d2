"""From query parameters to a listing: what counts, what is ignored and what is refused, as on RapidPro 9.0."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sandbox.workspace import dates
from sandbox.workspace.endpoints import Endpoint, Filter, Order
from sandbox.workspace.generations import IDENTIFIED, LISTED_BY_NINE, LISTING_DELETED, Generation, id_of
from sandbox.workspace.rows import DELETED_CONTACTS
from sandbox.workspace.store import Condition, Listing

Params = Mapping[str, Sequence[str]]  # every value of every parameter, in the order sent

_VISIBLE: Condition = ("hidden = 0", ())
_FOLDERS = ("inbox", "flows", "archived", "outbox", "sent", "failed")
_LOOKUPS = ("key", "id", "contact")


class BadRequest(ValueError):
    """The server answers 400 with this text."""


class ServerFault(ValueError):
    """The server breaks on this value and answers 500."""


def last(params: Params, name: str) -> str | None:
    """Return the value that counts when a parameter is repeated: the last."""
    values = params.get(name)
    return values[-1] if values else None


def is_true(text: str | None) -> bool:
    """Read a boolean parameter: anything but these four words is false."""
    return (text or "").lower() in ("true", "y", "yes", "1")


def build_listing(
    endpoint: Endpoint, params: Params, *, anonymous: bool = False, generation: Generation | None = None
) -> Listing:
    """Turn the parameters of a request into the rows to list; raise `BadRequest` or `ServerFault` like the server."""
    _refuse_exclusive(endpoint, params)
    if anonymous and endpoint.name == "contacts" and last(params, "urn"):
        raise BadRequest("URN lookups not allowed for anonymous organizations")
    listing = Listing(endpoint.name, endpoint.order, endpoint.descending, (_VISIBLE,))
    date_column = endpoint.dates
    if endpoint.name == "contacts" and is_true(last(params, "deleted")):
        listing = replace(listing, table=DELETED_CONTACTS)
    if endpoint.name == "globals" and (last(params, "after") or last(params, "before")):
        listing = replace(listing, conditions=())
    if endpoint.name in LISTING_DELETED and generation is Generation.NINE:
        listing = replace(listing, conditions=((f"hidden IN (0, {LISTED_BY_NINE})", ()),))
    if endpoint.name == "runs" and last(params, "paths") is not None:
        listing = replace(listing, without_paths=not is_true(last(params, "paths")))
    if endpoint.name == "messages" and (folder := last(params, "folder")):
        listing, date_column = _folder(listing, folder)
    if endpoint.reversible and is_true(last(params, "reverse")):
        listing = replace(listing, descending=False)
    for rule in endpoint.filters:
        if rule.param != "id" or generation is not Generation.WITHOUT_IDS or endpoint.name not in IDENTIFIED:
            listing = _apply(listing, rule, params)
    if endpoint.name in IDENTIFIED and generation not in (None, Generation.NINE):
        listing = _by_uuid(listing, last(params, "uuid"))
    return _between(listing, endpoint, date_column, params)


def _refuse_exclusive(endpoint: Endpoint, params: Params) -> None:
    if sum(bool(last(params, name)) for name in endpoint.exclusive) > 1:
        raise BadRequest(f"You may only specify one of the {', '.join(endpoint.exclusive)} parameters")


def _folder(listing: Listing, folder: str) -> tuple[Listing, Order]:
    """Narrow messages to a folder; `incoming` is sorted and filtered by modified_on and shows deleted ones too."""
    if folder == "incoming":
        shown = ("folder IN ('inbox', 'flows', 'archived', 'deleted')", ())
        return replace(listing, order="modified", conditions=(shown,)), "modified"
    if folder.lower() not in _FOLDERS:
        return replace(listing, empty=True), "created"
    order = "sent" if folder.lower() == "sent" else listing.order
    chosen = (*listing.conditions, ("folder = ?", (folder.lower(),)))
    return replace(listing, order=order, conditions=chosen), "created"


def _apply(listing: Listing, rule: Filter, params: Params) -> Listing:
    if rule.kind == "many":
        values = [value for value in params.get(rule.param, ()) if value]
        condition = f"{rule.where} IN ({', '.join('?' * len(values))})"
        return _narrow(listing, condition, *values) if values else listing
    text = last(params, rule.param)
    if not text or (rule.choices and text not in rule.choices):
        return listing
    if rule.kind == "when true":
        return _narrow(listing, rule.where) if is_true(text) else listing
    value: object = text
    if rule.kind == "boolean":
        value = int(is_true(text))
    elif rule.kind.startswith("integer"):
        value = _integer(rule, text)
    elif rule.kind.startswith("uuid"):
        value = _uuid(rule, text)
    elif rule.param == "urn":
        value = text.split("#")[0].split("?")[0]
    column = rule.where.split(" = ")[0]
    if column in _LOOKUPS:
        listing = replace(listing, lookups=(*listing.lookups, column))
    slots = rule.where.count("?")
    return _narrow(listing, rule.where.replace("?1", "?"), *[value] * slots)


def _by_uuid(listing: Listing, text: str | None) -> Listing:
    """Narrow messages or broadcasts to the one with a uuid, which stands in its row or is made of its id and date."""
    if not text:
        return listing
    try:
        number, milliseconds = id_of(text)
    except ValueError as error:
        raise BadRequest("Value for uuid must be a valid UUID") from error
    own = "json_extract(body, '$.uuid')"
    made = f"({own} IS NULL AND id = ? AND created / 1000 = ?)"
    return _narrow(listing, f"{own} = ? OR {made}", text, number, milliseconds)


def _integer(rule: Filter, text: str) -> int:
    try:
        number = int(text)
    except ValueError as error:
        if rule.kind == "integer":
            raise BadRequest(f"Value for {rule.param} must be an integer") from error
        raise ServerFault(text) from error
    return number if abs(number) < 2**63 else -(2**63)  # matches no row


def _uuid(rule: Filter, text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        if rule.kind == "uuid or 400":
            raise BadRequest(f"Value for {rule.param} must be a valid UUID") from error
        raise ServerFault(text) from error


def _between(listing: Listing, endpoint: Endpoint, column: Order | None, params: Params) -> Listing:
    """Apply `after` and `before`: both inclusive; an empty value is ignored, an unreadable one finds nothing."""
    if column is None:
        return listing
    for name, sign in (("after", ">="), ("before", "<=")):
        text = last(params, name)
        if not text:
            continue
        moment = dates.read_parameter(text)
        if moment is None:
            return replace(listing, empty=True)
        if endpoint.name == "archives":
            moment -= moment % dates.DAY
        listing = _narrow(listing, f"{column} {sign} ?", moment)
    return listing


def _narrow(listing: Listing, sql: str, *arguments: object) -> Listing:
    return replace(listing, conditions=(*listing.conditions, (sql, arguments)))
