"""Each cursor says what was read, no more and no less: overlap and revisits would hide one that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.months import Month
from pipeline.reading.reader import Options
from sandbox import Faults, Workspace, generate
from tests.cases import cases
from tests.pipeline.scene import Scene, now

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WHOLE = (None, None, None, None)  # complete from the beginning, no walk open
ON = {"messages": "created_on", "contacts": "modified_on", "runs": "modified_on"}
LAST = Month.of(now()).plus(-1)


@pytest.fixture
def scene(scene_of: Callable[[Workspace], Scene]) -> Scene:
    """700 messages and runs, so that each is read in three pages, and statistics of each day."""
    workspace = generate(messages=200, contacts=60, runs=150, seed=7, archives=False, statistics=True)
    for stream in ("messages", "runs"):
        workspace.add(stream, 700 - workspace.count(stream), at=now() - 40 * DAY)
    return scene_of(workspace)


# -- read to the end --


def test_each_cursor_is_the_end_of_the_window_that_was_read(scene: Scene) -> None:
    streams = ("fields", "contacts", "messages", "broadcasts", "runs", "tickets", "flows", "definitions", "statistics")
    lag = 10 * 60
    begun = now()
    scene.sync(*streams, lag=lag)
    [first] = {scene.windows(stream)[0][1] for stream in ON}
    assert begun - timedelta(seconds=lag) <= first <= now() - timedelta(seconds=lag)
    flows = max(datetime.fromisoformat(row["modified_on"]) for row in scene.workspace.rows("flows"))
    [(digest,)] = scene.rows("SELECT feed FROM _cursor WHERE feed LIKE 'fields %'")
    expected = {
        **{(stream, "rows"): (first, *WHOLE) for stream in (*ON, "broadcasts", "tickets", "statistics")},
        ("definitions", "rows"): (flows, *WHOLE),
        ("contacts", "deleted"): (first, *WHOLE),
        ("contacts", digest): (first, *WHOLE),
        ("messages", "revisit 48 h"): (first, *WHOLE),
        ("messages", "revisit 192 h"): (first, *WHOLE),
        ("broadcasts", "revisit 192 h"): (first, *WHOLE),
        ("tickets", "whole"): (first, *WHOLE),
    }
    assert scene.cursors() == expected

    scene.sync(*streams, lag=lag, overlap=300)
    [second] = {before for stream in ON for _, before in scene.windows(stream)}
    assert first < second <= now() - timedelta(seconds=lag)
    moved = {key: (second, *WHOLE) for key in expected if key[1] in ("rows", "deleted") and key[0] != "definitions"}
    assert scene.cursors() == expected | moved
    assert scene.windows("contacts") == scene.windows("runs") == [(first - timedelta(minutes=5), second)]
    assert scene.windows("contacts", feed="deleted") == scene.windows("contacts")
    assert scene.windows("messages") == scene.windows("broadcasts") == [(second - 2 * HOUR, second)]
    scene.sync("messages", overlap=3 * 60 * 60)
    assert [after for after, _ in scene.windows("messages")] == [second - 3 * HOUR]


@pytest.mark.parametrize("stream", cases("messages", long=["runs"]))
@pytest.mark.long
def test_a_lake_is_complete_from_the_earliest_date_that_was_ever_asked_for(scene: Scene, stream: str) -> None:
    dates = [datetime.fromisoformat(row[ON[stream]]) for row in scene.workspace.rows(stream)]
    early, middle, late = (now() - number * DAY for number in (80, 50, 20))
    for since, full, complete in (
        (middle, False, middle),
        (None, False, middle),
        (late, False, middle),
        (late, True, middle),
        (early, False, early),
        (None, False, early),
        (None, True, None),
        (late, True, None),
        (early, False, None),
        (None, False, None),
    ):
        scene.sync(stream, options=Options(since, full))
        assert scene.cursors()[stream, "rows"] == (scene.windows(stream)[0][1], complete, None, None, None)
        stored = scene.rows(f"SELECT min({ON[stream]}) FROM {stream}")
        assert stored == [(min(at for at in dates if complete is None or at >= complete),)]
    scene.assert_true(stream)


def test_a_workspace_in_which_no_contact_was_ever_deleted_is_read_like_any_other(scene: Scene) -> None:
    scene.workspace.store.execute("DELETE FROM contacts_deleted")
    assert scene.sync("contacts")["contacts"].outcome == "done"
    assert scene.read_up_to("contacts", "deleted") == scene.read_up_to("contacts")


def test_a_watermark_never_goes_back(scene: Scene) -> None:
    scene.sync("messages")
    known = scene.read_up_to("messages")
    scene.sync("messages", lag=60 * 60, options=Options(full=True))
    assert scene.windows("messages")[0][1] < known
    assert scene.read_up_to("messages") == known


def test_a_date_that_is_not_reached_yet_reads_nothing_until_it_is(scene: Scene) -> None:
    since = now() - timedelta(minutes=20)
    for result in scene.sync("messages", "contacts", lag=60 * 60, options=Options(since)).values():
        assert result.message and result.message.startswith(
            f"nothing was asked for: reading would begin at {since:%F %T}"
        )
    assert (scene.windows("messages"), scene.windows("contacts"), scene.cursors()) == ([], [], {})
    scene.sync("messages", options=Options(since))
    assert scene.windows("messages")[0][0] == since
    assert scene.cursors()["messages", "rows"] == (scene.windows("messages")[0][1], since, None, None, None)


def test_statistics_are_read_up_to_now_and_a_week_again(scene: Scene) -> None:
    asked = []
    for full in (False, False, True):
        scene.sync("statistics", options=Options(full=full))
        asked += [seen.params["since"] for seen in scene.sandbox.requests if seen.endpoint == "statistics"]
        scene.age("statistics", "rows", 3 * DAY)
    today = now().date()
    assert asked == [str(today - number * DAY) for number in (365, 10, 365)]


def test_definitions_are_read_up_to_the_flow_that_was_modified_last(scene: Scene) -> None:
    workspace = scene.workspace
    scene.sync("flows", "definitions")
    [flow] = workspace.edit("flows", 1)
    edited = next(row for row in workspace.rows("flows") if row["uuid"] == flow)
    for requests in (1, 0):
        result = scene.sync("flows", "definitions")["definitions"]
        assert scene.read_up_to("definitions") == datetime.fromisoformat(edited["modified_on"])
        assert result.tally.counters.requests == requests


@pytest.mark.long
def test_every_contact_is_read_again_once_after_the_workspaces_fields_have_changed(scene: Scene) -> None:
    workspace, since = scene.workspace, now() - 30 * DAY
    workspace.add("contacts", 500, at=now() - DAY)

    def first_window() -> tuple[datetime | None, datetime]:
        scene.sync("fields", "contacts")
        return scene.windows("contacts")[0]

    def digests() -> set[object]:
        return scene.column("SELECT feed FROM _cursor WHERE stream = 'contacts' AND feed LIKE 'fields %'")

    scene.sync("fields", "contacts", options=Options(since))
    field, other = workspace.rows("fields")[:2]
    new = {**field, "key": "shoe_size", "name": "Shoe size", "label": "Shoe size"}
    for change in (
        lambda: workspace.put("fields", new),
        lambda: workspace.put("fields", {**new, "type": "number" if field["type"] != "number" else "text"}),
        lambda: workspace.put("fields", {**new, "name": "Foot"}),
        lambda: workspace.delete("fields", [other["key"]]),
    ):
        [known], end = digests(), scene.read_up_to("contacts")
        assert first_window()[0] == end - HOUR / 4
        assert digests() == {known}
        change()
        assert first_window()[0] == since
        assert len(digests() - {known}) == len(digests()) == 1

    workspace.delete("fields", ["shoe_size"])
    scene.sandbox.faults = Faults(script={"contacts": ["ok", "forbidden"]})
    assert first_window()[0] == since
    *_, place = scene.cursors()["contacts", "rows"]
    scene.sandbox.faults = Faults()
    assert first_window()[0] == place > since
    assert since not in [after for after, _ in scene.windows("contacts")]
    end = scene.read_up_to("contacts")
    assert first_window()[0] == end - HOUR / 4


# -- not read to the end --


@pytest.mark.parametrize("stream", cases("contacts", long=["messages", "runs"]))
def test_an_empty_listing_moves_no_cursor_so_that_what_changed_before_it_is_read_later(
    scene: Scene, stream: str
) -> None:
    workspace = scene.workspace
    scene.sync(stream, overlap=0, revisits="")
    before = scene.cursors()
    kept = workspace.rows(stream)
    changed = workspace.add(stream, 1)
    late = workspace.row(stream, changed[0])
    assert late
    workspace.store.execute(f"DELETE FROM {stream}")
    result = scene.sync(stream, overlap=0, revisits="", options=Options(full=True))[stream]
    assert (result.outcome, result.message) == (
        "suspicious",
        f"the server lists no rows where the lake has {len(kept)}: nothing was changed; "
        "look at the workspace, then sync again",
    )
    before.pop((stream, "deleted"), None)  # another list, which was read
    assert before.items() <= scene.cursors().items()
    for row in [*reversed(kept), late]:
        workspace.put(stream, row)
    assert scene.sync(stream, overlap=0, revisits="")[stream].outcome == "done"
    scene.assert_true(stream)


@pytest.mark.parametrize("stream", cases("messages", long=["runs"]))
def test_an_interrupted_walk_keeps_its_place_beside_what_was_read_before(scene: Scene, stream: str) -> None:
    dates = sorted(datetime.fromisoformat(row[ON[stream]]) for row in scene.workspace.rows(stream))
    dates, since = dates if stream == "runs" else dates[::-1], min(dates) - HOUR
    scene.sandbox.faults = Faults(script={stream: ["ok", "ok", "forbidden"]})
    assert scene.sync(stream, options=Options(since))[stream].outcome == "failed"
    end, place = scene.windows(stream)[0][1], dates[498]  # the row at a page's edge comes twice
    assert scene.cursors() == {(stream, "rows"): (None, None, since, end, place)}
    assert scene.rows(f"SELECT count(*) FROM {stream}") == [(499,)]

    scene.sandbox.faults = Faults()
    assert scene.sync(stream)[stream].outcome == "done"
    gone_on, new = scene.windows(stream)[0], scene.windows(stream)[-1]
    assert gone_on == ((place, end) if stream == "runs" else (since, place))
    assert new[0] == (end - HOUR / 4 if stream == "runs" else new[1] - 2 * HOUR)
    assert scene.cursors()[stream, "rows"] == (new[1], since, None, None, None)
    scene.assert_true(stream)

    scene.sandbox.faults = Faults(script={stream: ["ok", "forbidden"]})
    assert scene.sync(stream, options=Options(full=True))[stream].outcome == "failed"
    end = scene.windows(stream)[0][1]
    assert scene.cursors()[stream, "rows"] == (new[1], since, None, end, dates[249])
    scene.sandbox.faults = Faults()
    scene.sync(stream, options=Options(full=True))
    after, before = scene.windows(stream)[0]
    assert after is None and before > end
    assert scene.cursors()[stream, "rows"] == (before, *WHOLE)


def test_a_walk_interrupted_among_rows_of_one_timestamp_keeps_those_and_the_place_before_them(scene: Scene) -> None:
    scene.workspace.edit("runs", 400, same_timestamp=True)
    tied = max(datetime.fromisoformat(row["modified_on"]) for row in scene.workspace.rows("runs"))
    scene.sandbox.faults = Faults(script={"runs": ["ok", "ok", "ok", "forbidden"]})
    assert scene.sync("runs")["runs"].outcome == "failed"
    end = scene.windows("runs")[0][1]
    assert scene.cursors() == {("runs", "rows"): (None, None, None, end, tied)}
    assert scene.rows(f"SELECT count(*) = 250 FROM runs WHERE modified_on = '{tied}'") == [(True,)]
    scene.sandbox.faults = Faults()
    assert scene.sync("runs")["runs"].outcome == "done"
    scene.assert_true("runs")


@pytest.mark.parametrize("since", [None, datetime(2024, 1, 1, tzinfo=UTC)], ids=["all", "from a date on"])
@pytest.mark.parametrize("gone", [False, True], ids=["nothing is left", "the server lists nothing"])
def test_an_empty_rest_of_a_walk_is_believed_only_where_the_server_still_lists_rows(
    scene: Scene, gone: bool, since: datetime | None
) -> None:
    scene.workspace.edit("runs", 400, same_timestamp=True)
    tied = max(datetime.fromisoformat(row["modified_on"]) for row in scene.workspace.rows("runs"))
    scene.sandbox.faults = Faults(script={"runs": ["ok"] * 7 + ["forbidden"]})
    assert scene.sync("runs", options=Options(since=since))["runs"].outcome == "failed"
    end = scene.windows("runs")[0][1]
    interrupted = {("runs", "rows"): (None, None, since, end, tied + timedelta(microseconds=1))}
    assert scene.cursors() == interrupted
    scene.sandbox.faults = Faults()
    if gone:
        scene.workspace.store.execute("DELETE FROM runs")
        assert scene.sync("runs")["runs"].outcome == "suspicious"
        assert scene.cursors() == interrupted
    else:
        assert scene.sync("runs")["runs"].outcome == "done"
        asked = [after for after, _ in scene.windows("runs")]
        assert asked[:2] == [tied + timedelta(microseconds=1), end - HOUR / 4]
        scene.assert_true("runs")


def test_a_month_that_is_read_has_no_cursor_and_one_that_is_interrupted_goes_on(scene: Scene) -> None:
    workspace = scene.workspace
    workspace.add("messages", 400, at=LAST.start + 9 * DAY)
    scene.sync("messages")
    known = scene.cursors()
    scene.sandbox.faults = Faults(script={"messages": ["ok", "forbidden"]})
    assert scene.fill("messages", LAST).outcome == "failed"
    mine = sorted(row["created_on"] for row in workspace.rows("messages") if row["created_on"][:7] == str(LAST))
    place = datetime.fromisoformat(mine[-250])
    month = ("messages", f"month {LAST}")
    assert scene.cursors().items() >= {**known, month: (None, None, LAST.start, LAST.end, place)}.items()
    scene.sandbox.faults = Faults()
    assert scene.fill("messages", LAST).outcome == "done"
    assert scene.windows("messages")[0] == (LAST.start, place)
    left = scene.cursors()
    assert month not in left
    assert left["messages", "rows"] == known["messages", "rows"]
    scene.assert_true("messages")


def test_a_cursor_that_another_process_saves_meanwhile_is_replaced(scene: Scene) -> None:
    feed, saved = ("messages", "revisit 48 h"), []

    def save(endpoint: str) -> None:
        if not saved:
            saved.append("INSERT INTO _cursor (stream, feed, updated_on) VALUES ('messages', 'revisit 48 h', now())")
            scene.write(saved[0])

    scene.sandbox.after_page = save
    assert scene.fill("messages", LAST).outcome == "done"
    assert saved and feed in scene.cursors()


def test_a_month_that_has_just_ended_is_read_up_to_where_its_rows_are_settled(scene: Scene) -> None:
    settled = LAST.start + 14 * DAY
    for at in (settled - DAY, settled + DAY):
        scene.workspace.add("messages", 1, at=at)
    scene.fill("messages", LAST, lag=round((now() - settled).total_seconds()))
    read = scene.rows(f"SELECT max(created_on) BETWEEN '{settled - DAY}' AND '{settled + DAY / 2}' FROM messages")
    assert read == [(True,)]


# -- what is due --


@pytest.mark.parametrize("asked", cases(Options(revisit_now=True), long=[Options(accept_deletions=True)]))
def test_who_asks_for_it_or_accepts_deletions_has_days_read_again_that_were_just_read(
    scene: Scene, asked: Options
) -> None:
    workspace = scene.workspace
    [gone, _] = workspace.add("messages", 2, at=now() - 7 * DAY)
    scene.sync("messages")
    workspace.delete("messages", [gone])
    workspace.add("messages", 1, at=now() - 7 * DAY)
    assert scene.sync("messages", options=asked)["messages"].tally.rows_deleted == 1
    after, before = scene.windows("messages")[0]
    assert after == before - 8 * DAY
    scene.assert_true("messages")


@pytest.mark.long
def test_a_revisit_that_looks_suspicious_stays_due(scene: Scene) -> None:
    workspace = scene.workspace
    added = workspace.add("messages", 300, at=now() - 3 * DAY)
    gone = [workspace.row("messages", key) for key in added[:250]]
    scene.sync("messages")
    scene.age("messages", "revisit 192 h", DAY)
    due = scene.cursors()
    workspace.delete("messages", added[:250])
    for _ in range(2):
        assert scene.sync("messages")["messages"].outcome == "suspicious"
        after, before = scene.windows("messages")[0]
        assert after == before - 8 * DAY
        assert scene.cursors() == due | {("messages", "rows"): (before, *WHOLE)}
    for row in gone:
        assert row
        workspace.put("messages", row)
    assert scene.sync("messages")["messages"].outcome == "done"
    assert {feed: times[0] for (_, feed), times in scene.cursors().items()} == dict.fromkeys(
        ("rows", "revisit 48 h", "revisit 192 h"), scene.windows("messages")[0][1]
    )
    scene.assert_true("messages")


def test_tickets_are_read_until_they_are_known_and_whole_once_a_day(scene: Scene) -> None:
    workspace = scene.workspace
    workspace.add("tickets", 600, at=now() - 60 * DAY)
    scene.sync("tickets")
    tickets = workspace.rows("tickets")
    workspace.delete("tickets", [tickets[-1]["uuid"]])
    workspace.put("tickets", {**tickets[-2], "body": "edited, and no date says so"})

    scene.age("tickets", "whole", DAY - HOUR)
    known = scene.cursors()
    result = scene.sync("tickets")["tickets"]
    assert (result.tally.pages, result.tally.rows_changed, result.tally.rows_deleted) == (1, 0, 0)
    assert scene.read_up_to("tickets") > known["tickets", "rows"][0]
    assert scene.cursors()["tickets", "whole"] == known["tickets", "whole"]

    workspace.put("tickets", {**tickets[300], "body": "edited, and no date says so"})
    since = datetime.fromisoformat(tickets[270]["modified_on"])
    result = scene.sync("tickets", options=Options(since))["tickets"]
    assert (result.tally.pages, result.tally.rows_changed, result.tally.rows_deleted) == (2, 1, 0)

    scene.age("tickets", "whole", HOUR)
    result = scene.sync("tickets")["tickets"]
    assert (result.tally.rows_changed, result.tally.rows_deleted) == (1, 1)
    assert scene.read_up_to("tickets") == scene.read_up_to("tickets", "whole")
    scene.assert_true("tickets")


def test_tickets_that_come_late_within_the_overlap_are_all_found(scene: Scene) -> None:
    scene.sync("tickets")
    late = scene.read_up_to("tickets") - timedelta(minutes=15)
    scene.workspace.add("tickets", 300, at=late, same_timestamp=True)
    assert scene.sync("tickets", overlap=15 * 60)["tickets"].tally.rows_new == 300
    scene.assert_true("tickets")


def test_a_listing_that_kept_changing_leaves_both_cursors_where_they_were(scene: Scene) -> None:
    workspace = scene.workspace
    workspace.add("tickets", 300, at=now() - 60 * DAY, same_timestamp=True)
    scene.sync("tickets")
    scene.age("tickets", "whole", DAY)
    known = scene.cursors()
    scene.sandbox.after_page = lambda endpoint: workspace.edit("tickets", 1) and None
    result = scene.sync("tickets")["tickets"]
    assert result.message and "kept changing" in result.message
    assert result.tally.rows_changed > 0
    assert scene.cursors() == known
    scene.sandbox.after_page = None
    scene.sync("tickets")
    scene.assert_true("tickets")
