"""Settings and options of the command line reach what they are about: each is seen in what a process does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.settings import load_settings
from pipeline.syncing.session import open_client, open_session
from sandbox import Sandbox, Throttle, Workspace, generate
from tests.commands import Ended, access, run, run_apart
from tests.lakes import LANGUAGES, new_lake, rows, stored
from tests.truth import assert_same, expected_rows

# All of the throttle scope "v2".
SETUP = ("campaigns", "channels", "flows", "globals", "groups", "labels", "topics", "users")


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """Three pages of messages."""
    with generate(messages=700, contacts=60, seed=4, archives=False) as generated:
        yield generated


# -- the budget --


@pytest.mark.long
def test_two_processes_use_together_the_share_of_what_the_server_allows(sandbox: Sandbox, tmp_path: Path) -> None:
    settings = {
        **access(sandbox),
        "RAPIDLAKE_REQUESTS_PER_HOUR": "12",
        "RAPIDLAKE_SHARE": "0.5",
        "RAPIDLAKE_LONGEST_WAIT": "0",
    }
    first = run_apart("sync", *SETUP[:4], "--json", "--lake", new_lake(tmp_path / "one"), **settings)
    assert outcomes(first) == dict.fromkeys(SETUP[:4], "done")
    second = run_apart("sync", *SETUP[4:], "--json", "--lake", new_lake(tmp_path / "other"), **settings)
    assert list(outcomes(second).values()) == ["done", "done", "waiting", "waiting"]
    # Whose token it is, each process asks before it knows whose budget to use.
    assert came_through(sandbox) == 6 + 2


def test_the_share_of_a_small_limit_is_at_least_one_request_and_no_limit_is_none(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    settings = {**access(sandbox), "RAPIDLAKE_LONGEST_WAIT": "0"}
    new_lake(tmp_path / "lake")
    little = {"RAPIDLAKE_REQUESTS_PER_HOUR": "1", "RAPIDLAKE_SHARE": "0.1"}
    one = run("sync", *SETUP[:2], "--json", "--lake", tmp_path / "lake", **settings, **little)
    assert outcomes(one) == {SETUP[0]: "done", SETUP[1]: "waiting"}
    none = run("sync", *SETUP, "--json", "--lake", tmp_path / "lake", **settings, RAPIDLAKE_REQUESTS_PER_HOUR="0")
    assert outcomes(none) == dict.fromkeys(SETUP, "done")


def test_a_verification_and_a_backfill_use_the_same_budget(sandbox: Sandbox, lake: Path) -> None:
    settings = {
        **access(sandbox),
        "RAPIDLAKE_LAKE": str(lake),
        "RAPIDLAKE_REQUESTS_PER_HOUR": "10",
        "RAPIDLAKE_SHARE": "0.3",
        "RAPIDLAKE_LONGEST_WAIT": "0",
    }
    assert outcomes(run("sync", "labels", "groups", "--json", **settings)) == {"labels": "done", "groups": "done"}
    verified = run("verify", "labels", "groups", "--json", **settings)
    assert came_through(sandbox) == 3 + 2
    assert "rate limit is used up" in verified.said


def test_another_workspace_of_the_same_server_has_another_budget(sandbox: Sandbox, tmp_path: Path) -> None:
    settings = {"RAPIDLAKE_REQUESTS_PER_HOUR": "1", "RAPIDLAKE_SHARE": "1", "RAPIDLAKE_LONGEST_WAIT": "0"}
    ended = []
    for number in range(2):
        sandbox.workspace.edit("workspace", 1, changes={"uuid": f"{number}f3c9a6e-5b7d-4812-a9c0-ffee0f3c9a6e"})
        lake = new_lake(tmp_path / str(number))
        ended.append(run("sync", "labels", "--json", "--lake", lake, **access(sandbox), **settings))
    assert [outcomes(one) for one in ended] == [{"labels": "done"}, {"labels": "done"}]


def test_a_server_never_refuses_whoever_uses_a_share_of_its_limit(workspace: Workspace, lake: Path) -> None:
    settings = {"RAPIDLAKE_REQUESTS_PER_HOUR": "5", "RAPIDLAKE_SHARE": "0.8", "RAPIDLAKE_LONGEST_WAIT": "0"}
    with Sandbox(workspace, throttle=Throttle.hourly(5), keep=True) as sandbox:
        run("sync", *SETUP, "--lake", lake, **access(sandbox), **settings)
        assert {seen.status for seen in sandbox.requests} == {200}
        assert came_through(sandbox) == 4 + 1


# -- patience and waiting --


def test_a_session_has_the_patience_of_the_settings_and_the_first_question_little(sandbox: Sandbox, lake: Path) -> None:
    given: dict[str, Any] = {"url": sandbox.url, "token": sandbox.token, "lake": lake}
    with open_session(load_settings(**given, patience=900, longest_wait=7)) as session:
        assert (session.client.patience, session.client.longest_wait) == (900, 7)
    with open_client(load_settings(**given, patience=900)) as client:
        assert (client.patience, client.longest_wait) == (15, float("inf"))
    with open_client(load_settings(**given, patience=2)) as client:
        assert client.patience == 2


# -- where reading begins and ends --


def test_the_lag_leaves_rows_that_are_younger_to_a_later_sync(sandbox: Sandbox, lake: Path) -> None:
    now = datetime.now(UTC)
    settings = {**access(sandbox), "RAPIDLAKE_LAKE": str(lake), "RAPIDLAKE_LAG": "7200"}
    sandbox.workspace.add("messages", 3, at=now - timedelta(hours=1))
    older = [row for row in sandbox.workspace.rows("messages") if row["created_on"] < iso(now - timedelta(hours=2))]
    assert 0 < len(older) < len(sandbox.workspace.rows("messages"))
    assert run("sync", "messages", **settings).code == 0
    assert_true(lake, "messages", older)
    assert run("sync", "messages", "--lag", "0", **settings).code == 0
    assert_true(lake, "messages", sandbox.workspace.rows("messages"))


def test_the_overlap_is_what_is_read_again_before_the_last_watermark(sandbox: Sandbox, lake: Path) -> None:
    settings = {**access(sandbox), "RAPIDLAKE_LAKE": str(lake), "RAPIDLAKE_LAG": "0", "RAPIDLAKE_OVERLAP": "5000"}
    assert run("sync", "contacts", **settings).code == 0
    (watermark,) = rows(lake, "SELECT watermark::VARCHAR FROM _cursor WHERE stream = 'contacts' AND feed = 'rows'")[0]
    sandbox.requests.clear()
    assert run("sync", "contacts", **settings).code == 0
    asked = [seen.params["after"] for seen in sandbox.requests
             if seen.endpoint == "contacts" and "deleted" not in seen.params]  # fmt: skip
    assert datetime.fromisoformat(asked[0]) == datetime.fromisoformat(watermark) - timedelta(seconds=5000)


@pytest.mark.parametrize(("revisits", "seen"), [("5h", True), ("3h", False)])
def test_the_revisits_say_how_far_back_changes_without_a_date_are_found(
    sandbox: Sandbox, lake: Path, revisits: str, seen: bool
) -> None:
    settings = {**access(sandbox), "RAPIDLAKE_LAKE": str(lake), "RAPIDLAKE_LAG": "0", "RAPIDLAKE_REVISITS": revisits}
    known = {row["id"] for row in sandbox.workspace.rows("messages")}
    sandbox.workspace.add("messages", 1, at=datetime.now(UTC) - timedelta(hours=4))
    (added,) = {row["id"] for row in sandbox.workspace.rows("messages")} - known
    assert run("sync", "messages", **settings).code == 0
    sandbox.workspace.edit("messages", [added], changes={"status": "failed"})
    assert run("sync", "messages", **settings).code == 0
    assert rows(lake, f"SELECT status = 'failed' FROM messages WHERE id = {added}") == [(seen,)]


def test_a_batch_has_as_many_pages_as_the_settings_say(sandbox: Sandbox, tmp_path: Path) -> None:
    committed: list[int] = []

    def look_in(endpoint: str) -> None:
        if endpoint == "messages":
            committed.append(rows(lake, "SELECT count(*) FROM messages")[0][0])

    sandbox.after_page = look_in
    for pages, expected in (("1", [0, 250, 499]), ("200", [0, 0, 0])):
        committed.clear()
        lake = new_lake(tmp_path / pages)
        settings = {**access(sandbox), "RAPIDLAKE_LAKE": str(lake), "RAPIDLAKE_BATCH_PAGES": pages}
        assert run("sync", "messages", **settings).code == 0
        assert committed[:3] == expected


# -- how long versions stay --


@pytest.mark.long
def test_maintenance_keeps_the_versions_of_the_days_in_the_settings_or_the_option(sandbox: Sandbox, lake: Path) -> None:
    settings = {**access(sandbox), "RAPIDLAKE_LAKE": str(lake), "RAPIDLAKE_KEEP_DAYS": "0.000001"}
    assert run("sync", "labels", **settings).code == 0
    versions = "SELECT count(*) FROM ducklake_snapshots('lake')"
    assert run("maintain", "--keep-days", "5", **settings).code == 0
    assert rows(lake, versions)[0][0] > 1
    assert run("maintain", **settings).code == 0
    assert rows(lake, versions) == [(1,)]


# -- helpers --


def outcomes(ended: Ended) -> dict[str, str]:
    return {one["stream"]: one["outcome"] for one in ended.facts["streams"]}


def came_through(sandbox: Sandbox) -> int:
    """How many requests of the scope "v2" the server answered."""
    return Counter(seen.scope for seen in sandbox.requests if seen.status == 200)["v2"]


def iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def assert_true(lake: Path, stream: str, listed: list[dict[str, Any]]) -> None:
    assert_same(stream, stored(lake, stream), expected_rows(stream, listed, LANGUAGES))
