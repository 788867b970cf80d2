"""Another account, which reads lakes as people do: by `rapidlake`, by DuckDB's own command line, and by pandas.

Only root can become somebody else; others read as themselves. It is asked in lines, JSON, and answers so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from rapidlake import open_lake
from tests import processes
from tests.commands import Ended, run
from warehouse.lake.engine import EXTENSIONS, extension_file

ROOT = Path(__file__).parents[1]
NOBODY = 65534


@dataclass(frozen=True)
class Stranger:
    """Asks the other account."""

    process: processes.Process

    def run(self, *words: object) -> Ended:
        """Run `rapidlake`."""
        return Ended(**self._ask("run", *words))

    def cli(self, folder: Path, sql: str, *options: str) -> Ended:
        """Ask the lake in a folder by DuckDB's command line, with these options of ATTACH."""
        return Ended(**self._ask("cli", folder, sql, *options))

    def df(self, folder: Path, sql: str) -> list[list[Any]]:
        """The rows of a frame, from a lake that this account has kept open since it asked for the first time."""
        found = self._ask("df", folder, sql)
        assert isinstance(found, list), found
        return found

    def _ask(self, *words: object) -> Any:
        assert self.process.stdin and self.process.stdout and self.process.stderr
        print(json.dumps([*map(str, words)]), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)


@contextmanager
def stranger(place: Path, lake: Path) -> Iterator[Stranger]:
    """The other account, until the block ends; it works in the folder `place`. Any `lake` is for it to warm up."""
    words = [sys.executable, "-m", "tests.strangers", place, lake]
    process = processes.start(words, cwd=ROOT, stdin=subprocess.PIPE)
    try:
        assert process.stdout and process.stderr
        ready = process.stdout.readline().strip()
        if ready == "shut out":
            pytest.skip("the other account cannot read what is installed here")
        assert ready == "ready", process.stderr.read()
        yield Stranger(process)
    finally:
        processes.end(process)


@contextmanager
def open_place() -> Iterator[Path]:
    """A folder that every account can reach, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def serve(place: Path, lake: Path) -> None:
    """Become the other account, and answer until nobody asks any more."""
    # All that is loaded late is loaded now: Python itself may be for root alone.
    assert run("sql", "SELECT 1", "--lake", lake).code == 0
    assert run("status", "--lake", lake).code == 0
    open_lake(lake).df("SELECT 1, '1'")
    _cli(str(lake), "SELECT 1")
    os.chdir(place)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    files = [*map(extension_file, EXTENSIONS), Path(_program())]
    print("ready" if all(os.access(file, os.R_OK) for file in files) else "shut out", flush=True)
    opened: dict[str, Any] = {}
    for line in sys.stdin:
        what, *words = json.loads(line)
        if what == "run":
            answer: Any = vars(run(*words))
        elif what == "cli":
            answer = vars(_cli(*words))
        else:
            lake_of_notebook = opened.setdefault(words[0], None) or open_lake(words[0])
            opened[words[0]] = lake_of_notebook
            answer = lake_of_notebook.df(words[1]).astype(str).values.tolist()
        print(json.dumps(answer), flush=True)


def _program() -> str:
    return str(resources.files("duckdb_cli") / "duckdb")


def _cli(folder: str, sql: str, *options: str) -> Ended:
    statements = [
        *(f"LOAD '{extension_file(name)}'" for name in EXTENSIONS),
        f"ATTACH 'ducklake:sqlite:{folder}/catalog.sqlite' AS lake ({', '.join(['READ_ONLY', *options])})",
        "USE lake",
    ]
    words = [argument for statement in statements for argument in ("-cmd", f"{statement};")]
    done = subprocess.run([_program(), "-csv", "-noheader", *words, "-c", sql], capture_output=True, text=True)
    return Ended(done.returncode, done.stdout, done.stderr)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]))
