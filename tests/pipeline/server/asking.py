"""Servers that give answers in turn, and a client that asks them."""

from __future__ import annotations

from pipeline.server.client import Client
from tests.conftest import Answer, Origin, Serve

TOKEN = "0f3c9a6e5b7d4812a9c0ffee0f3c9a6e5b7d4812"
PAGE = Answer()


def scripted(serve: Serve, *answers: Answer) -> Origin:
    """A server that gives these answers in turn, and the last one for ever."""
    left = list(answers)
    return serve(lambda asked: left.pop(0) if len(left) > 1 else left[0])


def ask(origin: Origin, naps: list[float] | None = None, *, patience: float = 0.01) -> list[bytes]:
    """Ask for one page of contacts; return its rows."""
    waits = [] if naps is None else naps
    with Client(origin.url, TOKEN, sleep=waits.append, patience=patience) as client:
        return [bytes(row) for row in client.page("contacts.json", {}, scope="v2.contacts").results]
