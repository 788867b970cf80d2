"""What can go wrong between a client and a server, on demand and in a repeatable order."""

import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar, Self

KINDS = {
    "error": "answer 500, or now and then 502, in plain text",
    "reset": "cut the connection without an answer",
    "timeout": "hold the answer back for timeout_seconds",
    "truncate": "announce the whole body, send half of it, then close",
    "garbage": "answer 200 with a body that is not JSON",
    "html": "answer 200 with an HTML page, as a proxy does",
    "throttle": "answer 429 with `Retry-After: 1`",
}
SCRIPTED = {
    "ok": "answer as usual",
    "bad_gateway": "answer 502, as a proxy does",
    "throttle_silent": "answer 429 without Retry-After",
    "throttle_date": "answer 429 with a date in Retry-After",
    "forbidden": "answer 403, as for a token that has been withdrawn",
}
DOWNLOADS = {  # scripted, for archive files only; the range asked for is honoured where nothing else is said
    "expired": "answer 403, as for an address that is too old",
    "gone": "answer 404, as for a file that has been replaced",
    "altered": "flip one byte in the middle of the file",
    "short": "serve the first half as if it were the whole file",
    "twice": "serve the file gzipped once more",
    "empty": "answer 200 without a single byte",
    "no_range": "answer 200 with the whole file, whatever range is asked for",
    "unpacked": "announce the same bytes as `Content-Encoding: gzip`",
}
AMOUNTS = {
    "edits": "after each page, change that many rows of it, first those that share the timestamp at its edge",
    "late": "after each page, let that many rows appear whose timestamp is late_seconds old",
    "slow": "hold every answer back for that many seconds",
    "timeout_seconds": "how long a timeout lasts",
    "late_seconds": "how old a late row is",
    "throttle_seconds": "the Retry-After of a fault",
    "seed": "the order of the faults",
}
FILES = "files"  # the name of the archive file server in scripts


@dataclass(frozen=True)
class Faults:
    """Probabilities per request, amounts per page, and scripts: what to do with the next requests of an endpoint."""

    error: float = 0.0
    reset: float = 0.0
    timeout: float = 0.0
    truncate: float = 0.0
    garbage: float = 0.0
    html: float = 0.0
    throttle: float = 0.0
    edits: int = 0
    late: int = 0
    slow: float = 0.0
    timeout_seconds: float = 30.0
    late_seconds: float = 4.0
    throttle_seconds: int = 1
    seed: int = 0
    script: Mapping[str, Sequence[str]] = field(default_factory=dict)

    help: ClassVar[str] = (
        "Comma-separated NAME=VALUE.\nProbabilities for each request:\n"
        + "\n".join(f"  {name:16} {text}" for name, text in KINDS.items())
        + "\nAmounts:\n"
        + "\n".join(f"  {name:16} {text}" for name, text in AMOUNTS.items())
    )

    def __post_init__(self) -> None:
        for endpoint, steps in self.script.items():
            known = [*KINDS, *SCRIPTED, *(DOWNLOADS if endpoint == FILES else ())]
            for step in steps:
                if step not in known:
                    raise ValueError(f"script of {endpoint}: no fault is called {step!r}; there are {', '.join(known)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `error=0.02,edits=18`; raise ValueError naming what is wrong."""
        kinds = {spec.name: int if spec.type is int else float for spec in fields(cls) if spec.name != "script"}
        values: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, number = part.partition("=")
            if name not in kinds:
                raise ValueError(f"no fault is called {name!r}; there are {', '.join(kinds)}")
            try:
                values[name] = kinds[name](number)
            except ValueError as error:
                raise ValueError(f"fault {name}: {number!r} is not a number") from error
            if values[name] < 0 or (name in KINDS and values[name] > 1):
                raise ValueError(
                    f"fault {name}: {number} is not a probability" if name in KINDS else f"fault {name}: below 0"
                )
        return cls(**values)  # type: ignore[arg-type]


class Dice:
    """Decides, request by request, which fault comes next.

    The n-th request of an endpoint always meets the same fate for a seed, whatever other endpoints are asked meanwhile.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def next(self, endpoint: str) -> str:
        """Return the fault for the next request of an endpoint, `ok` for none."""
        with self._lock:
            number = self._counts[endpoint]
            self._counts[endpoint] += 1
        script = self.faults.script.get(endpoint, ())
        if number < len(script):
            return script[number]
        value = random.Random(f"{self.faults.seed}/{endpoint}/{number}").random()
        for kind in KINDS:
            value -= getattr(self.faults, kind)
            if value < 0:
                return "bad_gateway" if kind == "error" and number % 3 == 2 else kind
        return "ok"
