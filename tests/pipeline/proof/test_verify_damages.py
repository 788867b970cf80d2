"""Verifying a damaged lake: every damage is found under its name, told by its key, and mended on demand."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.reading.progress import Quiet
from pipeline.reading.reader import ArchiveChoice, Options
from pipeline.settings import load_settings
from pipeline.streams import ARCHIVED
from pipeline.syncing.sync import choose, sync
from sandbox import Sandbox, put_archive, read_archive
from tests.cases import cases
from tests.lakes import new_lake
from tests.pipeline.proof.verifying import (
    DAMAGES,
    archived,
    assert_true,
    bring,
    differences,
    do,
    examples,
    key_of,
    look,
    make_workspace,
    roll_up,
    rows,
    write,
)
from warehouse.proof.findings import KINDS


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    """Rows of 90 days, eight of them in archives, a month of which is one file; no test changes them."""
    with Sandbox(make_workspace(), requests_per_hour=0) as served:
        roll_up(served.workspace)
        yield served


@pytest.fixture(scope="module")
def synced(server: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = new_lake(tmp_path_factory.mktemp("synced") / "lake")
    bring(server, path)
    return path


@pytest.fixture
def lake(synced: Path, tmp_path: Path) -> Path:
    """A lake with all of `server`, a test's own."""
    return Path(shutil.copytree(synced, tmp_path / "lake"))


def test_damages_are_found_and_mended(server: Sandbox, lake: Path) -> None:
    streams = {damage.stream: None for damage in DAMAGES.values()}
    done = [do(lake, damage, number) for number, damage in enumerate(DAMAGES.values())]
    result = look(server, lake, *streams, repair=True)
    assert (differences(result), result.failed) == (Counter(found for found, _ in done), True)
    told, rows_told = examples(result), {example for _, example in done if example}
    assert rows_told <= told and len(told - rows_told) == 2  # what archives lack is told as a number, of each stream
    assert_true(
        server.workspace, lake, *(streams.keys() - {"definitions", "statistics"})
    )  # told otherwise than they are stored
    again = look(server, lake, *streams)
    assert (differences(again), again.failed) == ({}, False)


@pytest.mark.parametrize("kind", cases("stale", long=sorted({damage.kind for damage in DAMAGES.values()} - {"stale"})))
def test_a_damage_by_itself_is_told_under_its_key_and_no_other(server: Sandbox, lake: Path, kind: str) -> None:
    damage = next(damage for damage in DAMAGES.values() if damage.kind == kind)
    found, example = do(lake, damage)
    result = look(server, lake, damage.stream)
    assert (differences(result), result.failed) == ({found: 1}, True)
    assert examples(result) == {example} if example else len(examples(result)) == 1


@pytest.mark.long
def test_every_damage_at_once_is_found_and_nothing_is_written_but_what_was_found(server: Sandbox, lake: Path) -> None:
    done = [do(lake, damage, number) for number, damage in enumerate(DAMAGES.values())]
    before = digests(lake)
    result = look(server, lake)
    assert differences(result) == Counter(found for found, _ in done)
    assert {example for _, example in done if example} <= examples(result)
    assert digests(lake) == before
    names = ("compared", *KINDS, "pending")
    noted = rows(lake, f"SELECT stream, month, {', '.join(names)}, examples FROM _verification ORDER BY ALL")
    told = [
        (one.stream, one.month, *(getattr(one, name) for name in names), list(one.examples)) for one in result.findings
    ]
    assert sorted(map(str, noted)) == sorted(map(str, told))
    look(server, lake, "labels")
    assert rows(lake, "SELECT count(DISTINCT run) FROM _verification WHERE stream = 'labels'") == [(2,)]


