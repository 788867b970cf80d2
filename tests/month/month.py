"""One month: rows of all ages change every hour, a sync follows, each night a verification; then the whole truth.

The clock of this process, which is the server's too, goes from one moment to the next.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path

import time_machine

from pipeline.reading.reader import Options
from pipeline.results import FAILED, StreamResult
from pipeline.settings import load_settings
from pipeline.syncing.session import identify, open_client, open_session
from sandbox import Sandbox, Workspace, archive_old_rows, generate, roll_up
from tests.month.changes import ARCHIVED_DAYS, DAY, FEW_HOURS, HOUR, MINUTE, Changes
from tests.month.watch import Watch, hours
from tests.pipeline.scene import Scene
from tests.storm.comparing import Comparison, compare

# The same for each run, so that the same happens: within it a month ends, and summer time begins.
START = datetime(2026, 3, 3, tzinfo=UTC)
MESSAGES, CONTACTS = 600, 60
# Every hour what users look at, every few hours what else changes here, before each verification everything: a sync
# of one stream costs a quarter of a CPU-second.
HOURLY = ("messages", "contacts", "runs")
ALL_HERE = (
    *HOURLY, "broadcasts", "flow_starts", "channel_events", "tickets", "flows", "definitions", "topics", "labels",
    "archives",
)  # fmt: skip
SYNCED_AT = 5 * MINUTE
MOST_CHANGES = 4
LAG = 60  # the default: rows of the last minute are left to the next sync
NIGHT_HOUR = 2
ARCHIVED_AT, VERIFIED_AT = 20 * MINUTE, 35 * MINUTE
QUIET_NIGHTS = 10


@dataclass
class Month:
    """Lets so many days pass, and ten quiet nights."""

    seed: int
    days: int
    lake: Path
    say: Callable[[str], None] = print
    syncs: int = 0
    nights: int = 0
    problems: list[str] = field(default_factory=list)
    comparison: Comparison = field(default_factory=Comparison)

    def run(self) -> Month:
        """Let it pass; look at each row that changed, and in the end at all."""
        with (
            time_machine.travel(START, tick=True) as self.machine,
            generate(messages=MESSAGES, contacts=CONTACTS, seed=self.seed) as self.workspace,
        ):
            with Sandbox(self.workspace, requests_per_hour=None, keep=True) as sandbox:
                settings = load_settings(url=sandbox.url, token=sandbox.token, lake=self.lake, requests_per_hour=0)
                with open_session(settings) as session:
                    self._pass(Scene(sandbox, session))
            self.comparison = compare(self.lake, self.workspace, generations=False)
        return self

    def _pass(self, scene: Scene) -> None:
        self.scene, self.watch = scene, Watch(self.workspace, scene.session.lake)
        self.changes = Changes(self.workspace, random.Random(f"month {self.seed}"))
        self._sync()
        for number in range(self.days * 24):
            hour = START + number * HOUR
            self._changes(hour)
            self._to(hour + HOUR + SYNCED_AT)
            self._sync(*(HOURLY if number % FEW_HOURS else ALL_HERE))
            self.watch.look()
            if (hour + HOUR).hour == NIGHT_HOUR:
                self._night(hour + HOUR)
        for number in range(QUIET_NIGHTS):
            self._night(START + (self.days + number) * DAY + NIGHT_HOUR * HOUR)
        self.watch.expire()
        self.problems += self.watch.too_long()

    def _changes(self, hour: datetime) -> None:
        """A few things happen within an hour, after its sync and its verification."""
        dice = self.changes.dice
        first = 40 if hour.hour == NIGHT_HOUR else 6
        minutes = sorted(dice.uniform(first, 64.5) for _ in range(dice.randint(1, MOST_CHANGES)))
        for minute in minutes:
            self._to(hour + minute * MINUTE)
            self.watch.waiting += self.changes.happen()

    def _night(self, hour: datetime) -> None:
        """The server archives what is old; then everything is synced and a part of it verified."""
        self._to(hour + ARCHIVED_AT)
        self._archive(datetime.now(UTC).date() - ARCHIVED_DAYS * DAY)
        self._to(hour + VERIFIED_AT)
        self._sync(options=Options(revisit_now=True))  # as Dagster's night does
        with self._process() as scene:
            result = scene.verify(rotate=True, repair=True)
        self.nights += 1
        self._note("verify", result.results)
        if result.failed:
            self.problems.append(f"{datetime.now(UTC):%m-%d}: verify says: {result.conclusion}")
        self.watch.look()
        found = sum(one.differences for one in result.findings)
        self.say(
            f"{hour:%m-%d}: {len(self.watch.lasted):,} changes are in the lake, {len(self.watch.waiting)} wait; "
            f"longest so far {hours(self.watch.longest)}; tonight {found} differences"
        )

    def _archive(self, before: date) -> None:
        """As the archiver does: one file a day, and one for a month that is over."""
        archive_old_rows(self.workspace, before)
        for kind, month in _months_over(self.workspace, before):
            roll_up(self.workspace, kind, month)

    def _sync(self, *streams: str, options: Options | None = None) -> None:
        self.syncs += 1
        with self._process() as scene:
            self._note("sync", scene.sync(*streams, options=options, lag=LAG).values())

    @contextmanager
    def _process(self) -> Iterator[Scene]:
        """The scene as a process that has just begun has it: an older one knows the server's clock by its own watch."""
        with open_client(self.scene.settings()) as client:
            body, _ = identify(client)
            yield replace(self.scene, session=replace(self.scene.session, client=client, body=body))

    def _note(self, command: str, results: Iterable[StreamResult]) -> None:
        self.problems += [
            f"{datetime.now(UTC):%m-%d %H:%M}: {command} {one.stream} is {one.outcome}: {one.message}"
            for one in results
            if one.outcome in FAILED
        ]

    def _to(self, moment: datetime) -> None:
        """Let it be then, unless it is later."""
        if moment > datetime.now(UTC):
            self.machine.move_to(moment)


def _months_over(workspace: Workspace, before: date) -> list[tuple[str, str]]:
    return sorted(
        {
            (row["archive_type"], row["start_date"][:7])
            for row in workspace.rows("archives")
            if row["period"] == "daily" and row["start_date"][:7] < f"{before:%Y-%m}"
        }
    )
