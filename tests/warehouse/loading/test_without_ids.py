"""Messages and broadcasts whose server takes their ids away: each is one row, whichever keys are told when."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from pipeline.streams import STREAMS
from tests.lakes import new_lake
from tests.warehouse.loading.loader import Loader
from warehouse import Batch, Lake, Loaded, forget_batch, merge, refresh_views, stage

Row = dict[str, Any]

DAY = date(2026, 3, 1)
# What servers of three generations and their archives say of one message: whether it has an id, and which uuid.
API = {"9.0": (True, None), "26.3": (True, "true"), "next": (False, "true")}
ARCHIVED = {"old": (True, None), "filled in": (True, "invented"), "of the next": (False, "true")}
FORMS = API | ARCHIVED
# Of the archives one at a time: a file is of one archiver.
ORDERS = [order for one in ARCHIVED for order in permutations([*API, one])] + list(permutations(["next", *ARCHIVED]))


@dataclass(frozen=True)
class Case:
    """A message, and the order in which its forms come."""

    number: int
    order: tuple[str, ...]

    def row(self, form: str) -> Row:
        has_id, kind = FORMS[form]
        return {
            **({"id": self.number} if has_id else {}),
            **({"uuid": uuid_of(self.number, kind)} if kind else {}),
            "contact": {"uuid": uuid_of(self.number, "contact"), "name": "Ann"},
            "direction": "in", "status": "handled", "text": f"hello {self.number // 2}",
            "created_on": f"2026-03-01T00:00:{self.number // 8:02}.{self.number % 8 // 2:06}Z",
            "modified_on": "2026-03-01T00:00:00Z",
        }  # fmt: skip

    def expected(self, place: int) -> tuple[Any, ...]:
        told = [FORMS[form] for form in self.order[: place + 1]]
        read = [FORMS[form] for form in self.order[: place + 1] if form in API]
        uuids = [kind for _, kind in told if kind]
        # A uuid that the API told is never given up; of archives the first one counts.
        kind = "true" if ("true" in [kind for _, kind in read]) else uuids[0] if uuids else None
        archived = any(form in ARCHIVED for form in self.order[: place + 1])
        return (
            self.number if any(has_id for has_id, _ in told) else None,
            uuid_of(self.number, kind) if kind else None,
            "archive" if archived else "api",
        )


CASES = [Case(number, order) for number, order in enumerate(ORDERS, 1)]


def uuid_of(number: int, kind: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}"))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with Lake.create(new_lake(tmp_path_factory.mktemp("ids") / "lake")) as made:
        yield made


def load(
    lake: Lake, folder: Path, stream: str, rows: list[Row], archived_in: date | None = None
) -> tuple[Batch, Loaded]:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with lake.connection() as connection:
        batch = stage(connection, STREAMS[stream].table, [file], archived_in=archived_in, strictly_first=True)
        loaded = lake.commit(lambda connection: merge(connection, batch))
        forget_batch(connection)
    return batch, loaded


def test_a_message_is_one_row_whatever_servers_and_archives_tell_of_its_keys_in_any_order(
    lake: Lake, tmp_path: Path
) -> None:
    for place in range(len(ORDERS[0])):
        for forms, archived_in in ((API, None), (ARCHIVED, DAY)):
            rows = [case.row(case.order[place]) for case in CASES if case.order[place] in forms]
            batch, loaded = load(lake, tmp_path, "messages", rows, archived_in)
            assert (batch.unreadable, loaded.new) == (0, len(rows) if place == 0 else 0)
        stored = lake.rows("SELECT id, uuid::VARCHAR, source, contact_uuid::VARCHAR FROM messages")
        assert len(stored) == len(CASES)
        of_contact = {contact: keys for *keys, contact in stored}
        found = {case: tuple(of_contact[uuid_of(case.number, "contact")]) for case in CASES}
        assert found == {case: case.expected(place) for case in CASES}


def test_broadcasts_are_one_row_each_whichever_generation_lists_them(loader: Loader) -> None:
    def broadcast(number: int, form: str) -> Row:
        has_id, kind = API[form]
        return {
            **({"id": number} if has_id else {}), **({"uuid": uuid_of(number, kind)} if kind else {}),
            "status": form, "text": {"eng": "hello"}, "base_language": "eng",
            "created_on": f"2026-03-01T00:00:{number:02}Z",
        }  # fmt: skip

    orders = dict(enumerate(permutations(API)))
    for place in range(len(API)):
        loader.load("broadcasts", *[broadcast(number, order[place]) for number, order in orders.items()])
        assert loader.lake.rows("SELECT count(*) FROM broadcasts") == [(len(orders),)]
    assert loader.lake.rows("SELECT id, uuid::VARCHAR, status FROM broadcasts ORDER BY id") == [
        (number, uuid_of(number, "true"), order[-1]) for number, order in orders.items()
    ]


def message(number: int | None, kind: str | None, **changes: Any) -> Row:
    """A message of the same second, contact and text as all others made so."""
    return {
        **({"id": number} if number else {}), **({"uuid": uuid_of(0, kind)} if kind else {}),
        "contact": {"uuid": uuid_of(0, "contact"), "name": "Ann"}, "direction": "out", "status": "wired",
        "text": "hello", "created_on": "2026-03-01T00:00:00Z", **changes,
    }  # fmt: skip


def keys(loader: Loader) -> list[tuple[Any, ...]]:
    loader.used.add("message_history")
    known = {uuid_of(0, kind): kind for kind in ("A", "B", "C", "invented A", "invented B")}
    found = loader.lake.rows("SELECT id, uuid::VARCHAR, status FROM messages ORDER BY ALL")
    return [(number, known.get(kind), status) for number, kind, status in found]


def test_messages_of_the_same_content_are_paired_one_by_one(loader: Loader) -> None:
    loader.load("messages", message(1, None), message(2, None))
    loader.load("messages", message(None, "A"), message(None, "B"), message(None, "C", status="sent"))
    assert keys(loader) == [(1, "A", "wired"), (2, "B", "wired"), (None, "C", "sent")]
    loader.load("messages", message(3, None, status="delivered"))
    assert keys(loader) == [(1, "A", "wired"), (2, "B", "wired"), (3, "C", "delivered")]


def test_a_message_whose_uuid_the_api_told_is_no_other_one_of_the_same_content(loader: Loader) -> None:
    loader.load("messages", message(1, "A"))
    loader.load("messages", message(None, "B"))
    assert keys(loader) == [(1, "A", "wired"), (None, "B", "wired")]
    loader.load("messages", message(None, "A", status="sent"), message(None, "B", status="sent"))
    assert keys(loader) == [(1, "A", "sent"), (None, "B", "sent")]


def test_ids_decide_where_both_have_one_though_their_uuids_are_the_same_or_swapped(loader: Loader) -> None:
    loader.load("messages", message(1, "A"), message(2, "B"))
    loader.load("messages", message(1, "B", status="sent"), message(2, "A", status="failed"), message(3, "A"))
    assert keys(loader) == [(1, "B", "sent"), (2, "A", "failed"), (3, "A", "wired")]


def test_a_batch_in_which_the_ids_stop_has_each_message_once_in_its_later_state(loader: Loader) -> None:
    _, loaded = loader.load(
        "messages",
        message(1, "A"),
        message(None, "A", status="sent"),
        message(None, "B"),
        message(2, "B", status="sent"),
    )
    assert (loaded.new, loaded.double) == (2, 2)
    assert keys(loader) == [(1, "A", "sent"), (2, "B", "sent")]


def test_two_rows_that_turn_out_to_be_one_message_become_one_with_the_later_state_and_both_histories(
    loader: Loader,
) -> None:
    loader.load("messages", message(1, None, text="as first written"))
    loader.load("messages", message(1, None, text="as first written", status="sent"))
    loader.load("messages", message(None, "A"))
    loader.load("messages", message(None, "A", status="delivered"))
    assert keys(loader) == [(1, None, "sent"), (None, "A", "delivered")]
    loader.load("messages", message(1, "A", status="read"))
    assert keys(loader) == [(1, "A", "read")]
    history = "SELECT id, from_value, to_value FROM message_history ORDER BY changed_by, from_value"
    assert loader.lake.rows(history) == [
        (1, "wired", "sent"), (1, "wired", "delivered"), (1, "delivered", "read"),
    ]  # fmt: skip


def test_rows_with_odd_texts_take_their_ids_and_are_read_back_by_others(loader: Loader) -> None:
    labels = [{"uuid": uuid_of(0, "label"), "name": "it's } \"{ odd"}]
    loader.load("messages", message(None, "A", labels=labels))
    loader.load("messages", message(1, "A", labels=labels))
    loader.load("messages", message(None, "B", labels=labels, text="other"), message(2, None, labels=labels, text="2"))
    loader.load("messages", message(2, "B", labels=labels, text="2"))
    with Lake.open(loader.lake.path) as anew:
        assert anew.rows("SELECT id, labels[1].name FROM messages ORDER BY id") == [
            (1, labels[0]["name"]), (2, labels[0]["name"]),
        ]  # fmt: skip


def test_views_show_messages_and_broadcasts_without_ids_by_their_uuids(loader: Loader) -> None:
    label = {"uuid": uuid_of(0, "label"), "name": "Urgent"}
    file = {"content_type": "image/png", "url": "https://example.com/a.png"}
    answer = message(None, "B", direction="in", created_on="2026-03-01T00:01:00Z", labels=[label], attachments=[file])
    loader.load("messages", message(None, "A"), answer)
    loader.load("messages", message(None, "A", status="delivered"))
    loader.load("broadcasts", {"uuid": uuid_of(0, "C"), "text": {"eng": "hello"}, "created_on": "2026-03-01T00:00:00Z"})
    refresh_views(loader.lake)
    of = uuid_of(0, "A"), uuid_of(0, "B"), uuid_of(0, "C")
    assert [
        loader.lake.rows(f"SELECT {columns} FROM {view}")
        for view, columns in (
            ("delivery_times", "message_id, message_uuid::VARCHAR"),
            ("response_times", "message_id, message_uuid::VARCHAR, seconds"),
            ("message_labels", "message_id, message_uuid::VARCHAR, label_name"),
            ("message_attachments", "message_id, message_uuid::VARCHAR, number"),
            ("broadcast_translations", "broadcast_id, broadcast_uuid::VARCHAR, text"),
            ("broadcast_reach", "broadcast_id, broadcast_uuid::VARCHAR, messages, reached, delivered, sent, failed"),
        )
    ] == [
        [(None, of[0])], [(None, of[1], 60.0)], [(None, of[1], "Urgent")], [(None, of[1], 1)],
        [(None, of[2], "hello")], [(None, of[2], None, None, None, None, None)],
    ]  # fmt: skip


def test_a_row_that_waits_in_quarantine_without_an_id_leaves_when_it_comes_with_one(loader: Loader) -> None:
    batch, _ = loader.load("messages", message(None, "A", sent_on="yesterday"), message(None, None))
    assert (batch.unreadable, batch.reason) == (2, "sent_on does not fit TIMESTAMP WITH TIME ZONE")
    assert loader.lake.rows("SELECT key, reason FROM _quarantine ORDER BY key NULLS LAST") == [
        (uuid_of(0, "A"), "sent_on does not fit TIMESTAMP WITH TIME ZONE"),
        (None, "id and uuid, or created_on is missing"),
    ]
    loader.load("messages", message(1, "A"))
    assert loader.lake.rows("SELECT key FROM _quarantine") == [(None,)]
