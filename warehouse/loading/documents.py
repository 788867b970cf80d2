"""Knows in which state of its row each document was read, and which documents to ask for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import duckdb

from warehouse.lake.cursor import time_at
from warehouse.lake.literal import literal, text_list

# Key of a row → its modified_on, as text, when its document was asked for.
States = Mapping[str, str | None]
# Key of a row → between when its document was asked for (UTC).
Asked = Mapping[str, tuple[datetime, datetime]]


def documents_to_read(connection: duckdb.DuckDBPyConnection, documents: str, of: str, *, again: bool = False) -> States:
    """The rows of the stream `of` whose documents are not in the lake as the rows are; `again` for all that are alive.

    No watermark tells it: a row may be committed after others that were modified later.
    """
    return dict(
        connection.execute(
            f"""
            SELECT uuid::VARCHAR, modified_on::VARCHAR FROM ({_rows(documents, of)})
            WHERE {again} OR NOT known ORDER BY 1
            """
        ).fetchall()
    )


def read_up_to(connection: duckdb.DuckDBPyConnection, documents: str, of: str) -> datetime | None:
    """When the last row was modified (UTC) up to which all documents are read as their rows are."""
    [(first_unread, last)] = connection.execute(
        f"""
        SELECT epoch_us(min(modified_on) FILTER (NOT known)), epoch_us(max(modified_on)) FROM ({_rows(documents, of)})
        """
    ).fetchall()
    found = last if first_unread is None else first_unread
    return None if found is None else time_at(found)


def _rows(documents: str, of: str) -> str:
    """SQL of the live rows of `of`; a document that waits in quarantine, or was never answered, is not known."""
    return f"""
        SELECT uuid, modified_on,
            read.uuid IS NOT NULL AND read.read_at IS NOT DISTINCT FROM modified_on
                AND uuid IN (SELECT uuid FROM "{documents}" WHERE deleted_on IS NULL) AS known
        FROM "{of}" LEFT JOIN (FROM _documents WHERE stream = {literal(documents)}) AS read USING (uuid)
        WHERE deleted_on IS NULL
        """


def note_read(connection: duckdb.DuckDBPyConnection, documents: str, states: States, answered: Asked) -> None:
    """Note that the documents that were `answered` are read in these states of their rows, if they landed.

    Inside the transaction that writes them.
    """
    landed = {
        uuid
        for (uuid,) in connection.execute(
            f"""
            SELECT uuid::VARCHAR FROM "{documents}"
            WHERE uuid::VARCHAR NOT IN (
                SELECT key FROM _quarantine WHERE stream = {literal(documents)} AND key IS NOT NULL
            )
            """
        ).fetchall()
    }
    _write(connection, documents, {uuid: at for uuid, at in states.items() if uuid in landed}, answered)


def note_asked(connection: duckdb.DuckDBPyConnection, documents: str, asked: Asked) -> None:
    """Note of rows only between when their documents were asked for; inside the caller's transaction."""
    noted = dict(
        connection.execute(
            f"SELECT uuid::VARCHAR, read_at::VARCHAR FROM _documents WHERE stream = {literal(documents)}"
        ).fetchall()
    )
    _write(connection, documents, {uuid: noted.get(uuid) for uuid in asked}, asked)


def _write(connection: duckdb.DuckDBPyConnection, documents: str, states: States, asked: Asked) -> None:
    """Note the states of the rows that were asked for."""
    rows = [
        f"({', '.join(map(literal, (documents, uuid, at, *asked[uuid])))})"
        for uuid, at in states.items()
        if uuid in asked
    ]
    if rows:
        uuids = f"(FROM unnest({text_list(states.keys() & asked.keys())}))"
        connection.execute(f"DELETE FROM _documents WHERE stream = {literal(documents)} AND uuid::VARCHAR IN {uuids}")
        connection.execute(
            f"INSERT INTO _documents (stream, uuid, read_at, asked_from, asked_until) VALUES {', '.join(rows)}"
        )
