"""One storm: a workspace that changes, a server that fails, commands that are killed; then quiet, and the whole truth.

Every choice comes from the seed. When a signal reaches a process is up to the machine: the log tells what happened.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.months import Month
from pipeline.streams import STREAMS, Archives
from sandbox import Faults, Generation, Sandbox, Workspace, generate, remove_archive
from sandbox.server.faults import DOWNLOADS, KINDS, SCRIPTED
from tests import processes
from tests.storm.comparing import Comparison, compare
from tests.storm.happenings import Happenings

RAPIDLAKE = [sys.executable, "-c", "from pipeline.cli.app import main; main()"]
# What can be verified, and can fail as a listing of rows does.
ROWS = [name for name, stream in STREAMS.items() if not isinstance(stream.strategy, Archives)]
# A command that waits for one that stands still lets it go on after this.
STANDS_STILL_SECONDS = 15.0
GENERATIONS = tuple(Generation)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# No command takes so long, however many of its requests fail.
HANGS_SECONDS = 300


@dataclass
class Ended:
    """How a storm ended."""

    seed: int
    comparison: Comparison
    log: list[str]
    faults: Counter[str]
    kills: Counter[str]
    commands: int
    interleaved: int
    problems: list[str]

    @property
    def good(self) -> bool:
        """True if the lake is true, and every command of the quiet said so."""
        return not self.comparison.differences and not self.problems

    def told(self) -> str:
        """One line."""
        found = {kind: dict(counts) for kind, counts in self.comparison.found.items() if counts.total()}
        return (
            f"storm {self.seed}: {self.comparison.rows:,} rows, {self.commands} commands "
            f"({self.interleaved} interleaved), "
            f"{self.faults.total()} faults, {self.kills.total()} kills, {len(self.log)} happenings, "
            f"{self.comparison.differences} differences{f' {found}' if found else ''}"
            f"{''.join(f'; {problem}' for problem in self.problems)}"
        )


@dataclass(frozen=True)
class Size:
    """How large a storm is."""

    messages: int = 1_000
    rounds: int = 5
    files: int = 16
    verify: bool = True


@dataclass
class Storm:
    """Runs one storm in a folder of its own."""

    seed: int
    folder: Path
    size: Size = field(default_factory=Size)
    log: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    commands: int = 0
    interleaved: int = 0

    def run(self) -> Ended:
        """Let it storm, then one quiet sync; compare everything."""
        dice = random.Random(f"storm {self.seed}")
        self.changing = dice.random() < 0.6
        with small_workspace(self.size.messages, self.seed) as workspace:
            if self.changing:
                workspace.generation = GENERATIONS[0]
            with Sandbox(workspace, requests_per_hour=None, keep=True) as sandbox, processes.ended_afterwards():
                self.happenings = Happenings(
                    sandbox,
                    random.Random(f"happenings {self.seed}"),
                    GENERATIONS if self.changing else (),
                    most_files=self.size.files,
                    log=self.log,
                )
                for number in range(self.size.rounds):
                    self._round(sandbox, random.Random(f"round {self.seed}/{number}"), number)
                comparison = self._quiet(sandbox)
        counted = self.commands, self.interleaved
        return Ended(self.seed, comparison, self.log, self.faults, self.kills, *counted, self.problems)

    @property
    def lake(self) -> Path:
        """Where the lake is."""
        return self.folder / "lake"

    # -- rounds --

    def _round(self, sandbox: Sandbox, dice: random.Random, number: int) -> None:
        """Some things happen; then a command runs while more happens, and perhaps is killed."""
        for _ in range(dice.randrange(16)):
            self.happenings.happen()
        words, other = self._command(dice, first=number == 0), self._command(dice, first=False)
        sandbox.faults = self._some_faults(dice)
        before = len(sandbox.requests)
        stopper = Stopper(dice)
        beside = None
        if number and dice.random() < 0.5:
            beside = StandStill(dice, lambda: self._run(sandbox, other))
            self.log.append(f"-- {number}: at page {beside.page} it stands still while {short(other)} runs")
        self.log.append(f"-- {number}: {short(words)}; {stopper}")
        with self._stormy(sandbox, dice, stopper, beside):
            code, said = self._run(sandbox, words, stopper, beside)
        if beside and beside.ran:
            self.interleaved += 1
        self.faults.update(seen.fault for seen in sandbox.requests[before:] if seen.fault != "ok")
        self.log.append(f"-- {number}: exit code {code}{f', {stopper.sent.name} sent' if stopper.sent else ''}")
        if stopper.sent:
            self.kills[stopper.sent.name] += 1
        elif "Traceback" in said:
            self.problems.append(f"{words[0]} has a traceback")
            self.log.append(said)

    def _command(self, dice: random.Random, *, first: bool) -> list[str]:
        months = [str(month) for month in _months_shown()]
        commands: list[tuple[float, list[str]]] = [
            (4, ["sync"]),
            (4, ["sync", *dict.fromkeys([*dice.sample(ROWS, 6), "contacts", "messages"])]),
            (3, ["sync", "archives"]),
            (1, ["sync", "messages", "broadcasts", "--full"]),
            (2, ["backfill", dice.choice(months), "--stream", dice.choice(("messages", "runs"))]),
            (0 if first else 1, ["maintain"]),
            (0 if first else 1, ["verify", "--repair", "messages", "runs", "contacts"]),
            (0 if first else 0.5, ["verify", "--rotate", "--repair"]),
        ]
        [(_, words)] = dice.choices(commands, [weight for weight, _ in commands])
        return words

    def _some_faults(self, dice: random.Random) -> Faults:
        """The faults of a round: none in some, else several kinds, seldom or often."""
        if dice.random() < 0.2:
            return Faults()
        often = dice.choice((0.05, 0.15, 0.3))
        chosen = {kind: often * dice.random() for kind in dice.sample(sorted(KINDS), 3)}
        files = [dice.choice(["ok", *KINDS, *SCRIPTED, *DOWNLOADS]) for _ in range(dice.randrange(6))]
        script = {"files": files}
        if dice.random() < 0.3:
            script[dice.choice(ROWS)] = [dice.choice(sorted({"ok", *KINDS, *SCRIPTED} - {"forbidden"}))] * 2
        if dice.random() < 0.1:
            script[dice.choice(ROWS)] = ["ok", "forbidden"]
        return Faults(**chosen, timeout_seconds=0.5, seed=dice.getrandbits(32), script=script)

    @contextmanager
    def _stormy(
        self, sandbox: Sandbox, dice: random.Random, stopper: Stopper, beside: StandStill | None
    ) -> Iterator[None]:
        """Let things happen between pages and before files."""
        often = dice.choice((0.0, 0.4, 0.7))
        wrong: list[Exception] = []

        def between(name: str) -> None:
            stopper.count()
            if beside:
                beside.count()
            try:
                while dice.random() < often:
                    self.happenings.happen()
            except Exception as error:
                wrong.append(error)
                raise

        sandbox.after_page = sandbox.before_file = between
        try:
            yield
        finally:
            sandbox.after_page = sandbox.before_file = None
        if wrong:
            raise wrong[0]

    def _run(
        self, sandbox: Sandbox, words: list[str], stopper: Stopper | None = None, beside: StandStill | None = None
    ) -> tuple[int, str]:
        """Run a command as people do; its exit code, and what it said."""
        self.commands += 1
        settings = {
            "RAPIDPRO_URL": sandbox.url,
            "RAPIDPRO_TOKEN": sandbox.token,
            "RAPIDLAKE_LAKE": str(self.lake),
            "RAPIDLAKE_CACHE": str(self.folder / "cache"),
            "RAPIDLAKE_REQUESTS_PER_HOUR": "0",
            "RAPIDLAKE_BATCH_PAGES": "1",
            "RAPIDLAKE_PATIENCE": "3",
            "RAPIDLAKE_LAG": "0",
            "RAPIDLAKE_REVISITS": "8d",
        }
        process = processes.start([*RAPIDLAKE, *words], env=os.environ | settings, stderr=subprocess.STDOUT)
        if stopper:
            stopper.watch(process)
        if beside:
            beside.watch(process)
        try:
            said, _ = process.communicate(timeout=HANGS_SECONDS)
        except subprocess.TimeoutExpired:
            self.problems.append(f"{words[0]} did not end within {HANGS_SECONDS} s")
            process.kill()
            said, _ = process.communicate()
        finally:
            if stopper:
                stopper.forget()
            if beside:
                beside.forget()
        processes.end(process)
        return process.returncode, said

    # -- the end --

    def _quiet(self, sandbox: Sandbox) -> Comparison:
        """All is mended and nothing happens any more: one sync, and the lake is the workspace."""
        sandbox.faults = Faults()
        self.happenings.quiet()
        self._good(sandbox, ["sync"])
        if self.changing or self.happenings.unseen:
            # What only one generation tells, rows that were not read again do not have; what no sync sees, verify does.
            self._run(sandbox, ["verify", "--repair"])
        comparison = self._compare(sandbox)
        if self.size.verify and not comparison.differences:
            self._good(sandbox, ["verify"])
        return comparison

    def _compare(self, sandbox: Sandbox) -> Comparison:
        return compare(self.lake, sandbox.workspace, generations=self.changing)

    def _good(self, sandbox: Sandbox, words: list[str]) -> None:
        code, said = self._run(sandbox, words)
        self.log.append(f"-- quiet: {' '.join(words)}; exit code {code}")
        if code:
            self.problems.append(f"{' '.join(words)} ended with {code}")
            self.log.append(said)


class Stopper:
    """Sends a process a signal: at its n-th page or file, after some seconds, or never."""

    def __init__(self, dice: random.Random) -> None:
        self.signal: signal.Signals | None = dice.choice(SIGNALS) if dice.random() < 0.7 else None
        self.sent: signal.Signals | None = None
        by_page = dice.random() < 0.6
        self._page = dice.randrange(1, 20) if by_page else None
        self._seconds = None if by_page else dice.uniform(0.1, 8)
        self._lock = threading.Lock()
        self._process: processes.Process | None = None
        self._pages = 0

    def __str__(self) -> str:
        if self.signal is None:
            return "not stopped"
        return f"{self.signal.name} {f'at page {self._page}' if self._page else f'after {self._seconds:.1f} s'}"

    def watch(self, process: processes.Process) -> None:
        """Begin."""
        with self._lock:
            self._process = process
        self._timer = threading.Timer(self._seconds or 0, self._send)
        if self.signal and self._seconds is not None:
            self._timer.start()

    def count(self) -> None:
        """A page or a file was asked for."""
        self._pages += 1
        if self._page == self._pages:
            self._send()

    def forget(self) -> None:
        """The process has ended."""
        with self._lock:
            self._process = None
        self._timer.cancel()

    def _send(self) -> None:
        with self._lock:
            if self._process and self.signal and self._process.poll() is None:
                self._process.send_signal(self.signal)
                self.sent = self.signal


class StandStill:
    """Stops a process at its n-th page or file, lets another command run from its beginning to its end, and goes on."""

    def __init__(self, dice: random.Random, other: Callable[[], object]) -> None:
        self.page = dice.randrange(1, 12)
        self.ran = False
        self._other = other
        self._pages = 0
        self._lock = threading.Lock()
        self._process: processes.Process | None = None
        self._thread: threading.Thread | None = None

    def watch(self, process: processes.Process) -> None:
        """Begin."""
        self._process = process

    def count(self) -> None:
        """A page or a file was asked for."""
        self._pages += 1
        if self._pages == self.page and self._signal(signal.SIGSTOP):
            self._thread = threading.Thread(target=self._meanwhile)
            self._thread.start()

    def forget(self) -> None:
        """The process has ended; the other command may not have."""
        with self._lock:
            self._process = None
        if self._thread:
            self._thread.join()

    def _meanwhile(self) -> None:
        # What waits for a lock of the process that stands still would wait for ever.
        let_go = threading.Timer(STANDS_STILL_SECONDS, self._signal, [signal.SIGCONT])
        let_go.start()
        try:
            self._other()
            self.ran = True
        finally:
            let_go.cancel()
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> bool:
        with self._lock:
            alive = self._process is not None and self._process.poll() is None
            if self._process and alive:
                self._process.send_signal(number)
            return alive


def short(words: list[str]) -> str:
    """A command, as far as it fits."""
    return f"{' '.join(words[:4])}{' ...' if len(words) > 4 else ''}"


def small_workspace(messages: int, seed: int) -> Workspace:
    """A workspace with few archive files: the newest of each kind."""
    workspace = generate(messages=messages, contacts=max(40, messages // 4), seed=seed)
    for period, kept in (("daily", 2), ("monthly", 1)):
        rows = [row for row in workspace.rows("archives") if row["period"] == period]
        for row in rows[2 * kept :]:
            remove_archive(workspace, row)
    _tell_apart(workspace)
    return workspace


def _tell_apart(workspace: Workspace) -> None:
    """Give each message that a broadcast sent twice to one contact a text of its own.

    Where one server tells their ids only and the next their uuids only, nobody can say which is which.
    """
    seen = set()
    for row in workspace.rows("messages"):
        alike = row["created_on"], row["contact"]["uuid"], row["direction"], row["text"]
        if alike in seen:
            changes = {"text": f"{row['text']} (No. {row['id']})", "modified_on": row["modified_on"]}
            workspace.edit("messages", [row["id"]], changes=changes)
        seen.add(alike)


def _months_shown() -> list[Month]:
    """The two months before this one."""
    first = datetime.now(UTC).replace(day=1)
    last = first - timedelta(days=1)
    return [Month.of(last), Month.of(last.replace(day=1) - timedelta(days=1))]


def forget(folder: Path) -> None:
    """Delete the folder of a storm."""
    shutil.rmtree(folder, ignore_errors=True)
