"""The generated traffic: people answering flows, hour by hour, as messages and runs that agree with each other.

Speed matters more here than anywhere else in the sandbox: rows are formatted from fragments of JSON made beforehand,
and never encoded one by one.
"""

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sandbox.generation import vocabulary
from sandbox.generation.fragments import Flow, Stamps, as_json
from sandbox.generation.people import Dice, People
from sandbox.workspace import dates
from sandbox.workspace.contents import Workspace
from sandbox.workspace.rows import encode
from sandbox.workspace.shelf import Shelf, date_of
from sandbox.workspace.store import Record

HOUR = 3600 * dates.SECOND
_DAILY_RHYTHM = (
    1,
    1,
    1,
    2,
    6,
    14,
    20,
    24,
    22,
    18,
    14,
    12,
    14,
    16,
    17,
    18,
    20,
    22,
    18,
    11,
    6,
    3,
    2,
    1,
)  # by hour of UTC
_WEEKLY_RHYTHM = (11, 12, 11, 11, 10, 5, 3)  # from Monday
_FLUSH = 10_000
_BATCH = 100  # rows that one transaction writes with one timestamp
_RUN_TIME = re.compile(r'(T\d\d:\d\d:\d\d\.\d{6})Z"')


@dataclass(frozen=True)
class Span:
    """The time that the generated workspace covers, in microseconds since the epoch."""

    begin: int
    window: int  # the API lists messages and runs from here on; what is older is in archives
    end: int


@dataclass(slots=True)
class Session:
    """One contact in one flow."""

    person: int
    flow: Flow
    run: int
    begun: int
    start: str
    replies: int  # how many answers will come
    last: int = 0
    path: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)


