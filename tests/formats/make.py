"""Makes the lake that `tests/formats/` keeps of a format, and the workspace that it was synced from.

    python -m tests.formats.make            # FORMAT.tar.xz, of this version's format

To be run once per format, before the next one begins: what it makes is as that version of Rapidlake made it.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
import tarfile
import tempfile
import threading
import uuid
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from pipeline.proof.comparing import Verification
from pipeline.proof.verify import choose_verifiable, verify
from pipeline.reading.progress import Quiet
from pipeline.reading.reader import Options
from pipeline.settings import load_settings
from pipeline.streams import STREAMS
from pipeline.syncing.sync import choose, sync
from sandbox import Sandbox, Workspace, archive_old_rows, generate, put_archive, read_archive, roll_up
from sandbox.workspace.archive_files import file_name, find_file
from sandbox.workspace.rows import TABLES
from warehouse.lake.schema import FORMAT

ARCHIVED_DAYS = 9
# A lake has these while it is used only.
PASSING = ("spool", "locks")


def main() -> None:
    """Make it beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with _workspace() as workspace, Sandbox(workspace, requests_per_hour=0, keep=True) as sandbox:
            _fill(sandbox, place / "lake")
            dump(workspace, place / "workspace")
        for name in PASSING:
            shutil.rmtree(place / "lake" / name)
        with tarfile.open(Path(__file__).with_name(f"{FORMAT}.tar.xz"), "w:xz", preset=9) as archive:
            for part in ("lake", "workspace"):
                archive.add(place / part, part)


def _workspace() -> Workspace:
    """A workspace with archive files, monthly and daily ones, and with keys in its rows that no column is for."""
    workspace = generate(messages=420, runs=300, contacts=40, seed=16, archives=False)
    workspace.offer("archives")
    for number, row in enumerate(workspace.rows("messages")):
        unknown = {"cost": number, "folder": {"name": "Inbox", "sizes": [1, 2]}} if number % 3 == 0 else {}
        workspace.put("messages", {**row, "uuid": _uuid(row), **unknown})
    for number, row in enumerate(workspace.rows("runs")):
        if number % 4 == 0:
            workspace.put("runs", {**row, "weight": f"level {number}"})
    for number, row in enumerate(workspace.rows("contacts")):
        if number % 2 == 0:
            workspace.put("contacts", {**row, "score": number / 8})
    first = min(row["created_on"] for row in workspace.rows("messages"))[:10]
    archive_old_rows(workspace, date.fromisoformat(first) + timedelta(days=ARCHIVED_DAYS))
    for kind in ("message", "run"):
        files = [row for row in workspace.rows("archives") if row["archive_type"] == kind]
        roll_up(workspace, kind, min(row["start_date"] for row in files)[:7])
    for file in workspace.rows("archives"):  # the archiver writes what the API of its time has
        records = [json.loads(line) for line in read_archive(workspace, file)]
        for place, row in enumerate(records):
            row |= {"cost": place, "weight": "old"} | ({} if "path" in row else {"uuid": _uuid(row)})
        lines = [json.dumps(row).encode() for row in records]
        if lines:
            put_archive(workspace, file["archive_type"], file["period"], file["start_date"], lines)
    return workspace


def _fill(sandbox: Sandbox, lake: Path) -> None:
    """Sync it all, let much happen, and sync again; then begin to read all runs once more, and stop on the way."""
    workspace = sandbox.workspace
    settings = load_settings(
        url=sandbox.url, token=sandbox.token, lake=lake, requests_per_hour=0, lag=0, batch_pages=1
    )  # fmt: skip
    sync(settings, choose([]), Quiet())
    messages = workspace.rows("messages")
    workspace.edit("messages", [row["id"] for row in messages if row["direction"] == "out"][:12])
    received = [row["id"] for row in messages if row["direction"] == "in"]
    workspace.edit("messages", received[:3])
    workspace.edit("messages", received[3:5], changes={"labels": [_reference(workspace.rows("labels")[0])]})
    workspace.edit("contacts", 5)
    workspace.edit("runs", 5)
    workspace.delete("messages", [row["id"] for row in messages[12:15]])
    workspace.delete_contacts([row["uuid"] for row in workspace.rows("contacts")[:2]])
    recent = workspace.rows("messages")[:2]
    for row in recent:  # as a later server sends them, for a while
        _put_raw(workspace, "messages", row, {key: value for key, value in row.items() if key != "id"})
    for key in workspace.edit("contacts", [workspace.rows("contacts")[9]["uuid"]]):
        contact = workspace.row("contacts", key) or {}
        _put_raw(workspace, "contacts", contact, {**contact, "groups": "all of them"})
    sync(settings, choose([]), Quiet(), options=Options(revisit_now=True))
    for row in recent:
        workspace.put("messages", row)
    sync(settings, choose([]), Quiet(), options=Options(revisit_now=True))
    verify(settings, choose_verifiable([]), Quiet(), asked=Verification())
    stop = threading.Event()
    sandbox.after_page = lambda name: stop.set() if name == "runs" else None
    stopped = sync(settings, [STREAMS["runs"]], Quiet(), options=Options(full=True), stop=stop)
    assert [one.outcome for one in stopped.streams] == ["stopped"]
    sandbox.after_page = None


def _uuid(row: dict[str, Any]) -> str:
    """As later servers give one to each message."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(row["id"])))


def _reference(row: dict[str, Any]) -> dict[str, Any]:
    return {"uuid": row["uuid"], "name": row["name"]}


def _put_raw(workspace: Workspace, endpoint: str, row: dict[str, Any], served: dict[str, Any]) -> None:
    workspace.put(endpoint, row, raw=json.dumps(served, separators=(",", ":")))


def dump(workspace: Workspace, folder: Path) -> None:
    """Write what `Workspace.load` reads: the rows of each endpoint, as they are served, and the archive files."""
    (folder / "archives").mkdir(parents=True)
    for table in TABLES:
        served = workspace.served(table)
        if served:
            with gzip.GzipFile(folder / f"{table}.jsonl.gz", "wb", 0, mtime=0) as lines:
                lines.writelines(row.body + b"\n" for row in served)
    for row in workspace.rows("archives"):
        name = file_name(row)
        found = name and find_file(workspace, name)
        if found:
            shutil.copy(found, folder / "archives")


if __name__ == "__main__":
    sys.exit(main())
