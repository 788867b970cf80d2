"""The ways in which archives are broken: their list, their addresses, the store, and what is in the files."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from typing import Any

from tests.leaks.conversations import CONVERSATIONS, OTHER, page, simply
from tests.leaks.planting import SIGNATURE, TOKEN, everything, in_address, phone, sentence
from tests.leaks.serving import FILES, Asked, Break, Said

Row = dict[str, Any]
BEFORE = set(CONVERSATIONS)


def _files(asked: Asked) -> bool:
    return asked.endpoint == FILES


def _list(asked: Asked) -> bool:
    return asked.endpoint == "archives"


def _both(asked: Asked) -> bool:
    return asked.endpoint in (FILES, "archives")


def _xml(code: str, place: str) -> bytes:
    """What S3 says when it refuses: with all that it was sent."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{everything(place)}</Message>'
        f"<SignatureProvided>{SIGNATURE}</SignatureProvided>"
        f"<StringToSign>GET {in_address(place)}</StringToSign></Error>"
    ).encode()


for _status, _code in (
    (400, "InvalidArgument"),
    (403, "SignatureDoesNotMatch"),
    (404, "NoSuchKey"),
    (405, "MethodNotAllowed"),
    (416, "InvalidRange"),
    (429, "SlowDown"),
    (500, "InternalError"),
    (503, "SlowDown"),
):
    simply(
        f"store-answers-{_status}",
        lambda asked, said, status=_status, code=_code: said.having(  # type: ignore[misc]
            (b"Content-Range", everything("range").encode()),
            (b"Retry-After", everything("retry").encode()),
            status=status,
            body=_xml(code, "store"),
        ),
        _files,
    )
