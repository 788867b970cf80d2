"""Faults of Rapidlake's own: one sentence that says where in the code, and nothing of what they are about."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from pipeline.cli.commands import app
from tests.commands import run

PERSON = "+250788000111 is HIV positive"
Break = Callable[[Callable[[], None]], None]


@pytest.fixture
def broken() -> Iterator[Break]:
    """Add the command `broken`, which does what it is given."""
    before = list(app.registered_commands)

    def add(work: Callable[[], None]) -> None:
        app.command("broken")(work)

    yield add
    app.registered_commands[:] = before


def look_up() -> None:
    raise KeyError(PERSON)


def test_a_fault_is_told_by_its_kind_and_its_place(broken: Break) -> None:
    broken(look_up)
    ended = run("broken")
    assert ended.code == 1
    assert ended.out == ""
    assert ended.err.startswith("rapidlake: A fault of Rapidlake's own, KeyError in ")
    assert "test_faults.py:" in ended.err
    assert ended.err.count("\n") == 1
    assert "HIV" not in ended.err


def test_a_fault_in_a_thread_that_nobody_waits_for_is_told_the_same_way(broken: Break) -> None:
    def work() -> None:
        thread = threading.Thread(target=look_up)
        thread.start()
        thread.join()

    broken(work)
    ended = run("broken")
    assert ended.code == 0
    assert "KeyError" in ended.err
    assert "HIV" not in ended.err
