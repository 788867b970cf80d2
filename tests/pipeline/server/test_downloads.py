"""How requests and downloads travel: what of a file is asked for again, what is retried, and through no proxy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import AddressExpired, ServerError, ServerUnavailable, UnexpectedAnswer, Unproven
from pipeline.server.client import Client, Counters
from pipeline.server.downloads import Downloads
from tests.conftest import Answer, Asked, Origin, Serve

TOKEN = "0f3c9a6e5b7d4812a9c0ffee0f3c9a6e5b7d4812"
CONTENT = b"\x1f\x8b" + bytes(range(256)) * 40
DEAD_PROXY = "http://127.0.0.1:9"


def store(serve: Serve, *answers: Callable[[Asked], Answer]) -> Origin:
    """A store that gives these answers in turn, and then whatever range of the file is asked for."""
    left = list(answers)
    return serve(lambda asked: (left.pop(0) if left else ranged)(asked))


def begin(asked: Asked) -> int:
    """From which byte on the file is asked for."""
    return int(asked.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


def ranged(asked: Asked, content: bytes = CONTENT) -> Answer:
    first = begin(asked)
    if "Range" not in asked.headers:
        return Answer(content)
    if first >= len(content):
        return Answer(b"", 416, {"Content-Range": f"bytes */{len(content)}"})
    return Answer(content[first:], 206, {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"})


def cut(asked: Asked) -> Answer:
    """A hundred bytes of what is asked for, though all was announced."""
    whole = ranged(asked)
    return Answer(
        whole.body[:100], whole.status, {**whole.headers, "Content-Length": str(len(whole.body)), "Connection": "close"}
    )


def refused(status: int) -> Callable[[Asked], Answer]:
    return lambda asked: Answer(b"<Error/>", status)


def fetch(
    origin: Origin,
    into: Path,
    *,
    patience: float = 30,
    naps: list[float] | None = None,
    clock: Callable[[], float] = time.monotonic,
    **given: Any,
) -> Counters:
    """Download a file; with `naps` no pause is waited, but noted there."""
    counters, stop = Counters(), threading.Event()
    sleep = None if naps is None else naps.append
    with Downloads(origin.url, patience=patience, stop=stop, sleep=sleep, clock=clock) as downloads:
        downloads.fetch(f"{origin.url}/file?Signature=secret", into, counters, **given)
    return counters


# -- what of a file is asked for again --


def test_each_attempt_asks_for_what_is_missing_and_counts_what_came(serve: Serve, tmp_path: Path) -> None:
    origin = store(serve, cut, cut)
    counters = fetch(origin, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [begin(asked) for asked in origin.asked] == [0, 100, 200]
    assert counters.bytes == len(CONTENT)
    assert {asked.method for asked in origin.asked} == {"GET"}
    assert not [asked for asked in origin.asked if "Authorization" in asked.headers]


def test_a_store_that_sends_from_another_byte_than_asked_is_not_appended(serve: Serve, tmp_path: Path) -> None:
    def from_the_first(asked: Asked) -> Answer:
        return Answer(CONTENT, 206, {"Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"})

    fetch(store(serve, cut, from_the_first), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_store_that_ignores_ranges_is_not_appended(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT[:5000])
    origin = store(serve, lambda asked: Answer(CONTENT))
    fetch(origin, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(origin.asked) == 1


def test_a_whole_file_is_not_sent_again(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    origin = store(serve)
    assert fetch(origin, tmp_path / "file").bytes == 0
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(origin.asked) == 1


def test_what_is_longer_than_the_file_is_thrown_away_and_the_file_fetched_anew(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"another file" * 9000)
    origin = store(serve)
    fetch(origin, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [begin(asked) for asked in origin.asked] == [108_000, 0]


# -- what is retried --


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_store_that_is_busy_is_asked_again(status: int, serve: Serve, tmp_path: Path) -> None:
    origin = store(serve, refused(status))
    fetch(origin, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(origin.asked) == 2


def test_an_attempt_that_brings_something_is_followed_by_another_however_little_the_patience(
    serve: Serve, tmp_path: Path
) -> None:
    origin = store(serve, cut, cut, cut)
    fetch(origin, tmp_path / "file", patience=0)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(origin.asked) == 4


def test_a_store_that_brings_nothing_is_given_up_and_what_came_is_kept(serve: Serve, tmp_path: Path) -> None:
    origin = store(serve, cut, refused(503), refused(503))
    with pytest.raises(ServerUnavailable, match="it answered 503") as caught:
        fetch(origin, tmp_path / "file", patience=0)
    assert "secret" not in str(caught.value)
    assert (tmp_path / "file").read_bytes() == CONTENT[:100]


def test_the_beginning_of_a_page_is_not_kept_as_if_it_were_of_the_file(serve: Serve, tmp_path: Path) -> None:
    """Stores repeat on their pages what they were asked, with its signature."""

    def page(asked: Asked) -> Answer:
        return Answer(b"<html>/a?Signature=secret", 200, {"Content-Length": "9999", "Connection": "close"})

    with pytest.raises(ServerUnavailable):
        fetch(store(serve, page), tmp_path / "file", patience=0)
    assert not (tmp_path / "file").exists()
    fetch(store(serve, page), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("status", "kind"),
    [*((status, AddressExpired) for status in (400, 401, 403, 404, 410)), (405, UnexpectedAnswer),
     (409, UnexpectedAnswer)],
)  # fmt: skip
def test_what_asking_again_cannot_mend_is_asked_once(
    status: int, kind: type[ServerError], serve: Serve, tmp_path: Path
) -> None:
    origin = store(serve, refused(status))
    with pytest.raises(kind, match=str(status)):
        fetch(origin, tmp_path / "file")
    assert len(origin.asked) == 1
    assert not (tmp_path / "file").exists()


def test_a_request_that_took_the_server_too_long_is_sent_again(serve: Serve) -> None:
    origin = store(serve, refused(408), lambda asked: Answer())
    with Client(origin.url, TOKEN, sleep=lambda seconds: None, patience=60) as client:
        assert client.page("labels.json", {}, scope="v2").results == []
    assert len(origin.asked) == 2


# -- what never ends by itself --


def breaks_off(after: Callable[[int], int]) -> Callable[[Asked], Answer]:
    """A store that ignores ranges, and breaks off after so many bytes of the file, by how often it was asked."""
    asked_before = count()

    def answering(asked: Asked) -> Answer:
        headers = {"Content-Length": str(len(CONTENT)), "Connection": "close"}
        return Answer(CONTENT[: after(next(asked_before))], 200, headers)

    return answering


def test_a_store_that_ignores_ranges_and_breaks_off_each_time_is_given_up(serve: Serve, tmp_path: Path) -> None:
    naps: list[float] = []
    origin = serve(breaks_off(lambda time: 1000 + 3000 * (time % 3)))
    with pytest.raises(ServerUnavailable, match="kept failing for 30 s: RemoteProtocolError"):
        fetch(origin, tmp_path / "file", naps=naps)
    assert 15 < sum(naps) <= 30
    assert naps[:3] == [0.0, 0.0, 0.0]  # the first three attempts each got further


def test_only_what_gets_further_than_all_before_gives_new_patience(serve: Serve, tmp_path: Path) -> None:
    steps = iter([5000, 4000, 100, 4999, 5001, 6000])
    origin = serve(breaks_off(lambda time: next(steps, len(CONTENT))))
    naps: list[float] = []
    fetch(origin, tmp_path / "file", naps=naps)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [nap > 0 for nap in naps] == [False, True, True, True, False, False]


def test_a_store_that_sends_next_to_nothing_each_time_is_given_up(serve: Serve, tmp_path: Path) -> None:
    def trickle(asked: Asked) -> Answer:
        whole = ranged(asked)
        return Answer(whole.body[:1], whole.status, {**whole.headers, "Content-Length": "9", "Connection": "close"})

    origin = serve(trickle)
    with pytest.raises(ServerUnavailable, match="next to nothing each time"):
        fetch(origin, tmp_path / "file", naps=[])
    assert len(origin.asked) == 101


def test_a_store_that_sends_next_to_nothing_for_a_minute_is_asked_again(serve: Serve, tmp_path: Path) -> None:
    clock = count(step=61.0)
    with pytest.raises(ServerUnavailable, match="next to nothing"):
        fetch(serve(lambda asked: Answer(CONTENT[:9])), tmp_path / "file", patience=0, clock=lambda: next(clock))


def test_a_store_that_sends_another_part_than_was_asked_for_is_given_up_and_what_came_is_kept(
    serve: Serve, tmp_path: Path
) -> None:
    def another_part(asked: Asked) -> Answer:
        return Answer(CONTENT[50:], 206, {"Content-Range": f"bytes 50-{len(CONTENT) - 1}/{len(CONTENT)}"})

    origin = store(serve, cut, *[another_part] * 99)
    with pytest.raises(ServerUnavailable, match="another part than was asked for"):
        fetch(origin, tmp_path / "file", naps=[])
    assert (tmp_path / "file").read_bytes() == CONTENT[:100]


def test_a_file_that_shrinks_each_time_is_given_up(serve: Serve, tmp_path: Path) -> None:
    lengths = iter(range(5000, 0, -1))

    def shrinking(asked: Asked) -> Answer:
        length = next(lengths)
        if begin(asked):
            return Answer(b"", 416, {"Content-Range": f"bytes */{length}"})
        return Answer(CONTENT[:length], 200, {"Content-Length": str(length + 1), "Connection": "close"})

    with pytest.raises(ServerUnavailable):
        fetch(serve(shrinking), tmp_path / "file", naps=[])


@pytest.mark.parametrize("have", [0, 100, 5001, 20_000])
def test_a_download_ends_as_soon_as_it_has_more_bytes_than_it_may(have: int, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT[:have] or b"")
    with pytest.raises(Unproven, match="more than the 5,000 bytes"):
        fetch(store(serve), tmp_path / "file", most=5000)


def test_a_download_may_have_as_many_bytes_as_it_may(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT * 2)  # of another file
    fetch(store(serve), tmp_path / "file", most=len(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_one_who_listens_hears_once_that_a_store_is_down_and_that_the_download_goes_on(
    serve: Serve, tmp_path: Path
) -> None:
    told: list[str | None] = []
    origin = store(serve, *[refused(503)] * 5, cut, *[refused(502)] * 5)
    fetch(origin, tmp_path / "file", naps=[], patience=300, failing=told.append)
    assert told == [
        "the file store fails (it answered 503); trying again for up to 300 s", None,
        "the file store fails (it answered 502); trying again for up to 300 s", None,
    ]  # fmt: skip


ODD_ADDRESSES = ["", "file", "https://", "https://xn--/", "ftp://a.example/", "file:///etc/passwd",
                 f"https://{'a' * 64}.example/", "https://\N{BULLET}/", "https://a/\n"]  # fmt: skip


@pytest.mark.parametrize("address", ODD_ADDRESSES)
def test_an_address_that_is_none_is_told_and_not_shown(address: str, tmp_path: Path) -> None:
    with (
        Downloads("https://textit.example", patience=0, stop=threading.Event()) as downloads,
        pytest.raises(UnexpectedAnswer, match=r"the server lists an address (that is none|of another kind than https)"),
    ):
        downloads.fetch(address, tmp_path / "file", Counters())


def test_a_store_that_sends_on_to_an_address_that_is_none_is_told(serve: Serve, tmp_path: Path) -> None:
    origin = store(serve, lambda asked: Answer(b"", 302, {"Location": "https://xn--/?Signature=secret"}))
    with pytest.raises(UnexpectedAnswer, match="address that is none"):
        fetch(origin, tmp_path / "file")


# -- through nobody else --


def test_what_stays_on_this_machine_goes_through_no_proxy(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, DEAD_PROXY)
    origin = store(serve, lambda asked: Answer())
    with Client(origin.url, TOKEN, patience=0) as client:
        assert client.page("labels.json", {}, scope="v2").results == []
    fetch(origin, tmp_path / "file", patience=0)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_token_of_settings_goes_to_the_store_in_no_header(serve: Serve, tmp_path: Path) -> None:
    origin = store(serve)
    fetch(origin, tmp_path / "file")
    (asked,) = origin.asked
    assert asked.headers["Accept-Encoding"] == "identity"
    assert asked.headers.keys() <= {"Host", "Accept", "Accept-Encoding", "Connection", "User-Agent"}
