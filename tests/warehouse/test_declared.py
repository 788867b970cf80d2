"""What others say is told in declared parts: no word of an error's own text, nor of a record that a library logs."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator

import duckdb
import httpx
import pytest

import pipeline.server.client  # who loads it lets httpx log its events only
from tests.conftest import Answer, Serve
from warehouse.declared import fault, kind_of

PERSON = "+250788000111 is HIV positive"


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """All that any logger is told, at its most talkative."""
    kept: list[logging.LogRecord] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record)

    root, handler = logging.getLogger(), Keeping()
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield kept
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.parametrize("name", ["httpx", "httpcore", "httpcore.http11", "httpcore.connection"])
def test_a_library_that_logs_what_it_gets_leaves_the_name_of_the_event(
    name: str, records: list[logging.LogRecord]
) -> None:
    try:
        raise ValueError(PERSON)
    except ValueError:
        logging.getLogger(name).exception("HTTP Request: %s", PERSON)
        logging.getLogger(name).warning(PERSON, stack_info=True)
        logging.getLogger(name).debug(f"receive_response_body.complete return_value={PERSON!r}")
    shown = [logging.Formatter("%(message)s").format(record) for record in records]
    expected = "HTTP Request" if name == "httpx" else "an event"
    assert shown == [expected, "an event", "an event" if name == "httpx" else "receive_response_body.complete"]
    assert PERSON not in str([vars(record) for record in records])


def test_a_request_logs_no_address_no_header_and_no_words_of_the_server(
    serve: Serve, records: list[logging.LogRecord]
) -> None:
    assert pipeline.server.client
    origin = serve(lambda asked: Answer(headers={"X-Echo": PERSON}))
    with httpx.Client(trust_env=False) as client:
        client.get(f"{origin.url}/file.gz?X-Amz-Signature=5e1f")
    shown = " ".join(record.getMessage() for record in records)
    assert "HTTP Request" in shown
    assert "receive_response_headers.complete" in shown
    assert PERSON not in shown
    assert "5e1f" not in shown


def test_an_error_that_nobody_foresaw_is_told_by_its_kind_and_its_place() -> None:
    with pytest.raises(duckdb.ConversionException) as caught:
        duckdb.sql(f"SELECT '{PERSON}'::INT").fetchall()
    assert PERSON in str(caught.value)
    said = fault(caught.value)
    assert "ConversionException" in said
    assert f"tests/{__name__.rpartition('.')[2]}.py" in said or "test_declared.py:" in said
    assert "HIV" not in said
    assert "+250" not in said


def test_the_system_and_sqlite_are_told_in_their_own_words() -> None:
    assert kind_of(FileNotFoundError(2, PERSON, PERSON)) == "No such file or directory"
    with pytest.raises(sqlite3.Error) as caught:
        sqlite3.connect(":memory:").execute(f'SELECT "{PERSON}" FROM nothing')
    assert kind_of(caught.value) == "SQLITE_ERROR"
    assert kind_of(OSError(PERSON)) == "OSError"
