"""Measures what a night of `rapidlake verify --rotate --repair` costs: requests, and their share of the budget.

    python bench/rotation.py                 10⁴, 10⁵ and 10⁶ messages in the API's window of 90 days, ten nights each

The server here answers pages that it makes of a row's number, and the lake is filled by SQL with the same rows: a
workspace of a million messages would take longer to make than to measure. Its work is in the CPU-seconds. Nights find
no differences here; one that does asks a few requests more.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pipeline.proof.comparing import Verification
from pipeline.proof.verify import choose_verifiable, verify_in
from pipeline.reading.progress import Quiet
from pipeline.reading.reader import Options
from pipeline.settings import load_settings
from pipeline.syncing.session import open_session
from pipeline.syncing.sync import choose, sync_in

SHOWN = timedelta(days=89)
PAGE, PER_HOUR = 250, 2000
WORKSPACE = {"uuid": "0f3c9a6e-5b7d-4812-a9c0-ffee0f3c9a6e", "name": "Farm", "languages": ["eng"]}
MESSAGE = {
    "broadcast": None, "contact": {"uuid": "0f3c9a6e-5b7d-4812-a9c0-ffee0f3c9a6f", "name": "Ann"},
    "urn": "tel:+250788000001", "channel": None, "direction": "in", "type": "text", "status": "handled",
    "visibility": "visible", "text": "yes " * 40, "labels": [], "flow": None, "attachments": [],
    "sent_on": None, "modified_on": None,
}  # fmt: skip


class Server(ThreadingHTTPServer):
    """Lists `number` messages, evenly over the time that an API shows; every other list is empty."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.first = datetime.now(UTC) - SHOWN
        self.number = 1
        self.step = SHOWN
        self.requests = 0

    def page(self, after: datetime | None, before: datetime | None) -> tuple[list[dict[str, object]], bool]:
        """The newest messages of a window, and whether there are more."""
        low = -(-(after - self.first) // self.step) if after else 0
        high = min((before - self.first) // self.step if before else self.number, self.number - 1)
        rows = [
            {"id": one + 1, "created_on": (self.first + one * self.step).isoformat().replace("+00:00", "Z"), **MESSAGE}
            for one in range(high, max(low, 0, high - PAGE + 1) - 1, -1)
        ]
        return rows, high - PAGE >= max(low, 0)


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        params = {name: datetime.fromisoformat(value) for name, (value,) in parse_qs(asked.query).items()
                  if name in ("after", "before")}  # fmt: skip
        answer: dict[str, object] = WORKSPACE
        if not asked.path.endswith("workspace.json"):
            self.server.requests += 1
            rows, more = self.server.page(params.get("after"), params.get("before"))
            answer = {"next": "http://127.0.0.1/next?cursor=cD0x" if more else None, "previous": None, "results": rows}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def main() -> None:
    """Fill a lake, let nights pass, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--messages", type=int, nargs="*", default=[10**4, 10**5, 10**6])
    arguments.add_argument("--nights", type=int, default=10)
    given = arguments.parse_args()
    print(f"{'messages':>10} {'requests a night':>18} {'most':>6} {'of an hour':>11} {'of a day':>9} {'CPU s':>7}")
    for number in given.messages:
        measure(number, given.nights)


def measure(number: int, nights: int) -> None:
    """Print what nights cost with so many messages, after a night of rest."""
    with tempfile.TemporaryDirectory() as name, serving() as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        settings = load_settings(url=url, token="token", lake=Path(name, "lake"), requests_per_hour=0, lag=0)
        with open_session(settings) as session:
            sync_in(session, settings, choose(["messages"]), Quiet(), Options())
            server.number, server.step = number, SHOWN / number
            every = f"INTERVAL {server.step // timedelta(microseconds=1)} MICROSECOND"
            server.step = timedelta(microseconds=server.step // timedelta(microseconds=1))
            session.lake.commit(
                lambda connection: connection.execute(
                    "INSERT INTO messages BY NAME SELECT * EXCLUDE (place) REPLACE (id + place AS id, "
                    f"created_on + {every} * place AS created_on) FROM messages, range(1, {number}) AS places(place)"
                )
            )
            asked, spent = [], []
            for _ in range(nights):
                server.requests, begun = 0, resource.getrusage(resource.RUSAGE_SELF)
                wanted = Verification(repair=True, rotate=True)
                result = verify_in(session, settings, choose_verifiable(["messages"]), Quiet(), Options(), wanted)
                assert not result.failed and not any(one.differences for one in result.findings), result.conclusion
                ended = resource.getrusage(resource.RUSAGE_SELF)
                asked.append(server.requests)
                spent.append(ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime)
                session.lake.commit(
                    lambda connection: connection.execute("UPDATE _proven SET proven_on = proven_on - INTERVAL 1 DAY")
                )
    usual = statistics.mean(asked)
    print(
        f"{number:>10,} {usual:>18.0f} {max(asked):>6} {usual / PER_HOUR:>11.1%} {usual / PER_HOUR / 24:>9.2%} "
        f"{statistics.mean(spent):>7.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
