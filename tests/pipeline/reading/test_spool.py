"""The spool: rows on their way to the lake, one to a line, until they are worth a commit."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.reading.spool import FILE_BYTES, FULL_BYTES, FULL_SECONDS, Spool
from warehouse import LakeUnwritable


def rows(*texts: str) -> list[msgspec.Raw]:
    return [msgspec.Raw(text.encode()) for text in texts]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path, "contacts")
    yield spool
    spool.clear()


def lines(spool: Spool) -> list[str]:
    """All lines in the order they came."""
    return [line for file in spool.ready() for line in file.read_text(encoding="utf-8").split("\n") if line]


def test_rows_stand_one_to_a_line_as_they_came(spool: Spool) -> None:
    first, second = '{"name":"Adé 😀\\n\\u0000",  "n": 1.0}', '{"name":"\u2028"}'
    spool.append(rows(first, second))
    spool.append([])
    spool.append(rows("{}"))
    assert lines(spool) == [first, second, "{}"]
    assert (spool.rows, spool.pages) == (3, 3)


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_rows_written_over_several_lines_are_put_on_one(broken: int, spool: Spool) -> None:
    wanted: list[Any] = [{"uuid": f"c{number}", "text": "a\nb", "fields": {"x": [1, 2]}} for number in range(3)]
    written = [json.dumps(row, indent=2 if number == broken else None) for number, row in enumerate(wanted)]
    spool.append(rows(*written))
    assert [json.loads(line) for line in lines(spool)] == wanted


def test_a_batch_of_nothing_has_nothing_to_load(spool: Spool) -> None:
    spool.append([])
    assert spool.ready() == []
    assert (spool.rows, spool.pages) == (0, 1)


def test_the_longest_line_is_never_understated(spool: Spool) -> None:
    long = json.dumps({"text": "é" * 5000}, ensure_ascii=False)
    spool.append(rows("{}", long, "{}"))
    spool.append(rows("{}"))
    assert spool.longest >= len(long.encode())


def test_large_batches_go_to_several_files_in_order(spool: Spool) -> None:
    texts = [json.dumps({"n": number, "text": "x" * (FILE_BYTES // 2)}) for number in range(5)]
    for text in texts:
        spool.append(rows(text))
    assert len(spool.ready()) > 1
    assert lines(spool) == texts


def test_a_batch_is_full_after_so_many_pages(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "contacts", full_pages=2)
    spool.append(rows("{}"))
    assert not spool.full
    spool.append([])
    assert spool.full
    spool.clear()
    assert not spool.full


def test_a_batch_is_full_after_so_many_bytes(spool: Spool) -> None:
    spool.append(rows('"' + "x" * (FULL_BYTES - 3) + '"'))
    assert not spool.full
    spool.append(rows("1"))
    assert spool.full


def test_a_batch_is_full_after_so_many_seconds(tmp_path: Path) -> None:
    times = [0.0]
    spool = Spool(tmp_path, "contacts", clock=lambda: times[0])
    times[0] = FULL_SECONDS - 1
    assert not spool.full
    times[0] = FULL_SECONDS
    assert spool.full
    spool.clear()
    assert not spool.full


def test_the_next_batch_begins_empty_and_leaves_no_file(spool: Spool, tmp_path: Path) -> None:
    spool.append(rows('{"n":1}'))
    spool.ready()
    spool.clear()
    assert (spool.rows, spool.pages, spool.bytes, spool.longest) == (0, 0, 0, 0)
    assert list(tmp_path.iterdir()) == []
    spool.append(rows('{"n":2}'))
    assert lines(spool) == ['{"n":2}']


def test_what_a_killed_sync_left_is_not_loaded_and_other_streams_keep_theirs(tmp_path: Path) -> None:
    killed, other = Spool(tmp_path, "campaigns"), Spool(tmp_path, "campaign_events")
    killed.append(rows('{"n":1}'))
    killed.ready()
    other.append(rows('{"n":2}'))
    other.ready()
    begun = Spool(tmp_path, "campaigns")
    assert begun.ready() == []
    assert lines(other) == ['{"n":2}']
    assert len(list(tmp_path.iterdir())) == 1


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [5_000, 100_000])
def test_a_full_disk_is_told_in_a_sentence_and_leaves_nothing_open(size: int, tmp_path: Path) -> None:
    spool = Spool(tmp_path, "contacts")
    with room_for(4096):
        with pytest.raises(LakeUnwritable, match=r"cannot be written .* make room and sync again"):
            spool.append(rows('"' + "x" * size + '"'))
            spool.ready()
        spool.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_is_told_in_a_sentence(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "gone", "contacts")
    with pytest.raises(LakeUnwritable, match="cannot be written"):
        spool.append(rows("{}"))
