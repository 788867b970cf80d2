"""What the lake learns from rows, look by look: names, results, digits and sizes."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine

from tests.lakes import new_lake
from tests.pipeline.report.test_report_queries import sql_of
from warehouse import Lake, refresh_views

IDS = count(1)
# A sync that began so long before the last look may have been committed after it.
SLOW = "now() - INTERVAL 50 MINUTE"
# The first name of a thing, and from which rows it may be known.
SOURCES = {
    ("flow", "flows"): "(uuid, name) VALUES ('{it}', '{name}')",
    ("flow", "runs"): "(uuid, flow_uuid, flow_name, created_on) VALUES (uuid(), '{it}', '{name}', now())",
    ("flow", "messages"): "(id, flow_uuid, flow_name, created_on) VALUES ({id}, '{it}', '{name}', now())",
    ("flow", "flow_starts"): "(uuid, flow_uuid, flow_name) VALUES (uuid(), '{it}', '{name}')",
    ("channel", "channels"): "(uuid, name) VALUES ('{it}', '{name}')",
    ("channel", "messages"): "(id, channel_uuid, channel_name, created_on) VALUES ({id}, '{it}', '{name}', now())",
    ("channel", "channel_events"): "(id, channel_uuid, channel_name) VALUES ({id}, '{it}', '{name}')",
    ("group", "groups"): "(uuid, name) VALUES ('{it}', '{name}')",
    ("group", "broadcasts"): "(id, groups) VALUES ({id}, [{{'uuid': '{it}', 'name': '{name}'}}])",
    ("group", "flow_starts"): "(uuid, groups) VALUES (uuid(), [{{'uuid': '{it}', 'name': '{name}'}}])",
    ("label", "labels"): "(uuid, name) VALUES ('{it}', '{name}')",
    ("label", "messages"): "(id, labels, created_on) VALUES ({id}, [{{'uuid': '{it}', 'name': '{name}'}}], now())",
    ("topic", "topics"): "(uuid, name) VALUES ('{it}', '{name}')",
    ("topic", "tickets"): "(uuid, topic_uuid, topic_name) VALUES (uuid(), '{it}', '{name}')",
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake that was looked at once, when it was empty; each test has its own things in it."""
    with Lake.create(new_lake(tmp_path_factory.mktemp("learned") / "lake")) as lake:
        refresh_views(lake)
        yield lake


# -- names --


def test_a_name_is_learned_from_every_row_that_has_it_also_of_a_slow_sync_and_where_nothing_else_changed(
    lake: Lake,
) -> None:
    for (kind, table), row in SOURCES.items():
        it, name = thing(), f"{kind} in {table}"
        put(lake, table, row.format(it=it, name=name, id=next(IDS)), synced_on=SLOW)
        refresh_views(lake)
        assert name_of(lake, kind, it) == name


def test_a_name_is_learned_though_a_clock_was_hours_ahead_at_the_last_look(lake: Lake) -> None:
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=5)):
        put(lake, "flows", SOURCES["flow", "flows"].format(it=thing(), name="any"), synced_on="now()")
        refresh_views(lake)
    it = thing()
    put(lake, "flows", SOURCES["flow", "flows"].format(it=it, name="New"), synced_on="now()")
    refresh_views(lake)
    assert name_of(lake, "flow", it) == "New"


def test_a_name_is_learned_though_the_version_that_brought_it_is_forgotten(tmp_path: Path) -> None:
    label, topic = thing(), thing()
    with Lake.create(new_lake(tmp_path / "lake")) as lake:
        put(lake, "labels", SOURCES["label", "labels"].format(it=label, name="Urgent"))
        put(lake, "topics", SOURCES["topic", "topics"].format(it=topic, name="Health"))
        lake.rows("CALL ducklake_expire_snapshots('lake', older_than => now())")
        refresh_views(lake)
        assert (name_of(lake, "label", label), name_of(lake, "topic", topic)) == ("Urgent", "Health")


