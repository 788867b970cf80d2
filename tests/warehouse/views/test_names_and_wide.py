"""Things by their best known names, and the wide views of contacts and flows, held against what the server sent."""

from __future__ import annotations

from decimal import Decimal
from itertools import chain
from typing import Any

from tests.analysts import Analysed, whose
from tests.happenings import Row, moment
from tests.warehouse.views.test_elements import same, time_of


def test_channels_groups_labels_and_topics_that_anything_ever_referred_to(facts: Analysed) -> None:
    before = facts.before
    channels = [
        *before["channels"],
        *(row["channel"] for name in ("messages", "channel_events") for row in before[name]),
    ]
    same(
        facts,
        "SELECT channel_uuid, channel_name, address, exists_now FROM dim_channels",
        [
            (uuid, row["name"], row.get("address"), uuid in existing(facts, "channels"))
            for uuid, row in known(channels).items()
        ],
    )
    groups = [
        *before["groups"],
        *chain(*(row["groups"] for name in ("broadcasts", "flow_starts") for row in before[name])),
    ]
    same(
        facts,
        "SELECT group_uuid, group_name, query, contacts, exists_now FROM dim_groups",
        [
            (uuid, row["name"], row.get("query"), row.get("count"), uuid in existing(facts, "groups"))
            for uuid, row in known(groups).items()
        ],
    )
    labels = [*before["labels"], *chain(*(row["labels"] for row in before["messages"]))]
    topics = [*before["topics"], *(row["topic"] for row in before["tickets"])]
    for what, rows in (("label", labels), ("topic", topics)):
        same(
            facts,
            f"SELECT {what}_uuid, {what}_name, exists_now FROM dim_{what}s",
            [(uuid, row["name"], uuid in existing(facts, f"{what}s")) for uuid, row in known(rows).items()],
        )


def test_flows_that_anything_ever_referred_to(facts: Analysed) -> None:
    flows = known([*facts.before["flows"], *(row["flow"] for row in facts.before["runs"])])
    same(
        facts,
        "SELECT flow_uuid, flow_name, type, archived, exists_now FROM dim_flows",
        [
            (uuid, row["name"], row.get("type"), row.get("archived"), uuid in existing(facts, "flows"))
            for uuid, row in flows.items()
        ],
    )


def test_contacts_also_deleted_ones(facts: Analysed) -> None:
    died = facts.deleted["contacts"] | {
        row["uuid"]: moment(row["modified_on"]) for row in facts.before["contacts_deleted"]
    }
    same(
        facts,
        "SELECT contact_uuid, contact_name, status, language, urn_scheme, created_on, last_seen_on, deleted_on "
        "FROM dim_contacts",
        [
            (row["uuid"], row["name"], "deleted" if row["uuid"] in died else row["status"], row["language"],
             row["urns"][0].split(":")[0] if row["urns"] else None, moment(row["created_on"]),
             moment(row["last_seen_on"]) if row["last_seen_on"] else None, died.get(row["uuid"]))
            for row in [*facts.before["contacts"], *facts.before["contacts_deleted"]]
        ],
    )  # fmt: skip


def test_contacts_that_exist_have_their_own_columns(facts: Analysed) -> None:
    same(
        facts,
        "SELECT contact_uuid, contact_name, status, language, urn, urn_scheme, urn_path, all_urns, group_names, "
        "in_flow, created_on, modified_on, last_seen_on FROM contacts_wide",
        [
            (row["uuid"], row["name"], row["status"], row["language"], *first_urn(row), ", ".join(row["urns"]),
             ", ".join(group["name"] for group in row["groups"]), row["flow"]["name"] if row["flow"] else None,
             *(moment(row[name]) if row[name] else None for name in ("created_on", "modified_on", "last_seen_on")))
            for row in facts.now["contacts"]
        ],
    )  # fmt: skip


