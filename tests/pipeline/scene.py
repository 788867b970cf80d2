"""A sandbox and an open lake that it is synced into: what tests of reading do to the one and look at in the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.months import Month
from pipeline.proof.comparing import Verification
from pipeline.proof.verify import VerifyResult, choose_verifiable, verify_in
from pipeline.reading.progress import Quiet
from pipeline.reading.reader import Options
from pipeline.results import StreamResult
from pipeline.settings import Settings, load_settings
from pipeline.streams import STREAMS
from pipeline.syncing.backfill import backfill_month
from pipeline.syncing.session import Session
from pipeline.syncing.sync import choose, sync_in
from sandbox import Sandbox, Workspace
from tests.sessions import forget_earlier_syncs
from tests.truth import assert_same, expected_rows, stored_rows
from warehouse.proof.findings import KINDS

LANGUAGES = ["eng", "fra", "kin"]
# What a run writes beside the tables of its streams; of archives, also the rows that are in them.
ASIDE = ("_cursor", "_sync", "_documents", "_quarantine", "_drift", "_verification", "_proven", "message_history")
ARCHIVES = ("archives", "_archives", "messages", "runs")


@dataclass(frozen=True)
class Scene:
    """One test's server and lake; the lake is open, which is what makes a sync cheap."""

    sandbox: Sandbox
    session: Session
    used: set[str] = field(default_factory=lambda: {*ASIDE, *ARCHIVES})

    @property
    def workspace(self) -> Workspace:
        return self.sandbox.workspace

    def settings(self, **values: Any) -> Settings:
        given = {"lag": 0, "requests_per_hour": 0, **values}
        return load_settings(url=self.sandbox.url, token=self.sandbox.token, lake=self.session.lake.path, **given)

    def sync(self, *streams: str, options: Options | None = None, **settings: Any) -> dict[str, StreamResult]:
        """Forget the requests so far, and sync."""
        self.used.update(streams or STREAMS)
        self._begin()
        chosen = options or Options()
        result = sync_in(self.session, self.settings(**settings), choose(streams), Quiet(), chosen)
        return {one.stream: one for one in result.streams}

    def fill(self, stream: str, month: Month, *, accept: bool = False, **settings: Any) -> StreamResult:
        """Forget the requests so far, and read a month whole; how its last part ended."""
        self.used.add(stream)
        self._begin()
        given = self.settings(**settings)
        return backfill_month(self.session, given, STREAMS[stream], month, Quiet(), accept_deletions=accept)[-1]

    def verify(
        self,
        *streams: str,
        since: datetime | None = None,
        repair: bool = False,
        rotate: bool = False,
        accept: bool = False,
    ) -> VerifyResult:
        self._begin()
        asked, options = Verification(repair=repair, rotate=rotate), Options(since=since, accept_deletions=accept)
        return verify_in(self.session, self.settings(), choose_verifiable(streams), Quiet(), options, asked)

    def _begin(self) -> None:
        """Forget the requests so far, and what only the process of an earlier run could know."""
        self.sandbox.requests.clear()
        forget_earlier_syncs(self.session.lake)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.session.lake.rows(query)

    def column(self, query: str) -> set[object]:
        return {row[0] for row in self.rows(query)}

    def write(self, statement: str) -> None:
        """What no part of Rapidlake does: change the lake by hand."""
        self.session.lake.commit(lambda connection: connection.execute(statement) and None)

    def cursors(self) -> dict[tuple[str, str], tuple[Any, ...]]:
        """Stream and feed → watermark, complete_from, and the open walk's ends and place, as the lake has them."""
        found = self.rows("SELECT stream, feed, watermark, complete_from, walk_after, walk_before, place FROM _cursor")
        cursors = {(stream, feed): tuple(times) for stream, feed, *times in found}
        assert len(cursors) == len(found), "a feed has two cursors"
        return cursors

    def read_up_to(self, stream: str, feed: str = "rows") -> datetime:
        at = self.cursors()[stream, feed][0]
        assert isinstance(at, datetime)
        return at

    def age(self, stream: str, feed: str, by: timedelta) -> None:
        """Let a feed's last reading be so much older."""
        self.write(
            f"UPDATE _cursor SET watermark = watermark - INTERVAL {by.total_seconds():.0f} SECOND "
            f"WHERE stream = '{stream}' AND feed = '{feed}'"
        )

    def windows(self, stream: str, *, feed: str = "rows") -> list[tuple[datetime | None, datetime]]:
        """The windows that pages of a stream were asked for, both ends as they were sent."""
        asked = [
            seen.params
            for seen in self.sandbox.requests
            if seen.endpoint == stream and "before" in seen.params and ("deleted" in seen.params) == (feed == "deleted")
        ]
        return [
            (datetime.fromisoformat(one["after"]) if "after" in one else None, datetime.fromisoformat(one["before"]))
            for one in asked
        ]

    def assert_true(self, *streams: str, live: bool = True) -> None:
        """The rows of the lake are the server's, value by value."""
        with self.session.lake.connection() as connection:
            for stream in streams:
                expected = expected_rows(stream, self.workspace.rows(stream), LANGUAGES)
                assert_same(stream, stored_rows(connection, stream, live=live), expected)


def now() -> datetime:
    return datetime.now(UTC)


def differences(result: VerifyResult) -> dict[tuple[str, str], int]:
    """Stream and kind → how many, over all months."""
    found: dict[tuple[str, str], int] = {}
    for one in result.findings:
        for kind in KINDS:
            if number := getattr(one, kind):
                found[one.stream, kind] = found.get((one.stream, kind), 0) + number
    return found
