"""How many requests may go out: one budget per workspace and scope, shared by all processes of this machine.

RapidPro throttles per workspace and scope over a sliding hour, for all tokens together. We use a share of that and
leave the rest to the workspace's other integrations. The count lives in a SQLite file in the user's cache folder.

Its clock is the one that nobody sets and that all processes share: the time since the machine was started. What was
counted before a start counts as of just now, for nobody knows how long ago that is.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from pathlib import Path

from platformdirs import user_cache_path
from pyrate_limiter import Duration, Rate, RateItem, SQLiteBucket

from pipeline.errors import SettingsError
from warehouse.declared import kind_of

# Not that of earlier versions, which counted by a clock that can be set.
TABLE = "asked"


class Budget:
    """Requests of one workspace, counted per scope.

    `requests_per_hour` is what may be used per scope; 0 or less means without limit.
    """

    def __init__(self, workspace: str, requests_per_hour: int) -> None:
        self._workspace = workspace
        self._limit = requests_per_hour
        self._buckets: dict[str, SQLiteBucket] = {}

    def seconds_until_free(self, scope: str) -> float:
        """Take one request of `scope` and return 0, or return after how many seconds to ask again."""
        if self._limit <= 0:
            return 0.0
        bucket = self._bucket(scope)
        item = RateItem(scope, _now())
        if bucket.put(item):
            return 0.0
        _settle(bucket)
        return max(float(str(bucket.waiting(item))) / 1000, 0.001)

    def left(self, scope: str) -> int | None:
        """Requests that may still go out now; None without a limit."""
        if self._limit <= 0:
            return None
        bucket = self._bucket(scope)
        _settle(bucket)
        return max(self._limit - bucket.count(), 0)

    def close(self) -> None:
        """Close the files."""
        for bucket in self._buckets.values():
            bucket.close()  # type: ignore[no-untyped-call]  # pyrate-limiter 4.5 does not annotate it
        self._buckets.clear()

    def _bucket(self, scope: str) -> SQLiteBucket:
        if scope not in self._buckets:
            name = hashlib.sha256(f"{self._workspace} {scope}".encode()).hexdigest()[:24]
            self._buckets[scope] = self._open(name)
        return self._buckets[scope]

    def _open(self, name: str) -> SQLiteBucket:
        file = _folder() / f"{name}.sqlite"
        try:
            file.parent.mkdir(0o700, parents=True, exist_ok=True)
            bucket = SQLiteBucket.init_from_file(
                [Rate(self._limit, Duration.HOUR)], table=TABLE, db_path=str(file), use_file_lock=True
            )
            _settle(bucket)
            return bucket
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(
                f"The count of requests in {file} cannot be kept ({kind_of(error)}): "
                "remove the file, or name another folder with RAPIDLAKE_CACHE."
            ) from None


def _settle(bucket: SQLiteBucket) -> None:
    """Let what was counted by a clock that showed more be of now, and forget what is older than an hour."""
    now = _now()
    with bucket.lock:
        bucket.conn.execute(f"UPDATE {TABLE} SET item_timestamp = {now} WHERE item_timestamp > {now}")
        bucket.conn.commit()
    bucket.leak(now)


def _now() -> int:
    """Milliseconds since the machine was started, as all its processes count them."""
    return time.monotonic_ns() // 1_000_000


def _folder() -> Path:
    folder = Path(os.environ["RAPIDLAKE_CACHE"]) if "RAPIDLAKE_CACHE" in os.environ else user_cache_path("rapidlake")
    return folder / "budget"
