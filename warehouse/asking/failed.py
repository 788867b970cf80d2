"""Says why a user's SQL failed: in DuckDB's words while it looks at the SQL, and in ours once it reads rows.

What DuckDB says of a row shows its value: a message, a name, an answer about somebody's health.
"""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from warehouse.asking.guard import Question
from warehouse.errors import LakeDamaged, LakeError, LakeMangled, QueryError, QueryRefused
from warehouse.lake.failures import explain

# Whose words are about names in the SQL, not about values.
ABOUT_NAMES = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)
A_TYPE = r"(?P<type>[A-Z][A-Z0-9_]*(?:\(\d+, ?\d+\))?(?:\[\d*\])*)"
# What DuckDB says, and what of it is told: nothing but these words, and a name of one of its types.
SAYINGS = [
    (re.compile(pattern, re.DOTALL), told)
    for pattern, told in (
        (rf"Could not convert string .* to {A_TYPE}(?= when casting|\s*$)", "could not convert a string to {type}"),
        (rf"Casting value .* to type {A_TYPE} failed", "a value is out of range for {type}"),
        (rf"value is out of range for the destination type {A_TYPE}", "a value is out of range for {type}"),
        (rf"can't be cast to the destination type {A_TYPE}", "a value cannot be cast to {type}"),
        (r"can't be cast to the destination type ", "a value cannot be cast to the type that is asked for"),
        (r"^invalid date field format", "a string is no date"),
        (r"^invalid timestamp field format", "a string is no timestamp"),
        (r"^time field value out of range", "a string is no time"),
        (r"^Malformed JSON", "malformed JSON"),
        (r"^JSON path error", "a JSON path is wrong"),
        (r"^Failed to cast value to numerical", "a value of JSON is no number"),
        (r"^Could not parse string", "a string does not fit the format"),
        (r"^extract specifier", "there is no such part of a date"),
        (r"^Unknown TimeZone", "there is no such time zone"),
        (r"^Overflow in (?P<type>addition|subtraction|multiplication|division|negation)", "overflow in {type}"),
        (r"logarithm of zero", "there is no logarithm of zero"),
        (r"logarithm of a negative number", "there is no logarithm of a negative number"),
        (r"square root of a negative number", "there is no square root of a negative number"),
        (r"^More than one row returned by a subquery", "a subquery for one value has more rows than one"),
        (r"^Map keys must be unique", "the keys of a map must differ"),
        (r"^Map keys can not be NULL", "the keys of a map cannot be NULL"),
        (r"^(missing |unexpected |invalid |no argument for |bad |Pattern failed)", "a pattern or a format is wrong"),
        (r"which is attached in read-only mode!$", "the lake is open for reading only"),
        (r"No space left on device", "the disk is full"),
        (r"out of range", "a value is out of range"),
    )
]  # fmt: skip
CASTS = "; TRY_CAST gives NULL for it"


def explain_query(error: duckdb.Error, path: Path, question: Question, *, ran: bool) -> LakeError:
    """What it means that SQL failed: that it is wrong, unless the lake at `path` is.

    `ran` if DuckDB had planned it, and read rows: of what it says then, no value is told.
    """
    known = explain(error, path)
    if isinstance(known, LakeDamaged | LakeMangled):
        return known
    if isinstance(error, duckdb.PermissionException):
        return QueryRefused("This SQL would reach a file outside the lake, or a setting, and may not.")
    if isinstance(error, ABOUT_NAMES) and not ran and not question.pivots:
        return QueryError(str(error).strip())
    if question.plain and not ran:
        return QueryError(str(error).strip())
    return QueryError(_without_values(error, question.sql))


def _without_values(error: duckdb.Error, sql: str) -> str:
    """What kind of an error it is, and what of its words is known to be no value or stands in the SQL."""
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Exception")) or "Error"
    kind = kind if kind.endswith("Error") else f"{kind} Error"
    own = re.split(r"\n\s*LINE \d+:|\n\n", str(error).partition("Error: ")[2])[0].strip()
    if isinstance(error, duckdb.OutOfMemoryException):
        return f"{kind}: {own.splitlines()[0].rstrip('.')}."
    if own and f"'{own}'" in sql:  # of error('...')
        return f"{kind}: {own}"
    for pattern, told in SAYINGS:
        if found := pattern.search(own):
            said = told.format(type=found.groupdict().get("type"))
            return f"{kind}: {said}{_column(own, sql)}{CASTS if isinstance(error, duckdb.ConversionException) else ''}."
    return f"{kind}: a value of a row cannot be used so."


def _column(said: str, sql: str) -> str:
    """Which column it is about, if that stands in the SQL."""
    found = re.search(r" when casting from source column (\S+)$", said)
    return f" (column {found[1]})" if found and re.search(rf"\b{re.escape(found[1])}\b", sql) else ""
