"""Months of the calendar (UTC): what large tables are partitioned by, and what is backfilled at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pipeline.errors import SettingsError


@dataclass(frozen=True, order=True)
class Month:
    """A month; `str` writes it as YYYY-MM."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Read YYYY-MM.

        Raises:
            SettingsError: it is written differently.
        """
        if not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", text.strip()):
            raise SettingsError(f"{text!r} is no month: write it like 2026-07.")
        year, number = text.strip().split("-")
        return cls(int(year), int(number))

    @classmethod
    def of(cls, at: date) -> Month:
        """The month of a date, or of a time in UTC."""
        return cls(at.year, at.month)

    @property
    def start(self) -> datetime:
        """Its first moment (UTC)."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first moment after it (UTC)."""
        return self.plus(1).start

    def plus(self, months: int) -> Month:
        """So many months later, or earlier."""
        years, index = divmod(self.year * 12 + self.number - 1 + months, 12)
        return Month(years, index + 1)

    def __str__(self) -> str:
        return f"{self.year}-{self.number:02d}"


def month_range(first: Month, last: Month) -> list[Month]:
    """The months from `first` to `last`, both included.

    Raises:
        SettingsError: `last` is earlier.
    """
    if last < first:
        raise SettingsError(f"{last} is before {first}: give the earlier month first.")
    months = [first]
    while months[-1] < last:
        months.append(months[-1].plus(1))
    return months
