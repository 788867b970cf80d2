"""Errors of the warehouse, which knows no commands, are told with what to type."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.errors import ADVICE, told
from warehouse.asking.export import export
from warehouse.errors import LakeBusy, RapidlakeError
from warehouse.lake.connection import Lake


@pytest.mark.parametrize("kind", ADVICE, ids=lambda kind: kind.__name__)
def test_what_to_type_ends_the_sentence(kind: type[RapidlakeError]) -> None:
    assert told(kind("It is so.")) == f"It is so: {ADVICE[kind]}."


def test_an_error_that_says_itself_what_to_do_is_told_as_it_is() -> None:
    assert told(LakeBusy("The lake is busy: run the same command again.")).endswith("busy: run the same command again.")


def test_whoever_names_a_wrong_place_is_told_the_option_that_names_another(tmp_path: Path, lake: Path) -> None:
    (tmp_path / "file").write_text("a letter")
    asked = {
        "There is no lake at .*: run `rapidlake sync` first, or name another with --lake": lambda: Lake.open(tmp_path),
        "The lake path .* is a file: name a folder with --lake or RAPIDLAKE_LAKE": lambda: Lake.create(
            tmp_path / "file"
        ),
        "The lake folder .* cannot be written .*: choose another with --lake, or its permissions": lambda: Lake.create(
            Path("/dev/null/lake")
        ),
        "file is there and holds no export: name an empty or a new folder with --to": lambda: _export(lake, tmp_path),
    }
    for sentence, asking in asked.items():
        with pytest.raises(RapidlakeError) as caught:
            asking()
        assert re.search(rf"{sentence}\.$", told(caught.value)), told(caught.value)


def _export(lake: Path, folder: Path) -> None:
    with Lake.open(lake) as opened:
        export(opened, folder / "file", kind="csv")
