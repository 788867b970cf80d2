"""The code location that `workspace.yaml` names."""

from __future__ import annotations

import dagster as dg

from assets.analytics import publish_asset, report_asset
from assets.checks import lake_checks
from assets.schedules import JOBS, schedules
from assets.sensors import SENSORS
from assets.streams import stream_asset
from assets.upkeep import maintain_asset, verify_asset
from assets.workspace import workspace_from_environment
from pipeline.streams import STREAMS

defs = dg.Definitions(
    assets=[
        *(stream_asset(stream) for stream in STREAMS.values()),
        verify_asset,
        maintain_asset,
        report_asset,
        publish_asset,
    ],
    asset_checks=[lake_checks],
    jobs=JOBS,
    schedules=schedules(),
    sensors=SENSORS,
    resources={"workspace": workspace_from_environment()},
    # Steps wait for the server, not for the processor, and share one session and one rate limit. A step costs 0.1 s in
    # the run's own process, and 1 to 4 s in one of its own (measured).
    executor=dg.in_process_executor,
)
