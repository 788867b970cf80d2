"""`rapidlake publish`: what it says, and readers of what it makes, who may write nowhere in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox, generate
from tests import processes
from tests.commands import COMMAND, Ended, access, run
from tests.lakes import new_lake, rows
from tests.pipeline.cli.test_bad_input import small_disk
from tests.strangers import Stranger, open_place, stranger
from warehouse import Lake
from warehouse.lake.catalog import MARK

COUNT = "SELECT count(*) AS number FROM messages"
# Adds the same number of rows to two tables in one transaction, again and again, until its input ends.
WRITER = """
import select, sys
from pathlib import Path
from warehouse import Lake

done = 0
with Lake.create(Path(sys.argv[1])) as lake:
    while not select.select([sys.stdin], [], [], 0)[0]:
        done += 1
        rows = 150 if done % 3 == 0 else 7  # in a file, or in the catalog
        made = f"SELECT {done * 1000} + id, now(), now() FROM range({rows}) AS ids(id)"
        def work(connection):
            connection.execute(f"INSERT INTO messages (id, created_on, synced_on) {made}")
            connection.execute(f"INSERT INTO broadcasts (id, created_on, synced_on) {made}")
            if done % 5 == 0:
                connection.execute("DELETE FROM messages WHERE id % 1000 = 3")
                connection.execute("DELETE FROM broadcasts WHERE id % 1000 = 3")
        lake.commit(work)
        print(done, flush=True)
"""
# Publishes again and again, and now and then after upkeep, which moves rows from the catalog to files.
PUBLISHER = """
import select, sys
from datetime import timedelta
from pathlib import Path
from warehouse import Lake, maintain
from warehouse.publishing.publish import publish

lake, folder, tidies, done = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "tidy", 0
while not select.select([sys.stdin], [], [], 0)[0]:
    done += 1
    if tidies and done % 4 == 0:
        with Lake.create(lake) as opened:
            maintain(opened, keep=timedelta(0), grace=timedelta(0))
    publish(lake, folder)
    print(done, flush=True)
