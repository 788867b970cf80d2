"""A local server that behaves like the REST API v2 of RapidPro and TextIt, for tests, demos and benchmarks.

with Sandbox(generate(messages=40_000, seed=1)) as sandbox:
    httpx.get(f"{sandbox.url}/api/v2/runs.json", headers={"Authorization": f"Token {sandbox.token}"})
"""

from sandbox.generation.author import generate
from sandbox.server.application import SeenRequest
from sandbox.server.faults import Faults
from sandbox.server.serving import SURVEYOR_TOKEN, TOKEN, Sandbox, serve
from sandbox.server.throttle import Throttle
from sandbox.workspace.archive_files import (
    put_archive,
    put_archive_bytes,
    put_empty_archive,
    read_archive,
    remove_archive,
)
from sandbox.workspace.archiver import archive_old_rows, fill_in_uuids, roll_up
from sandbox.workspace.contents import Workspace
from sandbox.workspace.generations import Generation, uuid_of
from sandbox.workspace.message_counts import count_statistics

__all__ = [
    "SURVEYOR_TOKEN",
    "TOKEN",
    "Faults",
    "Generation",
    "Sandbox",
    "SeenRequest",
    "Throttle",
    "Workspace",
    "archive_old_rows",
    "count_statistics",
    "fill_in_uuids",
    "generate",
    "put_archive",
    "put_archive_bytes",
    "put_empty_archive",
    "read_archive",
    "remove_archive",
    "roll_up",
    "serve",
    "uuid_of",
]
