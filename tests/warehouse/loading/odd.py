"""Rows in which a text is any that JSON can carry: what people write, and what readers of text stumble at."""

from __future__ import annotations

import copy
import json
import random
import re
import uuid
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from pipeline.streams import STREAMS
from tests.truth import expected_rows
from tests.warehouse.loading.test_whole_rows import ROWS

Row = dict[str, Any]

# What DuckDB, DuckLake and SQLite mark the parts of nested text, of strings and of statements with.
MARKS = "{}[]()'\"\\,:=` "
# Of these, and of what hypothesis makes up, a text is put together.
FRAGMENTS = [*MARKS, "''", '""', "'}", "}'", "\\'", "\\\\", "': ", "', '", "NULL", "null", "\0", "\x01", "\t", "\n",
             "\r\n", "\x1b", "\x7f", "\u2028", "\ufeff", "\ufffd", "é", "😀", "x", "0", "-1", "true", "%23",
             "#", "?", "\U0010ffff", "--", ";", "$$", "\\x00", "\\u0000"]  # fmt: skip
TEXTS = st.one_of(
    st.text(st.sampled_from(MARKS), max_size=6),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)

# Which texts of a row are of another type.
TYPED = re.compile(r"\w*uuid|node|node_uuids|\w+_on|time|last_seen|start_date|period|archive_type|date|id")
# What else a row of a stream has to have: more elements than the whole row, and what that has not.
STATISTICS = {"type": "T", "text:in": 1, "text:out": 2, "voice:in": 3, "voice:out": 4}
MORE: dict[str, Row] = {
    "definitions": {"uuid": "", "name": "F", "type": "voice", "spec_version": "13.2", "language": "eng", "revision": 7,
                    "nodes": [{"actions": [{"text": "Hi"}]}], "localization": {"fra": {"x": "y"}}},
    "statistics": {"date": "2026-03-28", "channels": {str(uuid.UUID(int=1)): STATISTICS}},
    "messages": {"quick_replies": [{"text": "Yes"}, {"text": "No"}]},
    "runs": {"events": [{"text": "Hi"}]},
    "broadcasts": {"quick_replies": {"eng": ["Yes"]}},
}  # fmt: skip
ALL = sorted(STREAMS)


def pattern_of(stream: str) -> Row:
    """A row of a stream in which nothing is odd."""
    return ROWS.get(stream, {}) | MORE.get(stream, {})


def typed_of(stream: str) -> list[str]:
    """The keys, besides that of the row, whose value is of another type than text."""
    return [name for name in pattern_of(stream) if TYPED.fullmatch(name) and name not in STREAMS[stream].table.key]


class Chance:
    """Dice that make up texts, and rows of them."""

    def __init__(self, fragments: list[str], seed: int) -> None:
        self.dice = random.Random(seed)
        self.fragments = [*FRAGMENTS, *fragments]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.fragments[len(FRAGMENTS) :]!r}, ...)"

    def without_zero(self) -> Chance:
        """The same without zero bytes: for one of them DuckLake refuses a commit, which is then made otherwise."""
        self.fragments = [one for one in self.fragments if "\0" not in one]
        return self

    def text(self) -> str:
        """Any text."""
        return "".join(self.dice.choices(self.fragments, k=self.dice.randrange(5)))

    def rows(self, stream: str, count: int, *, first: int = 0, often: float | None = None) -> list[Row]:
        """Rows of a stream, each with a key of its own; `often` says how many of the texts are odd, 0 to 1."""
        shares = (0.02, 0.2, 1.0)
        return [
            self.row(stream, first + number, self.dice.choice(shares) if often is None else often)
            for number in range(count)
        ]

    def row(self, stream: str, number: int, often: float) -> Row:
        """A row with as many odd texts, of which each stream has some in every place that takes text."""
        pattern = copy.deepcopy(pattern_of(stream))

        def odd(text: str) -> str:
            return self.text() if self.dice.random() < often else text

        row = {name: _with_texts(name, value, odd) for name, value in pattern.items()}
        if self.dice.random() < often:
            row[f"new {self.text()}"] = {self.text(): [self.text()]}
        # A row with a zero byte in its key is put aside.
        return row | _key(stream, number, lambda text: odd(text).replace("\0", ""))

    def misfit(self, stream: str, row: Row) -> Row:
        """The row, with a text in it where none fits."""
        return row | {self.dice.choice(typed_of(stream)): f"?{self.text()}"}


def _with_texts(name: str, value: Any, odd: Callable[[str], str]) -> Any:
    """The value with other texts in it."""
    if TYPED.fullmatch(name):
        return value
    if isinstance(value, str):
        return f"tel:{odd(value)}#{odd(value)}" if name in ("urn", "urns") else odd(value)
    if isinstance(value, list):
        return [_with_texts("" if isinstance(part, dict) else name, part, odd) for part in value]
    if isinstance(value, dict):
        names = {key: odd(key) for key in value} if name in OPEN else {}
        return {names.get(key, key): _with_texts(key, part, odd) for key, part in value.items()}
    return value


# Objects whose keys are what people chose.
OPEN = {"fields", "values", "text", "message", "attachments", "params", "extra", "data", "event_extra"}


def _key(stream: str, number: int, odd: Callable[[str], str]) -> Row:
    """A key of the row's own; texts that are keys are odd too."""
    if stream == "archives":
        return {"start_date": f"{2000 + number // 300}-{1 + number // 25 % 12:02}-{1 + number % 25:02}"}
    if stream == "statistics":
        return {"date": f"{2000 + number // 300}-{1 + number // 25 % 12:02}-{1 + number % 25:02}"}
    if stream == "resthook_events":
        return {"data": {odd("a"): [number, odd("b")]}}
    [key] = STREAMS[stream].table.key
    own = str(uuid.UUID(int=number + 1))
    ids = {"uuid": own, "id": number + 1}
    row = {name: value for name, value in ids.items() if name in pattern_of(stream)}
    return row | ({} if key in ids else {key: f"{number} {odd('')}"})


def expected_of(stream: str, rows: list[Row]) -> dict[Any, Row]:
    """Key → the row as the lake should hold it, `extra` beside it."""
    known = pattern_of(stream)
    plain = [{name: value for name, value in row.items() if name in known} for row in rows]
    if stream == "definitions":
        flat = {row["uuid"]: {name: row[name] for name in ("name", "type", "language")} for row in plain}
        return {key: flat[key] | {"definition": row} for key, row in zip(flat, rows, strict=True)}
    if stream == "statistics":
        return {
            row["date"]: {"channels": {key: _counts(counts) for key, counts in row["channels"].items()}}
            for row in plain
        }
    return expected_rows(stream, plain, [])


def expected_extra(stream: str, rows: list[Row]) -> list[str]:
    """What of the rows has no column, as JSON, in no order; of definitions all is kept elsewhere too."""
    known = pattern_of(stream)
    extra = [{name: value for name, value in row.items() if name not in known} for row in rows]
    return sorted(json.dumps(one, sort_keys=True) for one in extra if one)


def _counts(channel: Row) -> Row:
    return {name.replace(":", "_"): value for name, value in channel.items()}


# What hypothesis decides of an example: fragments, and how the dice fall. Its first choice would be nothing.
CHANCES: st.SearchStrategy[Chance] = st.builds(
    Chance, st.lists(TEXTS, max_size=30).filter(lambda texts: len({*texts}) > 9), st.integers(0, 2**32)
)
