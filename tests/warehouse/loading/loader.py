"""Loads rows as a sync does, and rows to load."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from pipeline.streams import STREAMS
from warehouse import Batch, Lake, Loaded, forget_batch, merge, stage

Row = dict[str, Any]

ONE, TWO, THREE = (f"{number}0000000-0000-4000-8000-000000000000" for number in (1, 2, 3))


@dataclass(frozen=True)
class Loader:
    """Loads rows as a sync does: staged and merged in one transaction."""

    lake: Lake
    folder: Path
    used: set[str] = field(default_factory=lambda: {"_quarantine"})

    def load(
        self,
        stream: str,
        *rows: Row | str,
        tombstones: bool = False,
        files: int = 1,
        begun: datetime | None = None,
    ) -> tuple[Batch, Loaded]:
        """Load rows, the text of some given as it is, from as many files, of a reading that had `begun` then."""
        self.used.add(stream)
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        size = -(-len(lines) // files)
        paths = [self.folder / f"{number}.jsonl" for number in range(files)]
        for number, path in enumerate(paths):
            path.write_text("".join(f"{line}\n" for line in lines[number * size :][:size]), encoding="utf-8")

        def work(connection: duckdb.DuckDBPyConnection) -> tuple[Batch, Loaded]:
            batch = stage(connection, STREAMS[stream].table, paths, tombstones=tombstones)
            loaded = merge(connection, batch, tombstones=tombstones, begun=begun)
            forget_batch(connection)
            return batch, loaded

        return self.lake.commit(work)

    def snapshots(self) -> int:
        """How many commits the lake has seen that wrote something."""
        return int(self.lake.rows("SELECT count(*) FROM lake.snapshots()")[0][0])


def contact(uuid: str = ONE, modified_on: str | None = "2026-03-01T00:00:00Z", **changes: Any) -> Row:
    return {"uuid": uuid, "name": "Ann", "urns": [], "fields": {}, "modified_on": modified_on, **changes}


def message(number: int = 1, **changes: Any) -> Row:
    return {"id": number, "text": "hello", "created_on": "2026-03-01T00:00:00Z", **changes}
