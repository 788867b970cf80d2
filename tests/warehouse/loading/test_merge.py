"""A row of which API and archives tell different states: each column has the value it would have in any other order."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import permutations, product
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.streams import STREAMS
from tests.lakes import new_lake
from tests.truth import assert_same, expected_union, stored_rows
from warehouse import Lake, forget_batch, merge, stage

Row = dict[str, Any]

OLD, NEW, ARCHIVE = "old API row", "new API row", "archive row"
FIRST, SECOND = "2025-03-01T10:00:00Z", "2025-03-01T12:00:00Z"  # when the API's rows were modified
# When the archive's row was.
ARCHIVED = {
    "later": "2025-03-01T13:00:00+00:00",
    "at the same time": "2025-03-01T12:00:00+00:00",
    "earlier": "2025-03-01T11:00:00+00:00",
    "first of all": "2025-03-01T09:00:00+00:00",
    "nobody knows when": None,
}
DAY = date(2025, 3, 1)
CREATED = "2025-03-01T08:00:00Z"


@dataclass(frozen=True)
class Case:
    """The order in which three rows of one key come, and when the archive's was modified."""

    stream: str
    order: tuple[str, ...]
    archived: str
    number: int

    def __str__(self) -> str:
        return f"{self.stream}, {', '.join(self.order)}; archived {self.archived}"

    def row(self, which: str) -> Row:
        build = _message if self.stream == "messages" else _run
        modified = {OLD: FIRST, NEW: SECOND, ARCHIVE: ARCHIVED[self.archived]}[which]
        return build(self.number, which, modified)


def _orders(stream: str) -> Iterator[tuple[str, ...]]:
    """Every order in which the API's rows can come; runs of its also in the wrong one, which their dates tell."""
    for order in permutations((OLD, NEW, ARCHIVE)):
        if order.index(OLD) < order.index(NEW) or (stream == "runs" and order[2] == ARCHIVE):
            yield order


def _cases() -> Iterator[Case]:
    number = 0
    for stream in ("messages", "runs"):
        for order in _orders(stream):
            for archived in ARCHIVED:
                if stream == "messages" or ARCHIVED[archived]:
                    number += 1
                    yield Case(stream, order, archived, number)


CASES = list(_cases())


def _uuid(*words: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, " ".join(map(str, words))))


def _reference(name: str, which: str) -> Row:
    return {"uuid": _uuid(name, which), "name": f"{name} of the {which}"}


def _message(number: int, which: str, modified: str | None) -> Row:
    """A message that differs in every column whose value can change."""
    row: Row = {
        "id": number, "broadcast": len(which), "contact": _reference("contact", which), "urn": "telegram:77",
        "channel": _reference("channel", which), "flow": _reference("flow", "API"), "direction": "in", "type": "text",
        "status": f"status of the {which}", "visibility": f"visibility of the {which}", "text": which,
        "labels": [_reference("label", which)], "attachments": [{"content_type": "image", "url": which}],
        "created_on": CREATED, "sent_on": modified, "modified_on": modified, "uuid": _uuid("message", which),
    }  # fmt: skip
    if which == ARCHIVE:
        return {**row, "ticket_uuid": _uuid("ticket"), "broadcast": None, "flow": None}
    return {**row, "urn": f"telegram:77#{which[:3]}", "archived": which == NEW, "media": f"image:{which}",
            "quick_replies": [{"text": which}]}  # fmt: skip


def _run(number: int, which: str, modified: str | None) -> Row:
    """A run that differs in every column whose value can change."""
    step = {"node": _uuid("node", which), "time": CREATED}
    row: Row = {
        "id": number, "uuid": _uuid("run", number), "flow": _reference("flow", which),
        "contact": _reference("contact", which), "responded": which == NEW, "path": [step],
        "values": {which: {**step, "name": which, "value": which, "category": which, "input": which}},
        "created_on": CREATED, "modified_on": modified, "exited_on": modified, "exit_type": which,
    }  # fmt: skip
    if which == ARCHIVE:
        return {**row, "submitted_by": "ana@example.com"}
    contact = {**row["contact"], "urn": f"tel:+2507880000{len(which)}{which[0]}", "urn_display": which}
    if which == NEW:  # the workspace has become anonymous
        contact |= {"urn": "tel:********", "urn_display": None, "anon_display": which}
    return {**row, "contact": contact, "start": {"uuid": _uuid("start", which)}}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """All cases, each in its order."""
    folder = tmp_path_factory.mktemp("merge")
    with Lake.create(new_lake(folder / "lake")) as lake:
        for place in range(3):
            for stream in ("messages", "runs"):
                due = [case for case in CASES if case.stream == stream]
                for archived in (False, True):
                    rows = [case.row(case.order[place]) for case in due if (case.order[place] == ARCHIVE) == archived]
                    load(lake, folder, stream, rows, DAY if archived else None)
        yield lake


