"""Archive files: their names, their place on disk, and the object store that serves them from an origin of its own.

A download address is signed and short-lived, and new with every listing. The store wants no other proof of identity:
like S3 it refuses a request that also carries an Authorization header.
"""

import gzip
import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import FileResponse, Response

if TYPE_CHECKING:
    from pipeline.sandbox.workspace import Workspace

_BUCKET = "/archives/1/"


def file_name(archive_type: str, period: str, start_date: str, digest: str) -> str:
    """Return the name of an archive file: type, D or M with the day, MD5."""
    return f"{archive_type}_{period[0].upper()}{start_date.replace('-', '')}_{digest}.jsonl.gz"


def put_archive(
    workspace: "Workspace", archive_type: str, period: str, start_date: str, lines: Iterable[bytes]
) -> dict[str, Any]:
    """Write an archive file and list it, instead of one with the same type, period and date; return the row."""
    folder = workspace.archive_folders[0]
    scratch = folder / f"{archive_type}_{period}_{start_date}.part"
    count = 0
    with (
        scratch.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="", compresslevel=6) as packed,
    ):
        for line in lines:
            packed.write(line + b"\n")
            count += 1
    with scratch.open("rb") as written:
        digest = hashlib.file_digest(written, "md5").hexdigest()
    size = scratch.stat().st_size
    scratch.rename(folder / file_name(archive_type, period, start_date, digest))
    row = {
        "archive_type": archive_type,
        "start_date": start_date,
        "period": period,
        "record_count": count,
        "size": size,
        "hash": digest,
        "download_url": "",
    }
    workspace.put("archives", row)
    return row


def find_file(workspace: "Workspace", name: str) -> Path | None:
    """Return the path of an archive file; None when the store has no such object."""
    if "/" in name or name.startswith("."):
        return None
    return next((path for folder in workspace.archive_folders if (path := folder / name).is_file()), None)


def read_archive(workspace: "Workspace", row: dict[str, Any]) -> list[bytes]:
    """Return the lines of a listed archive: the truth for a test."""
    path = find_file(workspace, file_name(row["archive_type"], row["period"], row["start_date"], row["hash"]))
    if path is None:
        return []
    return gzip.decompress(path.read_bytes()).splitlines()


class FileStore:
    """Signs addresses and answers downloads."""

    def __init__(self, *, seconds: float = 86_400.0) -> None:
        self.seconds = seconds  # how long an address is valid
        self.origin = ""
        self._secret = secrets.token_bytes(16)
        self._issued = 0

    def sign(self, row: dict[str, Any]) -> str:
        """Return a fresh address for a listed archive; none for one that has no file."""
        if not row.get("hash"):
            return ""
        self._issued += 1
        path = _BUCKET + file_name(row["archive_type"], row["period"], row["start_date"], row["hash"])
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

    def respond(self, request: Request, workspace: "Workspace") -> Response:
        """Answer a download."""
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
            return _refuse(403, "AccessDenied", "Request has expired")
        path = find_file(workspace, request.url.path.removeprefix(_BUCKET))
        if path is None:
            return _refuse(404, "NoSuchKey", "The specified key does not exist.")
        return FileResponse(
            path,
            media_type="application/octet",
            headers={"Content-Encoding": "none", "Content-Disposition": "attachment;", "Server": "rapidlake-sandbox"},
        )


def _refuse(status: int, code: str, message: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Response(body, status, media_type="application/xml")
