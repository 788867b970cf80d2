"""Asks a sandbox as a client does that trusts it."""

import base64
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from sandbox import Sandbox
from sandbox.workspace.dates import iso, read_iso


def get(client: httpx.Client, sandbox: Sandbox, path: str, **headers: str) -> httpx.Response:
    """Ask the API as an administrator."""
    url = path if path.startswith("http") else f"{sandbox.url}/api/v2/{path}"
    return client.get(url, headers={"Authorization": f"Token {sandbox.token}", **headers})


def follow(client: httpx.Client, sandbox: Sandbox, path: str | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Read a listing to its end by its `next` links; return the rows and the cursors met."""
    rows: list[dict[str, Any]] = []
    cursors: list[str] = []
    while path:
        response = get(client, sandbox, path)
        assert response.status_code == 200, response.text
        body = response.json()
        rows += body["results"]
        path = body["next"]
        if path:
            [cursor] = parse_qs(urlsplit(path).query)["cursor"]
            cursors.append(base64.b64decode(cursor).decode())
    return rows, cursors


def tie_contacts(sandbox: Sandbox) -> str:
    """Give one timestamp to 660 contacts, with newer and older ones around; return it."""
    moment = read_iso(sandbox.workspace.rows("contacts")[100]["modified_on"])
    sandbox.workspace.edit("contacts", 660, at=moment, same_timestamp=True)
    assert moment is not None
    return iso(moment)