def test_fields_of_contacts_are_columns_of_their_type_and_what_does_not_fit_is_kept_as_it_was_written(
    facts: Analysed,
) -> None:
    expected = []
    for row in facts.now["contacts"]:
        value = row["fields"].get
        age, due = value("age"), value("expected_delivery")
        fitting = age not in (None, "x", "", "NaN", "1E+400")
        places = [part for key, levels in PLACES.items() for part in split(value(key), levels)]
        odd = {
            key: value(key) for key, levels in PLACES.items() if value(key) and value(key).count(" > ") != levels - 1
        } | ({} if fitting or age is None else {"age": age})
        odd |= {"expected_delivery": due} if due and time_of(due) is None else {}
        expected.append(
            (row["uuid"], Decimal(age) if fitting and age else None, time_of(due) if due else None, *places,
             sorted(odd.items()))
        )  # fmt: skip
    assert {number for _, number, *_ in expected} >= {Decimal("1.5"), Decimal("123456.789"), Decimal(-3), None}
    found = facts.lake.rows(
        "SELECT contact_uuid::VARCHAR, age, expected_delivery, province_country, province, district_country, "
        "district_state, district, ward_country, ward_state, ward_district, ward, not_parsed FROM contacts_wide"
    )
    known_fields = PLACES.keys() | {"age", "expected_delivery"}
    found = [
        (*row[:-1], sorted((key, value) for key, value in row[-1].items() if key in known_fields)) for row in found
    ]
    assert sorted(map(repr, map(plain, found))) == sorted(map(repr, map(plain, expected)))


def test_fields_have_a_column_as_long_as_they_exist(facts: Analysed) -> None:
    columns = {column for column, *_ in facts.lake.rows("DESCRIBE contacts_wide")}
    assert {row["key"] for row in facts.now["fields"]} <= columns
    assert not facts.deleted["fields"].keys() & columns


def test_each_flow_has_a_view_of_its_runs_with_every_result_it_ever_had(facts: Analysed) -> None:
    contacts = {row["uuid"]: row["name"] for row in [*facts.before["contacts"], *facts.before["contacts_deleted"]]}
    for flow, view in facts.lake.rows("SELECT flow_uuid::VARCHAR, results_view FROM dim_flows"):
        runs = [row for row in facts.now["runs"] if row["flow"]["uuid"] == flow]
        keys = {key for row in facts.before["runs"] if row["flow"]["uuid"] == flow for key in row["values"]}
        parts = [(key, part) for key in sorted(keys) for part in ("value", "category", "input", "time")]
        named = ", ".join(f"{key.replace('/', '_')}_{part}" for key, part in parts) or "NULL"
        expected = [
            (row["uuid"], whose(row), contacts.get(whose(row) or "") or row["contact"]["name"],
             *(moment(row[name]) if row[name] else None for name in ("created_on", "modified_on", "exited_on")),
             row["exit_type"], row["responded"], row["start"]["uuid"] if row["start"] else None,
             *([result(row, key, part) for key, part in parts] or [None]))
            for row in runs
        ]  # fmt: skip
        select = (
            "SELECT run_uuid, contact_uuid, contact_name, started_on, modified_on, exited_on, exit_type, responded, "
            f"start_uuid, {named} FROM results.{view}"
        )
        if expected:
            same(facts, select, expected)
        else:
            assert facts.lake.rows(select) == []


PLACES = {"province": 2, "district": 3, "ward": 4}


def known(rows: list[Row | None]) -> dict[str, Row]:
    """The first row of each UUID."""
    found: dict[str, Row] = {}
    for row in rows:
        if row:
            found.setdefault(row["uuid"], row)
    return found


def existing(facts: Analysed, stream: str) -> set[str]:
    return {row["uuid"] for row in facts.now[stream]}


def first_urn(contact: Row) -> tuple[str | None, str | None, str | None]:
    if not contact["urns"]:
        return None, None, None
    urn = contact["urns"][0]
    scheme, _, rest = urn.partition(":")
    return urn, scheme, rest.partition("#")[0]


def split(place: str | None, levels: int) -> list[str | None]:
    """The names of a place and of those that it lies in, unless the level is another."""
    parts = place.split(" > ") if place else []
    return [*parts] if len(parts) == levels else [None] * levels


def result(run: Row, key: str, part: str) -> Any:
    value = run["values"].get(key, {}).get(part)
    return moment(value) if part == "time" and value else value


def plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Numbers and times that mean the same, alike."""
    return tuple(
        value.normalize() if isinstance(value, Decimal) else value.timestamp() if hasattr(value, "timestamp") else value
        for value in row
    )
