"""The code location that `workspace.yaml` names."""

from __future__ import annotations

import dagster as dg

from pipeline.streams import STREAMS, Stream


def _table(stream: Stream) -> dg.AssetSpec:
    """A stream's table, as Dagster shows it before it can be materialised from there."""
    return dg.AssetSpec(
        stream.name,
        group_name="workspace",
        kinds={"duckdb"},
        metadata={"endpoint": stream.path, "key": ", ".join(stream.table.key), "throttle scope": stream.scope},
    )


defs = dg.Definitions(assets=[_table(stream) for stream in STREAMS.values()])
