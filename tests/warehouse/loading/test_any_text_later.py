"""What Rapidlake itself writes again keeps what people wrote: rows that go with a contact, or are gone, and history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given

from pipeline.reading.batches import Batches
from pipeline.reading.spool import Spool
from pipeline.results import Tally
from pipeline.streams import DIES_WITH_CONTACT, STREAMS
from tests.lakes import new_lake
from tests.readers import Reader, another_process
from tests.truth import assert_same
from tests.warehouse.loading.odd import CHANCES, Chance, Row, expected_of
from tests.warehouse.loading.test_any_text import examples, load
from warehouse import Lake, maintain

DYING = [table.name for table in DIES_WITH_CONTACT]
DIED = "2026-04-01T00:00:00.000000Z"
COUNT = 40


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with another_process() as reader:
        yield reader


@examples
@given(chance=CHANCES)
@pytest.mark.long
def test_rows_that_go_with_their_contact_keep_what_they_say(
    chance: Chance, tmp_path_factory: pytest.TempPathFactory, reader: Reader
) -> None:
    chance = chance.without_zero()
    contacts = chance.rows("contacts", COUNT)
    rows = {stream: chance.rows(stream, COUNT) for stream in DYING}
    for several in rows.values():
        for one, contact in zip(several, contacts, strict=True):
            one["contact"] |= {"uuid": contact["uuid"]}
    deleted = contacts[::2]
    emptied: Row = {"name": None, "urns": [], "groups": [], "fields": {}, "notes": None, "modified_on": DIED}
    with Lake.create(new_lake(tmp_path_factory.mktemp("later") / "lake")) as lake:
        for stream, several in {"contacts": contacts, **rows}.items():
            load(lake, stream, several)
        tally = load(lake, "contacts", [contact | emptied for contact in deleted], tombstones=True)
        assert tally.rows_deleted == len(DYING) * len(deleted)
        assert_dead(reader, lake, rows, {contact["uuid"] for contact in deleted})
        maintain(lake, keep=timedelta(0))
        assert_dead(reader, lake, rows, {contact["uuid"] for contact in deleted})


def assert_dead(reader: Reader, lake: Lake, rows: dict[str, list[Row]], contacts: set[str]) -> None:
    """All rows are there as they were sent, and those of these contacts are deleted."""
    dead = "SELECT contact_uuid::VARCHAR, deleted_on FROM {} WHERE deleted_on IS NOT NULL"
    found = reader.read(lake.path, list(rows), [dead.format(stream) for stream in rows])
    for (stream, several), marked in zip(rows.items(), found.answers, strict=True):
        assert_same(stream, found.rows[stream], expected_of(stream, several))
        assert dict(marked) == dict.fromkeys(contacts, datetime.fromisoformat(DIED))


@examples
@given(chance=CHANCES)
def test_rows_that_are_gone_keep_what_they_say(
    chance: Chance, tmp_path_factory: pytest.TempPathFactory, reader: Reader
) -> None:
    streams = ["flows", "templates", "campaign_events"]
    rows = {stream: chance.rows(stream, COUNT) for stream in streams}
    with Lake.create(new_lake(tmp_path_factory.mktemp("later") / "lake")) as lake:
        for stream, several in rows.items():
            load(lake, stream, several)
            tally = Tally()
            batches = Batches(lake, STREAMS[stream].table, Spool(lake.spool, stream), tally, accept_deletions=True)
            batches.begin_whole_reading()
            batches.add([msgspec.Raw(json.dumps(row).encode()) for row in several[::2]])
            batches.commit()
            batches.mark_gone(batches.gone())
            assert (tally.rows_equal, tally.rows_deleted) == (COUNT // 2, COUNT // 2)
        queries = [f'SELECT uuid::VARCHAR FROM "{stream}" WHERE deleted_on IS NOT NULL' for stream in streams]
        found = reader.read(lake.path, streams, queries)
    for (stream, several), gone in zip(rows.items(), found.answers, strict=True):
        assert_same(stream, found.rows[stream], expected_of(stream, several))
        assert {uuid for (uuid,) in gone} == {row["uuid"] for row in several[1::2]}


@examples
@given(chance=CHANCES)
def test_history_says_what_a_message_was_and_what_it_became(
    chance: Chance, tmp_path_factory: pytest.TempPathFactory, reader: Reader
) -> None:
    before, after = (chance.rows("messages", COUNT, often=often) for often in (0.7, 0.7))
    for number, row in enumerate(after):
        row["labels"] = [{"uuid": row["uuid"], "name": chance.text()}] if number % 2 else before[number]["labels"]
    with Lake.create(new_lake(tmp_path_factory.mktemp("later") / "lake")) as lake:
        for rows in (before, after):
            load(lake, "messages", rows)
        [found] = reader.read(lake.path, [], ["SELECT id, what, from_value, to_value FROM message_history"]).answers
    told = [(key, what, *values) for key, what, *values in found if what != "labels"]
    assert sorted(told) == sorted(
        (old["id"], what, old[what], new[what])
        for old, new in zip(before, after, strict=True)
        for what in ("status", "visibility")
        if old[what] != new[what]
    )
    labels = {key: (json.loads(old), json.loads(new)) for key, what, old, new in found if what == "labels"}
    changed = [pair for pair in zip(before, after, strict=True) if pair[1]["id"] % 2 == 0]
    assert labels == {old["id"]: (old["labels"], new["labels"]) for old, new in changed}
