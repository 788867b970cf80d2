"""Dagster: assets, partitions, schedules, sensors and checks around the pipeline.

Knows nothing of how rows are fetched or stored.
"""
