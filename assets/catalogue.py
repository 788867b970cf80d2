"""What Dagster shows of a stream before it is synced: group, description, columns, freshness, lineage."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg

from pipeline.errors import SettingsError
from pipeline.settings import local_settings
from pipeline.streams import Archives, Daily, Newest, PerFlow, Single, Stream, Window
from warehouse import ColumnDescription, describe_tables

HOUR = timedelta(hours=1)
TABLES = describe_tables()

MESSAGES_AND_RUNS, CONTACTS, ANALYTICS, SETUP, UPKEEP = "messages_and_runs", "contacts", "analytics", "setup", "upkeep"
_GROUPS = {
    MESSAGES_AND_RUNS: {"messages", "runs", "archives", "broadcasts", "flow_starts", "channel_events", "tickets"},
    CONTACTS: {"contacts", "groups", "fields"},
    ANALYTICS: {"statistics"},
}
# What is synced every few minutes; all else every hour.
LIVE = ("contacts", "messages", "runs", "tickets")

# What is said of a stream that the settings leave out.
LEFT_OUT = "left out (RAPIDLAKE_LEAVE_OUT)"
OWNERS = ["team:data"]
API_PAGE = "https://textit.com/api/v2/{name}"


def group_of(stream: Stream) -> str:
    """The group that the stream's asset stands in."""
    return next((group for group, names in _GROUPS.items() if stream.name in names), SETUP)


def lineage_of(stream: Stream) -> list[str]:
    """The streams that must be read before this one."""
    return [stream.strategy.of] if isinstance(stream.strategy, PerFlow) else []


def left_out() -> tuple[str, ...]:
    """The streams that the settings leave out; none if the settings are wrong, which a run tells."""
    try:
        return local_settings().left_out
    except SettingsError:
        return ()


def describe(stream: Stream) -> str:
    """What the stream's table holds, and how it is kept true (Markdown)."""
    kept = f"It is {LEFT_OUT}." if stream.name in left_out() else _how_it_is_read(stream) + _how_long_it_is_kept(stream)
    return f"{TABLES[stream.name].comment}\n\n{kept}"


def _how_it_is_read(stream: Stream) -> str:
    match stream.strategy:
        case Window(on=on):
            by_month = " A month that is over is read whole: archive files, API, and what has vanished."
            return f"Reads what is dated (`{on}`) after the last sync.{by_month if stream.table.archive_type else ''}"
        case Newest(on=on):
            return f"Reads the newest first (`{on}`) until rows are known; everything once a day."
        case Archives():
            return "Reads the list. The files themselves are loaded with the months of `messages` and `runs`."
        case Single():
            return "One object, read each time."
        case PerFlow():
            return "Reads the definition of each flow that is new or was modified."
        case Daily():
            return "Reads the last days again each time."
        case _:
            return "Reads the whole list each time; what is gone from it is marked deleted."


def _how_long_it_is_kept(stream: Stream) -> str:
    if stream.retention is None:
        return ""
    hours = stream.retention / HOUR
    return f" The server forgets rows after {f'{hours / 24:.0f} days' if hours > 48 else f'{hours:.0f} hours'}."


def facts_of(stream: Stream) -> dict[str, Any]:
    """Metadata of the stream's asset."""
    table = TABLES[stream.name]
    return {
        "dagster/table_name": stream.name,
        "dagster/column_schema": dg.TableSchema([_column(stream, column) for column in table.columns]),
        "API documentation": dg.MetadataValue.url(API_PAGE.format(name=stream.name)),
        "endpoint": f"/api/v2/{stream.path}",
        "key": " or ".join([", ".join(stream.table.key), *filter(None, [stream.table.stand_in])]),
        "throttle scope": stream.scope,
    }


def _column(stream: Stream, column: ColumnDescription) -> dg.TableColumn:
    unique = stream.table.key == (column.name,)
    nullable = column.nullable and (not unique or stream.table.stand_in is not None)
    constraints = dg.TableColumnConstraints(nullable=nullable, unique=unique)
    return dg.TableColumn(column.name, column.type, column.comment, constraints)


def freshness_of(stream: Stream) -> dg.FreshnessPolicy | None:
    """When an asset that was not synced turns yellow and red: before the server forgets rows; never if left out."""
    if stream.name in left_out():
        return None
    warn, fail = (2 * HOUR, 12 * HOUR) if stream.name in LIVE else (4 * HOUR, 26 * HOUR)
    if stream.retention:
        fail = min(fail, stream.retention / 2)
    return dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=warn)
