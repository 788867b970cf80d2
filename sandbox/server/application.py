"""The API application: routes, tokens, throttling, pages, and the faults on top."""

import asyncio
import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.server import flow_definitions as definitions
from sandbox.server.faults import FILES, Dice
from sandbox.server.file_store import FileStore, requested_name, spoiled
from sandbox.server.paging import PAGE_SIZE, BrokenCursor, Cursor, InvalidCursor, Page, read_page, with_parameter
from sandbox.server.parameters import BadRequest, ServerFault, build_listing, last
from sandbox.server.responses import (
    BAD_GATEWAY,
    PROXY_PAGE,
    CutAnswer,
    NoAnswer,
    answer,
    detail,
    http_date,
    not_found,
    server_error,
    throttled,
)
from sandbox.server.throttle import Throttle
from sandbox.workspace import dates
from sandbox.workspace.contents import Workspace
from sandbox.workspace.endpoints import ENDPOINTS, ROOT, UNLISTED, Endpoint
from sandbox.workspace.generations import as_served_body
from sandbox.workspace.rows import encode

_METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
_ORG = "1"
_PATH = re.compile(r"/api/v2/([a-z_]+)(\.json/?)?")
_RUN_PATH = re.compile(rb'"path":\[[^\]]*\]')  # comes before any free text in which an unescaped quote could stand
_REMEMBERED = 200_000  # requests kept for assertions; the older half is forgotten when there are more


@dataclass(frozen=True)
class SeenRequest:
    """One request as the sandbox met it, and how it was answered."""

    method: str
    path: str
    params: dict[str, str]
    status: int  # 0: no answer at all
    scope: str | None  # the throttle bucket; None where nothing is counted
    authorization: bool  # did a token come along?
    endpoint: str | None = None  # None for URLs that lead nowhere; "files" for archive downloads
    fault: str = "ok"
    host: str = ""
    at: float = field(default_factory=time.time)
    range: str | None = None  # the part of a file that was asked for


