"""What `sync`, `backfill` and `verify` do, in sessions that stay open until their test ends.

To open a session costs more than most tests read in it. It is the way of Dagster, which opens one for many steps;
that each of the three also opens its own is seen where commands are tested, which call them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime

from pipeline.months import Month
from pipeline.proof.comparing import Verification
from pipeline.proof.verify import VerifyResult, choose_verifiable, verify_in
from pipeline.reading.progress import Quiet
from pipeline.reading.reader import Options
from pipeline.results import StreamResult, SyncResult
from pipeline.settings import Settings
from pipeline.syncing.backfill import backfill_in
from pipeline.syncing.session import Session, open_session
from pipeline.syncing.sync import choose, sync_in
from warehouse import Lake

# The settings that opening a session reads.
OPENING = {"url", "lake", "requests_per_hour", "share", "patience", "longest_wait"}

_open: dict[str, Session] = {}
_closing = ExitStack()


def sync(settings: Settings, streams: Iterable[str], options: Options | None = None, *,
         progress: Quiet | None = None) -> SyncResult:  # fmt: skip
    """Bring streams up to date; all if none is named."""
    return sync_in(session_of(settings), settings, choose(list(streams)), progress or Quiet(), options or Options())


def backfill(settings: Settings, streams: Sequence[str], months: Sequence[Month]) -> list[StreamResult]:
    """Read months of streams whole."""
    return backfill_in(session_of(settings), settings, choose(streams), months, Quiet())


def verify(
    settings: Settings,
    streams: Sequence[str] = (),
    *,
    since: datetime | None = None,
    repair: bool = False,
    rotate: bool = False,
) -> VerifyResult:
    """Hold streams against the server; all that can be if none is named."""
    asked = Verification(repair=repair, rotate=rotate)
    return verify_in(session_of(settings), settings, choose_verifiable(streams), Quiet(), Options(since=since), asked)


def session_of(settings: Settings) -> Session:
    """The session of these settings, without what a process of its own could not know."""
    key = settings.model_dump_json(include=OPENING)
    if key not in _open:
        _open[key] = _closing.enter_context(open_session(settings))
    session = _open[key]
    forget_earlier_syncs(session.lake)
    return session


def forget_earlier_syncs(lake: Lake) -> None:
    """Let a connection know nothing of what it synced before."""
    with lake.connection() as connection:
        connection.execute("DELETE FROM temp.main.dead")


def close_sessions() -> None:
    """End those of a test."""
    _open.clear()
    _closing.close()
