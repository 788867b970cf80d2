"""Archive files from a store that fails, lies or forgets: no row wrong, none missing unsaid, and the rest is loaded."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.results import StreamResult
from pipeline.settings import load_settings
from sandbox import (
    Faults,
    Sandbox,
    SeenRequest,
    Workspace,
    generate,
    put_archive,
    put_archive_bytes,
    read_archive,
    remove_archive,
    roll_up,
)
from tests.cases import cases
from tests.lakes import rows, stored
from tests.sessions import sync
from tests.truth import assert_same, expected_union

Row = dict[str, Any]

# The file that something is wrong with, and two others.
BAD, GOOD = "2025-02-02", ("2025-02-01", "2025-02-03")
LINES = 30
PERSON = "5e0a3b1c-0000-4000-8000-000000000000"


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """Three daily files of messages, and no message in the API."""
    with generate(messages=0, contacts=2, archives=False) as workspace:
        for day in (BAD, *GOOD):
            put_archive(workspace, "message", "daily", day, lines_of(day))
        workspace.offer("archives")
        yield workspace


# -- the store fails for good --


def test_files_that_are_not_what_the_list_says_are_named_and_the_others_are_loaded(
    sandbox: Sandbox, lake: Path
) -> None:
    faults = {
        "altered": "its MD5 is not the one in the list",
        "short": "bytes where the list says",
        "empty": "it has 0 bytes where the list says",
        "expired": "the file store no longer knows the address (403)",
        "gone": "the file store no longer knows the address (404)",
    }
    bad = dict(zip(faults, put_more(sandbox.workspace, len(faults)), strict=True))
    meet(sandbox, {day: [fault] for fault, day in bad.items()}, for_ever=True)
    result = run(sandbox, lake, patience=0)
    assert result.outcome == "failed"
    assert result.message and "5 of 8 archive files are not loaded, the others are" in result.message
    for fault, reason in faults.items():
        told = re.search(rf"message {bad[fault]} \((.*?)\)(, | and |;)", result.message)
        assert told and reason in told[1] + ")", fault
    assert_true(sandbox.workspace, lake, without=[*bad.values()])
    assert_no_address_is_kept(sandbox, lake, result)

    heal(sandbox)
    assert run(sandbox, lake).outcome == "done"
    assert_true(sandbox.workspace, lake)


@pytest.mark.parametrize(("fault", "reason"), [("error", "it answered 500"), ("reset", "Error")])
def test_a_file_that_the_store_never_sends_is_named_and_the_others_are_loaded(
    sandbox: Sandbox, lake: Path, fault: str, reason: str
) -> None:
    meet(sandbox, {BAD: [fault]}, for_ever=True)
    result = run(sandbox, lake, patience=0)
    assert result.outcome == "failed"
    assert result.message and reason in result.message
    assert_no_address_is_kept(sandbox, lake, result)
    assert f"message {BAD}" in result.message
    assert_true(sandbox.workspace, lake, without=[BAD])


# -- the store fails for a while --


def test_faults_that_pass_leave_no_trace(sandbox: Sandbox, lake: Path) -> None:
    passing = ["altered", "short", "empty", "twice", "expired", "gone", "error", "reset", "throttle", "no_range"]
    cases = [[fault] for fault in [*passing, "unpacked", "truncate"]]
    cases += [["truncate", fault] for fault in ("altered", "short", "twice", "unpacked", "no_range")]
    days = put_more(sandbox.workspace, len(cases), characters=2000)
    meet(sandbox, dict(zip(days, cases, strict=True)))
    assert run(sandbox, lake).outcome == "done"
    assert_true(sandbox.workspace, lake)
    assert not [path for path in (lake / "spool").rglob("*") if path.is_file()]


def test_a_download_that_is_cut_goes_on_where_it_was_cut(sandbox: Sandbox, lake: Path) -> None:
    put_large(sandbox.workspace)
    meet(sandbox, {BAD: ["truncate", "truncate"]})
    assert run(sandbox, lake).outcome == "done"
    first, second, third = (begins_at(seen) for seen in downloads(sandbox, BAD))
    assert 0 == first < second <= row_of(sandbox.workspace, BAD)["size"] // 2 < third
    assert_true(sandbox.workspace, lake)


def test_a_download_that_one_sync_could_not_finish_is_finished_by_the_next(sandbox: Sandbox, lake: Path) -> None:
    put_large(sandbox.workspace)
    meet(sandbox, {BAD: ["truncate", "error"]}, for_ever=True)
    result = run(sandbox, lake, patience=0)
    assert result.outcome == "failed"
    assert_no_address_is_kept(sandbox, lake, result)
    heal(sandbox)
    sandbox.requests.clear()
    assert run(sandbox, lake).outcome == "done"
    assert [begins_at(seen) > 0 for seen in downloads(sandbox, BAD)] == [True]
    assert_true(sandbox.workspace, lake)


def test_an_address_that_expires_in_the_middle_is_asked_for_again_and_the_download_goes_on(
    sandbox: Sandbox, lake: Path
) -> None:
    put_large(sandbox.workspace)
    meet(sandbox, {BAD: ["truncate", "expired"]})
    result = run(sandbox, lake)
    assert result.outcome == "done"
    first, *_, last = downloads(sandbox, BAD)
    assert first.params["Signature"] != last.params["Signature"]
    assert begins_at(last) > 0
    assert len([seen for seen in sandbox.requests if seen.endpoint == "archives"]) == 2
    assert_true(sandbox.workspace, lake)

    assert not any(seen.authorization for seen in sandbox.requests if seen.endpoint == "files")
    assert_no_address_is_kept(sandbox, lake, result)


# -- the list changes meanwhile --


@pytest.mark.parametrize("after", [[], ["truncate"]], ids=["before the download", "in the middle of it"])
def test_a_file_that_is_replaced_after_it_was_listed_is_loaded_as_it_is_now(
    sandbox: Sandbox, lake: Path, after: list[str]
) -> None:
    def replace() -> None:
        put_archive(sandbox.workspace, "message", "daily", BAD, lines_of(BAD, text="new"))

    meet(sandbox, {BAD: [*after, "ok"]}, before_last=replace)
    assert run(sandbox, lake).outcome == "done"
    assert_true(sandbox.workspace, lake)
    assert {row["text"] for row in stored(lake, "messages").values() if row["created_on"].strftime("%F") == BAD} == {
        "new"
    }


def test_a_file_that_is_replaced_again_and_again_is_left_to_the_next_sync_and_said(
    sandbox: Sandbox, lake: Path
) -> None:
    def replace(name: str) -> None:
        if BAD.replace("-", "") in name:
            put_archive(sandbox.workspace, "message", "daily", BAD, lines_of(BAD, text=name))

    sandbox.before_file = replace
    result = run(sandbox, lake)
    assert (result.outcome, f"message {BAD}" in str(result.message)) == ("failed", True)
    assert_true(sandbox.workspace, lake, without=[BAD])
    sandbox.before_file = None
    assert run(sandbox, lake).outcome == "done"
    assert_true(sandbox.workspace, lake)


@pytest.mark.parametrize("rolled_up", [True, False], ids=["rolled up", "removed"])
def test_a_file_that_is_gone_before_its_download_does_not_stop_the_others(
    sandbox: Sandbox, lake: Path, rolled_up: bool
) -> None:
    workspace, listed = sandbox.workspace, row_of(sandbox.workspace, BAD)
    change = (
        (lambda: roll_up(workspace, "message", "2025-02")) if rolled_up else lambda: remove_archive(workspace, listed)
    )
    meet(sandbox, {BAD: ["ok"]}, before_last=change)
    run(sandbox, lake)
    assert run(sandbox, lake).outcome == "done"
    assert_true(workspace, lake)


# -- the file itself is wrong, by a hash that is right --

SPOILT: dict[str, tuple[Callable[[bytes], bytes], int]] = {
    "cut": (lambda packed: packed[: len(packed) // 2], LINES),
    "altered": (lambda packed: packed[:-8] + bytes(8), LINES),
    "empty": (lambda packed: b"", LINES),
    "no lines": (lambda packed: gzip.compress(b""), LINES),
    "no gzip": (lambda packed: bytes(range(256)) * 9, LINES),
    "a record too few": (lambda packed: packed, LINES + 1),
    "a record too many": (lambda packed: packed, LINES - 1),
}
STRANGE: dict[str, Callable[[bytes], bytes]] = {
    "not packed": gzip.decompress,
    "without a last newline": lambda packed: gzip.compress(gzip.decompress(packed).rstrip()),
    "in two members": lambda packed: packed + gzip.compress(b""),
    "packed twice": gzip.compress,
    "packed three times": lambda packed: gzip.compress(gzip.compress(packed)),
}


def test_files_that_do_not_hold_what_the_list_says_are_not_loaded(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    days = put_more(workspace, len(SPOILT))
    for day, (spoil, count) in zip(days, SPOILT.values(), strict=True):
        put_archive_bytes(workspace, "message", "daily", day, spoil(pack(lines_of(day))), record_count=count)
    result = run(sandbox, lake)
    assert result.outcome == "failed"
    assert result.message and "7 of 10 archive files are not loaded" in result.message
    assert re.findall(r"message (\S+) \(it ", result.message) == days[:1:-1]  # five of them are named
    assert_true(workspace, lake, without=days)
    assert not [path for path in (lake / "spool").rglob("*") if path.is_file()]

    for day in days:
        put_archive(workspace, "message", "daily", day, lines_of(day))
    assert run(sandbox, lake).outcome == "done"
    assert_true(workspace, lake)


@pytest.mark.parametrize("how", cases(*[*STRANGE][:2], long=[*STRANGE][2:]))
def test_a_file_that_is_packed_strangely_is_loaded_all_the_same(sandbox: Sandbox, lake: Path, how: str) -> None:
    content = STRANGE[how](pack(lines_of(BAD)))
    put_archive_bytes(sandbox.workspace, "message", "daily", BAD, content, record_count=LINES)
    assert run(sandbox, lake).outcome == "done"
    put_archive(sandbox.workspace, "message", "daily", BAD, lines_of(BAD))
    assert_true(sandbox.workspace, lake)


# -- broken lines --


def test_broken_lines_are_put_aside_and_the_rest_of_the_file_is_loaded(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    broken = [
        '{"id": 5, "text": "brok',
        "<html>",
        "[1, 2]",
        '{"id": "five", "created_on": "2025-02-02T08:00:00+00:00"}',
        '{"id": null, "created_on": "2025-02-02T08:00:00+00:00"}',
        '{"id": 5, "created_on": "yesterday"}',
    ]
    good = lines_of(BAD, number=5 * LINES)
    put_archive(workspace, "message", "daily", BAD, [*good[:7], *map(str.encode, broken), *good[7:]])
    result = run(sandbox, lake)
    assert result.outcome == "done"
    assert result.message and "_quarantine" in result.message
    aside = rows(lake, "SELECT stream, source, record FROM _quarantine")
    assert {(stream, source) for stream, source, _ in aside} == {("messages", "archive")}
    assert sorted(compact(record) for *_, record in aside) == sorted(map(compact, broken))
    counted = rows(lake, f"SELECT record_count, rows, unreadable FROM _archives WHERE start_date = DATE '{BAD}'")
    assert counted == [(5 * LINES + len(broken), 5 * LINES, len(broken))]

    sandbox.requests.clear()
    run(sandbox, lake)
    assert not downloads(sandbox, BAD)
    put_archive(workspace, "message", "daily", BAD, good)
    assert_true(workspace, lake)


def test_a_file_of_which_much_cannot_be_read_is_read_again_until_it_can_be(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    good = lines_of(BAD)
    put_archive(workspace, "message", "daily", BAD, [*good, *[b'{"id": "five"}'] * 4])
    for _ in range(2):
        sandbox.requests.clear()
        result = run(sandbox, lake)
        assert (result.outcome, result.tally.rows_unreadable) == ("suspicious", 4)
        assert result.message and "4 of 34 rows could not be read (id does not fit BIGINT" in result.message
        assert downloads(sandbox, BAD)
        assert rows(lake, f"SELECT count(*) FROM _archives WHERE start_date = DATE '{BAD}'") == [(0,)]
        assert rows(lake, "SELECT count(*) FROM _quarantine") == [(1,)]
    put_archive(workspace, "message", "daily", BAD, good)
    assert run(sandbox, lake).outcome == "done"
    assert_true(workspace, lake)


# -- helpers --


def lines_of(day: str, *, text: str = "Hello", characters: int = 0, number: int = LINES) -> list[bytes]:
    """The records of a day, as an archive has them; with so many characters each that cannot be packed well."""
    dice = random.Random(day)
    first = int(day.replace("-", "")) * 1000
    records = [
        {
            "id": first + number, "uuid": None, "broadcast": None, "contact": {"uuid": PERSON, "name": "Ana"},
            "urn": f"tel:+25078{dice.randrange(10**7):07}", "channel": None, "flow": None, "direction": "in",
            "type": "text", "status": "handled", "visibility": "visible", "attachments": [], "labels": [],
            "text": text + dice.randbytes(characters // 2).hex(), "sent_on": None,
            "created_on": f"{day}T08:00:00.{number:06}+00:00", "modified_on": f"{day}T09:00:00+00:00",
        }
        for number in range(number)
    ]  # fmt: skip
    return [json.dumps(record).encode() for record in records]


def put_more(workspace: Workspace, number: int, *, characters: int = 0) -> list[str]:
    """Put so many more daily files, and return their days, oldest first."""
    days = [f"2025-03-{day:02}" for day in range(1, number + 1)]
    for day in days:
        put_archive(workspace, "message", "daily", day, lines_of(day, characters=characters))
    return days


def put_large(workspace: Workspace) -> None:
    """Make the file so large that half of it is more than what is read at once."""
    put_archive(workspace, "message", "daily", BAD, lines_of(BAD, characters=80_000))


def pack(lines: list[bytes]) -> bytes:
    return gzip.compress(b"".join(line + b"\n" for line in lines), mtime=0)


def meet(
    sandbox: Sandbox,
    faults: dict[str, list[str]],
    *,
    for_ever: bool = False,
    before_last: Callable[[], object] | None = None,
) -> None:
    """Let downloads of the files of these days meet these faults one after another, the last one for ever."""
    left = {day.replace("-", ""): list(steps) for day, steps in faults.items()}

    def before_file(name: str) -> None:
        steps = next((steps for day, steps in left.items() if day in name), [])
        if len(steps) == 1 and before_last:
            before_last()
        fault = steps[0] if steps else "ok"
        if steps and not (for_ever and len(steps) == 1):
            steps.pop(0)
        sandbox.faults = Faults(script={"files": [fault]}, throttle_seconds=0)

    sandbox.before_file = before_file


def heal(sandbox: Sandbox) -> None:
    sandbox.before_file, sandbox.faults = None, Faults()


def run(sandbox: Sandbox, lake: Path, *, patience: float = 30) -> StreamResult:
    settings = load_settings(
        url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0, patience=patience
    )
    return sync(settings, ["archives"]).streams[0]


def downloads(sandbox: Sandbox, day: str) -> list[SeenRequest]:
    return [seen for seen in sandbox.requests if seen.endpoint == "files" and day.replace("-", "") in seen.path]


def begins_at(seen: SeenRequest) -> int:
    """From which byte on a file was asked for."""
    return int(seen.range.removeprefix("bytes=").removesuffix("-")) if seen.range else 0


def row_of(workspace: Workspace, day: str) -> Row:
    return next(row for row in workspace.rows("archives") if row["start_date"] == day)


def assert_true(workspace: Workspace, lake: Path, *, without: Sequence[str] = ()) -> None:
    """The lake has every record of every listed file, but those of some days, as the file has it."""
    listed = [row for row in workspace.rows("archives") if row["start_date"] not in without]
    records = [json.loads(line) for row in listed for line in read_archive(workspace, row)]
    assert_same(
        "messages", stored(lake, "messages"), expected_union("messages", workspace.rows("messages"), records, [])
    )
    loaded = {(row["start_date"], row["record_count"]) for row in listed if row["record_count"]}
    assert set(rows(lake, "SELECT start_date::VARCHAR, rows FROM _archives")) == loaded


def assert_no_address_is_kept(sandbox: Sandbox, lake: Path, result: StreamResult) -> None:
    """Neither the bytes of the lake's files nor its tables nor what is said hold a signed address."""
    secrets = [seen.params["Signature"].rstrip("=") for seen in sandbox.requests if seen.endpoint == "files"]
    secrets += ["AWSAccessKeyId", sandbox.files_url]
    content = b"".join(path.read_bytes() for path in lake.rglob("*") if path.is_file())
    told = str([rows(lake, f"SELECT * FROM {name}") for name in ("_sync", "_quarantine", "_drift", "archives")])
    assert not [secret for secret in secrets if secret.encode() in content or secret in told + str(result)]


def compact(text: str) -> str:
    """A line without the spaces that JSON does not need."""
    try:
        return json.dumps(json.loads(text))
    except ValueError:
        return text
