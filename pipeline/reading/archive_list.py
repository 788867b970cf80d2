"""The server's list of archive files at this moment: what has gone from the API may be in one of them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal

import msgspec

from pipeline.errors import NotOffered
from pipeline.reading.walk import follow
from pipeline.server.client import Client, Listener
from pipeline.streams import ARCHIVE_LIST, Stream
from warehouse import Archived, ArchiveKey, ListedArchive

# RapidPro archives nothing that is younger; of a server without a list nobody knows what it purged of the older.
SHOWN_AT_LEAST = timedelta(days=89)


class _Entry(msgspec.Struct):
    """What of a row of the list says which file it is."""

    period: Literal["daily", "monthly"]
    start_date: date
    record_count: int
    archive_type: str | None = None
    type: str | None = None
    hash: str | None = None


def ask_for_archives(
    client: Client, listener: Listener, stream: Stream, wanted_from: date | None, now: datetime
) -> Archived | None:
    """What the server has archived of a stream at this moment (`now`, UTC); None if its list cannot be read whole.

    Files that end before `wanted_from` are of a time that nobody wants.
    """
    try:
        pages = follow(
            lambda params: client.page(ARCHIVE_LIST.path, params, scope=ARCHIVE_LIST.scope, listener=listener),
            ARCHIVE_LIST.name,
            dict(ARCHIVE_LIST.params),
        )
        entries = [msgspec.json.decode(row, type=_Entry) for page in pages for row in page.results]
    except NotOffered:
        return Archived(wanted_from=wanted_from, shown_from=now - SHOWN_AT_LEAST)
    except (msgspec.DecodeError, RecursionError):  # of a row that is none of the list's, or nested too deeply
        return None
    files = tuple(
        ListedArchive(ArchiveKey(stream.table.archive_type or "", entry.period, entry.start_date), entry.hash)
        for entry in entries
        if entry.record_count > 0 and (entry.archive_type or entry.type) in (stream.table.archive_type, None)
    )
    return Archived(files, wanted_from)
