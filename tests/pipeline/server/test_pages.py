"""Pages with a row that no JSON reader takes: the others come as they were sent, and nothing else gets through."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import ServerUnavailable, UnexpectedAnswer
from pipeline.server.client import Client
from pipeline.server.pages import NoPage, NotJson, Page, is_utf8, read_page
from tests.conftest import Answer, Serve
from tests.made_up import ODD, ROWS, encoded
from tests.pipeline.server.asking import TOKEN

GOOD, LAST = b'{"id": 1,  "text": "\xc3\xa9"}', rb'{"id":3,"text":"\u0000\\"}'


def page(*rows: bytes, following: bytes = b"null") -> bytes:
    return b'{"next":' + following + b',"previous":null,"results":[' + b",".join(rows) + b"]}"


def get(serve: Serve, body: bytes) -> Page:
    """The page that a client makes of an answer, asked for once."""
    origin = serve(lambda asked: Answer(body))
    with Client(origin.url, TOKEN, patience=0) as client:
        return client.page("messages.json", {}, scope="v2.messages")


def raw(found: Page) -> list[bytes]:
    return [bytes(row) for row in found.results]


# -- one odd row --


@pytest.mark.parametrize(
    ("odd", "text"),
    [
        (rb'{"id":2,"text":"\ud83d"}', r'{"id":2,"text":"\ud83d"}'),
        (rb'{"id":2,"text":"\ude00 \ud83d\n"}', r'{"id":2,"text":"\ude00 \ud83d\n"}'),
        (b'{"id":2,"value":NaN}', '{"id":2,"value":NaN}'),
        (b'{"id":2,"value":-Infinity}', '{"id":2,"value":-Infinity}'),
        (b'{"id":2,"text":"a\nb, [{"}', '{"id":2,"text":"a\nb, [{"}'),
        (b'{"id":2,"text":"\x01\x1f"}', '{"id":2,"text":"\x01\x1f"}'),
        (b'{"id":2,"text":"\xff\xc3\xa9\xc3"}', '{"id":2,"text":"\\xffé\\xc3"}'),
        (b'{"id":2,"text":"\xed\xa0\xbd"}', '{"id":2,"text":"\\xed\\xa0\\xbd"}'),
        (b"[" * 5000 + b"]" * 5000, "[" * 5000 + "]" * 5000),
        (b'{"id":2,}', '{"id":2,}'),
        (b"", ""),
    ],
    ids=["half a pair", "halves", "NaN", "infinity", "line break", "control", "no UTF-8", "surrogate bytes", "deep",
         "comma", "nothing"],
)  # fmt: skip
def test_a_row_that_no_reader_takes_comes_as_the_text_of_it_and_the_others_as_they_were_sent(
    odd: bytes, text: str, serve: Serve
) -> None:
    found = get(serve, page(GOOD, odd, LAST, following=b'"https://a.example/api?cursor=x%3D"'))
    first, second, third = raw(found)
    assert (first, third) == (GOOD, LAST)
    assert json.loads(second) == text
    assert second.isascii() and b"\n" not in second
    assert found.following == {"cursor": "x="}


def test_of_a_very_long_row_that_no_reader_takes_the_beginning_is_kept() -> None:
    (row,) = raw(read_page(page(b'{"text":"' + b"\xff" * 2_000_000 + b'"}')))
    text = json.loads(row)
    assert text.startswith('{"text":"\\xff\\xff')
    assert text.endswith("... (2,000,011 bytes)")
    assert len(text) < 2000


def test_what_stands_beside_the_rows_spoils_none_of_them(serve: Serve) -> None:
    body = b'\xef\xbb\xbf{"results": [' + GOOD + b'] ,"count":NaN,"\\ud83d":[1,],"next" : null } '
    assert raw(get(serve, body)) == [GOOD]


# -- no page --


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html><p>{}",
        page(b'{"a":NaN}')[:-1],
        page(b'{"a":NaN}') + b"}",
        page(b'{"a":NaN}') + b" x",
        page(b'{"a":NaN}') + b'"',
        page(b'{"a":NaN}') + page(),
        page(b'{"a":NaN'),
        page(b'{"a":NaN]'),
        page(b'{"a":"\xff}'),
        page(b"1", following=b"NaN"),
        b"{NaN}",
    ],
)
def test_what_is_broken_as_a_whole_is_a_server_that_fails(body: bytes, serve: Serve) -> None:
    with pytest.raises(ServerUnavailable, match="not JSON"):
        get(serve, body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"results":NaN}',
        b'{"results":{"a":NaN}}',
        b'{"results":[1],"next":5,"previous":NaN}',
        b'{"result":[NaN]}',
        b'{"results":[1] [NaN]}',
        page(GOOD, following=b'"https://[no address/?cursor=1"'),
    ],
)
def test_what_is_no_page_of_rows_is_never_taken_for_one(body: bytes, serve: Serve) -> None:
    with pytest.raises(UnexpectedAnswer, match=r"messages\.json.*RAPIDPRO_URL"):
        get(serve, body)


def test_a_next_page_with_an_address_that_is_too_long_is_told(serve: Serve) -> None:
    origin = serve(lambda asked: Answer())
    with Client(origin.url, TOKEN, patience=0) as client, pytest.raises(UnexpectedAnswer, match="next page"):
        client.page("messages.json", {"cursor": "x" * 70_000}, scope="v2.messages")


# -- whatever is sent --


@given(rows=st.lists(encoded(), max_size=6), odd=ODD, place=st.integers(0, 6), rest=st.sampled_from([b"", b" ", b"\n"]))
def test_all_rows_beside_an_odd_one_come_byte_for_byte(rows: list[bytes], odd: bytes, place: int, rest: bytes) -> None:
    place = min(place, len(rows))
    found = raw(read_page(page(*(rest + row + rest for row in [*rows[:place], odd, *rows[place:]]))))
    assert found[:place] + found[place + 1 :] == rows
    assert json.loads(found[place]) == odd.decode("utf-8", "backslashreplace")


@given(rows=st.lists(encoded(), max_size=4), data=st.data())
@settings(max_examples=400)
def test_a_page_with_a_changed_byte_is_refused_or_gives_only_rows_that_it_has(
    rows: list[bytes], data: st.DataObject
) -> None:
    body = bytearray(page(*rows))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.sampled_from(b'"\\{}[],:NI\n\xff0'))
    assert_true_or_refused(bytes(body))


@given(st.binary(max_size=60) | st.lists(st.sampled_from([b'{"results":[', b"]}", b"{", b"}", b"[", b"]", b",", b'"',
        b":", b"\\", b'"a":1', b"NaN", b"\xff", b" ", b'"next":', b"null"]), max_size=14).map(b"".join))  # fmt: skip
@settings(max_examples=400)
@example(b'{"results":["\\')
@example(b'{"results":[' + b"[" * 100_000)
@example(b'"\\' * 100_000)
def test_whatever_bytes_arrive_they_are_refused_or_give_only_rows_that_they_have(body: bytes) -> None:
    assert_true_or_refused(body)


def assert_true_or_refused(body: bytes) -> None:
    """Each row that comes is one of the page's as Python's reader has it, or the text of one."""
    try:
        found = raw(read_page(body))
    except (NotJson, NoPage):
        return
    values = [json.loads(row) for row in found]
    text = body.decode("utf-8", "backslashreplace")
    for row, value in zip(found, values, strict=True):
        assert is_utf8(row)
        assert row in body or value in text
    try:
        expected = json.loads(body)["results"]
    except (ValueError, RecursionError):
        return
    assert len(values) == len(expected)
    for value, one in zip(values, expected, strict=True):
        assert value == one or repr(json.loads(value)) == repr(one)  # it takes NaN, which is not itself


@given(st.lists(ROWS, max_size=4), st.none() | st.text(max_size=5))
def test_a_good_page_is_what_pythons_reader_says(rows: list[dict[str, object]], following: str | None) -> None:
    body = json.dumps({"results": rows, "next": following and "https://a.example/?" + following}).encode()
    found = read_page(body)
    assert [json.loads(row) for row in raw(found)] == json.loads(body)["results"]
    assert found.next == json.loads(body)["next"]
