"""Whose files are: nobody but the owner may read what a command makes, or a group that was told."""

from __future__ import annotations

import grp
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox, Workspace, generate
from tests.cases import cases
from tests.commands import access, run, run_apart
from tests.lakes import new_lake

MODES = {0o700, 0o600, 0o2700}


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with generate(messages=120, contacts=20, seed=3) as generated:
        yield generated


def modes(folder: Path) -> dict[str, int]:
    """The mode of a folder and of all in it."""
    return {str(one.relative_to(folder)): stat.S_IMODE(one.lstat().st_mode) for one in [folder, *folder.rglob("*")]}


def another_group() -> str:
    """A group that this process may give files to, and that they do not have by themselves, if there is one."""
    own = os.getegid()
    may = {one.gr_gid for one in grp.getgrall()} if os.geteuid() == 0 else set(os.getgroups())
    return grp.getgrgid(max(may - {own}, default=own)).gr_name


@pytest.mark.parametrize("umask", cases("000", long=["022"]))
def test_nobody_else_may_read_what_commands_make(sandbox: Sandbox, umask: str) -> None:
    home = Path.cwd()
    told = {**access(sandbox), "RAPIDLAKE_CACHE": str(home / "cache"), "RAPIDLAKE_LAKE": "lake"}
    first = ["sh", "-c", f'umask {umask}; exec "$@"', "sh"]
    for words in (
        ("sync",),
        ("export", "messages", "contacts"),
        ("export", "contacts", "--format", "csv", "--to", "csv"),
        ("report",),
        ("dictionary",),
        ("sql", "FROM contacts", "-o", "contacts.xlsx"),
        ("sql", "FROM contacts", "-o", "contacts.csv"),
        ("verify", "--repair"),
        ("maintain",),
    ):
        ended = run_apart(*words, first=first, **told)
        assert ended.code == 0, ended.said
    made = {name: mode for name, mode in modes(home).items() if name != "."}
    assert {"lake/catalog.sqlite", "report.html", "dictionary.md", "contacts.xlsx", "export/messages"} <= made.keys()
    assert len(made) > 100
    assert {name: oct(mode) for name, mode in made.items() if mode not in MODES} == {}


def test_a_group_that_is_told_may_read_and_nobody_else(sandbox: Sandbox, tmp_path: Path) -> None:
    group = another_group()
    told = {**access(sandbox), "RAPIDLAKE_GROUP": group, "RAPIDLAKE_LAKE": str(tmp_path / "lake")}
    assert run_apart("sync", "contacts", "messages", **told).code == 0
    assert run_apart("export", "contacts", **told).code == 0
    assert run_apart("report", **told).code == 0
    found = modes(tmp_path / "lake")
    assert {found[name] for name in (".", "data")} == {0o2750}
    assert found["catalog.sqlite"] == 0o640
    assert all(mode & 0o007 == 0 for mode in found.values())
    assert {mode & 0o777 for name, mode in found.items() if name.endswith(".parquet")} == {0o640}
    assert modes(Path("export")) == {".": 0o2750, ".rapidlake-export": 0o640, "contacts": 0o2750,
                                     "contacts/contacts.parquet": 0o640}  # fmt: skip
    assert stat.S_IMODE(Path("report.html").stat().st_mode) == 0o640
    shared = [one for place in (tmp_path / "lake" / "data", Path("export"), Path("report.html"))
              for one in (place, *place.rglob("*"))]  # fmt: skip
    assert {one.stat().st_gid for one in shared} == {grp.getgrnam(group).gr_gid}


def test_a_group_that_is_none_is_refused(sandbox: Sandbox) -> None:
    ended = run("sync", **access(sandbox), RAPIDLAKE_GROUP="nobody-calls-a-group-so")
    assert ended.code == 2
    assert ended.err == (
        "rapidlake: RAPIDLAKE_GROUP is 'nobody-calls-a-group-so', which is no group of this machine: "
        "`getent group` lists them.\n"
    )


def test_a_token_that_others_can_read_is_told_with_what_to_type(sandbox: Sandbox) -> None:
    new_lake(Path("lake"))
    settings = Path("rapidlake.toml")
    settings.write_text(f'url = "{sandbox.url}"\ntoken = "{sandbox.token}"\n', encoding="utf-8")
    Path(".env").write_text("RAPIDPRO_TOKEN=secret\n", encoding="utf-8")
    settings.chmod(0o640)
    Path(".env").chmod(0o600)
    said = "rapidlake.toml holds the token, and its group on this machine may read it: type `chmod 600 rapidlake.toml`."
    ended = run("sync", "labels")
    assert (ended.code, ended.err.splitlines()[0]) == (0, f"rapidlake: {said}")
    assert said in run("doctor").said
    Path(".env").chmod(0o660)
    assert ".env holds the token" in run("sync", "labels").err
    settings.chmod(0o600)
    Path(".env").chmod(0o600)
    assert "holds the token" not in run("sync", "labels").err + run("doctor").said


def test_a_file_of_the_token_that_others_can_read_is_told(sandbox: Sandbox) -> None:
    new_lake(Path("lake"))
    file = Path("token")
    file.write_text(sandbox.token, encoding="utf-8")
    told = {"RAPIDPRO_URL": sandbox.url, "RAPIDPRO_TOKEN_FILE": "token"}
    file.chmod(0o640)
    said = "token holds the token, and its group on this machine may read it: type `chmod 600 token`."
    assert said in run("sync", "labels", **told).err
    file.chmod(0o600)
    assert "holds the token" not in run("sync", "labels", **told).err


def test_settings_without_a_token_may_be_read_by_all(sandbox: Sandbox) -> None:
    new_lake(Path("lake"))
    Path("rapidlake.toml").write_text(f'url = "{sandbox.url}"\n', encoding="utf-8")
    Path("rapidlake.toml").chmod(0o664)
    assert "holds the token" not in run("sync", "labels", **access(sandbox)).err


def test_a_lake_that_is_open_to_others_is_told_by_the_doctor(sandbox: Sandbox) -> None:
    lake = new_lake(Path("lake"))
    lake.chmod(0o700)
    assert "is open to" not in run("doctor", **access(sandbox)).said
    lake.chmod(0o750)
    ended = run("doctor", **access(sandbox))
    assert ended.code == 1
    assert "lake is open to its group on this machine → type `chmod -R go-rwx lake`" in " ".join(ended.said.split())


def test_a_page_is_not_written_through_a_link_of_somebody_else(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a link of somebody else's")
    new_lake(Path("lake"))
    theirs = tmp_path / "theirs.html"
    theirs.write_text("mine", encoding="utf-8")
    link = Path("dictionary.html")
    link.symlink_to(theirs)
    os.chown(link, 12345, 12345, follow_symlinks=False)
    ended = run("dictionary", "-o", link)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert theirs.read_text(encoding="utf-8") == "mine"
    os.chown(link, os.geteuid(), os.getegid(), follow_symlinks=False)
    assert run("dictionary", "-o", link).code == 0
    assert theirs.read_text(encoding="utf-8") != "mine"
    assert link.is_symlink()
