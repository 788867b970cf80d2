"""Where a server's word may send a download: not into this machine's network, however the address is written."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.access import host_names
from pipeline.errors import NotTrusted, ServerUnavailable, UnexpectedAnswer
from pipeline.results import Counters
from pipeline.server.downloads import Downloads
from pipeline.server.hosts import Hosts, Refused, Unresolved
from tests.conftest import Answer, Asked, Serve
from tests.pipeline.server.certified import Authority

PUBLIC_API = "https://8.8.8.8"
CONTENT = b"a file"
Names = Callable[..., None]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Say which addresses names of `.example` have; one with several lists leads elsewhere each time it is asked."""
    known: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def resolved(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if not str(name).endswith(".example"):
            return real(host, port, *rest, **named)
        if name not in known:
            raise socket.gaierror(-2, "Name or service not known")
        places = known[name].pop(0) if len(known[name]) > 1 else known[name][0]
        return [
            (socket.AF_INET6 if ":" in place else socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port or 0))
            for place in places
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)

    def name(host: str, *places: list[str]) -> None:
        known[host] = list(places)

    return name


def led_to(hosts: Hosts, address: str) -> list[str]:
    """What a download would connect to."""
    return [str(place) for place in hosts.addresses(hosts.read(address))]


# -- addresses --

PRIVATE = [
    "10.0.0.5", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "100.64.0.1",
    "100.100.100.200", "224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1",
    "2130706433", "0x7f000001", "0x7f.1", "127.1", "017700000001", "127.0.0.1.", "2852039166",
    "[::1]", "[::]", "[fe80::1]", "[fec0::1]", "[fd00:ec2::254]", "[ff02::1]", "[2001:db8::1]",
    "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:a00:5::1]",
    "[2001:0:7f00:1::]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "localhost", "LOCALHOST", "localhost.", "a.localhost",
]  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE)
def test_no_spelling_of_a_private_address_is_asked_on_the_word_of_a_public_server(host: str) -> None:
    with pytest.raises(Refused, match="on a private network: list its host in RAPIDLAKE_ARCHIVE_HOSTS"):
        led_to(Hosts(PUBLIC_API), f"https://{host}/file?Signature=secret")


@pytest.mark.parametrize("host", [host for host in PRIVATE if "localhost" not in host.lower()])
def test_nor_is_it_asked_of_a_proxy(host: str) -> None:
    hosts = Hosts(PUBLIC_API)
    with pytest.raises(Refused, match="on a private network"):
        hosts.check_name(hosts.read(f"https://{host}/"))


@pytest.mark.parametrize("host", ["store", "store.internal", "printer.local", "a.localhost", "nas.home.arpa."])
def test_a_name_of_private_networks_alone_is_not_asked_of_a_proxy(host: str) -> None:
    hosts = Hosts(PUBLIC_API)
    with pytest.raises(Refused, match="on a private network"):
        hosts.check_name(hosts.read(f"https://{host}/"))
    Hosts(PUBLIC_API, [host.rstrip(".")]).check_name(hosts.read(f"https://{host}/"))
    hosts.check_name(hosts.read("https://s3.amazonaws.com/"))


@pytest.mark.parametrize(
    ("host", "place"),
    [("1.1.1.1", "1.1.1.1"), ("[2606:4700::1111]", "2606:4700::1111"), ("16843009", "1.1.1.1"),
     ("[64:ff9b::101:101]", "64:ff9b::101:101"), ("[::ffff:1.1.1.1]", "::ffff:1.1.1.1")],
)  # fmt: skip
def test_an_address_that_all_can_reach_is_asked(host: str, place: str) -> None:
    (found,) = led_to(Hosts(PUBLIC_API), f"https://{host}/")
    assert found in (place, "::ffff:101:101")


# -- names --


def test_a_name_is_asked_if_all_its_addresses_are_public(names: Names) -> None:
    names("store.example", ["1.1.1.1", "2606:4700::1111"])
    names("mixed.example", ["1.1.1.1", "10.0.0.5"])
    names("inside.example", ["169.254.169.254"])
    names("mapped.example", ["::ffff:10.0.0.5"])
    assert led_to(Hosts(PUBLIC_API), "https://store.example/") == ["1.1.1.1", "2606:4700::1111"]
    for host in ("mixed", "inside", "mapped"):
        with pytest.raises(Refused, match="private network"):
            led_to(Hosts(PUBLIC_API), f"https://{host}.example/")
    with pytest.raises(Unresolved):
        led_to(Hosts(PUBLIC_API), "https://missing.example/")