class Traffic:
    """Simulates the flow of messages and runs into a workspace and its archives."""

    def __init__(
        self,
        workspace: Workspace,
        people: People,
        flows: list[Flow],
        labels: list[dict[str, Any]],
        *,
        span: Span,
        text_bytes: int,
        dice: Dice,
    ) -> None:
        self.workspace = workspace
        self.people = people
        self.flows = [flow for flow in flows for _ in range(_weight(flow))]
        self.labels = [encode([{"uuid": label["uuid"], "name": label["name"]}]) for label in labels]
        self.window = span.window  # what is older is in archives only
        self.shelf = Shelf(workspace, span.begin // dates.DAY)
        self.end = span.end
        self.dice = dice
        self.stamps = Stamps()
        self.talk = [as_json(words, text_bytes) for words in vocabulary.THANKS]
        self.agent = [as_json(words, text_bytes) for words in vocabulary.AGENT]
        self.message_id = self.run_id = 0
        self.registered = 0
        self.messages: list[Record] = []
        self.runs: list[Record] = []
        self.due: list[tuple[int, int, Session]] = []

    # -- time --

    def moments(self, count: int, begin: int, end: int) -> Iterator[int]:
        """Yield exactly `count` moments in order, in the rhythm of days and weeks, with slow growth."""
        hours = range(begin // HOUR, -(-end // HOUR))
        weights = [
            _DAILY_RHYTHM[hour % 24] * _WEEKLY_RHYTHM[(hour // 24 + 3) % 7] * (0.7 + 0.6 * index / len(hours))
            for index, hour in enumerate(hours)
        ]
        total, reached, done = sum(weights), 0.0, 0
        draw = self.dice.random
        for hour, weight in zip(hours, weights, strict=True):
            reached += weight
            quota = round(count * reached / total) - done
            done += quota
            first, last = max(begin, hour * HOUR), min(end, hour * HOUR + HOUR)
            self._welcome(first)
            if begin < self.window and first % dates.DAY == 0 and date_of(first // dates.DAY).endswith("-02"):
                self.shelf.archive(first - dates.DAY)  # nothing more will be written in the month before
            step = (last - first) / max(1, quota)
            for index in range(quota):
                yield first + int((index + draw()) * step)

    def _welcome(self, moment: int) -> None:
        created, known = self.people.created, self.registered
        while known < len(created) and created[known] <= moment:
            known += 1
        self.registered = max(known, 2)

    def _someone(self, moment: int) -> int:
        person = int(self.dice.random() ** 1.3 * self.registered)
        if moment >= self.window and self.people.is_deleted(person):
            return person - 1
        return person

    # -- conversations --

    def simulate(self, moments: Iterator[int]) -> None:
        """Fill every moment with a message: the next answer that is due, or something new."""
        for moment in moments:
            session = self._answering(moment)
            if session is not None:
                if self._hear(session, moment) and next(moments, None) is not None:
                    self._ask(session, min(moment + dates.SECOND + session.run % 1_000_000, self._limit(moment)))
            elif self.dice.random() < 0.12:
                self._chat(moment)
            else:
                self._open(moment)
            if len(self.messages) >= _FLUSH:
                self.flush()

    def _answering(self, moment: int) -> Session | None:
        """Return a session whose contact answers by now; contacts deleted since fall silent when the window begins."""
        while self.due and self.due[0][0] <= moment:
            session = heapq.heappop(self.due)[2]
            if moment < self.window or not self.people.is_deleted(session.person):
                return session
        return None

    def _limit(self, moment: int) -> int:
        return self.window - 1 if moment < self.window else self.end

    def _open(self, moment: int) -> None:
        draw = self.dice.random()
        flow = self.flows[int(draw * len(self.flows))]
        session = self._session(flow, self._someone(moment), moment)
        total = len(flow.questions)
        session.replies = total if draw * 1000 % 1 < 0.62 else int(draw * 10_000 % 1 * total)
        self._ask(session, moment)

    def _session(self, flow: Flow, person: int, moment: int) -> Session:
        self.run_id += 1
        start = f'{{"uuid":"{flow.starts[-1]}"}}' if flow.starts and self.run_id % 3 == 0 else "null"
        return Session(person, flow, self.run_id, moment, start, 0, moment)

    def _ask(self, session: Session, moment: int) -> None:
        """Send the next question; then wait for the answer, or for ever."""
        question = session.flow.questions[len(session.values)]
        session.path.append(f'{{"node":"{question.node}","time":"{self.stamps.full(moment)}Z"}}')
        session.last = moment
        text = question.texts[self.people.languages[session.person]]
        self._say(session.person, moment, text, session.flow)
        if len(session.values) < session.replies:
            draw = self.dice.random()
            delay = 20 + draw * 400 if draw < 0.7 else draw * 20_000 if draw < 0.95 else draw * 100_000
            heapq.heappush(self.due, (moment + int(delay * dates.SECOND), session.run, session))
        else:
            self._leave(session)

    def _hear(self, session: Session, moment: int) -> bool:
        """Receive an answer; True when another question follows."""
        question = session.flow.questions[len(session.values)]
        text, value, category = question.answers[int(self.dice.random() * len(question.answers))]
        time = self.stamps.full(moment)
        session.values.append(
            f'{question.head}{value},"category":{category},"node":"{question.node}","time":"{time}Z",'
            f'"input":{value},"name":{question.name}}}'
        )
        self.people.last_seen[session.person] = moment
        self._receive(session.person, moment, text, session.flow)
        if len(session.values) < len(session.flow.questions):
            return True
        self._finish(session, moment, moment, "completed")
        return False

    def _leave(self, session: Session) -> None:
        """End a run whose contact answers no more: it expires or is interrupted, or waits still."""
        ended = session.last + session.flow.expires * 60 * dates.SECOND
        kind = "expired"
        if session.run % 9 == 0:
            ended, kind = session.last + session.flow.expires * 20 * dates.SECOND, "interrupted"
        if ended <= self.end:
            self._finish(session, ended, ended, kind)
        else:
            self._wait(session)

    def _wait(self, session: Session) -> None:
        if not self.people.is_deleted(session.person):
            self.people.waiting[session.person] = {"uuid": session.flow.row["uuid"], "name": session.flow.row["name"]}
        self._finish(session, session.last, None, None)

    def _chat(self, moment: int) -> None:
        """Write or receive something outside of any flow."""
        draw = self.dice.random()
        if draw < 0.25:
            self._say(self._someone(moment), moment, self.agent[int(draw * 4 * len(self.agent))], None)
        else:
            person = self._someone(moment)
            self.people.last_seen[person] = moment
            self._receive(person, moment, self.talk[int(self.dice.random() * len(self.talk))], None)

    # -- rows --

    def broadcast(self, number: int, texts: list[str], people: list[int], moment: int) -> None:
        """Send a text to many; every hundred of them share a timestamp."""
        for index, person in enumerate(people):
            at = min(moment + index // _BATCH * dates.SECOND, self._limit(moment))
            self._say(person, at, texts[self.people.languages[person]], None, number)

    def silent_runs(self, flow: Flow, people: list[int], moment: int) -> None:
        """Run a background flow for many; every hundred of them share a timestamp."""
        for index, person in enumerate(people):
            at = min(moment + index // _BATCH * dates.SECOND, self._limit(moment))
            session = self._session(flow, person, at)
            self._finish(session, at, at, "completed")

    def _say(self, person: int, moment: int, text: str, flow: Flow | None, broadcast: int | None = None) -> None:
        self.message_id += 1
        number = self.message_id
        luck = number * 7919 % 100
        age = self.end - moment
        status = "delivered" if luck < 60 else "sent" if luck < 85 else "wired" if luck < 95 else "failed"
        if age < 2 * HOUR and luck > 90:
            status = "queued" if luck < 97 else "errored"
        sent = None if status in ("failed", "queued", "errored") else min(moment + (2 + luck % 20) * 950_007, self.end)
        modified = moment if sent is None else min(sent + luck * 10_001, self.end)
        folder = "failed" if status == "failed" else "outbox" if sent is None else "sent"
        self._write(person, number, moment, sent, modified, "out", status, text, flow, folder, "[]", broadcast)

    def _receive(self, person: int, moment: int, text: str, flow: Flow | None) -> None:
        self.message_id += 1
        number = self.message_id
        luck = number * 104_729 % 100
        labels, folder, modified = "[]", "flows" if flow else "inbox", min(moment + 400_003, self.end)
        if flow is None and luck < 22:
            labels = self.labels[luck % len(self.labels)]
            modified = min(moment + luck * HOUR, self.end)
            folder = "archived" if luck < 5 else folder
        media = None
        if luck == 99:
            media = f'"image/jpeg","url":"https://media.example.org/{number}.jpg"'
        elif luck == 98:
            media = f'"geo","url":"-1.9{number % 1000:03},30.0{number % 997:03}"'
        if moment >= self.window and luck == 50:  # a phone that was offline delivers late: older than its number
            moment = max(self.window, moment - HOUR * (number % 7))
        self._write(person, number, moment, None, modified, "in", "handled", text, flow, folder, labels, None, media)

    def _write(
        self,
        person: int,
        number: int,
        moment: int,
        sent: int | None,
        modified: int,
        direction: str,
        status: str,
        text: str,
        flow: Flow | None,
        folder: str,
        labels: str,
        broadcast: int | None,
        media: str | None = None,
    ) -> None:
        iso = self.stamps.iso
        archived = folder == "archived"
        reference = flow.ref if flow else "null"
        sender = "null" if broadcast is None else broadcast
        attachments = f'[{{"content_type":{media}}}]' if media else "[]"
        if moment < self.window:
            front = re.sub('#[^"]*","channel"', '","channel"', self.people.fronts[person], count=1)
            full = self.stamps.full
            line = (
                f'{{"id":{number},"broadcast":{sender},{front},"flow":{reference},"direction":"{direction}","type":"text",'
                f'"status":"{status}","visibility":"{"archived" if archived else "visible"}","text":{text},'
                f'"attachments":{attachments},"labels":{labels},"created_on":"{full(moment)}+00:00",'
                f'"sent_on":{"null" if sent is None else chr(34) + full(sent) + "+00:00" + chr(34)},'
                f'"modified_on":"{full(modified)}+00:00"}}'
            )
            self.shelf.add("message", moment, number, line)
            return
        old_style = "null" if media is None else f'"{media.replace(chr(34), "").replace(",url:", ":", 1)}"'
        body = (
            f'{{"id":{number},"broadcast":{sender},{self.people.fronts[person]},"direction":"{direction}","type":"text",'
            f'"status":"{status}","archived":{"true" if archived else "false"},'
            f'"visibility":"{"archived" if archived else "visible"}","text":{text},"labels":{labels},'
            f'"flow":{reference},"attachments":{attachments},"created_on":"{iso(moment)}",'
            f'"sent_on":{"null" if sent is None else chr(34) + iso(sent) + chr(34)},'
            f'"modified_on":"{iso(modified)}","media":{old_style}}}'
        )
        key, contact = str(number), self.people.uuids[person]
        origin = flow.row["uuid"] if flow else None
        self.messages.append(Record(number, key, moment, modified, body, sent, contact, origin, folder, 0))

    def _finish(self, session: Session, modified: int, exited: int | None, kind: str | None) -> None:
        """Write a run."""
        deleted = self.people.is_deleted(session.person)
        if deleted and modified >= self.window:
            return
        key = self.dice.uuid()
        counts = session.flow.row["runs"]
        counts[kind or "waiting"] += 1
        head = f'{{"id":{session.run},"uuid":"{key}","flow":{session.flow.ref},"contact":'
        answered = "true" if session.values else "false"
        path, values = ",".join(session.path), ",".join(session.values)
        if modified < self.window:
            full = self.stamps.full
            line = (
                f'{head}{self.people.ref(session.person)},"responded":{answered},'
                f'"path":[{_RUN_TIME.sub(_offset_form, path)}],"values":{{{_RUN_TIME.sub(_offset_form, values)}}},'
                f'"created_on":"{full(session.begun)}+00:00","modified_on":"{full(modified)}+00:00",'
                f'"exited_on":{_quoted(None if exited is None else full(exited) + "+00:00")},'
                f'"exit_type":{_quoted(kind)},"submitted_by":null}}'
            )
            self.shelf.add("run", modified, session.run, line)
            return
        iso = self.stamps.iso
        body = (
            f'{head}{self.people.summary(session.person)},"start":{session.start},"responded":{answered},"path":[{path}],'
            f'"values":{{{values}}},"created_on":"{iso(session.begun)}","modified_on":"{iso(modified)}",'
            f'"exited_on":{_quoted(None if exited is None else iso(exited))},"exit_type":{_quoted(kind)}}}'
        )
        contact = self.people.uuids[session.person]
        self.runs.append(
            Record(session.run, key, session.begun, modified, body, None, contact, session.flow.row["uuid"])
        )

    # -- storage --

    def flush(self) -> None:
        """Hand the finished rows to the workspace."""
        self.workspace.store.insert("messages", self.messages)
        self.workspace.store.insert("runs", self.runs)
        self.messages.clear()
        self.runs.clear()

    def finish(self) -> None:
        """End the simulation: whoever has not answered yet waits."""
        for _, _, session in sorted(self.due, key=lambda item: item[:2]):
            self._wait(session)
        self.due.clear()
        self.flush()


def _weight(flow: Flow) -> int:
    return next(words.weight for words in vocabulary.FLOWS if words.name == flow.row["name"])


def _offset_form(match: re.Match[str]) -> str:
    return f'{match[1]}+00:00"'


def _quoted(text: str | None) -> str:
    return "null" if text is None else f'"{text}"'
