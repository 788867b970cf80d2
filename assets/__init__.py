"""Dagster: assets, partitions, schedules, sensors and checks around the pipeline.

Knows nothing of how rows are fetched or stored.
"""

import warnings

import dagster as dg

# Single-run backfills have been "beta" since 2023; without them a year would be twelve runs.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
