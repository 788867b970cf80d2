"""Whom this machine trusts, what it says of certificates, through which proxy it asks, and what it keeps of answers."""

from __future__ import annotations

import ssl
import threading
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from pipeline.errors import NotTrusted, ServerError, ServerUnavailable, SettingsError
from pipeline.results import Counters
from pipeline.server.client import Client
from pipeline.server.connections import proxy_for, trusted
from pipeline.server.downloads import Downloads
from tests.conftest import Answer, Asked, Serve
from tests.pipeline.server.asking import PAGE, TOKEN
from tests.pipeline.server.certified import Authority, self_signed

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def asked_of(url: str, ca_file: Path | None, *, naps: list[float] | None = None) -> None:
    waits = [] if naps is None else naps
    with Client(url, TOKEN, ca_file=ca_file, patience=60, sleep=waits.append) as client:
        client.page("labels.json", {}, scope="v2")


def fetched(url: str, ca_file: Path | None, into: Path, *, patience: float = 60) -> None:
    with Downloads(url, ca_file=ca_file, patience=patience, stop=threading.Event()) as downloads:
        downloads.fetch(f"{url}/file?Signature=secret", into / "file", Counters())


# -- authorities --


def test_an_authority_of_the_settings_is_trusted_for_the_api_and_for_archive_files(
    authority: Authority, serve: Serve, tmp_path: Path
) -> None:
    origin = serve(lambda asked: PAGE, authority.certify("127.0.0.1"))
    asked_of(origin.url, authority.file)
    fetched(origin.url, authority.file, tmp_path)
    assert [asked.path for asked in origin.asked] == ["/api/v2/labels.json", "/file"]


def test_the_file_of_openssls_own_variable_counts_on_this_machine_too_and_beside_it_that_of_the_settings(
    authority: Authority, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority(tmp_path, "other")
    monkeypatch.setenv("SSL_CERT_FILE", str(other.file))
    theirs = serve(lambda asked: PAGE, other.certify("127.0.0.1"))
    ours = serve(lambda asked: PAGE, authority.certify("127.0.0.1"))
    asked_of(theirs.url, None)
    asked_of(theirs.url, authority.file)
    asked_of(ours.url, authority.file)
    with pytest.raises(NotTrusted):
        asked_of(ours.url, None)


def test_the_authorities_are_read_once_for_all_clients_and_again_once_their_file_is_another(
    authority: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(b"# Minist\xc3\xa8re\n" + authority.file.read_bytes())
    first = trusted(file)
    assert trusted(file) is first
    assert trusted(None) is not first
    file.write_bytes(Authority(tmp_path, "new").file.read_bytes())
    assert trusted(file) is not first


@pytest.mark.parametrize("content", [None, b"", b"secret", b"\xff\x00", b"-----BEGIN CERTIFICATE-----\nsecret\n"])
def test_a_file_that_is_missing_or_has_no_certificates_is_told_and_not_shown(
    content: bytes | None, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"^RAPIDLAKE_CA_FILE names '.*ca\.pem', which .*\.$") as caught:
        asked_of("https://textit.example", file)
    assert "secret" not in str(caught.value)


def test_a_folder_is_no_file_of_certificates(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="RAPIDLAKE_CA_FILE"):
        asked_of("https://textit.example", tmp_path)


def test_a_broken_file_of_openssls_own_variable_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    with pytest.raises(SettingsError, match="SSL_CERT_FILE"):
        asked_of("https://textit.example", None)


# -- certificates --


def shown(kind: str, authority: Authority, folder: Path) -> ssl.SSLContext:
    """A certificate with this fault."""
    now = datetime.now(UTC)
    return {
        "unknown": lambda: Authority(folder).certify("127.0.0.1"),
        "itself": lambda: self_signed(folder),
        "name": lambda: authority.certify("secret.example"),
        "expired": lambda: authority.certify("127.0.0.1", before=LONG_AGO, after=LONG_AGO + timedelta(days=9)),
        "early": lambda: authority.certify("127.0.0.1", before=now + timedelta(days=2), after=now + timedelta(days=9)),
    }[kind]()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("unknown", "is signed by an authority that this machine does not know.*RAPIDLAKE_CA_FILE"),
        ("itself", "is signed by (itself|an authority that).*RAPIDLAKE_CA_FILE"),
        ("name", "is of another name"),
    ],
)
def test_a_certificate_that_is_not_trusted_is_told_at_once(
    kind: str, said: str, authority: Authority, serve: Serve, tmp_path: Path
) -> None:
    origin, naps = serve(lambda asked: PAGE, shown(kind, authority, tmp_path)), []
    with pytest.raises(NotTrusted, match=rf"^labels\.json: the certificate of {origin.url} {said}.*\.$") as caught:
        asked_of(origin.url, authority.file, naps=naps)
    with pytest.raises(NotTrusted, match=rf"^the certificate of the file store {said}") as of_store:
        fetched(origin.url, authority.file, tmp_path)
    assert (origin.asked, naps) == ([], [])
    assert "secret" not in f"{caught.value} {of_store.value}"


