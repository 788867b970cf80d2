"""Rows that are broken in all the ways that there are, many in one answer: none of them ends a conversation."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.streams import STREAMS
from tests.leaks.conversations import rows_asked
from tests.leaks.planting import everything, phone, sentence
from tests.leaks.serving import Asked, Conversation, Said

Row = dict[str, Any]
PLANTED: tuple[Any, ...] = (
    everything("value of a wrong type"),
    [everything("list of a wrong type")],
    {everything("key of a wrong type"): everything("object of a wrong type")},
)
# What is written into a row instead of this mark, as JSON does not let it be written otherwise.
MARK = "@@mark@@"
RAW = {
    "nan": b"NaN",
    "infinite": b"[-Infinity, 1E+400]",
    "half surrogate": rb'"\ud83d %s"' % sentence("surrogate").encode(),
    "zero byte": rb'"\u0000%s\u0000"' % everything("zero").encode(),
    "raw zero byte": b'"\0' + everything("raw zero").encode() + b'"',
    "no utf-8": b'"\xff\xfe' + everything("no utf-8").encode() + b'"',
    "deep": b"[" * 3000 + b'"' + sentence("deep").encode() + b'"' + b"]" * 3000,
    "long number": b"1" * 5000 + phone("number").encode()[1:],
    "no value": sentence("no value").encode(),
    "bad escape": rb'"\x %s"' % sentence("escape").encode(),
    "double": f'1, "text": "{everything("double")}", "text": "{sentence("double")}"'.encode(),
}
HUGE = "huge " * 9_000 + everything("huge")


@dataclass
class Keys:
    """New keys, so that no broken row takes the place of another; the same ones for each answer."""

    last: int = 0

    def put(self, row: Row, stream: str) -> Row:
        self.last += 1
        for key in STREAMS[stream].table.key:
            old = row.get(key)
            if isinstance(old, str) and key == "uuid":
                row[key] = str(uuid.UUID(int=self.last + (4 << 76) + (8 << 60)))
            elif isinstance(old, int):
                row[key] = 900_000_000 + self.last
            elif isinstance(old, str) and key not in ("date", "start_date", "period", "archive_type"):
                row[key] = f"{everything('key')[:60]} {self.last}"
        return row


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a row, the row's own keys first."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value[:1]))
    for name, one in inner:
        yield (*path, name)
        yield from _leaves(one, (*path, name))


def _with(row: Row, path: tuple[Any, ...], value: Any) -> Row:
    """A copy of a row with another value at a place."""
    copied: Row = json.loads(json.dumps(row))
    at: Any = copied
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    return copied


def broken_rows(stream: str, row: Row) -> Iterator[bytes]:
    """A row in all its broken forms, as JSON or what is meant to be it."""
    keys = Keys()
    written: Callable[[Any], bytes] = lambda value: json.dumps(value).encode()  # noqa: E731
    paths = list(_leaves(row))
    for number, path in enumerate(paths):
        for value in (PLANTED[0], PLANTED[1 + number % 2]):
            yield written(_with(keys.put(dict(row), stream), path, value))
        yield written(_with(keys.put(dict(row), stream), path, None))
    for path in [(), *(path for path in paths if isinstance(_at(row, path), dict))]:
        yield written(_with(keys.put(dict(row), stream), (*path, everything("unknown key")), {sentence("inner"): 1}))
    for raw in RAW.values():
        for place in ("text", next(iter(row))):
            yield written({**keys.put(dict(row), stream), place: MARK}).replace(written(MARK), raw, 1)
    yield written({**keys.put(dict(row), stream), "text": HUGE, "name": HUGE})
    yield written(everything("a text as a row"))
    yield written([everything("a list as a row"), row])
    yield written({})
    yield b"null"
    yield b"{" + everything("no row").encode() + b"}"
    yield b'{"uuid" "' + everything("no colon").encode() + b'"}'


def _at(row: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        row = row[name]
    return row


def _said(asked: Asked, said: Said) -> Said:
    """The page with broken copies of its first row after its own."""
    if said.status != 200 or asked.endpoint not in STREAMS:
        return said
    try:
        rows = json.loads(said.body)["flows" if asked.endpoint == "definitions" else "results"]
    except (KeyError, ValueError):
        return said
    if not rows or not said.body.endswith((b"]}", b"]}\n")):
        return said
    more = b",".join(broken_rows(asked.endpoint, rows[0]))
    return said.having(body=said.body.rstrip()[:-2] + b"," + more + b"]}")


def _chosen_words(asked: Asked, said: Said) -> Said:
    """The page with a text of its own wherever the server may say one of a few words only."""
    if said.status != 200 or asked.endpoint not in STREAMS:
        return said
    answered = json.loads(said.body)
    for row in answered.get("results", []):
        row.update({name: sentence(f"word for {name}") for name in WORDS if isinstance(row.get(name), str)})
    return said.having(body=json.dumps(answered).encode())


WORDS = ("status", "direction", "type", "visibility", "exit_type", "language", "period", "archive_type", "value_type")
ODD_ROWS = Conversation("odd-rows", _said, rows_asked)
ODD_WORDS = Conversation("odd-words", _chosen_words, rows_asked)