def test_the_name_that_a_thing_had_last_wins(lake: Lake) -> None:
    things = {"runs": thing(), "messages": thing()}
    for source, it in things.items():
        named(lake, source, it, "As it was called", synced_on="now() - INTERVAL 10 MINUTE")
        named(lake, source, it, "As archives call it", source="archive", modified_on="'2019-01-01'")
    refresh_views(lake)
    assert {name_of(lake, "flow", it) for it in things.values()} == {"As it was called"}
    for source, it in things.items():
        forget(lake, source, it)
        named(lake, source, it, "Older in another archive", source="archive", modified_on="'2018-01-01'")
    refresh_views(lake)
    assert {name_of(lake, "flow", it) for it in things.values()} == {"As it was called"}
    for source, it in things.items():
        named(lake, source, it, "As it is called now")
    refresh_views(lake)
    assert {name_of(lake, "flow", it) for it in things.values()} == {"As it is called now"}


def test_what_only_archives_know_has_its_last_name_from_there(lake: Lake) -> None:
    it = thing()
    for year, name in ((2018, "First"), (2020, "Last"), (2019, "Between")):
        named(lake, "messages", it, name, source="archive", modified_on=f"'{year}-01-01'")
    refresh_views(lake)
    assert name_of(lake, "flow", it) == "Last"


def test_what_the_server_calls_a_deleted_thing_is_no_name_while_another_is_known(lake: Lake) -> None:
    first, second, third = thing(), thing(), thing()
    for it in (first, second):
        named(lake, "runs", it, f"deleted-{uuid.uuid4()}-Survey of 20")
    named(lake, "runs", third, "Kept whole", synced_on="now() - INTERVAL 10 MINUTE")
    refresh_views(lake)
    assert name_of(lake, "flow", first) == "Survey of 20"
    named(lake, "runs", second, "Survey of 2018", source="archive", modified_on="'2018-02-01'")
    named(lake, "runs", third, f"deleted-{uuid.uuid4()}-Kept wh")
    refresh_views(lake)
    assert name_of(lake, "flow", second) == "Survey of 2018"
    assert name_of(lake, "flow", third) == "Kept whole"


def test_what_is_not_the_servers_mark_of_deletion_stays_in_the_name(lake: Lake) -> None:
    names = ["deleted-by mistake", f"deleted-{uuid.uuid4()}-", f"was deleted-{uuid.uuid4()}-x"]
    kinds = {"channel": "channels", "group": "groups", "label": "labels", "topic": "topics"}
    gone = f"deleted-{uuid.uuid4()}-Good - old"
    expected = {(kind, thing()): (name, name) for kind in kinds for name in names}
    expected |= {(kind, thing()): (gone, "Good - old") for kind in kinds}
    for (kind, it), (name, _) in expected.items():
        put(lake, kinds[kind], SOURCES[kind, kinds[kind]].format(it=it, name=name))
    refresh_views(lake)
    assert {one: name_of(lake, *one) for one in expected} == {one: shown for one, (_, shown) in expected.items()}


def test_the_oldest_of_flows_of_one_name_has_it_for_its_view_and_those_of_rows_alone_come_last(lake: Lake) -> None:
    late, early, gone = thing(), thing(), thing()
    name = f"same_{next(IDS)}_name"
    named(lake, "runs", gone, name)
    for it, year in ((late, 2025), (early, 2024)):
        put(lake, "flows", f"(uuid, name, created_on) VALUES ('{it}', '{name}', '{year}-01-01')")
    refresh_views(lake)
    views = dict(lake.rows(f"SELECT flow_uuid::VARCHAR, results_view FROM dim_flows WHERE flow_name = '{name}'"))
    assert views == {early: name, late: f"{name}_2", gone: f"{name}_3"}


