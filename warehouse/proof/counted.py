"""Compares what the server counted, message by message as they came, with what is in the lake."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import duckdb


@dataclass(frozen=True)
class Uncounted:
    """A day on which a channel carried more messages, by the server's count, than the lake has (deleted ones too).

    `channel` is its uuid.
    """

    day: date
    channel: str
    direction: str
    counted: int
    stored: int


def compare_statistics(connection: duckdb.DuckDBPyConnection) -> list[Uncounted]:
    """Days, by UTC, with messages that were counted and are not in the lake; none where the server has no statistics.

    They may have been deleted before the lake saw them: a count says that something was, not that it is missing.
    The two days before the last sync are left out, and days before the first message in the lake.
    """
    rows = connection.execute(
        """
        WITH entry AS (
            SELECT date, unnest(map_entries(channels)) AS entry FROM statistics
            WHERE date BETWEEN (SELECT min(created_on)::DATE + 1 FROM messages)
                           AND (SELECT watermark::DATE - 2 FROM _cursor WHERE stream = 'messages' AND feed = 'rows')
        ),
        counted AS (
            SELECT date, entry.key AS channel, 'in' AS direction, entry.value.text_in + entry.value.voice_in AS number
            FROM entry
            UNION ALL
            SELECT date, entry.key, 'out', entry.value.text_out + entry.value.voice_out FROM entry
        ),
        stored AS (
            SELECT created_on::DATE AS date, channel_uuid AS channel, direction, count(*) AS number
            FROM messages GROUP BY ALL
        )
        SELECT date, channel::VARCHAR, direction, counted.number, coalesce(stored.number, 0)
        FROM counted
        LEFT JOIN stored USING (date, channel, direction)
        WHERE counted.number > coalesce(stored.number, 0)
        ORDER BY ALL
        """
    ).fetchall()
    return [Uncounted(*row) for row in rows]