@pytest.mark.parametrize("listed", ["inside.example", "10.0.0.5", "INSIDE.example."])
def test_a_host_that_is_listed_is_asked_by_name_or_by_address(listed: str, names: Names) -> None:
    names("inside.example", ["10.0.0.5"])
    hosts = Hosts(PUBLIC_API, host_names(f"other.example, {listed}"))
    assert led_to(hosts, "https://inside.example:9000/") == ["10.0.0.5"]
    with pytest.raises(Refused):
        led_to(hosts, "https://10.0.0.6/")


@pytest.mark.parametrize(
    ("api", "near"),
    [("https://10.1.1.1", True), ("http://127.0.0.1:8000", True), ("http://localhost:8000", True),
     ("https://[fd00::1]", True), ("https://inside.example", True), ("https://100.64.0.9", True),
     ("https://outside.example", False), ("https://mixed.example", False), ("https://missing.example", False),
     ("https://169.254.1.1", False)],
)  # fmt: skip
def test_a_server_that_is_itself_on_a_private_network_may_name_a_store_there_but_not_where_clouds_tell_secrets(
    api: str, near: bool, names: Names
) -> None:
    names("inside.example", ["192.168.7.7"])
    names("outside.example", ["1.1.1.1"])
    names("mixed.example", ["1.1.1.1", "10.0.0.1"])
    hosts = Hosts(api)
    if near:
        assert led_to(hosts, "https://10.0.0.5:9000/") == ["10.0.0.5"]
    else:
        with pytest.raises(Refused):
            led_to(hosts, "https://10.0.0.5:9000/")
    for place in ("169.254.169.254", "0.0.0.0", "224.0.0.1", "[fe80::1]", "[::ffff:169.254.169.254]"):
        with pytest.raises(Refused):
            led_to(hosts, f"https://{place}/")


def test_the_apis_own_host_may_have_the_files_wherever_it_is() -> None:
    assert led_to(Hosts("https://169.254.1.1"), "https://169.254.1.1:9000/") == ["169.254.1.1"]


# -- what an address may be --


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("http://1.1.1.1/", "plain http"),
        ("http://store.example/", "plain http"),
        ("HTTP://127.0.0.1/", "plain http"),
        ("https://ana@store.example/", "a user's name"),
        ("https://ana:secret@store.example/", "a user's name"),
        ("https://store.example:0/", "that is none"),
        ("https://store.example:99999/", "that is none"),
        *((odd, "of another kind than https") for odd in ("file:///etc/passwd", "ftp://a.example/", "gopher://a.example",
                                                          "data:,secret")),
        *((odd, "that is none") for odd in ("", "secret", "//", "https:", "https:///secret", "https://a b/",
                                            "https://\N{BULLET}/", f"https://{'a' * 64}.example/", "https://xn--/",
                                            "https://a/\n", f"https://a.example/{'a' * 70_000}")),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_whatever_its_host(address: str, rule: str) -> None:
    with pytest.raises(Refused, match=rule) as caught:
        Hosts(PUBLIC_API, ["store.example", "127.0.0.1"]).read(address)
    assert "secret" not in str(caught.value)


def test_plain_http_is_for_this_machine_and_for_a_server_there(names: Names) -> None:
    sandbox = Hosts("http://127.0.0.1:8000")
    assert led_to(sandbox, "http://127.0.0.1:9000/") == ["127.0.0.1"]
    assert {*led_to(sandbox, "http://localhost:9000/")} <= {"127.0.0.1", "::1"}
    for address in ("http://0.0.0.0/", "http://10.0.0.5/", "http://127.1/"):
        with pytest.raises(Refused, match="plain http"):
            led_to(sandbox, address)
    with pytest.raises(Refused, match="plain http"):
        Hosts("https://10.0.0.5").read("http://127.0.0.1/")


# -- downloads --


def fetch(address: str, into: Path, api: str = PUBLIC_API, **given: Any) -> bytes:
    with Downloads(api, patience=given.pop("patience", 60), stop=threading.Event(), **given) as downloads:
        downloads.fetch(address, into / "file", Counters())
    return (into / "file").read_bytes()


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("file:///etc/passwd", "redirects to an address of another kind than https"),
        ("ftp://secret.example/", "redirects to an address of another kind than https"),
        ("", "redirects to an address that is none"),
        (None, "redirects to an address that is none"),
        ("http://secret.example/", "redirects to an address of plain http"),
        ("https://169.254.169.254/secret", "redirects to an address on a private network"),
        ("https://[::ffff:169.254.169.254]/", "redirects to an address on a private network"),
        ("https://ana:secret@a.example/", "redirects to an address with a user's name"),
        ("/again", "redirects more than 5 times"),
    ],
)
def test_a_redirect_to_where_no_file_may_come_from_is_refused_at_once(
    location: str | None, said: str, serve: Serve, tmp_path: Path
) -> None:
    store = serve(lambda asked: Answer(b"", 302, {} if location is None else {"Location": location}))
    with pytest.raises(UnexpectedAnswer, match=f"^the file store {said}") as caught:
        fetch(f"{store.url}/file?Signature=secret", tmp_path, store.url)
    assert "secret" not in str(caught.value)
    assert len(store.asked) == (6 if location == "/again" else 1)


