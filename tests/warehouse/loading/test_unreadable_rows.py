"""Rows that cannot be read are put aside with their reason, and nothing around them is lost."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.warehouse.loading.loader import ONE, TWO, Loader, Row, contact, message
from warehouse import Loaded

NO_OBJECTS = ["[1]", '"x"', "5", "true", "null", "{}", "[]"]
UNREADABLE: dict[str, list[Row | str]] = {
    "messages": [
        *NO_OBJECTS,
        message(created_on="yesterday"),
        message(created_on="2026-02-30T00:00:00Z"),
        message(created_on=5),
        message(created_on=None),
        {"id": 4, "text": "no date"},
        {"created_on": "2026-03-01T00:00:00Z", "text": "no id"},
        message(None),  # type: ignore[arg-type]
        message("abc"),  # type: ignore[arg-type]
        message(True),
        message(10**20),
        message({"id": 1}),  # type: ignore[arg-type]
        message(uuid="abc"),
        message(sent_on="later"),
        message(contact="Ann"),
        message(contact=5),
        message(contact=[ONE]),
        message(contact={}),
        message(contact={"uuid": None, "name": "Ann"}),
        message(contact={"uuid": "abc", "name": "Ann"}),
        message(channel={"name": "WhatsApp"}),
        message(flow="Survey"),
        message(labels="Spam"),
        message(labels={}),
        message(labels=["Spam"]),
        message(labels=[None]),
        message(labels=[{"name": "Spam"}]),
        message(attachments=["image:https://x"]),
        message(attachments={"a": 1}),
        message(archived="maybe"),
        message(broadcast="all"),
        message(urn={"scheme": "tel", "path": "1"}),
        message(text=["a"]),
        message(labels=[{"uuid": ONE, "name": {}}]),
        '{"id":4,"id":4,"created_on":"2026-03-01T00:00:00Z"}',
        '{"id":5,"created_on":"2026-03-01T00:00:00Z","new":{"a":1},"new":2}',
    ],
    "contacts": [
        *NO_OBJECTS,
        contact(None),  # type: ignore[arg-type]
        contact("abc"),
        contact(modified_on="yesterday"),
        contact(fields=[]),
        contact(fields="none"),
        contact(urns="tel:1"),
        contact(urns={"tel": "1"}),
        contact(urns=[{"scheme": "tel", "path": "1"}]),
        contact(urns=[["tel", "1"]]),
        contact(groups=["Farmers"]),
        contact(groups=[{"uuid": "abc", "name": "Farmers"}]),
        contact(notes=[{"text": "no date"}]),
        contact(notes="a note"),
        contact(flow=ONE),
        contact(blocked="perhaps"),
        contact(name={"first": "Ann"}),
        contact(fields={"age": ["5"]}),
    ],
    "runs": [
        *NO_OBJECTS,
        *(
            {"uuid": ONE, "created_on": "2026-03-01T00:00:00Z", "modified_on": "2026-03-01T00:00:00Z", **wrong}
            for wrong in (
                {"uuid": None},
                {"created_on": None},
                {"values": "none"},
                {"values": ["a"]},
                {"values": [{"age": "5"}]},
                {"values": {"age": "5"}},
                {"values": {"age": 5}},
                {"values": {"age": None}},
                {"path": "start"},
                {"path": ["start"]},
                {"path": {"node": ONE}},
                {"path": [{"node": "abc", "time": "2026-03-01T00:00:00Z"}]},
                {"start": TWO},
                {"responded": "maybe"},
            )
        ),
    ],
}
GOOD: dict[str, Callable[[int], Row]] = {
    "messages": lambda number: message(1000 + number),
    "contacts": lambda number: contact(f"{number:08}-0000-4000-8000-00000000000a"),
    "runs": lambda number: {"uuid": f"{number:08}-0000-4000-8000-00000000000b", "created_on": "2026-03-01T00:00:00Z"},
}


@pytest.mark.parametrize("stream", UNREADABLE)
def test_rows_that_cannot_be_read_are_put_aside_once_and_those_around_them_load(stream: str, loader: Loader) -> None:
    bad = [row if isinstance(row, str) else json.dumps(row) for row in UNREADABLE[stream]]
    mixed = [line for number, row in enumerate(bad) for line in (row, json.dumps(GOOD[stream](number)))]
    batch, loaded = loader.load(stream, *mixed)
    assert (batch.rows, batch.unreadable) == (len(mixed), len(bad))
    aside = loader.lake.rows("SELECT record, stream, source FROM _quarantine")
    assert sorted(aside) == sorted((row, stream, "api") for row in bad)
    assert loaded == Loaded(new=len(bad), quarantined=len(bad))
    assert loader.load(stream, *mixed)[1] == Loaded(equal=len(bad))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (message("abc"), "id does not fit BIGINT"),  # type: ignore[arg-type]
        (message(created_on="yesterday"), "created_on does not fit TIMESTAMP WITH TIME ZONE"),
        (message(labels="Spam"), "labels does not fit STRUCT"),
        (message(attachments=["x"]), "attachments does not fit STRUCT"),
        (message(contact={}), "contact_uuid does not fit UUID"),
        ({"created_on": "2026-03-01T00:00:00Z"}, "id and uuid, or created_on is missing"),
        (message(contact={}, labels="Spam"), "contact_uuid does not fit UUID; labels does not fit STRUCT"),
    ],
)
def test_the_reason_says_what_does_not_fit(row: Row, reason: str, loader: Loader) -> None:
    batch, _ = loader.load("messages", message(1000), row)
    assert reason in (batch.reason or "")
    [(stored,)] = loader.lake.rows("SELECT reason FROM _quarantine")
    assert reason in stored


def test_each_row_has_a_reason_of_its_own(loader: Loader) -> None:
    changes: dict[str, Row] = {
        "labels": {"labels": "Spam"},
        "attachments": {"attachments": ["x"]},
        "contact_uuid": {"contact": {}},
    }
    rows = {number: column for number, column in enumerate([*changes] * 20)}
    loader.load("messages", *(message(number, **changes[column]) for number, column in rows.items()))
    reasons = loader.lake.rows("SELECT (record::JSON ->> 'id')::INT, reason FROM _quarantine")
    assert {number: reason.partition(" does not fit ")[0] for number, reason in reasons} == rows


def test_no_reason_holds_a_value_of_the_row(loader: Loader) -> None:
    secrets: list[Row] = [
        {"labels": "secret"}, {"contact": {"secret": "secret"}}, {"created_on": "secret"}, {"attachments": ["secret"]},
    ]  # fmt: skip
    texts = [json.dumps(message(number, **secret)) for number, secret in enumerate(secrets)]
    broken = ['{"secret":NaN}', '{"secret', '"secret"', '{"uuid":{"secret":1,"secret":1},"text":"\\ud800"}']
    loader.load("messages", *texts, *broken)
    assert len(loader.lake.rows("FROM _quarantine")) == len(texts + broken)
    assert loader.lake.rows("FROM _quarantine WHERE reason LIKE '%secret%'") == []


def test_the_same_text_in_two_streams_is_put_aside_for_each(loader: Loader) -> None:
    for stream in GOOD:
        assert loader.load(stream, "[1]")[1] == Loaded(quarantined=1)
    assert {stream for (stream,) in loader.lake.rows("SELECT stream FROM _quarantine")} == set(GOOD)


def test_a_row_that_is_mended_on_the_server_loads(loader: Loader) -> None:
    loader.load("messages", message(1, labels="Spam"))
    assert loader.load("messages", message(1, labels=[]))[1] == Loaded(new=1)


def test_a_row_with_a_key_twice_leaves_once_it_comes_without(loader: Loader) -> None:
    loader.load("messages", '{"id":1,"created_on":"2026-03-01T00:00:00Z","contact":{"uuid":null,"uuid":null}}')
    assert loader.lake.rows("SELECT key, reason FROM _quarantine") == [("1", "a key stands twice in one object")]
    assert loader.load("messages", message(1))[1] == Loaded(new=1)
    assert loader.lake.rows("FROM _quarantine") == []


def test_values_of_another_type_that_can_be_read_are(loader: Loader) -> None:
    loader.load("messages", message(text=5, broadcast="7", archived=1))
    assert loader.lake.rows("SELECT text, broadcast, archived FROM messages") == [("5", 7, True)]


def test_a_line_that_is_not_json_is_quarantined_and_the_others_load(loader: Loader) -> None:
    loader.used.add("_quarantine")
    broken = '{"uuid":"x","name":"cut'
    loader.load("contacts", json.dumps(GOOD["contacts"](1)), broken)
    assert loader.lake.rows("SELECT count(*) FROM contacts") == [(1,)]
    [(record, reason)] = loader.lake.rows("SELECT record, reason FROM _quarantine")
    assert (record, reason.partition(":")[0]) == (broken, "not JSON")
