"""Lakes as earlier versions left them, opened, read, synced and verified by this one; `tests/formats` has them."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.proof.checks import checks_of, verified
from pipeline.proof.verify import VerifyResult
from pipeline.results import SyncResult
from pipeline.settings import load_settings
from pipeline.streams import ARCHIVED, STREAMS
from sandbox import Sandbox, Workspace
from tests.commands import run
from tests.lakes import LANGUAGES, detach, reading, rows
from tests.pipeline.scene import differences
from tests.sessions import sync, verify
from tests.truth import Row, archived_records, assert_same, expected_rows, expected_union, stored_rows
from warehouse import Lake
from warehouse.lake.engine import EXTENSIONS, load_extension
from warehouse.lake.schema import FORMAT

LAKES = sorted((Path(__file__).parents[2] / "formats").glob("*.tar.xz"))
# Keys of the rows in these lakes that no column is for.
UNKNOWN = {"cost", "folder", "weight", "score"}
# The sandbox knows no ids of messages that were deleted before.
NEW_MESSAGE = 1_000_001
# Made of what others list, and not listed.
UNLISTED = ("definitions", "statistics")


@dataclass(frozen=True)
class Upgraded:
    """A lake of an earlier format after two syncs and a verification by this version, and the server it came from.

    `message` was new in the first sync, and failed before the second; so was the contact mended that was in quarantine.
    """

    lake: Path
    dump: Path
    workspace: Workspace
    syncs: list[SyncResult]
    verified: VerifyResult
    history_before: int
    message: str


@pytest.fixture(scope="module", params=LAKES, ids=lambda path: f"format {path.name.split('.')[0]}")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a lake and its workspace are unpacked."""
    folder = tmp_path_factory.mktemp("format")
    with tarfile.open(request.param) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def upgraded(folder: Path) -> Iterator[Upgraded]:
    lake, dump = folder / "lake", folder / "workspace"
    history = rows(lake, "SELECT count(*) FROM message_history")[0][0]
    without_column(lake, "messages", "direction")
    with Workspace.load(dump) as workspace, Sandbox(workspace, requests_per_hour=0, keep=True) as sandbox:
        settings = load_settings(url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0)
        [message] = workspace.add("messages", 1, changes={"id": NEW_MESSAGE, "status": "sent"})
        first = sync(settings, [])
        [odd] = [row["uuid"] for row in workspace.rows("contacts") if not isinstance(row["groups"], list)]
        workspace.edit("contacts", [odd], changes={"groups": []})
        workspace.edit("messages", [message], changes={"status": "failed"})
        second = sync(settings, ["contacts", "messages"])
        yield Upgraded(lake, dump, workspace, [first, second], verify(settings), history, message)


def without_column(lake: Path, table: str, name: str) -> None:
    """Make a lake that of a version before a column was added: its values are in `extra`."""
    detach()
    with duckdb.connect() as connection:
        for extension in EXTENSIONS:
            load_extension(connection, extension)
        options = f"DATA_PATH '{lake / 'data'}', OVERRIDE_DATA_PATH true"
        connection.execute(f"ATTACH 'ducklake:sqlite:{lake / 'catalog.sqlite'}' AS lake ({options})")
        connection.execute("USE lake")
        value = f"json_object('{name}', {name})"
        connection.execute(f"UPDATE {table} SET extra = json_merge_patch(coalesce(extra, '{{}}'), {value})")
        connection.execute(f"ALTER TABLE {table} DROP COLUMN {name}")


def key_of(stream: str) -> str:
    """A column that tells the rows of these lakes apart."""
    return "id" if stream in ("messages", "broadcasts") else STREAMS[stream].table.key[0]


def expected(stream: str, upgraded: Upgraded) -> tuple[dict[Any, Row], dict[str, Row]]:
    """Key → the row that the lake should have; and key → what should be in `extra`, where something should."""
    listed = upgraded.workspace.rows(stream)
    dead = {row["uuid"] for row in upgraded.workspace.rows("contacts_deleted")}
    kinds = [kind for kind, one in ARCHIVED.items() if one.name == stream]
    archived = [
        row for kind in kinds for row in archived_records(upgraded.dump, kind) if row["contact"]["uuid"] not in dead
    ]
    key = key_of(stream)
    extra = {
        str(row[key]): {name: row[name] for name in UNKNOWN & row.keys()} for row in [*listed, *archived] if key in row
    }
    for row in [*listed, *archived]:
        for name in UNKNOWN:
            row.pop(name, None)
    rows = expected_union(stream, listed, archived, LANGUAGES) if kinds else expected_rows(stream, listed, LANGUAGES)
    return rows, {key: unknown for key, unknown in extra.items() if unknown}


def test_a_reader_reads_it_before_this_version_has_written_to_it(folder: Path) -> None:
    lake = {"RAPIDLAKE_LAKE": str(folder / "lake")}
    asked = run("sql", "SELECT count(*) AS number FROM messages", "--format", "csv", **lake)
    assert (asked.code, asked.out.split()) == (0, ["number", "420"])
    for words in (["status"], ["status", "--months"], ["archives"], ["report", "-o", str(folder / "report.html")]):
        assert run(*words, **lake).code == 0, words
    with Lake.open(folder / "lake") as opened:
        now = datetime.now(UTC)
        told = [check.ask(opened, stream, now).said for stream in STREAMS.values() for check in checks_of(stream)]
        assert verified(opened, now).facts and all(told)


def test_it_comes_to_this_format_and_every_stream_is_read(upgraded: Upgraded) -> None:
    assert rows(upgraded.lake, "SELECT format FROM _lake") == [(FORMAT,)]
    assert {one.outcome for result in upgraded.syncs for one in result.streams} == {"done", "not offered"}
    assert rows(upgraded.lake, "SELECT * FROM _cursor WHERE walk_before IS NOT NULL") == []


@pytest.mark.parametrize("stream", [stream for stream in STREAMS if stream not in UNLISTED])
def test_its_rows_are_those_of_the_server_and_of_the_archives(stream: str, upgraded: Upgraded) -> None:
    expected_stored, extra = expected(stream, upgraded)
    with reading(upgraded.lake) as connection:
        assert_same(stream, stored_rows(connection, stream), expected_stored)
        key = key_of(stream)
        kept = f'SELECT "{key}"::VARCHAR, extra FROM "{stream}" WHERE extra IS NOT NULL AND deleted_on IS NULL'
        assert {key: json.loads(text) for key, text in connection.execute(kept).fetchall()} == extra


def test_verify_finds_no_difference(upgraded: Upgraded) -> None:
    assert differences(upgraded.verified) == {}
    assert upgraded.verified.complete


def test_the_history_of_messages_goes_on(upgraded: Upgraded) -> None:
    noted = rows(
        upgraded.lake, "SELECT id::VARCHAR, what, from_value, to_value FROM message_history ORDER BY changed_by"
    )
    assert len(noted) == upgraded.history_before + 1
    assert noted[-1] == (upgraded.message, "status", "sent", "failed")


def test_rows_leave_quarantine_that_this_version_can_read_or_that_come_in_another_form(upgraded: Upgraded) -> None:
    """Two messages had come without an id, and then with it; a contact came mended."""
    assert rows(upgraded.lake, "SELECT stream, key FROM _quarantine") == []
