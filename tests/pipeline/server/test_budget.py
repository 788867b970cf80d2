"""The budget: one count of requests per workspace and scope, for all processes of the machine."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from pipeline.server.budget import Budget
from tests.processes import start
from warehouse import RapidlakeError

TAKE = """
import sys
from pipeline.server.budget import Budget
budget = Budget(sys.argv[1], int(sys.argv[2]))
print(sum(budget.seconds_until_free("v2.runs") == 0 for _ in range(int(sys.argv[3]))))
"""


def taken(budget: Budget, asked: int, scope: str = "v2") -> int:
    """Ask that many times; return how many requests were granted."""
    return sum(budget.seconds_until_free(scope) == 0 for _ in range(asked))


def test_no_more_than_the_limit_is_granted_in_an_hour() -> None:
    budget = Budget("farm", 5)
    assert taken(budget, 8) == 5
    assert budget.left("v2") == 0
    budget.close()


def test_a_refusal_says_when_a_slot_is_free_and_takes_none() -> None:
    budget = Budget("farm", 1)
    assert budget.seconds_until_free("v2") == 0
    waits = [budget.seconds_until_free("v2") for _ in range(3)]
    assert all(3500 < seconds <= 3601 for seconds in waits)
    budget.close()


def test_two_budgets_of_one_workspace_share_what_there_is() -> None:
    one, other = Budget("farm", 5), Budget("farm", 5)
    assert taken(one, 3) + taken(other, 9) == 5
    assert (one.left("v2"), other.left("v2")) == (0, 0)
    one.close()
    other.close()


def test_what_was_taken_is_remembered_after_closing() -> None:
    first = Budget("farm", 5)
    assert taken(first, 3) == 3
    first.close()
    second = Budget("farm", 5)
    assert second.left("v2") == 2
    second.close()


def test_a_budget_can_be_used_again_after_closing() -> None:
    budget = Budget("farm", 5)
    taken(budget, 3)
    budget.close()
    assert taken(budget, 9) == 2
    budget.close()


def test_scopes_are_counted_apart() -> None:
    budget = Budget("farm", 2)
    assert taken(budget, 5, "v2.messages") == 2
    assert taken(budget, 5, "v2.runs") == 2
    assert budget.left("v2.contacts") == 2
    budget.close()


def test_workspaces_are_counted_apart() -> None:
    one, other = Budget("https://textit.example farm", 2), Budget("https://textit.example clinic", 2)
    assert (taken(one, 5), taken(other, 5)) == (2, 2)
    one.close()
    other.close()


def test_zero_means_without_limit() -> None:
    budget = Budget("farm", 0)
    assert taken(budget, 50) == 50
    assert budget.left("v2") is None
    budget.close()


def test_threads_share_one_budget() -> None:
    budget, granted = Budget("farm", 20), []
    threads = [threading.Thread(target=lambda: granted.append(taken(budget, 10))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(granted), sum(granted)) == (4, 20)
    budget.close()


def test_processes_share_one_budget() -> None:
    command = [sys.executable, "-c", TAKE, "farm", "30", "25"]
    processes = [start(command) for _ in range(2)]
    granted = [int(process.communicate()[0]) for process in processes]
    assert sum(granted) == 30
    budget = Budget("farm", 30)
    assert budget.left("v2.runs") == 0
    budget.close()


def test_a_clock_that_jumps_neither_frees_the_limit_nor_blocks_it_for_longer_than_an_hour() -> None:
    budget = Budget("farm", 3)
    with time_machine.travel(datetime(2026, 7, 15, 12, tzinfo=UTC)) as clock:
        assert taken(budget, 2) == 2
        for days in (3, -3, 0.2, -0.2):
            clock.shift(timedelta(days=days))
            assert budget.left("v2") == 1
        clock.shift(timedelta(days=5))
        assert taken(budget, 5) == 1
    assert 3500 < budget.seconds_until_free("v2") <= 3601
    budget.close()


def test_what_was_counted_before_the_machine_was_started_counts_as_of_just_now() -> None:
    budget = Budget("farm", 5)
    taken(budget, 4)
    budget.close()
    [file] = Path(os.environ["RAPIDLAKE_CACHE"]).rglob("*.sqlite")
    with closing(sqlite3.connect(file)) as count, count:  # which the clock shows after so many more days only
        count.execute("UPDATE asked SET item_timestamp = item_timestamp + 40 * 86400000")
    assert taken(budget, 3) == 1
    assert 3500 < budget.seconds_until_free("v2") <= 3601
    budget.close()


def test_no_name_of_a_workspace_or_server_is_in_the_cache() -> None:
    budget = Budget("https://textit.example farm", 5)
    taken(budget, 1)
    budget.close()
    files = [path for path in Path(os.environ["RAPIDLAKE_CACHE"]).rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if "farm" in path.name or b"textit" in path.read_bytes()]


def test_a_cache_that_cannot_be_written_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RAPIDLAKE_CACHE", str(tmp_path / "file"))
    with pytest.raises(RapidlakeError, match="RAPIDLAKE_CACHE"):
        Budget("farm", 5).seconds_until_free("v2")


def test_a_broken_cache_file_is_told_in_a_sentence_or_made_anew() -> None:
    budget = Budget("farm", 5)
    taken(budget, 1)
    budget.close()
    [file] = Path(os.environ["RAPIDLAKE_CACHE"]).rglob("*.sqlite")
    file.write_bytes(b"no database" * 1000)
    try:
        assert taken(budget, 1) == 1
    except RapidlakeError as error:
        assert "RAPIDLAKE_CACHE" in str(error)
    budget.close()