simply("store-shows-a-page", lambda asked, said: said.having(body=page("store page", 200)), _files)
simply("store-cuts", lambda asked, said: said.written()[: -max(len(said.body) // 2, 1)], _files)
simply("store-cuts-a-page", lambda asked, said: said.having(body=page("cut", 200)).written(9999), _files)
simply("store-resets", lambda asked, said: said.written()[: -max(len(said.body) // 2, 1)], _files, reset=True)
simply("store-sends-an-odd-head", lambda asked, said: said.head(everything("odd head").encode()), _files)
simply("store-sends-no-head", lambda asked, said: everything("store without head").encode(), _files)
simply("store-sends-no-length", lambda asked, said: said.head(b"Content-Length: " + everything("l").encode()), _files)
simply(
    "store-sends-odd-chunks",
    lambda asked, said: said.head(b"Transfer-Encoding: chunked") + everything("chunk").encode() + b"\r\nx",
    _files,
)
simply(
    "store-sends-another-part",
    lambda asked, said: said.having((b"Content-Range", everything("part").encode()), status=206),
    _files,
)


def _redirect(location: str) -> Break:
    return lambda asked, said: said.having(
        (b"Location", location.encode("utf-8", "surrogateescape")), status=302, body=_xml("Redirect", "redirect")
    )


simply("store-redirects-unencrypted", _redirect(f"http://hiv-positive.{TOKEN}.example/{in_address('host')}"), _files)
simply("store-redirects-to-file", _redirect(f"file:///{in_address('file')}"), _files)
simply("store-redirects-to-ftp", _redirect(f"ftp://mukamana:{TOKEN}@hiv-positive.example/"), _files)
simply("store-redirects-in-a-circle", _redirect(f"/{in_address('circle')}"), _files)
simply("store-redirects-to-none", _redirect(f"http://[{sentence('bracket')}"), _files)
simply("store-redirects-to-odd-bytes", _redirect(f"http://\udcff{sentence('bytes')}/"), _files)
simply("store-redirects-to-nobody", _redirect(f"http://127.0.0.1:1/{in_address('nobody')}"), _files)
simply("store-redirects-encrypted", _redirect(f"https://127.0.0.1:1/{in_address('tls')}"), _files)


# The list.
def _listing(change: Callable[[Row], Row | str | list[Row]]) -> Break:
    def said_list(asked: Asked, said: Said) -> Said:
        listed = json.loads(said.body)
        for row in listed["results"]:
            row["download_url"] = row.get("download_url") or f"http://127.0.0.1:1/{in_address('url')}"
        listed["results"] = [change(row) for row in listed["results"]]
        return said.having(body=json.dumps(listed).encode())

    return said_list


def _changed(**values: Any) -> Break:
    return _listing(lambda row: {**row, **values})


def _moved(url: str) -> Break:
    """Rows of other files at another address: they are new, so that they are downloaded."""
    return _changed(hash=hashlib.md5(url.encode("utf-8", "replace")).hexdigest(), download_url=url)


simply("list-of-planted-types", _changed(archive_type=everything("type")), _list)
simply("list-of-planted-periods", _changed(period=everything("period")), _list)
simply("list-of-planted-dates", _changed(start_date=everything("date")), _list)
simply("list-of-odd-dates", _changed(start_date="0001-01-01"), _list)
simply("list-of-planted-hashes", _changed(hash=everything("hash")), _list)
simply("list-of-planted-counts", _changed(record_count=everything("count"), size=sentence("size")), _list)
simply("list-of-huge-counts", _changed(record_count=10**30, size=-(10**30)), _list)
simply("list-of-unknown-keys", _changed(**{everything("unknown key"): {everything("inner key"): [1]}}), _list)
simply("list-of-texts", _listing(lambda row: everything("row of the list") + str(row["download_url"])), _list)
simply("list-of-lists", _listing(lambda row: [row, {everything("list key"): phone("list")}]), _list)
simply("addresses-unencrypted", _moved(f"http://hiv-positive.{TOKEN}.example/{in_address('host')}"), _list)
simply("addresses-of-nobody", _moved(f"http://127.0.0.1:1/{in_address('nobody')}"), _list)
simply("addresses-of-no-host", _moved(f"https://nowhere.invalid/{in_address('nowhere')}"), _list)
simply("addresses-that-are-none", _moved(f"http://[{sentence('address')}?{SIGNATURE}"), _list)
simply("addresses-of-files", _moved(f"file:///{in_address('file')}"), _list)
simply("addresses-of-odd-signs", _moved(f"http://127.0.0.1:1/\0\ud800{in_address('odd')}"), _list)
simply("addresses-of-odd-ports", _moved(f"http://127.0.0.1:{TOKEN}/{in_address('port')}"), _list)
simply("addresses-as-texts", _changed(download_url=everything("no url")), _list)


# The files, whose list is true where nothing else is said.
def _holding(content: bytes, *, count: int, packed: bytes | None = None, **listed: Any) -> Break:
    file = gzip.compress(content, mtime=0) if packed is None else packed
    facts = {"record_count": count, "size": len(file), "hash": hashlib.md5(file).hexdigest(), **listed}

    def said_both(asked: Asked, said: Said) -> Said:
        if asked.endpoint == FILES:
            return said.having((b"ETag", b'"1"'), body=file)
        listed_rows = json.loads(said.body)
        listed_rows["results"] = [{**row, **facts} for row in listed_rows["results"]]
        return said.having(body=json.dumps(listed_rows).encode())

    return said_both


def _line(**values: Any) -> bytes:
    return json.dumps({"id": 7, "uuid": OTHER, "created_on": "2026-01-05T00:00:00Z", **values}).encode() + b"\n"


TEXT = everything("line of an archive").encode()
simply("file-of-garbage", _holding(b"", count=2, packed=TEXT * 3), _both)
simply("file-of-a-broken-gzip", _holding(b"", count=2, packed=gzip.compress(TEXT * 99)[:-40] + TEXT), _both)
simply("file-of-other-md5", _holding(TEXT, count=1, hash="0" * 32), _both)
simply("file-of-other-size", _holding(TEXT, count=1, size=3), _both)
simply("file-of-too-many-lines", _holding(TEXT + b"\n" + TEXT, count=1), _both)
simply("file-of-too-few-lines", _holding(TEXT, count=5), _both)
simply("file-of-no-json", _holding(TEXT + b"\n{" + TEXT + b"\n", count=2), _both)
simply("file-of-texts", _holding(json.dumps(everything("text line")).encode() + b"\n[1]\n" + TEXT, count=3), _both)
simply("file-of-odd-bytes", _holding(b"\xff\0" + TEXT + b"\n" + b"[" * 5000 + TEXT + b"\n", count=2), _both)
WRONG = (
    _line(text={everything("key"): 1}, created_on=everything("date")),
    _line(id=everything("id"), contact=everything("contact"), channel=[1]),
    _line(labels=everything("labels"), attachments=[everything("attachment")], urn=everything("urn")),
    _line(path=everything("path"), values=everything("values"), flow={"uuid": everything("flow")}),
)
simply("file-of-wrong-types", _holding(b"".join(WRONG), count=4), _both)

STORES = {name: one for name, one in CONVERSATIONS.items() if name not in BEFORE}