"""
# The two tables have the same rows, and as many as their keys.
AGREE = (
    "SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM broadcasts), "
    "(SELECT coalesce(sum(id), 0) FROM messages)::BIGINT, (SELECT coalesce(sum(id), 0) FROM broadcasts)::BIGINT"
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other accounts can reach."""
    with open_place() as folder:
        yield folder


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake of 200 messages."""
    path = new_lake(tmp_path / "lake")
    made = "SELECT id, TIMESTAMPTZ '2026-03-01 00:00:00Z', now() FROM range(200) AS ids(id)"
    with Lake.create(path) as lake:
        lake.commit(lambda connection: connection.execute(f"INSERT INTO messages (id, created_on, synced_on) {made}"))
    return path


def for_everybody(folder: Path) -> Path:
    """The folder, made so that other accounts may read it."""
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """All that is in a folder: when and in what size it was written."""
    found = {str(path.relative_to(folder)): path.lstat() for path in [folder, *folder.rglob("*")]}
    return {name: (one.st_mtime_ns, one.st_size) for name, one in found.items()}


# -- what it says --


def test_what_was_published_is_told_to_people_and_to_machines(lake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    people = run("publish", "--lake", lake, "--to", copy)
    assert people.code == 0
    assert people.out.startswith(f"{copy}: 1 files new, 0 kept, 0 removed, "), people.out
    machines = run("publish", "--lake", lake, "--json", RAPIDLAKE_PUBLISH=str(copy))
    assert (machines.code, machines.facts["files_new"], machines.facts["files_kept"]) == (0, 0, 1)
    assert machines.facts["folder"] == str(copy)
    assert run("sql", COUNT, "--lake", copy, "--json").facts == {"number": 200}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "No folder is named for the copy: name one with --to or RAPIDLAKE_PUBLISH."),
        (["--to", "/"], 2, "name an empty or a new folder with --to or RAPIDLAKE_PUBLISH"),
        (["--to", "copy", "--lake", "nowhere"], 2, "There is no lake at nowhere: run `rapidlake sync` first"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(lake: Path, words: list[str], code: int, said: str) -> None:
    ended = run("publish", *words, **{"RAPIDLAKE_LAKE": str(lake), "RAPIDLAKE_PUBLISH": ""})
    assert (ended.code, said in ended.said) == (code, True), ended.said
    assert not Path("copy").exists()


def test_commands_that_write_refuse_a_copy(lake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert run("publish", "--lake", lake, "--to", copy).code == 0
    before = contents(copy)
    with generate(messages=20, archives=False) as workspace, Sandbox(workspace, requests_per_hour=0) as sandbox:
        for command in ("sync", "verify", "maintain", "backfill 2026-01", "archives --load"):
            ended = run(*command.split(), "--lake", copy, **access(sandbox))
            assert ended.code == 2, (command, ended.said)
            assert "is a published copy, for reading only: write into the lake that it was made from" in ended.said
    assert contents(copy) == before


def test_a_full_disk_is_told_and_the_copy_before_stays(lake: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2):
        copy = tmp_path / "disk" / "copy"
        assert run("publish", "--lake", lake, "--to", copy).code == 0
        before = contents(copy)
        (tmp_path / "disk" / "filler").write_bytes(bytes(shutil.disk_usage(copy).free - 100 * 1024))
        ended = run("publish", "--lake", lake, "--to", copy)
        assert (ended.code, "is full: what was published before stays; make room there" in ended.said) == (1, True)
        assert contents(copy).keys() == before.keys()
        assert rows(copy, COUNT) == [(200,)]
        (tmp_path / "disk" / "filler").unlink()
        assert run("publish", "--lake", lake, "--to", copy).code == 0


# -- readers --


def assert_reads_all(read: Stranger, copy: Path, place: Path) -> None:
    """Everything that reads a lake reads the copy, and writes nothing there."""
    before = contents(copy)
    assert read.run("sql", COUNT, "--lake", copy, "--json").facts == {"number": 200}
    assert read.run("status", "--lake", copy).code == 0
    assert read.cli(copy, COUNT) == Ended(0, "200\n", "")
    assert read.df(copy, COUNT) == [["200"]]
    assert contents(copy) == before


def assert_told_whom_to_ask(read: Stranger, lake: Path, place: Path) -> None:
    """Who may not read is told so, and what can be done."""
    assert run("publish", "--lake", lake, "--to", place / "closed").code == 0
    shutil.copytree(lake, place / "lake")
    ended = read.run("sql", COUNT, "--lake", place / "closed")
    assert (ended.code, ended.err) == (
        1,
        f"rapidlake: The lake {place / 'closed'} cannot be read by this account: "
        "ask who keeps it for the right to read it, or for a copy that `rapidlake publish` made.\n",
    )
    shut = for_everybody(place / "shut")
    assert run("publish", "--lake", lake, "--to", shut).code == 0
    (shut / "catalog.sqlite").chmod(0o600)
    ended = read.run("sql", COUNT, "--lake", shut)
    assert f"The published copy {shut} cannot be read by this account: ask who keeps it" in ended.said
    ended = read.run("sql", COUNT, "--lake", place / "lake")
    assert (ended.code, ended.out) == (1, "")
    assert f"The lake {place / 'lake'} cannot be read by this account: ask who keeps it" in ended.said


def test_another_account_reads_a_lake_in_which_it_may_write_nothing_beside_who_writes_it(
    lake: Path, place: Path
) -> None:
    copied = Path(shutil.copytree(lake, place / "copied"))
    with stranger(place, lake) as read, Lake.create(copied) as writer:  # whose log has what the catalog has not
        for _ in range(2):
            writer.commit(lambda connection: connection.execute("INSERT INTO _drift SELECT 's', 'k', 'unknown', now()"))
            for one in [copied, *copied.rglob("*")]:
                one.chmod(0o755 if one.is_dir() else 0o644)
            known = writer.rows("SELECT count(*) AS number FROM _drift")[0][0]
            ended = read.run("sql", "SELECT count(*) AS number FROM _drift", "--lake", copied, "--json")
            assert (ended.code, ended.facts) == (0, {"number": known}), ended.said
            assert read.df(copied, "SELECT count(*) FROM _drift") == [[str(known)]]


def test_another_account_reads_a_copy_in_which_it_may_write_nothing(lake: Path, place: Path) -> None:
    copy = for_everybody(place / "copy")
    assert run("publish", "--lake", lake, "--to", copy).code == 0
    with stranger(place, lake) as read:
        if os.geteuid() == 0:  # else it is this account
            assert_told_whom_to_ask(read, lake, place)
        assert_reads_all(read, copy, place)
        elsewhere = copy.rename(place / "elsewhere")  # as where it is mounted by another path
        moved = f"DATA_PATH '{elsewhere}/data/'"
        assert read.cli(elsewhere, COUNT, moved, "OVERRIDE_DATA_PATH true") == Ended(0, "200\n", "")
        assert read.run("sql", COUNT, "--lake", elsewhere, "--json").facts == {"number": 200}


@pytest.mark.parametrize(
    "commands",
    [
        'sql "FROM labels" --lake copy',
        pytest.param("status --lake copy", marks=pytest.mark.long),
        pytest.param("export labels --lake copy --to export", marks=pytest.mark.long),
        pytest.param("dictionary --lake copy -o dictionary.md", marks=pytest.mark.long),
    ],
)
def test_a_copy_is_read_where_it_is_mounted_for_reading_only(lake: Path, tmp_path: Path, commands: str) -> None:
    copy = tmp_path / "copy"
    assert run("publish", "--lake", lake, "--to", copy).code == 0
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare here")
    alone = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    mount = "mount --bind copy copy && mount -o remount,bind,ro copy && ! touch copy/x 2>/dev/null || exit 77; "
    ended = processes.run([*alone, "sh", "-c", f'{mount} "$0" {commands}', COMMAND], cwd=tmp_path)
    if ended.returncode == 77 or ended.stderr.startswith("unshare:"):
        pytest.skip("nothing can be mounted here")
    assert (ended.returncode, ended.stderr) == (0, "")


# -- beside each other --


def read_beside(lake: Path, place: Path, *, times: int, tidy: bool) -> None:
    """Write, publish and read at once; each answer is of one transaction, and the copy moves on."""
    copy = for_everybody(place / "copy")
    assert run("publish", "--lake", lake, "--to", copy).code == 0
    seen: list[list[int]] = []
    with stranger(place, lake) as read:
        words = {WRITER: [lake], PUBLISHER: [lake, copy, "tidy" if tidy else ""]}
        beside = [
            processes.start([sys.executable, "-c", code, *given], stdin=subprocess.PIPE)
            for code, given in words.items()
        ]
        while len(seen) < times or seen[0] == seen[-1]:
            ended = read.run("sql", AGREE, "--lake", copy, "--format", "csv")
            assert (ended.code, ended.err) == (0, ""), ended.said
            seen.append([int(value) for value in ended.out.splitlines()[1].split(",")])
            seen.append([int(value) for value in read.df(copy, AGREE)[0]])
            if not tidy:  # beside upkeep, a client that opens the catalog by its name may mix two of them
                ended = read.cli(copy, AGREE)
                assert (ended.code, ended.err) == (0, ""), ended.said
                seen.append([int(value) for value in ended.out.strip().split(",")])
    for process in beside:
        out, err = process.communicate("\n")
        assert process.returncode == 0, err
        assert len(out.splitlines()) >= 2, (out, err)
    assert [one for one in seen if one[0] != one[1] or one[2] != one[3]] == []
    assert sorted(seen) == seen and seen[0] != seen[-1]
    assert sorted(file.name for file in copy.iterdir()) == [MARK, "catalog.sqlite", "data"]


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    """A lake that has no rows."""
    return new_lake(tmp_path / "twins")


def test_readers_meet_whole_transactions_beside_writing_and_publishing(twins: Path, place: Path) -> None:
    read_beside(twins, place, times=3, tidy=False)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("tidy", [False, True])
def test_readers_meet_whole_transactions_for_long(twins: Path, place: Path, tidy: bool) -> None:
    read_beside(twins, place, times=40, tidy=tidy)
