"""Says what an error of the engine means for a lake, and which ones the same transaction may not meet again."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import tenacity

from warehouse.declared import kind_of
from warehouse.errors import (
    LakeBusy,
    LakeDamaged,
    LakeError,
    LakeMangled,
    LakeRefused,
    LakeUnwritable,
    LocksRefused,
    VersionNotKept,
)
from warehouse.lake.catalog import closed, explain_damage, is_published
from warehouse.lake.engine import explain_mismatch

CONFLICT_ATTEMPTS = 20


def explain(error: duckdb.Error, path: Path) -> LakeError:
    """The error of ours that tells a user what this DuckDB error means for the lake at `path`."""
    said = _engine_words(error)
    if damage := explain_damage(said, path):
        return damage
    if mismatch := explain_mismatch(said, path):
        return mismatch
    if re.search(r"No space left|disk is full", said, re.IGNORECASE):
        return LakeUnwritable(
            f"The disk with the lake {path} is full: nothing of this batch was written; make room and sync again."
        )
    lost = re.search(r'Cannot open file "([^"]*)": No such file', str(error))
    if lost and Path(lost[1]).is_relative_to(path.resolve() / "data"):  # a user's query may name a file too
        if is_published(path):
            return LakeDamaged(f"The published copy {path} lacks the file {lost[1]}: open the copy again.")
        return LakeDamaged(
            f"The lake {path} is damaged, its file {lost[1]} is missing: "
            "restore it from a backup, or sync into a new lake."
        )
    if re.search(r"readonly database|Permission denied|unable to open database", said):
        return _refused(path)
    if "Failed to read inlined data from DuckLake: Type VARCHAR with value" in said:
        return LakeMangled(f"The catalog of the lake {path} holds rows that cannot be read back.")
    if "No snapshot found at " in said:
        return VersionNotKept(
            f"The lake {path} keeps no version of that time: it is younger, or upkeep has forgotten it."
        )
    if _lost_a_race(error):
        return LakeBusy(f"The lake {path} is busy with other writers: nothing was lost; run the same command again.")
    return LakeRefused(f"The lake {path} refused what was asked of it ({kind_of(error)}).")


def _refused(path: Path) -> LakeError:
    """What is said of the lake at `path` where the system lets this account not do what it must."""
    if is_published(path):
        return closed(path)
    return LocksRefused(f"The lake {path} cannot be written by this account.")


def _engine_words(error: BaseException) -> str:
    """What the engine says in its own words, to be recognised and never shown: what it quotes may be of a row."""
    own = re.split(r" at or near |\n\s*LINE \d+:|\n\n", str(error))[0]
    return " ".join(re.sub(r""""[^"]*"?|'[^']*'?|`[^`]*`?""", '"…"', own).split())


# How DuckDB, DuckLake and SQLite tell that another process was faster.
RACES = re.compile(
    r"database( table| schema)? is locked$"
    r"|UNIQUE constraint failed: ducklake_[\w.]+$"
    r"|\bTransaction conflict( -|:) "
    r"|Table with name ducklake_inlined_\w+ does not exist!"
)


def _lost_a_race(error: BaseException) -> bool:
    """True for failures that the same transaction may not meet again."""
    return isinstance(error, duckdb.Error) and bool(RACES.search(_engine_words(error)))


# What to do with an attempt that another process's commit may have spoilt.
RACING = tenacity.Retrying(
    retry=tenacity.retry_if_exception(_lost_a_race),
    wait=tenacity.wait_random_exponential(multiplier=0.05, max=5),
    stop=tenacity.stop_after_attempt(CONFLICT_ATTEMPTS),
    reraise=True,
)
