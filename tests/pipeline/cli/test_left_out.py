"""Streams that a setting leaves out: nothing asks for them, nothing calls them wrong, and it is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.streams import STREAMS
from sandbox import Sandbox, generate
from tests.commands import access, run
from tests.lakes import new_lake, rows

LEFT_OUT = (
    "messages", "broadcasts", "flow_starts", "channel_events", "tickets", "resthook_events", "campaigns",
    "campaign_events", "classifiers", "globals", "resthooks", "resthook_subscribers", "topics", "users", "definitions",
    "statistics",
)  # fmt: skip


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A workspace with archive files of messages and of runs."""
    with generate(messages=300, runs=60, contacts=30, seed=7) as workspace, Sandbox(workspace) as served:
        yield served


def test_what_is_left_out_is_not_asked_for_unless_it_is_named(sandbox: Sandbox, tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "lake")
    settings = {**access(sandbox), "RAPIDLAKE_LEAVE_OUT": ", ".join(LEFT_OUT), "RAPIDLAKE_LAG": "0"}
    settings["RAPIDLAKE_REQUESTS_PER_HOUR"] = "0"
    said = f"{', '.join(LEFT_OUT)}: left out; to read them once, name them (RAPIDLAKE_LEAVE_OUT)."
    synced = run("sync", "--json", "--lake", lake, **settings)
    assert synced.code == 0
    assert {one["stream"] for one in synced.facts["streams"]} == STREAMS.keys() - set(LEFT_OUT)
    assert said in synced.said
    loaded = rows(lake, "SELECT DISTINCT archive_type FROM _archives")
    assert loaded == [("run",)]

    verified = run("verify", "--json", "--lake", lake, **settings)
    assert (verified.code, verified.facts["differences"]) == (0, 0)
    assert {one["stream"] for one in verified.facts["streams"]}.isdisjoint(LEFT_OUT)
    examined = run("doctor", "--json", "--lake", lake, **settings)
    assert any(one["found"].endswith(f"left out: {', '.join(LEFT_OUT)}") for one in examined.facts)
    asked = {seen.endpoint for seen in sandbox.requests}
    assert asked.isdisjoint(LEFT_OUT) and "runs" in asked
    filled = run("backfill", "2026-01", "--json", "--lake", lake, **settings)
    assert {one["stream"] for one in filled.facts["streams"]} <= {"archives", "runs"}

    shown = run("status", "--json", "--lake", lake, **settings).facts["streams"]
    assert {one["stream"] for one in shown if one["left_out"]} == set(LEFT_OUT)
    told = run("status", "--lake", lake, **settings)
    assert told.said.count("left out") == len(LEFT_OUT)
    assert not any(f"{name}:" in told.said for name in LEFT_OUT)

    named = run("sync", "globals", "--json", "--lake", lake, **settings)
    assert [(one["stream"], one["outcome"]) for one in named.facts["streams"]] == [("globals", "done")]
    assert "globals: left out, but for now, because you named it (RAPIDLAKE_LEAVE_OUT)." in named.said
    assert rows(lake, "SELECT count(*) FROM globals") == [(sandbox.workspace.count("globals"),)]
    assert run("verify", "globals", "--json", "--lake", lake, **settings).facts["differences"] == 0


def test_a_name_that_is_no_stream_is_refused_before_anything_is_asked(sandbox: Sandbox, tmp_path: Path) -> None:
    refused = run("sync", "--lake", tmp_path / "lake", **access(sandbox), RAPIDLAKE_LEAVE_OUT="global")
    assert refused.code == 2
    assert "RAPIDLAKE_LEAVE_OUT: there is no stream global; there are: archives, " in refused.said
    assert not sandbox.requests


def test_archive_files_of_what_is_left_out_are_not_loaded_in_silence(sandbox: Sandbox, tmp_path: Path) -> None:
    lake = new_lake(tmp_path / "lake")
    settings = {**access(sandbox), "RAPIDLAKE_LEAVE_OUT": "messages, runs, archives"}
    loaded = run("archives", "--load", "--lake", lake, **settings)
    assert "messages, runs: left out; to read them once, name them with --type (RAPIDLAKE_LEAVE_OUT)." in loaded.said
    assert rows(lake, "SELECT count(*) FROM _archives WHERE loaded_on IS NOT NULL") == [(0,)]
    named = run("archives", "--load", "--type", "run", "--lake", lake, **settings)
    assert "runs: left out, but for now, because you named it (RAPIDLAKE_LEAVE_OUT)." in named.said
    assert rows(lake, "SELECT DISTINCT archive_type FROM _archives WHERE loaded_on IS NOT NULL") == [("run",)]
