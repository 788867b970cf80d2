"""Commands in processes of their own, at debug level, each of which notes its arguments and environment when it starts.

So do the processes that it starts in turn, as far as they are Python's.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from tests import processes
from tests.leaks.planting import TOKEN
from tests.leaks.scene import ANSWERS, SETTINGS, Scene
from tests.leaks.serving import HEALTHY, Conversation

# Python runs this before anything else, in whatever process finds it on its path.
BOOTSTRAP = """
import logging, os, pathlib, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
noted = pathlib.Path(os.environ["NOTED"])
for what in ("cmdline", "environ"):
    (noted / f"{os.getpid()}.{what}").write_bytes(pathlib.Path(f"/proc/self/{what}").read_bytes())
"""
# Who dumps its memory leaves it in the folder where it was started.
DUMPING = ["sh", "-c", 'ulimit -c unlimited 2>/dev/null; exec "$@"', "--"]


@dataclass(frozen=True)
class Started:
    """A Python process that a command has started: what it was called with."""

    arguments: bytes
    environment: bytes


def run_apart(scene: Scene, conversation: Conversation, *words: str, typed: str | None = None) -> list[Started]:
    """Run a command and look at all that it leaves; return the processes that it started in turn."""
    noted, paths = scene.place / "noted", scene.place / "paths"
    for folder in (noted, paths):
        folder.mkdir(exist_ok=True)
    (paths / "sitecustomize.py").write_text(BOOTSTRAP)
    environment = SETTINGS | {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(paths), "PYTHONFAULTHANDLER": "1", "NOTED": str(noted),
        "HOME": str(scene.place / "home"), "RAPIDLAKE_CACHE": str(scene.place / "cache"),
        "TMPDIR": str(scene.place / "tmp"), "RAPIDPRO_URL": scene.liar.url, "RAPIDPRO_TOKEN": TOKEN,
        "RAPIDLAKE_LAKE": str(scene.lake),
    }  # fmt: skip
    scene.looked.doing = f"{conversation.name}: {' '.join(words)} (apart)"
    scene.liar.conversation = conversation
    command = [*DUMPING, sys.executable, "-m", "rapidlake", *words]
    try:
        process = processes.start(command, env=environment, cwd=scene.place / "work", stdin=_input(typed))
        out, err = process.communicate(typed)
        processes.end(process)
    finally:
        scene.liar.conversation = HEALTHY
    if words[0] not in ANSWERS:
        scene.looked.at("standard output", out)
    scene.looked.at("standard error", err)
    for line in noted.glob("*.cmdline"):
        scene.looked.at("arguments of a process", line.read_bytes())
    started = [
        Started(line.read_bytes(), line.with_suffix(".environ").read_bytes())
        for line in noted.glob("*.cmdline")
        if line.stem != str(process.pid)
    ]
    for folder in (noted, paths):
        for file in folder.iterdir():
            if file.is_file():
                file.unlink()
    scene.look_around()
    return started


def _input(typed: str | None) -> int:
    return processes.subprocess.DEVNULL if typed is None else processes.subprocess.PIPE
