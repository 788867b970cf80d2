"""A lying server, a lake that was filled from it, and what is done with both while everything is looked at."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from pipeline.reading.progress import Lines, compared, summary
from pipeline.settings import Settings, load_settings
from sandbox import Sandbox
from tests.commands import run_unchecked
from tests.lakes import new_lake
from tests.leaks.conversations import WORKSPACE_NAME
from tests.leaks.looking import Looked, at_debug_level
from tests.leaks.planting import TOKEN, planted_workspace
from tests.leaks.serving import HEALTHY, Conversation, Liar
from warehouse import RapidlakeError

# What shows rows, names or keys because it was asked to: its answer, not what it says beside it.
ANSWERS = {"sql", "export", "report", "dictionary"}
SHOWN_FILES = {"report.html", "dictionary.md", "dictionary.html", "export", "answer.csv", "answer.xlsx"}
SETTINGS = {
    "RAPIDLAKE_LAG": "0",
    "RAPIDLAKE_PATIENCE": "0",
    "RAPIDLAKE_LONGEST_WAIT": "0",
    "RAPIDLAKE_REQUESTS_PER_HOUR": "100000",
    "RAPIDLAKE_LARGEST_PAGE": "1",
    "RAPIDLAKE_LONGEST_ROW": "1",
}


@dataclass
class Scene:
    """A place with folders of its own for everything that a run may leave."""

    liar: Liar
    place: Path
    looked: Looked = field(default_factory=Looked)
    unexpected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for folder in ("home", "cache", "tmp", "work"):
            (self.place / folder).mkdir(parents=True, exist_ok=True)

    @property
    def lake(self) -> Path:
        return self.place / "lake"

    @property
    def month(self) -> str:
        """The month of which there are archive files."""
        return str(self.liar.sandbox.workspace.rows("archives")[0]["start_date"])[:7]

    def settings(self, **more: Any) -> Settings:
        """Settings for what is called without the command line."""
        given = {name.removeprefix("RAPIDLAKE_").lower(): value for name, value in SETTINGS.items()}
        return load_settings(url=self.liar.url, token=TOKEN, lake=self.lake, **{**given, **more})

    @contextmanager
    def within(self, conversation: Conversation, doing: str) -> Iterator[None]:
        """Do something while the server speaks so, with everything logged, and look at what it said and raised."""
        self.looked.doing = f"{conversation.name}: {doing}"
        self.liar.conversation = conversation
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(tempfile, "tempdir", str(self.place / "tmp")))
            logged = stack.enter_context(at_debug_level())
            try:
                yield
            except Exception as error:
                self.raised(error)
            finally:
                self.liar.conversation = HEALTHY
        for name, said in dict.fromkeys(logged):
            self.looked.at(f"log of {name}", said)

    def raised(self, error: Exception) -> None:
        """Look at an error that came out; one that nobody can have caused is a fault by itself."""
        self.looked.at_error(f"traceback of {type(error).__name__}", error)
        self.looked.at(f"text of {type(error).__name__}", str(error))
        if not isinstance(error, RapidlakeError):
            at = error.__traceback__
            while at and at.tb_next:
                at = at.tb_next
            where = f"{Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}" if at else "?"
            self.unexpected.append(f"{self.looked.doing}: {type(error).__name__} at {where}")

    def command(self, conversation: Conversation, *words: str, **more: str) -> None:
        """Run a command, and look at what it printed, logged and left; MONTH stands for that of the archive files."""
        words = tuple(self.month if word == "MONTH" else word for word in words)
        environment = SETTINGS | {
            "RAPIDPRO_URL": self.liar.url, "RAPIDPRO_TOKEN": TOKEN, "RAPIDLAKE_LAKE": str(self.lake),
            "HOME": str(self.place / "home"), "RAPIDLAKE_CACHE": str(self.place / "cache"),
            "TMPDIR": str(self.place / "tmp"), **more,
        }  # fmt: skip
        before = Path.cwd()
        os.chdir(self.place / "work")
        try:
            with self.within(conversation, " ".join(words)):
                ended = run_unchecked(*words, **environment)
                if words[0] not in ANSWERS:
                    self.looked.at("standard output", ended.out.replace(WORKSPACE_NAME, ""))
                self.looked.at("standard error", ended.err)
        finally:
            os.chdir(before)
        self.look_around()

    def look_around(self) -> None:
        """Look at all files but those that show the workspace on purpose, and at the lake's own tables."""
        for name in ("home", "cache", "tmp"):
            self.looked.at_folder(self.place / name)
        self.looked.at_folder(self.place / "work", but=SHOWN_FILES)
        self.looked.at_lake(self.lake)

    def lines(self, *, verifying: bool = False) -> Lines:
        """Progress as it is told where there is no terminal."""
        return Lines(compared if verifying else summary, lambda said: self.looked.at("progress", said))


@contextmanager
def lying_server() -> Iterator[Liar]:
    """A server of a planted workspace, which tells the truth until it is told otherwise."""
    with (
        planted_workspace() as workspace,
        Sandbox(workspace, requests_per_hour=0, keep=True, token=TOKEN) as sandbox,
        Liar(sandbox) as liar,
    ):
        yield liar


def filled_lake(liar: Liar, place: Path, fill: Callable[[Scene], object]) -> Path:
    """A lake into which everything was read once, in peace; copies of it are to be spoilt."""
    scene = Scene(liar, place)
    new_lake(scene.lake)
    fill(scene)
    return scene.lake


def copied(lake: Path, place: Path) -> Path:
    """The same lake once more."""
    return Path(shutil.copytree(lake, place / "lake"))
