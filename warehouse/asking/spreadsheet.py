"""Makes text that a spreadsheet would run, were it to open it as CSV, the text that it is.

Excel, LibreOffice and Google Sheets take `=HYPERLINK(...)`, sent by anybody as a message, for a formula. The rule
stands in docs/reference.md.
"""

from __future__ import annotations

import re

from warehouse.lake.literal import literal

# What a spreadsheet overlooks at the beginning of a cell: controls, and what is blank or not shown.
BLANKS = r"\x00-\x20\x7f" + "\u00a0\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff"
SIGNS = r"=+\-@" + "\uff1d\uff0b\uff0d\uff20"  # also as wide as a letter of Chinese
# For Python and DuckDB alike.
RUN = rf"^(?:[{BLANKS}]*[{SIGNS}]|[\t\r\n])"
NUMBER = r"[+-]?(?:[0-9]+(?:[.,][0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
# Types whose values are no text of anybody's, or begin with a bracket. All others are looked at.
NEVER_RUN = re.compile(
    r"(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|BIGNUM|FLOAT|DOUBLE|DECIMAL\(.*|BOOLEAN|DATE|TIME|TIMESTAMP(_S|_MS|_NS)?"
    r"|(TIME|TIMESTAMP) WITH TIME ZONE|TIME_NS|INTERVAL|UUID|BIT|(STRUCT|MAP)\(.*|.*\])"
)


def may_run(kind: str) -> bool:
    """Whether a column of this type of DuckDB's may hold text that would be run."""
    return not NEVER_RUN.fullmatch(kind)


def as_text(value: str) -> str:
    """SQL of a value as text that is not run."""
    text = f"{value}::VARCHAR"
    return (
        f"CASE WHEN regexp_matches({text}, {literal(RUN)}) AND NOT regexp_full_match({text}, {literal(NUMBER)}) "
        f"THEN '''' || {text} ELSE {text} END"
    )


def heading(name: str) -> str:
    """The name of a column, made text that is not run."""
    return f"'{name}" if re.match(RUN, name) and not re.fullmatch(NUMBER, name) else name
