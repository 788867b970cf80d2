"""A generated workspace that looks like a real one: the same for the same seed, size and moment.

Messages and runs come from simulated conversations (`traffic`), contacts from `people`, the rest from `surroundings`.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from sandbox.generation import vocabulary
from sandbox.generation.fragments import build_flow, stretched
from sandbox.generation.people import Dice, People
from sandbox.generation.surroundings import Surroundings
from sandbox.generation.traffic import Span, Traffic
from sandbox.workspace import dates
from sandbox.workspace.contents import Workspace
from sandbox.workspace.endpoints import ENDPOINTS
from sandbox.workspace.message_counts import count_statistics
from sandbox.workspace.rows import Row, encode, in_served_order

RETENTION_DAYS = 90
ARCHIVED_DAYS = 275
_QUIET = 10 * 60 * dates.SECOND  # nothing is newer than this before `now`
_WEEK = 7 * dates.DAY

Happening = tuple[int, Callable[[], object]]


def generate(
    *,
    messages: int = 40_000,
    seed: int = 1,
    now: datetime | None = None,
    contacts: int | None = None,
    runs: int | None = None,
    archives: bool = True,
    text_bytes: int = 0,
    statistics: bool = False,
) -> Workspace:
    """Invent a workspace with that many messages in the API, which shows the last 90 days.

    About three times as many more are in archives, over the rest of a year, unless `archives` is false. Contacts
    default to one for eight messages, 50,000 at most; runs to what the conversations bring. `text_bytes` stretches
    texts to about that many bytes. `statistics` offers the endpoint of newer servers that counts messages by day.
    """
    moment = dates.to_micros(now or datetime.now(UTC))
    window = moment - moment % dates.DAY - (RETENTION_DAYS - 1) * dates.DAY
    span = Span(window - ARCHIVED_DAYS * dates.DAY if archives else window, window, moment - _QUIET)
    workspace = Workspace(seed=seed)
    try:
        author = _Author(workspace, span, seed, text_bytes)
        author.write(messages, min(50_000, max(40, messages // 8)) if contacts is None else contacts, runs)
        if statistics:
            count_statistics(workspace, today=dates.from_micros(moment).date())
    except BaseException:
        workspace.close()
        raise
    return workspace


class _Author:
    """Writes one workspace."""

    def __init__(self, workspace: Workspace, span: Span, seed: int, text_bytes: int) -> None:
        self.workspace = workspace
        self.span = span
        self.dice = dice = Dice(seed)
        self.text_bytes = text_bytes
        self.seed = seed
        self.around = Surroundings(span.window - 400 * dates.DAY, span.end, dice)
        self.channels = self.around.channels()
        self.groups = self.around.groups()
        self.labels: list[Row] = [{**row, "count": 0} for row in self.around.named(vocabulary.LABELS)]
        self.flow_rows = self.around.flows()
        self.starts = self.around.flow_starts(self.flow_rows, self.groups, span.begin)
        self.flows = [
            build_flow(row, words, text_bytes) for row, words in zip(self.flow_rows, vocabulary.FLOWS, strict=True)
        ]

    def write(self, messages: int, contacts: int, runs: int | None) -> None:
        """Write everything."""
        span = self.span
        self.people = People(contacts, span.begin, span.end - dates.DAY, self.channels, self.dice)
        self.traffic = Traffic(
            self.workspace, self.people, self.flows, self.labels, span=span, text_bytes=self.text_bytes, dice=self.dice
        )
        sent = 0
        if span.begin < span.window:
            sent = len(self._simulate(messages * 3, span.begin, span.window, 0))
            last_day = dates.from_micros(span.window)
            self.traffic.shelf.archive(dates.to_micros(last_day.replace(day=1)))
            self.traffic.shelf.archive(span.window)
            self.workspace.offer("archives")
        broadcasts = self._simulate(messages, span.window, span.end, sent)
        self.traffic.finish()
        if runs is not None:
            self._settle_runs(runs)
        self._write_lists(messages, broadcasts)
        for name in ("messages", "runs", "contacts", "archives"):
            self.workspace.offer(name)
        self.workspace.prepare()

    # -- traffic --

    def _simulate(self, messages: int, begin: int, end: int, known: int) -> list[Row]:
        """Let people talk between two moments, with broadcasts and flow starts in between; return the broadcasts."""
        weeks = max(1, (end - begin) // _WEEK)
        count = min(2 * weeks, messages // 300)
        size = messages // 10 // count if count else 0
        broadcasts: list[Row] = []
        happenings: list[Happening] = []
        for index in range(count):
            at = begin + (end - begin) * (2 * index + 1) // (2 * count)
            happenings.append((at, _later(self._broadcast, known + index + 1, size, at, broadcasts)))
        for row in self.starts:
            at = dates.read_iso(row["created_on"]) or 0
            flow = next(flow for flow in self.flows if flow.row["uuid"] == row["flow"]["uuid"])
            if begin <= at < end:
                happenings.append((at, _later(flow.starts.append, row["uuid"])))
        for week in range(weeks):
            at = begin + week * _WEEK + int(self.dice.random() * dates.DAY)
            happenings.append((at, _later(self._update_segments, messages // 40 // weeks, at)))
        moments = self.traffic.moments(messages - count * size, begin, end)
        self.traffic.simulate(_with_happenings(moments, sorted(happenings, key=lambda happening: happening[0])))
        return broadcasts

    def _recipients(self, count: int, at: int) -> list[int]:
        chosen = (int(self.dice.random() * self.traffic.registered) for _ in range(count))
        return [person - int(at >= self.span.window and self.people.is_deleted(person)) for person in chosen]

    def _broadcast(self, number: int, size: int, at: int, broadcasts: list[Row]) -> None:
        words = vocabulary.BROADCASTS[number % len(vocabulary.BROADCASTS)]
        people = self._recipients(size, at)
        self.traffic.broadcast(number, [encode(stretched(text, self.text_bytes)) for text in words], people, at)
        attachments: dict[str, list[str]] = {language: [] for language in vocabulary.LANGUAGES}
        if number % 4 == 0:
            attachments["eng"] = ["image/jpeg:https://media.example.org/poster.jpg"]
        broadcasts.append(
            {
                "id": number,
                "urns": ["tel:+250788555000"] if number % 5 == 0 else [],
                "contacts": [self.people.reference(person) for person in dict.fromkeys(people[:40])],
                "groups": [],
                "text": dict(zip(vocabulary.LANGUAGES, words, strict=True)),
                "attachments": attachments,
                "base_language": "eng",
                "status": "failed" if number % 17 == 0 else "sent",
                "created_on": dates.iso(at),
            }
        )

    def _update_segments(self, count: int, at: int) -> None:
        background = next(flow for flow in self.flows if not flow.questions)
        self.traffic.silent_runs(background, self._recipients(count, at), at)

    def _settle_runs(self, wanted: int) -> None:
        """Bring the number of runs in the API to the number asked for."""
        surplus = self.workspace.count("runs") - wanted
        if surplus > 0:
            oldest = f"SELECT rowid FROM runs ORDER BY modified, id LIMIT {surplus}"
            self.workspace.store.execute(f"DELETE FROM runs WHERE rowid IN ({oldest})")
        for done in range(0, -surplus, 10_000):
            at = self.span.window + int(self.dice.random() * (self.span.end - self.span.window - dates.DAY))
            self._update_segments(min(10_000, -surplus - done), at)
            self.traffic.flush()

    # -- lists --

    def _write_lists(self, messages: int, broadcasts: list[Row]) -> None:
        around, people = self.around, self.people
        topics, campaigns = around.topics(), around.campaigns(self.groups)
        since = dates.iso(self.span.window)
        recent = [row for row in self.starts if row["created_on"] >= since]
        insert = self._insert
        insert("broadcasts", broadcasts)
        insert("flow_starts", recent, "modified_on")
        insert("tickets", around.tickets(people, topics, self.flow_rows, min(5000, 3 + messages // 150)), "modified_on")
        insert("topics", topics)
        insert("campaigns", campaigns)
        insert("campaign_events", around.campaign_events(campaigns, self.flow_rows))
        insert("channels", self.channels)
        insert("channel_events", around.channel_events(people, self.channels, min(5000, 5 + messages // 100)))
        insert("resthooks", around.resthooks(), "modified_on")
        insert("resthook_subscribers", around.resthook_subscribers())
        insert("resthook_events", around.resthook_events(people, self.flow_rows, min(600, 5 + messages // 100)))
        insert("templates", around.templates(self.channels[1]), "modified_on")
        insert("globals", around.globals(), "modified_on")
        for endpoint in ENDPOINTS.values():
            if endpoint.examples:
                insert(endpoint.name, around.examples(endpoint), f"{endpoint.order}_on")
        insert("fields", around.fields(), None)
        insert("users", around.users(), None)
        insert("workspace", around.workspace(self.seed), None)
        insert("boundaries", around.boundaries(), None)
        insert("flows", self.flow_rows)
        records = list(people.records(self.groups, self.span.end, self.dice))
        for table in ("contacts", "contacts_deleted"):
            self.workspace.store.insert(table, (record for kind, record in records if kind == table))
        insert("groups", self.groups, None)
        insert("labels", self._count_labels(), None)

    def _insert(self, table: str, rows: Iterable[Row], order: str | None = "created_on") -> None:
        """Store the rows of a small endpoint, newest first, or where they have no date in the order given."""
        ordered = list(rows)
        if order is not None:
            ordered.sort(key=lambda row: dates.read_iso(row[order]) or 0, reverse=True)
        self.workspace.store.insert(table, in_served_order(table, ordered))
        self.workspace.offer(table)

    def _count_labels(self) -> list[Row]:
        found = self.workspace.store.select(
            "SELECT json_extract(body, '$.labels[0].uuid'), count(*) FROM messages WHERE folder = 'inbox' GROUP BY 1"
        )
        counts = {label.decode(): count for label, count in found if label}
        return [{**row, "count": counts.get(row["uuid"], 0)} for row in self.labels]


def _later(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: function(*arguments)


def _with_happenings(moments: Iterator[int], happenings: list[Happening]) -> Iterator[int]:
    """Yield the moments, and let happen in between what is due."""
    position = 0
    for moment in moments:
        while position < len(happenings) and happenings[position][0] <= moment:
            happenings[position][1]()
            position += 1
        yield moment
    for _, happen in happenings[position:]:
        happen()
