"""A real workspace, as a test holds it against its dump."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.reading.progress import Quiet
from pipeline.results import SyncResult
from pipeline.settings import load_settings
from pipeline.syncing.sync import choose, sync
from sandbox import Sandbox


@dataclass(frozen=True)
class Real:
    """The dump of a workspace, which a sandbox serves, and a lake that holds it; no test changes any of them."""

    dump: Path
    sandbox: Sandbox
    lake: Path

    def sync(self, lake: Path, *streams: str) -> SyncResult:
        """Sync some streams, or all, as a user does who sets nothing."""
        return sync(load_settings(url=self.sandbox.url, token=self.sandbox.token, lake=lake), choose(streams), Quiet())
