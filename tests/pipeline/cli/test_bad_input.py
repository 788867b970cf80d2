"""Whatever is wrong with settings, server, lake or rows: one clear sentence, the right exit code, nothing lost."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from sandbox import Faults, Sandbox, generate
from tests.commands import Ended, access, run, run_apart
from tests.conftest import Answer, Serve
from tests.lakes import detach, new_lake, rows
from tests.processes import run as run_process
from warehouse import Lake

TOKEN = "0f3c9a6e5b7d4812a9c0ffee0f3c9a6e5b7d4812"
SERVER = {"RAPIDPRO_URL": "https://textit.invalid", "RAPIDPRO_TOKEN": TOKEN}
# A server that must not be asked: nothing listens there.
CLOSED = {"RAPIDPRO_URL": "http://127.0.0.1:9", "RAPIDPRO_TOKEN": TOKEN, "RAPIDLAKE_PATIENCE": "0"}
ANOTHER_UUID = "0f3c9a6e-5b7d-4812-a9c0-ffee0f3c9a6e"

# Start a command as an owner who is bound by permissions, as root otherwise is not.
BOUND_BY_PERMISSIONS = [
    sys.executable,
    "-c",
    """
import ctypes, os, sys
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, PR_CAPBSET_DROP = 1, 2, 24
if sys.platform == "linux":
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
""",
]
# Start a command that can write no file larger than 128 KB, which stands for a full disk where none can be made.
SMALL_FILES_ONLY = [
    sys.executable,
    "-c",
    """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (128 * 1024, 128 * 1024))
os.execv(sys.argv[1], sys.argv[1:])
""",
]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A small workspace; a test that changes it puts it back."""
    with Sandbox(generate(messages=300, seed=1, archives=False), requests_per_hour=0) as served:
        yield served


