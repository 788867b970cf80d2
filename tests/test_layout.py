"""The folders are the architecture: where a line lives can be told from the tree alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOTS = ("assets", "pipeline", "rapidlake", "sandbox", "warehouse")
ABOUT_A_DOZEN = 15


def modules(folder: Path) -> Iterator[Path]:
    """The modules and packages directly in a folder."""
    for path in sorted(folder.iterdir()):
        if (path.suffix == ".py" and path.stem not in ("__init__", "__main__")) or (path / "__init__.py").is_file():
            yield path


def packages(root: str) -> list[Path]:
    return [file.parent for file in sorted((ROOT / root).rglob("__init__.py"))]


@pytest.mark.parametrize("root", ROOTS)
def test_no_two_modules_of_a_root_have_the_same_name(root: str) -> None:
    names = Counter(path.stem for package in packages(root) for path in modules(package))
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("root", ROOTS)
def test_a_folder_has_no_more_than_about_a_dozen_modules(root: str) -> None:
    crowded = {str(package.relative_to(ROOT)): len(list(modules(package))) for package in packages(root)}
    assert {name: number for name, number in crowded.items() if number > ABOUT_A_DOZEN} == {}


@pytest.mark.parametrize("root", ROOTS)
def test_every_package_says_what_it_is_for(root: str) -> None:
    silent = [package for package in packages(root) if not (package / "__init__.py").read_text().startswith('"""')]
    assert silent == []


def test_tests_mirror_the_rooms() -> None:
    rooms = {package.relative_to(ROOT) for root in ROOTS for package in packages(root)}
    folders = {file.parent.relative_to(ROOT / "tests") for file in (ROOT / "tests").rglob("test_*.py")} - {Path(".")}
    assert folders - rooms == set()


def test_only_the_view_that_analysts_ask_goes_by_the_clock_of_the_database() -> None:
    files = [file for root in ROOTS for file in (ROOT / root).rglob("*") if file.suffix in (".py", ".sql")]
    theirs = re.compile(r"(?<![\w.`])(now\(\)|current_timestamp|today\(\))")
    found = {str(file.relative_to(ROOT)) for file in files if theirs.search(file.read_text("utf-8"))}
    assert found == {"warehouse/lake/clock.py", "warehouse/views/facts/group_sizes.sql"}
