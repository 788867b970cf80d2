"""Rows of the list of archives, of any kind: each is a file that can be downloaded, or none, and no address is kept."""

from __future__ import annotations

import json
from datetime import date

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archives.listed import ArchiveList, ListedFile, without_address
from tests.made_up import VALUES, encoded
from warehouse import ArchiveKey

KEY = ArchiveKey("message", "daily", date(2025, 2, 1))
MD5 = "0f3c9a6e5b7d4812a9c0ffee0f3c9a6e"
ADDRESS = "https://store.example/archive.gz?Signature=secret"
GOOD = {
    "archive_type": "message", "period": "daily", "start_date": "2025-02-01", "record_count": 7, "size": 90,
    "hash": MD5, "download_url": ADDRESS,
}  # fmt: skip


def listed(*rows: bytes) -> ListedFile | None:
    """The file of a list's rows."""
    files = ArchiveList(list)
    files.note([msgspec.Raw(row) for row in rows])
    return files.get(KEY)


def written(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode()


def test_a_file_is_as_its_row_says() -> None:
    assert listed(written()) == ListedFile(KEY, 7, 90, MD5, ADDRESS)
    assert listed(written(size=None)) == ListedFile(KEY, 7, None, MD5, ADDRESS)


@pytest.mark.parametrize(
    "changes",
    [
        {"record_count": "7"}, {"record_count": None}, {"record_count": 1.5}, {"size": "90"}, {"size": []},
        {"hash": 7}, {"hash": ""}, {"hash": "../../../etc/passwd"}, {"hash": MD5 + "/x"}, {"hash": MD5 + "\n"},
        {"hash": MD5 + "\0"}, {"hash": "x" * 5000}, {"start_date": "2025-02-30"}, {"start_date": "yesterday"},
        {"start_date": 20250201}, {"start_date": None}, {"period": "../daily"}, {"period": None},
        {"download_url": 7}, {"download_url": ""}, {"download_url": None}, {"archive_type": {}},
    ],
)  # fmt: skip
def test_a_row_with_an_odd_value_is_no_file_and_spoils_no_other(changes: dict[str, object]) -> None:
    assert listed(written(**changes)) is None
    assert listed(written(**changes), written(), written(**changes | {"start_date": "2025-02-02"})) is not None


@pytest.mark.parametrize("row", [b'"text"', b"null", b"[]", b"7", b"[" * 5000 + b"]" * 5000, b'{"a":' * 5000])
def test_a_row_that_is_no_object_is_no_file(row: bytes) -> None:
    assert listed(row, written()) == ListedFile(KEY, 7, 90, MD5, ADDRESS)


@given(encoded(st.dictionaries(st.sampled_from([*GOOD, "type"]), VALUES, max_size=7).map(lambda one: GOOD | one)))
def test_a_row_of_any_values_ends_nothing(row: bytes) -> None:
    file = listed(row)
    assert file is None or "/" not in file.file_name
    assert json.loads(bytes(without_address(msgspec.Raw(row)))).get("download_url") is None


# -- addresses --


def test_a_row_is_kept_as_it_is_but_for_its_address() -> None:
    kept = json.loads(bytes(without_address(msgspec.Raw(written(colour="blue")))))
    assert kept == {name: value for name, value in (GOOD | {"colour": "blue"}).items() if name != "download_url"}


@pytest.mark.parametrize(
    "row", [json.dumps(written().decode()).encode(), json.dumps([GOOD]).encode(), b"[" * 5000 + written()]
)
def test_of_a_row_that_cannot_be_read_no_address_is_kept(row: bytes) -> None:
    kept = bytes(without_address(msgspec.Raw(row)))
    assert b"secret" not in kept and b"Signature" not in kept
    assert isinstance(json.loads(kept), str)