def test_columns_of_fields_need_no_quotes_differ_and_stand_featured_ones_first(tmp_path: Path) -> None:
    plain = {
        "urn": "urn_2",
        "not_parsed": "not_parsed_2",
        "group": "field_group",
        "left": "field_left",
        "2020": "field_2020",
        "a-b": "a_b",
        "a_b": "a_b_2",
        "a b": "a_b_3",
        "😀": "field",
        "x" * 60: "x" * 50,
        "home_state": "home_state_2",
    }
    fields = {
        "home": "('home', 'district', true, 9)",
        "second": "('second', 'text', true, 8)",
        "third": "('third', 'text', true, NULL)",
        "fourth": "('fourth', 'text', false, 99)",
    } | {key: f"('{key}', 'text', NULL, {50 if key.startswith('a') else 1})" for key in plain}
    with Lake.create(new_lake(tmp_path / "lake")) as lake:
        lake.commit(
            lambda connection: connection.execute(
                "INSERT INTO fields (key, type, featured, priority, synced_on, source) SELECT *, now(), 'api' "
                f"FROM (VALUES {', '.join(reversed(fields.values()))})"
            )
        )
        refresh_views(lake)
        given = dict(lake.rows("SELECT key, name FROM _given_names WHERE scope = 'contacts_wide'"))
        columns = [column for column, *_ in lake.rows("DESCRIBE contacts_wide")]
    assert {key: given[key] for key in plain if not key.startswith("a")} == {
        key: name for key, name in plain.items() if not key.startswith("a")
    }
    assert {given[key] for key in plain if key.startswith("a")} == {"a_b", "a_b_2", "a_b_3"}
    assert columns[13:19] == ["home_country", "home_state", "home", "second", "third", "fourth"]
    assert set(columns[19:22]) == {"a_b", "a_b_2", "a_b_3"} and columns[-1] == "not_parsed"


# -- results --


def test_a_flows_own_name_of_a_result_outranks_those_in_runs(lake: Lake) -> None:
    flow = thing()
    ran(lake, flow, {"age": "Old age", "mood": "Mood"})
    refresh_views(lake)
    assert results_of(lake, flow) == {"age": "Old age", "mood": "Mood"}
    put(
        lake,
        "flows",
        f"(uuid, name, results) VALUES ('{flow}', 'F', [{{key: 'age', name: 'Age', categories: [], node_uuids: []}}])",
        synced_on=SLOW,
    )
    ran(lake, flow, {"age": "Older age", "mood": "A mood", "late": "Late"})
    refresh_views(lake)
    assert results_of(lake, flow) == {"age": "Age", "mood": "Mood", "late": "Late"}
    ran(lake, flow, {"age": "Aged"})
    refresh_views(lake)
    assert results_of(lake, flow)["age"] == "Age"
    lake.commit(
        lambda connection: connection.execute(
            "UPDATE flows SET synced_on = now(), results = "
            f"[{{key: 'age', name: 'Years', categories: [], node_uuids: []}}] WHERE uuid = '{flow}'"
        )
    )
    refresh_views(lake)
    assert results_of(lake, flow) == {"age": "Years", "mood": "Mood", "late": "Late"}


# -- digits --


NUMBERS = [
    (["7", "+12.50", " 3 ", "007"], "DECIMAL(18,1)"),
    (["0.000", "-0"], "DECIMAL(18,0)"),
    (["1" * 18], "DECIMAL(18,0)"),
    (["1" * 12 + ".123456"], "DECIMAL(18,6)"),
    (["1" * 12, "0.1234567"], "DECIMAL(38,7)"),
    (["1" * 19], "DECIMAL(38,0)"),
    (["1" * 38], "DECIMAL(38,0)"),
    (["1" * 20 + "." + "2" * 18], "DECIMAL(38,18)"),
    (["1" * 39, "NaN", "Infinity", "1E+400", "1" * 400], "DOUBLE"),
    (["1" * 20, "0." + "2" * 19], "DOUBLE"),
    (["1e9", "12,5", "many", "1.2.3"], "DECIMAL(18,0)"),
    ([], "DECIMAL(18,0)"),
]


