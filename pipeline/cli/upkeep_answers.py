"""Prints what upkeep of a lake did."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict

from warehouse import Upkeep


def print_upkeep(done: Upkeep, *, json: bool) -> None:
    """What upkeep did, on standard output."""
    print(jsonlib.dumps(asdict(done), indent=2) if json else tidied(done))


def tidied(done: Upkeep) -> str:
    """What upkeep came to, in one sentence."""
    if done.busy:
        return "Another process is tidying the lake up now; left to that one."
    before, after = done.before, done.after
    left = f"; left for the next time, because others write to them: {', '.join(done.left)}" if done.left else ""
    return (
        f"{_of(before.files, after.files, 'files')} ({_of(before.bytes // 1000, after.bytes // 1000, 'kB')}), "
        f"{_of(before.snapshots, after.snapshots, 'versions')}, "
        f"{done.files_removed:,} unused files removed, {done.seconds:.1f} s{left}."
    )


def _of(before: int, after: int, what: str) -> str:
    return f"{before:,} → {after:,} {what}"