def test_five_redirects_are_followed_each_with_the_range_and_nothing_else_of_ours(serve: Serve, tmp_path: Path) -> None:
    def answering(asked: Asked) -> Answer:
        hop = int(asked.path[1:])
        return Answer(b"", 307, {"Location": f"/{hop + 1}", "Set-Cookie": "a=1"}) if hop < 5 else Answer(CONTENT)

    store = serve(answering)
    (tmp_path / "file").write_bytes(b"a")
    assert fetch(f"{store.url}/0", tmp_path, store.url) == CONTENT
    assert [asked.path for asked in store.asked] == [f"/{hop}" for hop in range(6)]
    assert {asked.headers.get("Range") for asked in store.asked} == {"bytes=1-"}
    assert not [asked for asked in store.asked if {"Cookie", "Authorization"} & asked.headers.keys()]


def test_a_download_asks_the_address_that_was_looked_at_by_the_name_that_was_listed(
    serve: Serve, names: Names, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    store = serve(lambda asked: Answer(CONTENT), authority.certify("store.example"))
    names("store.example", ["127.0.0.1"], ["192.0.2.1"])  # the second time it leads elsewhere
    port = store.url.rpartition(":")[2]
    address = f"https://store.example:{port}/file"
    assert fetch(address, tmp_path, stores=["store.example"], ca_file=authority.file) == CONTENT
    assert [asked.headers["Host"] for asked in store.asked] == [f"store.example:{port}"]


def test_a_name_that_leads_into_a_private_network_the_second_time_is_refused_then(
    serve: Serve, names: Names, tmp_path: Path
) -> None:
    names("store.example", ["1.1.1.1"], ["127.0.0.1"])
    hosts = Hosts(PUBLIC_API)
    assert led_to(hosts, "https://store.example/") == ["1.1.1.1"]
    with pytest.raises(UnexpectedAnswer, match="the server lists an address on a private network"):
        fetch("https://store.example/", tmp_path)


def test_of_several_addresses_the_next_is_asked_if_one_does_not_answer(
    serve: Serve, names: Names, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    store = serve(lambda asked: Answer(CONTENT), authority.certify("store.example"))
    names("store.example", ["127.0.0.2", "127.0.0.1"])  # the server listens on the last alone
    address = f"https://store.example:{store.url.rpartition(':')[2]}/file"
    assert fetch(address, tmp_path, stores=["store.example"], ca_file=authority.file, patience=0) == CONTENT


def test_where_an_address_answers_as_somebody_else_the_next_is_not_asked(
    serve: Serve, names: Names, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    store = serve(lambda asked: Answer(CONTENT), authority.certify("other.example"))
    names("store.example", ["127.0.0.1", "127.0.0.2"])  # the server listens on the first alone
    with pytest.raises(NotTrusted, match="is of another name"):
        fetch(
            f"https://store.example:{store.url.rpartition(':')[2]}/file", tmp_path, stores=["store.example"],
            ca_file=authority.file, patience=0,
        )  # fmt: skip


def test_a_name_that_leads_nowhere_is_asked_again_for_a_while(names: Names, tmp_path: Path) -> None:
    with pytest.raises(ServerUnavailable, match="its name cannot be resolved") as caught:
        fetch("https://secret.example/", tmp_path, patience=0)
    assert "secret" not in str(caught.value)


def test_behind_a_proxy_it_is_the_proxy_that_is_asked_and_by_the_name(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[str] = []

    def refusing(asked: Asked) -> Answer:
        asked_for.append(asked.headers["Host"])
        return Answer(b"", 403)

    monkeypatch.setenv("https_proxy", serve(refusing).url)
    with pytest.raises(ServerUnavailable, match="ProxyError"):
        fetch("https://store.example/file", tmp_path, patience=0)
    assert asked_for == ["store.example:443"]
    with pytest.raises(UnexpectedAnswer, match="on a private network"):
        fetch("https://169.254.169.254/file", tmp_path, patience=0)
    assert len(asked_for) == 1
