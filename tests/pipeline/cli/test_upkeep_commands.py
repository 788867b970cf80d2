"""`rapidlake maintain` as people and machines use it: processes, exit codes, words."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from tests.commands import run
from tests.lakes import new_lake
from warehouse import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake of three small commits."""
    with Lake.create(new_lake(tmp_path / "lake")) as lake:
        for number in range(3):
            rows = f"SELECT {number} * 1000 + id, now(), now() FROM range(200) AS ids(id)"
            sql = f"INSERT INTO messages (id, created_on, synced_on) {rows}"
            lake.commit(lambda connection, sql=sql: connection.execute(sql))
    return tmp_path / "lake"


@pytest.mark.long
def test_what_was_tidied_up_is_told_to_people_and_to_machines(lake: Path) -> None:
    people = run("maintain", "--lake", lake)
    assert people.code == 0 and people.out.startswith("3 → ") and "versions" in people.out, people.said
    machines = run("maintain", "--lake", lake, "--json")
    assert (machines.code, machines.facts["busy"], machines.facts["left"]) == (0, False, [])
    assert machines.facts["before"] == machines.facts["after"]


def test_a_second_upkeep_says_that_another_is_at_it(lake: Path) -> None:
    with FileLock(lake / "locks" / "maintain.lock"):
        ended = run("maintain", "--lake", lake)
    assert (ended.code, ended.out) == (0, "Another process is tidying the lake up now; left to that one.\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--lake", "nowhere"], "There is no lake at nowhere: run `rapidlake sync` first"),
        (["--keep-days", "0"], "RAPIDLAKE_KEEP_DAYS: it must be greater than 0, not 0.0."),
        (["--keep-days", "soon"], "'soon'|unable to parse|Invalid value for '--keep-days'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(arguments: list[str], said: str) -> None:
    ended = run("maintain", *arguments)
    assert ended.code == 2
    assert any(words in ended.said for words in said.split("|")), ended.said
    assert "Traceback" not in ended.said
    assert not Path("nowhere").exists()
