"""Addresses of archive files: as good as a password, so never asked over plain http, and in nothing that is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from pipeline.archives.listed import ListedFile
from pipeline.reading.progress import Quiet
from pipeline.results import StreamResult, Tally
from pipeline.settings import load_settings
from sandbox import Sandbox, generate, put_archive
from tests.conftest import Answer, Asked, Serve
from tests.lakes import new_lake
from tests.pipeline.server.certified import Authority
from tests.sessions import sync
from warehouse import ArchiveKey, Lake

DAY = "2025-02-01"
RECORD = {
    "id": 7, "contact": None, "urn": None, "channel": None, "direction": "in", "type": "text", "status": "handled",
    "visibility": "visible", "text": "Hello", "attachments": [], "labels": [], "sent_on": None, "broadcast": None,
    "created_on": f"{DAY}T08:00:00+00:00", "modified_on": f"{DAY}T08:00:00+00:00",
}  # fmt: skip


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One archive file of one message."""
    with generate(messages=0, contacts=2, archives=False) as workspace:
        workspace.offer("archives")
        put_archive(workspace, "message", "daily", DAY, [json.dumps(RECORD).encode()])
        with Sandbox(workspace, requests_per_hour=0, keep=True) as served:
            yield served


def by_another_name(sandbox: Sandbox) -> str:
    """The origin of the archive files by a name that is not this machine's own, though it leads there."""
    return sandbox.files_url.replace("127.0.0.1", "0.0.0.0")


# -- where files may come from --


