"""`verify`, `archives` and `sync --accept-deletions` as people and machines use them: processes, exit codes, words."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import chdir
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from sandbox import Faults, Sandbox, Workspace, archive_old_rows, count_statistics, generate
from tests.commands import Ended, access, run
from tests.lakes import new_lake
from warehouse import Lake
from warehouse.proof.findings import KINDS

ARCHIVED_DAYS = 4


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Rows of 90 days, the oldest in archives; a test that changes its faults puts them back, no test its rows."""
    with Sandbox(make_workspace(), requests_per_hour=0) as served:
        yield served


@pytest.fixture(scope="module")
def synced(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = new_lake(tmp_path_factory.mktemp("synced") / "lake")
    with chdir(path.parent):
        assert run("sync", "--lake", path, **access(sandbox)).code == 0
    return path


@pytest.fixture
def lake(synced: Path, tmp_path: Path) -> Path:
    """A lake with all of `sandbox`, a test's own."""
    return Path(shutil.copytree(synced, tmp_path / "lake"))


@pytest.fixture
def call(sandbox: Sandbox, lake: Path) -> partial[Ended]:
    """Runs `rapidlake` with that sandbox and that lake."""
    return partial(run, **access(sandbox), RAPIDLAKE_LAKE=str(lake))


# -- verify --


def test_a_true_lake_is_told_to_people_and_to_machines(call: partial[Ended], sandbox: Sandbox) -> None:
    people, machines = call("verify"), call("verify", "messages", "labels", "--json")
    assert (people.code, machines.code) == (0, 0), people.said
    assert "The lake is true: no differences;" in people.out
    facts = machines.facts
    assert (facts["failed"], facts["repaired"], facts["differences"]) == (False, False, 0)
    assert facts["workspace"] == sandbox.workspace.rows("workspace")[0]["uuid"]
    assert {finding["stream"] for finding in facts["findings"]} == {"messages", "labels"}
    compared = sum(finding["compared"] for finding in facts["findings"])
    assert compared >= sandbox.workspace.count("messages") + sandbox.workspace.count("labels")
    assert {stream["outcome"] for stream in facts["streams"]} == {"done"}


def test_a_difference_is_told_with_stream_month_and_key_and_mended_on_demand(call: partial[Ended], lake: Path) -> None:
    gone, month = look(lake, "SELECT id, created_on FROM messages WHERE archived_in IS NULL ORDER BY id LIMIT 1")[0]
    change(lake, f"DELETE FROM messages WHERE id = {gone}")
    people = call("verify", "messages")
    assert people.code == 1
    assert "messages" in people.out and f"{month:%Y-%m}" in people.out and f"messages: missing {gone}" in people.out
    assert "1 differences (--repair mends them)" in people.out
    mended = call("verify", "messages", "--repair", "--json")
    [finding] = [one for one in mended.facts["findings"] if one["missing"]]
    assert (finding["stream"], finding["month"], finding["examples"]) == (
        "messages", f"{month:%Y-%m}-01", [f"missing {gone}"]
    )  # fmt: skip
    assert (mended.code, mended.facts["repaired"]) == (1, True)
    again = call("verify", "messages")
    assert (again.code, "The lake is true" in again.out) == (0, True)


def test_what_cannot_be_asked_is_refused_in_one_sentence(call: partial[Ended], tmp_path: Path) -> None:
    none = tmp_path / "none"
    expected = {
        ("verify", "mesages"): (2, "There is no stream mesages"),
        ("verify", "archives"): (2, "archives cannot be verified by itself"),
        ("verify", "--sample", "0"): (2, "Invalid value for '--sample'"),
        ("verify", "labels", "messages", "--sample", "nan"): (2, "sample"),
        ("verify", "--since", "rubbish"): (2, "'rubbish' is no date"),
        ("verify", "--rotate", "--sample", "10"): (2, "--rotate chooses the days itself"),
        ("verify", "--rotate", "--since", "2026-01-31"): (2, "--rotate chooses the days itself"),
        ("verify", "--since", "2999-01-01"): (2, "lies in the future"),
        ("verify", "labels", "--lake", none): (1, "There is no lake at"),
        ("archives", "--lake", none): (1, "There is no lake at"),
        ("archives", "2026-13"): (2, "'2026-13' is no month"),
        ("archives", "--type", "event"): (2, "'event' is not one of 'message', 'run'"),
    }
    failures = []
    for (arguments, (code, words)), one in zip(
        expected.items(), [call(*arguments) for arguments in expected], strict=True
    ):
        if words not in one.said or (one.code == 0) or (code == 2 and one.code != 2) or one.out:
            failures.append((arguments, one.code, one.said))
    assert not failures
    assert not none.exists()


def test_a_night_mends_and_ends_well_and_status_tells_what_is_proven(call: partial[Ended], lake: Path) -> None:
    oldest = "(SELECT min(created_on) FROM messages WHERE archived_in IS NULL)"
    change(lake, f"DELETE FROM messages WHERE created_on = {oldest}")
    assert call("verify", "messages").code == 1  # what is known to differ comes first
    mended = call("verify", "--rotate", "--repair", "--json")
    assert (mended.code, mended.facts["rotated"], mended.facts["differences"]) == (0, True, 1)
    before = {one["stream"]: one for one in call("status", "--json").facts["streams"]}
    assert before["contacts"]["proven_on"] is None
    assert call("verify").code == 0
    after = {one["stream"]: one for one in call("status", "--json").facts["streams"]}
    assert all(one["proven_on"] for one in after.values() if one["rows"] and one["stream"] != "archives")
    assert all(month["proven_on"] for month in after["messages"]["months"]) and after["messages"]["months"]
    shown = call("status", "--months").out
    assert after["messages"]["months"][0]["month"] in shown and f"{datetime.now(UTC):%Y-%m-%d}" in shown


@pytest.mark.long
def test_since_reads_less_and_finds_what_lies_within(call: partial[Ended], sandbox: Sandbox, lake: Path) -> None:
    since = datetime.now(UTC) - timedelta(days=20)
    for where in ("<", ">="):
        newest = f"SELECT max(id) FROM messages WHERE created_on {where} '{since}'"
        change(lake, f"DELETE FROM messages WHERE id = ({newest})")
    asked, found = [], []
    for options in ([], ["--since", since.isoformat()]):
        sandbox.requests.clear()
        found.append(call("verify", "messages", "--json", *options).facts["differences"])
        asked.append(sum(seen.endpoint == "messages" for seen in sandbox.requests))
    assert found == [2, 1]
    assert asked[1] < asked[0]


@pytest.mark.long
def test_a_sample_reads_less_and_finds_what_lies_on_every_day(call: partial[Ended], lake: Path) -> None:
    of_each_day = "SELECT max(id) FROM messages WHERE archived_in IS NULL GROUP BY created_on::DATE HAVING count(*) > 1"
    [(days,)] = look(lake, f"SELECT count(*) FROM ({of_each_day})")
    change(lake, f"DELETE FROM messages WHERE id IN ({of_each_day})")
    whole, part = (call("verify", "messages", "--json", *sample) for sample in ([], ["--sample", 20]))
    assert (whole.code, part.code) == (1, 1)
    assert days == whole.facts["differences"] > 2 * part.facts["differences"] > 0
    assert whole.facts["streams"][0]["rows_read"] > 2 * part.facts["streams"][0]["rows_read"] > 0


@pytest.mark.long
def test_many_rows_that_the_server_lacks_are_marked_only_by_the_command_that_is_told(
    call: partial[Ended], lake: Path
) -> None:
    for stream in ("contacts", "labels"):
        change(lake, f"INSERT INTO {stream} SELECT * REPLACE (uuid() AS uuid) FROM {stream} WHERE deleted_on IS NULL")
    before = live(lake, "contacts", "labels")
    refused = call("verify", "contacts", "labels", "--repair")
    assert refused.code == 1
    assert live(lake, "contacts", "labels") == before
    commands = set(re.findall(r"`rapidlake ([^`]*--accept-deletions)`", refused.said))
    assert len(commands) == 2
    assert "differences were repaired" not in refused.said
    for command in commands:
        call(*command.split())
    assert live(lake, "contacts", "labels") == [number // 2 for number in before]


def test_a_stream_that_fails_is_said_and_the_others_are_verified(
    call: partial[Ended], sandbox: Sandbox, lake: Path
) -> None:
    change(lake, "DELETE FROM labels WHERE uuid = (SELECT min(uuid) FROM labels)")
    sandbox.faults = Faults(script={"contacts": ["forbidden"] * 9})
    try:
        ended = call("verify", "contacts", "labels", "groups", "--json")
    finally:
        sandbox.faults = Faults()
    facts = ended.facts
    outcomes = {stream["stream"]: stream["outcome"] for stream in facts["streams"]}
    assert outcomes == {"contacts": "failed", "labels": "done", "groups": "done"}
    assert (ended.code, facts["failed"]) == (1, True)
    assert {kind: sum(one[kind] for one in facts["findings"]) for kind in KINDS if kind != "missing"} == dict.fromkeys(
        [kind for kind in KINDS if kind != "missing"], 0
    )
    assert [(one["stream"], one["missing"]) for one in facts["findings"] if one["missing"]] == [("labels", 1)]


def test_a_stream_that_is_being_synced_is_left_out_and_said(call: partial[Ended], lake: Path) -> None:
    with FileLock(lake / "locks" / "labels.lock"):
        ended = call("verify", "labels", "groups")
    assert "labels skipped: another process is syncing it now" in ended.said
    assert "groups" in ended.out
    assert "The lake is true" not in ended.out, "nobody looked at the labels"


@pytest.mark.long
def test_messages_counted_and_never_seen_are_told_and_no_failure(tmp_path: Path) -> None:
    with Sandbox(make_workspace(), requests_per_hour=0) as sandbox:
        workspace, lake = sandbox.workspace, new_lake(tmp_path / "lake")
        call = partial(run, **access(sandbox), RAPIDLAKE_LAKE=str(lake))
        by_day = {row["created_on"][:10]: row for row in workspace.rows("messages") if row["channel"]}
        unseen, seen = [by_day[day] for day in sorted(by_day)[10:12]]
        count_statistics(workspace)
        workspace.delete("messages", [unseen["id"]])
        assert call("sync", "archives", "messages", "channels", "statistics").code == 0
        workspace.delete("messages", [seen["id"]])
        assert call("sync", "messages", "--full").code == 0
        ended = call("verify", "messages", "--json")
        told = call("verify", "messages")
    assert look(tmp_path / "lake", "SELECT id FROM messages WHERE deleted_on IS NOT NULL") == [(seen["id"],)]
    assert (ended.code, ended.facts["differences"]) == (0, 0)
    [one] = ended.facts["uncounted"]
    day, channel = unseen["created_on"][:10], unseen["channel"]["uuid"]
    assert (one["day"], one["channel"], one["direction"]) == (day, channel, unseen["direction"])
    assert one["counted"] == one["stored"] + 1
    assert f"{day} {channel} {unseen['direction']}: {one['counted']} counted, {one['stored']} in the lake" in told.said


# -- archives --


def test_archives_shows_the_files_by_month_and_type(call: partial[Ended], sandbox: Sandbox, lake: Path) -> None:
    month = first_month(lake)
    change(lake, f"DELETE FROM _archives WHERE archive_type = 'run' AND start_date < last_day(DATE '{month}-01') + 1")
    people, machines = call("archives"), call("archives", "--json")
    some = call("archives", month, "--type", "message", "--json")
    assert (people.code, machines.code, some.code) == (0, 0, 0)
    assert month in people.out and "message" in people.out
    listed = {(row["archive_type"], row["start_date"]): row for row in sandbox.workspace.rows("archives")}
    shown = {(file["archive_type"], file["start_date"]): file for file in machines.facts}
    assert shown.keys() == listed.keys()
    assert all(shown[key]["record_count"] == row["record_count"] for key, row in listed.items())
    states = {key: "empty" if not row["record_count"] else "loaded" for key, row in listed.items()}
    lost = {key for key, state in states.items() if key[0] == "run" and key[1][:7] == month and state == "loaded"}
    assert {key: file["state"] for key, file in shown.items()} == states | dict.fromkeys(lost, "not loaded")
    assert f"{len(lost)} files are not loaded" in people.out
    wanted = {key for key in listed if key[0] == "message" and key[1][:7] == month}
    assert {(file["archive_type"], file["start_date"]) for file in some.facts} == wanted


def test_archives_loads_just_what_is_named_again(call: partial[Ended], sandbox: Sandbox, lake: Path) -> None:
    month = first_month(lake)
    for stream in ("runs", "messages"):
        change(lake, f"DELETE FROM {stream} WHERE archived_in IS NOT NULL")
    expected = {row["start_date"] for row in sandbox.workspace.rows("archives")
                if row["archive_type"] == "run" and row["start_date"][:7] == month and row["record_count"]}  # fmt: skip
    sandbox.requests.clear()
    assert call("archives", "--load", month, "--type", "run").code == 0
    assert not files(sandbox), "they are in the lake, by its account"
    ended = call("archives", "--load", month, "--type", "run", "--again", "--json")
    assert (ended.code, ended.facts["failed"]) == (0, False)
    assert len(files(sandbox)) == len(expected)
    assert all("run" in path for path in files(sandbox))
    loaded = look(lake, "SELECT DISTINCT archived_in::VARCHAR FROM runs WHERE archived_in IS NOT NULL")
    assert {day for (day,) in loaded} == expected
    assert look(lake, "SELECT count(*) FROM messages WHERE archived_in IS NOT NULL") == [(0,)]


# -- sync --accept-deletions --


def test_sync_marks_what_it_refused_to_when_the_deletions_are_accepted(tmp_path: Path) -> None:
    with Sandbox(generate(messages=50, seed=3, archives=False), requests_per_hour=0) as sandbox:
        call = partial(run, **access(sandbox), RAPIDLAKE_LAKE=str(new_lake(tmp_path / "lake")))
        assert call("sync", "labels", "groups").code == 0
        labels = [row["uuid"] for row in sandbox.workspace.rows("labels")]
        sandbox.workspace.delete("labels", labels[:3])
        refused = call("sync", "labels", "groups")
        assert refused.code == 1
        assert f"3 of {len(labels)} rows are no longer on the server (60%)" in refused.said
        assert "Then run `rapidlake sync labels --accept-deletions`; nothing was marked yet" in refused.said
        assert live(tmp_path / "lake", "labels") == [len(labels)]
        accepted = call("sync", "labels", "--accept-deletions", "--json")
        assert (accepted.code, accepted.facts["streams"][0]["rows_deleted"]) == (0, 3)
    left = {str(uuid) for (uuid,) in look(tmp_path / "lake", "SELECT uuid FROM labels WHERE deleted_on IS NULL")}
    assert left == set(labels[3:])


# -- helpers --


@pytest.mark.parametrize(
    ("hours", "hours_left", "words"),
    [(1, 47, None), (30, 18, "resthook_events: rows will be lost unread in 18 hours"), (60, -12, "being lost unread")],
)
def test_status_warns_before_the_server_forgets_what_is_not_in_the_lake(
    lake: Path, hours: int, hours_left: int, words: str | None
) -> None:
    read = f"now() - INTERVAL {hours} HOUR"
    change(lake, f"UPDATE _cursor SET watermark = {read} WHERE stream = 'resthook_events' AND feed = 'rows'")
    people, machines = (run("status", "--lake", lake, *options) for options in ([], ["--json"]))
    left = {stream["stream"]: stream["lost_in_hours"] for stream in machines.facts["streams"]}
    assert left["resthook_events"] == pytest.approx(hours_left, abs=0.2)
    assert left["messages"] is None, "archives keep them"
    assert ("lost unread" in people.out) == bool(words)
    assert words is None or words in people.out


def make_workspace() -> Workspace:
    workspace = generate(messages=600, seed=9, archives=False)
    workspace.offer("archives")
    first = min(row["created_on"] for row in workspace.rows("messages"))
    archive_old_rows(workspace, datetime.fromisoformat(first).date() + timedelta(days=ARCHIVED_DAYS))
    return workspace


def first_month(lake: Path) -> str:
    """The month of the oldest archive file that has records of runs."""
    oldest = "SELECT min(start_date)::VARCHAR FROM archives WHERE archive_type = 'run' AND record_count > 0"
    return str(look(lake, oldest)[0][0])[:7]


def files(sandbox: Sandbox) -> list[str]:
    """What was downloaded."""
    return [seen.path for seen in sandbox.requests if seen.endpoint == "files"]


def live(lake: Path, *streams: str) -> list[int]:
    return [look(lake, f"SELECT count(*) FROM {stream} WHERE deleted_on IS NULL")[0][0] for stream in streams]


def look(lake: Path, query: str) -> list[tuple[Any, ...]]:
    with Lake.open(lake) as opened:
        return opened.rows(query)


def change(lake: Path, statement: str) -> None:
    """What no part of Rapidlake does: change the lake by hand."""
    with Lake.create(lake) as opened:
        opened.commit(lambda connection: connection.execute(statement) and None)