@dataclass
class Api:
    """One API server over a workspace; its settings may change while it runs."""

    workspace: Workspace
    throttle: Throttle
    files: FileStore
    dice: Dice
    token: str
    surveyor_token: str
    requests: list[SeenRequest] = field(default_factory=list)
    after_page: Callable[[str], None] | None = None
    before_file: Callable[[str], None] | None = None
    date_of: Callable[[str, datetime], datetime | str | None] | None = None

    def application(self) -> Starlette:
        """Return the API as an application."""
        return Starlette(routes=[Route("/{path:path}", self._serve_api, methods=_METHODS)])

    def file_application(self) -> Starlette:
        """Return the archive file server as an application."""
        return Starlette(routes=[Route("/{path:path}", self._serve_file, methods=_METHODS)])

    # -- from request to response --

    async def _serve_api(self, request: Request) -> Response:
        match = _PATH.fullmatch(request.url.path)
        name = match[1] if match and match[1] in ENDPOINTS and match[1] in self.workspace.offered else None
        scope, fault = None, "ok"
        response = self._refuse(request, name)
        if response is None and name is not None:
            endpoint = ENDPOINTS[name]
            fault = self.dice.next(name)
            scope = endpoint.scope
            response = self._limit(endpoint, fault) or self._answer(
                request, endpoint, with_suffix=bool(match and match[2])
            )
            response = await self._spoil(response, fault, endpoint)
        assert response is not None
        self._date(response, name or "")
        self._remember(request, response, scope, name, fault)
        return response

    async def _serve_file(self, request: Request) -> Response:
        if self.before_file is not None:
            self.before_file(requested_name(request))
        fault = self.dice.next(FILES)
        response = self.files.respond(request, self.workspace)
        if fault != "ok":
            response = await asyncio.to_thread(spoiled, response, fault, request)
        response = await self._spoil(response, fault, None)
        self._date(response, FILES)
        self._remember(request, response, None, FILES, fault)
        return response

    def _refuse(self, request: Request, name: str | None) -> Response | None:
        """Answer what never reaches an endpoint: unknown URLs, bad tokens, missing permissions, other formats."""
        if request.url.path in ("/api/v2/", "/api/v2/.json"):
            suffix = request.url.path.removeprefix("/api/v2/")
            urls = {each: f"{_origin(request)}/api/v2/{each}{suffix}" for each in ROOT}
            return answer(encode(urls), allow="GET, HEAD, OPTIONS")
        if name is None:
            return not_found()
        endpoint = ENDPOINTS[name]
        if not _accepts_json(request.headers.get("accept")):
            return detail(406, "Could not satisfy the request Accept header.", allow=endpoint.allow)
        word, _, token = request.headers.get("authorization", "").partition(" ")
        if word.lower() != "token":
            return detail(403, "Authentication credentials were not provided.", allow=endpoint.allow)
        if token.strip() not in (self.token, self.surveyor_token):
            return detail(403, "Invalid token", allow=endpoint.allow)
        if token.strip() == self.surveyor_token and not endpoint.surveyor:
            text = "You do not have permission to perform this action."
            return detail(403, text, allow=endpoint.allow, org=_ORG)
        return None

    def _limit(self, endpoint: Endpoint, fault: str) -> Response | None:
        """Count the request, or answer 429; invented refusals are not counted, as real ones are not."""
        facts = _facts(endpoint)
        if fault.startswith("throttle"):
            wait = self.dice.faults.throttle_seconds
            until = http_date(self.workspace.clock() / dates.SECOND + wait)
            hint = {"throttle": str(wait), "throttle_date": until}.get(fault)
            text = "Request was throttled." + (f" Expected available in {wait} seconds." if hint else "")
            return throttled(text, hint, **facts)
        refusal = self.throttle.admit(endpoint.scope)
        if refusal is None:
            return None
        return throttled(refusal.detail, None if refusal.wait is None else str(refusal.wait), **facts)

    def _answer(self, request: Request, endpoint: Endpoint, *, with_suffix: bool) -> Response:
        facts = _facts(endpoint)
        if request.method != "GET":
            return detail(405, f'Method "{request.method}" not allowed.', **facts)
        if not with_suffix:
            return answer("[]", **facts)
        params = _parameters(request)
        try:
            if endpoint.name in UNLISTED:
                return answer(encode(self._object(endpoint.name, params)), **facts)
            if endpoint.name == "archives":
                return answer(encode(self._archives(request, params)), **facts)
            return answer(self._page(request, endpoint, params), **facts)
        except BadRequest as error:
            return detail(400, str(error), **facts)
        except InvalidCursor:
            return detail(404, "Invalid cursor", **facts)
        except (ServerFault, BrokenCursor):
            return server_error(**facts)

    # -- bodies --

    def _page(self, request: Request, endpoint: Endpoint, params: dict[str, list[str]]) -> bytes:
        """Return a page of a listing as JSON, joined from the stored rows."""
        listing = build_listing(
            endpoint, params, anonymous=self._anonymous(endpoint), generation=self.workspace.generation
        )
        text = last(params, "cursor")
        page = read_page(self.workspace.store, listing, None if text is None else Cursor.decode(text))
        bodies = [as_served_body(row.body, endpoint.name, self.workspace.generation) for row in page.rows]
        if listing.without_paths:
            bodies = [_RUN_PATH.sub(b'"path":null', body, count=1) for body in bodies]
        links = [
            "null" if cursor is None else encode(with_parameter(_url(request), "cursor", cursor.encode()))
            for cursor in (page.next, page.previous)
        ]
        head = f'{{"next":{links[0]},"previous":{links[1]},"results":['.encode()
        self._disturb(listing.table, endpoint, page)
        return head + b",".join(bodies) + b"]}"

    def _anonymous(self, endpoint: Endpoint) -> bool:
        return endpoint.name == "contacts" and any(row.get("anon") for row in self.workspace.rows("workspace"))

    def _archives(self, request: Request, params: dict[str, list[str]]) -> dict[str, Any]:
        """Return a page of archives, by limit and offset, each with a fresh address."""
        limit = _number(last(params, "limit"), minimum=1, default=PAGE_SIZE)
        offset = _number(last(params, "offset"), minimum=0, default=0)
        found = self.workspace.store.page(build_listing(ENDPOINTS["archives"], params), offset=0, limit=-1)
        url = with_parameter(_url(request), "limit", str(limit))
        forth = with_parameter(url, "offset", str(offset + limit)) if offset + limit < len(found) else None
        back = None
        if offset > 0:
            back = with_parameter(url, "offset", str(offset - limit) if offset > limit else None)
        rows = [json.loads(row.body) for row in found[offset : offset + limit]]
        results = [{**row, "download_url": self.files.sign(row)} for row in rows]
        return {"count": len(found), "next": forth, "previous": back, "results": results}

    def _object(self, name: str, params: dict[str, list[str]]) -> object:
        """Return the answer of an endpoint that has no pages."""
        if name == "workspace":
            return next(iter(self.workspace.rows("workspace")), {})
        if name == "statistics":
            since, until = last(params, "since") or "", last(params, "until") or "9999"
            return {"results": [row for row in self.workspace.rows("statistics") if since <= row["date"] < until]}
        dependencies = last(params, "dependencies") or "all"
        if dependencies not in definitions.DEPENDENCIES:
            raise BadRequest(f"dependencies must be one of {', '.join(definitions.DEPENDENCIES)}")
        return definitions.export(self.workspace, params.get("flow", []), params.get("campaign", []), dependencies)

    # -- trouble --

    def _disturb(self, table: str, endpoint: Endpoint, page: Page) -> None:
        """Let rows change or appear after a page was read and before the next one is asked for."""
        faults = self.dice.faults
        dated = endpoint.order == "modified" or endpoint.name == "messages"
        if page.rows and dated and table == endpoint.name and (faults.edits or faults.late):
            edge = page.rows[-1].position
            ties = [row.rowid for row in page.rows if row.position == edge] if page.next else []
            if faults.edits:
                dice = random.Random(f"{faults.seed}/{edge!r}")
                chosen = dice.sample(ties, min(len(ties), max(1, faults.edits * 2 // 3))) if len(ties) > 1 else []
                self.workspace.edit(table, faults.edits, prefer=chosen)
            if faults.late:
                at = self.workspace.clock() - int(faults.late_seconds * dates.SECOND)
                self.workspace.add(table, faults.late, at=at)
        if self.after_page is not None:
            self.after_page(endpoint.name)

    async def _spoil(self, response: Response, fault: str, endpoint: Endpoint | None) -> Response:
        """Put a fault in the way of an answer."""
        faults = self.dice.faults
        if faults.slow:
            await asyncio.sleep(faults.slow)
        facts = _facts(endpoint)
        if fault == "timeout":
            await asyncio.sleep(faults.timeout_seconds)
        elif fault == "error":
            return server_error(**facts)
        elif fault == "bad_gateway":
            return answer(BAD_GATEWAY, status=502, kind="text/html")
        elif fault == "reset":
            return NoAnswer(status_code=200)
        elif fault == "truncate":
            return CutAnswer(response.body, response.status_code, dict(response.headers))
        elif fault == "garbage":
            middle = len(response.body) // 2
            return answer(bytes(response.body[:middle]) + b'\x00<"{' + bytes(response.body[middle:-1]), **facts)
        elif fault == "html":
            return answer(PROXY_PAGE, kind="text/html; charset=utf-8")
        elif fault == "forbidden":
            return detail(403, "Invalid token", allow=endpoint.allow if endpoint else "GET")
        elif fault.startswith("throttle") and endpoint is None:
            return Response("Please reduce your request rate.", 503, {"Retry-After": str(faults.throttle_seconds)})
        return response

    def _date(self, response: Response, endpoint: str) -> None:
        """Say when the answer was made: by the server's clock, or as `date_of` says."""
        moment: datetime | str | None = dates.from_micros(self.workspace.clock())
        if self.date_of is not None and isinstance(moment, datetime):
            moment = self.date_of(endpoint, moment)
        if moment is not None:
            response.headers["Date"] = moment if isinstance(moment, str) else http_date(moment.timestamp())

    def _remember(self, request: Request, response: Response, scope: str | None, name: str | None, fault: str) -> None:
        if len(self.requests) >= _REMEMBERED:
            del self.requests[: _REMEMBERED // 2]
        self.requests.append(
            SeenRequest(
                request.method,
                request.url.path,
                dict(request.query_params),
                0 if isinstance(response, NoAnswer) else response.status_code,
                scope,
                "authorization" in request.headers,
                name,
                fault,
                request.headers.get("host", ""),
                range=request.headers.get("range"),
            )
        )


class _Facts(TypedDict):
    """What every answer of an endpoint says in its headers."""

    allow: str
    org: str


def _facts(endpoint: Endpoint | None) -> _Facts:
    return {"allow": endpoint.allow if endpoint else "", "org": _ORG if endpoint else ""}


def _parameters(request: Request) -> dict[str, list[str]]:
    params: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        params.setdefault(name, []).append(value)
    return params


def _origin(request: Request) -> str:
    """Return scheme and host as the request named them: what `next` is built from."""
    scheme = request.headers.get("x-forwarded-proto", "http").lower()
    return f"{scheme}://{request.headers.get('host', '127.0.0.1')}"


def _url(request: Request) -> str:
    return f"{_origin(request)}{request.url.path}?{request.url.query}"


def _accepts_json(accept: str | None) -> bool:
    kinds = [part.split(";")[0].strip() for part in (accept or "*/*").split(",")]
    return any(kind in ("application/json", "application/*", "*/*", "") for kind in kinds)


def _number(text: str | None, *, minimum: int, default: int) -> int:
    number = int(text) if text and text.isdecimal() else default
    return number if number >= minimum else default
