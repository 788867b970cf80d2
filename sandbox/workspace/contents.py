"""The workspace behind the sandbox: loaded from a dump or generated, and edited while it is being read."""

import gzip
import json
import random
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self

from sandbox.workspace import dates
from sandbox.workspace.edits import changed, clone, tombstone
from sandbox.workspace.generations import LISTED_BY_NINE, LISTING_DELETED, Generation, as_served
from sandbox.workspace.rows import DELETED_CONTACTS, TABLES, Row, in_served_order, record, table_endpoint
from sandbox.workspace.store import Listing, Served, Store


class Workspace(AbstractContextManager["Workspace"]):
    """All rows and archive files of one workspace. Every method may be called from any thread."""

    def __init__(self, *, clock: Callable[[], int] = dates.now_micros, seed: int = 0) -> None:
        self.store = Store(TABLES)
        self.offered: set[str] = {"definitions"}
        self.generation: Generation | None = None  # of the server; None: rows are served as they are stored
        self.ahead = timedelta(0)  # by how much the server's clock is wrong
        self._clock = clock
        self.archive_folders = [self.store.directory / "archives"]
        self.archive_folders[0].mkdir()
        self.deleted_files: set[str] = set()  # archive files that are served no more
        self._random = random.Random(f"edits {seed}")  # not the numbers that the rows were generated from
        self._tops: dict[str, int] = {}

    # -- life --

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a dump: one `<endpoint>.jsonl` or `.jsonl.gz` per endpoint, in the order served, and `archives/`."""
        workspace = cls()
        for path in sorted(Path(folder).glob("*.jsonl*")):
            table = path.name.split(".")[0]
            if table in TABLES:
                workspace.store.insert(table, in_served_order(table, read_lines(path)))
                workspace.offer(table)
        if not workspace.offered - {"definitions"}:
            raise FileNotFoundError(f"{folder}: no <endpoint>.jsonl or <endpoint>.jsonl.gz in it")
        workspace.archive_folders.append(Path(folder) / "archives")
        workspace.prepare()
        return workspace

    def offer(self, table: str) -> None:
        """Make the endpoint of a table known to clients; others answer 404."""
        self.offered.add(table_endpoint(table).name)

    def prepare(self) -> None:
        """Build the indexes that listings sort on, once the bulk of the rows is in."""
        for table in TABLES:
            self.store.index(table, table_endpoint(table).order)

    def close(self) -> None:
        """Delete all data of the workspace."""
        self.store.close()

    def __exit__(self, *ended: object) -> None:
        self.close()

    def clock(self) -> int:
        """Return what the server's clock shows, in microseconds since the epoch."""
        return self._clock() + self.ahead // timedelta(microseconds=1)

    # -- reading --

    def rows(self, endpoint: str) -> list[Row]:
        """Return every live row that the endpoint's default listing shows now, in its order: the truth for a test."""
        return [json.loads(served.body) for served in self.served(endpoint)]

    def listed(self, endpoint: str) -> list[Row]:
        """Return the same rows as the server's generation writes them."""
        return [as_served(row, endpoint, self.generation) for row in self.rows(endpoint)]

    def served(self, endpoint: str) -> list[Served]:
        """Return every row of the default listing as it is stored."""
        return self.store.page(self.listing(endpoint), offset=0, limit=-1)

    def listing(self, endpoint: str) -> Listing:
        """Return the default listing of an endpoint, or of `contacts_deleted`, less deleted rows that 9.0 lists."""
        facts = table_endpoint(endpoint)
        return Listing(endpoint, facts.order, facts.descending, (("hidden = 0", ()),))

    def count(self, endpoint: str) -> int:
        """Return how many rows the default listing has."""
        [(count,)] = self.store.select(f"SELECT count(*) FROM {endpoint} WHERE hidden = 0")
        assert isinstance(count, int)
        return count

    def row(self, endpoint: str, key: object) -> Row | None:
        """Return one row by its key, hidden or not; None when there is none."""
        self.store.index(endpoint, "key")
        found = self.store.select(f"SELECT body FROM {endpoint} WHERE key = ?", (str(key),))
        return json.loads(found[0][0]) if found else None

    # -- changing --

    def edit(
        self,
        endpoint: str,
        which: int | Iterable[object],
        *,
        at: datetime | int | None = None,
        same_timestamp: bool = False,
        changes: Mapping[str, Any] | None = None,
        prefer: Sequence[int] = (),
    ) -> list[str]:
        """Change something visible in rows: those with the given keys, or that many at random; return their keys.

        `modified_on` moves to `at` (default: now) where the row has one, one microsecond further with each row unless
        `same_timestamp` makes a tie of them. `changes` says what to set; else a name, a status or the like changes.
        `prefer` names rows, by their number in the store, to choose from first.
        """
        with self.store.transaction():
            chosen = self._choose(endpoint, which, prefer)
            moment = self._moment(at)
            for index, found in enumerate(chosen):
                row = json.loads(found.body)
                changed(endpoint, row, changes, dates.iso(moment + (0 if same_timestamp else index)), self._random)
                self._replace(endpoint, found, row)
            return [found.key for found in chosen]

    def add(
        self,
        endpoint: str,
        count: int,
        *,
        at: datetime | int | None = None,
        same_timestamp: bool = False,
        changes: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Add rows, made from existing ones with new ids; return their keys. With `at` in the past they appear late."""
        with self.store.transaction():
            patterns = self._choose(endpoint, count, repeat=True)
            moment = self._moment(at)
            top = self._top_id(endpoint)
            keys = []
            for index, pattern in enumerate(patterns):
                timestamp = dates.iso(moment + (0 if same_timestamp else index))
                row = clone(json.loads(pattern.body), top + index + 1, timestamp, self._random)
                row.update(changes or {})
                built = record(endpoint, row, top + index + 1)
                self.store.insert(endpoint, [built])
                keys.append(built.key)
            return keys

    def put(self, endpoint: str, row: Mapping[str, Any], *, raw: str | None = None) -> str:
        """Insert a row, or replace the one with its key, without looking at what it holds; return its key.

        `raw` is the JSON to serve in its place, for what no dictionary can hold.
        """
        with self.store.transaction():
            built = record(endpoint, row, self._top_id(endpoint) + 1, raw)
            self.store.index(endpoint, "key")
            old = self.store.select(f"SELECT id FROM {endpoint} WHERE key = ?", (built.key,))
            if old:
                if not isinstance(row.get("id"), int):
                    built = built._replace(id=old[0][0])
                self.store.execute(f"DELETE FROM {endpoint} WHERE key = ?", (built.key,))
            self.store.insert(endpoint, [built])
            self.offer(endpoint)
            return built.key

    def delete(self, endpoint: str, keys: Iterable[object], *, soft: bool = False) -> None:
        """Take rows away, as if they had never been.

        Deleted globals come back, without a flag, when a client sends `after` or `before`; messages deleted by a user
        (`soft`) leave a blank in `folder=incoming` and keep their old `modified_on`; deleted topics and optins stay
        listed by 9.0, and tickets show such a topic by its new name. So it is on the real server.
        """
        with self.store.transaction():
            self._top_id(endpoint)
            for found in self._choose(endpoint, keys):
                row = json.loads(found.body)
                if endpoint == "globals":
                    row["name"] = f"deleted-{self._uuid()}-{row['name']}"[:36]
                    self._replace(endpoint, found, row, hidden=1)
                elif endpoint in LISTING_DELETED and self.generation:
                    row["name"] = f"deleted-{self._uuid()}-{row['name']}"[:64]
                    self._replace(endpoint, found, row, hidden=LISTED_BY_NINE)
                    self._rename("tickets", "topic", row)
                elif endpoint == "messages" and soft:
                    row.update(visibility=None, text="", attachments=[], labels=[], media=None)
                    self._replace(endpoint, found, row, hidden=1)
                else:
                    self.store.execute(f"DELETE FROM {endpoint} WHERE rowid = ?", (found.rowid,))

    def delete_contacts(self, keys: Iterable[object], *, at: datetime | int | None = None) -> None:
        """Delete contacts: each leaves a tombstone; its messages, runs and tickets go without a trace."""
        with self.store.transaction():
            moment = self._moment(at)
            for index, found in enumerate(self._choose("contacts", keys)):
                row = tombstone(json.loads(found.body), dates.iso(moment + index))
                self.store.execute("DELETE FROM contacts WHERE rowid = ?", (found.rowid,))
                self.store.insert(DELETED_CONTACTS, [record(DELETED_CONTACTS, row, found.id)])
                for table in ("messages", "runs", "tickets", "channel_events"):
                    self._top_id(table)
                    self.store.index(table, "contact")
                    self.store.execute(f"DELETE FROM {table} WHERE contact = ?", (row["uuid"],))
                self._leave_broadcasts(row["uuid"])

    def _rename(self, endpoint: str, reference: str, to: Row) -> None:
        """Let rows that refer to a thing show the name that it has now."""
        for found in map(_Found.of, self._naming(endpoint, to["uuid"])):
            row = json.loads(found.body)
            if (row.get(reference) or {}).get("uuid") == to["uuid"]:
                row[reference] = {**row[reference], "name": to["name"]}
                self._replace(endpoint, found, row)

    def _naming(self, endpoint: str, key: str) -> list[tuple[Any, ...]]:
        return self.store.select(f"SELECT rowid, id, key, body FROM {endpoint} WHERE instr(body, ?)", (key,))

    def _leave_broadcasts(self, contact: str) -> None:
        for found in map(_Found.of, self._naming("broadcasts", contact)):
            row = json.loads(found.body)
            row["contacts"] = [other for other in row["contacts"] if other["uuid"] != contact]
            self._replace("broadcasts", found, row)

    # -- inside --

    def _choose(
        self, endpoint: str, which: int | Iterable[object], prefer: Sequence[int] = (), *, repeat: bool = False
    ) -> list["_Found"]:
        """Return rows by key, or that many at random, the preferred first."""
        columns = f"SELECT rowid, id, key, body FROM {endpoint}"
        if not isinstance(which, int):
            self.store.index(endpoint, "key")
            return [self._one(endpoint, f"{columns} WHERE key = ?", str(key)) for key in which]
        numbers = self._random.sample(list(prefer), min(which, len(prefer)))
        numbers += self._draw(endpoint, which - len(numbers), set(numbers), repeat=repeat)
        return [self._one(endpoint, f"{columns} WHERE rowid = ?", number) for number in numbers]

    def _one(self, endpoint: str, sql: str, argument: object) -> "_Found":
        rows = self.store.select(sql, (argument,))
        if not rows:
            raise KeyError(f"{endpoint}: there is no {argument}")
        return _Found.of(rows[0])

    def _draw(self, endpoint: str, count: int, taken: set[int], *, repeat: bool) -> list[int]:
        """Draw the numbers of visible rows; without `repeat` each at most once, so perhaps fewer than asked for."""
        [(lowest, highest)] = self.store.select(
            f"SELECT (SELECT min(rowid) FROM {endpoint}), (SELECT max(rowid) FROM {endpoint})"
        )
        if highest is None or highest < 50_000 or count > highest // 10:  # few enough to look at them all
            known = [number for (number,) in self.store.select(f"SELECT rowid FROM {endpoint} WHERE hidden = 0")]
            if not known:
                raise ValueError(f"{endpoint}: there is no row to choose from")
            if repeat:
                return self._random.choices(known, k=count)
            free = [number for number in known if number not in taken]
            return self._random.sample(free, min(count, len(free)))
        drawn: list[int] = []
        while len(drawn) < count:
            start = self._random.randint(lowest, highest)
            near = self.store.select(f"SELECT rowid FROM {endpoint} WHERE rowid >= ? AND hidden = 0 LIMIT 1", (start,))
            for (number,) in near:
                if repeat or number not in taken:
                    taken.add(number)
                    drawn.append(number)
        return drawn

    def _replace(self, endpoint: str, found: "_Found", row: Row, hidden: int | None = None) -> None:
        built = record(endpoint, row, found.id)
        self.store.execute(
            f"UPDATE {endpoint} SET modified = ?, body = ?, sent = ?, folder = ?, hidden = coalesce(?, hidden) "
            "WHERE rowid = ?",
            (built.modified, built.body, built.sent, built.folder, hidden, found.rowid),
        )

    def _top_id(self, endpoint: str) -> int:
        """Return the highest id that a row has, or had: like a database, no id is given twice."""
        self.store.index(endpoint, "id")
        [(top,)] = self.store.select(f"SELECT max(id) FROM {endpoint}")
        self._tops[endpoint] = max(self._tops.get(endpoint, 0), int(top or 0))
        return self._tops[endpoint]

    def _moment(self, at: datetime | int | None) -> int:
        if at is None:
            return self.clock()
        return at if isinstance(at, int) else dates.to_micros(at)

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


def read_lines(path: Path) -> Iterator[Row]:
    """Read JSON lines, gzipped or not."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


class _Found(NamedTuple):
    """A row about to be changed."""

    rowid: int
    id: int
    key: str
    body: bytes

    @classmethod
    def of(cls, columns: tuple[Any, ...]) -> "_Found":
        rowid, order_id, key, body = columns
        return cls(rowid, order_id, key.decode(), body)
