"""Answers as they come over the wire: however they are packed, and never more of them than may be."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ServerUnavailable, TooLarge, UnexpectedAnswer
from pipeline.server.bodies import BrokenPacking, TooMuch, read_body
from pipeline.server.client import Client
from pipeline.settings import MEGABYTE, load_settings
from pipeline.syncing.session import open_client
from tests.conftest import Answer, Serve
from tests.pipeline.server.asking import TOKEN

LIMIT = 3 * MEGABYTE
GZIP = {"Content-Encoding": "gzip"}


def page(size: int) -> bytes:
    """A page of one row, of so many bytes."""
    frame = b'{"next":null,"results":["%s"]}'
    return frame % (b"a" * (size - len(frame) + 2))


def rows(serve: Serve, answer: Answer, *, largest: int = LIMIT) -> list[bytes]:
    """The rows of an answer that is asked for once."""
    origin = serve(lambda asked: answer)
    with Client(origin.url, TOKEN, patience=0, largest_page=largest) as client:
        return [bytes(row) for row in client.page("messages.json", {}, scope="v2.messages").results]


def test_gzip_is_asked_for_and_nothing_else(serve: Serve) -> None:
    origin = serve(lambda asked: Answer())
    with Client(origin.url, TOKEN) as client:
        client.page("messages.json", {}, scope="v2.messages")
    assert origin.asked[0].headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize("headers", [GZIP, {"Content-Encoding": "GZIP "}, {"Content-Encoding": "x-gzip"}])
def test_a_packed_answer_is_unpacked(headers: dict[str, str], serve: Serve) -> None:
    body = page(2_900_000)
    assert rows(serve, Answer(gzip.compress(body), headers=headers)) == json_rows(body)


@pytest.mark.parametrize("coding", ["", "identity", "none"])
def test_an_answer_that_is_not_packed_comes_as_it_is(coding: str, serve: Serve) -> None:
    assert rows(serve, Answer(page(70), headers={"Content-Encoding": coding})) == json_rows(page(70))


def test_an_answer_of_several_members_is_whole(serve: Serve) -> None:
    body = page(200_000)
    packed = gzip.compress(body[:70_000]) + gzip.compress(b"") + gzip.compress(body[70_000:])
    assert rows(serve, Answer(packed + b"\0\0", headers=GZIP)) == json_rows(body)


@pytest.mark.parametrize("packed", [True, False])
def test_an_answer_may_have_as_many_bytes_as_are_set_and_not_one_more(packed: bool, serve: Serve) -> None:
    for size, fits in ((LIMIT, True), (LIMIT + 1, False)):
        body = page(size)
        answer = Answer(gzip.compress(body), headers=GZIP) if packed else Answer(body)
        if fits:
            assert rows(serve, answer) == json_rows(body)
        else:
            with pytest.raises(TooLarge, match=r"messages\.json: .* more than 3 MB: .*RAPIDLAKE_LARGEST_PAGE"):
                rows(serve, answer)


def test_the_setting_says_how_many_megabytes_an_answer_may_have(serve: Serve) -> None:
    origin = serve(lambda asked: Answer(page(2 * MEGABYTE)))
    settings = load_settings(url=origin.url, token=TOKEN)
    with open_client(settings.model_copy(update={"largest_page": 2})) as client:
        assert client.page("messages.json", {}, scope="v2.messages").results
    with open_client(settings.model_copy(update={"largest_page": 1})) as client, pytest.raises(TooLarge):
        client.page("messages.json", {}, scope="v2.messages")


def test_an_answer_that_unpacks_to_too_much_is_never_in_memory(serve: Serve) -> None:
    packed = gzip.compress(b'{"next":null,"results":["' + b"a" * 200_000_000, 1)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            rows(serve, Answer(packed, headers=GZIP))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_an_answer_packed_in_a_way_that_was_not_asked_for_is_told(coding: str, serve: Serve) -> None:
    answer = Answer(zlib.compress(page(70)), headers={"Content-Encoding": coding})
    with pytest.raises(UnexpectedAnswer, match=r"messages\.json.*not asked for"):
        rows(serve, answer)


@pytest.mark.parametrize(
    "broken",
    [b"", b"\x1f", b"no gzip", gzip.compress(page(70), mtime=0)[:-9]],
    ids=["nothing", "a byte", "text", "cut"],
)
def test_a_packing_that_is_broken_is_a_server_that_fails(broken: bytes, serve: Serve) -> None:
    with pytest.raises(ServerUnavailable, match="broken compression"):
        rows(serve, Answer(broken, headers=GZIP))


@given(
    content=st.binary(max_size=40).map(lambda one: one * 3000),
    members=st.integers(1, 3),
    change=st.none() | st.tuples(st.floats(0, 0.99), st.integers(0, 255)),
    step=st.sampled_from([1, 7, 64, 100_000]),
    most=st.integers(0, 130_000),
)
def test_in_whatever_pieces_it_arrives_the_content_is_that_of_the_members_or_refused(
    content: bytes, members: int, change: tuple[float, int] | None, step: int, most: int
) -> None:
    packed = bytearray(b"".join(gzip.compress(content[place::members], mtime=0) for place in range(members)))
    expected = b"".join(content[place::members] for place in range(members))
    if change:
        packed[int(change[0] * len(packed))] = change[1]
    pieces = (bytes(packed[start : start + step]) for start in range(0, len(packed), step))
    try:
        body = read_body(httpx.Response(200, headers=GZIP, content=pieces), most)
        assert len(body) <= most
        assert body == expected or (change and expected.startswith(body))  # what follows a member may be padding
    except TooMuch:
        assert change or len(expected) > most
    except BrokenPacking:
        assert change


def json_rows(body: bytes) -> list[bytes]:
    return [json.dumps(row).encode() for row in json.loads(body)["results"]]
