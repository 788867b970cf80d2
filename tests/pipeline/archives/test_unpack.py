"""Archive files of any content: the lines that Python reads from them, or a refusal, and never much in memory."""

from __future__ import annotations

import gzip
import json
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.archives.unpack import CHUNK_BYTES, Bounds, unpack
from pipeline.errors import TooLarge, Unproven
from pipeline.reading.spool import FILE_BYTES
from pipeline.settings import MEGABYTE

LINE = b'{"text":"%s"}\n'


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def packed(folder: Path, content: bytes) -> Path:
    file = folder / "archives.gz"
    file.write_bytes(content)
    return file


def lines(folder: Path, content: bytes, **bounds: float) -> list[bytes]:
    """The lines that a file is unpacked to; no part ends within one."""
    unpacked = unpack(packed(folder, gzip.compress(content, 1)), Bounds(**bounds))
    found = [part.read_bytes() for part in unpacked.parts]
    assert all(part.endswith(b"\n") for part in found[:-1])
    assert unpacked.lines == len(b"".join(found).splitlines())
    assert unpacked.longest >= max(map(len, b"".join(found).split(b"\n")))
    return b"".join(found).split(b"\n")


# -- long lines --


@pytest.mark.parametrize("size", [1, CHUNK_BYTES - 13, CHUNK_BYTES, 11_000_000, 20_000_000, 32 * MEGABYTE - 11])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_comes_whole_however_long_it_may_be(size: int, end: bytes, folder: Path) -> None:
    content = LINE % b"a" + (LINE % (b"b" * size)).rstrip() + b"\n" + (LINE % b"c").rstrip() + end
    assert lines(folder, content) == content.split(b"\n")


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_that_is_longer_is_the_text_of_its_beginning(place: int, end: bytes, folder: Path) -> None:
    wanted = [LINE % b"first", LINE % b"second"]
    wanted.insert(place, LINE % (b"\xff\xc3\xa9" * MEGABYTE))
    found = lines(folder, b"".join(wanted).removesuffix(b"\n") + end, row=MEGABYTE)
    text = json.loads(found[place])
    assert text.startswith('{"text":"\\xffé\\xffé')
    assert text.endswith(f" ... ({len(wanted[place]) - 1:,} bytes)")
    assert 900 < len(text) < 1100
    assert found[place].isascii()
    wanted[place] = found[place] + b"\n"
    assert b"\n".join(found).removesuffix(b"\n") == b"".join(wanted).removesuffix(b"\n")


def test_a_line_as_long_as_it_may_be_comes_whole_and_one_byte_more_does_not(folder: Path) -> None:
    just, over = b"a" * 2 * MEGABYTE, b"a" * (2 * MEGABYTE + 1)
    assert lines(folder, just + b"\n" + just, row=2 * MEGABYTE) == [just, just]
    assert all(json.loads(line) for line in lines(folder, over + b"\n" + over, row=2 * MEGABYTE))


@pytest.mark.parametrize("row", [32, 100])
def test_a_long_line_is_never_in_memory(row: int, folder: Path) -> None:
    file = packed(folder, gzip.compress((LINE % (b"a" * 40 * MEGABYTE)) * 2, 1))
    tracemalloc.start()
    try:
        assert unpack(file, Bounds(row=row * MEGABYTE)).lines == 2
        assert tracemalloc.get_traced_memory()[1] < 8 * MEGABYTE
    finally:
        tracemalloc.stop()


# -- more than there may be --


@pytest.mark.parametrize("content", [LINE * 4, (LINE * 4)[:-1], b"\n" * 4])
def test_unpacking_ends_at_the_first_line_too_many(content: bytes, folder: Path) -> None:
    assert unpack(packed(folder, gzip.compress(content)), Bounds(lines=4)).lines == 4
    with pytest.raises(Unproven, match="more records than the 3 of the list"):
        unpack(packed(folder, gzip.compress(content)), Bounds(lines=3))


def test_unpacking_ends_long_before_all_lines_too_many_are_written(tmp_path: Path) -> None:
    file = packed(tmp_path, gzip.compress(b"{}\n" * 10_000_000, 1))
    with pytest.raises(Unproven):
        unpack(file, Bounds(lines=3))
    assert sum(part.stat().st_size for part in tmp_path.glob("*.jsonl")) < 2 * CHUNK_BYTES


def test_unpacking_ends_at_the_first_byte_too_many(folder: Path) -> None:
    file = packed(folder, gzip.compress(b" " * 3 * MEGABYTE))
    assert unpack(file, Bounds(size=3 * MEGABYTE)).lines == 0
    with pytest.raises(TooLarge, match=r"more than 0\.00293 GB.*RAPIDLAKE_LARGEST_ARCHIVE"):
        unpack(file, Bounds(size=3 * MEGABYTE - 1))


# -- whatever is in it --

LINES = st.sampled_from([b'{"a":1}', b"\n", b"\r\n", b"\r", b"\xef\xbb\xbf", b"\0", b"\xff\xff", b" ", b"\xc3\xa9"])
MEMBERS = st.lists(st.lists(LINES, max_size=20).map(b"".join), min_size=1, max_size=3)
REST = st.sampled_from([b"", b"\0\0\0", b"garbage", b"\x1f", b"\x1f\x8b", b"\x1f\x8b\x08\0"])


@given(
    members=MEMBERS,
    rest=REST,
    cut=st.integers(0, 60),
    change=st.none() | st.tuples(st.integers(0), st.binary(max_size=2)),
)
@settings(max_examples=300)
@example(members=[b"{}\n"], rest=b"", cut=9, change=None)
def test_members_whole_or_not_are_read_as_python_does(
    members: list[bytes], rest: bytes, cut: int, change: tuple[int, bytes] | None, folder: Path
) -> None:
    content = bytearray(b"".join(gzip.compress(one, mtime=0) for one in members) + rest)
    if change:
        place = change[0] % len(content)
        content[place : place + 1] = change[1]
    assert_as_python(bytes(content[: len(content) - cut if cut < 20 else None]), folder)


@given(content=st.binary(max_size=80) | st.binary(max_size=80).map(lambda one: b"\x1f\x8b\x08" + one))
@settings(max_examples=300)
def test_whatever_bytes_a_store_sends_they_are_refused_or_read_as_python_does(content: bytes, folder: Path) -> None:
    assert_as_python(content, folder)


@given(written=st.lists(st.tuples(st.sampled_from([b"a", b"\xff", b" "]), st.sampled_from(
    [0, 1, CHUNK_BYTES - 2, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, FILE_BYTES])), max_size=6))  # fmt: skip
@settings(max_examples=25)
def test_lines_at_the_edges_of_pieces_and_parts_come_whole(written: list[tuple[bytes, int]], folder: Path) -> None:
    assert_as_python(gzip.compress(b"\n".join(one * times for one, times in written), 1, mtime=0), folder)


def assert_as_python(content: bytes, folder: Path) -> None:
    """A file gives what Python's gzip module makes of it, or is refused where that refuses it; or it is not packed."""
    expected: bytes | None = content
    if content.startswith(b"\x1f\x8b"):
        try:
            expected = gzip.decompress(content)
        except (EOFError, OSError, ValueError, gzip.zlib.error):
            expected = None
    try:
        unpacked = unpack(packed(folder, content), Bounds(row=100 * MEGABYTE))
    except Unproven:
        assert expected is None
        return
    assert expected is not None
    assert b"".join(part.read_bytes() for part in unpacked.parts) == expected
    assert unpacked.lines == expected.count(b"\n") + bool(expected.rpartition(b"\n")[2].strip())
