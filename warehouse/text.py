"""Text that people wrote, in the shape that pages, drawings, workbooks and terminals can take: each cleans with these.

The lake keeps what the server says to the letter; so do CSV, JSON and Parquet.
"""

from __future__ import annotations

import re

INSTEAD = "\ufffd"
# XML 1.0 has no way to write these, not even as a reference: a file with one of them opens nowhere.
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# What may move a terminal's cursor, colour it, or name its window; tabs and ends of lines are harmless.
NOT_ON_TERMINALS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def for_xml(text: str) -> str:
    """Text as XML, SVG, HTML and Excel can hold it."""
    return NOT_IN_XML.sub(INSTEAD, text)


def for_terminal(text: str) -> str:
    """Text that a terminal shows, and does not obey."""
    return NOT_ON_TERMINALS.sub(INSTEAD, text)
