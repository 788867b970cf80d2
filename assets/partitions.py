"""Months as Dagster partitions: from RapidPro's first year, or what the settings say, to the one that is not over."""

from __future__ import annotations

import dagster as dg

from pipeline.errors import SettingsError
from pipeline.months import Month
from pipeline.settings import EARLIEST_YEAR, local_settings

EARLIEST = Month(EARLIEST_YEAR, 1)


def first_month() -> Month:
    """The first month that is offered. It asks neither lake nor server, so that no workspace is ahead of its page."""
    try:
        chosen = local_settings().first_month
    except SettingsError:  # told where it can be read: by each tick, and by the first run
        return EARLIEST
    return Month.parse(chosen) if chosen else EARLIEST


MONTHS = dg.MonthlyPartitionsDefinition(start_date=str(first_month()), fmt="%Y-%m", timezone="UTC", end_offset=1)