def test_a_number_has_the_narrowest_type_that_holds_every_value(lake: Lake) -> None:
    fields = {f"number_{next(IDS)}": case for case in NUMBERS}
    people = {field: [person(lake, {field: value}) for value in values] for field, (values, _) in fields.items()}
    for field in fields:
        add_field(lake, field, "number")
    refresh_views(lake)
    for field, (values, kind) in fields.items():
        assert type_of(lake, field) == kind
        for value, (number, other) in zip(
            values, wide(lake, f"{field}, not_parsed['{field}']", people[field]), strict=True
        ):
            if value.strip().lstrip("+-").replace(".", "", 1).isdigit() and math.isfinite(float(value)):
                assert (float(number), other) == (pytest.approx(float(value), rel=1e-15), None)
            else:
                assert (number, other) == (None, value)


def test_digits_are_learned_from_contacts_read_long_before_the_field_and_grow_with_later_ones(lake: Lake) -> None:
    field = f"number_{next(IDS)}"
    early = person(lake, {field: "1.25"}, synced_on="now() - INTERVAL 30 DAY")
    refresh_views(lake)
    add_field(lake, field, "number")
    refresh_views(lake)
    assert wide(lake, f"{field}::VARCHAR", [early]) == [("1.25",)]
    late = person(lake, {field: "3.125"}, synced_on=SLOW)
    assert wide(lake, f"{field}, not_parsed['{field}']", [late]) == [
        (None, "3.125")
    ]  # rather nothing than a rounded one
    refresh_views(lake)
    assert wide(lake, f"{field}::VARCHAR", [early, late]) == [("1.250",), ("3.125",)]
    person(lake, {field: "4"})
    refresh_views(lake)
    assert type_of(lake, field) == "DECIMAL(18,3)"


# -- sizes of groups --


def test_sizes_of_groups_are_noted_when_they_change_on_the_day_of_the_workspace(tmp_path: Path) -> None:
    # A zone where it is another day than in UTC now.
    zone = ZoneInfo("Pacific/Kiritimati" if datetime.now(UTC).hour >= 12 else "Pacific/Pago_Pago")
    groups = [thing() for _ in range(4)]
    with Lake.create(new_lake(tmp_path / "lake")) as lake:
        lake.commit(
            lambda connection: connection.execute(
                f"INSERT INTO workspace (uuid, name, timezone, synced_on) VALUES (uuid(), 'W', '{zone.key}', now())"
            )
        )
        for group, size in zip(groups, ("5", "NULL", "8", "3"), strict=True):
            put(lake, "groups", f"(uuid, name, count) VALUES ('{group}', 'G', {size})")
        refresh_views(lake)
        today = datetime.now(zone).date()
        assert noted(lake) == {(today, group, size) for group, size in zip(groups, (5, 0, 8, 3), strict=True)}
        for sql in ("_group_sizes SET day = day - 3", f"groups SET count = 10 WHERE uuid = '{groups[0]}'",
                    f"groups SET deleted_on = now() WHERE uuid = '{groups[2]}'"):  # fmt: skip
            lake.commit(lambda connection, sql=sql: connection.execute(f"UPDATE {sql}"))
        refresh_views(lake)
        assert {row for row in noted(lake) if row[0] == today} == {(today, groups[0], 10), (today, groups[2], 0)}
        lake.commit(lambda connection: connection.execute(f"UPDATE groups SET count = 4 WHERE uuid = '{groups[3]}'"))
        lake.commit(lambda connection: connection.execute(f"UPDATE groups SET count = 11 WHERE uuid = '{groups[0]}'"))
        refresh_views(lake)
        found = lake.rows("SELECT day, group_uuid::VARCHAR, contacts FROM group_sizes ORDER BY ALL")
        sizes = dict(zip(groups, ((5, 5, 5, 11), (0, 0, 0, 0), (8, 8, 8, 0), (3, 3, 3, 4)), strict=True))
        assert found == sorted(
            (today - timedelta(days=3 - number), group, size)
            for group, each in sizes.items()
            for number, size in enumerate(each)
        )
        with lake.connection() as connection:
            connection.execute(f"SET VARIABLE today = DATE '{today}'")
            shown = connection.execute(sql_of("groups")).fetchall()
    assert {contacts for day, _, contacts in shown if day == today} == {11, 4}  # no group that is empty now