@pytest.mark.parametrize("lost", cases("rows", long=["account", "both"]))
@pytest.mark.long
def test_a_month_of_archives_that_is_lost_is_found_and_mended(server: Sandbox, lake: Path, lost: str) -> None:
    expected = {}
    for kind, stream in ARCHIVED.items():
        [(month, listed)] = rows(
            lake,
            f"""
            SELECT date_trunc('month', start_date)::DATE, sum(record_count)::INT FROM archives
            WHERE archive_type = '{kind}' GROUP BY ALL ORDER BY 1 LIMIT 1
            """,
        )
        of_month = f"BETWEEN '{month}' AND last_day(DATE '{month}')"
        [(stored,)] = rows(lake, f"SELECT count(*) FROM {stream.name} WHERE archived_in {of_month}")
        if lost in ("rows", "both"):
            write(lake, f"DELETE FROM {stream.name} WHERE archived_in {of_month}")
        if lost in ("account", "both"):
            write(lake, f"DELETE FROM _archives WHERE archive_type = '{kind}' AND start_date {of_month}")
        expected[stream.name, month, "unarchived"] = stored if lost == "rows" else listed
    result = look(server, lake, "messages", "runs", repair=True)
    assert differences(result) == expected
    assert len(examples(result)) == 2
    assert_true(server.workspace, lake, "messages", "runs")
    assert differences(look(server, lake, "messages", "runs")) == {}


def test_a_file_that_is_listed_with_another_content_than_was_loaded_is_found(changing: Sandbox, new: Path) -> None:
    workspace = changing.workspace
    bring(changing, new, "archives", "messages")
    file = next(row for row in workspace.rows("archives") if row["archive_type"] == "message" and row["record_count"])
    records = read_archive(workspace, file)
    put_archive(workspace, "message", "daily", file["start_date"], [*records[:-1], b"<html>"])
    settings = load_settings(url=changing.url, token=changing.token, lake=new, requests_per_hour=0)
    sync(settings, choose(["archives"]), Quiet(), options=Options(archives=ArchiveChoice(load=False)))
    month = date.fromisoformat(file["start_date"]).replace(day=1)
    found = differences(look(changing, new, "messages"))
    assert found == {("messages", month, "unarchived"): file["record_count"]}


@pytest.mark.long
def test_rows_that_stand_twice_and_are_wrong_twice_are_mended(server: Sandbox, lake: Path) -> None:
    for name, column in (("a label twice", "name"), ("a message twice", "status")):
        (stream, _, _), example = do(lake, DAMAGES[name])
        assert example
        write(lake, f"UPDATE {stream} SET {column} = 'other' WHERE {key_of(stream)} = '{example.split()[1]}'")
    result = look(server, lake, "messages", "labels", repair=True)
    assert sorted(kind for _, _, kind in differences(result)) == ["double", "double", "stale", "stale"]
    assert_true(server.workspace, lake, "messages", "labels")
    assert differences(look(server, lake, "messages", "labels")) == {}


@pytest.mark.long
def test_archived_rows_of_a_deleted_contact_that_is_alive_again_are_mended_with_it(
    changing: Sandbox, new: Path
) -> None:
    workspace, streams = changing.workspace, ["contacts", "messages"]
    victim = next(row["contact"]["uuid"] for row in archived(workspace, "messages"))
    bring(changing, new, "archives", *streams)
    workspace.delete_contacts([victim])
    bring(changing, new, "archives", *streams)
    assert_true(workspace, new, *streams)
    write(new, f"UPDATE contacts SET deleted_on = NULL WHERE uuid = '{victim}'")
    write(new, f"UPDATE messages SET deleted_on = NULL WHERE contact_uuid = '{victim}'")
    assert "alive contacts" in {f"{kind} {stream}" for stream, _, kind in differences(look(changing, new, *streams))}
    look(changing, new, *streams, repair=True)
    assert_true(workspace, new, *streams)
    assert differences(look(changing, new, *streams)) == {}


def digests(lake: Path) -> list[tuple[Any, ...]]:
    """What is in every table but those that tell of verifications."""
    tables = rows(
        lake,
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' ORDER BY 1",
    )
    names = [name for (name,) in tables if name not in ("_verification", "_proven")]
    assert {"messages", "_sync", "_cursor", "_quarantine", "message_history"} <= set(names)
    return [(name, *rows(lake, f'SELECT count(*), sum(hash(t)) FROM "{name}" AS t')[0]) for name in names]
