"""What is installed beside Rapidlake: what it is, under which licence, and that it fits together; all of it offline."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
# Licences that let anybody use, change and pass on what they are of, beside code under Apache-2.0.
FREE = re.compile(r"MIT|Apache|BSD|PSF|Python|ISC|MPL|Mozilla|Zlib|CC0|Unlicense|Artistic", re.IGNORECASE)
# Their metadata name none; each was looked up in its files.
LOOKED_UP = {
    "antlr4-python3-runtime": "BSD-3-Clause",
    "protobuf": "BSD-3-Clause",
    "uritemplate": "BSD-3-Clause OR Apache-2.0",
}
TOOLS = {"pip", "setuptools", "rapidlake"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


INSTALLED = {canonical(one.name): one for one in metadata.distributions()}


def pinned() -> dict[str, str]:
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("==")[::2] for line in lines if "==" in line and not line.startswith("#")]
    return {canonical(name): version.partition(";")[0].strip() for name, version in pairs}


def test_what_is_installed_is_what_was_tried() -> None:
    tried = pinned()
    others = {
        name: one.version for name, one in INSTALLED.items() if name not in TOOLS and tried.get(name) != one.version
    }
    assert others == {}


def test_what_is_installed_fits_together() -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", sorted(INSTALLED.keys() - TOOLS))
def test_everybody_may_use_what_is_installed(name: str) -> None:
    about = INSTALLED[name].metadata
    said = [about.get("License-Expression") or "", about.get("License") or "", LOOKED_UP.get(name, "")]
    said += [line for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
    assert FREE.search(" ".join(said)), said


def test_a_command_lists_all_of_it_with_licences(tmp_path: Path) -> None:
    subprocess.run(["make", "sbom"], cwd=PROJECT, check=True, capture_output=True)
    listed = json.loads((PROJECT / "sbom.json").read_text(encoding="utf-8"))
    assert listed["bomFormat"] == "CycloneDX"
    parts = {canonical(one["name"]): one for one in listed["components"]}
    assert INSTALLED.keys() - {"rapidlake"} <= parts.keys()
    for name in INSTALLED.keys() - {"rapidlake"}:
        assert parts[name]["version"] == INSTALLED[name].version
    assert {name for name, one in parts.items() if not one.get("licenses")} <= LOOKED_UP.keys()
