"""The archive files of the sandbox are what is listed, until they are replaced, refused or spoiled."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox import (
    Faults,
    Sandbox,
    Workspace,
    generate,
    put_archive,
    put_archive_bytes,
    put_empty_archive,
    read_archive,
    remove_archive,
)
from tests.conftest import ask

Row = dict[str, Any]

LINES = [b'{"id":%d}' % number for number in range(3000)]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that offers archives but has none."""
    workspace = generate(messages=0, archives=False)
    workspace.offer("archives")
    with Sandbox(workspace, requests_per_hour=None) as sandbox:
        yield sandbox


def address(client: httpx.Client, sandbox: Sandbox) -> str:
    """Return the address of the newest archive file."""
    url: str = ask(client, sandbox, "archives.json?limit=1")[0]["download_url"]
    return url


def lines_of(client: httpx.Client, row: Row) -> list[bytes]:
    """Download an archive and return its lines."""
    return gzip.decompress(client.get(row["download_url"]).content).splitlines()


# -- files and their rows --


def test_an_archive_that_is_written_again_gets_a_new_hash_and_its_old_address_leads_nowhere(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    put_archive(sandbox.workspace, "message", "daily", "2026-01-02", [b"{}"])
    [old] = ask(client, sandbox, "archives.json")
    put_archive(sandbox.workspace, "message", "daily", "2026-01-02", LINES)
    [new] = ask(client, sandbox, "archives.json")

    gone = client.get(old["download_url"])
    assert (gone.status_code, "<Code>NoSuchKey</Code>" in gone.text) == (404, True)
    assert new["hash"] != old["hash"]
    assert new["record_count"] == len(lines_of(client, new)) == 3000


def test_an_archive_that_is_written_again_with_the_same_lines_keeps_its_file(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    first, second = (put_archive(sandbox.workspace, "run", "monthly", "2026-01-01", LINES) for _ in range(2))
    assert first == second
    assert len(lines_of(client, ask(client, sandbox, "archives.json")[0])) == 3000


def test_an_archive_that_is_removed_is_listed_and_served_no_more(sandbox: Sandbox, client: httpx.Client) -> None:
    row = put_archive(sandbox.workspace, "run", "daily", "2026-01-02", LINES)
    url = address(client, sandbox)
    remove_archive(sandbox.workspace, row)
    assert ask(client, sandbox, "archives.json") == []
    assert client.get(url).status_code == 404


def test_the_archive_of_a_dump_is_replaced_but_its_file_stays_in_the_dump(tmp_path: Path, client: httpx.Client) -> None:
    content = gzip.compress(b"{}\n")
    digest = hashlib.md5(content).hexdigest()
    kept = tmp_path / "archives" / f"run_D20260102_{digest}.jsonl.gz"
    kept.parent.mkdir()
    kept.write_bytes(content)
    row = {"archive_type": "run", "start_date": "2026-01-02", "period": "daily", "hash": digest, "record_count": 1}
    (tmp_path / "archives.jsonl").write_text(json.dumps({**row, "size": len(content), "download_url": ""}))
    with Sandbox(Workspace.load(tmp_path)) as sandbox:
        url = address(client, sandbox)
        assert client.get(url).content == content
        put_archive(sandbox.workspace, "run", "daily", "2026-01-02", LINES)
        assert client.get(url).status_code == 404
        put_archive_bytes(sandbox.workspace, "run", "daily", "2026-01-02", content, record_count=1)
        assert client.get(url).content == content
    assert kept.read_bytes() == content


def test_the_list_may_lie_about_the_number_of_records(sandbox: Sandbox, client: httpx.Client) -> None:
    put_archive(sandbox.workspace, "message", "daily", "2026-01-02", LINES, record_count=7)
    [row] = ask(client, sandbox, "archives.json")
    assert row["record_count"] == 7
    assert len(lines_of(client, row)) == 3000


@pytest.mark.parametrize(
    "content",
    [gzip.compress(gzip.compress(b"{}\n")), gzip.compress(b"{}\n" * 99)[:-9], gzip.compress(b'{"id":\n'), b"no", b""],
    ids=["gzipped twice", "truncated", "broken line", "no gzip", "nothing"],
)
def test_any_bytes_can_be_listed_with_their_true_size_and_hash(
    content: bytes, sandbox: Sandbox, client: httpx.Client
) -> None:
    put_archive_bytes(sandbox.workspace, "run", "daily", "2026-01-02", content, record_count=1)
    [row] = ask(client, sandbox, "archives.json")
    assert client.get(row["download_url"]).content == content
    assert (row["size"], row["hash"], row["record_count"]) == (len(content), hashlib.md5(content).hexdigest(), 1)


def test_an_empty_archive_of_a_newer_server_has_neither_hash_nor_address(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    put_archive(sandbox.workspace, "run", "daily", "2026-01-02", LINES)
    url = address(client, sandbox)
    row = put_empty_archive(sandbox.workspace, "run", "daily", "2026-01-02")
    [shown] = ask(client, sandbox, "archives.json")
    assert shown == row
    assert (row["record_count"], row["size"], row["hash"], row["download_url"]) == (0, 0, None, None)
    assert read_archive(sandbox.workspace, row) == []
    assert client.get(url).status_code == 404


def test_an_empty_archive_of_an_older_server_has_an_empty_hash_and_address(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    row = put_empty_archive(sandbox.workspace, "run", "daily", "2026-01-02")
    sandbox.workspace.put("archives", {**row, "hash": "", "download_url": ""})
    [shown] = ask(client, sandbox, "archives.json")
    assert (shown["hash"], shown["download_url"]) == ("", "")


# -- faults of the file server --


@pytest.fixture
def url(sandbox: Sandbox, client: httpx.Client) -> str:
    """The address of an archive file."""
    put_archive(sandbox.workspace, "message", "daily", "2026-01-02", LINES)
    return address(client, sandbox)


@pytest.fixture
def content(sandbox: Sandbox, url: str, client: httpx.Client) -> bytes:
    """What the file holds."""
    return client.get(url).content


def spoil(sandbox: Sandbox, *faults: str) -> None:
    sandbox.faults = Faults(script={"files": list(faults)})


def read_until_cut(client: httpx.Client, url: str, **headers: str) -> tuple[httpx.Response, bytes]:
    """Download until the connection breaks; return the answer and what came."""
    received = b""
    with client.stream("GET", url, headers=headers) as answer:
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            for chunk in answer.iter_raw():
                received += chunk
        return answer, received


def test_a_truncated_download_can_be_resumed_and_truncated_again(
    sandbox: Sandbox, url: str, content: bytes, client: httpx.Client
) -> None:
    spoil(sandbox, "truncate", "truncate", "ok")
    half, size = len(content) // 2, len(content)
    answer, first = read_until_cut(client, url)
    assert (answer.status_code, answer.headers["Content-Length"], first) == (200, str(size), content[:half])

    answer, second = read_until_cut(client, url, Range=f"bytes={half}-")
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {half}-{size - 1}/{size}"
    assert answer.headers["Content-Length"] == str(size - half)
    assert second == content[half : half + (size - half) // 2]

    done = half + len(second)
    last = client.get(url, headers={"Range": f"bytes={done}-"})
    assert (last.status_code, first + second + last.content) == (206, content)
    assert [seen.range for seen in sandbox.requests[-3:]] == [None, f"bytes={half}-", f"bytes={done}-"]


@pytest.mark.parametrize("fault", ["ok", "unpacked"])
@pytest.mark.parametrize(
    ("asked", "chosen"),
    [("bytes=10-19", slice(10, 20)), ("bytes=10-", slice(10, None)), ("bytes=-7", slice(-7, None))],
)
def test_ranges_are_honoured_with_and_without_a_fault(
    fault: str, asked: str, chosen: slice, sandbox: Sandbox, url: str, content: bytes, client: httpx.Client
) -> None:
    spoil(sandbox, fault)
    with client.stream("GET", url, headers={"Range": asked}) as answer:
        begin, end, _ = chosen.indices(len(content))
        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{len(content)}"
        assert b"".join(answer.iter_raw()) == content[chosen]


@pytest.mark.parametrize("fault", ["ok", "unpacked"])
def test_a_range_beyond_the_end_is_refused_and_one_of_another_version_is_ignored(
    fault: str, sandbox: Sandbox, url: str, content: bytes, client: httpx.Client
) -> None:
    spoil(sandbox, fault, fault, "ok", fault)
    beyond = client.get(url, headers={"Range": f"bytes={len(content)}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(content)}")
    with client.stream("GET", url, headers={"Range": "bytes=10-", "If-Range": '"another"'}) as other:
        assert other.status_code == 200
    tag = client.head(url).headers["ETag"]
    with client.stream("GET", url, headers={"Range": "bytes=10-", "If-Range": tag}) as same:
        assert same.status_code == 206


def test_an_address_may_expire_or_its_file_go_before_its_time(sandbox: Sandbox, url: str, client: httpx.Client) -> None:
    spoil(sandbox, "expired", "gone")
    expired, gone = client.get(url), client.get(url)
    assert (expired.status_code, "<Message>Request has expired</Message>" in expired.text) == (403, True)
    assert (gone.status_code, "<Code>NoSuchKey</Code>" in gone.text) == (404, True)
    assert {answer.headers["Content-Type"] for answer in (expired, gone)} == {"application/xml"}
    assert client.get(url).status_code == 200


def test_a_file_may_come_altered_short_packed_twice_or_empty_and_look_complete(
    sandbox: Sandbox, url: str, content: bytes, client: httpx.Client
) -> None:
    spoil(sandbox, "altered", "short", "twice", "empty", "ok")
    altered, short, twice, empty, whole = (client.get(url) for _ in range(5))
    assert {answer.status_code for answer in (altered, short, twice, empty, whole)} == {200}
    assert len(altered.content) == len(content)
    assert [place for place in range(len(content)) if altered.content[place] != content[place]] == [len(content) // 2]
    assert short.content == content[: len(content) // 2]
    assert gzip.decompress(twice.content) == content
    assert empty.content == b""
    assert whole.content == content
    for answer in (altered, short, twice, empty):
        assert answer.headers["Content-Length"] == str(len(answer.content))
        assert answer.headers["Content-Encoding"] == "none"


def test_a_range_is_cut_from_the_wrong_content(
    sandbox: Sandbox, url: str, content: bytes, client: httpx.Client
) -> None:
    spoil(sandbox, "altered", "short")
    middle = len(content) // 2
    altered, short = (client.get(url, headers={"Range": "bytes=10-"}) for _ in range(2))
    assert (altered.status_code, short.status_code) == (206, 206)
    assert altered.content != content[10:]
    assert altered.content[: middle - 10] == content[10:middle]
    assert short.content == content[10:middle]
    assert short.headers["Content-Range"] == f"bytes 10-{middle - 1}/{middle}"


@pytest.mark.parametrize(("fault", "expected"), [("no_range", slice(None)), ("empty", slice(0))])
def test_a_store_may_ignore_ranges(
    fault: str, expected: slice, sandbox: Sandbox, url: str, content: bytes, client: httpx.Client
) -> None:
    spoil(sandbox, fault)
    answer = client.get(url, headers={"Range": "bytes=10-"})
    assert (answer.status_code, answer.content) == (200, content[expected])
    assert "Content-Range" not in answer.headers


def test_a_store_may_make_clients_unpack_the_file(
    sandbox: Sandbox, url: str, content: bytes, client: httpx.Client
) -> None:
    spoil(sandbox, "unpacked", "unpacked")
    assert client.get(url).content == gzip.decompress(content)
    with client.stream("GET", url) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert b"".join(answer.iter_raw()) == content


def test_faults_of_files_are_no_faults_of_other_endpoints() -> None:
    with pytest.raises(ValueError, match="script of runs: no fault is called 'altered'"):
        Faults(script={"runs": ["altered"]})


def test_a_hook_runs_before_each_download_and_may_replace_the_file(
    sandbox: Sandbox, url: str, content: bytes, client: httpx.Client
) -> None:
    seen: list[str] = []

    def hook(name: str) -> None:
        seen.append(name)
        put_archive(sandbox.workspace, "message", "daily", "2026-01-02", [b"{}"])

    sandbox.before_file = hook
    assert client.get(url).status_code == 404
    sandbox.before_file = None
    assert seen == [f"message_D20260102_{hashlib.md5(content).hexdigest()}.jsonl.gz"]
    assert gzip.decompress(client.get(address(client, sandbox)).content) == b"{}\n"