@pytest.fixture(scope="module")
def synced(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with the labels and groups of that workspace; no test writes to it."""
    path = new_lake(tmp_path_factory.mktemp("synced") / "lake")
    with chdir(path.parent):
        assert run("sync", "labels", "groups", "--lake", path, **access(sandbox)).code == 0
    return path


@pytest.fixture
def lake(synced: Path, tmp_path: Path) -> Path:
    """A copy of that lake, for one test."""
    return Path(shutil.copytree(synced, tmp_path / "lake"))


def assert_told(ended: Ended, code: int, *words: str) -> None:
    """It ended with the code, and one sentence on standard error has all the words."""
    assert ended.code == code, ended
    assert ended.err.startswith("rapidlake: "), ended.err
    assert ended.err.count("\n") == 1, ended.err
    assert [word for word in words if word not in ended.err] == [], ended.err


def assert_as_synced(lake: Path, *queries: str) -> None:
    """The lake opens, nothing is left on the way, it holds what `synced` did, and each query answers true."""
    counts = "(SELECT count(*) FROM labels WHERE deleted_on IS NULL), (SELECT count(*) FROM groups)"
    answers = "".join(f", ({query})" for query in queries)
    assert rows(lake, f"SELECT {counts}{answers}") == [(5, 9, *(True for _ in queries))]
    assert not list((lake / "spool").glob("*.jsonl"))


# -- settings and usage --


def test_a_setting_that_is_missing_or_wrong_is_named_with_what_to_do() -> None:
    cases: list[tuple[dict[str, str], list[str]]] = [
        ({"RAPIDPRO_URL": "https://textit.invalid"}, ["RAPIDPRO_TOKEN is not set", "export RAPIDPRO_TOKEN="]),
        ({"RAPIDPRO_TOKEN": TOKEN}, ["RAPIDPRO_URL is not set", "export RAPIDPRO_URL=https://"]),
        ({**SERVER, "RAPIDPRO_TOKEN": f"Token {TOKEN}"}, ["RAPIDPRO_TOKEN is empty or has characters"]),
        ({**SERVER, "RAPIDPRO_URL": "http://textit.invalid"}, ["http://textit.invalid", "unencrypted", "https://"]),
    ]
    ended = [run("sync", **settings) for settings, _ in cases]
    for one, (_, words) in zip(ended, cases, strict=True):
        assert_told(one, 2, *words)
        assert TOKEN not in one.err
    assert not Path("lake").exists()


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        (f'token = "{TOKEN}"\nurl = https://textit.invalid', ["rapidlake.toml cannot be read", "line 2", "Correct it"]),
        (f'token = "{TOKEN}"\nleg = 60', ["rapidlake.toml has 'leg', which is no setting"]),
    ],
    ids=["not-toml", "unknown"],
)
def test_a_broken_file_of_settings_is_told_without_showing_the_token(toml: str, words: list[str]) -> None:
    Path("rapidlake.toml").write_text(toml, encoding="utf-8")
    ended = run_apart("sync", RAPIDPRO_URL="https://textit.invalid")
    assert_told(ended, 2, *words)
    assert TOKEN not in ended.err


def test_an_argument_that_cannot_be_used_is_told_before_anything_is_asked() -> None:
    cases = {
        ("mesages",): "no stream mesages; there are: archives, ",
        ("--since", "31.1.2026"): "'31.1.2026' is no date: write it like 2026-01-31",
        ("--since", ""): "'' is no date: write it like 2026-01-31",
        ("--lag", "-5"): "RAPIDLAKE_LAG: it must be greater than or equal to 0, not -5",
    }
    ended = [run("sync", *arguments, **CLOSED) for arguments in cases]
    for one, words in zip(ended, cases.values(), strict=True):
        assert_told(one, 2, words)
    assert not Path("lake").exists()


def test_an_unknown_option_is_told_with_where_to_look() -> None:
    ended = run("sync", "--sinse", "2026-01-31", **CLOSED)
    assert (ended.code, ended.out) == (2, "")
    assert "No such option: --sinse" in ended.said
    assert "rapidlake sync --help" in ended.said


# -- server --


def test_a_token_that_is_wrong_or_of_a_lesser_role_is_told_and_nothing_is_made(sandbox: Sandbox) -> None:
    tokens = (TOKEN, sandbox.surveyor_token)
    for token in tokens:
        ended = run("sync", **{**access(sandbox), "RAPIDPRO_TOKEN": token})
        assert_told(
            ended, 1, f"{sandbox.url} refuses the token (403)", "an Administrator or Editor", "Check RAPIDPRO_TOKEN"
        )
    assert not Path("lake").exists()


def test_a_token_of_another_workspace_is_refused(lake: Path) -> None:
    with generate(messages=0, seed=2, archives=False) as workspace:
        workspace.edit("workspace", 1, changes={"name": "Another", "uuid": ANOTHER_UUID})
        with Sandbox(workspace, requests_per_hour=0) as other:
            ended = run("sync", "labels", "--lake", lake, **access(other))
            assert_told(ended, 2, str(lake), "holds another workspace", ANOTHER_UUID, "use another --lake")
            assert [request.endpoint for request in other.requests] == ["workspace"]
    assert_as_synced(lake)


def test_a_server_that_is_down_or_none_of_rapidpro_is_told(serve: Serve) -> None:
    page = Answer(b"<!DOCTYPE html>\n<title>Welcome</title>", headers={"Content-Type": "text/html"})
    cases: list[tuple[str, int, list[str]]] = [
        ("http://127.0.0.1:9", 1, ["Connection refused", "sync again later"]),
        (serve(lambda asked: page).url, 1, ["the answer is not JSON", "an HTML page"]),
        (serve(lambda asked: Answer(b"[]")).url, 1, ["JSON but no object", "a RapidPro or TextIt server?"]),
        (serve(lambda asked: Answer(status=404)).url, 2, ["has no RapidPro API (404)", "is RAPIDPRO_URL right?"]),
    ]
    ended = [run("sync", **{**CLOSED, "RAPIDPRO_URL": url}) for url, _, _ in cases]
    for one, (url, code, words) in zip(ended, cases, strict=True):
        assert_told(one, code, url, *words)
    assert not Path("lake").exists()


def test_a_redirect_is_told_and_the_token_does_not_follow_it(serve: Serve) -> None:
    elsewhere = serve(lambda asked: Answer(b"{}"))
    moved = serve(lambda asked: Answer(status=302, headers={"Location": f"{elsewhere.url}/api/v2/workspace.json"}))
    ended = run("sync", **{**CLOSED, "RAPIDPRO_URL": moved.url})
    assert_told(ended, 1, f"{moved.url} redirects (302) to another port of itself", "set RAPIDPRO_URL")
    assert elsewhere.asked == []


def test_an_endpoint_that_keeps_failing_fails_alone_and_is_told(sandbox: Sandbox, lake: Path) -> None:
    sandbox.faults = Faults(script={"labels": ["html"] * 20})
    try:
        settings = {**access(sandbox), "RAPIDLAKE_PATIENCE": "0"}
        ended = run("sync", "labels", "groups", "users", "--lake", lake, "--json", **settings)
    finally:
        sandbox.faults = Faults()
    assert ended.code == 1
    outcomes = {stream["stream"]: stream["outcome"] for stream in ended.facts["streams"]}
    assert outcomes == {"labels": "failed", "groups": "done", "users": "done"}
    assert "an HTML page" in ended.facts["streams"][0]["message"]
    assert_as_synced(lake)


# -- lake --


def test_a_lake_that_is_not_there_is_told_with_what_to_do() -> None:
    for command in (["status"], ["sql", "SELECT 1"]):
        ended = run(*command, "--lake", "nowhere")
        assert_told(ended, 2, "no lake at nowhere", "run `rapidlake sync` first", "--lake")
    assert not Path("nowhere").exists()


def test_a_lake_path_that_is_a_file_is_told_and_the_file_kept(sandbox: Sandbox) -> None:
    Path("thesis.odt").write_text("much work", encoding="utf-8")
    assert_told(run("sync", "--lake", "thesis.odt", **access(sandbox)), 1, "thesis.odt is a file", "name a folder")
    assert Path("thesis.odt").read_text(encoding="utf-8") == "much work"


def test_a_folder_that_cannot_be_written_is_told(sandbox: Sandbox) -> None:
    Path("theirs").mkdir(mode=0o555)
    ended = run_apart("sync", "--lake", "theirs/lake", first=BOUND_BY_PERMISSIONS, **access(sandbox))
    assert_told(ended, 1, "theirs/lake cannot be written (Permission denied)", "--lake")


def test_a_lake_in_somebody_elses_folder_is_told_to_writers_and_answers_readers(sandbox: Sandbox, lake: Path) -> None:
    for path in (lake / "catalog.sqlite", lake, *(lake / name for name in ("data", "spool", "locks"))):
        path.chmod(0o555 if path.is_dir() else 0o444)
    ended = run_apart("sync", "labels", "--lake", lake, first=BOUND_BY_PERMISSIONS, **access(sandbox))
    assert_told(ended, 1, f"{lake} cannot be written", "permissions")
    asked = run_apart("sql", "SELECT count(*) AS n FROM labels", "--json", "--lake", lake, first=BOUND_BY_PERMISSIONS)
    assert (asked.code, asked.facts, asked.err) == (0, {"n": 5}, "")


def test_a_lake_of_a_newer_version_is_left_alone(sandbox: Sandbox, lake: Path) -> None:
    with Lake.create(lake) as newer:
        newer.commit(lambda connection: connection.execute("UPDATE _lake SET format = 99"))
    for one in (run("sync", "labels", "--lake", lake, **access(sandbox)), run("status", "--lake", lake)):
        assert_told(one, 2, f"{lake} has format 99", "upgrade rapidlake (pip install -U rapidlake)")


COMMANDS_WITH_A_LAKE = (
    ["sync", "labels"], ["status"], ["archives"], ["backfill", "2026-01"], ["verify"], ["maintain"],
    ["sql", "FROM labels"], ["shell"], ["export", "labels", "--to", "out"], ["report"], ["dictionary"],
)  # fmt: skip


@pytest.mark.parametrize(
    ("catalog", "words"),
    [
        (None, "has files of rows and no catalog.sqlite that says what they are: restore that from a backup"),
        (b"not a database " * 500, "catalog.sqlite, is damaged: restore the whole folder from a backup"),
    ],
    ids=["lost", "garbled"],
)
def test_a_catalog_that_is_lost_or_garbled_is_told_by_every_command_and_not_replaced(
    sandbox: Sandbox, lake: Path, catalog: bytes | None, words: str
) -> None:
    (lake / "data" / "main").mkdir(exist_ok=True)
    (lake / "data" / "main" / "rows.parquet").write_bytes(b"rows")
    file = lake / "catalog.sqlite"
    file.write_bytes(catalog) if catalog else file.unlink()
    for command in COMMANDS_WITH_A_LAKE:
        ended = run(*command, "--lake", lake, **access(sandbox))
        assert_told(ended, 1, str(lake), words, "or sync into a new lake")
    doctor = run("doctor", "--lake", lake, **access(sandbox))
    assert doctor.code == 1
    assert words in doctor.said
    assert (file.read_bytes() if file.exists() else None) == catalog


@contextmanager
def small_disk(at: Path, megabytes: int) -> Iterator[None]:
    """A disk of this size for a while, if this user may make one."""
    at.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", at]
    made = shutil.which("mount") and run_process(words).returncode == 0
    if not made:
        pytest.skip("only root makes disks")
    try:
        yield
    finally:
        detach()
        assert run_process(["umount", "--lazy", at]).returncode == 0


def test_a_full_disk_is_told_and_after_room_is_made_the_sync_completes(
    sandbox: Sandbox, synced: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    streams = ("messages", "runs", "labels")
    complete = [f"SELECT count(*) = {sandbox.workspace.count(name)} FROM {name}" for name in ("messages", "runs")]
    with small_disk(disk, 4):
        lake = Path(shutil.copytree(synced, disk / "lake"))
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - 100 * 1024))
        ended = run("sync", *streams, "--lake", lake, **access(sandbox))
        assert ended.code == 1
        assert "make room and sync again" in ended.said
        (disk / "filler").unlink()
        assert_as_synced(lake)
        assert run("sync", *streams, "--lake", lake, **access(sandbox)).code == 0
        assert_as_synced(lake, *complete)


@pytest.mark.long
def test_a_file_that_cannot_grow_is_told_and_the_next_sync_completes(sandbox: Sandbox, lake: Path) -> None:
    ended = run_apart("sync", "messages", "labels", "--lake", lake, "--json", first=SMALL_FILES_ONLY, **access(sandbox))
    assert ended.code == 1
    messages, labels = ended.facts["streams"]
    assert (messages["outcome"], labels["outcome"]) == ("failed", "done")
    assert "cannot be written (File too large)" in messages["message"]
    assert "make room and sync again" in messages["message"]
    assert_as_synced(lake, "SELECT count(*) = 0 FROM messages")
    assert run("sync", "messages", "--lake", lake, **access(sandbox)).code == 0
    assert_as_synced(lake, "SELECT count(*) = 300 FROM messages")


def test_a_stream_that_another_process_syncs_is_left_to_it(sandbox: Sandbox, lake: Path) -> None:
    with FileLock(lake / "locks/labels.lock"):
        ended = run("sync", "labels", "groups", "--lake", lake, **access(sandbox))
    assert ended.code == 0
    assert "labels: another process is syncing it now; left to that one" in ended.err
    assert "groups: 0 new" in ended.err


# -- rows --


def test_an_empty_list_where_rows_were_is_told_and_never_taken_for_deletions(sandbox: Sandbox, lake: Path) -> None:
    labels = sandbox.workspace.rows("labels")
    sandbox.workspace.delete("labels", [label["uuid"] for label in labels])
    try:
        ended = run("sync", "labels", "groups", "--lake", lake, **access(sandbox))
    finally:
        for label in labels:
            sandbox.workspace.put("labels", label)
    assert ended.code == 1
    assert "labels suspicious: the server lists no rows where the lake has 5: nothing was marked deleted" in ended.out
    assert "look at the workspace, then sync again" in ended.out
    assert_as_synced(lake)


def test_keys_that_no_column_takes_are_kept_and_told(sandbox: Sandbox, lake: Path) -> None:
    label = sandbox.workspace.rows("labels")[0]
    sandbox.workspace.put("labels", {**label, "colour": {"r": 255}, "icon": None})
    try:
        ended = run("sync", "labels", "--lake", lake, **access(sandbox))
    finally:
        sandbox.workspace.put("labels", label)
    assert ended.code == 0
    assert "the server sends keys that this version does not know: kept in `extra`, named in _drift" in ended.err
    [(extra,)] = rows(lake, "SELECT extra::VARCHAR FROM labels WHERE extra IS NOT NULL")
    assert json.loads(str(extra)) == {"colour": {"r": 255}, "icon": None}
    assert_as_synced(
        lake,
        "SELECT list(key ORDER BY key) = ['colour', 'icon'] FROM _drift WHERE stream = 'labels' AND kind = 'unknown'",
    )


def test_rows_of_wrong_types_are_put_aside_and_told_and_the_others_arrive(sandbox: Sandbox, lake: Path) -> None:
    workspace = sandbox.workspace
    wrong = {
        "labels": {**workspace.rows("labels")[0], "uuid": "not a UUID"},
        "flows": {**workspace.rows("flows")[0], "uuid": ANOTHER_UUID, "created_on": "yesterday"},
        "campaigns": {**workspace.rows("campaigns")[0], "uuid": ANOTHER_UUID, "group": [1, 2]},
    }
    right = {stream: workspace.count(stream) for stream in wrong}
    keys = {stream: workspace.put(stream, row) for stream, row in wrong.items()}
    try:
        ended = run("sync", *wrong, "--lake", lake, **access(sandbox))
    finally:
        for stream, key in keys.items():
            workspace.delete(stream, [key])
    assert ended.code == 0
    assert ended.err.count("1 unreadable, 1 request; rows that could not be read wait in _quarantine (") == 3
    aside = {str(stream): json.loads(str(row)) for stream, row in rows(lake, "SELECT stream, record FROM _quarantine")}
    assert aside == wrong
    assert_as_synced(lake, *(f"SELECT count(*) = {count} FROM {stream}" for stream, count in right.items()))
