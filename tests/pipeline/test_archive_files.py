"""Archive files from a store that fails, lies or forgets: no row wrong, none missing unsaid, and the rest is loaded."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.progress import Quiet
from pipeline.results import StreamResult
from pipeline.sandbox import (
    Faults,
    Sandbox,
    SeenRequest,
    Workspace,
    generate,
    put_archive,
    put_archive_bytes,
    put_empty_archive,
    read_archive,
    remove_archive,
    roll_up,
)
from pipeline.settings import load_settings
from pipeline.sync import choose, sync
from tests.truth import assert_same, expected_union, stored_rows
from warehouse import Lake

Row = dict[str, Any]

# The file that something is wrong with, and two others.
BAD, GOOD = "2025-02-02", ("2025-02-01", "2025-02-03")
LINES = 300


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """Three daily files of messages, and nothing in the API."""
    with generate(messages=0, contacts=2, archives=False) as workspace:
        for day in (BAD, *GOOD):
            put_archive(workspace, "message", "daily", day, lines_of(day))
        workspace.offer("archives")
        yield workspace


@pytest.fixture
def sandbox(workspace: Workspace) -> Iterator[Sandbox]:
    with Sandbox(workspace, requests_per_hour=0) as served:
        yield served


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


# -- the store fails for good --


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("altered", "its MD5 is not the one in the list"),
        ("short", "bytes where the list says"),
        ("empty", "it has 0 bytes where the list says"),
        ("twice", "bytes where the list says"),
        ("expired", "no longer knows the address"),
        ("gone", "no longer knows the address"),
        ("error", "answered 500"),
        ("reset", "RemoteProtocolError"),
    ],
)
def test_a_file_that_cannot_be_had_is_named_and_the_others_are_loaded(
    sandbox: Sandbox, lake: Path, fault: str, reason: str
) -> None:
    meet(sandbox, {BAD: [fault]}, for_ever=True)
    result = run(sandbox, lake, patience=0)
    assert result.outcome == "failed"
    assert result.message and f"message {BAD}" in result.message and reason in result.message
    assert_true(sandbox.workspace, lake, without=BAD)
    assert_no_address_is_kept(sandbox, lake, result)

    sandbox.before_file, sandbox.faults = None, Faults()
    assert run(sandbox, lake).outcome == "done"
    assert_true(sandbox.workspace, lake)
    assert_no_address_is_kept(sandbox, lake, result)


def test_the_exit_code_says_that_a_file_is_missing(sandbox: Sandbox, lake: Path) -> None:
    meet(sandbox, {BAD: ["altered"]}, for_ever=True)
    done = command(sandbox, lake)
    assert done.returncode == 1
    assert f"message {BAD}" in done.stdout + done.stderr
    sandbox.before_file, sandbox.faults = None, Faults()
    assert command(sandbox, lake).returncode == 0
    assert_true(sandbox.workspace, lake)


# -- the store fails for a while --


@pytest.mark.parametrize(
    "steps",
    [
        ["altered"],
        ["short"],
        ["empty"],
        ["twice"],
        ["expired"],
        ["gone"],
        ["error"],
        ["reset"],
        ["throttle"],
        ["no_range"],
        ["unpacked"],
        ["truncate", "no_range"],
        ["truncate", "unpacked"],
        ["truncate", "altered"],
        ["truncate", "short"],
        ["truncate", "twice"],
    ],
    ids=" then ".join,
)
def test_a_fault_that_passes_leaves_no_trace(sandbox: Sandbox, lake: Path, steps: list[str]) -> None:
    meet(sandbox, {BAD: steps})
    assert run(sandbox, lake).outcome == "done"
    assert_true(sandbox.workspace, lake)
    assert not list((lake / "spool").iterdir())


def test_a_download_that_is_cut_goes_on_where_it_was_cut(sandbox: Sandbox, lake: Path) -> None:
    meet(sandbox, {BAD: ["truncate", "truncate"]})
    assert run(sandbox, lake).outcome == "done"
    half = size_of(sandbox.workspace, BAD) // 2
    ranges = [seen.range for seen in downloads(sandbox, BAD)]
    assert ranges[:2] == [None, f"bytes={half}-"]
    assert len(ranges) == 3 and ranges[2] not in ranges[:2]
    assert_true(sandbox.workspace, lake)


def test_a_download_that_one_sync_could_not_finish_is_finished_by_the_next(sandbox: Sandbox, lake: Path) -> None:
    meet(sandbox, {BAD: ["truncate", "error"]}, for_ever=True)
    result = run(sandbox, lake, patience=0)
    assert result.outcome == "failed"
    assert_no_address_is_kept(sandbox, lake, result)
    sandbox.before_file, sandbox.faults = None, Faults()
    sandbox.requests.clear()
    assert run(sandbox, lake).outcome == "done"
    assert [seen.range for seen in downloads(sandbox, BAD)] == [f"bytes={size_of(sandbox.workspace, BAD) // 2}-"]
    assert_true(sandbox.workspace, lake)


def test_an_address_that_expires_in_the_middle_is_asked_for_again_and_the_download_goes_on(
    sandbox: Sandbox, lake: Path
) -> None:
    meet(sandbox, {BAD: ["truncate", "expired"]})
    assert run(sandbox, lake).outcome == "done"
    first, *_, last = downloads(sandbox, BAD)
    assert first.params["Signature"] != last.params["Signature"]
    assert last.range == f"bytes={size_of(sandbox.workspace, BAD) // 2}-"
    assert len([seen for seen in sandbox.requests if seen.endpoint == "archives"]) == 2
    assert_true(sandbox.workspace, lake)


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
    assert {row["text"] for row in read(lake).values() if row["created_on"].strftime("%F") == BAD} == {"new"}


def test_a_file_that_is_replaced_again_and_again_is_left_to_the_next_sync_and_said(
    sandbox: Sandbox, lake: Path
) -> None:
    def replace(name: str) -> None:
        if BAD.replace("-", "") in name:
            put_archive(sandbox.workspace, "message", "daily", BAD, lines_of(BAD, text=name))

    sandbox.before_file = replace
    result = run(sandbox, lake)
    assert (result.outcome, f"message {BAD}" in str(result.message)) == ("failed", True)
    assert_true(sandbox.workspace, lake, without=BAD)
    sandbox.before_file = None
    assert run(sandbox, lake).outcome == "done"
    assert_true(sandbox.workspace, lake)


def test_a_file_that_is_rolled_up_before_its_download_comes_with_its_month(sandbox: Sandbox, lake: Path) -> None:
    meet(sandbox, {BAD: ["ok"]}, before_last=lambda: roll_up(sandbox.workspace, "message", "2025-02"))
    run(sandbox, lake)
    assert run(sandbox, lake).outcome == "done"
    assert_true(sandbox.workspace, lake)


def test_a_file_that_is_removed_before_its_download_does_not_stop_the_others(sandbox: Sandbox, lake: Path) -> None:
    listed = row_of(sandbox.workspace, BAD)
    meet(sandbox, {BAD: ["ok"]}, before_last=lambda: remove_archive(sandbox.workspace, listed))
    run(sandbox, lake)
    assert run(sandbox, lake).outcome == "done"
    assert_true(sandbox.workspace, lake)


# -- the file itself is wrong, by a hash that is right --


@pytest.mark.parametrize(
    ("spoil", "count", "reason"),
    [
        pytest.param(lambda packed: packed[: len(packed) // 2], LINES, "cannot be unpacked", id="truncated"),
        pytest.param(lambda packed: packed[:-8] + bytes(8), LINES, "cannot be unpacked", id="altered"),
        pytest.param(lambda packed: b"", LINES, f"it has 0 records where the list says {LINES}", id="empty"),
        pytest.param(lambda packed: gzip.compress(b""), LINES, f"has 0 records .* says {LINES}", id="no lines"),
        pytest.param(lambda packed: bytes(range(256)) * 9, LINES, "records where the list says", id="no gzip at all"),
        pytest.param(lambda packed: packed, LINES + 1, f"it has {LINES} records where", id="a record too few"),
        pytest.param(lambda packed: packed, LINES - 1, f"it has {LINES} records where", id="a record too many"),
    ],
)
def test_a_file_that_does_not_hold_what_the_list_says_is_not_loaded(
    sandbox: Sandbox, lake: Path, spoil: Callable[[bytes], bytes], count: int, reason: str
) -> None:
    workspace = sandbox.workspace
    put_archive_bytes(workspace, "message", "daily", BAD, spoil(pack(lines_of(BAD))), record_count=count)
    result = run(sandbox, lake)
    assert result.outcome == "failed"
    assert result.message and f"message {BAD}" in result.message
    assert re.search(reason, result.message)
    assert_true(workspace, lake, without=BAD)
    assert not list((lake / "spool").iterdir())

    put_archive(workspace, "message", "daily", BAD, lines_of(BAD))
    assert run(sandbox, lake).outcome == "done"
    assert_true(workspace, lake)


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(gzip.compress, id="gzipped twice"),
        pytest.param(lambda packed: gzip.compress(gzip.compress(packed)), id="three times"),
        pytest.param(gzip.decompress, id="not at all"),
        pytest.param(lambda packed: pack(gzip.decompress(packed).splitlines(), end=b""), id="without a last newline"),
        pytest.param(lambda packed: packed + gzip.compress(b""), id="in two members"),
    ],
)
def test_a_file_that_is_packed_strangely_is_loaded_all_the_same(
    sandbox: Sandbox, lake: Path, wrap: Callable[[bytes], bytes]
) -> None:
    workspace = sandbox.workspace
    put_archive_bytes(workspace, "message", "daily", BAD, wrap(pack(lines_of(BAD))), record_count=LINES)
    result = run(sandbox, lake)
    assert (result.outcome, result.tally.rows_new) == ("done", 3 * LINES)
    put_archive(workspace, "message", "daily", BAD, lines_of(BAD))
    assert_true(workspace, lake)


def test_empty_archives_of_both_kinds_are_not_asked_for(sandbox: Sandbox, lake: Path) -> None:
    put_empty_archive(sandbox.workspace, "message", "daily", "2025-02-04")
    put_archive(sandbox.workspace, "message", "daily", "2025-02-05", [])
    assert run(sandbox, lake).outcome == "done"
    assert len([seen for seen in sandbox.requests if seen.endpoint == "files"]) == 3


# -- broken lines --


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"id": 5, "text": "brok', id="cut off"),
        pytest.param(b"<html>", id="no JSON"),
        pytest.param(b"[1, 2]", id="no object"),
        pytest.param(b'{"id": "five", "created_on": "2025-02-02T08:00:00+00:00"}', id="an id that is no number"),
        pytest.param(b'{"id": null, "created_on": "2025-02-02T08:00:00+00:00"}', id="no id"),
        pytest.param(b'{"id": 5, "created_on": "yesterday"}', id="a date that is none"),
    ],
)
def test_a_broken_line_is_put_aside_and_the_rest_of_the_file_is_loaded(
    sandbox: Sandbox, lake: Path, line: bytes
) -> None:
    workspace = sandbox.workspace
    good = lines_of(BAD)
    put_archive(workspace, "message", "daily", BAD, [*good[:7], line, *good[7:]])
    result = run(sandbox, lake)
    assert result.outcome == "done"
    assert result.message and "_quarantine" in result.message
    assert rows(lake, "SELECT stream, source FROM _quarantine") == [("messages", "archive")]
    assert json_or_text(rows(lake, "SELECT record FROM _quarantine")[0][0]) == json_or_text(line.decode())
    [counts] = rows(lake, f"SELECT record_count, rows, unreadable FROM _archives WHERE start_date = DATE '{BAD}'")
    assert counts == (LINES + 1, LINES, 1)
    sandbox.requests.clear()
    run(sandbox, lake)
    assert not downloads(sandbox, BAD)
    put_archive(workspace, "message", "daily", BAD, good)
    assert_true(workspace, lake)


# -- secrets --


def test_the_token_goes_to_the_api_only_and_no_address_is_kept_anywhere(sandbox: Sandbox, lake: Path) -> None:
    meet(sandbox, {BAD: ["truncate", "expired"]})
    result = run(sandbox, lake)
    files = [seen for seen in sandbox.requests if seen.endpoint == "files"]
    assert {seen.authorization for seen in files} == {False}
    assert all(seen.authorization for seen in sandbox.requests if seen.endpoint != "files")
    assert_no_address_is_kept(sandbox, lake, result)


# -- helpers --


def lines_of(day: str, *, text: str = "Hello") -> list[bytes]:
    """The records of a day, as an archive has them."""
    dice = random.Random(day)
    first = int(day.replace("-", "")) * 1000
    records = [
        {
            "id": first + number, "uuid": None, "broadcast": None, "contact": {"uuid": person(dice), "name": "Ana"},
            "urn": f"tel:+25078{dice.randrange(10**7):07}", "channel": None, "flow": None, "direction": "in",
            "type": "text", "status": "handled", "visibility": "visible", "text": text, "attachments": [],
            "labels": [], "created_on": f"{day}T08:00:00.{number:06}+00:00", "sent_on": None,
            "modified_on": f"{day}T09:00:00+00:00",
        }
        for number in range(LINES)
    ]  # fmt: skip
    return [json.dumps(record).encode() for record in records]


def person(dice: random.Random) -> str:
    return f"{dice.getrandbits(32):08x}-0000-4000-8000-000000000000"


def pack(lines: list[bytes], *, end: bytes = b"\n") -> bytes:
    return gzip.compress(b"\n".join(lines) + end, mtime=0)


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


def run(sandbox: Sandbox, lake: Path, *, patience: float = 30) -> StreamResult:
    settings = load_settings(
        url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0, patience=patience
    )
    return sync(settings, choose(["archives"]), Quiet()).streams[0]


def command(sandbox: Sandbox, lake: Path) -> subprocess.CompletedProcess[str]:
    environment = {"RAPIDPRO_URL": sandbox.url, "RAPIDPRO_TOKEN": sandbox.token, "RAPIDLAKE_LAKE": str(lake)}
    words = [sys.executable, "-c", "from pipeline.cli import main; main()", "sync", "archives"]
    return subprocess.run(words, env=os.environ | environment, capture_output=True, text=True, check=False)


def downloads(sandbox: Sandbox, day: str) -> list[SeenRequest]:
    return [seen for seen in sandbox.requests if seen.endpoint == "files" and day.replace("-", "") in seen.path]


def row_of(workspace: Workspace, day: str) -> Row:
    return next(row for row in workspace.rows("archives") if row["start_date"] == day)


def size_of(workspace: Workspace, day: str) -> int:
    return int(row_of(workspace, day)["size"])


def rows(lake: Path, query: str) -> list[tuple[Any, ...]]:
    with Lake.open(lake) as opened:
        return opened.rows(query)


def read(lake: Path) -> dict[Any, Row]:
    with Lake.open(lake) as opened, opened.connection() as connection:
        return stored_rows(connection, "messages")


def assert_true(workspace: Workspace, lake: Path, *, without: str = "") -> None:
    """The lake has every record of every listed file, but those of one day, as the file has it."""
    listed = [row for row in workspace.rows("archives") if row["start_date"] != without]
    records = [json.loads(line) for row in listed for line in read_archive(workspace, row)]
    assert_same("messages", read(lake), expected_union("messages", workspace.rows("messages"), records, []))
    loaded = {(row["start_date"], row["record_count"]) for row in listed if row["record_count"]}
    assert set(rows(lake, "SELECT start_date::VARCHAR, rows FROM _archives")) == loaded


def assert_no_address_is_kept(sandbox: Sandbox, lake: Path, result: StreamResult) -> None:
    """Neither the bytes of the lake's files nor its tables nor what is said hold a signed address."""
    secrets = [seen.params["Signature"].rstrip("=") for seen in sandbox.requests if seen.endpoint == "files"]
    secrets += ["AWSAccessKeyId", sandbox.files_url]
    content = b"".join(path.read_bytes() for path in lake.rglob("*") if path.is_file())
    with Lake.open(lake) as opened:
        tables = [name for (name,) in opened.rows("SELECT table_name FROM duckdb_tables() WHERE NOT temporary")]
        told = str([opened.rows(f'SELECT * FROM "{name}"') for name in tables if "ducklake" not in name])
    assert not [secret for secret in secrets if secret.encode() in content or secret in told + str(result)]


def json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
