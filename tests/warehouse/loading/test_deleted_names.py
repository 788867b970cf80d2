"""What the server lists under the name that it gives deleted things is deleted; what it was called before stays."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

import pytest

from pipeline.streams import STREAMS
from tests.warehouse.loading.loader import Loader
from tests.warehouse.loading.odd import pattern_of

NAMED = {name: stream.table.longest_name for name, stream in STREAMS.items() if stream.table.longest_name}

Row = dict[str, Any]


def deleted_name(name: str, longest: int | None = 64) -> str:
    return f"deleted-{uuid.uuid4()}-{name}"[:longest]


def named(stream: str, key: int, name: str) -> Row:
    column = STREAMS[stream].table.key[0]
    return {**pattern_of(stream), column: str(uuid.UUID(int=key)) if column == "uuid" else f"key_{key}", "name": name}


def stored(loader: Loader, stream: str) -> list[tuple[str, datetime | None]]:
    """Name and deleted_on of each row, by key."""
    return loader.lake.rows(f"SELECT name, deleted_on FROM {stream} ORDER BY {STREAMS[stream].table.key[0]}")


@pytest.mark.parametrize("stream", NAMED)
def test_a_row_that_the_server_calls_deleted_is_deleted_once_and_keeps_its_last_live_state(
    loader: Loader, stream: str
) -> None:
    longest = NAMED[stream]
    assert longest
    loader.load(stream, *(named(stream, key, f"Live {key}") for key in (1, 2)), named(stream, 3, "deleted-foo"))
    whole, cut, nothing = "Old", "O" * (longest - 45), ""  # of which some may have been cut off
    never_alive = [deleted_name(name, longest) for name in (whole, cut, nothing)]
    known = [whole if longest == 64 else never_alive[0], *never_alive[1:]]
    on: list[set[datetime | None]] = []
    for changed in (1, 0):
        renamed = {**named(stream, 2, deleted_name("Live 2", longest)), "created_on": "2020-01-01T00:00:00Z"}
        foo = named(stream, 3, "deleted-bar")
        others = [named(stream, key, name) for key, name in enumerate(never_alive, 4)]
        _, loaded = loader.load(stream, named(stream, 1, "Live 1"), renamed, foo, *others)
        found = stored(loader, stream)
        assert [name for name, _ in found] == ["Live 1", "Live 2", "deleted-bar", *known]
        assert [deleted is None for _, deleted in found] == [True, False, True, False, False, False]
        on.append({deleted for _, deleted in found})
        assert (loaded.deleted, loaded.new) == (changed, 3 * changed)
    assert on[0] == on[1]
    loader.load(stream, named(stream, 2, "Live again"), named(stream, 5, "At last"))
    assert [one for one in stored(loader, stream) if not one[1]] == [
        ("Live 1", None),
        ("Live again", None),
        ("deleted-bar", None),
        ("At last", None),
    ]


@pytest.mark.parametrize("first", [True, False])
def test_of_two_rows_of_one_key_the_one_that_is_not_deleted_counts(loader: Loader, first: bool) -> None:
    rows = [named("globals", 1, "New"), named("globals", 1, deleted_name("Old", 36))]
    loader.load("globals", *(rows if first else reversed(rows)))
    assert stored(loader, "globals") == [("New", None)]


def test_a_reference_keeps_its_good_name_where_the_server_calls_the_thing_deleted(loader: Loader) -> None:
    thing, other, gone = (str(uuid.UUID(int=number)) for number in (1, 2, 3))

    def loaded(*names: str) -> tuple[Any, ...]:
        groups = [{"uuid": it, "name": name} for it, name in zip((thing, other, gone), names, strict=False)]
        flow = {"uuid": thing, "name": names[0]}
        loader.load("flow_starts", {**pattern_of("flow_starts"), "uuid": thing, "flow": flow, "groups": groups})
        relative = {"relative_to": {"key": "born", "name": names[0]}, "flow": flow}
        loader.load("campaign_events", {**pattern_of("campaign_events"), "uuid": thing, **relative})
        [(groups_now, flow_name)] = loader.lake.rows("SELECT groups::JSON, flow_name FROM flow_starts")
        [(field, *_)] = loader.lake.rows("SELECT relative_to_name, flow_name FROM campaign_events")
        return [one["name"] for one in json.loads(groups_now)], flow_name, field

    dead = deleted_name("Nobody knew it")
    assert loaded("Farmers", "Nurses", dead) == (["Farmers", "Nurses", dead], "Farmers", "Farmers")
    assert loaded(deleted_name("Farmers"), "Midwives") == (["Farmers", "Midwives"], "Farmers", "Farmers")
    assert loaded(deleted_name("Farm", 36), "deleted-by me") == (["Farmers", "deleted-by me"], "Farmers", "Farmers")
    assert loaded("deleted-foo")[1:] == ("deleted-foo", "deleted-foo")
    assert loaded("Farmers", "Nurses", "Known at last") == (
        ["Farmers", "Nurses", "Known at last"],
        "Farmers",
        "Farmers",
    )
