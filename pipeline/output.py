"""Writes a file whole or not at all."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import ReportError


def write_whole(output: Path, text: str) -> None:
    """Write a text file, which takes the place of an older one when it is whole.

    Raises:
        ReportError: it cannot be written.
    """
    partial = output.with_name(f".{output.name}.partial")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(output)
    except OSError as error:
        raise ReportError(f"{output} cannot be written ({error.strerror}): choose another place with -o.") from None