@pytest.mark.parametrize(
    ("kind", "said"),
    [("expired", "has expired, or this machine's clock is ahead"),
     ("early", "is not valid yet, or this machine's clock is behind")],
)  # fmt: skip
def test_a_certificate_of_another_time_is_retried_for_a_clock_may_be_set_right(
    kind: str, said: str, authority: Authority, serve: Serve, tmp_path: Path
) -> None:
    origin, naps = serve(lambda asked: PAGE, shown(kind, authority, tmp_path)), []
    with pytest.raises(ServerUnavailable, match=said):
        asked_of(origin.url, authority.file, naps=naps)
    assert naps
    with pytest.raises(ServerUnavailable, match=said):
        fetched(origin.url, authority.file, tmp_path, patience=0)


# -- proxies --


@pytest.mark.parametrize(
    ("url", "through"),
    [
        ("https://textit.example", "http://proxy.example:3128"),
        ("https://8.8.8.8", "http://proxy.example:3128"),
        ("https://direct.example", None),
        ("https://a.direct.example", None),
        *((f"http://{host}:8000", None) for host in ("localhost", "LOCALHOST.", "a.localhost", "127.0.0.1",
                                                      "127.8.8.8", "[::1]")),
    ],
)  # fmt: skip
def test_only_what_leaves_this_machine_goes_through_a_proxy(
    url: str, through: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "proxy.example:3128")
    monkeypatch.setenv("no_proxy", "direct.example")
    assert proxy_for(httpx.URL(url)) == through


@pytest.mark.parametrize(
    "proxy", ["socks5://ana:secret@proxy.example", "ftp://ana:secret@proxy.example", "http://ana:secret@a:b"]
)
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(SettingsError, match="HTTPS_PROXY") as caught:
        asked_of("https://textit.example", None)
    assert "secret" not in str(caught.value)


def test_requests_go_through_the_proxy_that_is_set(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve(lambda asked: Answer(b"", 403))
    monkeypatch.setenv("https_proxy", proxy.url)
    with pytest.raises(ServerUnavailable, match="ProxyError"):
        asked_of("https://textit.example", None)
    assert {asked.method for asked in proxy.asked} == {"CONNECT"}
    assert not [asked for asked in proxy.asked if "Authorization" in asked.headers]


# -- what is kept of answers, and said --


def test_no_cookie_is_kept_nor_looked_at(serve: Serve, tmp_path: Path) -> None:
    odd = {"Set-Cookie": "a=secret; path=/", "set-cookie": "b=secret; expires=Mon, 99 Foo; max-age=\xb2"}
    origin = serve(lambda asked: Answer(headers=odd))
    with warnings.catch_warnings(record=True) as warned, Client(origin.url, TOKEN) as client:
        for _ in range(2):
            client.page("labels.json", {}, scope="v2")
        fetched(origin.url, None, tmp_path)
        fetched(origin.url, None, tmp_path)
    assert warned == []
    assert not [asked for asked in origin.asked if "Cookie" in asked.headers]


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("https://secret.example/api/v2/labels.json", "to another server"),
        ("//secret.example", "to another server"),
        ("https://127.0.0.1/secret", "to itself with https"),
        ("/secret", "to another path of itself"),
        ("http://127.0.0.1:9/secret", "to another port of itself"),
        ("https://127.0.0.1:secret/", "to an address that is none"),
        ("https://xn--/secret", "to an address that is none"),
        ("", "without saying where|to another path of itself"),
    ],
)
def test_a_redirect_is_told_by_its_kind_and_by_what_shows_it(location: str, said: str, serve: Serve) -> None:
    origin = serve(lambda asked: Answer(b"", 302, {"Location": location}))
    with pytest.raises(ServerError, match=rf"redirects \(302\) ({said}): ") as caught:
        asked_of(origin.url, None)
    assert f"`curl -sI {origin.url}/api/v2/labels.json` shows it" in str(caught.value)
    assert "secret" not in f"{caught.value}"
    assert len(origin.asked) == 1


ODD_HEADERS = {
    "no colon": {"Adaeze Obi": "1"},
    "length": {"Content-Length": "Adaeze", "Connection": "close"},
    "lengths": {"Content-Length": "-5", "Connection": "close"},
    "encoding": {"Transfer-Encoding": "Adaeze", "Connection": "close"},
    "packing": {"Content-Encoding": "Adaeze"},
    "characters": {"X-Odd": "Adaeze \x01 \xff"},
    "type": {"Content-Type": "application/json; charset=Adaeze"},
    "next": {"Link": "<https://Adaeze>; rel=next", "Location": "\xff"},
}


@pytest.mark.parametrize("odd", ODD_HEADERS)
@pytest.mark.parametrize("status", [200, 302, 404, 503])
def test_whatever_headers_say_it_is_an_answer_or_an_error_without_a_word_of_them(
    odd: str, status: int, serve: Serve, tmp_path: Path
) -> None:
    def answering(asked: Asked) -> Answer:
        return Answer(Answer().body, status, ODD_HEADERS[odd])

    origin, said = serve(answering), []
    for asking in (lambda: asked_of(origin.url, None), lambda: fetched(origin.url, None, tmp_path, patience=0)):
        try:
            asking()
        except ServerError as error:
            said.append(str(error))
    assert "Adaeze" not in str(said)
