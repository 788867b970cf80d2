"""The data dictionary of a lake, as Markdown and as one HTML page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import ReportError
from pipeline.output import templates, write_whole
from warehouse.asking.dictionary import Dictionary

SUFFIXES = (".md", ".html")


def write_dictionary(dictionary: Dictionary, outputs: Sequence[Path]) -> None:
    """Write the dictionary to each file, as its name says: .md or .html.

    Raises:
        ReportError: a name ends otherwise, or the file cannot be written.
    """
    for output in outputs:
        if output.suffix not in SUFFIXES:
            raise ReportError(f"{output} names no format: end it with .md or .html.")
    for output in outputs:
        write_whole(output, render(dictionary, output.suffix))


def render(dictionary: Dictionary, suffix: str) -> str:
    """The dictionary as text; what the workspace holds is cleaned and escaped."""
    environment = templates("pipeline.dictionary", escape=suffix == ".html")
    environment.filters |= {"md": _markdown, "filled": _filled}
    return environment.get_template(f"page{suffix}.j2").render(dictionary=dictionary)


def _markdown(text: str) -> str:
    """Text that a workspace can hold, so that Markdown shows it as it is, in one line of a table."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~&$-])", r"\\\1", " ".join(text.split())).replace("\\<", "&lt;")


def _filled(share: float | None) -> str:
    return "" if share is None else f"{share:g} %"
