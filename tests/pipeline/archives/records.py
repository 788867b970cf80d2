"""What tests of archive files share: messages that are in them, in the API, in both or in none."""

from __future__ import annotations

import json
from typing import Any

from sandbox import Faults, put_archive, read_archive
from tests.pipeline.scene import LANGUAGES, Scene
from tests.truth import assert_same, expected_union, stored_rows

Row = dict[str, Any]

MAY, JUNE, JULY = "2026-05-01", "2026-06-01", "2026-07-01"
PERSON = {"uuid": "5e0a3b1c-0000-4000-8000-000000000000", "name": "Ana"}


def record(number: int, created: str) -> Row:
    """A message as an archive has it."""
    at = f"{created}T08:00:00" if "T" not in created else created
    at = at if "." in at else f"{at}.{number:06}"
    return {
        "id": number, "uuid": f"00000000-0000-4000-8000-{number:012}", "broadcast": None, "contact": PERSON,
        "urn": "tel:+250788000001", "channel": None, "flow": None, "direction": "in", "type": "text",
        "status": "handled", "visibility": "visible", "attachments": [], "labels": [], "text": f"No. {number}",
        "sent_on": None, "created_on": f"{at}+00:00", "modified_on": f"{at}+00:00",
    }  # fmt: skip


def as_listed(archived: Row) -> Row:
    """The same message as the API lists it."""
    return archived | {"archived": False, "media": None}


def put(scene: Scene, start: str, records: list[Row], period: str = "monthly") -> None:
    put_archive(scene.workspace, "message", period, start, [json.dumps(one).encode() for one in records])


def broken(scene: Scene, bad: bool) -> None:
    scene.sandbox.faults = Faults(script={"files": ["error" if bad else "ok"]})


def assert_true(scene: Scene, *present: int) -> None:
    """The live messages are those of the API and of the listed files; `present` are among them."""
    workspace = scene.workspace
    records = {}
    for row in workspace.rows("archives"):
        for line in read_archive(workspace, row):
            records[json.loads(line)["id"]] = json.loads(line)
    expected = expected_union("messages", workspace.rows("messages"), records.values(), LANGUAGES)
    with scene.session.lake.connection() as connection:
        stored = stored_rows(connection, "messages", live=True)
    assert_same("messages", stored, expected)
    assert {str(number) for number in present} <= stored.keys()
