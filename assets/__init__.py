"""Dagster: assets, partitions, schedules, sensors and checks around the pipeline.

Knows nothing of how rows are fetched or stored.
"""

import os
import warnings
from pathlib import Path

import dagster as dg

from warehouse.private import close_folder, keep_private

# What Dagster keeps of runs is the owner's too; its webserver and daemon may have begun to write it as they were told.
keep_private()
if "DAGSTER_HOME" in os.environ:
    close_folder(Path(os.environ["DAGSTER_HOME"]), "*", "history/**/*", "schedules/*", "logs/*")

# Single-run backfills have been "beta" since 2023; without them a year would be twelve runs.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