@pytest.mark.parametrize("case", CASES, ids=str)
def test_three_states_of_a_row_become_one_whatever_their_order(lake: Lake, case: Case) -> None:
    key = str(case.number) if case.stream == "messages" else _uuid("run", case.number)
    expected = expected_union(case.stream, [case.row(NEW)], [case.row(ARCHIVE)], [])
    with lake.connection() as connection:
        stored = stored_rows(connection, case.stream)
        assert_same(case.stream, {key: stored[key]}, expected)
        assert str(stored[key]["archived_in"]) == str(DAY)
        name = "id" if case.stream == "messages" else "uuid"
        source = connection.execute(f"SELECT source, extra FROM {case.stream} WHERE {name}::VARCHAR = '{key}'")
        assert source.fetchall() == [("archive", None)]


def test_a_path_keeps_its_longest_state(lake: Lake, tmp_path: Path) -> None:
    steps = [(1, 2), (2, 1), (2, 2), (1, 4), (4, 1)]  # of the API's row and of the archive's
    cases = list(enumerate(product(steps, ("later", "at the same time", "earlier"), (False, True)), start=9000))
    rows = {
        number: {which: _with_steps(_run(number, which, at), which, length) for which, length, at in
                 ((NEW, api, SECOND), (ARCHIVE, archive, ARCHIVED[archived]))}
        for number, ((api, archive), archived, _) in cases
    }  # fmt: skip
    for turn in (False, True):
        for which, day in ((NEW, None), (ARCHIVE, DAY)):
            due = [rows[number][which] for number, (*_, first) in cases if (which == ARCHIVE) == (turn != first)]
            load(lake, tmp_path, "runs", due, day)
    expected = expected_union("runs", [one[NEW] for one in rows.values()], [one[ARCHIVE] for one in rows.values()], [])
    with lake.connection() as connection:
        stored = stored_rows(connection, "runs")
    assert_same("runs", {key: stored[key] for key in expected}, expected)


def _with_steps(run: Row, which: str, number: int) -> Row:
    return {**run, "path": [{"node": _uuid("node", which, step), "time": CREATED} for step in range(number)]}


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[Callable[..., dict[Any, Row]]]:
    """Load rows, of an archive if its day is named, and return what the table holds then."""
    with Lake.create(new_lake(tmp_path / "lake")) as lake:

        def loading(stream: str, *rows: Row, day: date | None = None) -> dict[Any, Row]:
            load(lake, tmp_path, stream, list(rows), day)
            with lake.connection() as connection:
                return stored_rows(connection, stream)

        yield loading


def test_of_two_files_the_later_state_stays_in_either_order(loaded: Callable[..., dict[Any, Row]]) -> None:
    early, late = (_run(1, word, at) for word, at in (("early", FIRST), ("late", SECOND)))
    for row, other in ((early, late), (late, early)):
        row, other = ({**one, "uuid": _uuid(row is early)} for one in (row, other))
        days = {"early": date(2025, 2, 1), "late": date(2025, 3, 1)}
        loaded("runs", row, day=days[row["exit_type"]])
        stored = loaded("runs", other, day=days[other["exit_type"]])[row["uuid"]]
        assert (stored["exit_type"], stored["archived_in"]) == ("late", date(2025, 3, 1))


def test_an_archive_without_a_date_is_later_than_what_the_api_said_of_a_young_row_and_leaves_it_its_date(
    loaded: Callable[..., dict[Any, Row]],
) -> None:
    now = datetime.now(UTC)

    def row(number: int, which: str, age: timedelta, at: str | None) -> Row:
        return {**_message(number, which, at), "created_on": (now - age).isoformat()}

    young, old = timedelta(days=88), timedelta(days=90)
    rows = {
        (number, which): row(number, which, age, at)
        for number, age in ((1, young), (2, old))
        for which, at in ((NEW, SECOND), (ARCHIVE, None))
    }

    def told(stored: dict[Any, Row]) -> list[tuple[Any, ...]]:
        return [(stored[key]["text"], stored[key]["modified_on"]) for key in ("1", "2")]

    dated = datetime.fromisoformat(SECOND)
    loaded("messages", rows[1, NEW], rows[2, NEW])
    for _ in range(2):  # the file may be read again
        stored = loaded("messages", rows[1, ARCHIVE], rows[2, ARCHIVE], day=DAY)
        assert told(stored) == [(ARCHIVE, dated), (NEW, dated)]
    stored = loaded("messages", rows[1, NEW], rows[2, NEW])
    assert told(stored) == [(ARCHIVE, dated), (NEW, dated)]
    later = {number: {**rows[number, NEW], "text": "later", "modified_on": "2025-03-02T00:00:00Z"} for number in (1, 2)}
    stored = loaded("messages", *later.values())
    assert told(stored) == [("later", datetime(2025, 3, 2, tzinfo=UTC))] * 2


