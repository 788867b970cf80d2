"""`rapidlake shell` on a terminal: what signals do there."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.commands import COMMAND
from tests.lakes import new_lake
from tests.processes import Process, start

# Makes the terminal on its standard input that of its session, so that Ctrl-C there is a signal.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
FOREVER = b"SELECT count(*) FROM range(20000000000) numbers (number) WHERE hash(number) = 1;\r"
CTRL_C = b"\x03"
PROMPT = b"lake\x1b[00m D "
# What the prompt asks a terminal: for its colour, and where its cursor is.
ASKED = {b"\x1b]11;?": b"\x1b]11;rgb:0000/0000/0000\x07", b"\x1b[6n": b"\x1b[1;1R"}


@dataclass
class Terminal:
    """A prompt on a terminal, and what it has shown."""

    process: Process
    keyboard: int
    shown: bytes = b""

    def type(self, keys: bytes) -> None:
        """Forget what was shown, and type."""
        self.shown = b""
        os.write(self.keyboard, keys)

    def look(self, seconds: float = 0.1) -> bool:
        """Read what is shown, and answer what is asked; False if nothing is shown for so long."""
        if not select.select([self.keyboard], [], [], seconds)[0]:
            return False
        new = os.read(self.keyboard, 65536)
        self.shown += new
        for question, answer in ASKED.items():
            os.write(self.keyboard, answer * new.count(question))
        return True

    def wait_for(self, words: bytes) -> None:
        """Until the words are shown."""
        while words not in self.shown:
            assert self.look(20), self.shown

    @property
    def edits(self) -> bool:
        """Whether a line is being edited: there Ctrl-C is a key, and no signal."""
        return not termios.tcgetattr(self.keyboard)[3] & termios.ISIG

    def wait_for_prompt(self, seconds: float = 60) -> bool:
        """Until the prompt stands, which throws away what is typed before; False if that takes longer."""
        end = time.monotonic() + seconds
        while not (at_prompt := self.edits and self.shown.endswith(PROMPT)) and time.monotonic() < end:
            self.look()
        return at_prompt

    def interrupt(self) -> None:
        """Press Ctrl-C until the prompt is back: a question that has not begun yet does not hear of it."""
        for _ in range(10):
            self.type(CTRL_C)
            if self.wait_for_prompt(5):
                return
        raise AssertionError(self.shown)

    def ask(self, question: bytes, answer: bytes) -> None:
        """Type a question at the prompt, see the answer, and wait for the next prompt."""
        self.type(question)
        self.wait_for(answer)
        assert self.wait_for_prompt(), self.shown


def opened(tmp_path: Path, *options: str) -> Terminal:
    """A prompt inside a new lake."""
    keyboard, screen = pty.openpty()
    words = [sys.executable, "-c", TAKE_TERMINAL, COMMAND, "shell", *options, "--lake", new_lake(tmp_path / "lake")]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "xterm"}
    with open(screen, "wb", buffering=0) as out:
        process = start(words, env=environment, stdin=screen, stdout=out, stderr=out)
    return Terminal(process, keyboard)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """DuckDB's prompt, ready for a question."""
    terminal = opened(tmp_path, "--unguarded")
    assert terminal.wait_for_prompt(), terminal.shown
    yield terminal
    os.close(terminal.keyboard)


def test_ctrl_c_ends_a_question_or_what_was_typed_and_not_the_prompt(terminal: Terminal) -> None:
    terminal.type(FOREVER)
    while terminal.edits:
        terminal.look()
    terminal.interrupt()
    terminal.ask(b"SELECT 4000 + 42;\r", b"4042")
    terminal.type(b"SELECT 1" + CTRL_C)
    assert terminal.wait_for_prompt(), terminal.shown
    terminal.ask(b"SELECT 4000 + 43;\r", b"4043")
    assert b"Traceback" not in terminal.shown
    assert terminal.process.poll() is None


def test_sigterm_ends_the_prompt(terminal: Terminal) -> None:
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.process.wait(20) == -signal.SIGTERM


def back_to_our_prompt(terminal: Terminal) -> None:
    """Press Ctrl-C until the prompt is back: a question that has not begun yet does not hear of it."""
    for _ in range(10):
        terminal.type(CTRL_C)
        while not terminal.shown.endswith(b"lake> ") and terminal.look(5):
            pass
        if terminal.shown.endswith(b"lake> "):
            return
    raise AssertionError(terminal.shown)


def test_ctrl_c_at_our_prompt_ends_a_question_or_what_was_typed_and_what_was_asked_is_remembered(
    tmp_path: Path,
) -> None:
    terminal = opened(tmp_path)
    terminal.wait_for(b"lake> ")
    terminal.type(FOREVER)
    terminal.wait_for(b"= 1;")
    back_to_our_prompt(terminal)
    terminal.type(b"SELECT 1")
    terminal.wait_for(b"1")
    back_to_our_prompt(terminal)
    terminal.type(b"SELECT 4000 + 42;\r")
    terminal.wait_for(b"4042")
    terminal.wait_for(b"lake> ")
    terminal.type(b"\x04")
    assert terminal.process.wait(20) == 0
    history = tmp_path / ".rapidlake_history"
    assert "SELECT 4000 + 42;" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0
    os.close(terminal.keyboard)