def test_no_file_is_asked_for_over_plain_http_from_another_machine(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.files.origin = by_another_name(sandbox)
    result = run(sandbox, new_lake(tmp_path / "lake"))
    assert result.outcome == "failed"
    assert result.message and "the server lists an address of plain http: let the archive store" in result.message
    assert "0.0.0.0" not in result.message
    assert downloads(sandbox) == []
    assert rows(tmp_path / "lake", "SELECT id FROM messages UNION ALL SELECT rows FROM _archives") == []


def test_no_store_sends_a_download_on_to_plain_http_on_another_machine(
    sandbox: Sandbox, serve: Serve, tmp_path: Path
) -> None:
    there = by_another_name(sandbox)
    store = serve(lambda asked: Answer(b"", 302, {"Location": f"{there}{asked.path}?{urlencode(asked.params)}"}))
    sandbox.files.origin = store.url
    result = run(sandbox, new_lake(tmp_path / "lake"))
    assert result.message and "the file store redirects to an address of plain http" in result.message
    assert "0.0.0.0" not in result.message
    assert (len(store.asked), downloads(sandbox)) == (1, [])
    assert rows(tmp_path / "lake", "SELECT id FROM messages") == []


def test_a_store_may_send_a_download_on_and_neither_gets_the_token(
    sandbox: Sandbox, serve: Serve, tmp_path: Path
) -> None:
    there = sandbox.files_url
    store = serve(lambda asked: Answer(b"", 307, {"Location": f"{there}{asked.path}?{urlencode(asked.params)}"}))
    sandbox.files.origin = store.url
    assert run(sandbox, new_lake(tmp_path / "lake")).outcome == "done"
    assert rows(tmp_path / "lake", "SELECT id, text FROM messages") == [(7, "Hello")]
    (asked,) = store.asked
    assert asked.method == "GET"
    assert sandbox.token not in f"{asked.headers} {asked.params}"
    assert "Authorization" not in asked.headers
    assert [seen.authorization for seen in sandbox.requests if seen.endpoint == "files"] == [False]


def test_a_store_on_a_private_network_with_a_private_authority_is_asked_if_the_settings_name_both(
    sandbox: Sandbox, serve: Serve, tmp_path: Path
) -> None:
    authority, there = Authority(tmp_path), sandbox.files_url

    def send_on(asked: Asked) -> Answer:
        return Answer(b"", 307, {"Location": f"{there}{asked.path}?{urlencode(asked.params)}"})

    store = serve(send_on, authority.certify("0.0.0.0"))
    sandbox.files.origin = store.url.replace("127.0.0.1", "0.0.0.0")
    for given, said in (
        ({"ca_file": authority.file}, "an address on a private network: list its host in RAPIDLAKE_ARCHIVE_HOSTS"),
        ({"archive_hosts": "0.0.0.0"}, "is signed by an authority that this machine does not know"),
        ({"archive_hosts": "0.0.0.0", "ca_file": authority.file}, ""),
    ):
        result = run(sandbox, new_lake(tmp_path / str(len(given)) / said[:9]), **given)
        assert (result.outcome, said in (result.message or "")) == ("failed" if said else "done", True)
        assert "Signature" not in f"{result.message}"
    assert len(store.asked) == 1


def test_a_store_that_redirects_in_a_circle_is_told_without_an_address(
    sandbox: Sandbox, serve: Serve, tmp_path: Path
) -> None:
    store = serve(lambda asked: Answer(b"", 302, {"Location": "/archives/1/again"}))
    sandbox.files.origin = store.url
    result = run(sandbox, new_lake(tmp_path / "lake"))
    assert result.outcome == "failed"
    assert result.message and f"message {DAY} (the file store redirects more than 5 times)" in result.message
    assert store.url not in result.message


# -- where addresses may not be --


class Watching(Quiet):
    """Notes the bytes of the files of a lake whenever something has arrived."""

    def __init__(self, lake: Path) -> None:
        self.lake = lake
        self.seen = b""

    def page(self, stream: str, tally: Tally) -> None:
        self.seen += everything(self.lake)


def test_the_address_of_a_file_is_in_nothing_of_the_lake_also_where_its_row_cannot_be_read(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    workspace, lake = sandbox.workspace, new_lake(tmp_path / "lake")
    (listed,) = workspace.rows("archives")
    put_archive(workspace, "message", "daily", "2025-02-02", [])
    for row in ({**listed, "start_date": "2025-02-03"}, {**listed, "start_date": "2025-02-04"}):
        workspace.put("archives", {**row, "record_count": "many", "colour": "blue"})
    watching = Watching(lake)
    result = run(sandbox, lake, watching)
    assert result.tally.rows_quarantined == 2
    signatures = [seen.params["Signature"] for seen in sandbox.requests if seen.endpoint == "files"]
    assert signatures
    kept = tables(lake)
    assert any("many" in one for one in kept)  # the rows themselves are kept
    assert not [one for one in kept if "Signature" in one or "AWSAccessKeyId" in one or sandbox.files_url in one]
    content = everything(lake) + watching.seen
    secrets = (*signatures, "Signature", "AWSAccessKeyId", sandbox.files_url)
    assert [secret for secret in secrets if secret.encode() in content] == []
    assert not [secret for secret in (*signatures, sandbox.files_url) if secret in f"{result!r}"]


def test_a_listed_file_does_not_show_its_address_where_it_is_printed() -> None:
    listed = ListedFile(
        ArchiveKey("message", "daily", date(2025, 2, 1)), 1, 9, "0f", "https://s3.example/a?Signature=b"
    )
    assert "Signature" not in f"{listed} {listed!r}"


# -- helpers --


def run(sandbox: Sandbox, lake: Path, progress: Quiet | None = None, **given: Any) -> StreamResult:
    settings = load_settings(
        url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0, patience=0, **given
    )
    return sync(settings, ["archives"], progress=progress).streams[0]


def downloads(sandbox: Sandbox) -> list[str]:
    return [seen.path for seen in sandbox.requests if seen.endpoint == "files"]


def rows(lake: Path, query: str) -> list[tuple[Any, ...]]:
    with Lake.open(lake) as opened:
        return opened.rows(query)


def tables(lake: Path) -> list[str]:
    """What all tables of the lake hold, its own too."""
    named = "SELECT table_name FROM information_schema.tables WHERE table_catalog = 'lake' AND table_schema = 'main'"
    with Lake.open(lake) as opened:
        return [str(opened.rows(f'SELECT * FROM "{name}"')) for (name,) in opened.rows(named)]


def everything(lake: Path) -> bytes:
    """The bytes of all files of a lake."""
    return b"".join(path.read_bytes() for path in lake.rglob("*") if path.is_file())