def test_the_name_of_a_deleted_thing_never_replaces_its_good_one(loaded: Callable[..., dict[Any, Row]]) -> None:
    poll, quiz = (_uuid(word) for word in ("poll", "quiz"))
    dead_poll, dead_quiz = (f"deleted-{_uuid(word)}-Po" for word in ("one", "another"))
    for flow, name, stays in (
        (poll, "Poll", "Poll"),
        (poll, dead_poll, "Poll"),
        (quiz, dead_quiz, dead_quiz),
        (quiz, "Quiz", "Quiz"),
        (quiz, "deleted-by mistake", "deleted-by mistake"),
    ):
        stored = loaded("messages", {**_message(1, NEW, FIRST), "flow": {"uuid": flow, "name": name}})["1"]
        assert (str(stored["flow_uuid"]), stored["flow_name"]) == (flow, stays)


def test_a_good_name_replaces_that_of_a_deleted_thing_also_where_it_comes_with_an_older_state(
    loaded: Callable[..., dict[Any, Row]],
) -> None:
    flow = _uuid("flow")
    loaded("messages", {**_message(1, NEW, SECOND), "flow": {"uuid": flow, "name": f"deleted-{_uuid('one')}-Po"}})
    older = {**_message(1, ARCHIVE, FIRST), "flow": {"uuid": flow, "name": "Poll"}}
    stored = loaded("messages", older, day=DAY)["1"]
    assert (stored["flow_name"], stored["modified_on"]) == ("Poll", datetime.fromisoformat(SECOND))


def test_a_row_is_of_the_last_month_that_has_it_and_there_of_the_file_read_last(
    loaded: Callable[..., dict[Any, Row]],
) -> None:
    row = _run(1, ARCHIVE, FIRST)
    days = [date(2025, 3, 9), date(2025, 3, 1), date(2025, 3, 8), date(2025, 2, 1), date(2025, 4, 1), date(2025, 3, 31)]
    found = [loaded("runs", row, day=day)[row["uuid"]]["archived_in"] for day in days]
    assert found == [*days[:3], days[2], days[4], days[4]]


def test_what_the_api_lacks_comes_from_the_archive_and_what_an_archive_lacks_stays(
    loaded: Callable[..., dict[Any, Row]],
) -> None:
    plain = {**_message(1, NEW, SECOND), "uuid": None, "urn": None, "quick_replies": None, "flow": None}
    loaded("messages", plain)
    archived = {**_message(1, ARCHIVE, None), "flow": {"uuid": _uuid("flow"), "name": "Poll"}}
    stored = loaded("messages", archived, day=DAY)["1"]
    assert (str(stored["uuid"]), stored["urn"], stored["flow_name"]) == (archived["uuid"], "telegram:77", "Poll")
    assert (stored["broadcast"], stored["media"], stored["archived"]) == (plain["broadcast"], plain["media"], True)


def test_a_value_that_an_archive_told_was_still_there_at_the_end_of_the_archives_day(
    loaded: Callable[..., dict[Any, Row]], tmp_path: Path
) -> None:
    loaded("messages", _message(1, ARCHIVE, FIRST), day=DAY)
    loaded("messages", _message(1, NEW, SECOND))
    with Lake.open(tmp_path / "lake") as lake:
        noted = lake.rows("SELECT what, still_on FROM message_history ORDER BY what")
    assert noted == [(what, datetime(2025, 3, 2, tzinfo=UTC)) for what in ("labels", "status", "visibility")]


def test_a_value_that_was_not_known_and_one_that_is_not_known_any_more_are_changes(
    loaded: Callable[..., dict[Any, Row]], tmp_path: Path
) -> None:
    for status in (None, "sent", None):
        loaded("messages", {**_message(1, NEW, FIRST), "status": status})
    with Lake.open(tmp_path / "lake") as lake:
        noted = lake.rows("SELECT what, from_value, to_value FROM message_history ORDER BY changed_by")
    assert noted == [("status", None, "sent"), ("status", "sent", None)]


def test_a_row_that_brings_nothing_new_is_not_written(loaded: Callable[..., dict[Any, Row]], tmp_path: Path) -> None:
    rows = [_message(1, NEW, FIRST), _message(1, ARCHIVE, SECOND)]
    loaded("messages", rows[0])
    loaded("messages", rows[1], day=DAY)
    with Lake.create(tmp_path / "lake") as lake:
        before = lake.rows("SELECT synced_on FROM messages")
        for row, day in ((rows[0], None), (rows[1], DAY), (rows[0], None)):
            load(lake, tmp_path, "messages", [row], day)
        assert lake.rows("SELECT synced_on FROM messages") == before


def load(lake: Lake, folder: Path, stream: str, rows: list[Row], day: date | None) -> None:
    """Load rows as a sync does: staged and merged in one transaction."""
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        merge(connection, stage(connection, STREAMS[stream].table, [path], archived_in=day))
        forget_batch(connection)

    lake.commit(work)
