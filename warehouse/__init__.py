"""The lake: opening it, its tables, loading rows with their cursor, and asking it questions.

Knows nothing of HTTP or Dagster.
"""

from warehouse.cursor import Cursor, OpenWalk, read_cursors, save_cursor
from warehouse.errors import (
    LakeBusy,
    LakeError,
    LakeIsNewer,
    LakeNotFound,
    LakeUnwritable,
    RapidlakeError,
)
from warehouse.lake import Lake
from warehouse.load import (
    Batch,
    Loaded,
    Table,
    forget_batch,
    mark_deleted,
    merge,
    missing_keys,
    note_drift,
    remember_keys,
    stage,
)

__all__ = [
    "Batch",
    "Cursor",
    "Lake",
    "LakeBusy",
    "LakeError",
    "LakeIsNewer",
    "LakeNotFound",
    "LakeUnwritable",
    "Loaded",
    "OpenWalk",
    "RapidlakeError",
    "Table",
    "forget_batch",
    "mark_deleted",
    "merge",
    "missing_keys",
    "note_drift",
    "read_cursors",
    "remember_keys",
    "save_cursor",
    "stage",
]
