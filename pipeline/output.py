"""Fills in the templates of pages, and writes a file whole or not at all."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.errors import ReportError
from warehouse.declared import kind_of
from warehouse.scratch import written_whole
from warehouse.text import for_xml


def templates(package: str, *, escape: bool) -> Environment:
    """The templates in a package's folder; what fills them in is cleaned, and with `escape` is no HTML."""
    return Environment(
        loader=PackageLoader(package, "."),
        autoescape=escape,
        # What is marked as HTML is a part of the page that was filled in before.
        finalize=lambda value: for_xml(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write_whole(output: Path, text: str) -> None:
    """Write a text file, which takes the place of an older one when it is whole.

    Raises:
        ReportError: it cannot be written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(output) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{output} cannot be written ({kind_of(error)}): choose another place with -o.") from None
