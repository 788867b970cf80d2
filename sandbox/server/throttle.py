"""Rate limits as the server counts them: a sliding window of request times for each scope of the workspace."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Refusal:
    """One 429: how long to wait, or None when the server cannot say."""

    wait: int | None

    @property
    def detail(self) -> str:
        """The sentence in the body."""
        if self.wait is None:
            return "Request was throttled."
        return f"Request was throttled. Expected available in {self.wait} second{'' if self.wait == 1 else 's'}."


@dataclass
class Throttle:
    """Allows `limit` requests in any `seconds`, for each scope by itself; a limit of 0 allows all.

    Refused requests are not counted. When the limit is lowered below what the window already holds, the refusal names
    no waiting time.
    """

    limit: int
    seconds: float = 3600.0
    limits: dict[str, int] = field(default_factory=dict)  # for scopes that differ
    clock: Callable[[], float] = time.monotonic
    _history: dict[str, deque[float]] = field(default_factory=dict)

    @classmethod
    def hourly(cls, limit: int | None) -> "Throttle":
        """Return the limits of a real workspace, where broadcasts have a larger one; no limit at all for None or 0."""
        return cls(limit or 0, limits={"v2.broadcasts": max(36_000, limit)} if limit else {})

    def admit(self, scope: str) -> Refusal | None:
        """Count a request; return a refusal instead when the window is full."""
        limit = self.limits.get(scope, self.limit)
        if not limit:
            return None
        now = self.clock()
        history = self._history.setdefault(scope, deque())
        while history and history[0] <= now - self.seconds:
            history.popleft()
        if len(history) < limit:
            history.append(now)
            return None
        if len(history) > limit:
            return Refusal(None)
        return Refusal(math.ceil(self.seconds - (now - history[0])))

    def count(self, scope: str) -> int:
        """Return how many requests of a scope have been counted and not been forgotten."""
        return len(self._history.get(scope, ()))
