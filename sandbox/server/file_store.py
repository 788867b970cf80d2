"""The object store that serves archive files from an origin of its own, and what it does wrong on demand.

A download address is signed and short-lived, and new with every listing. The store wants no other proof of identity:
like S3 it refuses a request that also carries an Authorization header.
"""

import gzip
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from sandbox.workspace.archive_files import file_name, find_file
from sandbox.workspace.contents import Workspace
from sandbox.workspace.rows import Row

_BUCKET = "/archives/1/"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


class FileStore:
    """Signs addresses and answers downloads."""

    def __init__(self, *, seconds: float = 86_400.0) -> None:
        self.seconds = seconds  # how long an address is valid
        self.origin = ""
        self._secret = secrets.token_bytes(16)
        self._issued = 0

    def sign(self, row: Row) -> str | None:
        """Return a fresh address for a listed archive.

        One that has no file has none: `""` where its hash is empty, as on older servers, and None where that is null.
        """
        name = file_name(row)
        if name is None:
            return None if row.get("hash") is None else ""
        self._issued += 1
        path = _BUCKET + name
        expires = str(int(time.time() + self.seconds))
        query = {
            "response-content-disposition": "attachment;",
            "response-content-type": "application/octet",
            "response-content-encoding": "none",
            "AWSAccessKeyId": "sandbox",
            "nonce": str(self._issued),
            "Expires": expires,
            "Signature": self._signature(path, expires, str(self._issued)),
        }
        return f"{self.origin}{path}?{urlencode(query)}"

    def _signature(self, path: str, expires: str, nonce: str) -> str:
        return hmac.new(self._secret, f"{path} {expires} {nonce}".encode(), hashlib.sha1).hexdigest()

    def respond(self, request: Request, workspace: Workspace) -> Response:
        """Answer a download, whole or the range asked for."""
        query = request.query_params
        if request.method not in ("GET", "HEAD"):
            return _refuse(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        if "authorization" in request.headers:
            return _refuse(400, "InvalidArgument", "Only one auth mechanism allowed.")
        expires = query.get("Expires", "")
        expected = self._signature(request.url.path, expires, query.get("nonce", ""))
        if not hmac.compare_digest(expected.encode(), query.get("Signature", "").encode()):
            return _refuse(403, "SignatureDoesNotMatch", "The request signature we calculated does not match yours.")
        if not expires.isdigit() or int(expires) <= time.time():
            return _expired()
        path = find_file(workspace, requested_name(request))
        if path is None:
            return _gone()
        digest = path.name.partition(".")[0].rpartition("_")[2]
        headers = {
            "Content-Encoding": "none",
            "Content-Disposition": "attachment;",
            "ETag": f'"{digest}"',
            "Server": "rapidlake-sandbox",
        }
        return FileResponse(path, media_type="application/octet", headers=headers)


def requested_name(request: Request) -> str:
    """Return the name of the file that a download asks for."""
    return request.url.path.removeprefix(_BUCKET)


def spoiled(response: Response, fault: str, request: Request) -> Response:
    """Return the answer to a download as a fault leaves it, in memory.

    Where the fault is one of the content, the range asked for is cut from the wrong content.
    """
    if fault == "expired":
        return _expired()
    if fault == "gone":
        return _gone()
    if not isinstance(response, FileResponse):
        return response
    content = _WRONG_CONTENT.get(fault, bytes)(Path(response.path).read_bytes())
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    asked: str | None = request.headers.get("range")
    if request.headers.get("if-range", headers["etag"]) != headers["etag"]:
        asked = None
    if fault in ("no_range", "empty"):
        asked = None
        headers.pop("accept-ranges")
    if fault == "unpacked":
        headers["content-encoding"] = "gzip"
    return _part(content, asked, headers)


def _part(content: bytes, asked: str | None, headers: dict[str, str]) -> Response:
    """Answer with the range asked for; with the whole content when none is, or none that can be read."""
    match = _RANGE.fullmatch(asked or "")
    if match is None or not any(match.groups()):
        return Response(content, 200, headers)
    first, last = match.groups()
    size = len(content)
    begin = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if begin >= end:
        refusal = _refuse(416, "InvalidRange", "The requested range is not satisfiable")
        refusal.headers["Content-Range"] = f"bytes */{size}"
        return refusal
    return Response(content[begin:end], 206, {**headers, "content-range": f"bytes {begin}-{end - 1}/{size}"})


def _altered(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(byte ^ 0xFF for byte in content[middle : middle + 1]) + content[middle + 1 :]


_WRONG_CONTENT: dict[str, Callable[[bytes], bytes]] = {
    "altered": _altered,
    "short": lambda content: content[: len(content) // 2],
    "twice": lambda content: gzip.compress(content, mtime=0),
    "empty": lambda _: b"",
}


def _expired() -> Response:
    return _refuse(403, "AccessDenied", "Request has expired")


def _gone() -> Response:
    return _refuse(404, "NoSuchKey", "The specified key does not exist.")


def _refuse(status: int, code: str, message: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Response(body, status, media_type="application/xml")