# -- helpers --


def thing() -> str:
    return str(uuid.uuid4())


def put(lake: Lake, table: str, rows: str, **columns: str) -> None:
    """Insert rows as a sync of now would, or with other values (SQL) in further columns."""
    names, _, values = rows.partition(" VALUES ")
    more = {"synced_on": "now()", "source": "'api'"} | columns
    sql = f"INSERT INTO {table} {names[:-1]}, {', '.join(more)}) VALUES {values[:-1]}, {', '.join(more.values())})"
    lake.commit(lambda connection: connection.execute(sql))


def forget(lake: Lake, table: str, flow: str) -> None:
    """Make the rows of a flow as old as rows that the next look need not look at."""
    sql = f"UPDATE {table} SET synced_on = synced_on - INTERVAL 1 DAY WHERE flow_uuid = '{flow}'"
    lake.commit(lambda connection: connection.execute(sql))


def named(lake: Lake, table: str, flow: str, name: str, *, source: str = "api", **columns: str) -> None:
    row = SOURCES["flow", table].format(it=flow, name=name, id=next(IDS))
    put(lake, table, row, **({"source": f"'{source}'"} | columns))


def ran(lake: Lake, flow: str, names: dict[str, str]) -> None:
    result = "value: 'x', category: 'x', input: 'x', node: uuid(), time: now()"
    results = ", ".join(f"'{key}': {{name: '{name}', {result}}}" for key, name in names.items())
    sql = f"""
        INSERT INTO runs BY NAME SELECT uuid() AS uuid, '{flow}'::UUID AS flow_uuid, now() AS created_on,
        MAP {{{results}}}::MAP(VARCHAR, STRUCT(name VARCHAR, value VARCHAR, category VARCHAR, input VARCHAR, node UUID,
        "time" TIMESTAMPTZ)) AS results, {SLOW} AS synced_on, 'api' AS source
    """
    lake.commit(lambda connection: connection.execute(sql))


def name_of(lake: Lake, kind: str, it: str) -> str | None:
    [(name,)] = lake.rows(f"SELECT {kind}_name FROM dim_{kind}s WHERE {kind}_uuid = '{it}'")
    return str(name)


def results_of(lake: Lake, flow: str) -> dict[str, str]:
    return dict(lake.rows(f"SELECT key, result_name FROM flow_results WHERE flow_uuid = '{flow}'"))


def person(lake: Lake, fields: dict[str, str], **columns: str) -> str:
    it = thing()
    written = ", ".join(f"'{key}': '{value}'" for key, value in fields.items())
    put(lake, "contacts", f"(uuid, fields) VALUES ('{it}', MAP {{{written}}})", **columns)
    return it


def add_field(lake: Lake, key: str, kind: str, **columns: str) -> None:
    put(lake, "fields", f"(key, name, type) VALUES ('{key}', '{key}', '{kind}')", **columns)


def type_of(lake: Lake, column: str) -> str:
    return str(lake.rows(f"SELECT typeof({column}) FROM contacts_wide RIGHT JOIN (SELECT 1) ON true LIMIT 1")[0][0])


def wide(lake: Lake, columns: str, people: list[str]) -> list[tuple[Any, ...]]:
    found = {str(row[0]): row[1:] for row in lake.rows(f"SELECT contact_uuid, {columns} FROM contacts_wide")}
    return [found[one] for one in people]


def noted(lake: Lake) -> set[tuple[date, str, int]]:
    return set(lake.rows("SELECT day, group_uuid::VARCHAR, contacts FROM _group_sizes"))
