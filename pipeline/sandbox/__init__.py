"""A local server that behaves like the REST API v2 of RapidPro and TextIt, for tests, demos and benchmarks.

with Sandbox(generate(messages=40_000, seed=1)) as sandbox:
    httpx.get(f"{sandbox.url}/api/v2/runs.json", headers={"Authorization": f"Token {sandbox.token}"})
"""

from pipeline.sandbox.archiver import archive_old_rows, roll_up
from pipeline.sandbox.archives import put_archive, put_archive_bytes, put_empty_archive, read_archive, remove_archive
from pipeline.sandbox.faults import Faults
from pipeline.sandbox.generate import generate
from pipeline.sandbox.sandbox import SURVEYOR_TOKEN, TOKEN, Sandbox, serve
from pipeline.sandbox.server import SeenRequest
from pipeline.sandbox.statistics import count_statistics
from pipeline.sandbox.throttle import Throttle
from pipeline.sandbox.workspace import Workspace

__all__ = [
    "SURVEYOR_TOKEN",
    "TOKEN",
    "Faults",
    "Sandbox",
    "SeenRequest",
    "Throttle",
    "Workspace",
    "archive_old_rows",
    "count_statistics",
    "generate",
    "put_archive",
    "put_archive_bytes",
    "put_empty_archive",
    "read_archive",
    "remove_archive",
    "roll_up",
    "serve",
]
