"""Timestamps as the API reads and writes them.

Inside the sandbox a timestamp is an integer: microseconds since the epoch, the precision of the database behind
a real server. It is written as `2026-11-23T12:54:45.000123Z` in rows (without a fraction when that is zero) and as
`2026-11-23 12:54:45.000123+00:00` in cursors; `after` and `before` come in many more spellings.
"""

import re
from datetime import UTC, datetime, timedelta

SECOND = 1_000_000
DAY = 86_400 * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# The grammar of the server's date parser, kept with its surprises: `2026-324` is the 24th of March, a fraction may have
# any number of digits, and a month without a dash is only read when a day follows.
_PARAMETER = re.compile(
    r"(?P<year>\d{4})"
    r"((-(?P<dash_month>\d{1,2})|(?P<month>\d{2})(?!$))"
    r"((-(?P<dash_day>\d{1,2})|(?P<day>\d{2}))"
    r"([ T](?P<hour>\d{2})(:?(?P<minute>\d{2}))?(:?(?P<second>\d{1,2})([.,](?P<fraction>\d+))?)?"
    r"(?P<zone>Z|(?P<sign>[-+])(?P<zone_hour>\d{2}):?(?P<zone_minute>\d{2})?)?)?"
    r")?)?",
    re.ASCII,
)


def to_micros(moment: datetime) -> int:
    """Return an aware datetime as microseconds since the epoch."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return microseconds since the epoch as an aware datetime."""
    return _EPOCH + timedelta(microseconds=micros)


def now_micros() -> int:
    """Return the current time in microseconds since the epoch."""
    return to_micros(datetime.now(UTC))


def iso(micros: int) -> str:
    """Write a timestamp as it stands in rows: with six digits, or with none when the microseconds are zero."""
    text = from_micros(micros).isoformat().removesuffix("+00:00")
    return text + "Z"


def cursor_text(micros: int) -> str:
    """Write a timestamp as it stands inside a cursor."""
    return str(from_micros(micros))


def read_iso(text: object) -> int | None:
    """Read a timestamp from a row; None when there is none or it cannot be read."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return to_micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def read_parameter(text: str) -> int | None:
    """Read the value of `after` or `before`; None when the server would not understand it."""
    match = _PARAMETER.fullmatch(text)
    if match is None:
        return None
    part = match.groupdict()
    micros = int(f"{part['fraction'] or '0':0<6.6}")
    try:
        local = datetime(
            int(part["year"]),
            int(part["dash_month"] or part["month"] or 1),
            int(part["dash_day"] or part["day"] or 1),
            int(part["hour"] or 0),
            int(part["minute"] or 0),
            int(part["second"] or 0),
            micros,
            tzinfo=UTC,
        )
        offset = timedelta(hours=int(part["zone_hour"] or 0), minutes=int(part["zone_minute"] or 0))
        if offset >= timedelta(days=1):
            return None
        return to_micros(local) + (offset // _MICROSECOND if part["sign"] == "-" else -(offset // _MICROSECOND))
    except ValueError:
        return None
