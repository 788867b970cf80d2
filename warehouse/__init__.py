"""The lake: opening it, its tables, loading rows with their cursor, and asking it questions.

Knows nothing of HTTP or Dagster.
"""

from warehouse.asking.analysis import OpenLake, open_lake
from warehouse.errors import (
    EngineIsOther,
    LakeBusy,
    LakeDamaged,
    LakeError,
    LakeIsNewer,
    LakeIsOlder,
    LakeIsOther,
    LakeNotFound,
    LakeRefused,
    LakeStopped,
    LakeUnwritable,
    QueryError,
    RapidlakeError,
    RowsLost,
    RowsUnaccounted,
)
from warehouse.lake.connection import Lake
from warehouse.lake.cursor import Cursor, OpenWalk, forget_cursor, last_sync_before, read_cursors, save_cursor
from warehouse.lake.schema import ColumnDescription, TableDescription, describe_tables
from warehouse.lake.table import Table
from warehouse.lake.upkeep import Size, Upkeep, maintain
from warehouse.loading.absence import (
    Reading,
    live_rows,
    mark_rows_of_deleted_contacts,
    remember_deleted_contacts,
    take_off_lists,
)
from warehouse.loading.archived import (
    Archived,
    ListedArchive,
    archives_listed,
    archives_wanted_from,
    ever_archived,
    within_spans,
)
from warehouse.loading.documents import documents_to_read, note_asked, note_read, read_up_to
from warehouse.loading.harvest import harvest
from warehouse.loading.history import Sighting
from warehouse.loading.loaded_archives import (
    ArchiveKey,
    adopt_monthly_files,
    archives_to_load,
    emptied_archives,
    empty_archive,
    loaded_months,
    note_archive,
    note_moved_rows,
    release_rows,
    settle_files,
    unsettled_files,
)
from warehouse.loading.merge import Loaded, forget_batch, merge, note_drift
from warehouse.loading.parts import keep_whole, take_part, take_refused
from warehouse.loading.quarantine import (
    Waiting,
    drop_outdated,
    leave_waiting,
    next_waiting,
    settle_retried,
    waiting_streams,
)
from warehouse.loading.stage import Batch, stage
from warehouse.views.refresh import refresh_views

__all__ = [
    "ArchiveKey",
    "Archived",
    "Batch",
    "ColumnDescription",
    "Cursor",
    "EngineIsOther",
    "Lake",
    "LakeBusy",
    "LakeDamaged",
    "LakeError",
    "LakeIsNewer",
    "LakeIsOlder",
    "LakeIsOther",
    "LakeNotFound",
    "LakeRefused",
    "LakeStopped",
    "LakeUnwritable",
    "ListedArchive",
    "Loaded",
    "OpenLake",
    "OpenWalk",
    "QueryError",
    "RapidlakeError",
    "Reading",
    "RowsLost",
    "RowsUnaccounted",
    "Sighting",
    "Size",
    "Table",
    "TableDescription",
    "Upkeep",
    "Waiting",
    "adopt_monthly_files",
    "archives_listed",
    "archives_to_load",
    "archives_wanted_from",
    "describe_tables",
    "documents_to_read",
    "drop_outdated",
    "emptied_archives",
    "empty_archive",
    "ever_archived",
    "forget_batch",
    "forget_cursor",
    "harvest",
    "keep_whole",
    "last_sync_before",
    "leave_waiting",
    "live_rows",
    "loaded_months",
    "maintain",
    "mark_rows_of_deleted_contacts",
    "merge",
    "next_waiting",
    "note_archive",
    "note_asked",
    "note_drift",
    "note_moved_rows",
    "note_read",
    "open_lake",
    "read_cursors",
    "read_up_to",
    "refresh_views",
    "release_rows",
    "remember_deleted_contacts",
    "save_cursor",
    "settle_files",
    "settle_retried",
    "stage",
    "take_off_lists",
    "take_part",
    "take_refused",
    "unsettled_files",
    "waiting_streams",
    "within_spans",
]
