"""Proves that the built wheel is whole: every file is in it, and it works where there is no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.processes import run

ROOT = Path(__file__).parents[1]
PACKAGES = ("assets", "pipeline", "rapidlake", "sandbox", "warehouse")
HOME = Path.home()  # as it is before the tests get another one


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of a copy: what an earlier build left in the checkout would hide a missing file."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    _pip("wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed wheel."""
    folder = tmp_path_factory.mktemp("elsewhere")
    _pip("install", "--quiet", "--no-compile", "--no-deps", "--target", folder / "installed", wheel)
    return folder


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    files = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    assert files - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_dagster_loads_the_installed_definitions(elsewhere: Path) -> None:
    found = _run("-c", "import assets.definitions as module; print(module.__file__)", folder=elsewhere)
    assert found.strip() == str(elsewhere / "installed" / "assets" / "definitions.py")
    _run("-m", "dagster", "definitions", "validate", "-m", "assets.definitions", folder=elsewhere)


def test_the_installed_command_fills_a_lake(elsewhere: Path) -> None:
    command = "from pipeline.cli.app import main; main()"
    assert "The lake is true" in _run("-c", command, "demo", "--messages", "100", folder=elsewhere)


def _pip(*arguments: str | Path) -> None:
    """Run pip as its user has configured it; what it downloads is not kept."""
    _run("-m", "pip", *arguments, HOME=str(HOME), PIP_NO_CACHE_DIR="1")


def _run(*arguments: str | Path, folder: Path | None = None, **settings: str) -> str:
    """What Python prints; in `folder`, it finds what is installed there, and not the checkout."""
    if folder:
        settings |= {"PYTHONPATH": str(folder / "installed"), "DAGSTER_HOME": str(folder)}
    done = run([sys.executable, *arguments], cwd=folder, env=os.environ | settings, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{arguments} in {folder} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout
