"""Months as Dagster partitions: from the oldest archive to the month that is not over yet."""

from __future__ import annotations

import dagster as dg

from pipeline.months import Month
from pipeline.settings import Settings, local_settings
from pipeline.streams import ARCHIVED
from warehouse import Lake, LakeNotFound, RapidlakeError
from warehouse.lake import clock

# Servers keep rows about so long before they archive them: what an empty lake is offered.
MONTHS_WITHOUT_ARCHIVES = 3


def first_month() -> Month:
    """The first month that can be read: from the settings, else the oldest that is archived or in the lake.

    Never later than the one that an empty lake begins with, so that a run and the page it was started from agree.
    """
    default = Month.of(clock.now()).plus(-MONTHS_WITHOUT_ARCHIVES)
    try:
        settings = local_settings()
        if settings.first_month:
            return Month.parse(settings.first_month)
        return min(default, _oldest_known(settings) or default)
    except RapidlakeError:  # told where it can be read: by the first run
        return default


def _oldest_known(settings: Settings) -> Month | None:
    try:
        with Lake.open(settings.lake) as lake:
            stored = " ".join(
                f"UNION ALL SELECT min({table.partitioned_by})::DATE FROM {table.name}"
                for table in (stream.table for stream in ARCHIVED.values())
            )
            oldest = lake.rows(
                f"""
                SELECT min(first) FROM (
                    SELECT min(start_date) AS first FROM archives WHERE deleted_on IS NULL AND record_count > 0
                    {stored}
                )
                """
            )[0][0]
    except LakeNotFound:
        return None
    return Month.of(oldest) if oldest else None


MONTHS = dg.MonthlyPartitionsDefinition(start_date=str(first_month()), fmt="%Y-%m", timezone="UTC", end_offset=1)
