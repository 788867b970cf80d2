"""Another process, which reads lakes: it knows of them what is on the disk and nothing else.

It is asked in lines, JSON, and answers with the name of a file in which the answer is.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import processes
from tests.lakes import detach, reading
from tests.truth import stored_rows

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Found:
    """What a lake holds: the rows of streams by key, deleted ones too, and what queries answer."""

    rows: dict[str, dict[Any, dict[str, Any]]]
    answers: list[list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Reader:
    """Asks the other process."""

    process: processes.Process

    def read(self, lake: Path, streams: Sequence[str] = (), queries: Sequence[str] = ()) -> Found:
        """Read whole tables of a lake, and ask it questions, all at one moment."""
        assert self.process.stdin and self.process.stdout
        print(json.dumps([str(lake), list(streams), list(queries)]), file=self.process.stdin, flush=True)
        answer = Path(self.process.stdout.readline().strip())
        assert answer.is_file(), self.process.stderr and self.process.stderr.read()
        found = pickle.loads(answer.read_bytes())
        answer.unlink()
        assert isinstance(found, Found), found
        return found


@contextmanager
def another_process() -> Iterator[Reader]:
    """A process that reads, until the block ends."""
    process = processes.start([sys.executable, "-m", "tests.readers"], cwd=ROOT, stdin=subprocess.PIPE)
    try:
        yield Reader(process)
    finally:
        processes.end(process)


def serve() -> None:
    """Answer until nobody asks any more."""
    from tests import readers  # under the name by which the other process knows it

    for line in sys.stdin:
        lake, streams, queries = json.loads(line)
        with reading(Path(lake)) as connection:
            found = readers.Found(
                {stream: stored_rows(connection, stream, live=False) for stream in streams},
                [connection.execute(query).fetchall() for query in queries],
            )
        detach()  # another lake may take the place of this one
        answer = Path(lake).with_name("answer.pickle")
        answer.write_bytes(pickle.dumps(found))
        print(answer, flush=True)


if __name__ == "__main__":
    serve()
