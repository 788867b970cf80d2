"""One truth: a row may come as a server or an archive of any generation writes it, and in any order of arrival.

The bodies have the keys of those in the official client's tests and in recordings of a server.
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import permutations
from pathlib import Path

import pytest

from pipeline.streams import STREAMS
from tests.lakes import new_lake
from tests.truth import Row, differences, every_row, expected_rows
from warehouse import Lake, forget_batch, merge, stage

DAY = date(2026, 3, 28)
AT, LATER = "2026-03-28T12:51:36.206000Z", "2026-03-28T12:53:00Z"
Form = Callable[[int], Row]  # the row of a number as somebody writes it


def uid(kind: str, number: int = 0) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}"))


def ref(kind: str, name: str) -> Row:
    return {"uuid": uid(kind), "name": name}


def without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}


def as_archived(row: Row) -> Row:
    """A row with its dates as archives write them."""
    return json.loads(json.dumps(row).replace('Z"', '+00:00"'))  # type: ignore[no-any-return]


# -- messages --


def message(number: int) -> Row:
    """As version 9.0 lists it."""
    return {
        "id": number, "broadcast": 7, "contact": ref("contact", "Frank"), "urn": "telegram:104712#frank_4712",
        "channel": ref("channel", "Telegram"), "direction": "in", "type": "text", "status": "handled",
        "archived": True, "visibility": "archived", "text": f"I'm good {number}", "labels": [ref("label", "Important")],
        "flow": ref("flow", "Register"), "attachments": [{"content_type": "image/png", "url": "https://example.org/a"}],
        "created_on": AT, "sent_on": None, "modified_on": LATER,
    }  # fmt: skip


def message_26(number: int) -> Row:
    replies = [{"type": "text", "text": "Yes"}]
    return {"uuid": uid("message", number), **message(number), "quick_replies": replies}


def archived_message(number: int) -> Row:
    """As the archiver of version 9.0 writes it."""
    return as_archived(without(message(number), "archived")) | {"urn": "telegram:104712"}


def archived_message_26(number: int) -> Row:
    return {"uuid": uid("message", number), **archived_message(number), "ticket_uuid": uid("ticket")}


MESSAGES: dict[str, Form] = {
    "2016": lambda number: without(message(number), "visibility", "flow", "attachments") | {"type": "inbox"},
    "9.0": message,
    "26.3": message_26,
    "next": lambda number: without(message_26(number), "id", "broadcast"),
}
# Of one message there is one archived form, and the one that a command of 26.3 has made of it, with an invented uuid.
ARCHIVED_MESSAGES: list[dict[str, Form]] = [
    {},
    {
        "archive of 9.0": archived_message,
        "filled in": lambda number: {"uuid": uid("invented", number), **archived_message(number)},
    },
    {"archive of 2018": lambda number: without(archived_message(number), "flow", "modified_on") | {"type": "inbox"}},
    {"archive of 26.3": archived_message_26},
    {"archive of the next": lambda number: without(archived_message_26(number), "id", "broadcast")},
]


# -- runs --


def run(number: int) -> Row:
    """As version 9.0 lists it."""
    result = {"value": "blue", "category": "Blue", "node": uid("node"), "time": AT, "name": "Color", "input": "blue!"}
    return {
        "id": number, "uuid": uid("run", number), "flow": ref("flow", "Survey"),
        "contact": ref("contact", "Frank") | {"urn": "tel:+250788000001", "urn_display": "0788 000 001"},
        "start": {"uuid": uid("start")}, "responded": True, "path": [{"node": uid("node"), "time": AT}],
        "values": {"color": result}, "created_on": AT, "modified_on": LATER, "exited_on": LATER,
        "exit_type": "completed",
    }  # fmt: skip


def archived_run(number: int) -> Row:
    """As the archiver of version 9.0 writes it."""
    row = as_archived(without(run(number), "start"))
    return row | {"contact": ref("contact", "Frank"), "submitted_by": "eva"}


def run_26(number: int) -> Row:
    """As version 26.3 lists it: what the contact wrote for a result is not told any more."""
    row = run(number)
    return row | {"values": {key: without(result, "input") for key, result in row["values"].items()}}


RUNS: dict[str, Form] = {"9.0": run, "26.3": run_26}
ARCHIVED_RUNS: list[dict[str, Form]] = [
    {},
    {
        "archive of 2018": lambda number: (
            without(archived_run(number), "uuid", "submitted_by") | {"values": [archived_run(number)["values"]]}
        ),
    },
    {"archive of 9.0": archived_run, "archive of 26.3": lambda number: without(archived_run(number), "submitted_by")},
]


# -- broadcasts --


def broadcast(number: int) -> Row:
    """As version 9.0 lists it."""
    return {
        "id": number, "urns": ["tel:+250788000001"], "contacts": [ref("contact", "Joe")],
        "groups": [ref("group", "The A-Team")], "text": {"eng": "Hello"}, "attachments": {"eng": []},
        "base_language": "eng", "status": "queued", "created_on": f"2026-03-28T12:51:{number:02}Z",
    }  # fmt: skip


BROADCASTS: dict[str, Form] = {
    "9.0": broadcast,
    "26.3": lambda number: (
        {"uuid": uid("broadcast", number)} | broadcast(number) | {"quick_replies": {"eng": [{"text": "Yes"}]}}
    ),
}
BROADCASTS["next"] = lambda number: without(BROADCASTS["26.3"](number), "id")


# -- in every order --


@dataclass(frozen=True)
class Case:
    """A row, the forms of it in the order in which they come, and those of them that are of archives."""

    number: int
    order: tuple[str, ...]
    forms: Mapping[str, Form]
    archived: frozenset[str]


def every_order(api: Mapping[str, Form], archives: list[dict[str, Form]]) -> list[Case]:
    """A row for each order in which what the API and the archives of one kind say of it can come."""
    orders = [(archive, order) for archive in archives for order in permutations([*api, *archive])]
    return [
        Case(number, order, {**api, **archive}, frozenset(archive)) for number, (archive, order) in enumerate(orders, 1)
    ]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with Lake.create(new_lake(tmp_path_factory.mktemp("orders") / "lake")) as lake:
        yield lake


@pytest.mark.parametrize(
    ("stream", "complete", "cases", "archives_tell"),
    [
        ("messages", "26.3", every_order(MESSAGES, ARCHIVED_MESSAGES), {"ticket_uuid": uid("ticket")}),
        ("runs", "9.0", every_order(RUNS, ARCHIVED_RUNS), {"submitted_by": "eva"}),
        ("broadcasts", "26.3", every_order(BROADCASTS, [{}]), {}),
    ],
    ids=["messages", "runs", "broadcasts"],
)
def test_a_row_is_the_same_in_whatever_forms_and_order_it_came(
    stream: str, complete: str, cases: list[Case], archives_tell: Row, lake: Lake, tmp_path: Path
) -> None:
    for place in range(max(len(case.order) for case in cases)):
        arriving: dict[bool, list[Row]] = defaultdict(list)  # by whether they are of an archive
        for case in cases:
            if place < len(case.order):
                form = case.order[place]
                arriving[form in case.archived].append(case.forms[form](case.number))
        for archived, rows in arriving.items():
            load(lake, tmp_path, stream, rows, DAY if archived else None)

    with lake.connection() as connection:
        stored = every_row(connection, stream)
    assert len(stored) == len(cases)
    found = {row["id"]: row for row in stored}
    wrong = {}
    for case in cases:
        told = {name for form in case.order for name in case.forms[form](case.number)}
        truth = case.forms[complete](case.number) | {name: archives_tell[name] for name in archives_tell.keys() & told}
        [expected] = expected_rows(stream, [truth], []).values()
        if differing := differences(found[case.number], expected):
            wrong[case.order] = differing
    assert wrong == {}


def load(lake: Lake, folder: Path, stream: str, rows: list[Row], archived_in: date | None) -> None:
    """Load rows as a sync does, or as an archive is loaded."""
    file = folder / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    with lake.connection() as connection:
        batch = stage(connection, STREAMS[stream].table, [file], archived_in=archived_in, strictly_first=True)
        assert batch.unreadable == 0, batch.reason
        lake.commit(lambda connection: merge(connection, batch))
        forget_batch(connection)
